/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold - bad company: connections that do nothing good, while somebody else is
 * measured. It says READY when all are there and goes on until it is ended.
 *
 *	hold idle|half|stalled|never CONNS TARGET SOCKET
 *
 * idle: connected, silent. half: half of a request's head, then nothing.
 * stalled: a body is promised and never sent. never: asks again and again and
 * reads no answer. Who is thrown out comes back.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TURN_US 5000

static const char *path;
static char request[1024];
static bool asks, again;

static int
make(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (asks)
		(void)!send(fd, request, strlen(request), MSG_NOSIGNAL |
		    MSG_DONTWAIT);
	return fd;
}

/* A new request once a turn, and a new connection for one that was closed. */
static void
look_at(int *fd)
{
	struct pollfd p = { .fd = *fd };

	if (*fd < 0 || poll(&p, 1, 0) > 0) {
		if (*fd >= 0)
			close(*fd);
		*fd = make();
	} else if (again) {
		(void)!send(*fd, request, strlen(request), MSG_NOSIGNAL |
		    MSG_DONTWAIT);
	}
}

static void
choose(const char *kind, const char *target)
{
	asks = strcmp(kind, "idle") != 0;
	again = strcmp(kind, "never") == 0;
	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: localhost"
	    "\r\nX-Tokenbroker: 1\r\n%s", strcmp(kind, "stalled") == 0 ?
	    "POST" : "GET", target, again ? "\r\n" :
	    strcmp(kind, "stalled") == 0 ? "Content-Length: 100\r\n\r\n{" :
	    "");
}

int
main(int argc, char **argv)
{
	struct rlimit r;
	int i, n, *fds;

	if (argc != 5) {
		fprintf(stderr, "usage: hold idle|half|stalled|never CONNS "
		    "TARGET SOCKET\n");
		return 2;
	}
	choose(argv[1], argv[3]);
	n = atoi(argv[2]);
	path = argv[4];
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	fds = calloc((size_t)n, sizeof(*fds));
	if (!fds)
		return 2;
	for (i = 0; i < n; i++)
		fds[i] = make();
	printf("READY\n");
	fflush(stdout);
	for (;;) {
		if (!asks) {
			pause();
			continue;
		}
		for (i = 0; i < n; i++)
			look_at(&fds[i]);
		usleep(TURN_US);
	}
}
