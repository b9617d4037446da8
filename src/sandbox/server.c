/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "sandbox/exchange.h"
#include "sandbox/request.h"
#include "sandbox/route.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define SERVER_HEAD_MAX (16 * 1024)
#define SERVER_BODY_MAX (1024 * 1024)
#define SERVER_PATH_MAX 512
#define SERVER_IDLE_S 60

struct server {
	struct evhttp *http;
	struct exchange_pool pool;
};

static const char *
server_method(struct evhttp_request *http)
{
	switch ((int)evhttp_request_get_command(http)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	default:
		return "OTHER";
	}
}

/* The path as it may go to a log: printable, not too long. */
static char *
server_path(const char *path)
{
	char *clean =
	    util_format("%.*s", SERVER_PATH_MAX, path && *path ? path : "/");

	for (char *p = clean; *p; p++) {
		if (*p <= ' ' || *p > '~')
			*p = '?';
	}
	return clean;
}

static char *
server_header(struct evhttp_request *http, const char *name)
{
	return util_copy(
	    evhttp_find_header(evhttp_request_get_input_headers(http), name));
}

static void
server_read_request(struct evhttp_request *http, struct request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
	struct evbuffer *body = evhttp_request_get_input_buffer(http);
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;

	request->method = util_copy(server_method(http));
	request->path = server_path(uri ? evhttp_uri_get_path(uri) : NULL);
	request->host = util_copy(evhttp_request_get_host(http));
	request->authorization = server_header(http, "Authorization");
	request->content_type = server_header(http, "Content-Type");
	request->cookie = server_header(http, "Cookie");
	request->origin = server_header(http, "Origin");
	request->body_len = evbuffer_get_length(body);
	request->body = util_alloc(request->body_len + 1);
	evbuffer_remove(body, request->body, request->body_len);
	request->is_form =
	    request_is_type(request, "application/x-www-form-urlencoded");
	if (query && params_parse(&request->query, query, strlen(query)) < 0)
		request->is_malformed = true;
	if (request->is_form &&
	    params_parse(&request->form, request->body, request->body_len) < 0)
		request->is_malformed = true;
}

/* A name in a browser's address bar that is not ours is a rebound one. */
static bool
server_is_our_host(const char *host)
{
	struct in_addr in;

	if (!host || strcasecmp(host, "localhost") == 0 ||
	    strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &in) == 1 &&
	       ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void
server_on_request(struct evhttp_request *http, void *arg)
{
	struct server *server = arg;
	struct exchange *ex = exchange_new(&server->pool, http);
	struct reply reply _cleanup_(reply_clear) = { 0 };
	const struct route *route = NULL;
	struct request *request = exchange_request(ex);

	server_read_request(http, request);
	if (!server_is_our_host(request->host))
		reply_api_error(&reply, 421, "Host is not on the loopback");
	else
		route = route_find(request, &reply);
	exchange_start(ex, route, &reply);
}

/* Compose the issuer from what was bound, which matters with port 0. */
static int
server_set_issuer(struct world *world, int fd, const char *address)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof name;
	uint16_t port;

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return -1;
	if (name.ss_family == AF_INET6)
		port = ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
	else
		port = ntohs(((struct sockaddr_in *)&name)->sin_port);
	util_replace(
	    &world->issuer, name.ss_family == AF_INET6
				? util_format("http://[%s]:%u", address, port)
				: util_format("http://%s:%u", address, port));
	return 0;
}

struct server *
server_new(struct event_base *base, struct world *world, const char *address,
    uint16_t port)
{
	struct server *server = util_alloc(sizeof *server);
	struct evhttp_bound_socket *bound;

	exchange_pool_init(&server->pool, base, world);
	route_init_counters(world);
	server->http = evhttp_new(base);
	if (!server->http)
		abort();
	evhttp_set_max_headers_size(server->http, SERVER_HEAD_MAX);
	evhttp_set_max_body_size(server->http, SERVER_BODY_MAX);
	evhttp_set_timeout(server->http, SERVER_IDLE_S);
	evhttp_set_default_content_type(server->http, NULL);
	evhttp_set_allowed_methods(server->http,
	    EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
		EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_HEAD);
	evhttp_set_gencb(server->http, server_on_request, server);
	bound = evhttp_bind_socket_with_handle(server->http, address, port);
	if (!bound || server_set_issuer(world,
			  evhttp_bound_socket_get_fd(bound), address) < 0)
		return server_free(server);
	return server;
}

struct server *
server_free(struct server *server)
{
	exchange_pool_clear(&server->pool);
	evhttp_free(server->http);
	free(server);
	return NULL;
}
