/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a connection. One recvmsg(2) per event: epoll is
 * level-triggered and tells again when there is more, so nothing is read twice
 * only to see EAGAIN.
 *
 * A request that arrives in one piece is parsed where it was read, in a buffer
 * that all sessions share; only what is incomplete is kept with the session.
 * So an idle connection has no buffer at all.
 *
 * Every read brings the sender's credentials, because the descriptor may have
 * come into other hands: by fork, by exec, or over another socket. The kernel
 * never puts bytes of two senders into one read.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/now.h"
#include "base/util.h"
#include "serve/denylog.h"
#include "serve/peer.h"
#include "serve/serve_int.h"
#include "serve/session_int.h"
#include "state/audit.h"

#define FIRST_BUF 1024
/* All incomplete requests together. */
#define BUFFERED_MAX ((size_t)16 << 20)

enum received {
	RECEIVED_BYTES,
	RECEIVED_NOTHING,
	RECEIVED_END,
	RECEIVED_STRANGER, /* not from who connected, or with descriptors */
};

/* Room for the credentials and nothing else: descriptors that somebody sends
 * are dropped by the kernel, which then says MSG_CTRUNC. */
static enum received
receive(struct session *s, void *buf, size_t size, size_t *len)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c;
	struct ucred cred;
	ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? RECEIVED_NOTHING :
		    RECEIVED_END;
	if (n == 0)
		return RECEIVED_END;
	*len = (size_t)n;
	c = CMSG_FIRSTHDR(&msg);
	if ((msg.msg_flags & MSG_CTRUNC) || !c ||
	    c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return RECEIVED_STRANGER;
	memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	return peer_is_sender(s->peer, cred.pid, cred.uid) &&
	    peer_is_alive(s->peer) ? RECEIVED_BYTES : RECEIVED_STRANGER;
}

/* --------------------------------------------------------------- watching */

/* A client that has closed its writing side is always readable. Whether it
 * goes away altogether shows as a change of the other direction. */
static bool
awaits_hangup(const struct session *s)
{
	return s->half_closed && s->op;
}

void
session_watch(struct session *s)
{
	short what = EV_READ;

	if (s->phase == SESSION_WRITE)
		what = EV_WRITE;
	else if (awaits_hangup(s))
		what = EV_WRITE | EV_ET;
	if (s->watching == what)
		return;
	session_unwatch(s);
	if (event_assign(&s->event, loop_base(s->set->serve->loop), s->fd,
	    (short)(what | EV_PERSIST), session_on_event, s) < 0 ||
	    event_add(&s->event, NULL) < 0) {
		session_close(s);
		return;
	}
	s->watching = what;
}

void
session_unwatch(struct session *s)
{
	if (s->watching)
		event_del(&s->event);
	s->watching = 0;
}

/* --------------------------------------------------- incomplete requests */

void
session_in_free(struct session *s)
{
	struct session_in *in = STEAL(s->in);

	if (!in)
		return;
	s->set->buffered -= in->buf.len;
	secret_clear(&in->buf);
	free(in);
}

/* Room for `size` bytes in all. */
static bool
grow(struct session *s, size_t size)
{
	struct session_in *in = s->in;
	struct secret bigger = SECRET_INIT;

	if (s->set->buffered - in->buf.len + size > BUFFERED_MAX)
		return false;
	memcpy(secret_alloc(&bigger, size), secret_reveal(&in->buf),
	    in->used);
	s->set->buffered += size - in->buf.len;
	secret_move(&in->buf, &bigger);
	return true;
}

/* How much one has to be able to hold: one byte more than the request, so that
 * what follows it is seen. */
static size_t
wanted(const struct session_in *in)
{
	if (http1_has_head(&in->h))
		return (size_t)in->h.head_len + in->h.body_len + 1;
	return MIN2(MAX2(in->used * 2, FIRST_BUF), HTTP1_HEAD_MAX + 1);
}

static bool
make_room(struct session *s)
{
	size_t size = wanted(s->in);

	return size <= s->in->buf.len || grow(s, size);
}

/* What is in the shared buffer is not a whole request. */
static bool
keep_rest(struct session *s, size_t len)
{
	struct session_set *set = s->set;
	struct session_in *in = s->in = xnew(struct session_in);

	in->h = set->scratch_h;
	in->used = len;
	if (set->buffered + MAX2(len, wanted(in)) > BUFFERED_MAX)
		return false;
	memcpy(secret_alloc(&in->buf, MAX2(len, wanted(in))),
	    set->scratch_bytes, len);
	set->buffered += in->buf.len;
	return true;
}

/* ---------------------------------------------------------------- requests */

static void
refuse_and_close(struct session *s, enum problem_code code, int status,
    const char *detail)
{
	struct problem p = {
		.code = code,
		.status = status,
		.detail = detail,
		.closes = true,
	};

	session_in_free(s);
	session_new_request(s);
	session_problem(s, &p);
}

static void
note_stranger(struct session *s)
{
	const struct serve *serve = s->set->serve;
	struct audit_rec rec = {
		.event = AUDIT_DENIED,
		.door = acl_door_name(s->door->id),
		.who = &s->peer->who,
		.verdict = "deny",
		.reason = "sender is not the connector",
	};

	audit_denied(serve->audit, &rec);
	denylog_line(serve->denylog, rec.door, rec.who, NULL, rec.reason,
	    NULL, now_boot_ms());
}

static void
refuse_stranger(struct session *s)
{
	struct session_op *op = STEAL(s->op);

	if (op)
		op->type->gone(op);
	note_stranger(s);
	refuse_and_close(s, PROBLEM_PEER, 0, "these bytes do not come from "
	    "the process that connected, or it has exited");
}

