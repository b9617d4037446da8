/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenbroker-events - tells somebody what the daemon has noticed. A program of
 * its own, run by `tokenbrokerctl events`, so that tokenbrokerctl loads neither
 * libcurl nor libcrypto.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/complete.h"
#include "ctl/help.h"
#include "ctl/opt.h"
#include "ctl/words.h"
#include "events/follow.h"
#include "lib/jsonx.h"

#define RUN_DIR "/run/tokenbroker"
#define TIMEOUT_MS 30000
#define TRIES 10
#define CREDENTIAL "webhook-secret"

enum { E_JSON, E_TYPES, E_SINCE, E_AFTER, E_ONCE, E_CURSOR_FILE, E_EXEC,
	E_POST, E_SECRET_FILE, E_CA_FILE, E_REMIND, E_TIMEOUT, E_TRIES,
	E_RUN_DIR, E_HELP, E_VERSION, N_E };
static const struct opt_spec specs[N_E] = {
	{ "json", 0, OPT_FLAG, NULL, "one JSON object a line, instead of "
	    "text" },
	{ "types", 0, OPT_TEXT, "TYPE,...", "these only: human_needed, "
	    "expiring, ..." },
	{ "since", 0, OPT_TEXT, "TIME", "begin with what the log holds since "
	    "then; a time, or a duration before now (default: now)" },
	{ "after", 0, OPT_TEXT, "CURSOR", "begin behind this one; 0: with all "
	    "that the log holds" },
	{ "once", 0, OPT_FLAG, NULL, "end when there is nothing new" },
	{ "cursor-file", 0, OPT_TEXT, "PATH", "go on where this file says, "
	    "and keep it up to date" },
	{ "exec", 0, OPT_TEXT, "CMD", "run CMD for each event, with what "
	    "stands behind '--' as its arguments" },
	{ "post", 0, OPT_TEXT, "URL", "send each event there" },
	{ "secret-file", 0, OPT_TEXT, "PATH", "sign with this key "
	    "(whsec_...); default: the credential " CREDENTIAL },
	{ "ca-file", 0, OPT_TEXT, "PATH", "trust these authorities instead of "
	    "the system's" },
	{ "remind", 0, OPT_DURATION, "TIME", "repeat what lasts this often, "
	    "until it is over" },
	{ "timeout", 0, OPT_DURATION, "TIME", "of one command or request "
	    "(default: 30s)" },
	{ "tries", 0, OPT_NUMBER, "N", "give an event up after so many "
	    "attempts (default: 10)" },
	{ "run-dir", 0, OPT_TEXT, "DIR", "where the daemon's sockets are "
	    "(default: $TOKENBROKER_RUN_DIR or " RUN_DIR ")" },
	{ "help", 'h', OPT_FLAG, NULL, "this text" },
	{ "version", 'V', OPT_FLAG, NULL, "the version" },
};

static int
usage_error(const char *text)
{
	tell("%s; try 'tokenbrokerctl events --help'", text);
	return TELL_USAGE;
}

static void
print_help(void)
{
	help_command("tokenbrokerctl", "events", "[--json] [--types TYPE,...] "
	    "[--since TIME]\n    [--cursor-file PATH] [--exec CMD | --post "
	    "URL] [--remind TIME] [-- ARG...]",
	    "What happens, as it happens: to people, a command or a webhook",
	    "Each event is told at least once: the cursor moves when it was "
	    "delivered.\nFor auditors; see tokenbrokerctl(1).");
	help_options(specs, N_E);
}

/* NULL: nothing is wrong. */
static const char *
what_is_wrong(const struct opt_result *o)
{
	const struct opt_value *v = o->value;

	if (v[E_EXEC].set && v[E_POST].set)
		return "--exec and --post exclude each other";
	if ((v[E_EXEC].set || v[E_POST].set) && v[E_JSON].set)
		return "--json is for standard output; --exec and --post "
		    "always give JSON";
	if (v[E_SINCE].set && v[E_AFTER].set)
		return "--since and --after exclude each other";
	if (!v[E_POST].set && (v[E_SECRET_FILE].set || v[E_CA_FILE].set))
		return "--secret-file and --ca-file are for --post";
	if (v[E_REMIND].set && v[E_REMIND].number < 1000)
		return "--remind: at least 1s is expected";
	if (v[E_TIMEOUT].set && (v[E_TIMEOUT].number < 1000 ||
	    v[E_TIMEOUT].number > 3600000))
		return "--timeout: 1s to 1h is expected";
	if (v[E_TRIES].set && (v[E_TRIES].number < 1 ||
	    v[E_TRIES].number > 1000))
		return "--tries: 1 to 1000 is expected";
	if (v[E_TYPES].set && v[E_TYPES].text[strspn(v[E_TYPES].text,
	    "abcdefghijklmnopqrstuvwxyz_,")])
		return "--types: words with commas between them are expected";
	if (o->n_args)
		return v[E_EXEC].set ? "the command's arguments stand behind "
		    "'--'" : "no arguments are expected";
	return NULL;
}

/* "2h" or a time, as the audit commands take it. */
static int
parse_since(const char *text, char *buf, size_t size, struct tb_error *err)
{
	_cleanup_free_ char *day = xasprintf("%sT00:00:00Z", text);
	int64_t at, ms;

	if (!timefmt_parse_rfc3339(text, &at) &&
	    !timefmt_parse_rfc3339(day, &at)) {
		if (!timefmt_parse_duration(text, &ms))
			return tb_error_set(err, TB_E_BADREQ, "--since: "
			    "'%.40s' is no time; write for example "
			    "2026-11-22T17:20:00Z, 2026-11-22, or 2h for two "
			    "hours ago", text);
		at = now_real_s() - ms / 1000;
	}
	timefmt_rfc3339(at, buf, size);
	return 0;
}

