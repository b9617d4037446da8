/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/exchange.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/request.h"
#include "sandbox/route.h"
#include "sandbox/spoil.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

typedef void exchange_fn(struct exchange *ex);

struct exchange {
	TAILQ_ENTRY(exchange) link;
	struct exchange_pool *pool;
	struct evhttp_request *http; /* NULL once cut */
	struct event *timer;
	exchange_fn *next; /* what the timer goes on with */
	const struct route *route;
	struct request request;
	struct reply reply;
	const char *fault; /* which one struck; for the log */
	int64_t late_ms; /* after the cut: when to commit */
};

static exchange_fn exchange_enter, exchange_finish, exchange_send, exchange_cut,
    exchange_commit, exchange_free;

static void
exchange_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *ex = arg;

	(void)fd;
	(void)what;
	ex->next(ex);
}

static void
exchange_after(struct exchange *ex, int64_t ms, exchange_fn *next)
{
	struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	ex->next = next;
	evtimer_add(ex->timer, &tv);
}

void
exchange_pool_init(
    struct exchange_pool *pool, struct event_base *base, struct world *world)
{
	pool->base = base;
	pool->world = world;
	TAILQ_INIT(&pool->list);
}

void
exchange_pool_clear(struct exchange_pool *pool)
{
	struct exchange *ex;

	while ((ex = TAILQ_FIRST(&pool->list))) {
		/* evhttp lets go of a request whose peer went away */
		if (ex->http && !evhttp_request_get_connection(ex->http))
			evhttp_request_free(ex->http);
		exchange_free(ex);
	}
}

struct exchange *
exchange_new(struct exchange_pool *pool, struct evhttp_request *http)
{
	struct exchange *ex = util_alloc(sizeof *ex);

	ex->pool = pool;
	ex->http = http;
	ex->timer = evtimer_new(pool->base, exchange_on_timer, ex);
	if (!ex->timer)
		abort();
	TAILQ_INSERT_TAIL(&pool->list, ex, link);
	return ex;
}

struct request *
exchange_request(struct exchange *ex)
{
	return &ex->request;
}

static void
exchange_free(struct exchange *ex)
{
	TAILQ_REMOVE(&ex->pool->list, ex, link);
	event_free(ex->timer);
	request_clear(&ex->request);
	reply_clear(&ex->reply);
	free(ex);
}

static const char *
exchange_endpoint(const struct exchange *ex)
{
	return ex->route ? route_count_name(ex->route, &ex->request) : NULL;
}

/* Whether a switch applies; if so, the log will name it. */
static const struct fault *
exchange_fault(struct exchange *ex, const char *name)
{
	const struct fault *fault = fault_take(&ex->pool->world->faults, name,
	    ex->request.method, ex->request.path);

	if (fault)
		ex->fault = name;
	return fault;
}

/* One line per request: status 0 says that no reply was sent. */
static void
exchange_log(const struct exchange *ex, int status)
{
	struct world *world = ex->pool->world;
	const struct request *request = &ex->request;

	if (!world->options.is_quiet && status)
		fprintf(stderr, "%s %s %d%s%s\n", request->method,
		    request->path, status, ex->fault ? " fault=" : "",
		    ex->fault ? ex->fault : "");
	else if (!world->options.is_quiet)
		fprintf(stderr, "%s %s - fault=%s\n", request->method,
		    request->path, ex->fault);
	if (ex->route && ex->route->style == ROUTE_CONTROL)
		return;
	world_log(
	    world, json_pack("{s:o, s:s, s:s, s:s?, s:o, s:s?}", "at",
		       util_json_time(util_now_ms()), "method", request->method,
		       "path", request->path, "endpoint", exchange_endpoint(ex),
		       "status", status ? json_integer(status) : json_null(),
		       "fault", ex->fault));
}

void
exchange_start(
    struct exchange *ex, const struct route *route, struct reply *refusal)
{
	const struct fault *fault;

	ex->route = route;
	if (!route) {
		ex->reply = *refusal;
		*refusal = (struct reply){ 0 };
		exchange_send(ex);
		return;
	}
	if (route->style == ROUTE_CONTROL) {
		route->handle(ex->pool->world, &ex->request, &ex->reply);
		exchange_send(ex);
		return;
	}
	world_count(ex->pool->world->requests, exchange_endpoint(ex));
	fault = exchange_fault(ex, "delay");
	if (fault)
		exchange_after(
		    ex, (int64_t)(fault->number * 1000), exchange_enter);
	else
		exchange_enter(ex);
}

