/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - see the header. The program gets a session of its own, so that it has
 * no terminal and its group can be killed as a whole. What leaves the group is
 * found as our child, since we are the subreaper (worker.c sees to that); all
 * of it dies with us (PR_SET_PDEATHSIG).
 *
 * That the program ended is looked for before its group is killed and it is
 * waited for only then: until then nobody else can get its number.
 */
#include "influxctl/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "base/util.h"

#define TICK_MS 50
/* From SIGTERM to SIGKILL. */
#define TERM_MS 2000
/* For what is still in the pipes when the program has ended: somebody else may
 * hold their other end for ever. */
#define DRAIN_MS 500
#define ERR_CAP ((size_t)8 << 10)
#define CHUNK 16384

enum { OUT, ERR, N_PIPES };

struct running {
	struct run *r;
	pid_t pid;
	int pipe[N_PIPES]; /* -1: at its end */
	int64_t deadline, kill_at, drain_until; /* 0: not set */
	bool ended;
};

void
run_clear(struct run *r)
{
	secret_clear(&r->out);
	secret_clear(&r->err);
}

/* ------------------------------------------------------------------ start */

/* In the child: becomes the program, or says by `report` why not. */
static void
become(const struct run *r, pid_t parent, int out, int err, int report)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	int e, null;

	sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDONLY);
	umask(0077);
	if (null >= 0 && setsid() >= 0 &&
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
	    dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2 &&
	    chdir(r->dir) == 0) {
		if (null > 2)
			close(null);
		execve(r->program, r->argv, r->envp);
	}
	e = errno;
	if (write(report, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

/* Three pipes: the two outputs, and what execve(2) said. */
static int
make_pipes(int fds[3][2], struct tb_error *err)
{
	for (int i = 0; i < 3; i++) {
		if (pipe2(fds[i], O_CLOEXEC) == 0)
			continue;
		tb_error_errno(err, TB_E_IO, errno, "pipe");
		while (i-- > 0) {
			close(fds[i][0]);
			close(fds[i][1]);
		}
		return -1;
	}
	return 0;
}

static int
start(struct running *p, struct tb_error *err)
{
	pid_t self = getpid();
	int fds[3][2], e = 0;
	ssize_t n;

	if (make_pipes(fds, err) < 0)
		return -1;
	p->pid = fork();
	if (p->pid == 0)
		become(p->r, self, fds[0][1], fds[1][1], fds[2][1]);
	for (int i = 0; i < 3; i++)
		close(fds[i][1]);
	p->pipe[OUT] = fds[0][0];
	p->pipe[ERR] = fds[1][0];
	do
		n = p->pid < 0 ? -1 : read(fds[2][0], &e, sizeof(e));
	while (n < 0 && p->pid > 0 && errno == EINTR);
	close(fds[2][0]);
	if (p->pid > 0 && n == 0)
		return 0;
	if (p->pid > 0)
		waitpid(p->pid, NULL, 0);
	close(p->pipe[OUT]);
	close(p->pipe[ERR]);
	return tb_error_errno(err, TB_E_IO, p->pid < 0 ? errno : e,
	    "%s cannot be started", p->r->program);
}

/* ---------------------------------------------------------------- outputs */

static void
take(struct running *p, int which)
{
	struct secret chunk _cleanup_(secret_clear) = SECRET_INIT;
	struct secret *to = which == OUT ? &p->r->out : &p->r->err;
	size_t cap = which == OUT ? RUN_OUT_CAP : ERR_CAP, room;
	unsigned char *bytes = secret_alloc(&chunk, CHUNK);
	ssize_t n = read(p->pipe[which], bytes, CHUNK);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(p->pipe[which]);
		p->pipe[which] = -1;
		return;
	}
	room = cap - to->len;
	secret_append(to, bytes, MIN2((size_t)n, room));
	if ((size_t)n > room && which == OUT)
		p->r->too_long = true;
}

static void
wait_for_news(struct running *p)
{
	struct pollfd fds[] = {
		{ p->pipe[OUT], POLLIN, 0 },
		{ p->pipe[ERR], POLLIN, 0 },
		{ p->r->asker, 0, 0 }, /* POLLHUP: closed, not only shut */
	};

	if (poll(fds, ARRAY_SIZE(fds), TICK_MS) <= 0)
		return;
	for (int i = 0; i < N_PIPES; i++) {
		if (fds[i].revents)
			take(p, i);
	}
	if (fds[2].revents & (POLLHUP | POLLERR))
		p->r->abandoned = true;
}

/* ------------------------------------------------------------------- ends */

static void
look_for_end(struct running *p, int64_t now)
{
	siginfo_t si = { 0 };

	if (p->ended || waitid(P_PID, (id_t)p->pid, &si,
	    WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid != p->pid)
		return;
	p->ended = true;
	p->drain_until = now + DRAIN_MS;
	p->r->status = si.si_code == CLD_EXITED ? si.si_status : -1;
	p->r->signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
}

static void
stop_if_late(struct running *p, int64_t now)
{
	if (p->r->too_long || p->r->abandoned) {
		kill(-p->pid, SIGKILL);
	} else if (p->kill_at && now >= p->kill_at) {
		kill(-p->pid, SIGKILL);
	} else if (!p->kill_at && now >= p->deadline && !p->ended) {
		p->r->timed_out = true;
		p->kill_at = now + TERM_MS;
		kill(-p->pid, SIGTERM);
	}
}

/* All of it is over: it has ended and its outputs have, or may as well. */
static bool
is_over(const struct running *p, int64_t now)
{
	return p->ended && ((p->pipe[OUT] < 0 && p->pipe[ERR] < 0) ||
	    now >= p->drain_until);
}

/* Our children by number, for those that left the group. */
static void
kill_strays(void)
{
	for (unsigned round = 0; round < 100; round++) {
		FILE *f _cleanup_(fclosep) = fopen(
		    "/proc/thread-self/children", "re");
		bool any = false;
		int pid;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
		while (f && fscanf(f, "%d", &pid) == 1) {
			any = true;
			kill(pid, SIGKILL);
		}
		if (!any)
			return;
		poll(NULL, 0, 10);
	}
}

int
run_program(struct run *r, struct tb_error *err)
{
	struct running p = { .r = r, .pipe = { -1, -1 } };
	int64_t now = now_boot_ms();

	r->status = -1;
	if (start(&p, err) < 0)
		return -1;
	p.deadline = now + r->timeout_ms;
	for (; !is_over(&p, now); now = now_boot_ms()) {
		stop_if_late(&p, now);
		wait_for_news(&p);
		look_for_end(&p, now_boot_ms());
	}
	kill(-p.pid, SIGKILL);
	waitpid(p.pid, NULL, 0);
	kill_strays();
	for (int i = 0; i < N_PIPES; i++) {
		if (p.pipe[i] >= 0)
			close(p.pipe[i]);
	}
	return 0;
}
