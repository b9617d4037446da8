/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - see the header. One loop: ask whoever is due, see whether something
 * is over, deliver what is due, wait. All times are on CLOCK_BOOTTIME, so a
 * clock that is set moves nothing, and a suspended host finds at once what
 * ended meanwhile.
 */
#include "ctl/watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/now.h"
#include "base/sysd.h"
#include "base/tb_error.h"
#include "ctl/watch_int.h"

#define DUE_BASE_MS 5000  /* a canary or a command that failed */
#define DUE_CAP_MS 600000
#define REMOVE_BASE_MS 1000
#define REMOVE_CAP_MS 300000
#define LOOK_MS 5000
#define TURN_MS 60000

static volatile sig_atomic_t got_stop, got_hangup;

static void
on_signal(int sig)
{
	if (sig == SIGHUP)
		got_hangup = 1;
	else
		got_stop = 1;
}

/* They come while we wait, and at no other time. */
static void
catch_signals(sigset_t *while_waiting)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal };
	sigset_t ours;
	size_t i;

	sigemptyset(&ours);
	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		sigaction(signals[i], &act, NULL);
		sigaddset(&ours, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &ours, while_waiting);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigdelset(while_waiting, signals[i]);
}

void
watch_conf_clear(struct watch_conf *conf)
{
	tmpl_free(conf->tmpl);
	words_clear(&conf->canary);
	words_clear(&conf->exec);
	free(conf->signal_unit);
	free(conf->signal_name);
	free(conf->pid_file);
}

/* Each value has a name, in the template or in front of it. */
static int
check_names(const struct watch_conf *conf, const struct tmpl *t,
    struct tb_error *err)
{
	if (conf->own)
		return 0;
	for (size_t i = 0; i < tmpl_n_tokens(t); i++)
		if (!*tmpl_token(t, i))
			return tb_error_set(err, TB_E_BADREQ, "%.200s has "
			    "{{token}} without a name: say which, as in "
			    "tokenbrokerctl watch NAME ...", conf->tmpl_file);
	return tmpl_n_tokens(t) > 0 ? 0 : tb_error_set(err, TB_E_BADREQ,
	    "%.200s names no token", conf->tmpl_file);
}

int
watch_read_template(struct watch_conf *conf, struct tb_error *err)
{
	_cleanup_free_ char *text = NULL;
	struct tmpl *t;

	if (fs_read_text(conf->tmpl_file, TMPL_CAP, &text, err) < 0)
		return -1;
	t = tmpl_parse(conf->tmpl_file, text, err);
	if (!t)
		return -1;
	if (check_names(conf, t, err) < 0 ||
	    tmpl_check_vars(t, conf->vars, conf->n_vars, err) < 0) {
		tmpl_free(t);
		return -1;
	}
	tmpl_free(conf->tmpl);
	conf->tmpl = t;
	return 0;
}

/* ------------------------------------------------------------------- tokens */

static void
add_token(struct watch *w, const char *name)
{
	struct watch_token *t;

	for (t = w->tokens; t < w->tokens + w->n_tokens; t++)
		if (streq(t->name, name))
			return;
	watch_token_init(w, &w->tokens[w->n_tokens++], name);
}

/* The one that was named, and those of the template. */
static void
add_tokens(struct watch *w)
{
	const struct watch_conf *conf = w->conf;
	size_t i;

	if (conf->own)
		add_token(w, conf->own);
	for (i = 0; conf->tmpl && i < tmpl_n_tokens(conf->tmpl); i++)
		if (*tmpl_token(conf->tmpl, i))
			add_token(w, tmpl_token(conf->tmpl, i));
}

static void
remove_tokens(struct watch *w)
{
	while (w->n_tokens)
		watch_token_clear(&w->tokens[--w->n_tokens]);
}

static bool
has_all(const struct watch *w)
{
	const struct watch_token *t;

	for (t = w->tokens; t < w->tokens + w->n_tokens; t++)
		if (secret_is_empty(&t->value))
			return false;
	return true;
}

/* What has ended, or was refused for too long: of the tokens, and of what is
 * there while they are others already. */
static void
judge_ends(struct watch *w, int64_t now)
{
	struct watch_token *t;

	for (t = w->tokens; t < w->tokens + w->n_tokens; t++) {
		if (t->refused_ms &&
		    now - t->refused_ms >= w->conf->grace_ms) {
			watch_token_forget(t);
			watch_remove(w, "refused");
		} else if (t->ends_ms && now >= t->ends_ms) {
			watch_token_forget(t);
			watch_remove(w, "expired");
		}
	}
	if (w->delivered && now >= w->delivered_ends_ms)
		watch_remove(w, "expired");
	if (w->removing && now >= w->remove_ms)
		watch_remove_again(w);
}

/* Who cleans up, or starts a unit again whose RuntimeDirectory= it was, takes
 * away what the consumer needs until there is a newer value. */
