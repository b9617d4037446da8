/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command per event: no shell, the event as JSON on standard input, what
 * scripts want most in the environment, and a time after which its whole
 * process group is ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "ctl/term.h"
#include "events/deliver.h"
#include "events/tell.h"

#define GRACE_MS 2000
#define EVENT_MAX ((size_t)48 << 10) /* fits into a pipe that nobody reads */

static const char *const members[] = { "type", "id", "timestamp", "severity",
	"subject", "text", "next", "host", "login", "token", "backend", "unit",
	"condition", "over", "reminder" };

/* TOKENBROKER_EVENT_TYPE=... */
static void
set_environment(const json_t *event)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	char name[48], number[24], *p;
	const char *text;
	const json_t *v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++) {
		snprintf(name, sizeof(name), "TOKENBROKER_EVENT_%s",
		    members[i]);
		for (p = name; *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		v = json_object_get(event, members[i]);
		text = json_string_value(v);
		if (json_is_integer(v)) {
			snprintf(number, sizeof(number),
			    "%" JSON_INTEGER_FORMAT, json_integer_value(v));
			text = number;
		}
		strbuf_reset(&b);
		if (text)
			term_add_clean(&b, text, true);
		if (text)
			setenv(name, strbuf_str(&b), 1);
		else
			unsetenv(name);
	}
}

static void __attribute__((noreturn))
exec_child(const struct deliver *d, const json_t *event, int in)
{
	union { const char **in; char **out; } argv = { d->argv };
	sigset_t none;

	sigemptyset(&none);
	setpgid(0, 0);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	set_environment(event);
	if (dup2(in, STDIN_FILENO) < 0)
		_exit(126);
	execvp(d->argv[0], argv.out);
	fprintf(stderr, "tokenbrokerctl: events: cannot run %s: %s\n",
	    d->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Until it ends, time is up or we are told to end: true: it has ended. */
static bool
await(int pidfd, int64_t ms, bool heed_signals)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int64_t end = now_boot_ms() + ms, left;
	struct timespec t;

	while (!(heed_signals && tell_stopped) &&
	    (left = end - now_boot_ms()) > 0) {
		t = (struct timespec){ .tv_sec = left / 1000,
			.tv_nsec = left % 1000 * 1000000 };
		if (ppoll(&p, 1, &t, heed_signals ? tell_wait_mask() :
			NULL) > 0)
			return true;
	}
	return false;
}

/* The whole group; whoever outlives the first word does not outlive the
 * second. */
static void
end_group(pid_t pid, int pidfd)
{
	kill(-pid, SIGTERM);
	await(pidfd, GRACE_MS, false);
	kill(-pid, SIGKILL);
}

static int
how_it_ended(const struct deliver *d, int status, struct tb_error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		return tb_error_set(err, TB_E_IO, "%.100s failed with exit "
		    "status %d", d->argv[0], WEXITSTATUS(status));
	return tb_error_set(err, TB_E_IO, "%.100s was ended by signal %d",
	    d->argv[0], WTERMSIG(status));
}

static int
supervise(const struct deliver *d, pid_t pid, struct tb_error *err)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char limit[TIMEFMT_SIZE];
	int status = 0;
	bool ended;

	if (pidfd < 0) {
		kill(-pid, SIGKILL);
		tb_error_errno(err, TB_E_IO, errno, "cannot watch %.100s",
		    d->argv[0]);
	}
	ended = pidfd >= 0 && await(pidfd, d->timeout_ms, true);
	if (!ended && pidfd >= 0)
		end_group(pid, pidfd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (pidfd < 0)
		return -1;
	if (ended)
		return how_it_ended(d, status, err);
	if (tell_stopped)
		return tb_error_set(err, TB_E_CANCELLED, "interrupted");
	return tb_error_set(err, TB_E_IO, "%.100s took longer than %s and "
	    "was ended", d->argv[0], timefmt_duration(d->timeout_ms, limit,
	    sizeof(limit)));
}

int
deliver_exec(struct deliver *d, const json_t *event, struct tb_error *err)
{
	_cleanup_free_ char *text = json_dumps(event, JSON_COMPACT);
	_cleanup_close_ int in = -1, out = -1;
	size_t len = text ? strlen(text) : 0;
	int p[2];
	pid_t pid;

	if (!text || len > EVENT_MAX)
		return tb_error_set(err, TB_E_LIMIT, "the event is too long");
	if (pipe2(p, O_CLOEXEC) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot make a pipe");
	in = p[0];
	out = p[1];
	text[len] = '\n'; /* in place of its NUL */
	if (write(out, text, len + 1) != (ssize_t)len + 1)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot fill a pipe");
	close(out);
	out = -1;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exec_child(d, event, in);
	if (pid < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot start "
		    "%.100s", d->argv[0]);
	setpgid(pid, pid); /* whoever is first */
	return supervise(d, pid, err);
}
