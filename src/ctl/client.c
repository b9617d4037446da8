/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - see the header. A connection that was kept may have been closed by
 * the daemon meanwhile: for a request on such a one, an end of file before the
 * first byte of the answer means that it was not looked at, and a GET is sent
 * once more on a new connection. A failed send is no reason to give up: who
 * refuses us before reading us has put the answer there already.
 */
#include "ctl/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"

#define CONNECT_S 20 /* a full queue on the socket: the daemon is busy */
#define IN_SIZE 4095 /* with its NUL one page: it is wiped in the end */

void
client_init(struct client *c, const char *path)
{
	*c = (struct client)CLIENT_INIT;
	c->path = xstrdup(path);
}

void
client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->used = false;
}

void
client_wipe(struct client *c)
{
	secret_clear(&c->in);
}

void
client_clear(struct client *c)
{
	client_close(c);
	free(c->path);
	client_wipe(c);
	*c = (struct client)CLIENT_INIT;
}

static int
unreached(struct client *c, int e, struct tb_error *err)
{
	client_close(c);
	c->connect_errno = e;
	return tb_error_errno(err, TB_E_UNREACHED, e,
	    "cannot reach tokenbrokerd at %.200s", c->path);
}

/* Our send time-out bounds connect(2) too: with a full queue it blocks. */
static int
client_connect(struct client *c, struct tb_error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = CONNECT_S };
	int r;

	if (strlen(c->path) >= sizeof(to.sun_path))
		return unreached(c, ENAMETOOLONG, err);
	memcpy(to.sun_path, c->path, strlen(c->path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return unreached(c, errno, err);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	r = connect(c->fd, (const struct sockaddr *)&to, sizeof(to));
	if (r < 0 && errno == EINTR && c->interrupted && *c->interrupted) {
		client_close(c);
		return tb_error_set(err, TB_E_CANCELLED, "interrupted");
	}
	return r < 0 ? unreached(c, errno, err) : 0;
}

/* The request as bytes; a body may be a token, so all of it is a secret. */
static void
build_request(const struct client_request *q, struct secret *out)
{
	struct strbuf head _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_addf(&head, "%s %s HTTP/1.1\r\nHost: tokenbroker\r\n"
	    "X-Tokenbroker: 1\r\nAccept: %s\r\n%s", q->method, q->path,
	    q->accept ? q->accept : "application/json",
	    q->fields ? q->fields : "");
	if (q->body)
		strbuf_addf(&head, "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n", q->body->len);
	else if (strcmp(q->method, "POST") == 0)
		strbuf_adds(&head, "Content-Length: 0\r\n");
	strbuf_adds(&head, "\r\n");
	secret_set_str(out, strbuf_str(&head));
	if (q->body)
		secret_append(out, secret_reveal(q->body), q->body->len);
}

static int
lost(struct client *c, const char *what, struct tb_error *err)
{
	client_close(c);
	return tb_error_set(err, TB_E_TRANSIENT, "tokenbrokerd at %.200s %s",
	    c->path, what);
}

static int
client_send(struct client *c, const struct client_request *q,
    struct tb_error *err)
{
	struct secret bytes _cleanup_(secret_clear) = SECRET_INIT;
	size_t sent = 0;
	ssize_t n;

	build_request(q, &bytes);
	while (sent < bytes.len) {
		n = send(c->fd, secret_reveal(&bytes) + sent, bytes.len - sent,
		    MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return lost(c, "takes no more of the request", err);
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	return 0;
}

enum client_wake
client_wait(struct client *c, int fd, int64_t ms)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN } };
	struct timespec limit = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };
	int n;

	if (c->interrupted && *c->interrupted)
		return CLIENT_SIGNAL;
	do
		n = ppoll(p, 2, ms < 0 ? NULL : &limit, c->wait_mask);
	while (n < 0 && !(c->interrupted && *c->interrupted));
	if (n < 0)
		return CLIENT_SIGNAL;
	if (p[1].revents)
		return CLIENT_FD;
	return n ? CLIENT_LOST : CLIENT_TIMEOUT;
}

/* Until there is something to read. */
static int
await_bytes(struct client *c, int64_t deadline, int64_t timeout_ms,
    struct tb_error *err)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct timespec limit;
	char within[TIMEFMT_SIZE];
	int64_t left, now;
	int n;

	for (;;) {
		now = now_boot_ms();
		left = deadline - now;
		if (c->interrupted && *c->interrupted) {
			client_close(c);
			return tb_error_set(err, TB_E_CANCELLED,
			    "interrupted");
		}
		if (left <= 0) {
			client_close(c);
			return tb_error_set(err, TB_E_TRANSIENT,
			    "tokenbrokerd at %.200s took the request but did "
			    "not answer within %s", c->path,
			    timefmt_duration(timeout_ms, within,
			    sizeof(within)));
		}
		if (c->tick)
			left = MIN2(left, 1000 - now % 1000);
		limit = (struct timespec){ .tv_sec = left / 1000,
			.tv_nsec = left % 1000 * 1000000 };
		n = ppoll(&p, 1, &limit, c->wait_mask);
		if (n > 0)
			return 0;
		if (c->tick)
			c->tick(c->tick_arg);
	}
}

/* 1: end of file before the first byte. */
static int
client_receive(struct client *c, const struct client_request *q,
    struct reply *out, struct tb_error *err)
{
	int64_t deadline = now_boot_ms() + q->timeout_ms;
	ssize_t n;

	if (secret_is_empty(&c->in))
		c->buf = secret_alloc(&c->in, IN_SIZE);
	while (!reply_is_complete(out)) {
		if (await_bytes(c, deadline, q->timeout_ms, err) < 0)
			return -1;
		n = recv(c->fd, c->buf, c->in.len, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0) {
			if (reply_is_untouched(out))
				return 1;
			return lost(c, "closed the connection in the middle "
			    "of an answer", err);
		}
		if (reply_feed(out, (const char *)c->buf, (size_t)n,
		    err) < 0) {
			client_close(c);
			return tb_error_wrap(err, "what listens at %.200s is "
			    "not tokenbrokerd, or not this version of it",
			    c->path);
		}
	}
	return 0;
}

int
client_start(struct client *c, const struct client_request *q,
    struct tb_error *err)
{
	if (c->fd < 0 && client_connect(c, err) < 0)
		return -1;
	return client_send(c, q, err);
}

/* What follows a complete answer. */
static void
answered(struct client *c, const struct reply *out)
{
	c->used = true;
	if (out->closes)
		client_close(c);
}

int
client_finish(struct client *c, const struct client_request *q,
    struct reply *out, struct tb_error *err)
{
	int r;

	reply_clear(out);
	r = client_receive(c, q, out, err);
	if (r > 0)
		return lost(c, "closed the connection without an answer", err);
	if (r == 0)
		answered(c, out);
	return r;
}

int
client_call(struct client *c, const struct client_request *q,
    struct reply *out, struct tb_error *err)
{
	bool kept = c->fd >= 0 && c->used;
	bool again = kept && !c->sticky && strcmp(q->method, "GET") == 0;
	int r;

	if (c->sticky && c->fd < 0)
		return lost(c, "closed the connection", err);
	for (;;) {
		reply_clear(out);
		if (c->fd < 0 && client_connect(c, err) < 0)
			return -1;
		if (client_send(c, q, err) < 0)
			return -1;
		r = client_receive(c, q, out, err);
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		if (!again)
			return lost(c, "closed the connection without an "
			    "answer", err);
		client_close(c);
		again = false;
	}
	answered(c, out);
	return 0;
}
