/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "fake_loop.h"

struct answer {
	char *url_part; /* NULL: any */
	bool silent;
	struct tb_error err; /* .code TB_OK: a reply */
	int status;
	char *content_type, *body;
	size_t body_len;
	int64_t retry_after_ms, date_s, delay_ms;
	struct answer *next;
};

struct http {
	struct loop *loop;
	size_t n_calls;
};

struct http_call {
	struct http *http;
	struct answer *answer; /* NULL: waits for one */
	struct loop_timer timer; /* until the answer, or the time-out */
	struct loop_task task;
	struct fake_http_request *seen;
	size_t body_cap;
	int64_t timeout_ms;
	bool ready, delivering;
	http_done_fn *done;
	void *arg;
	struct http_call *next;
};

static struct answer *script;
static struct http_call *calls; /* oldest first */
static struct fake_http_request **seen;
static size_t n_seen, n_cancelled;
static bool held;

static void
broken(const char *what)
{
	fprintf(stderr, "fake_http: contract broken: %s\n", what);
	abort();
}

/* Script. */

static void
answer_free(struct answer *a)
{
	if (!a)
		return;
	free(a->url_part);
	free(a->content_type);
	free(a->body);
	free(a);
}

static bool
answer_fits(const struct answer *a, const struct http_call *call)
{
	return !a->url_part || strstr(call->seen->url, a->url_part);
}

static void
call_ready(struct http_call *call)
{
	call->ready = true;
	if (!held)
		loop_task_post(&call->task);
}

static void
call_take_answer(struct http_call *call, struct answer *a)
{
	call->answer = a;
	if (a->silent || (a->delay_ms && a->delay_ms >= call->timeout_ms))
		return; /* the time-out is set already */
	loop_timer_stop(&call->timer);
	if (a->delay_ms > 0)
		loop_timer_set(&call->timer, a->delay_ms);
	else
		call_ready(call);
}

static void
push(struct answer *a)
{
	struct answer **p;
	struct http_call *call;

	for (call = calls; call; call = call->next)
		if (!call->answer && !call->ready && !call->delivering &&
		    answer_fits(a, call)) {
			call_take_answer(call, a);
			return;
		}
	for (p = &script; *p; p = &(*p)->next)
		;
	*p = a;
}

void
fake_http_push_for(const char *url_part, const struct fake_http_reply *r)
{
	struct answer *a = xnew(struct answer);

	a->url_part = xstrdup0(url_part);
	a->status = r->status ? r->status : 200;
	a->content_type = xstrdup(r->content_type ? r->content_type :
	    "application/json");
	a->body_len = r->body_len ? r->body_len : strlen(r->body ? r->body : "");
	a->body = xcalloc(a->body_len + 1, 1);
	if (r->body)
		memcpy(a->body, r->body, a->body_len);
	a->retry_after_ms = r->retry_after_ms;
	a->date_s = r->date_s;
	a->delay_ms = r->delay_ms;
	push(a);
}

void
fake_http_push(const struct fake_http_reply *reply)
{
	fake_http_push_for(NULL, reply);
}

void
fake_http_push_json_for(const char *url_part, int status, const char *body)
{
	struct fake_http_reply r = { .status = status, .body = body };

	fake_http_push_for(url_part, &r);
}

void
fake_http_push_json(int status, const char *body)
{
	fake_http_push_json_for(NULL, status, body);
}

void
fake_http_push_error_for(const char *url_part, enum tb_errc code,
    const char *msg)
{
	struct answer *a = xnew(struct answer);

	a->url_part = xstrdup0(url_part);
	tb_error_set(&a->err, code, "%s", msg);
	push(a);
}

void
fake_http_push_error(enum tb_errc code, const char *msg)
{
	fake_http_push_error_for(NULL, code, msg);
}

void
fake_http_push_silence(const char *url_part)
{
	struct answer *a = xnew(struct answer);

	a->url_part = xstrdup0(url_part);
	a->silent = true;
	push(a);
}

size_t
fake_http_scripted(void)
{
	const struct answer *a;
	size_t n = 0;

	for (a = script; a; a = a->next)
		n++;
	return n;
}

void
fake_http_drop_scripted(void)
{
	struct answer *a;

	while ((a = script)) {
		script = a->next;
		answer_free(a);
	}
}

/* Calls. */

struct http *
http_new(struct loop *loop, const struct http_env *env, struct tb_error *err)
{
	struct http *http = xnew(struct http);

	http->loop = loop;
	return http;
}

void
http_free(struct http *http)
{
	if (!http)
		return;
	if (http->n_calls)
		broken("http_free while a call lives");
	free(http);
}

static void
call_free(struct http_call *call)
{
	struct http_call **p;

	for (p = &calls; *p != call; p = &(*p)->next)
		if (!*p)
			broken("a call that does not live");
	*p = call->next;
	call->http->n_calls--;
	loop_timer_stop(&call->timer);
	loop_task_cancel(&call->task);
	answer_free(call->answer);
	free(call);
}

static void
call_deliver(void *arg)
{
	struct http_call *call = arg;
	struct answer *a = call->answer;
	struct http_reply reply = { .status = a->status };

	call->delivering = true;
	call->seen->done = true;
	if (a->err.code == TB_OK && a->body_len > call->body_cap)
		tb_error_set(&a->err, TB_E_PROTO,
		    "the body is larger than %zu bytes", call->body_cap);
	if (a->err.code == TB_OK) {
		secret_set(&reply.body, a->body, a->body_len);
		snprintf(reply.content_type, sizeof(reply.content_type), "%s",
		    a->content_type);
		reply.retry_after_ms = a->retry_after_ms;
		reply.date_s = a->date_s;
		call->done(call->arg, &reply, NULL);
		secret_clear(&reply.body);
	} else {
		call->done(call->arg, NULL, &a->err);
	}
	call_free(call);
}

