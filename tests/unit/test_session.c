/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: what may come over one, from whom, and how fast.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "fake_audit.h"
#include "fake_evloop.h"
#include "serve/api.h"
#include "serve/peer.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "serve_world.h"

#define SELF "GET /api/v1/self HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\n\r\n"

static void
answers_one_request_after_the_other(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), i;
	struct answer a;

	for (i = 0; i < 3; i++) {
		a = world_ask(w, fd, "GET self", NULL, NULL);
		assert_int_equal(a.status, 200);
		assert_string_equal(answer_field(&a, "Connection"), "");
	}
	a = world_ask(w, fd, "GET self", "Connection: close\r\n", NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_field(&a, "Connection"), "close");
	assert_true(world_is_closed(w, fd));
	close(fd);
}

static void
takes_bytes_one_by_one(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	const char *s;
	struct answer a;

	for (s = SELF; *s; s++) {
		assert_int_equal(send(fd, s, 1, 0), 1);
		if (s[1])
			assert_int_equal(world_read(w, fd).status, 0);
	}
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	/* and the next one in one piece */
	assert_int_equal(world_ask(w, fd, "GET self", NULL, NULL).status, 200);
	close(fd);
}

static void
speaks_http_1_0(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_write(fd, "GET /api/v1/self HTTP/1.0\r\nX-Tokenbroker: 1\r\n"
	    "Connection: keep-alive\r\n\r\n");
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_field(&a, "Connection"), "keep-alive");
	world_write(fd, "GET /api/v1/self HTTP/1.0\r\nX-Tokenbroker: 1\r\n"
	    "\r\n");
	a = world_read(w, fd);
	assert_string_equal(answer_field(&a, "Connection"), "close");
	assert_true(world_is_closed(w, fd));
	close(fd);
}

static void
refuses_malformed_requests_and_closes(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *code;
	} cases[] = {
		{ "GET / HTTP/1.1\n\n", 400, "denied.bad_request" },
		{ "BREW / HTTP/1.1\r\n", 501, "denied.bad_request" },
		{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		  "\r\n", 411, "denied.length" },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n"
		  "\r\n", 413, "denied.too_large" },
		{ SELF SELF, 400, "denied.bad_request" },
		{ "\x16\x03\x01\x02", 0, NULL },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = world_connect(w, "api");
		struct answer a;

		world_write(fd, cases[i].text);
		a = world_read(w, fd);
		assert_int_equal(a.status, cases[i].status);
		if (cases[i].code) {
			answer_must_be(&a, cases[i].status, cases[i].code);
			assert_string_equal(answer_field(&a, "Connection"),
			    "close");
			assert_true(world_is_closed(w, fd));
		}
		close(fd);
	}
}

/* A large body that nobody wants: the client can finish sending, and reads the
 * refusal instead of a broken pipe. */
static void
lingers_after_a_refusal(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), i;
	static char chunk[4096];
	struct answer a;

	world_write(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999"
	    "\r\n\r\n");
	fake_evloop_run();
	for (i = 0; i < 20; i++) {
		assert_int_equal(send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL),
		    sizeof(chunk));
		fake_evloop_run();
	}
	a = world_read(w, fd);
	answer_must_be(&a, 413, "denied.too_large");
	fake_evloop_advance(4000);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	close(fd);
}

static void
wants_the_header_and_no_browser(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_write(fd, "GET /api/v1/self HTTP/1.1\r\nHost: x\r\n\r\n");
	a = world_read(w, fd);
	answer_must_be(&a, 400, "denied.header");
	world_write(fd, "GET /api/v1/self HTTP/1.1\r\nHost: x\r\n"
	    "X-Tokenbroker: yes\r\n\r\n");
	a = world_read(w, fd);
	answer_must_be(&a, 400, "denied.header");
	a = world_ask(w, fd, "GET self", "Origin: null\r\n", NULL);
	answer_must_be(&a, 403, "denied.browser");
	a = world_ask(w, fd, "GET self", "sec-fetch-site: none\r\n", NULL);
	answer_must_be(&a, 403, "denied.browser");
	/* these are not malformed: the connection goes on */
	assert_int_equal(world_ask(w, fd, "GET self", NULL, NULL).status, 200);
	close(fd);
}

