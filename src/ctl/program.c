/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program - see the header.
 */
#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

#define PATIENCE_MS 10000

static void
exec_child(const char *const *argv, int out, bool with_stderr)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(with_stderr ? out : null, STDERR_FILENO) < 0)
		_exit(126);
	/* what is printed is read by us, not by people */
	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("SYSTEMD_PAGER", "", 1);
	setenv("SYSTEMD_COLORS", "0", 1);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* 0: end of file. */
static int
read_all(int fd, size_t cap, struct strbuf *text, const char *name,
    struct tb_error *err)
{
	int64_t end = now_boot_ms() + PATIENCE_MS, left;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096];
	ssize_t n;

	for (;;) {
		left = end - now_boot_ms();
		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return tb_error_set(err, TB_E_IO, "%s took too long",
			    name);
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot read what %s says", name);
		if (n == 0)
			return 0;
		if (text->len + (size_t)n > cap)
			return tb_error_set(err, TB_E_LIMIT,
			    "%s says more than %zu bytes", name, cap);
		strbuf_add(text, buf, (size_t)n);
	}
}

static int
await(pid_t pid, const char *name, int *status, struct tb_error *err)
{
	int s;

	while (waitpid(pid, &s, 0) < 0)
		if (errno != EINTR)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot wait for %s", name);
	if (!WIFEXITED(s))
		return tb_error_set(err, TB_E_IO, "%s was killed", name);
	*status = WEXITSTATUS(s);
	if (*status == 127)
		return tb_error_set(err, TB_E_IO, "there is no %s", name);
	return 0;
}

int
program_read(const char *const *argv, bool with_stderr, size_t cap,
    char **out, int *status, struct tb_error *err)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct tb_error ignored = TB_ERROR_INIT;
	int p[2], r;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot make a pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exec_child(argv, p[1], with_stderr);
	close(p[1]);
	if (pid < 0) {
		close(p[0]);
		return tb_error_errno(err, TB_E_IO, errno, "cannot start %s",
		    argv[0]);
	}
	r = read_all(p[0], cap, &text, argv[0], err);
	close(p[0]);
	if (r < 0) {
		kill(pid, SIGKILL);
		(void)await(pid, argv[0], status, &ignored);
		return -1;
	}
	if (await(pid, argv[0], status, err) < 0)
		return -1;
	*out = strbuf_steal(&text);
	return 0;
}
