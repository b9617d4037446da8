/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "serve/http1.h"

#define HOST "Host: x\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST

/* Fed whole, and byte by byte: the result must be the same. */
static enum http1_result
feed(struct http1 *h, const char *text, size_t len, bool one_by_one)
{
	enum http1_result r = HTTP1_MORE;
	size_t i;

	http1_init(h);
	for (i = one_by_one ? 1 : len; i <= len && r == HTTP1_MORE; i++) {
		/* a buffer that moves each time */
		char *copy = malloc(i);

		memcpy(copy, text, i);
		r = http1_parse(h, copy, i);
		free(copy);
	}
	return r;
}

struct bad {
	const char *text;
	size_t len; /* 0: strlen */
	int status;
	const char *why; /* a part of it */
};

static void
refuses_what_is_not_strict(void **state)
{
	static const struct bad cases[] = {
		{ "GET /\r\n", 0, 400, "no HTTP request line" },
		{ "GET / HTTP/1.1\n" HOST "\r\n", 0, 400, "without CR" },
		{ "\nGET / HTTP/1.1\r\n", 0, 400, "without CR" },
		{ "\r\nGET / HTTP/1.1\r\n", 0, 400, "no HTTP request line" },
		{ "get / HTTP/1.1\r\n", 0, 501, "method" },
		{ "BREW / HTTP/1.1\r\n", 0, 501, "method" },
		{ "G@T / HTTP/1.1\r\n", 0, 400, "no HTTP request line" },
		{ " / HTTP/1.1\r\n", 0, 400, "no HTTP request line" },
		{ "GET  / HTTP/1.1\r\n", 0, 400, "must be a path" },
		{ "GET / x HTTP/1.1\r\n", 0, 400, "forbidden character" },
		{ "GET / HTTP/2.0\r\n", 0, 505, "1.0 and HTTP/1.1" },
		{ "GET / HTTP/1.2\r\n", 0, 505, "1.0 and HTTP/1.1" },
		{ "GET / HTTP/1.1 \r\n", 0, 400, "no HTTP request line" },
		{ "GET / FTP/1.1\r\n", 0, 400, "no HTTP request line" },
		{ "GET http://x/ HTTP/1.1\r\n", 0, 400, "must be a path" },
		{ "OPTIONS * HTTP/1.1\r\n", 0, 400, "must be a path" },
		{ "GET /a#b HTTP/1.1\r\n", 0, 400, "forbidden character" },
		{ "GET /\xc3\xa4 HTTP/1.1\r\n", 0, 400, "forbidden" },
		{ "GET /%0 HTTP/1.1\r\n", 0, 400, "broken escape" },
		{ "GET /%zz HTTP/1.1\r\n", 0, 400, "broken escape" },
		{ "GET /% HTTP/1.1\r\n", 0, 400, "broken escape" },
		{ "GET /%00 HTTP/1.1\r\n", 0, 400, "control character" },
		{ "GET /?a=%0a HTTP/1.1\r\n", 0, 400, "control character" },
		{ "GET / HTTP/1.1\r\nHost : x\r\n", 0, 400, "malformed" },
		{ "GET / HTTP/1.1\r\n: x\r\n", 0, 400, "malformed" },
		{ "GET / HTTP/1.1\r\nHost\r\n", 0, 400, "malformed" },
		{ GET "A: b\r\n c\r\n", 0, 400, "folded" },
		{ GET "A: b\r\n\tc\r\n", 0, 400, "folded" },
		{ GET "A: b\0c\r\n", sizeof(GET "A: b\0c\r\n") - 1, 400,
		    "control character" },
		{ GET "A: b\rc\r\n", 0, 400, "control character" },
		{ GET "A: b\x7f\r\n", 0, 400, "control character" },
		{ "GET / HTTP/1.1\r\n\r\n", 0, 400, "no Host" },
		{ GET HOST "\r\n", 0, 400, "two Host" },
		{ GET "Content-Length: 1\r\ncontent-length: 1\r\n\r\n", 0,
		    400, "two Content-Length" },
		{ GET "Content-Length: -1\r\n", 0, 400, "not a number" },
		{ GET "Content-Length: +1\r\n", 0, 400, "not a number" },
		{ GET "Content-Length: 1, 1\r\n", 0, 400, "not a number" },
		{ GET "Content-Length:\r\n", 0, 400, "not a number" },
		{ GET "Content-Length: 99999999999999999999\r\n", 0, 400,
		    "not a number" },
		{ GET "Content-Length: 65537\r\n", 0, 413, "64 KiB" },
		{ GET "Transfer-Encoding: chunked\r\n\r\n", 0, 411,
		    "Content-Length" },
		{ GET "Transfer-Encoding: gzip\r\n\r\n", 0, 411,
		    "Content-Length" },
		{ GET "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"
		    "\r\n", 0, 400, "both" },
		{ GET "Expect: the-unexpected\r\n", 0, 417, "100-continue" },
	};
	struct http1 h;
	size_t i, len;
	int slow;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		len = cases[i].len ? cases[i].len : strlen(cases[i].text);
		for (slow = 0; slow < 2; slow++) {
			if (feed(&h, cases[i].text, len, slow) !=
			    HTTP1_INVALID || h.status != cases[i].status ||
			    !strstr(h.why, cases[i].why))
				fail_msg("case %zu: status %d", i, h.status);
		}
	}
}

