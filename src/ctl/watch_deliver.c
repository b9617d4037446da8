/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `watch` does with values, in this order: the canary looks at the new
 * content while the old one is still in place; file and key are replaced; then
 * the consumer is told. What fails is tried again: the first two from the
 * start, since nothing has changed yet, the last by itself.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/fs.h"
#include "base/now.h"
#include "base/sysd.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/child.h"
#include "ctl/watch_int.h"

#define PID_CAP 64

/* The token that stands for all: the one that was named, else the first. */
static const struct watch_token *
first_token(const struct watch *w)
{
	return &w->tokens[0];
}

static int64_t
earliest_end(const struct watch *w, int64_t *expires_at)
{
	const struct watch_token *t, *first = first_token(w);

	for (t = first; t < w->tokens + w->n_tokens; t++)
		if (t->ends_ms < first->ends_ms)
			first = t;
	*expires_at = first->expires_at;
	return first->ends_ms;
}

void
watch_status(const struct watch *w)
{
	const struct watch_token *t;
	const char *trouble = "";
	char when[TIMEFMT_SIZE];
	int64_t expires_at;

	for (t = w->tokens; t < w->tokens + w->n_tokens; t++)
		if (*t->said)
			trouble = t->said;
	earliest_end(w, &expires_at);
	if (w->delivered)
		sysd_notify("STATUS=%s: generation %" PRId64 ", until %s%s%s%s",
		    first_token(w)->name, first_token(w)->generation,
		    timefmt_rfc3339(expires_at, when, sizeof(when)),
		    w->due == WATCH_TELL ? "; the consumer could not be told" :
		    "", *trouble ? "; " : "", trouble);
	else
		sysd_notify("STATUS=%s: %s%s%s", first_token(w)->name,
		    w->removing ? "over, and still there" :
		    "nothing delivered", *trouble ? ": " : "", trouble);
}

/* ---------------------------------------------------------------- commands */

static void
ping_watchdog(void)
{
	sysd_notify("WATCHDOG=1");
}

static int
run(struct watch *w, const char *const *argv, const char *event,
    const char *file, int fd, struct tb_error *err)
{
	const struct watch_token *t = first_token(w);
	char when[TIMEFMT_SIZE], *env[6];
	int64_t expires_at;
	int r;
	size_t i;

	earliest_end(w, &expires_at);
	env[0] = xasprintf("TOKENBROKER_EVENT=%s", event);
	env[1] = xasprintf("TOKENBROKER_TOKEN=%s", t->name);
	env[2] = xasprintf("TOKENBROKER_GENERATION=%" PRId64, t->generation);
	env[3] = xasprintf("TOKENBROKER_EXPIRES_AT=%s", expires_at ?
	    timefmt_rfc3339(expires_at, when, sizeof(when)) : "");
	env[4] = xasprintf("TOKENBROKER_FILE=%s", file);
	env[5] = NULL;
	const struct child c = { .argv = argv, .fd = fd,
		.env = (const char *const *)env,
		.limit_ms = w->conf->exec_limit_ms, .stop = w->stop,
		.mask = w->mask,
		.tick = sysd_watchdog_ms() ? ping_watchdog : NULL };
	r = child_run(&c, err);
	for (i = 0; env[i]; i++)
		free(env[i]);
	return r;
}

static int
run_with_content(struct watch *w, const struct words *command,
    const char *event, const struct secret *content, struct tb_error *err)
{
	_cleanup_close_ int fd = child_memfd("tokenbroker", content, err);
	char path[40];

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return run(w, (const char *const *)command->v, event, path, fd, err);
}

static int
signal_process(const struct watch_conf *conf, struct tb_error *err)
{
	_cleanup_free_ char *text = NULL;
	char *end;
	long pid;

	if (fs_read_text(conf->pid_file, PID_CAP, &text, err) < 0)
		return -1;
	pid = strtol(text, &end, 10);
	if (pid <= 1 || pid > INT32_MAX || end[strspn(end, " \n")])
		return tb_error_set(err, TB_E_IO, "%.200s holds no process "
		    "number", conf->pid_file);
	if (kill((pid_t)pid, conf->pid_signal) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot signal "
		    "process %ld of %.200s", pid, conf->pid_file);
	return 0;
}

static int
tell_unit(struct watch *w, struct tb_error *err)
{
	const struct watch_conf *conf = w->conf;
	const char *file = conf->sink.path ? conf->sink.path : "";
	const char *const reload[] = { "systemctl", "--no-ask-password",
		"try-reload-or-restart", "--", conf->reload_unit, NULL };
	const char *const send[] = { "systemctl", "--no-ask-password", "kill",
		"--kill-who=main", "-s", conf->signal_name, "--",
		conf->signal_unit, NULL };

	if (conf->reload_unit && run(w, reload, "changed", file, -1, err) < 0)
		return tb_error_wrap(err, "cannot reload %.120s",
		    conf->reload_unit);
	if (conf->signal_unit && run(w, send, "changed", file, -1, err) < 0)
		return tb_error_wrap(err, "cannot signal %.120s",
		    conf->signal_unit);
	return 0;
}

static int
tell(struct watch *w, const struct secret *content, struct tb_error *err)
{
	const struct watch_conf *conf = w->conf;

	if (conf->exec.n && !conf->sink.path &&
	    run_with_content(w, &conf->exec, "changed", content, err) < 0)
		return -1;
	if (conf->exec.n && conf->sink.path && run(w,
	    (const char *const *)conf->exec.v, "changed", conf->sink.path, -1,
	    err) < 0)
		return -1;
	if (tell_unit(w, err) < 0)
		return -1;
	return conf->pid_file ? signal_process(conf, err) : 0;
}

