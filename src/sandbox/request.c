/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/request.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sandbox/util.h"

#define PARAMS_MAX 64

static int
params_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Whether jansson will take it, which is to say that it is UTF-8. */
static bool
params_is_utf8(const char *text)
{
	json_t *json _cleanup_(util_free_json) = json_string(text);

	return json;
}

/* Decode one name or value; NULL when malformed, with a NUL, or not UTF-8. */
static char *
params_decode(const char *text, size_t len)
{
	char *out = util_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int hi = i + 2 < len ? params_hex(text[i + 1]) : -1;
			int lo = i + 2 < len ? params_hex(text[i + 2]) : -1;

			c = hi < 0 || lo < 0 ? 0 : hi * 16 + lo;
			i += 2;
		}
		if (c == 0) {
			free(out);
			return NULL;
		}
		out[n++] = (char)c;
	}
	if (!params_is_utf8(out)) {
		free(out);
		return NULL;
	}
	return out;
}

static int
params_add(struct params *params, const char *pair, size_t len)
{
	const char *equals = memchr(pair, '=', len);
	size_t name_len = equals ? (size_t)(equals - pair) : len;
	struct param *param;

	if (len == 0)
		return 0;
	if (params->count == PARAMS_MAX)
		return -1;
	if (!params->list)
		params->list = util_alloc(PARAMS_MAX * sizeof *params->list);
	param = &params->list[params->count++];
	param->name = params_decode(pair, name_len);
	param->value = equals ? params_decode(equals + 1, len - name_len - 1)
			      : util_copy("");
	return param->name && param->value ? 0 : -1;
}

int
params_parse(struct params *params, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *and = memchr(text, '&', (size_t)(end - text));
		const char *stop = and? and : end;

		if (params_add(params, text, (size_t)(stop - text)) < 0)
			return -1;
		text = stop + 1;
	}
	return 0;
}

void
params_clear(struct params *params)
{
	for (size_t i = 0; i < params->count; i++) {
		free(params->list[i].name);
		free(params->list[i].value);
	}
	free(params->list);
	params->list = NULL;
	params->count = 0;
}

const char *
params_get(const struct params *params, const char *name)
{
	for (size_t i = 0; i < params->count; i++) {
		const struct param *p = &params->list[i];

		if (p->name && p->value && strcmp(p->name, name) == 0)
			return *p->value ? p->value : NULL;
	}
	return NULL;
}

bool
params_has_duplicate(const struct params *params)
{
	for (size_t i = 0; i < params->count; i++) {
		for (size_t j = i + 1; j < params->count; j++) {
			if (strcmp(params->list[i].name,
				params->list[j].name) == 0 &&
			    strcmp(params->list[i].name, "audience") != 0 &&
			    strcmp(params->list[i].name, "resource") != 0)
				return true;
		}
	}
	return false;
}

void
request_clear(struct request *request)
{
	if (request->body)
		OPENSSL_cleanse(request->body, request->body_len);
	free(request->body);
	free(request->method);
	free(request->path);
	free(request->authorization);
	free(request->content_type);
	free(request->cookie);
	free(request->origin);
	free(request->host);
	for (size_t i = 0; i < REQUEST_SEGMENTS; i++)
		free(request->segment[i]);
	params_clear(&request->query);
	params_clear(&request->form);
	*request = (struct request){ 0 };
}

const char *
request_bearer(const struct request *request)
{
	const char *text = request->authorization;

	if (!text || strncasecmp(text, "Bearer ", 7) != 0)
		return NULL;
	text += 7 + strspn(text + 7, " ");
	return *text ? text : NULL;
}

char *
request_cookie(const struct request *request, const char *name)
{
	const char *p = request->cookie;
	size_t len = strlen(name);

	while (p && *p) {
		p += strspn(p, "; ");
		if (strncmp(p, name, len) == 0 && p[len] == '=')
			return util_format("%.*s",
			    (int)strcspn(p + len + 1, "; "), p + len + 1);
		p = strchr(p, ';');
	}
	return NULL;
}

bool
request_is_type(const struct request *request, const char *type)
{
	const char *given = request->content_type;
	size_t len = strlen(type);

	return given && strncasecmp(given, type, len) == 0 &&
	       (given[len] == '\0' || given[len] == ';' || given[len] == ' ');
}

json_t *
request_json(const struct request *request)
{
	json_t *json;

	if (!request->body)
		return NULL;
	json = json_loadb(
	    request->body, request->body_len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

void
reply_clear(struct reply *reply)
{
	json_decref(reply->json);
	free(reply->text);
	for (size_t i = 0; i < reply->n_headers; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	*reply = (struct reply){ 0 };
}

void
reply_header(struct reply *reply, const char *name, const char *value)
{
	struct header *header;

	if (reply->n_headers == ARRAY_SIZE(reply->headers) ||
	    strpbrk(value, "\r\n"))
		return;
	header = &reply->headers[reply->n_headers++];
	header->name = util_copy(name);
	header->value = util_copy(value);
}

void
reply_json(struct reply *reply, int status, json_t *json)
{
	reply_clear(reply);
	reply->status = status;
	reply->json = json;
	reply_header(reply, "Cache-Control", "no-store");
}

void
reply_text(struct reply *reply, int status, const char *type, char *text)
{
	reply_clear(reply);
	reply->status = status;
	reply->text = text;
	reply->content_type = type;
	reply_header(reply, "Cache-Control", "no-store");
}

void
reply_oauth_error(
    struct reply *reply, int status, const char *error, const char *description)
{
	reply_json(reply, status,
	    json_pack("{s:s, s:s}", "error", error, "error_description",
		description));
}

void
reply_api_error(struct reply *reply, int status, const char *message)
{
	reply_json(reply, status,
	    json_pack("{s:i, s:s}", "code", status, "message", message));
}
