/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper_call - see the header.
 *
 *   BEGIN --connected--> SENDING --all, shut down--> READING --end--> (done)
 *
 * A Unix socket connects at once or not at all, so there is no state for that;
 * a full queue of the helper is an answer too ("busy").
 */
#include "lib/helper_call.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/loop.h"

#define HELPER_CALL_CHUNK 16384

struct helper_call {
	struct loop *loop;
	struct loop_task begin, end;
	struct loop_timer timer;
	struct event *event;
	int fd;
	char *path;
	uid_t uid;
	struct secret text, answer;
	size_t sent;
	size_t answer_cap;
	int64_t timeout_ms;
	bool asked; /* all of the question has left: the helper may begin */
	struct tb_error err; /* of the end; TB_OK: answer holds */
	helper_done_fn *done;
	void *arg;
};

static loop_fn helper_call_begin, helper_call_deliver, helper_call_on_late;
static void on_readable(evutil_socket_t fd, short what, void *arg);

static void
helper_call_close(struct helper_call *c)
{
	if (c->event)
		event_free(c->event);
	c->event = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	loop_timer_stop(&c->timer);
}

static void
helper_call_free(struct helper_call *c)
{
	helper_call_close(c);
	loop_task_cancel(&c->begin);
	loop_task_cancel(&c->end);
	secret_clear(&c->text);
	secret_clear(&c->answer);
	free(c->path);
	free(c);
}

/* ------------------------------------------------------------------- ends */

/* done is for the top of the loop, so it is a task. */
static void
helper_call_end(struct helper_call *c)
{
	helper_call_close(c);
	loop_task_post(&c->end);
}

static void
helper_call_deliver(void *arg)
{
	struct helper_call *c = arg;

	if (c->err.code)
		c->done(c->arg, NULL, &c->err);
	else
		c->done(c->arg, &c->answer, NULL);
	helper_call_free(c);
}

static void
helper_call_fail(struct helper_call *c, const char *what, int errnum)
{
	enum tb_errc code = c->asked ? TB_E_TRANSIENT : TB_E_UNREACHED;

	if (errnum)
		tb_error_errno(&c->err, code, errnum, "the helper at %s: %s",
		    c->path, what);
	else
		tb_error_set(&c->err, code, "the helper at %s: %s", c->path,
		    what);
	helper_call_end(c);
}

static void
helper_call_on_late(void *arg)
{
	struct helper_call *c = arg;

	helper_call_fail(c, c->asked ? "no answer in time" :
	    "it does not take the question", 0);
}

/* ------------------------------------------------------------- conversation */

static void
helper_call_watch(struct helper_call *c, short what,
    event_callback_fn fn)
{
	if (c->event)
		event_free(c->event);
	c->event = event_new(loop_base(c->loop), c->fd, what | EV_PERSIST, fn,
	    c);
	if (!c->event || event_add(c->event, NULL) < 0)
		helper_call_fail(c, "it cannot be watched", 0);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct helper_call *c = arg;
	unsigned char *room;
	struct secret part _cleanup_(secret_clear) = SECRET_INIT;
	ssize_t n;

	room = secret_alloc(&part, HELPER_CALL_CHUNK);
	n = recv(c->fd, room, HELPER_CALL_CHUNK, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		helper_call_fail(c, "its answer broke off", errno);
	} else if (n == 0 && secret_is_empty(&c->answer)) {
		helper_call_fail(c, "it closed without an answer", 0);
	} else if (n == 0) {
		helper_call_end(c);
	} else if ((size_t)n > c->answer_cap - c->answer.len) {
		tb_error_set(&c->err, TB_E_PROTO, "the helper at %s: its "
		    "answer is longer than %zu bytes", c->path, c->answer_cap);
		helper_call_end(c);
	} else {
		secret_append(&c->answer, room, (size_t)n);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct helper_call *c = arg;
	ssize_t n = send(c->fd, secret_reveal(&c->text) + c->sent,
	    c->text.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		helper_call_fail(c, "it took only a part of the question",
		    errno);
		return;
	}
	c->sent += (size_t)n;
	if (c->sent < c->text.len)
		return;
	secret_clear(&c->text);
	c->asked = true;
	if (shutdown(c->fd, SHUT_WR) < 0)
		helper_call_fail(c, "it hung up", errno);
	else
		helper_call_watch(c, EV_READ, on_readable);
}

/* ------------------------------------------------------------------ start */

/* Is who listens there somebody that may see the question? */
static bool
helper_call_trusts(const struct helper_call *c, uid_t *uid)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred.uid = (uid_t)-1;
	*uid = cred.uid;
	return cred.uid == 0 || cred.uid == c->uid || cred.uid == geteuid();
}

static void
helper_call_begin(void *arg)
{
	struct helper_call *c = arg;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	uid_t uid;

	if (strlen(c->path) >= sizeof(sun.sun_path)) {
		helper_call_fail(c, "the path is too long for a socket", 0);
		return;
	}
	memcpy(sun.sun_path, c->path, strlen(c->path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&sun,
	    sizeof(sun)) < 0) {
		helper_call_fail(c, errno == EAGAIN ? "too many wait there" :
		    "is tokenbroker-influxctl.socket started?", errno);
		return;
	}
	if (!helper_call_trusts(c, &uid)) {
		tb_error_set(&c->err, TB_E_UNREACHED, "the helper at %s: who "
		    "listens there is uid %u, neither root nor the user that "
		    "influxctl_user names: nothing was said to it", c->path,
		    (unsigned)uid);
		helper_call_end(c);
		return;
	}
	loop_timer_set(&c->timer, c->timeout_ms);
	helper_call_watch(c, EV_WRITE, on_writable);
}

struct helper_call *
helper_call_start(struct loop *loop, struct helper_request *request,
    helper_done_fn *done, void *arg)
{
	struct helper_call *c = xnew(struct helper_call);

	c->loop = loop;
	c->fd = -1;
	c->path = xstrdup(request->path);
	c->uid = request->uid;
	secret_move(&c->text, &request->text);
	c->timeout_ms = request->timeout_ms;
	c->answer_cap = request->answer_cap;
	c->done = done;
	c->arg = arg;
	loop_task_init(&c->begin, loop, helper_call_begin, c);
	loop_task_init(&c->end, loop, helper_call_deliver, c);
	loop_timer_init(&c->timer, loop, helper_call_on_late, c);
	loop_task_post(&c->begin);
	return c;
}

void
helper_call_cancel(struct helper_call **call)
{
	struct helper_call *c = STEAL(*call);

	if (c)
		helper_call_free(c);
}