/* --secret-file, or the credential of that name. */
static int
open_post(struct follow *f, const struct opt_value *v, struct tb_error *err)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	_cleanup_free_ char *credential = dir ? xasprintf("%s/" CREDENTIAL,
	    dir) : NULL;
	const char *path = v[E_SECRET_FILE].text;

	if (!path && credential && access(credential, F_OK) == 0)
		path = credential;
	f->deliver.url = v[E_POST].text;
	if (path && post_read_key(path, &f->deliver.key, err) < 0)
		return -1;
	if (!path)
		tell("--post without --secret-file: what is sent is not "
		    "signed, and the receiver cannot know who sent it");
	return post_open(&f->deliver, v[E_CA_FILE].text, err);
}

/* The words of the command, as `watch --exec` has them, and what stands behind
 * "--". */
static int
open_exec(struct follow *f, const char *command, char *const *rest,
    struct words *words, struct tb_error *err)
{
	if (words_split(command, words, err) < 0)
		return tb_error_wrap(err, "--exec");
	for (; *rest; rest++)
		words_add(words, *rest);
	f->deliver.how = DELIVER_EXEC;
	f->deliver.argv = (const char **)words->v;
	return 0;
}

static int
open_follow(struct follow *f, const struct opt_value *v, char *const *rest,
    char *since, struct words *words, struct tb_error *err)
{
	if (v[E_EXEC].set && open_exec(f, v[E_EXEC].text, rest, words,
	    err) < 0)
		return -1;
	if (v[E_SINCE].set) {
		if (parse_since(v[E_SINCE].text, since, TIMEFMT_SIZE, err) < 0)
			return -1;
		f->since = since;
	}
	if (book_open(&f->book, v[E_CURSOR_FILE].text, err) < 0)
		return -1;
	f->kept = f->book.cursor != NULL;
	if (f->book.cursor)
		f->since = NULL; /* that was for the first time */
	else if (v[E_AFTER].set || v[E_SINCE].set)
		book_set_cursor(&f->book, v[E_AFTER].set ? v[E_AFTER].text :
		    "0");
	if (v[E_POST].set) {
		f->deliver.how = DELIVER_POST;
		return open_post(f, v, err);
	}
	return 0;
}

static int
run(const struct opt_value *v, char *const *rest)
{
	const char *env = getenv("TOKENBROKER_RUN_DIR");
	_cleanup_free_ char *socket = xasprintf("%s/admin.sock",
	    v[E_RUN_DIR].set ? v[E_RUN_DIR].text :
	    env && *env ? env : RUN_DIR);
	struct follow f = {
		.types = v[E_TYPES].text,
		.once = v[E_ONCE].set,
		.remind_s = v[E_REMIND].number / 1000,
		.book = { .lock = -1 },
		.tries = v[E_TRIES].set ? (unsigned)v[E_TRIES].number : TRIES,
		.deliver = {
			.how = v[E_JSON].set ? DELIVER_JSON : DELIVER_TEXT,
			.timeout_ms = v[E_TIMEOUT].set ? v[E_TIMEOUT].number :
			    TIMEOUT_MS,
			.key = SECRET_INIT,
		},
	};
	struct words words _cleanup_(words_clear) = WORDS_INIT;
	struct tb_error err = TB_ERROR_INIT;
	char since[TIMEFMT_SIZE];
	int e;

	client_init(&f.client, socket);
	f.client.wait_mask = tell_wait_mask();
	f.client.interrupted = &tell_stopped;
	tell_catch_signals();
	if (open_follow(&f, v, rest, since, &words, &err) == 0) {
		e = (int)follow_run(&f);
	} else {
		tell("%s", err.msg);
		e = err.code == TB_E_BADREQ ? TELL_USAGE : TELL_FAILED;
	}
	post_close(&f.deliver);
	book_clear(&f.book);
	client_clear(&f.client);
	return e;
}

/* "--complete WORD...": see ctl/complete.h. */
static int
complete(int argc, char *const *argv)
{
	static const struct complete_row row = { .name = "events",
		.opts = specs, .n_opts = N_E, .splits = true };
	static const struct complete c = { .rows = &row, .n_rows = 1 };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char **words = xcalloc((size_t)argc + 1, sizeof(*words));
	int i;

	words[0] = row.name;
	for (i = 0; i < argc; i++)
		words[i + 1] = argv[i];
	complete_words(&c, words, (size_t)argc + 1, &out);
	free(words);
	fputs(strbuf_str(&out), stdout);
	return help_flush("tokenbrokerctl: events", TELL_OK);
}

int
main(int argc, char **argv)
{
	struct tb_error err = TB_ERROR_INIT;
	struct opt_result o;
	const char *wrong;
	int e = TELL_OK;

	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		return complete(argc - 2, argv + 2);
	jsonx_init();
	if (opt_parse(specs, N_E, argc, argv, 1, true, &o, &err) < 0)
		return usage_error(err.msg);
	if (o.value[E_HELP].set) {
		print_help();
	} else if (o.value[E_VERSION].set) {
		printf("tokenbroker-events %s\n", PACKAGE_VERSION);
	} else {
		wrong = what_is_wrong(&o);
		if (wrong)
			return usage_error(wrong);
		e = run(o.value, argv + o.rest);
	}
	return help_flush("tokenbrokerctl: events", e);
}
