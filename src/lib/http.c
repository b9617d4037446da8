/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - libcurl's multi interface on the loop. The rules, each paid for by
 * somebody:
 *
 *  - The callbacks that libcurl calls touch libevent and our own memory, never
 *    libcurl: it refuses that as recursion.
 *  - curl_multi_info_read is drained, each handle is detached, and only a task
 *    of the loop tells the callers: their code never runs inside libcurl.
 *  - In the socket callback only the descriptor counts: the handle may be an
 *    internal one of libcurl, and a removal may be for one never added.
 */
#include "lib/http.h"

#include <assert.h>
#include <event2/event.h>

#include "base/log.h"
#include "base/util.h"
#include "lib/http_call.h"

struct http_socket {
	struct http *http;
	struct event *event;
	curl_socket_t fd;
	struct http_socket *next;
};

static void
on_deliver(void *arg)
{
	struct http *http = arg;

	/* What a callback adds is for the next turn; what it cancels takes
	 * itself off the list. */
	http->delivering = STEAL(http->finished);
	if (http->delivering)
		http->delivering->link = &http->delivering;
	while (http->delivering)
		http_call_deliver(http->delivering);
}

static void
drain(struct http *http)
{
	struct http_call *call;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(http->multi, &left)))
		if (msg->msg == CURLMSG_DONE) {
			CURLcode result = msg->data.result;

			call = NULL;
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE,
			    (char **)&call);
			http_call_ended(call, result);
		}
}

static void
on_timer(void *arg)
{
	struct http *http = arg;
	int running;

	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	drain(http);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http_socket *s = arg;
	struct http *http = s->http; /* s may be gone after the next line */
	int running;

	curl_multi_socket_action(http->multi, fd,
	    ((what & EV_READ) ? CURL_CSELECT_IN : 0) |
	    ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0), &running);
	drain(http);
}

static void
socket_free(struct http_socket **p)
{
	struct http_socket *s = *p;

	*p = s->next;
	event_free(s->event);
	free(s);
}

/* Returning an error here would end every transfer there is: a socket that
 * cannot be watched is left to its call's time-out. */
static int
on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg,
    void *socket_arg)
{
	struct http *http = arg;
	struct http_socket **p, *s;
	short events = EV_PERSIST;

	for (p = &http->sockets; *p && (*p)->fd != fd; p = &(*p)->next)
		;
	if (*p)
		socket_free(p);
	if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE)
		return 0;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EV_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EV_WRITE;
	s = xnew(struct http_socket);
	s->http = http;
	s->fd = fd;
	s->event = event_new(loop_base(http->loop), fd, events, on_socket, s);
	if (!s->event)
		abort();
	if (event_add(s->event, NULL) < 0)
		log_error("http", "cannot watch a connection: it will time out");
	s->next = http->sockets;
	http->sockets = s;
	return 0;
}

static int
on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *http = arg;

	if (timeout_ms < 0)
		loop_timer_stop(&http->timer);
	else
		loop_timer_set(&http->timer, timeout_ms);
	return 0;
}

struct http *
http_new(struct loop *loop, const struct http_env *env, struct tb_error *err)
{
	struct http *http;

	/* Who sets this would find every session key in a plain file. */
	unsetenv("SSLKEYLOGFILE");
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, secret_lib_malloc,
	    secret_lib_free, secret_lib_realloc, secret_lib_strdup,
	    secret_lib_calloc) != CURLE_OK) {
		tb_error_set(err, TB_E_IO, "libcurl cannot be initialised");
		return NULL;
	}
	if (!(curl_version_info(CURLVERSION_NOW)->features &
	    CURL_VERSION_ASYNCHDNS)) {
		curl_global_cleanup();
		tb_error_set(err, TB_E_CONFIG, "this libcurl resolves names "
		    "while everybody waits: one with a threaded resolver is "
		    "needed");
		return NULL;
	}
	http = xnew(struct http);
	http->loop = loop;
	http->ca_file = xstrdup0(env->ca_file);
	http->proxy = xstrdup0(env->proxy);
	http->user_agent = xstrdup0(env->user_agent);
	loop_timer_init(&http->timer, loop, on_timer, http);
	loop_task_init(&http->deliver, loop, on_deliver, http);
	http->multi = curl_multi_init();
	if (!http->multi)
		abort();
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION,
	    on_socket_wanted);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 8L); /* idle */
	return http;
}

void
http_free(struct http *http)
{
	if (!http)
		return;
	assert(http->n_calls == 0);
	curl_multi_cleanup(http->multi); /* which still calls us */
	while (http->sockets)
		socket_free(&http->sockets);
	loop_timer_stop(&http->timer);
	loop_task_cancel(&http->deliver);
	free(http->ca_file);
	free(http->proxy);
	free(http->user_agent);
	free(http);
	curl_global_cleanup();
}

void
http_get_stats(const struct http *http, struct http_stats *out)
{
	*out = http->stats;
}
