/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper - see the header.
 */
#include "ctl/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>

#include "base/tb_error.h"

#define OUTPUT_CAP ((size_t)256 << 20)

static char *
helper_path(const char *program)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		path = xasprintf("%.*s/%s", (int)(slash - self), self,
		    program);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return xasprintf(PKGLIBEXECDIR "/%s", program);
}

int
helper_exec(const char *program, const char **argv, struct tb_error *err)
{
	_cleanup_free_ char *path = helper_path(program);
	union { const char **in; char **out; } args = { argv };

	argv[0] = program;
	fflush(NULL);
	execv(path, args.out);
	return tb_error_errno(err, TB_E_IO, errno, "cannot run %s", path);
}

/* The child: its output into the pipe. */
static void __attribute__((noreturn))
helper_child(const char **argv, int out)
{
	struct tb_error err = TB_ERROR_INIT;

	if (dup2(out, STDOUT_FILENO) >= 0 && helper_exec(HELPER_AUDIT, argv,
	    &err) < 0)
		fprintf(stderr, "tokenbrokerctl: %s\n", err.msg);
	_exit(127);
}

static int
read_all(int fd, struct strbuf *out, struct tb_error *err)
{
	char buf[16384];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot read from " HELPER_AUDIT);
		if (out->len + (size_t)n > OUTPUT_CAP)
			return tb_error_set(err, TB_E_LIMIT, HELPER_AUDIT " says "
			    "more than can be taken: ask for less");
		strbuf_add(out, buf, (size_t)n);
	}
	return 0;
}

int
helper_read(const char **argv, struct strbuf *out, int *status,
    struct tb_error *err)
{
	int p[2], failed, how = 0;
	pid_t pid;

	*status = 127;
	if (pipe2(p, O_CLOEXEC) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot make a pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		helper_child(argv, p[1]);
	close(p[1]);
	failed = pid < 0 ? tb_error_errno(err, TB_E_IO, errno, "cannot start "
	    HELPER_AUDIT) : read_all(p[0], out, err);
	close(p[0]);
	while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR)
		continue;
	if (failed)
		return -1;
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : 127;
	if (*status != 0)
		return tb_error_set(err, TB_E_CANCELLED, HELPER_AUDIT " failed");
	return 0;
}
