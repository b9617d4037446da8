/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1 - see the header. Line by line: the end of a line is searched from
 * where the last search ended, and a line is looked at once, when it is whole.
 *
 * Everything that two readers could take differently is refused: a bare LF or
 * CR, folded lines, a space before a colon, two lengths, chunks, bytes behind
 * the request (pipelining). Nobody between us and the client could smuggle,
 * but a client that does such things is not one we know.
 */
#include "serve/http1.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

static const char *const method_names[HTTP1_N_METHODS] = {
	[HTTP1_GET] = "GET",
	[HTTP1_HEAD] = "HEAD",
	[HTTP1_POST] = "POST",
	[HTTP1_PUT] = "PUT",
	[HTTP1_PATCH] = "PATCH",
	[HTTP1_DELETE] = "DELETE",
	[HTTP1_OPTIONS] = "OPTIONS",
	[HTTP1_LIST] = "LIST",
};

void
http1_init(struct http1 *h)
{
	/* not the fields: half a kilobyte, and n_fields says it all */
	memset(h, 0, offsetof(struct http1, fields));
	h->method = HTTP1_GET;
}

static enum http1_result
invalid(struct http1 *h, int status, const char *why)
{
	h->status = status;
	h->why = why;
	return HTTP1_INVALID;
}

/* What a byte may stand in. One look each: the head of a request is most of
 * what there is to do. */
