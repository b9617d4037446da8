/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - see the header. The parent only accepts, reaps and wipes; it never
 * sees a byte of a question. When all workers are busy it accepts nobody: who
 * waits does so in the socket's queue, whose length systemd or listen(2)
 * bounds, and is told "again later" by the kernel when that is full. To accept
 * and refuse would cost certainty: a question that was taken may have been
 * begun.
 */
#include "influxctl/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/now.h"
#include "base/sysd.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "influxctl/helper.h"
#include "influxctl/home.h"
#include "influxctl/worker.h"

#define WORKERS_MAX 8
#define BACKLOG 16
/* A stop lets what runs end by itself for so long: a run that is killed is a
 * mint whose outcome the daemon has to look for. */
#define STOP_MS 15000
#define SAID_MS 60000

struct server {
	const struct helper *h;
	int fd, signals;
	pid_t workers[WORKERS_MAX]; /* 0: free */
	size_t n_workers;
	int64_t stop_at; /* 0: not stopping */
	int64_t said_ms; /* when the log heard of a stranger */
};

/* ------------------------------------------------------------------ listen */

/* Removes a socket that nobody serves. */
static int
remove_stale(const char *path, const struct sockaddr_un *sun,
    struct tb_error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : tb_error_errno(err, TB_E_IO,
		    errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return tb_error_set(err, TB_E_IO,
		    "%s exists and is not a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno != ECONNREFUSED)
		return tb_error_set(err, TB_E_IO, "%s is in use: does another "
		    "tokenbroker-influxctl run?", path);
	if (unlink(path) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	return 0;
}

/* The asker's alone where we may give it away. Where not, everybody may
 * connect, and is refused by uid. */
static int
give_away(const struct helper *h, struct tb_error *err)
{
	if (h->asker == geteuid())
		return 0;
	if (chown(h->socket_path, h->asker, (gid_t)-1) == 0)
		return 0;
	if (errno != EPERM || chmod(h->socket_path, 0666) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s",
		    h->socket_path);
	return 0;
}

static int
listen_there(const struct helper *h, struct tb_error *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t old;
	int r;

	if (strlen(h->socket_path) >= sizeof(sun.sun_path))
		return tb_error_set(err, TB_E_CONFIG, "%s is too long for a "
		    "socket", h->socket_path);
	memcpy(sun.sun_path, h->socket_path, strlen(h->socket_path) + 1);
	if (remove_stale(h->socket_path, &sun, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	old = umask(0177);
	r = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	if (r < 0 || listen(fd, BACKLOG) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot listen on %s", h->socket_path);
	if (give_away(h, err) < 0)
		return -1;
	r = fd;
	fd = -1;
	return r;
}

int
server_listen(const struct helper *h, struct tb_error *err)
{
	struct sysd_fd *fds = NULL;
	size_t n = sysd_listen_fds(&fds);
	int fd = -1;

	if (n == 1 && fcntl(fds[0].fd, F_SETFL, O_NONBLOCK) == 0) {
		fd = fds[0].fd;
		fds[0].fd = -1;
	}
	sysd_fds_free(fds, n);
	if (n == 1 && fd >= 0)
		return fd;
	if (n)
		return tb_error_set(err, TB_E_CONFIG, "systemd gave %zu "
		    "sockets, and one is wanted", n);
	return listen_there(h, err);
}

/* ----------------------------------------------------------------- workers */

static bool
may_ask(struct server *s, int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	    cred.uid == s->h->asker)
		return true;
	if (!s->said_ms || now_boot_ms() - s->said_ms > SAID_MS) {
		s->said_ms = now_boot_ms();
		log_warn("influxctl", "uid %u may not ask here: only uid %u "
		    "may (--user)", (unsigned)cred.uid,
		    (unsigned)s->h->asker);
	}
	return false;
}

static void
work(const struct server *s, int fd, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(s->fd);
	close(s->signals);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	_exit(worker_serve(s->h, fd));
}

static void
accept_one(struct server *s)
{
	_cleanup_close_ int fd = accept4(s->fd, NULL, NULL,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);
	pid_t self = getpid(), pid;
	size_t slot = 0;

	if (fd < 0 || !may_ask(s, fd))
		return;
	while (s->workers[slot])
		slot++;
	pid = fork();
	if (pid == 0)
		work(s, fd, self);
	if (pid < 0) {
		log_warn("influxctl", "fork: %s", strerror(errno));
		return;
	}
	s->workers[slot] = pid;
	s->n_workers++;
}

static void
reap(struct server *s)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		char *home _cleanup_free_ = home_fresh_path(s->h, pid);

		for (size_t i = 0; i < WORKERS_MAX; i++) {
			if (s->workers[i] != pid)
				continue;
			s->workers[i] = 0;
			s->n_workers--;
		}
		if (WIFSIGNALED(status))
			log_warn("influxctl", "a worker was killed by signal "
			    "%d", WTERMSIG(status));
		if (access(home, F_OK) == 0)
			home_wipe(home);
	}
}

static void
kill_workers(const struct server *s)
{
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (s->workers[i])
			kill(s->workers[i], SIGKILL);
	}
}

/* -------------------------------------------------------------------- loop */

static void
on_signals(struct server *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD || s->stop_at)
			continue;
		s->stop_at = now_boot_ms() + STOP_MS;
		sysd_notify("STOPPING=1");
		log_info("influxctl", "stopping; %zu runs to be waited for",
		    s->n_workers);
	}
	reap(s);
}

static void
turn(struct server *s)
{
	bool full = s->n_workers == WORKERS_MAX || s->stop_at;
	struct pollfd fds[] = {
		{ s->signals, POLLIN, 0 },
		{ full ? -1 : s->fd, POLLIN, 0 },
	};

	if (poll(fds, ARRAY_SIZE(fds), s->stop_at ? 100 : -1) < 0)
		return;
	if (fds[0].revents)
		on_signals(s);
	if (fds[1].revents && !s->stop_at && s->n_workers < WORKERS_MAX)
		accept_one(s);
	if (s->stop_at && now_boot_ms() > s->stop_at)
		kill_workers(s);
}

int
server_run(const struct helper *h, int fd, struct tb_error *err)
{
	struct server s = { .h = h, .fd = fd };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    (s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "signalfd");
	home_wipe_leftovers(h);
	sysd_notify("READY=1");
	while (!s.stop_at || s.n_workers)
		turn(&s);
	close(s.signals);
	return 0;
}
