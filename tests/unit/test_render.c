/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/util.h"
#include "broker/broker.h"
#include "serve/http1.h"
#include "serve/render.h"

#define NOW INT64_C(1795368000)

static char text[4096];

/* The parts of an answer, one behind the other. */
static const char *
join(const struct render_reply *r)
{
	size_t n = 0;
	int i;

	for (i = 0; i < r->n_iov; i++) {
		memcpy(text + n, r->iov[i].iov_base, r->iov[i].iov_len);
		n += r->iov[i].iov_len;
	}
	assert_int_equal(n, r->len);
	text[n] = '\0';
	return text;
}

static const char *
body_of(const struct render_reply *r)
{
	const char *head = join(r), *body = strstr(head, "\r\n\r\n") + 4;
	const char *length = strstr(head, "Content-Length: ");

	assert_non_null(length);
	assert_int_equal(atoi(length + 16), strlen(body));
	return body;
}

static struct broker_view
view_of(const char *name, struct secret *value, uint64_t serial)
{
	return (struct broker_view){
		.name = name,
		.value = value,
		.generation = 17,
		.token_id = "id \"x\"",
		.expires_at = NOW + 604800,
		.serial = serial,
	};
}

static const struct render_how how = {
	.minor = 1,
	.keep_alive = true,
	.request_id = "0123456789abcdef",
	.now_s = NOW,
};

static void
renders_json(void **state)
{
	static const struct {
		const char *value;
	} cases[] = {
		{ "apiv1_abc" }, { "a\"b" }, { "a\\b" }, { "\\\"" }, { "\"" },
		{ "\\" }, { "a\\\\\"" }, { "~!#$%&'()*+,-./:;<=>?@[]^_`{|}" },
	};
	struct render *r = render_new();
	struct render_reply reply;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct secret value = SECRET_INIT;
		struct broker_view view;
		json_t *o;

		secret_set_str(&value, cases[i].value);
		view = view_of("t", &value, i + 1);
		render_value(r, &view, RENDER_JSON, &how, &reply);
		o = json_loads(body_of(&reply), 0, NULL);
		assert_non_null(o);
		assert_string_equal(json_string_value(json_object_get(o,
		    "token")), cases[i].value);
		assert_string_equal(json_string_value(json_object_get(o,
		    "token_id")), "id \"x\"");
		assert_int_equal(json_integer_value(json_object_get(o,
		    "generation")), 17);
		assert_int_equal(json_integer_value(json_object_get(o,
		    "expires_in")), 604800);
		assert_string_equal(json_string_value(json_object_get(o,
		    "request_id")), "0123456789abcdef");
		json_decref(o);
		secret_clear(&value);
	}
	render_free(r);
}

static void
follows_the_serial(void **state)
{
	struct render *r = render_new();
	struct secret one = SECRET_INIT, two = SECRET_INIT;
	struct broker_view a, b;
	struct render_reply reply;
	const void *kept;

	secret_set_str(&one, "value-1");
	secret_set_str(&two, "value-2");
	a = view_of("a", &one, 1);
	b = view_of("b", &two, 2);
	render_value(r, &a, RENDER_JSON, &how, &reply);
	kept = reply.iov[0].iov_base;
	render_value(r, &b, RENDER_JSON, &how, &reply);
	assert_non_null(strstr(join(&reply), "value-2"));
	/* made once, sent from where it lies */
	render_value(r, &a, RENDER_JSON, &how, &reply);
	assert_int_equal(reply.n_iov, 1);
	assert_ptr_equal(reply.iov[0].iov_base, kept);
	assert_non_null(strstr(join(&reply), "value-1"));
	a = view_of("a", &two, 3);
	render_value(r, &a, RENDER_JSON, &how, &reply);
	assert_non_null(strstr(join(&reply), "value-2"));
	assert_null(strstr(join(&reply), "value-1"));
	/* a clock that was wrong for a while leaves nothing behind */
	assert_non_null(strstr(join(&reply), "\"2026-11-29T"));
	a.expires_at += 86400;
	render_value(r, &a, RENDER_JSON, &how, &reply);
	assert_non_null(strstr(join(&reply), "\"2026-11-30T"));
	a.expires_at -= 86400;
	render_value(r, &a, RENDER_JSON, &how, &reply);
	assert_non_null(strstr(join(&reply), "\"2026-11-29T"));
	render_forget(r, "a");
	render_forget(r, "nothing");
	render_value(r, &b, RENDER_JSON, &how, &reply);
	assert_non_null(strstr(join(&reply), "value-2"));
	render_forget_all(r);
	render_free(r);
	secret_clear(&one);
	secret_clear(&two);
}

static void
patches_the_seconds(void **state)
{
	static const struct {
		int64_t now, left;
	} cases[] = {
		{ NOW, 604800 }, { NOW + 604799, 1 }, { NOW + 604800, 0 },
		{ NOW + 604801, 0 }, { NOW - INT64_C(99999999999),
		    INT64_C(9999999999) },
	};
	struct render *r = render_new();
	struct secret value = SECRET_INIT;
	struct broker_view view;
	struct render_how h = how;
	struct render_reply reply;
	size_t i, len = 0;

	secret_set_str(&value, "v");
	view = view_of("t", &value, 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *o;

		h.now_s = cases[i].now;
		render_value(r, &view, RENDER_JSON, &h, &reply);
		o = json_loads(body_of(&reply), 0, NULL);
		assert_int_equal(json_integer_value(json_object_get(o,
		    "expires_in")), cases[i].left);
		json_decref(o);
		assert_true(len == 0 || reply.len == len);
		len = reply.len;
	}
	secret_clear(&value);
	render_free(r);
}

static void
fits_the_connection(void **state)
{
	struct render *r = render_new();
	struct secret value = SECRET_INIT;
	struct broker_view view;
	struct render_how h = how;
	struct render_reply reply;

	secret_set_str(&value, "v");
	view = view_of("t", &value, 1);
	render_value(r, &view, RENDER_JSON, &h, &reply);
	assert_null(strstr(join(&reply), "Connection"));
	h.keep_alive = false;
	render_value(r, &view, RENDER_JSON, &h, &reply);
	assert_non_null(strstr(join(&reply), "\r\nConnection: close\r\n"));
	h.minor = 0;
	h.keep_alive = true;
	render_value(r, &view, RENDER_JSON, &h, &reply);
	assert_non_null(strstr(join(&reply),
	    "\r\nConnection: keep-alive\r\n"));
	view.generation = UINT64_MAX;
	render_value(r, &view, RENDER_TEXT, &h, &reply);
	assert_string_equal(body_of(&reply), "v");
	assert_non_null(strstr(text, "ETag: \"18446744073709551615\"\r\n"));
	assert_non_null(strstr(text, "X-Request-Id: 0123456789abcdef\r\n"));
	secret_clear(&value);
	render_free(r);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(renders_json),
		cmocka_unit_test(follows_the_serial),
		cmocka_unit_test(patches_the_seconds),
		cmocka_unit_test(fits_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
