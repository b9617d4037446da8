/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child - see the header. It becomes the leader of a process group, so that
 * what it started ends with it; who puts himself into another group or session
 * has chosen to live on.
 */
#include "ctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/now.h"
#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"

#define TICK_MS 1000
#define GRACE_MS 5000 /* between SIGTERM and SIGKILL */

int
child_memfd(const char *label, const struct secret *bytes,
    struct tb_error *err)
{
	_cleanup_close_ int fd = memfd_create(label, MFD_ALLOW_SEALING |
	    MFD_CLOEXEC);
	size_t done = 0;
	ssize_t n;
	int r;

	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot make a file in memory");
	while (done < bytes->len) {
		n = write(fd, secret_reveal(bytes) + done, bytes->len - done);
		if (n <= 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot write to a file in memory");
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) != 0 || fchmod(fd, 0400) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_WRITE) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot seal a file in memory");
	r = fd;
	fd = -1;
	return r;
}

static void __attribute__((noreturn))
exec_child(const struct child *c)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const char *const *e;
	union { const char *const *in; char *const *out; } args = { c->argv };
	int s;

	setpgid(0, 0);
	for (s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	if (c->mask)
		sigprocmask(SIG_SETMASK, c->mask, NULL);
	for (e = c->env; e && *e; e++) {
		union { const char *in; char *out; } pair = { *e };
		putenv(pair.out);
	}
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    (c->fd >= 0 && fcntl(c->fd, F_SETFD, 0) < 0))
		_exit(126);
	/* systemd's watchdog and readiness are about us */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	execvp(c->argv[0], args.out);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Until it ends, its time is over, or we are to stop. True: it has ended. */
static bool
await(const struct child *c, int pidfd, int64_t limit_ms, bool heeds_stop)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int64_t end = now_boot_ms() + limit_ms, left;
	struct timespec t;

	for (;;) {
		left = end - now_boot_ms();
		if (left <= 0 || (heeds_stop && c->stop && *c->stop))
			return false;
		left = MIN2(left, TICK_MS);
		t = (struct timespec){ .tv_sec = left / 1000,
			.tv_nsec = left % 1000 * 1000000 };
		if (ppoll(&p, 1, &t, c->mask) > 0)
			return true;
		if (c->tick)
			c->tick();
	}
}

static int
judge(const char *name, int status, bool late, struct tb_error *err)
{
	if (late)
		return tb_error_set(err, TB_E_IO, "%.120s took too long and "
		    "was ended", name);
	if (WIFSIGNALED(status))
		return tb_error_set(err, TB_E_IO, "%.120s was ended by signal "
		    "%d", name, WTERMSIG(status));
	if (WEXITSTATUS(status) == 127)
		return tb_error_set(err, TB_E_IO, "there is no command %.120s",
		    name);
	if (WEXITSTATUS(status) != 0)
		return tb_error_set(err, TB_E_IO, "%.120s exited with %d",
		    name, WEXITSTATUS(status));
	return 0;
}

int
child_run(const struct child *c, struct tb_error *err)
{
	_cleanup_close_ int pidfd = -1;
	bool late = false;
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exec_child(c);
	if (pid > 0)
		pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		tb_error_errno(err, TB_E_IO, errno, "cannot start %.120s",
		    c->argv[0]);
	if (pid < 0)
		return -1;
	setpgid(pid, pid); /* whoever of us two is first */
	if (pidfd >= 0 && !await(c, pidfd, c->limit_ms, true)) {
		late = true;
		kill(-pid, SIGTERM);
		(void)await(c, pidfd, GRACE_MS, false);
	}
	if (pidfd < 0 || late)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot wait for %.120s", c->argv[0]);
	return pidfd < 0 ? -1 : judge(c->argv[0], status, late, err);
}
