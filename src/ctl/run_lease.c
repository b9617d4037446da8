/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_lease - see the header. The command is in our process group: what a
 * terminal sends it gets by itself, and what somebody sends us is passed on.
 * While it runs nothing here blocks: a lease whose connection a restart of the
 * daemon has ended is asked for again by its number, and the answer is one of
 * the things that are waited for.
 */
#include "ctl/run_lease.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/now.h"
#include "base/tb_error.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 2000
#define ANSWER_MS 10000 /* for the rest of an answer that has begun */

/* What somebody may want to say to the command. (We stop when it has.) */
static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
	SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP };

/* ------------------------------------------------------------ one lease */

void
run_lease_init(struct run_lease *l, const char *run_dir, const char *pair,
    const char *token)
{
	ctl_init(&l->ctl, run_dir);
	l->ctl.command = pair;
	l->token = token;
	l->value_fd = -1;
}

void
run_lease_clear(struct run_lease *l)
{
	if (!l->token)
		return;
	ctl_clear(&l->ctl);
	l->token = NULL;
}

/* Answers that are not 2xx are in refused. -1: err. */
static int
call(struct run_lease *l, const struct client_request *q, struct reply *r,
    struct problem *refused, struct tb_error *err)
{
	if (client_call(&l->ctl.api, q, r, err) < 0)
		return -1;
	if (r->status >= 300)
		problem_from_reply(refused, r);
	return 0;
}

static unsigned
number_of(const struct reply *r)
{
	struct tb_error ignored = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = jval_parse(&r->body, &ignored);

	return (unsigned)jval_int(o, "lease", 0);
}

/* A new lease, unless there is one, and its value. */
static int
take_once(struct run_lease *l, const struct run_lease_how *how,
    struct secret *out, struct problem *refused, struct tb_error *err)
{
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	char *path _cleanup_free_ = ask_path("tokens/", l->token, "/lease");
	char *value _cleanup_free_ = ask_lease_path(l->token,
	    how->min_valid_ms);
	const struct client_request take = { .method = "POST", .path = path,
		.timeout_ms = ASK_TIMEOUT_MS };
	const struct client_request get = { .method = "GET", .path = value,
		.accept = "text/plain", .fields = how->fields,
		.timeout_ms = ASK_TIMEOUT_MS };

	/* one that was refused leaves the connection open, and without a lease */
	if (l->ctl.api.fd < 0 || !l->ctl.api.sticky) {
		l->ctl.api.sticky = false;
		if (call(l, &take, &r, refused, err) < 0)
			return -1;
		if (refused->code)
			return 0;
		l->number = number_of(&r);
		if (l->number == 0)
			return tb_error_set(err, TB_E_PROTO, "the daemon sent "
			    "what is no lease");
		l->ctl.api.sticky = true;
	}
	if (call(l, &get, &r, refused, err) < 0 || refused->code)
		return err->code ? -1 : 0;
	if (!secret_is_token(&r.body))
		return tb_error_set(err, TB_E_PROTO, "the daemon sent what is "
		    "no token");
	secret_move(out, &r.body);
	client_wipe(&l->ctl.api); /* it is kept for as long as the run */
	l->state = RUN_LEASE_HELD;
	return 0;
}

bool
run_lease_take(struct run_lease *l, const struct run_lease_how *how,
    struct secret *value)
{
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct patience p = patience_of(how->patience_ms, how->waits);
	struct tb_error err;

	do {
		err = (struct tb_error)TB_ERROR_INIT;
		problem_clear(&refused);
		if (take_once(l, how, value, &refused,
			&err) == 0 && !refused.code)
			return true;
	} while (patience_goes_on(&l->ctl, &p, &l->ctl.api, &err, &refused));
	if (err.code)
		ctl_fail(&l->ctl, &err);
	else
		ctl_fail_problem(&l->ctl, &refused, ASK_API);
	return false;
}

static void
lease_is_lost(struct run_lease *l, int64_t now)
{
	client_close(&l->ctl.api);
	if (l->state == RUN_LEASE_HELD)
		l->pause_ms = RETRY_FIRST_MS;
	l->state = RUN_LEASE_LOST;
	l->retry_ms = now + l->pause_ms;
	l->pause_ms = MIN2(2 * l->pause_ms, RETRY_MAX_MS);
}

static void
lease_is_over(struct run_lease *l, const char *why)
{
	ctl_complain(&l->ctl, "%s; the command goes on with a value that is "
	    "revoked, or will be", why);
	client_close(&l->ctl.api);
	l->state = RUN_LEASE_OVER;
}

/* The request to have it back. */
static void
lease_ask(struct run_lease *l, int64_t now)
{
	char query[32];
	char *path _cleanup_free_ = NULL;
	struct client_request q = { .method = "POST" };
	struct tb_error err = TB_ERROR_INIT;

	snprintf(query, sizeof(query), "/lease?resume=%u", l->number);
	path = ask_path("tokens/", l->token, query);
	q.path = path;
	l->ctl.api.sticky = false;
	if (client_start(&l->ctl.api, &q, &err) < 0)
		lease_is_lost(l, now);
	else
		l->state = RUN_LEASE_ASKED;
}

static void
lease_answered(struct run_lease *l, int64_t now)
{
	const struct client_request q = { .timeout_ms = ANSWER_MS };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (client_finish(&l->ctl.api, &q, &r, &err) < 0) {
		lease_is_lost(l, now);
	} else if (r.status < 300) {
		l->state = RUN_LEASE_HELD;
	} else {
		problem_from_reply(&refused, &r);
		if (problem_is_passing(&refused))
			lease_is_lost(l, now);
		else
			lease_is_over(l, refused.detail);
	}
}

