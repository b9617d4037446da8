/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool - see the header.
 */
#include "audit/tool.h"

#include <errno.h>
#include <inttypes.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

static const char *command = "";

void
tool_set_command(const char *name)
{
	command = name;
}

void
tool_complain(const char *fmt, ...)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct term term;
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	term_init(&term, STDERR_FILENO);
	term_add_clean(&b, text, term.utf8);
	free(text);
	fflush(stdout);
	fprintf(stderr, "tokenbrokerctl: audit %s: %s\n", command,
	    strbuf_str(&b));
}

int
tool_fail(const struct tb_error *err)
{
	tool_complain("%s", err->msg);
	return err->code == TB_E_BADREQ ? TOOL_USAGE : TOOL_FAILED;
}

/* Where audit.pub is looked for. */
static char *
key_beside(const struct tool_log *log)
{
	const char *path = log->files.dir, *slash;

	if (path)
		return xasprintf("%s/" FILES_KEYS, path);
	path = log->files.file[0].path;
	slash = strrchr(path, '/');
	return slash ? xasprintf("%.*s/" FILES_KEYS, (int)(slash - path),
	    path) : xstrdup(FILES_KEYS);
}

static int
open_keys(struct tool_log *log, const char *key, struct tb_error *err)
{
	log->keys = keys_new();
	if (key) {
		log->key_path = xstrdup(key);
		return keys_load(log->keys, key, err);
	}
	log->key_path = key_beside(log);
	log->key_beside = true;
	if (access(log->key_path, F_OK) < 0 && errno == ENOENT) {
		free(STEAL(log->key_path));
		return 0;
	}
	return keys_load(log->keys, log->key_path, err);
}

int
tool_log_open(struct tool_log *log, const char *dir,
    const char *const *paths, size_t n_paths, const char *key,
    struct anchors *anchors, struct tb_error *err)
{
	log->anchors = anchors;
	if (n_paths > 0)
		files_set(&log->files, paths, n_paths);
	else if (files_list(&log->files, dir ? dir : TOOL_LOG_DIR, err) < 0)
		return -1;
	if (open_keys(log, key, err) < 0)
		return -1;
	log->verify = verify_new(log->keys, anchors, err);
	return log->verify ? 0 : -1;
}

void
tool_log_clear(struct tool_log *log)
{
	verify_free(log->verify);
	anchors_free(log->anchors);
	keys_free(log->keys);
	files_clear(&log->files);
	free(log->key_path);
}

uint64_t
tool_log_warn(const struct tool_log *log)
{
	uint64_t n = findings_count(verify_findings(log->verify));

	if (n > 0)
		tool_complain("the log is broken in %" PRIu64 " place%s, so "
		    "this may not be the truth: see 'tokenbrokerctl audit "
		    "verify'", n, n == 1 ? "" : "s");
	return n;
}

/* As tokenbroker-audit(5) has them. A name that is none of them finds nothing,
 * and who misspells one must not take that for an answer. */
static const char *const events[] = {
	"authorised", "sent", "withheld", "denied", "mint_intent",
	"minted", "mint_failed", "settled", "renewed", "revoked",
	"imported", "rejected", "login_started", "login_granted",
	"login_failed", "login_pinned", "refresh_intent", "refreshed",
	"refresh_failed", "human_needed", "logout", "reloaded", "started",
	"stopped", "admin", "orphan", "missing", "unsettled", "expiring",
	"updated", "rekeyed", "quarantined", "adopted", "disk_failed",
	"disk_recovered", "lost", "checkpoint", "audit_key",
	"files_removed", NULL,
};

static int
check_event(const char *name, struct tb_error *err)
{
	struct strbuf all _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *near = opt_nearest(name, events);
	size_t i;

	for (i = 0; events[i]; i++) {
		if (strcmp(events[i], name) == 0)
			return 0;
		strbuf_addf(&all, "%s%s", i ? " " : "", events[i]);
	}
	if (near)
		return tb_error_set(err, TB_E_BADREQ, "--event: there is no "
		    "'%.40s'; did you mean '%s'?", name, near);
	tool_complain("the events are: %s", strbuf_str(&all));
	return tb_error_set(err, TB_E_BADREQ, "--event: there is no '%.40s'",
	    name);
}

int
tool_filter(const struct opt_value *opt, struct filter *out,
    struct tb_error *err)
{
	int64_t now = now_real_s();

	*out = (struct filter){ .unit = opt[TOOL_UNIT].text,
		.token = opt[TOOL_TOKEN].text,
		.login = opt[TOOL_LOGIN].text,
		.verdict = opt[TOOL_VERDICT].text,
		.event = opt[TOOL_EVENT].text,
		.request_id = opt[TOOL_REQUEST_ID].text,
		.uid = opt[TOOL_UID].set ? opt[TOOL_UID].number : -1,
		.generation = opt[TOOL_GENERATION].set ?
		    opt[TOOL_GENERATION].number : -1 };
	if (opt[TOOL_EVENT].set &&
	    check_event(opt[TOOL_EVENT].text, err) < 0)
		return -1;
	if (opt[TOOL_USER].set && opt[TOOL_UID].set)
		return tb_error_set(err, TB_E_BADREQ, "--user and --uid "
		    "exclude each other");
	if (opt[TOOL_USER].set &&
	    filter_parse_user(opt[TOOL_USER].text, &out->uid, err) < 0)
		return -1;
	if (opt[TOOL_SINCE].set && filter_parse_time("since",
	    opt[TOOL_SINCE].text, now, &out->since, err) < 0)
		return -1;
	if (opt[TOOL_UNTIL].set && filter_parse_time("until",
	    opt[TOOL_UNTIL].text, now, &out->until, err) < 0)
		return -1;
	return 0;
}

int
tool_format(const struct opt_value *opt, const char *const *words, int *out,
    struct tb_error *err)
{
	int i;

	*out = 0;
	if (!opt->set)
		return 0;
	for (i = 0; words[i]; i++)
		if (strcmp(words[i], opt->text) == 0) {
			*out = i;
			return 0;
		}
	return tb_error_set(err, TB_E_BADREQ, "--format: '%.40s' is neither "
	    "%s nor %s", opt->text, words[0], words[1]);
}

struct anchors *
tool_anchors(const struct opt_result *all, struct tb_error *err)
{
	struct anchors *a = anchors_new();
	size_t i;

	for (i = 0; i < all->n_list; i++) {
		if (anchors_load(a, all->list[i], err) < 0) {
			anchors_free(a);
			return NULL;
		}
	}
	return a;
}