static void
refuses_what_is_behind_a_request(void **state)
{
	struct http1 h;

	assert_int_equal(feed(&h, GET "\r\nG", sizeof(GET "\r\nG") - 1, false),
	    HTTP1_INVALID);
	assert_int_equal(h.status, 400);
	assert_non_null(strstr(h.why, "pipelining"));
}

static void
bounds_the_head(void **state)
{
	static char big[HTTP1_HEAD_MAX + 2];
	struct http1 h;
	size_t n = sizeof(GET "A: ") - 1, i;

	/* exactly 8 KiB is fine */
	memset(big, 'a', sizeof(big));
	memcpy(big, GET "A: ", n);
	memcpy(big + HTTP1_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(feed(&h, big, HTTP1_HEAD_MAX, false),
	    HTTP1_COMPLETE);
	assert_int_equal(h.head_len, HTTP1_HEAD_MAX);
	memset(big + HTTP1_HEAD_MAX - 4, 'a', 6);
	memcpy(big + HTTP1_HEAD_MAX - 3, "\r\n\r\n", 4);
	assert_int_equal(feed(&h, big, HTTP1_HEAD_MAX + 1, false),
	    HTTP1_INVALID);
	assert_int_equal(h.status, 431);
	/* too many lines */
	n = (size_t)snprintf(big, sizeof(big), GET);
	for (i = 0; i < HTTP1_FIELDS_MAX; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n, "A: b\r\n");
	assert_int_equal(feed(&h, big, n, true), HTTP1_INVALID);
	assert_int_equal(h.status, 431);
}

struct good {
	const char *text;
	enum http1_method method;
	const char *path, *query, *body;
	bool keep_alive;
};

static void
reads_what_clients_send(void **state)
{
	static const struct good cases[] = {
		/* curl, Python's http.client, Go's net/http */
		{ "GET /api/v1/tokens/t?min_valid=3 HTTP/1.1\r\nHost: x\r\n"
		  "User-Agent: curl/7.88.1\r\nAccept: */*\r\n"
		  "X-Tokenbroker:1\r\n\r\n", HTTP1_GET, "/api/v1/tokens/t",
		    "min_valid=3", "", true },
		{ "POST /r HTTP/1.1\r\nHost: localhost\r\n"
		  "Accept-Encoding: identity\r\nContent-Length: 2\r\n"
		  "X-Tokenbroker: 1\r\n\r\n{}", HTTP1_POST, "/r", "", "{}",
		    true },
		{ "GET /a%2Fb HTTP/1.1\r\nHost: tokenbroker\r\n"
		  "User-Agent: Go-http-client/1.1\r\nX-Tokenbroker:  1 \r\n"
		  "Accept-Encoding: gzip\r\n\r\n", HTTP1_GET, "/a%2Fb", "",
		    "", true },
		{ "GET / HTTP/1.0\r\n\r\n", HTTP1_GET, "/", "", "", false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		    HTTP1_GET, "/", "", "", true },
		{ GET "Connection: foo, Close\r\n\r\n", HTTP1_GET, "/", "",
		    "", false },
		{ "DELETE /? HTTP/1.1\r\nHost:\r\n\r\n", HTTP1_DELETE, "/",
		    "", "", true },
	};
	struct http1 h;
	struct http1_view v;
	size_t i;
	int slow;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct good *c = &cases[i];

		for (slow = 0; slow < 2; slow++) {
			assert_int_equal(feed(&h, c->text, strlen(c->text),
			    slow), HTTP1_COMPLETE);
			assert_int_equal(h.method, c->method);
			assert_int_equal(h.keep_alive, c->keep_alive);
			v = http1_path(&h, c->text);
			assert_int_equal(v.len, strlen(c->path));
			assert_memory_equal(v.s, c->path, v.len);
			v = http1_query(&h, c->text);
			assert_int_equal(v.len, strlen(c->query));
			assert_memory_equal(v.s, c->query, v.len);
			v = http1_body(&h, c->text);
			assert_int_equal(v.len, strlen(c->body));
			assert_memory_equal(v.s, c->body, v.len);
		}
	}
}