static void
refuse_invalid(struct session *s, const struct http1 *h)
{
	enum problem_code code = PROBLEM_BAD_REQUEST;

	if (h->status == 411)
		code = PROBLEM_LENGTH;
	else if (h->status == 413 || h->status == 431)
		code = PROBLEM_TOO_LARGE;
	s->minor = 1;
	refuse_and_close(s, code, h->status, h->why);
}

static void
dispatch(struct session *s, const struct http1 *h, const char *buf)
{
	session_new_request(s);
	s->minor = h->minor;
	/* Nothing takes HEAD. Its refusal has a body, which such a client does
	 * not read: nothing may follow on this connection. */
	s->keep_alive = h->keep_alive && !s->set->serve->stopping &&
	    h->method != HTTP1_HEAD;
	s->lingers = false;
	route_dispatch(s, h, buf);
}

static void
tell_continue(struct session *s)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	s->in->told_continue = true;
	if (send(s->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    sizeof(text) - 1)
		session_close(s);
}

static void
await_more(struct session *s)
{
	struct session_in *in = s->in;
	enum session_phase phase = http1_has_head(&in->h) ? SESSION_BODY :
	    SESSION_HEAD;

	if (!make_room(s)) {
		refuse_and_close(s, PROBLEM_LIMIT, 0,
		    "too many unfinished requests");
		return;
	}
	/* the time of a phase counts from its beginning, not from the last
	 * byte */
	if (s->phase != phase)
		session_enter(s, phase);
	if (http1_wants_continue(&in->h) && !in->told_continue)
		tell_continue(s);
}

/* buf[0..len) is the request so far. True: nothing of it is needed any more. */
static bool
take(struct session *s, struct http1 *h, const char *buf, size_t len)
{
	switch (http1_parse(h, buf, len)) {
	case HTTP1_COMPLETE:
		dispatch(s, h, buf);
		return true;
	case HTTP1_INVALID:
		refuse_invalid(s, h);
		return true;
	case HTTP1_MORE:
		break;
	}
	return false;
}

static void
take_first(struct session *s, size_t len)
{
	struct session_set *set = s->set;

	http1_init(&set->scratch_h);
	if (!take(s, &set->scratch_h, (const char *)set->scratch_bytes, len)) {
		if (keep_rest(s, len))
			await_more(s);
		else
			refuse_and_close(s, PROBLEM_LIMIT, 0,
			    "too many unfinished requests");
	}
}

static void
take_further(struct session *s, size_t len)
{
	struct session_in *in = s->in;

	in->used += len;
	if (take(s, &in->h, secret_reveal(&in->buf), in->used))
		session_in_free(s);
	else
		await_more(s);
}

/* ---------------------------------------------------------------- readable */

static bool
has_hung_up(const struct session *s)
{
	struct pollfd p = { .fd = s->fd };

	return TEMP_FAILURE_RETRY(poll(&p, 1, 0)) != 0;
}

/* The client has closed its side. One that only said that it will not send
 * any more (half-closed) still gets its answer. */
static void
on_end(struct session *s)
{
	if (!s->op || has_hung_up(s)) {
		session_close(s);
		return;
	}
	s->keep_alive = false;
	s->half_closed = true;
	session_watch(s);
}

/* Somebody writes while an operation is under way. */
static void
refuse_pipelined(struct session *s)
{
	struct session_op *op = STEAL(s->op);

	op->type->gone(op);
	refuse_and_close(s, PROBLEM_BAD_REQUEST, 0, "bytes follow the "
	    "request; pipelining is not spoken");
}

static void
on_readable(struct session *s)
{
	struct session_in *in = s->phase == SESSION_LINGER ? NULL : s->in;
	void *to = s->set->scratch_bytes;
	size_t size = SESSION_SCRATCH, len = 0;

	if (in) {
		to = (char *)(uintptr_t)secret_reveal(&in->buf) + in->used;
		size = in->buf.len - in->used;
	}
	switch (receive(s, to, size, &len)) {
	case RECEIVED_NOTHING:
		return;
	case RECEIVED_END:
		on_end(s);
		return;
	case RECEIVED_STRANGER:
		if (s->phase != SESSION_LINGER)
			refuse_stranger(s);
		break;
	case RECEIVED_BYTES:
		if (s->phase == SESSION_LINGER)
			break;
		if (s->op)
			refuse_pipelined(s);
		else if (in)
			take_further(s, len);
		else
			take_first(s, len);
		break;
	}
	/* what was read to a buffer of the session's own is wiped with it */
	if (!in)
		explicit_bzero(to, len);
}

/* ---------------------------------------------------------------- writable */

void
session_out_free(struct session *s, bool all)
{
	struct session_out *out = STEAL(s->out);

	if (!out)
		return;
	secret_clear(&out->bytes);
	if (out->fn)
		out->fn(out->arg, s, all, out->some || out->at > 0);
	free(out);
}

static void
on_writable(struct session *s)
{
	struct session_out *out = s->out;
	ssize_t n = send(s->fd, secret_reveal(&out->bytes) + out->at,
	    out->bytes.len - out->at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		session_close(s);
		return;
	}
	out->at += n > 0 ? (size_t)n : 0;
	if (out->at < out->bytes.len)
		return;
	session_out_free(s, true);
	session_answered(s);
	if (s->phase != SESSION_CLOSED)
		session_watch(s);
}

void
session_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	if (s->phase == SESSION_WRITE) {
		on_writable(s);
	} else if (awaits_hangup(s)) {
		if (has_hung_up(s))
			session_close(s);
	} else {
		on_readable(s);
	}
}
