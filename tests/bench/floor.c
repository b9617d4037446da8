/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor - the least a server can do: what `make bench` compares everything
 * with. recvmsg and look for the end of the head, send bytes that lie ready;
 * no parsing, no rule, no record. Kept connections and a connection per
 * request are the same to it. With -R it is the floor of the credential door:
 * the answer is sent on accept, and that is the end. With -S FILE every answer
 * waits for a line of 400 bytes and an fdatasync(2) of its own: what a
 * conscientious server without group commit does.
 *
 *	floor [-u CPU] [-R] [-S FILE] -f ANSWER SOCKET
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 256
#define BURST 16
#define RECORD 400

static char answer[65536], record[RECORD];
static size_t answer_len;
static int ep, listener, log_fd = -1;
static bool raw;

static void
die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void
read_answer(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, answer, sizeof(answer));

	if (n <= 0)
		die(path);
	answer_len = (size_t)n;
	close(fd);
}

static void
put_record(void)
{
	if (log_fd >= 0 && (write(log_fd, record, RECORD) != RECORD ||
	    fdatasync(log_fd) < 0))
		die("record");
}

static void
on_connection(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int i, fd;

	for (i = 0; i < BURST; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC |
		    SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (raw) {
			put_record();
			(void)!send(fd, answer, answer_len, MSG_NOSIGNAL);
			close(fd);
			continue;
		}
		ev.data.fd = fd;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
	}
}

static void
on_readable(int fd)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n <= 0) {
		close(fd);
		return;
	}
	if (!memmem(buf, (size_t)n, "\r\n\r\n", 4))
		die("half a request");
	put_record();
	if (send(fd, answer, answer_len, MSG_NOSIGNAL) < 0)
		close(fd);
}

static void
bind_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct epoll_event ev = { .events = EPOLLIN };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = listener;
	if (listener < 0 || ep < 0 || bind(listener, (struct sockaddr *)&sun,
	    sizeof(sun)) < 0 || listen(listener, 1024) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) < 0)
		die(path);
}

static void
loop(void)
{
	struct epoll_event ev[EVENTS];
	int i, n;

	for (;;) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.fd == listener)
				on_connection();
			else
				on_readable(ev[i].data.fd);
		}
	}
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

int
main(int argc, char **argv)
{
	struct rlimit r;
	int c;

	memset(record, 'r', sizeof(record));
	record[RECORD - 1] = '\n';
	while ((c = getopt(argc, argv, "u:RS:f:")) != -1) {
		switch (c) {
		case 'u': pin(atoi(optarg)); break;
		case 'R': raw = true; break;
		case 'f': read_answer(optarg); break;
		case 'S':
			log_fd = open(optarg, O_WRONLY | O_CREAT | O_APPEND |
			    O_CLOEXEC, 0600);
			if (log_fd < 0)
				die(optarg);
			break;
		default: return 2;
		}
	}
	if (argc - optind != 1 || !answer_len) {
		fprintf(stderr, "usage: floor [-u CPU] [-R] [-S FILE] "
		    "-f ANSWER SOCKET\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	signal(SIGPIPE, SIG_IGN);
	bind_to(argv[optind]);
	loop();
	return 0;
}