/* Do the work of the request; whatever becomes of the reply. */
static void
exchange_work(struct exchange *ex)
{
	struct world *world = ex->pool->world;

	ex->route->handle(world, &ex->request, &ex->reply);
	if (ex->reply.status < 400)
		world_count(world->done, exchange_endpoint(ex));
}

/* The faults that answer in place of the work. */
static bool
exchange_is_refused(struct exchange *ex)
{
	const struct fault *fault;

	if ((fault = exchange_fault(ex, "status")))
		spoil_status(&ex->reply, ex->route, fault);
	else if ((fault = exchange_fault(ex, "html_error")))
		spoil_html(&ex->reply, fault);
	else if ((fault = exchange_fault(ex, "redirect")))
		spoil_redirect(&ex->reply, fault);
	else if ((fault = exchange_fault(ex, "empty_400")))
		reply_text(&ex->reply, 400, NULL, NULL);
	return fault;
}

/* One path of the provider's does many things. */
static bool
exchange_is_mint(const struct exchange *ex)
{
	return ex->route->is_mint ||
	       strcmp(exchange_endpoint(ex), "token_exchange") == 0;
}

static void
exchange_enter(struct exchange *ex)
{
	const struct fault *fault;

	if (exchange_fault(ex, "hang")) {
		exchange_log(ex, 0);
		return; /* stays in the pool, without a timer */
	}
	fault = exchange_is_mint(ex) ? exchange_fault(ex, "late_commit") : NULL;
	if (fault) {
		ex->late_ms = (int64_t)(fault->number * 1000);
		exchange_log(ex, 0);
		exchange_after(ex, 0, exchange_cut);
		return;
	}
	if (exchange_is_refused(ex)) {
		exchange_send(ex);
		return;
	}
	exchange_work(ex);
	exchange_finish(ex);
}

static void
exchange_finish(struct exchange *ex)
{
	const struct fault *fault;

	if (exchange_fault(ex, "lost_reply")) {
		exchange_log(ex, 0);
		exchange_after(ex, 0, exchange_cut);
		return;
	}
	fault = exchange_fault(ex, "status_after");
	if (fault)
		spoil_status(&ex->reply, ex->route, fault);
	exchange_send(ex);
}

/* Close the connection without a word. Runs from the loop, not from evhttp. */
static void
exchange_cut(struct exchange *ex)
{
	struct evhttp_connection *connection =
	    evhttp_request_get_connection(ex->http);

	if (connection)
		evhttp_connection_free(connection); /* and the request */
	else
		evhttp_request_free(ex->http);
	ex->http = NULL;
	if (ex->fault && strcmp(ex->fault, "late_commit") == 0)
		exchange_after(ex, ex->late_ms, exchange_commit);
	else
		exchange_free(ex);
}

static void
exchange_commit(struct exchange *ex)
{
	exchange_work(ex);
	exchange_log(ex, ex->reply.status);
	exchange_free(ex);
}

/* Fill in the body, and spoil it where a switch says so. */
static void
exchange_fill(struct exchange *ex, struct evbuffer *body)
{
	struct reply *reply = &ex->reply;
	const struct fault *fault;

	if (exchange_fault(ex, "expires_in_string"))
		spoil_numbers(reply->json);
	if (exchange_fault(ex, "unknown_fields"))
		spoil_members(&reply->json);
	spoil_body(reply, body);
	fault = exchange_fault(ex, "wrong_content_type");
	if (fault)
		spoil_type(reply, fault);
	fault = exchange_fault(ex, "big_body");
	if (fault)
		spoil_big(body, fault);
	if (exchange_fault(ex, "half_body"))
		spoil_half(reply, body);
}

static void
exchange_send(struct exchange *ex)
{
	struct evbuffer *body = evbuffer_new();
	struct reply *reply = &ex->reply;

	if (!body)
		abort();
	if (ex->route && ex->route->style != ROUTE_CONTROL)
		exchange_fill(ex, body);
	else
		spoil_body(reply, body);
	for (size_t i = 0; i < reply->n_headers; i++)
		evhttp_add_header(evhttp_request_get_output_headers(ex->http),
		    reply->headers[i].name, reply->headers[i].value);
	exchange_log(ex, reply->status);
	evhttp_send_reply(ex->http, reply->status, NULL, body);
	evbuffer_free(body);
	exchange_free(ex);
}
