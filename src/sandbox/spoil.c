/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/spoil.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/fault.h"
#include "sandbox/request.h"
#include "sandbox/route.h"
#include "sandbox/util.h"

#define SPOIL_BLOCK (64 * 1024)

/* ":30" and ":date+30" of a status fault, as the header has it. */
static void
spoil_retry_after(struct reply *reply, const char *value)
{
	const char *rest = strchr(value, ':');
	char text[64];
	struct tm tm;
	time_t at;

	if (!rest)
		return;
	rest++;
	if (strncmp(rest, "date+", 5) != 0) {
		reply_header(reply, "Retry-After", rest);
		return;
	}
	at = time(NULL) + atoi(rest + 5);
	gmtime_r(&at, &tm);
	strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	reply_header(reply, "Retry-After", text);
}

void
spoil_status(
    struct reply *reply, const struct route *route, const struct fault *fault)
{
	int status = (int)fault->number;

	if (route->style == ROUTE_OAUTH)
		reply_oauth_error(reply, status,
		    status >= 500 ? "server_error" : "temporarily_unavailable",
		    "a fault was asked for");
	else
		reply_api_error(reply, status, "a fault was asked for");
	spoil_retry_after(reply, fault->value);
}

void
spoil_html(struct reply *reply, const struct fault *fault)
{
	int status = (int)fault->number;

	reply_text(reply, status, "text/html",
	    util_format("<html>\r\n<head><title>%d Sandbox Error</title>"
			"</head>\r\n<body>\r\n<center><h1>%d Sandbox Error"
			"</h1></center>\r\n<hr><center>proxy</center>\r\n"
			"</body>\r\n</html>\r\n",
		status, status));
	spoil_retry_after(reply, fault->value);
}

void
spoil_redirect(struct reply *reply, const struct fault *fault)
{
	reply_text(reply, 307, NULL, NULL);
	reply_header(reply, "Location", fault->value);
}

void
spoil_numbers(json_t *json)
{
	static const char *const names[] = { "expires_in", "interval" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const json_t *number = json_object_get(json, names[i]);
		char *text _cleanup_(util_free_text) = NULL;

		if (!json_is_integer(number))
			continue;
		text =
		    util_format("%lld", (long long)json_integer_value(number));
		json_object_set_new(json, names[i], json_string(text));
	}
}

static void
spoil_tree(json_t *json)
{
	const char *name;
	json_t *value;
	size_t i;

	if (json_is_array(json)) {
		json_array_foreach (json, i, value)
			spoil_tree(value);
	} else if (json_is_object(json)) {
		json_object_foreach (json, name, value)
			spoil_tree(value);
		json_object_set_new(
		    json, "x_sandbox_text", json_string("an unknown member"));
		json_object_set_new(json, "x_sandbox_tree",
		    json_pack("{s:[inb], s:{}}", "list", 1, 1, "empty"));
	}
}

void
spoil_members(json_t **json)
{
	json_t *copy = json_deep_copy(*json); /* parts of it are the world's */

	spoil_tree(copy);
	json_decref(*json);
	*json = copy;
}

void
spoil_body(struct reply *reply, struct evbuffer *body)
{
	char *text _cleanup_(util_free_text) = NULL;
	const char *type = reply->content_type;

	if (reply->json) {
		text = json_dumps(reply->json, JSON_COMPACT);
		if (!text)
			abort();
		evbuffer_add(body, text, strlen(text));
		type = type ? type : "application/json";
	} else if (reply->text) {
		evbuffer_add(body, reply->text, strlen(reply->text));
	}
	if (type)
		reply_header(reply, "Content-Type", type);
}

void
spoil_type(struct reply *reply, const struct fault *fault)
{
	for (size_t i = 0; i < reply->n_headers; i++) {
		struct header *header = &reply->headers[i];

		if (strcmp(header->name, "Content-Type") == 0)
			util_replace(&header->value, util_copy(fault->value));
	}
}

void
spoil_big(struct evbuffer *body, const struct fault *fault)
{
	static char block[SPOIL_BLOCK];
	int64_t blocks =
	    (int64_t)(fault->number * (1024.0 * 1024) / SPOIL_BLOCK);

	memset(block, 'x', sizeof block);
	evbuffer_drain(body, evbuffer_get_length(body));
	evbuffer_add_printf(body, "{\"padding\":\"");
	for (int64_t i = 0; i < blocks; i++) /* the same memory, many times */
		evbuffer_add_reference(body, block, sizeof block, NULL, NULL);
	evbuffer_add_printf(body, "\"}");
}

void
spoil_half(struct reply *reply, struct evbuffer *body)
{
	size_t len = evbuffer_get_length(body);
	char *text _cleanup_(util_free_text) =
	    util_format("%zu", len > 1 ? len : 64);
	struct evbuffer *half = evbuffer_new();

	if (!half)
		abort();
	evbuffer_remove_buffer(body, half, len / 2);
	evbuffer_drain(body, evbuffer_get_length(body));
	evbuffer_add_buffer(body, half);
	evbuffer_free(half);
	reply_header(reply, "Content-Length", text);
	reply_header(reply, "Connection", "close");
}