enum {
	IN_TOKEN = 1,  /* tchar of RFC 9110: names of fields */
	IN_VALUE = 2,  /* field values, obs-text too */
	IN_TARGET = 4, /* as it is; '%' and '?' mean something */
};
static const unsigned char classes[256] = {
	['\t'] = IN_VALUE,
	[' '] = IN_VALUE,
	['!'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['"'] = IN_VALUE | IN_TARGET,
	['#'] = IN_TOKEN | IN_VALUE,
	['$'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['%'] = IN_TOKEN | IN_VALUE,
	['&' ... '\''] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['(' ... ')'] = IN_VALUE | IN_TARGET,
	['*' ... '+'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	[','] = IN_VALUE | IN_TARGET,
	['-' ... '.'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['/'] = IN_VALUE | IN_TARGET,
	['0' ... '9'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	[':' ... '>'] = IN_VALUE | IN_TARGET,
	['?'] = IN_VALUE,
	['@'] = IN_VALUE | IN_TARGET,
	['A' ... 'Z'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['[' ... ']'] = IN_VALUE | IN_TARGET,
	['^' ... '`'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['a' ... 'z'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['{'] = IN_VALUE | IN_TARGET,
	['|'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	['}'] = IN_VALUE | IN_TARGET,
	['~'] = IN_TOKEN | IN_VALUE | IN_TARGET,
	[128 ... 255] = IN_VALUE,
};

static bool
is_in(char c, unsigned char class)
{
	return classes[(unsigned char)c] & class;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static struct http1_view
view_of(const char *buf, struct http1_span span)
{
	return (struct http1_view){ buf + span.at, span.len };
}

/* ---------------------------------------------------------- request line */

/* [at, end) is the target. Escapes are checked here, once and for all. */
static enum http1_result
parse_target(struct http1 *h, const char *buf, size_t at, size_t end)
{
	size_t i, question = end;

	if (at == end || buf[at] != '/')
		return invalid(h, 400, "the request target must be a path");
	for (i = at; i < end; i++) {
		if (is_in(buf[i], IN_TARGET))
			continue;
		if (buf[i] == '?') {
			question = MIN2(question, i);
			continue;
		}
		if (buf[i] != '%')
			return invalid(h, 400,
			    "the request target holds a forbidden character");
		if (end - i < 3 || hex_value(buf[i + 1]) < 0 ||
		    hex_value(buf[i + 2]) < 0)
			return invalid(h, 400,
			    "the request target holds a broken escape");
		if (hex_value(buf[i + 1]) < 2)
			return invalid(h, 400, "the request target holds an "
			    "escaped control character");
	}
	h->path = (struct http1_span){ (uint16_t)at,
		(uint16_t)(question - at) };
	if (question < end)
		question++;
	h->query = (struct http1_span){ (uint16_t)question,
		(uint16_t)(end - question) };
	return HTTP1_MORE;
}

static enum http1_result
parse_method(struct http1 *h, const char *s, size_t len)
{
	unsigned m;
	size_t i;

	for (m = 0; m < HTTP1_N_METHODS; m++) {
		if (strlen(method_names[m]) == len &&
		    memcmp(method_names[m], s, len) == 0) {
			h->method = (enum http1_method)m;
			return HTTP1_MORE;
		}
	}
	for (i = 0; i < len; i++)
		if (!is_in(s[i], IN_TOKEN))
			break;
	return len && i == len ? invalid(h, 501, "the method is unknown") :
	    invalid(h, 400, "this is no HTTP request line");
}

static enum http1_result
parse_version(struct http1 *h, const char *s, size_t len)
{
	if (len != 8 || memcmp(s, "HTTP/", 5) != 0 || !is_digit(s[5]) ||
	    s[6] != '.' || !is_digit(s[7]))
		return invalid(h, 400, "this is no HTTP request line");
	if (s[5] != '1' || s[7] > '1')
		return invalid(h, 505, "only HTTP/1.0 and HTTP/1.1 are spoken");
	h->minor = (uint8_t)(s[7] - '0');
	h->keep_alive = h->minor == 1;
	return HTTP1_MORE;
}

static enum http1_result
parse_request_line(struct http1 *h, const char *buf, size_t at, size_t end)
{
	const char *line = buf + at;
	const char *sp = memchr(line, ' ', end - at);
	const char *last = memrchr(line, ' ', end - at);
	enum http1_result r;

	if (!sp || last == sp)
		return invalid(h, 400, "this is no HTTP request line");
	r = parse_method(h, line, (size_t)(sp - line));
	if (r == HTTP1_MORE)
		r = parse_version(h, last + 1, (size_t)(buf + end - last - 1));
	if (r == HTTP1_MORE)
		r = parse_target(h, buf, (size_t)(sp + 1 - buf),
		    (size_t)(last - buf));
	return r;
}

/* ---------------------------------------------------------------- fields */

static enum http1_result
take_length(struct http1 *h, struct http1_view v)
{
	int64_t n;

	if (h->has_length)
		return invalid(h, 400, "there are two Content-Length fields");
	h->has_length = true;
	if (v.len == 0 || v.len > 18)
		return invalid(h, 400, "Content-Length is not a number");
	n = http1_number(v, INT64_MAX);
	if (n < 0)
		return invalid(h, 400, "Content-Length is not a number");
	if (n > HTTP1_BODY_MAX)
		return invalid(h, 413, "the body is larger than 64 KiB");
	h->body_len = (uint32_t)n;
	return HTTP1_MORE;
}

static enum http1_result
take_connection(struct http1 *h, struct http1_view v)
{
	struct http1_view item;
	bool close = false;

	while (http1_next_item(&v, &item)) {
		if (http1_is(item, "close"))
			close = true;
		else if (http1_is(item, "keep-alive"))
			h->keep_alive = true;
	}
	if (close)
		h->keep_alive = false;
	return HTTP1_MORE;
}

/* The fields that say how the rest is to be read. */
static enum http1_result
take_field(struct http1 *h, struct http1_view name, struct http1_view v)
{
	if (http1_is(name, "content-length"))
		return take_length(h, v);
	if (http1_is(name, "connection"))
		return take_connection(h, v);
	if (http1_is(name, "transfer-encoding"))
		h->is_chunked = true;
	if (http1_is(name, "host")) {
		if (h->has_host)
			return invalid(h, 400, "there are two Host fields");
		h->has_host = true;
	}
	if (http1_is(name, "expect")) {
		if (!http1_is(v, "100-continue"))
			return invalid(h, 417, "only 100-continue is known");
		h->wants_continue = h->minor == 1;
	}
	return HTTP1_MORE;
}

static enum http1_result
parse_field(struct http1 *h, const char *buf, size_t at, size_t end)
{
	size_t i = at, value;

	if (buf[at] == ' ' || buf[at] == '\t')
		return invalid(h, 400, "folded header lines are not spoken");
	while (i < end && is_in(buf[i], IN_TOKEN))
		i++;
	if (i == at || i == end || buf[i] != ':')
		return invalid(h, 400, "a header line is malformed");
	if (h->n_fields == HTTP1_FIELDS_MAX)
		return invalid(h, 431, "there are too many header lines");
	h->fields[h->n_fields].name = (struct http1_span){ (uint16_t)at,
		(uint16_t)(i - at) };
	for (value = ++i; i < end; i++)
		if (!is_in(buf[i], IN_VALUE))
			return invalid(h, 400,
			    "a header line holds a control character");
	while (value < end && (buf[value] == ' ' || buf[value] == '\t'))
		value++;
	while (end > value && (buf[end - 1] == ' ' || buf[end - 1] == '\t'))
		end--;
	h->fields[h->n_fields].value = (struct http1_span){ (uint16_t)value,
		(uint16_t)(end - value) };
	h->n_fields++;
	return take_field(h, view_of(buf, h->fields[h->n_fields - 1].name),
	    view_of(buf, h->fields[h->n_fields - 1].value));
}

static enum http1_result
end_of_head(struct http1 *h, size_t head_len)
{
	if (h->is_chunked && h->has_length)
		return invalid(h, 400,
		    "both Content-Length and Transfer-Encoding are given");
	if (h->is_chunked)
		return invalid(h, 411, "a body needs a Content-Length; "
		    "Transfer-Encoding is not spoken");
	if (!h->has_host && h->minor == 1)
		return invalid(h, 400, "there is no Host field");
	h->head_len = (uint32_t)head_len;
	h->state = HTTP1_IN_BODY;
	return HTTP1_MORE;
}

/* ------------------------------------------------------------------ read */

/* One whole line: [h->line_at, end) without its CR LF; next follows it. */
static enum http1_result
parse_line(struct http1 *h, const char *buf, size_t end, size_t next)
{
	enum http1_result r;

	if (h->state == HTTP1_IN_LINE) {
		r = parse_request_line(h, buf, h->line_at, end);
		h->state = HTTP1_IN_FIELDS;
	} else if (h->line_at == end) {
		r = end_of_head(h, next);
	} else {
		r = parse_field(h, buf, h->line_at, end);
	}
	h->line_at = (uint32_t)next;
	h->seen = (uint32_t)next;
	return r;
}

static enum http1_result
parse_head(struct http1 *h, const char *buf, size_t len)
{
	size_t limit = MIN2(len, HTTP1_HEAD_MAX);
	const char *lf;
	enum http1_result r;

	while (h->state != HTTP1_IN_BODY) {
		lf = h->seen < limit ?
		    memchr(buf + h->seen, '\n', limit - h->seen) : NULL;
		if (!lf) {
			h->seen = (uint32_t)limit;
			return len >= HTTP1_HEAD_MAX ? invalid(h, 431,
			    "the head is larger than 8 KiB") : HTTP1_MORE;
		}
		if (lf == buf + h->line_at || lf[-1] != '\r')
			return invalid(h, 400, "a line ends without CR");
		r = parse_line(h, buf, (size_t)(lf - 1 - buf),
		    (size_t)(lf + 1 - buf));
		if (r == HTTP1_INVALID)
			return r;
	}
	return HTTP1_MORE;
}

enum http1_result
http1_parse(struct http1 *h, const char *buf, size_t len)
{
	if (h->state != HTTP1_IN_BODY &&
	    parse_head(h, buf, len) == HTTP1_INVALID)
		return HTTP1_INVALID;
	if (h->state != HTTP1_IN_BODY || len < h->head_len + h->body_len)
		return HTTP1_MORE;
	if (len > h->head_len + h->body_len)
		return invalid(h, 400, "bytes follow the request; "
		    "pipelining is not spoken");
	return HTTP1_COMPLETE;
}

bool
http1_has_head(const struct http1 *h)
{
	return h->state == HTTP1_IN_BODY;
}

bool
http1_wants_continue(const struct http1 *h)
{
	return http1_has_head(h) && h->wants_continue && h->body_len > 0;
}

/* --------------------------------------------------------------- look-up */

struct http1_view
http1_path(const struct http1 *h, const char *buf)
{
	return view_of(buf, h->path);
}

struct http1_view
http1_query(const struct http1 *h, const char *buf)
{
	return view_of(buf, h->query);
}

struct http1_view
http1_body(const struct http1 *h, const char *buf)
{
	return (struct http1_view){ buf + h->head_len, h->body_len };
}

bool
http1_is(struct http1_view v, const char *s)
{
	size_t n = strlen(s);

	return v.len == n && strncasecmp(v.s, s, n) == 0;
}

struct http1_view
http1_find(const struct http1 *h, const char *buf, const char *name,
    size_t len)
{
	unsigned i;

	for (i = 0; i < h->n_fields; i++)
		if (h->fields[i].name.len == len &&
		    strncasecmp(buf + h->fields[i].name.at, name, len) == 0)
			return view_of(buf, h->fields[i].value);
	return (struct http1_view){ NULL, 0 };
}

bool
http1_has_field_prefix(const struct http1 *h, const char *buf,
    const char *prefix)
{
	size_t n = strlen(prefix);
	unsigned i;

	for (i = 0; i < h->n_fields; i++)
		if (h->fields[i].name.len >= n &&
		    strncasecmp(buf + h->fields[i].name.at, prefix, n) == 0)
			return true;
	return false;
}

bool
http1_next_item(struct http1_view *rest, struct http1_view *item)
{
	const char *s = rest->s, *end = s + rest->len, *stop;
	bool quoted = false;

	while (rest->len && s < end && (*s == ' ' || *s == '\t' || *s == ','))
		s++;
	if (rest->len == 0 || s == end)
		return false;
	for (stop = s; stop < end && (quoted || *stop != ','); stop++)
		if (*stop == '"')
			quoted = !quoted;
	*rest = (struct http1_view){ stop, (size_t)(end - stop) };
	while (stop > s && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	*item = (struct http1_view){ s, (size_t)(stop - s) };
	return true;
}

ssize_t
http1_decode(struct http1_view v, bool slash_ok, char *out, size_t size)
{
	size_t i, n = 0;
	char c;

	for (i = 0; i < v.len; i++) {
		c = v.s[i];
		if (c == '%') {
			c = (char)(hex_value(v.s[i + 1]) * 16 +
			    hex_value(v.s[i + 2]));
			i += 2;
		}
		if ((unsigned char)c < ' ' || c == 127 ||
		    (c == '/' && !slash_ok) || n + 1 >= size)
			return -1;
		out[n++] = c;
	}
	if (n >= size)
		return -1;
	out[n] = '\0';
	return (ssize_t)n;
}

bool
http1_next_param(struct http1_view *rest, struct http1_view *key,
    struct http1_view *value)
{
	const char *amp, *eq;
	struct http1_view one;

	if (rest->len == 0)
		return false;
	amp = memchr(rest->s, '&', rest->len);
	one = (struct http1_view){ rest->s,
		amp ? (size_t)(amp - rest->s) : rest->len };
	rest->s += one.len + (amp != NULL);
	rest->len -= one.len + (amp != NULL);
	eq = one.len ? memchr(one.s, '=', one.len) : NULL;
	*key = (struct http1_view){ one.s,
		eq ? (size_t)(eq - one.s) : one.len };
	*value = eq ? (struct http1_view){ eq + 1, one.len - key->len - 1 } :
	    (struct http1_view){ one.s + one.len, 0 };
	return true;
}

int64_t
http1_number(struct http1_view v, int64_t max)
{
	int64_t n = 0;
	size_t i;

	for (i = 0; i < v.len; i++) {
		if (!is_digit(v.s[i]) || n > (max - (v.s[i] - '0')) / 10)
			return -1;
		n = n * 10 + (v.s[i] - '0');
	}
	return v.len ? n : -1;
}

/* ---------------------------------------------------------------- answer */

const char *
http1_method_name(enum http1_method m)
{
	return m < HTTP1_N_METHODS ? method_names[m] : "?";
}

static const char *
http1_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 202, "Accepted" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

size_t
http1_status_line(char out[HTTP1_STATUS_LINE_MAX], int status, unsigned minor,
    bool keep_alive)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\n";
	const char *connection = "";

	if (status == 200 && minor == 1 && keep_alive) {
		memcpy(out, ok, sizeof(ok));
		return sizeof(ok) - 1;
	}
	if (!keep_alive)
		connection = "Connection: close\r\n";
	else if (minor == 0)
		connection = "Connection: keep-alive\r\n";
	return (size_t)snprintf(out, HTTP1_STATUS_LINE_MAX,
	    "HTTP/1.1 %d %s\r\n%s", status, http1_reason(status), connection);
}