static void
call_on_timer(void *arg)
{
	struct http_call *call = arg;
	struct answer *a = call->answer;

	if (!a || a->silent || a->delay_ms >= call->timeout_ms) {
		answer_free(a);
		a = call->answer = xnew(struct answer);
		tb_error_set(&a->err, TB_E_TRANSIENT, "timed out after %lld ms",
		    (long long)call->timeout_ms);
	}
	call_ready(call);
}

static struct fake_http_request *
record(const struct http_request *req)
{
	struct fake_http_request *r = xnew(struct fake_http_request);
	struct strbuf headers = STRBUF_INIT;
	size_t i;

	r->method = xstrdup(req->method);
	r->url = xstrdup(req->url ? req->url : "");
	for (i = 0; i < req->n_headers; i++)
		strbuf_addf(&headers, "%s: %s\n", req->headers[i].name,
		    secret_reveal(&req->headers[i].value));
	r->headers = strbuf_steal(&headers);
	r->content_type = xstrdup0(req->content_type);
	r->body_len = req->body.len;
	r->body = xcalloc(r->body_len + 1, 1);
	memcpy(r->body, secret_reveal(&req->body), r->body_len);
	r->at_ms = now_boot_ms();
	r->tls_ca_file = xstrdup0(req->tls.ca_file);
	r->tls_cert_file = xstrdup0(req->tls.cert_file);
	r->tls_key_file = xstrdup0(req->tls.key_file);
	r->tls_insecure = req->tls.insecure;
	r->allow_loopback_http = req->allow_loopback_http;
	r->timeout_ms = req->timeout_ms;
	seen = xreallocarray(seen, n_seen + 1, sizeof(seen[0]));
	seen[n_seen++] = r;
	return r;
}

struct http_call *
http_call_start(struct http *http, struct http_request *req,
    http_done_fn *done, void *arg)
{
	struct http_call *call = xnew(struct http_call), **end;
	struct tb_error why = TB_ERROR_INIT;
	struct answer **p, *a;

	call->http = http;
	call->done = done;
	call->arg = arg;
	call->body_cap = req->body_cap ? req->body_cap : 1 << 20;
	call->timeout_ms = req->timeout_ms ? req->timeout_ms : 30000;
	loop_timer_init(&call->timer, http->loop, call_on_timer, call);
	loop_task_init(&call->task, http->loop, call_deliver, call);
	call->seen = record(req);
	for (end = &calls; *end; end = &(*end)->next)
		;
	*end = call;
	http->n_calls++;
	loop_timer_set(&call->timer, call->timeout_ms);
	if (http_url_check(req->url, req->allow_loopback_http, &why) < 0) {
		a = xnew(struct answer);
		a->err = why;
		call_take_answer(call, a);
	} else {
		for (p = &script; *p && !answer_fits(*p, call); p = &(*p)->next)
			;
		if ((a = *p)) {
			*p = a->next;
			a->next = NULL;
			call_take_answer(call, a);
		}
	}
	http_request_clear(req);
	return call;
}

void
http_call_cancel(struct http_call **callp)
{
	struct http_call *call = *callp, *c;

	*callp = NULL;
	if (!call)
		return;
	for (c = calls; c != call; c = c->next)
		if (!c)
			broken("http_call_cancel of a call that is over");
	if (call->delivering)
		broken("http_call_cancel from the call's own done: its first "
		    "line must forget the handle");
	call->seen->cancelled = true;
	n_cancelled++;
	call_free(call);
}

/* Record. */

size_t
fake_http_requests(void)
{
	return n_seen;
}

const struct fake_http_request *
fake_http_request(size_t i)
{
	return i < n_seen ? seen[i] : NULL;
}

const struct fake_http_request *
fake_http_last(void)
{
	return n_seen ? seen[n_seen - 1] : NULL;
}

const char *
fake_http_header(const struct fake_http_request *r, const char *name)
{
	static char value[16384];
	const char *line, *end;
	size_t n = strlen(name);

	for (line = r->headers; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			snprintf(value, sizeof(value), "%.*s",
			    (int)(end - line - (long)n - 2), line + n + 2);
			return value;
		}
	}
	return NULL;
}

size_t
fake_http_pending(void)
{
	const struct http_call *call;
	size_t n = 0;

	for (call = calls; call; call = call->next)
		n += !call->delivering;
	return n;
}

size_t
fake_http_cancelled(void)
{
	return n_cancelled;
}

void
fake_http_hold(bool hold)
{
	struct http_call *call;

	held = hold;
	for (call = calls; call && !held; call = call->next)
		if (call->ready && !call->delivering)
			loop_task_post(&call->task);
}

bool
fake_http_deliver(void)
{
	struct http_call *call;

	for (call = calls; call && (!call->ready || call->delivering);
	    call = call->next)
		;
	if (!call)
		return false;
	loop_task_post(&call->task);
	fake_loop_run_pending();
	return true;
}

void
fake_http_reset(void)
{
	struct fake_http_request *r;

	while (calls)
		call_free(calls);
	fake_http_drop_scripted();
	while (n_seen) {
		r = seen[--n_seen];
		free(r->method);
		free(r->url);
		free(r->headers);
		free(r->content_type);
		free(r->body);
		free(r->tls_ca_file);
		free(r->tls_cert_file);
		free(r->tls_key_file);
		free(r);
	}
	free(seen);
	seen = NULL;
	n_cancelled = 0;
	held = false;
}

void
http_get_stats(const struct http *http, struct http_stats *out)
{
	*out = (struct http_stats){ .results[HTTP_RESULT_2XX] =
	    fake_http_requests() };
}