static void
looks_up_fields(void **state)
{
	static const char text[] = GET "X-Tokenbroker: 1\r\nSEC-Fetch-Mode: a"
	    "\r\nAccept: text/plain;q=1, \"a,b\" , */*\r\nEmpty:\r\n\r\n";
	struct http1_view v, item;
	struct http1 h;

	assert_int_equal(feed(&h, text, sizeof(text) - 1, false),
	    HTTP1_COMPLETE);
	assert_true(http1_is(http1_field(&h, text, "x-tokenbroker"), "1"));
	assert_null(http1_field(&h, text, "x-token").s);
	assert_non_null(http1_field(&h, text, "empty").s);
	assert_int_equal(http1_field(&h, text, "empty").len, 0);
	assert_true(http1_has_field_prefix(&h, text, "sec-fetch-"));
	assert_false(http1_has_field_prefix(&h, text, "sec-fetch-mode-"));
	v = http1_field(&h, text, "accept");
	assert_true(http1_next_item(&v, &item));
	assert_true(http1_is(item, "text/plain;q=1"));
	assert_true(http1_next_item(&v, &item));
	assert_true(http1_is(item, "\"a,b\""));
	assert_true(http1_next_item(&v, &item));
	assert_true(http1_is(item, "*/*"));
	assert_false(http1_next_item(&v, &item));
}

static void
splits_a_query(void **state)
{
	struct http1_view rest = { "a=1&b&=c&&a=%20", 15 }, k, v;
	static const char *const want[] = { "a", "1", "b", "", "", "c", "", "",
		"a", "%20" };
	char out[8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(want); i += 2) {
		assert_true(http1_next_param(&rest, &k, &v));
		assert_int_equal(k.len, strlen(want[i]));
		assert_memory_equal(k.s, want[i], k.len);
		assert_int_equal(v.len, strlen(want[i + 1]));
		assert_memory_equal(v.s, want[i + 1], v.len);
	}
	assert_false(http1_next_param(&rest, &k, &v));
	assert_int_equal(http1_decode(v, false, out, sizeof(out)), 1);
	assert_string_equal(out, " ");
}

static void
decodes_names(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{ "telegraf", "telegraf" },
		{ "a%2db", "a-b" },
		{ "a+b", "a+b" },
		{ "a%2Fb", NULL },
		{ "a%2fb", NULL },
		{ "a%7f", NULL },
		{ "12345678", NULL },
		{ "", "" },
	};
	char out[9];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http1_view v = { cases[i].in, strlen(cases[i].in) };
		ssize_t n = http1_decode(v, false, out, 9 - (i == 6));

		if (cases[i].out) {
			assert_int_equal(n, strlen(cases[i].out));
			assert_string_equal(out, cases[i].out);
		} else {
			assert_int_equal(n, -1);
		}
	}
}