/* ------------------------------------------------------------------ content */

static int
make_content(const struct watch *w, struct secret *out, struct tb_error *err)
{
	struct tmpl_value values[TMPL_TOKENS_MAX + 1];
	const struct tmpl_source source = { .own = w->conf->own,
		.values = values, .n_values = w->n_tokens,
		.vars = w->conf->vars, .n_vars = w->conf->n_vars };
	size_t i;

	if (!w->conf->tmpl) {
		secret_dup(out, &first_token(w)->value);
		return 0;
	}
	for (i = 0; i < w->n_tokens; i++)
		values[i] = (struct tmpl_value){ w->tokens[i].name,
			&w->tokens[i].value, w->tokens[i].expires_at,
			w->tokens[i].generation };
	return tmpl_render(w->conf->tmpl, &source, out, err);
}

static int
put(struct watch *w, const struct secret *content, struct tb_error *err)
{
	const struct watch_conf *conf = w->conf;
	int64_t expires_at, left = earliest_end(w, &expires_at) -
	    now_boot_ms();

	if (conf->canary.n && run_with_content(w, &conf->canary, "canary",
	    content, err) < 0)
		return tb_error_wrap(err, "the canary refuses generation %"
		    PRId64 ", %s", first_token(w)->generation, w->delivered ?
		    "so the one before stays" : "so nothing is delivered");
	/* the file last: where a keyring is full or forbidden, nothing has changed
	 * that the consumer would have to be told */
	if (conf->keyring.key &&
	    keyring_put(&conf->keyring, content, left / 1000, err) < 0)
		return -1;
	return conf->sink.path ? sink_write(&conf->sink, content, err) : 0;
}

static void
failed(struct watch *w, const struct tb_error *err)
{
	int64_t ms = backoff_next(&w->backoff, 0);
	char in[TIMEFMT_SIZE];

	w->due_ms = now_boot_ms() + ms;
	if (w->conf->once) {
		ctl_complain(w->ctl, "%s", err->msg);
		w->ends = true;
		w->exit = CTL_FAILED;
		return;
	}
	ctl_complain(w->ctl, "%s; trying again in %s", err->msg,
	    timefmt_duration((ms + 999) / 1000 * 1000, in, sizeof(in)));
	watch_status(w);
}

static void
is_delivered(struct watch *w)
{
	int64_t expires_at;

	w->delivered = true;
	w->delivered_ends_ms = earliest_end(w, &expires_at);
	w->removed = false;
	w->removing = NULL;
	w->due = WATCH_TELL;
	backoff_reset(&w->backoff);
	watch_status(w);
	if (!w->was_ready)
		sysd_notify("READY=1");
	w->was_ready = true;
}

void
watch_deliver(struct watch *w)
{
	struct secret content _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (make_content(w, &content, &err) < 0 ||
	    (w->due == WATCH_WRITE && put(w, &content, &err) < 0)) {
		failed(w, &err);
		return;
	}
	if (w->due == WATCH_WRITE)
		is_delivered(w);
	if (tell(w, &content, &err) < 0) {
		failed(w, &err);
		return;
	}
	w->due = WATCH_NOTHING;
	backoff_reset(&w->backoff);
	watch_status(w);
	if (w->conf->once)
		w->ends = true;
}

/* -------------------------------------------------------------- the end */

/* 0: nothing is there any more. Both are tried, whatever becomes of one. */
static int
take_away(const struct watch_conf *conf, struct tb_error *err)
{
	struct tb_error other = TB_ERROR_INIT;
	int r = 0;

	if (conf->sink.path)
		r = sink_remove(&conf->sink, err);
	if (conf->keyring.key &&
	    keyring_remove(&conf->keyring, r < 0 ? &other : err) < 0)
		r = -1;
	return r;
}

void
watch_remove_again(struct watch *w)
{
	const struct watch_conf *conf = w->conf;
	struct tb_error err = TB_ERROR_INIT;
	char in[TIMEFMT_SIZE];
	int64_t ms;

	if (take_away(conf, &err) < 0 && w->ends) {
		ctl_complain(w->ctl, "%s: what was delivered is still there: "
		    "%s", w->removing, err.msg);
		w->exit = w->exit == CTL_OK ? CTL_FAILED : w->exit;
		return;
	}
	if (err.code) {
		ms = backoff_next(&w->remove_backoff, 0);
		w->remove_ms = now_boot_ms() + ms;
		ctl_complain(w->ctl, "%s: what was delivered is still there: "
		    "%s; trying again in %s", w->removing, err.msg,
		    timefmt_duration((ms + 999) / 1000 * 1000, in,
		    sizeof(in)));
		watch_status(w);
		return;
	}
	backoff_reset(&w->remove_backoff);
	if (w->to_tell)
		ctl_complain(w->ctl, "%s: what was delivered is removed",
		    w->removing);
	w->removing = NULL;
	watch_status(w);
	if (!w->to_tell)
		return;
	err = (struct tb_error)TB_ERROR_INIT;
	if (conf->exec.n && run(w, (const char *const *)conf->exec.v,
	    "removed", conf->sink.path ? conf->sink.path : "", -1, &err) < 0)
		ctl_complain(w->ctl, "%s", err.msg);
}

void
watch_remove(struct watch *w, const char *why)
{
	if (w->removed) {
		w->delivered = false;
		return;
	}
	w->to_tell = w->delivered;
	w->delivered = false;
	w->removed = true;
	w->removing = why;
	watch_remove_again(w);
}
