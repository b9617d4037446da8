/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysd - see the header. libsystemd would bring liblzma, libzstd and libgcrypt
 * into a process that holds secrets, for two datagrams and three environment
 * variables.
 */
#include "base/sysd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/log.h"

#define FIRST_FD 3
#define FDS_MAX 1024

static void
notify_send(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t n;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path, n);
	if (un.sun_path[0] == '@')
		un.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL,
	    (struct sockaddr *)&un,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warn("sysd", "cannot tell systemd our state: %s",
		    strerror(errno));
}

void
sysd_notify(const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	notify_send(text);
}

void
sysd_notify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sysd_notify("RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/* A decimal number and nothing else, or -1. */
static int64_t
env_number(const char *name)
{
	const char *s = getenv(name);
	char *end;
	long long v;

	if (!s || *s < '0' || *s > '9')
		return -1;
	errno = 0;
	v = strtoll(s, &end, 10);
	return errno || *end ? -1 : v;
}

int64_t
sysd_watchdog_ms(void)
{
	int64_t us = env_number("WATCHDOG_USEC");

	if (us <= 0 || (getenv("WATCHDOG_PID") &&
	    env_number("WATCHDOG_PID") != getpid()))
		return 0;
	return MAX2(us / 2000, 1);
}

/* The i-th of "a:b:c", or "". */
static char *
nth_name(const char *names, size_t i)
{
	for (; names && i > 0; i--) {
		names = strchr(names, ':');
		if (names)
			names++;
	}
	return names ? xstrndup(names, strcspn(names, ":")) : xstrdup("");
}

size_t
sysd_listen_fds(struct sysd_fd **out)
{
	const char *names = getenv("LISTEN_FDNAMES");
	int64_t count = env_number("LISTEN_FDS");
	bool ours = env_number("LISTEN_PID") == getpid();
	struct sysd_fd *fds = NULL;
	size_t n = 0;
	int i, flags;

	if (ours && count > 0 && count <= FDS_MAX) {
		fds = xcalloc((size_t)count, sizeof(*fds));
		for (i = 0; i < count; i++) {
			flags = fcntl(FIRST_FD + i, F_GETFD);
			if (flags < 0 || fcntl(FIRST_FD + i, F_SETFD,
			    flags | FD_CLOEXEC) < 0) {
				log_warn("sysd", "LISTEN_FDS names descriptor "
				    "%d, which is not open", FIRST_FD + i);
				continue;
			}
			fds[n].fd = FIRST_FD + i;
			fds[n].name = nth_name(names, (size_t)i);
			n++;
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PIDFDID");
	*out = fds;
	return n;
}

void
sysd_fds_free(struct sysd_fd *fds, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(fds[i].name);
	free(fds);
}
