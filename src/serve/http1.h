/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * http1 - the wire of both HTTP doors: reads one request of a strict subset of
 * HTTP/1.0 and 1.1 out of a buffer that grows, and knows what an answer's head
 * looks like. Pure: no descriptor, no allocation.
 *
 * What is read is kept as places in the caller's buffer, so the buffer may
 * move between calls; every function that gives text takes it again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define HTTP1_HEAD_MAX 8192
#define HTTP1_BODY_MAX 65536
#define HTTP1_FIELDS_MAX 64
/* An answer's status line with its Connection field is never longer. */
#define HTTP1_STATUS_LINE_MAX 96

enum http1_method {
	HTTP1_GET,
	HTTP1_HEAD,
	HTTP1_POST,
	HTTP1_PUT,
	HTTP1_PATCH,
	HTTP1_DELETE,
	HTTP1_OPTIONS,
	HTTP1_LIST, /* of Vault's clients */
	HTTP1_N_METHODS,
};

struct http1_view {
	const char *s; /* not NUL-terminated; NULL: there is none */
	size_t len;
};

struct http1_span {
	uint16_t at, len;
};

enum http1_result {
	HTTP1_MORE,     /* not complete yet */
	HTTP1_COMPLETE, /* nothing is behind it */
	HTTP1_INVALID,  /* status and why are set; the connection is lost */
};

enum http1_state { HTTP1_IN_LINE, HTTP1_IN_FIELDS, HTTP1_IN_BODY };

struct http1 {
	/* where the reader is */
	enum http1_state state;
	uint32_t line_at; /* first byte of the line that is being read */
	uint32_t seen;    /* bytes that were searched for its end */
	/* what it found */
	enum http1_method method;
	uint8_t minor; /* HTTP/1.minor */
	bool keep_alive, wants_continue, has_host, has_length, is_chunked;
	struct http1_span path, query; /* query: without '?', may be empty */
	uint16_t n_fields;
	uint32_t head_len, body_len;
	int status;      /* of an invalid request */
	const char *why; /* a static text */
	struct {
		struct http1_span name, value;
	} fields[HTTP1_FIELDS_MAX];
};

void http1_init(struct http1 *h);

/* buf[0..len) is everything received of this request so far; what was looked
 * at in an earlier call is not looked at again. */
enum http1_result http1_parse(struct http1 *h, const char *buf, size_t len);
/* The head is complete, its body is not, and the client waits for a "100". */
bool http1_wants_continue(const struct http1 *h);
/* The head is complete. */
bool http1_has_head(const struct http1 *h);

struct http1_view http1_path(const struct http1 *h, const char *buf);
struct http1_view http1_query(const struct http1 *h, const char *buf);
struct http1_view http1_body(const struct http1 *h, const char *buf);
/* The first field of this name, which is given in lower case. Here, so that
 * the compiler knows how long it is: each request is asked for half a dozen. */
struct http1_view http1_find(const struct http1 *h, const char *buf,
    const char *name, size_t len);
static inline struct http1_view
http1_field(const struct http1 *h, const char *buf, const char *name)
{
	return http1_find(h, buf, name, strlen(name));
}
/* Is there a field whose name begins so? */
bool http1_has_field_prefix(const struct http1 *h, const char *buf,
    const char *prefix);

/* The next element of a comma-separated list, trimmed; false at its end.
 * rest is moved on. Quoted strings may hold commas. */
bool http1_next_item(struct http1_view *rest, struct http1_view *item);
/* One "key=value" of a query after the other; false at the end. */
bool http1_next_param(struct http1_view *rest, struct http1_view *key,
    struct http1_view *value);
/* Equal without regard to case, s in lower case. */
bool http1_is(struct http1_view v, const char *s);
/* Digits only, at most max; -1 otherwise. */
int64_t http1_number(struct http1_view v, int64_t max);
/* Percent-decoding into out, NUL-terminated. -1: does not fit, or would give
 * a control character or (slash_ok is false) a slash. Wrong escapes were
 * refused by the parser. */
ssize_t http1_decode(struct http1_view v, bool slash_ok, char *out,
    size_t size);

const char *http1_method_name(enum http1_method m);
/* "HTTP/1.1 200 OK\r\n" and a Connection field where one is needed; returns
 * its length. */
size_t http1_status_line(char out[HTTP1_STATUS_LINE_MAX], int status,
    unsigned minor, bool keep_alive);
