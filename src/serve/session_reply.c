/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers. One send(2) or sendmsg(2) of parts that lie where they are; what the
 * kernel does not take is copied (into secret memory: it may be a token) and
 * follows.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

#include "base/util.h"
#include "lib/jsonx.h"
#include "serve/session_int.h"

static void
keep_unsent(struct session *s, const struct iovec *iov, int n, size_t sent)
{
	struct session_out *out = s->out = xnew(struct session_out);
	size_t skip = sent;
	int i;

	out->some = sent > 0;
	for (i = 0; i < n; i++) {
		size_t cut = MIN2(skip, iov[i].iov_len);

		skip -= cut;
		secret_append(&out->bytes, (const char *)iov[i].iov_base + cut,
		    iov[i].iov_len - cut);
	}
	session_enter(s, SESSION_WRITE);
	session_watch(s);
}

/* An answer in one piece is spared the kernel's reading of a vector. */
static ssize_t
send_parts(int fd, const struct iovec *iov, int n)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = (size_t)n,
	};

	return n == 1 ? send(fd, iov->iov_base, iov->iov_len,
	    MSG_NOSIGNAL | MSG_DONTWAIT) : sendmsg(fd, &msg,
	    MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum session_sent
session_send(struct session *s, const struct iovec *iov, int n)
{
	size_t total = 0;
	ssize_t sent;
	int i;

	for (i = 0; i < n; i++)
		total += iov[i].iov_len;
	sent = send_parts(s->fd, iov, n);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		session_close(s);
		return SESSION_NOT_SENT;
	}
	if (sent < 0 || (size_t)sent < total) {
		keep_unsent(s, iov, n, sent > 0 ? (size_t)sent : 0);
		return s->phase == SESSION_CLOSED ? SESSION_NOT_SENT :
		    SESSION_PARTLY;
	}
	session_answered(s);
	/* after a half-close nobody looks at the descriptor any more */
	if (s->phase == SESSION_LINGER)
		session_watch(s);
	return SESSION_SENT;
}

void
session_on_drained(struct session *s, session_drained_fn *fn, void *arg)
{
	s->out->fn = fn;
	s->out->arg = arg;
}

void
session_reply(struct session *s, int status, const char *fields,
    const char *body, size_t len)
{
	struct strbuf head _cleanup_(strbuf_clear) = STRBUF_INIT;
	char line[HTTP1_STATUS_LINE_MAX];
	struct iovec iov[2];

	strbuf_add(&head, line, http1_status_line(line, status, s->minor,
	    s->keep_alive));
	strbuf_adds(&head, "Cache-Control: no-store\r\n");
	if (fields)
		strbuf_adds(&head, fields);
	if (body)
		strbuf_addf(&head, "Content-Length: %zu\r\n", len);
	strbuf_adds(&head, "\r\n");
	iov[0] = (struct iovec){ head.s, head.len };
	iov[1] = (struct iovec){ (void *)(uintptr_t)body, len };
	session_send(s, iov, body ? 2 : 1);
}

void
session_reply_json(struct session *s, int status, json_t *o)
{
	json_t *owned _cleanup_json_ = o;
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;

	jsonx_dump(owned, &text);
	secret_append_str(&text, "\n");
	session_reply(s, status, "Content-Type: application/json\r\n",
	    secret_reveal(&text), text.len);
}

void
session_not_modified(struct session *s, uint64_t generation)
{
	char fields[64];

	snprintf(fields, sizeof(fields), "ETag: \"%" PRIu64 "\"\r\n",
	    generation);
	session_reply(s, 304, fields, NULL, 0);
}

void
session_problem(struct session *s, const struct problem *p)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	char line[HTTP1_STATUS_LINE_MAX], id[17];
	struct iovec iov[2];

	if (s->door->ops) {
		s->door->ops->refuse(s, p);
		return;
	}
	if (p->closes) {
		s->keep_alive = false;
		s->lingers = true;
	}
	problem_render(p, session_request_id(s, id), s->is_vault ?
	    PROBLEM_VAULT : PROBLEM_NATIVE, &text);
	iov[0] = (struct iovec){ line, http1_status_line(line,
	    problem_status(p), s->minor, s->keep_alive) };
	iov[1] = (struct iovec){ text.s, text.len };
	session_send(s, iov, 2);
}

void
session_refuse(struct session *s, enum problem_code code, const char *detail)
{
	struct problem p = { .code = code, .detail = detail };

	session_problem(s, &p);
}
