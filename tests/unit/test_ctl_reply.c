/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl/reply: answers whole and byte by byte, and everything that is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "ctl/reply.h"

#define HEAD "HTTP/1.1 200 OK\r\n"

static int
feed(struct reply *r, const char *s, size_t step, struct tb_error *err)
{
	size_t left = strlen(s), n;

	reply_clear(r);
	for (; left; s += n, left -= n) {
		n = MIN2(step, left);
		if (reply_feed(r, s, n, err) < 0)
			return -1;
	}
	return 0;
}

static void
answers_are_read_however_cut(void **state)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Type: application/problem+json; charset=utf-8\r\n"
	    "retry-after:  7 \r\nContent-Length: 11\r\n"
	    "Connection: close\r\n\r\nhello world";
	struct reply r = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	size_t step;

	for (step = 1; step <= sizeof(text); step++) {
		assert_int_equal(feed(&r, text, step, &err), 0);
		assert_true(reply_is_complete(&r));
		assert_int_equal(r.status, 503);
		assert_int_equal(r.retry_after_s, 7);
		assert_true(r.closes);
		assert_string_equal(r.type, "application/problem+json");
		assert_string_equal(secret_reveal(&r.body), "hello world");
		assert_int_equal(r.body.len, 11);
	}
	reply_clear(&r);
}

static void
every_prefix_is_incomplete(void **state)
{
	static const char text[] = HEAD "Content-Length: 2\r\n\r\nab";
	struct reply r = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	size_t n;

	assert_true(reply_is_untouched(&r));
	for (n = 1; n < sizeof(text) - 1; n++) {
		reply_clear(&r);
		assert_int_equal(reply_feed(&r, text, n, &err), 0);
		assert_false(reply_is_complete(&r));
		assert_false(reply_is_untouched(&r));
	}
	reply_clear(&r);
}

static void
no_body_is_needed_where_none_can_be(void **state)
{
	static const char *const good[] = {
		"HTTP/1.1 304 Not Modified\r\nETag: \"3\"\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	};
	struct reply r = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(feed(&r, good[i], 1, &err), 0);
		assert_true(reply_is_complete(&r));
	}
	reply_clear(&r);
}

static void
nonsense_is_refused(void **state)
{
	static const struct {
		const char *bytes, *text;
	} t[] = {
		{ "SSH-2.0", "is not HTTP/1.1" },
		{ "\r\n\r\n", "is not HTTP/1.1" },
		{ "HTTP/1.0 200 OK\r\n\r\n", "is not HTTP/1.1" },
		{ "HTTP/1.1 20x OK\r\n\r\n", "no status of three digits" },
		{ "HTTP/1.1 2000 OK\r\n\r\n", "no status of three digits" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", "none of a final answer" },
		{ "HTTP/1.1 999 X\r\n\r\n", "none of a final answer" },
		{ HEAD "\r\n", "does not say its length" },
		{ HEAD "Content-Length: -1\r\n\r\n", "is not a number" },
		{ HEAD "Content-Length: 1 1\r\n\r\n", "is not a number" },
		{ HEAD "Content-Length:\r\n\r\n", "is not a number" },
		{ HEAD "Content-Length: 9999999999999999\r\n\r\n",
		    "is not a number" },
		{ HEAD "Content-Length: 16777217\r\n\r\n",
		    "larger than 16 MiB" },
		{ HEAD "Content-Length: 1\r\ncontent-length: 1\r\n\r\n",
		    "two lengths" },
		{ HEAD "Transfer-Encoding: chunked\r\n\r\n", "in chunks" },
		{ HEAD "X\r\n\r\n", "without a colon" },
		{ HEAD ": x\r\n\r\n", "malformed header name" },
		{ HEAD "X : y\r\n\r\n", "malformed header name" },
		{ HEAD "A: b\r\n folded\r\n\r\n", "without a colon" },
		{ HEAD "A: b\r\n folded: c\r\n\r\n", "malformed header name" },
		{ HEAD "A: b\nC: d\r\n\r\n", "bare line end" },
		{ HEAD "A: b\rC: d\r\n\r\n", "bare line end" },
		{ HEAD "Content-Length: 1\r\n\r\nab", "bytes behind" },
		{ "HTTP/1.1 304 X\r\nContent-Length: 1\r\n\r\na",
		    "bytes behind" },
	};
	struct reply r = REPLY_INIT;
	struct tb_error err;
	size_t i, step;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		for (step = 1; step < 100; step += 98) {
			err = (struct tb_error)TB_ERROR_INIT;
			assert_int_equal(feed(&r, t[i].bytes, step, &err), -1);
			if (!strstr(err.msg, t[i].text))
				fail_msg("%s: '%s'", t[i].bytes, err.msg);
		}
	reply_clear(&r);
}

static void
a_nul_in_the_head_is_refused(void **state)
{
	static const char text[] = HEAD "A: b\0c\r\nContent-Length: 0\r\n\r\n";
	struct reply r = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(reply_feed(&r, text, sizeof(text) - 1, &err), -1);
	assert_non_null(strstr(err.msg, "NUL"));
	reply_clear(&r);
}

static void
an_endless_head_is_cut_off(void **state)
{
	char piece[1024];
	struct reply r = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	size_t fed = 0;

	memset(piece, 'x', sizeof(piece));
	assert_int_equal(reply_feed(&r, "HTTP/1.1 ", 9, &err), 0);
	while (reply_feed(&r, piece, sizeof(piece), &err) == 0)
		fed += sizeof(piece);
	assert_int_equal(err.code, TB_E_LIMIT);
	assert_in_range(fed, REPLY_HEAD_CAP - 2 * sizeof(piece),
	    REPLY_HEAD_CAP);
	reply_clear(&r);
}

/* Any bytes at all: no crash, and an end. */
static void
garbage_does_no_harm(void **state)
{
	struct reply r = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	uint32_t seed = 1;
	char bytes[256];
	size_t i, round;

	for (round = 0; round < 2000; round++) {
		memcpy(bytes, HEAD "Content-Length: 3\r\n\r\nabc", 41);
		for (i = 0; i < 3; i++) {
			seed = seed * 1103515245u + 12345u;
			bytes[seed >> 16 & 31] = (char)(seed >> 8);
		}
		reply_clear(&r);
		(void)reply_feed(&r, bytes, 41, &err);
	}
	reply_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_however_cut),
		cmocka_unit_test(every_prefix_is_incomplete),
		cmocka_unit_test(no_body_is_needed_where_none_can_be),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_nul_in_the_head_is_refused),
		cmocka_unit_test(an_endless_head_is_cut_off),
		cmocka_unit_test(garbage_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