static void
look_after_file(struct watch *w, int64_t now)
{
	const char *path = w->conf->sink.path;
	struct stat st;

	if (!path || !w->delivered || w->due != WATCH_NOTHING ||
	    now < w->look_ms)
		return;
	w->look_ms = now + LOOK_MS;
	if (lstat(path, &st) == 0 || errno != ENOENT)
		return;
	ctl_note(w->ctl, "%s is gone; it is written again", path);
	w->due = WATCH_WRITE;
	w->due_ms = 0;
}

/* ---------------------------------------------------------------- the loop */

static int64_t
next_time(const struct watch *w, int64_t now)
{
	int64_t watchdog = sysd_watchdog_ms();
	int64_t next = now + (watchdog ? MIN2(watchdog, TURN_MS) : TURN_MS);
	const struct watch_token *t;

	for (t = w->tokens; t < w->tokens + w->n_tokens; t++) {
		next = MIN2(next, t->asking ? t->deadline_ms : t->next_ms);
		if (t->ends_ms)
			next = MIN2(next, t->ends_ms);
		if (t->refused_ms && !w->removed)
			next = MIN2(next, t->refused_ms + w->conf->grace_ms);
	}
	if (w->delivered)
		next = MIN2(next, w->delivered_ends_ms);
	if (w->delivered && w->due == WATCH_NOTHING && w->conf->sink.path)
		next = MIN2(next, w->look_ms);
	if (w->removing)
		next = MIN2(next, w->remove_ms);
	if (w->due != WATCH_NOTHING && has_all(w))
		next = MIN2(next, w->due_ms);
	return MAX2(next - now, 0);
}

static void
wait_for_something(struct watch *w)
{
	struct pollfd p[TMPL_TOKENS_MAX + 1];
	int64_t ms = next_time(w, now_boot_ms());
	struct timespec t = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };
	size_t i;

	for (i = 0; i < w->n_tokens; i++)
		p[i] = (struct pollfd){ .events = POLLIN,
			.fd = w->tokens[i].asking ? w->tokens[i].client.fd :
			-1 };
	if (ppoll(p, w->n_tokens, &t, w->mask) <= 0)
		return;
	for (i = 0; i < w->n_tokens; i++)
		if (p[i].revents)
			watch_take_answer(w, &w->tokens[i]);
}

static void
turn(struct watch *w)
{
	int64_t now = now_boot_ms();
	struct watch_token *t;

	for (t = w->tokens; t < w->tokens + w->n_tokens && !w->ends; t++) {
		if (!t->asking && now >= t->next_ms)
			watch_ask(w, t, now);
		else if (t->asking && now >= t->deadline_ms)
			watch_no_answer(w, t);
	}
	judge_ends(w, now_boot_ms());
	look_after_file(w, now_boot_ms());
	if (w->due != WATCH_NOTHING && has_all(w) &&
	    now_boot_ms() >= w->due_ms)
		watch_deliver(w);
	if (sysd_watchdog_ms())
		sysd_notify("WATCHDOG=1");
}

/* SIGHUP: the template is read again, and everything is written again. */
static void
hang_up(struct watch *w)
{
	struct tb_error err = TB_ERROR_INIT;

	got_hangup = 0;
	if (w->conf->tmpl_file && watch_read_template(w->conf, &err) < 0) {
		ctl_complain(w->ctl, "%s; the template stays as it was",
		    err.msg);
		return;
	}
	if (w->conf->tmpl_file) {
		remove_tokens(w);
		add_tokens(w);
	}
	w->due = WATCH_WRITE;
	w->due_ms = 0;
}

/* What cannot work is told at once, not when the value is there. */
static enum ctl_exit
check(const struct watch *w)
{
	struct tb_error err = TB_ERROR_INIT;

	return w->conf->sink.path && sink_check(&w->conf->sink, &err) < 0 ?
	    ctl_fail(w->ctl, &err) : CTL_OK;
}

enum ctl_exit
watch_run(struct ctl *ctl, struct watch_conf *conf)
{
	sigset_t mask;
	struct watch w = { .ctl = ctl, .conf = conf, .stop = &got_stop,
		.mask = &mask,
		.backoff = BACKOFF_INIT(DUE_BASE_MS, DUE_CAP_MS),
		.remove_backoff = BACKOFF_INIT(REMOVE_BASE_MS,
		    REMOVE_CAP_MS) };
	enum ctl_exit e = check(&w);

	if (e != CTL_OK)
		return e;
	catch_signals(&mask);
	add_tokens(&w);
	while (!got_stop && !w.ends) {
		if (got_hangup)
			hang_up(&w);
		turn(&w);
		if (!w.ends && !got_stop)
			wait_for_something(&w);
	}
	if (w.ends && w.exit == CTL_DENIED)
		watch_remove(&w, "refused");
	sysd_notify("STOPPING=1");
	if (got_stop && conf->remove_on_exit) {
		got_stop = 0; /* the command may still run */
		w.ends = true;
		watch_remove(&w, "stopped");
	}
	remove_tokens(&w);
	return w.exit;
}