static void
reads_numbers(void **state)
{
	static const struct {
		const char *in;
		int64_t out;
	} cases[] = {
		{ "0", 0 }, { "100", 100 }, { "101", -1 }, { "", -1 },
		{ "1x", -1 }, { "-1", -1 }, { "9999999999999999999999", -1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(http1_number((struct http1_view){
		    cases[i].in, strlen(cases[i].in) }, 100), cases[i].out);
}

static void
says_when_a_client_waits_for_100(void **state)
{
	static const char text[] = "POST / HTTP/1.1\r\n" HOST
	    "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
	static const char old[] = "POST / HTTP/1.0\r\n"
	    "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
	struct http1 h;

	assert_int_equal(feed(&h, text, sizeof(text) - 1, false), HTTP1_MORE);
	assert_true(http1_wants_continue(&h));
	assert_int_equal(feed(&h, text, 20, false), HTTP1_MORE);
	assert_false(http1_wants_continue(&h));
	assert_int_equal(feed(&h, old, sizeof(old) - 1, false), HTTP1_MORE);
	assert_false(http1_wants_continue(&h));
}

/* What RFC 9110 lets stand in a name and a value, and what we in a target. */
static bool
may_be_in_name(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void
takes_each_byte_where_it_may_be(void **state)
{
	for (int c = 0; c < 256; c++) {
		const struct {
			const char *head, *tail;
			bool fine;
		} places[] = {
			{ GET "a", "c: v\r\n\r\n",
				may_be_in_name(c) || c == ':' },
			{ GET "a: b", "c\r\n\r\n",
				(c >= ' ' && c != 127) || c == '\t' },
			{ "GET /a", "b HTTP/1.1\r\n" HOST "\r\n",
				c > ' ' && c < 127 && c != '#' && c != '%' },
		};

		for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
			char text[128];
			struct http1 h;
			int n = snprintf(text, sizeof(text), "%s_%s",
			    places[i].head, places[i].tail);

			text[strlen(places[i].head)] = (char)c;
			if ((feed(&h, text, (size_t)n, false) ==
				HTTP1_COMPLETE) != places[i].fine)
				fail_msg("byte %d in place %zu", c, i);
		}
	}
}

static void
makes_status_lines(void **state)
{
	char line[HTTP1_STATUS_LINE_MAX];
	size_t n;

	n = http1_status_line(line, 200, 1, true);
	assert_string_equal(line, "HTTP/1.1 200 OK\r\n");
	assert_int_equal(n, strlen(line));
	n = http1_status_line(line, 200, 1, false);
	assert_string_equal(line,
	    "HTTP/1.1 200 OK\r\nConnection: close\r\n");
	assert_int_equal(n, strlen(line));
	http1_status_line(line, 304, 0, true);
	assert_string_equal(line, "HTTP/1.1 304 Not Modified\r\n"
	    "Connection: keep-alive\r\n");
	n = http1_status_line(line, 431, 1, false);
	assert_true(n < HTTP1_STATUS_LINE_MAX);
	assert_string_equal(http1_method_name(HTTP1_DELETE), "DELETE");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_not_strict),
		cmocka_unit_test(refuses_what_is_behind_a_request),
		cmocka_unit_test(bounds_the_head),
		cmocka_unit_test(reads_what_clients_send),
		cmocka_unit_test(looks_up_fields),
		cmocka_unit_test(splits_a_query),
		cmocka_unit_test(decodes_names),
		cmocka_unit_test(reads_numbers),
		cmocka_unit_test(says_when_a_client_waits_for_100),
		cmocka_unit_test(takes_each_byte_where_it_may_be),
		cmocka_unit_test(makes_status_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