static void
knows_its_addresses(void **state)
{
	struct world *w = *state;
	struct answer a;

	a = world_once(w, "api", "GET nothing", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
	a = world_once(w, "api", "GET tokens/", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
	a = world_once(w, "api", "GET tokens/a/b/c", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
	/* the doors differ */
	a = world_once(w, "api", "GET status", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
	a = world_once(w, "admin", "GET self", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
	a = world_once(w, "api", "HEAD tokens/t1", NULL, NULL);
	answer_must_be(&a, 405, "denied.method");
	assert_string_equal(answer_field(&a, "Allow"), "GET");
	a = world_once(w, "admin", "PUT logins/ops", NULL, NULL);
	assert_string_equal(answer_field(&a, "Allow"), "GET, POST, DELETE");
	a = world_once(w, "api", "GET self?x=1", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "api", "GET tokens/t1?min_valid=1&min_valid=2",
	    NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "api", "GET self", NULL, "{}");
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "api", "GET tokens/a%2fb", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "api", "POST tokens/t1/rejected", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
}

static void
says_continue(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_write(fd, "POST /api/v1/tokens/t1/rejected HTTP/1.1\r\nHost: x"
	    "\r\nX-Tokenbroker: 1\r\nExpect: 100-continue\r\n"
	    "Content-Length: 2\r\n\r\n");
	a = world_read(w, fd);
	assert_string_equal(a.text, "HTTP/1.1 100 Continue\r\n\r\n");
	world_write(fd, "{");
	assert_int_equal(world_read(w, fd).status, 0);
	world_write(fd, "}");
	a = world_read(w, fd);
	answer_must_be(&a, 403, "denied.token");
	close(fd);
}

/* ---------------------------------------------------------------- deadlines */

static void
cuts_who_is_slow(void **state)
{
	struct world *w = *state;
	int head = world_connect(w, "api"), body = world_connect(w, "api");
	int idle = world_connect(w, "api"), i;
	struct answer a;

	world_write(head, "GET / HT");
	world_write(body, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9"
	    "\r\n\r\n");
	fake_evloop_advance(1000);
	/* a byte now and then does not help */
	for (i = 0; i < 8; i++) {
		assert_int_equal(send(head, "T", 1, 0), 1);
		assert_int_equal(send(body, "T", 1, 0), 1);
		fake_evloop_advance(1000);
	}
	assert_int_equal(world_read(w, head).status, 0);
	assert_int_equal(world_read(w, body).status, 0);
	fake_evloop_advance(2500);
	a = world_read(w, head);
	answer_must_be(&a, 408, "denied.bad_request");
	a = world_read(w, body);
	answer_must_be(&a, 408, "denied.bad_request");
	assert_int_equal(world_read(w, idle).status, 0);
	fake_evloop_advance(280000);
	assert_int_equal(world_read(w, idle).status, 0);
	fake_evloop_advance(10000);
	assert_true(world_is_closed(w, idle));
	close(head);
	close(body);
	close(idle);
}

static void
cuts_who_never_reads(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), i, small = 1;
	struct answer a;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (i = 0; i < 20000; i++) {
		if (send(fd, SELF, strlen(SELF), MSG_NOSIGNAL) < 0)
			break;
		fake_evloop_run();
	}
	assert_int_equal(errno, EAGAIN);
	fake_evloop_advance(9000);
	/* others are served meanwhile */
	a = world_once(w, "api", "GET self", NULL, NULL);
	assert_int_equal(a.status, 200);
	fake_evloop_advance(3000);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	close(fd);
}

/* ------------------------------------------------------------------- senders */

static void
in_child(void (*fn)(int fd), int fd)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(fd);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
child_asks(int fd)
{
	if (send(fd, SELF, strlen(SELF), 0) < 0)
		_exit(1);
}

static void
refuses_who_inherited_the_connection(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	assert_int_equal(world_ask(w, fd, "GET self", NULL, NULL).status, 200);
	in_child(child_asks, fd);
	a = world_read(w, fd);
	answer_must_be(&a, 421, "denied.peer");
	assert_true(world_is_closed(w, fd));
	assert_string_equal(fake_audit_take(),
	    "denied: sender is not the connector\n");
	close(fd);
}

/* The first half from us, the second from somebody else. */
static void
refuses_a_second_sender_within_a_request(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_write(fd, "GET /api/v1/self HTTP/1.1\r\n");
	in_child(child_asks, fd);
	a = world_read(w, fd);
	answer_must_be(&a, 421, "denied.peer");
	close(fd);
}

static char child_dir[64];

static void
child_connects(int unix_pair)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { control, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/api.sock",
	    child_dir);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		_exit(2);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	iov.iov_base = (void *)(uintptr_t)"x";
	if (sendmsg(unix_pair, &msg, 0) < 0)
		_exit(3);
}

static int
receive_fd(int pair)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control) };
	int fd;

	assert_int_equal(recvmsg(pair, &msg, 0), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

/* It connected, handed the descriptor to us, and was gone before accept. */
static void
refuses_who_is_dead_at_accept(void **state)
{
	struct world *w = *state;
	int pair[2], fd;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	memcpy(child_dir, w->dir, sizeof(child_dir));
	in_child(child_connects, pair[1]);
	fd = receive_fd(pair[0]);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(send(fd, SELF, strlen(SELF), 0), strlen(SELF));
	assert_int_equal(world_read(w, fd).status, -1);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* It asked, got its answer, exited; who holds the descriptor now has another
 * pid, and even one with the same would find it dead. */
static void
refuses_after_the_connector_has_exited(void **state)
{
	struct world *w = *state;
	int pair[2], fd, status;
	struct answer a;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	memcpy(child_dir, w->dir, sizeof(child_dir));
	pid = fork();
	if (pid == 0) {
		char byte;

		child_connects(pair[1]);
		(void)!read(pair[1], &byte, 1);
		_exit(0);
	}
	fd = receive_fd(pair[0]);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fake_evloop_run(); /* accepted while it lives */
	assert_int_equal(write(pair[0], "x", 1), 1);
	waitpid(pid, &status, 0);
	world_write(fd, SELF);
	a = world_read(w, fd);
	answer_must_be(&a, 421, "denied.peer");
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* One descriptor beside a whole request. -1: the kernel refused. */
static ssize_t
send_descriptor(int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { (void *)(uintptr_t)SELF, strlen(SELF) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(fd, &msg, 0);
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void
refuses_descriptors(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), pair[2], on = 1;
	struct tb_error err = TB_ERROR_INIT;
	struct peer *peer;
	struct answer a;
	unsigned before;

	fake_evloop_run();
	/* since Linux 6.16 the kernel does it for us (SO_PASSRIGHTS) */
	if (send_descriptor(fd) < 0) {
		assert_int_equal(errno, EPERM);
	} else {
		a = world_read(w, fd);
		answer_must_be(&a, 421, "denied.peer");
	}
	close(fd);
	fake_evloop_run();
	/* without that: none of it stays with us */
	before = open_descriptors();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    pair), 0);
	setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	assert_int_equal(peer_attest(w->serve->peers, pair[0], &peer, &err),
	    PEER_OK);
	session_start(w->serve->sessions, &api_door, pair[0], peer);
	assert_int_equal(send_descriptor(pair[1]), strlen(SELF));
	a = world_read(w, pair[1]);
	answer_must_be(&a, 421, "denied.peer");
	close(pair[1]);
	fake_evloop_run();
	assert_int_equal(open_descriptors(), before);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(answers_one_request_after_the_other),
		T(takes_bytes_one_by_one),
		T(speaks_http_1_0),
		T(refuses_malformed_requests_and_closes),
		T(lingers_after_a_refusal),
		T(wants_the_header_and_no_browser),
		T(knows_its_addresses),
		T(says_continue),
		T(cuts_who_is_slow),
		T(cuts_who_never_reads),
		T(refuses_who_inherited_the_connection),
		T(refuses_a_second_sender_within_a_request),
		T(refuses_who_is_dead_at_accept),
		T(refuses_after_the_connector_has_exited),
		T(refuses_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