/* Its connection can be read. */
static void
lease_on_readable(struct run_lease *l, int64_t now)
{
	if (l->state == RUN_LEASE_ASKED)
		lease_answered(l, now);
	else /* nobody was asked: an end of file */
		lease_is_lost(l, now);
}

/* ------------------------------------------------------------- the end */

/* How it went with one of them. */
static void
tell_end(struct run_lease *l, const struct reply *r)
{
	struct tb_error ignored = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = jval_parse(&r->body, &ignored);
	const char *why = jval_str(o, "last_error");

	if (r->status == 200 && jval_int(o, "failed", 0) == 0)
		return;
	ctl_note(&l->ctl, "not revoked yet%s%s; the daemon goes on trying: "
	    "see 'tokenbrokerctl status'", why ? ": " : "", why ? why : "");
}

/* All at once, then one by one. */
static void
end_all(struct run_lease *leases, size_t n)
{
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct client_request q = { .method = "DELETE",
		.timeout_ms = ASK_TIMEOUT_MS + ANSWER_MS };
	struct tb_error err;

	for (size_t i = 0; i < n; i++) {
		struct run_lease *l = &leases[i];
		char *path _cleanup_free_ = ask_path("tokens/", l->token,
		    "/lease");

		q.path = path;
		err = (struct tb_error)TB_ERROR_INIT;
		if (l->state == RUN_LEASE_HELD &&
		    client_start(&l->ctl.api, &q, &err) < 0)
			l->state = RUN_LEASE_LOST;
	}
	for (size_t i = 0; i < n; i++) {
		struct run_lease *l = &leases[i];

		err = (struct tb_error)TB_ERROR_INIT;
		if (l->state == RUN_LEASE_HELD &&
		    client_finish(&l->ctl.api, &q, &r, &err) == 0)
			tell_end(l, &r);
		else if (l->state != RUN_LEASE_OVER)
			ctl_note(&l->ctl, "tokenbrokerd is away; it revokes "
			    "the value within two minutes of its start");
	}
}

/* --------------------------------------------------------- the command */

static void
fill_mask(sigset_t *mask)
{
	sigemptyset(mask);
	sigaddset(mask, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
		sigaddset(mask, passed_on[i]);
}

pid_t
run_fork(struct ctl *ctl, int *signals)
{
	sigset_t mask, was;
	pid_t pid = -1;

	fill_mask(&mask);
	*signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*signals >= 0) {
		sigprocmask(SIG_BLOCK, &mask, &was);
		fflush(NULL);
		pid = fork();
		if (pid <= 0)
			sigprocmask(SIG_SETMASK, &was, NULL);
	}
	if (pid >= 0)
		return pid;
	ctl_complain(ctl, "cannot start another process: %s", strerror(errno));
	if (*signals >= 0)
		close(*signals);
	return -1;
}

/* What a terminal sends has gone to the whole group, the command as well. child
 * 0: it is over, and what was for it goes nowhere. */
static void
pass_on(int fd, pid_t child)
{
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == sizeof(si)) {
		if (child && si.ssi_signo != SIGCHLD &&
		    si.ssi_code != SI_KERNEL)
			kill(child, (int)si.ssi_signo);
	}
}

/* True: it is over, and *status says how. When it is stopped, so are we, that
 * the shell sees it; whoever lets us go on lets it go on. */
static bool
look_at(pid_t child, int *status)
{
	pid_t r;

	for (;;) {
		r = waitpid(child, status, WNOHANG | WUNTRACED);
		if (r < 0 && errno == EINTR)
			continue;
		if (r != child)
			return false;
		if (!WIFSTOPPED(*status))
			return true;
		raise(SIGSTOP);
		kill(child, SIGCONT);
	}
}

/* How long there is nothing to do but wait; -1: no end. */
static int
wait_ms(const struct run_lease *leases, size_t n, int64_t now)
{
	int64_t ms = -1;

	for (size_t i = 0; i < n; i++) {
		int64_t left = MAX2(leases[i].retry_ms - now, 0);

		if (leases[i].state == RUN_LEASE_LOST)
			ms = ms < 0 ? left : MIN2(ms, left);
	}
	return (int)ms;
}

static void
wait_once(int signals, struct run_lease *leases, size_t n, struct pollfd *p)
{
	int64_t now = now_boot_ms();

	p[n] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = leases[i].ctl.api.fd,
			.events = POLLIN };
	(void)poll(p, n + 1, wait_ms(leases, n, now));
	now = now_boot_ms();
	for (size_t i = 0; i < n; i++) {
		if (p[i].revents)
			lease_on_readable(&leases[i], now);
		else if (leases[i].state == RUN_LEASE_LOST &&
		    leases[i].retry_ms <= now)
			lease_ask(&leases[i], now);
	}
}

/* As it ended, so do we. */
static enum ctl_exit
end_as(int status)
{
	const struct rlimit none = { 0, 0 };

	if (!WIFSIGNALED(status))
		return (enum ctl_exit)WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none); /* one is enough */
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return (enum ctl_exit)(128 + WTERMSIG(status));
}

enum ctl_exit
run_stand_by(pid_t child, int signals, struct run_lease *leases, size_t n)
{
	struct pollfd *p _cleanup_free_ = xcalloc(n + 1, sizeof(*p));
	int status = 0;
	sigset_t mask;

	while (!look_at(child, &status)) {
		wait_once(signals, leases, n, p);
		pass_on(signals, child);
	}
	/* who loses patience with the daemon now may end us: it revokes what is
	 * left when the connections are gone */
	pass_on(signals, 0);
	close(signals);
	fill_mask(&mask);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	end_all(leases, n);
	return end_as(status);
}
