/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evhttp - libevent's own HTTP server, doing as little as it can with the same
 * body: what one gets without a reader and a writer of one's own.
 *
 *	evhttp [-u CPU] -f BODY SOCKET
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char body[65536];
static size_t body_len;

static void
die(const char *what)
{
	fprintf(stderr, "evhttp: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void
on_request(struct evhttp_request *rq, void *arg)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(rq);
	struct evbuffer *b = evhttp_request_get_output_buffer(rq);

	evhttp_add_header(out, "Content-Type", "application/json");
	evhttp_add_header(out, "Cache-Control", "no-store");
	evbuffer_add_reference(b, body, body_len, NULL, NULL);
	evhttp_send_reply(rq, 200, "OK", NULL);
}

static void
read_body(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, body, sizeof(body));

	if (n <= 0)
		die(path);
	body_len = (size_t)n;
	close(fd);
}

static int
listen_on(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    listen(fd, 1024) < 0)
		die(path);
	return fd;
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
	struct event_base *base;
	struct evhttp *http;
	int c;

	while ((c = getopt(argc, argv, "u:f:")) != -1) {
		switch (c) {
		case 'u': pin(atoi(optarg)); break;
		case 'f': read_body(optarg); break;
		default: return 2;
		}
	}
	if (argc - optind != 1 || !body_len) {
		fprintf(stderr, "usage: evhttp [-u CPU] -f BODY SOCKET\n");
		return 2;
	}
	base = event_base_new();
	http = base ? evhttp_new(base) : NULL;
	if (!http)
		die("libevent");
	evhttp_set_gencb(http, on_request, NULL);
	if (evhttp_accept_socket(http, listen_on(argv[optind])) < 0)
		die("evhttp_accept_socket");
	event_base_dispatch(base);
	return 0;
}
