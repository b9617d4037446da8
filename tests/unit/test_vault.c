/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What readers of Vault get on the api door: values in its form, by the same
 * rules and with the same record, and refusals that its libraries understand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/now.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve_world.h"

#define VALUE_1 "the-value-1"
#define AUTHORISED "authorised t1/1 c:1 by vault\nsent t1/1 by vault\n"

/* "GET /v1/a/data/t1" as Vault's Go library sends it. */
static struct answer
ask_on(struct world *w, int fd, const char *request, const char *fields)
{
	_cleanup_free_ char *text = xasprintf("%s HTTP/1.1\r\n"
	    "Host: localhost\r\nUser-Agent: Go-http-client/1.1\r\n"
	    "X-Vault-Request: true\r\nX-Vault-Token: s.not-a-token\r\n%s"
	    "Accept-Encoding: gzip\r\n\r\n", request, fields ? fields : "");

	world_write(fd, text);
	return world_read(w, fd);
}

static struct answer
ask(struct world *w, const char *request, const char *fields)
{
	int fd = world_connect(w, "api");
	struct answer a = ask_on(w, fd, request, fields);

	close(fd);
	fake_evloop_run();
	return a;
}

static void
must_be_errors(const struct answer *a, int status, const char *code)
{
	_cleanup_free_ char *want = xasprintf("{\"errors\":[\"%s: ", code);

	if (a->status != status || strncmp(answer_body(a), want,
		strlen(want)) != 0)
		fail_msg("not %d %s: %s", status, code, a->text);
	assert_string_equal(answer_field(a, "Content-Type"),
	    "application/json");
	assert_string_equal(answer_field(a, "Cache-Control"), "no-store");
}

/* The member at "a/b/c" of an answer; the text lives in *root. */
static json_t *
member(const struct answer *a, json_t **root, const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path);
	char *save = NULL, *name;
	json_t *o;

	if (!*root)
		*root = json_loads(answer_body(a), 0, NULL);
	o = *root;
	assert_non_null(o);
	for (name = strtok_r(copy, "/", &save); name;
	    name = strtok_r(NULL, "/", &save))
		o = json_object_get(o, name);
	if (!o)
		fail_msg("no %s in %s", path, a->text);
	return o;
}

static void
text_is(const struct answer *a, json_t **root, const char *path,
    const char *want)
{
	assert_string_equal(json_string_value(member(a, root, path)), want);
}

static void
reads_version_2(void **state)
{
	struct world *w = *state;
	struct answer a;
	json_t *o = NULL;

	world_ready(w);
	a = ask(w, "GET /v1/tokenbroker/data/t1", NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(atoi(answer_field(&a, "Content-Length")),
	    strlen(answer_body(&a)));
	assert_string_equal(answer_field(&a, "Cache-Control"), "no-store");
	text_is(&a, &o, "data/data/token", VALUE_1);
	text_is(&a, &o, "data/data/token_type", "Bearer");
	text_is(&a, &o, "data/data/expires_at", "2026-11-22T19:20:00Z");
	text_is(&a, &o, "data/data/token_id", "id-1");
	assert_int_equal(json_integer_value(member(&a, &o,
	    "data/data/generation")), 1);
	text_is(&a, &o, "data/metadata/created_time", "2026-11-22T17:20:00Z");
	text_is(&a, &o, "data/metadata/deletion_time", "");
	text_is(&a, &o, "data/metadata/custom_metadata/expires_at",
	    "2026-11-22T19:20:00Z");
	assert_true(json_is_false(member(&a, &o, "data/metadata/destroyed")));
	assert_int_equal(json_integer_value(member(&a, &o,
	    "data/metadata/version")), 1);
	assert_int_equal(json_integer_value(member(&a, &o, "lease_duration")),
	    300);
	text_is(&a, &o, "request_id", fake_audit_last_request());
	text_is(&a, &o, "lease_id", "");
	json_decref(o);
	assert_string_equal(fake_audit_take(), AUTHORISED);
}

static void
tells_when_to_read_again(void **state)
{
	struct world *w = *state;
	struct answer a;
	json_t *o = NULL;

	world_ready(w);
	a = ask(w, "GET /v1/tokenbroker/data/t1", NULL);
	fake_evloop_advance(7140000);
	a = ask(w, "GET /v1/tokenbroker/data/t1", NULL);
	assert_int_equal(json_integer_value(member(&a, &o, "lease_duration")),
	    60);
	json_decref(o);
}

static void
reads_version_1(void **state)
{
	struct world *w = *state;
	struct answer a;
	json_t *o = NULL;

	world_ready(w);
	a = ask(w, "GET /v1/tokenbroker/t1", NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(atoi(answer_field(&a, "Content-Length")),
	    strlen(answer_body(&a)));
	text_is(&a, &o, "data/token", VALUE_1);
	assert_int_equal(json_object_size(member(&a, &o, "data")), 5);
	json_decref(o);
	assert_string_equal(fake_audit_take(), AUTHORISED);
}

/* One value, four forms, one after the other on one connection. */
static void
keeps_the_forms_apart(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), i;
	struct answer a;

	world_ready(w);
	for (i = 0; i < 2; i++) {
		a = ask_on(w, fd, "GET /v1/tokenbroker/data/t1", NULL);
		assert_non_null(strstr(a.text, "{\"data\":{\"data\":{\"token\""));
		a = ask_on(w, fd, "GET /v1/tokenbroker/t1", NULL);
		assert_non_null(strstr(a.text, "{\"data\":{\"token\""));
		a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
		assert_non_null(strstr(a.text, "\r\n\r\n{\"token\""));
		assert_non_null(strstr(a.text, "\"expires_in\":      7200"));
		a = world_ask(w, fd, "GET tokens/t1",
		    "Accept: text/plain\r\n", NULL);
		assert_string_equal(answer_body(&a), VALUE_1);
	}
	/* an error is in the form of its request, not of the one before */
	a = ask_on(w, fd, "GET /v1/tokenbroker/data/t2", NULL);
	must_be_errors(&a, 403, "denied.token");
	a = world_ask(w, fd, "GET tokens/t2", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	/* another value, in every form */
	fake_broker_set(w->broker, "t1", "the-value-2", 2, now_real_s() + 100);
	a = ask_on(w, fd, "GET /v1/tokenbroker/t1", NULL);
	assert_null(strstr(a.text, VALUE_1));
	a = ask_on(w, fd, "GET /v1/tokenbroker/data/t1", NULL);
	assert_null(strstr(a.text, VALUE_1));
	assert_non_null(strstr(a.text, "\"version\":2"));
	close(fd);
}

static void
takes_any_mount(void **state)
{
	static const struct {
		const char *request, *fields;
	} cases[] = {
		{ "GET /v1/secret/data/t1", NULL },
		{ "GET /v1/team/a/kv/data/t1", NULL },
		{ "GET /v1/ns1/ns2/secret/data/t1", NULL },
		{ "GET /v1/secret/data/t1/", NULL },
		{ "GET /v1/secret/data/t1?version=0", NULL },
		{ "GET /v1/secret/data/t1?version=1&x=y", NULL },
		{ "GET /v1/secret/data/t%31", NULL },
		{ "GET /v1/system/data/t1", NULL },
		{ "GET /v1/a/b/t1", NULL },
		{ "GET /v1/secret/data/t1", "X-Vault-Namespace: team/a\r\n"
		    "X-Vault-Index: x\r\nX-Vault-Inconsistent: forward\r\n" },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = ask(w, cases[i].request, cases[i].fields);
		if (a.status != 200 || !strstr(a.text, VALUE_1))
			fail_msg("%s: %s", cases[i].request, a.text);
		assert_string_equal(fake_audit_take(), AUTHORISED);
	}
}

/* ------------------------------------------------------------------ refused */

static void
hide_request_id(char *text)
{
	char *id = strstr(text, "\"request_id\":\"");

	assert_non_null(id);
	memset(id + 14, 'x', 16);
}

static void
tells_nobody_what_exists(void **state)
{
	static const char *const forms[] = { "GET /v1/kv/data/%s",
		"GET /v1/kv/%s", "GET /v1/kv/metadata/%s",
		"LIST /v1/kv/metadata/%s", "GET /v1/kv/data/%s?version=7" };
	static struct answer denied, unknown;
	struct world *w = *state;
	size_t i;

	world_ready(w);
	fake_broker_set(w->broker, "t2", "other", 1, now_real_s() + 60);
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		char request[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(request, sizeof(request), forms[i], "t2");
		denied = ask(w, request, NULL);
		snprintf(request, sizeof(request), forms[i], "t9");
		unknown = ask(w, request, NULL);
#pragma GCC diagnostic pop
		must_be_errors(&denied, 403, "denied.token");
		hide_request_id(denied.text);
		hide_request_id(unknown.text);
		assert_string_equal(denied.text, unknown.text);
		assert_string_equal(fake_audit_take(),
		    "denied t2: no rule matches\n"
		    "denied t9: no rule matches\n");
	}
	/* nor does a rule for any name make one */
	world_no_rules(w);
	world_rule(w, getuid(), "*", false);
	unknown = ask(w, "GET /v1/kv/metadata/t9", NULL);
	hide_request_id(unknown.text);
	assert_string_equal(denied.text, unknown.text);
}

static void
refuses(void **state)
{
	static const struct {
		const char *request, *fields;
		int status;
		const char *code;
	} cases[] = {
		{ "POST /v1/kv/data/t1", "Content-Length: 0\r\n", 403,
		    "denied.role" },
		{ "PUT /v1/kv/data/t1", "Content-Length: 0\r\n", 403,
		    "denied.role" },
		{ "PATCH /v1/kv/data/t1", "Content-Length: 0\r\n", 403,
		    "denied.role" },
		{ "DELETE /v1/kv/data/t1", NULL, 403, "denied.role" },
		{ "DELETE /v1/kv/metadata/t1", NULL, 403, "denied.role" },
		{ "DELETE /v1/kv/t1", NULL, 403, "denied.role" },
		{ "GET /v1/kv/data/t1", "X-Vault-Wrap-TTL: 60s\r\n", 400,
		    "denied.bad_request" },
		{ "GET /v1/kv/data/t1?version=x", NULL, 400,
		    "denied.bad_request" },
		{ "GET /v1/kv/data/t1?version=2", NULL, 404,
		    "denied.unknown" },
		{ "GET /v1/kv/data/a%2Fb", NULL, 400, "denied.bad_request" },
		{ "GET /v1/sys/mounts", NULL, 404, "denied.route" },
		{ "GET /v1/sys/policies/acl/x", NULL, 404, "denied.route" },
		{ "GET /v1/auth/token/accessors", NULL, 404, "denied.route" },
		{ "GET /v1/kv/metadata", NULL, 404, "denied.unknown" },
		{ "GET /v1/kv", NULL, 404, "denied.unknown" },
		{ "GET /v1/kv/t1?list=true", NULL, 400,
		    "denied.bad_request" },
		{ "LIST /v1/kv/metadata/t1", NULL, 404, "denied.unknown" },
		/* no list, and no value for who asks for one */
		{ "LIST /v1/kv/data/t1", NULL, 400, "denied.bad_request" },
		{ "GET /v1/kv/data/t1?list=true", NULL, 400,
		    "denied.bad_request" },
		{ "GET /v1/kv/data/t1", "Origin: null\r\n", 403,
		    "denied.browser" },
		{ "GET /v1/kv/data/t1", "Sec-Fetch-Mode: cors\r\n", 403,
		    "denied.browser" },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = ask(w, cases[i].request, cases[i].fields);
		must_be_errors(&a, cases[i].status, cases[i].code);
		assert_null(strstr(a.text, VALUE_1));
		assert_string_equal(fake_audit_take(), "");
	}
}

static void
needs_its_header(void **state)
{
	static const char *const headers[] = { "X-Tokenbroker: 1",
		"X-Vault-Request: false", "X-Vault-Token: s.x" };
	struct world *w = *state;
	size_t i;

	world_ready(w);
	for (i = 0; i < ARRAY_SIZE(headers); i++) {
		_cleanup_free_ char *text = xasprintf("GET /v1/kv/data/t1 "
		    "HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", headers[i]);
		int fd = world_connect(w, "api");
		struct answer a;

		world_write(fd, text);
		a = world_read(w, fd);
		must_be_errors(&a, 400, "denied.header");
		close(fd);
	}
	assert_string_equal(fake_audit_take(), "");
}

static void
is_only_on_the_api_door(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	world_ready(w);
	a = ask_on(w, fd, "GET /v1/kv/data/t1", "X-Tokenbroker: 1\r\n");
	answer_must_be(&a, 404, "denied.route");
	close(fd);
}

static void
says_why_there_is_no_value(void **state)
{
	static const struct {
		enum tb_errc code;
		const char *problem, *retry;
	} cases[] = {
		{ TB_E_LOGIN, "human_needed.login", "" },
		{ TB_E_TRANSIENT, "unavailable.upstream", "8" },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	fake_broker_unset(w->broker, "t1");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = world_connect(w, "api");

		a = ask_on(w, fd, "GET /v1/kv/data/t1", NULL);
		assert_int_equal(a.status, 0);
		fake_broker_fail(w->broker, "t1", cases[i].code,
		    "so \"it\" is", 7500);
		a = world_read(w, fd);
		must_be_errors(&a, 503, cases[i].problem);
		assert_non_null(strstr(a.text, "(so \\\"it\\\" is)\"]"));
		assert_string_equal(answer_field(&a, "Retry-After"),
		    cases[i].retry);
		fake_broker_fail(w->broker, "t1", TB_OK, "", 0);
		close(fd);
		fake_evloop_run();
	}
}

/* Nothing leaves before its record is durable, on this way as on the other. */
static void
waits_for_the_record(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	fake_audit_strict(w->audit, true);
	fake_audit_hold(true);
	a = ask_on(w, fd, "GET /v1/kv/data/t1", NULL);
	assert_int_equal(a.status, 0);
	assert_string_equal(fake_audit_take(),
	    "authorised t1/1 c:1 by vault\n");
	fake_audit_hold(false);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	fake_audit_fail();
	a = ask_on(w, fd, "GET /v1/kv/data/t1", NULL);
	must_be_errors(&a, 503, "unavailable.audit");
	close(fd);
}

/* ------------------------------------------------------- around the reading */

static void
lists_what_one_may_have(void **state)
{
	static const char *const forms[] = { "LIST /v1/kv/metadata",
		"LIST /v1/kv/metadata/", "GET /v1/kv/metadata?list=true",
		"GET /v1/kv/metadata/?list=1", "LIST /v1/kv",
		"GET /v1/a/kv/metadata/?list=true", "GET /v1/kv/?list=true" };
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		a = ask(w, forms[i], NULL);
		assert_int_equal(a.status, 200);
		assert_non_null(strstr(a.text,
		    "\"data\":{\"keys\":[\"t1\"]}"));
	}
	world_no_rules(w);
	a = ask(w, forms[0], NULL);
	must_be_errors(&a, 404, "denied.unknown");
}

static void
describes_without_a_value(void **state)
{
	struct world *w = *state;
	struct answer a;
	json_t *o = NULL;

	world_ready(w);
	a = ask(w, "GET /v1/kv/metadata/t1", NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(json_integer_value(member(&a, &o,
	    "data/current_version")), 1);
	text_is(&a, &o, "data/versions/1/deletion_time", "");
	text_is(&a, &o, "data/custom_metadata/expires_at",
	    "2026-11-22T19:20:00Z");
	assert_null(strstr(a.text, VALUE_1));
	assert_string_equal(fake_audit_take(), "");
	json_decref(o);
	o = NULL;
	fake_broker_unset(w->broker, "t1");
	a = ask(w, "GET /v1/kv/metadata/t1", NULL);
	assert_int_equal(json_integer_value(member(&a, &o,
	    "data/current_version")), 0);
	json_decref(o);
}

static void
says_where_the_mount_is(void **state)
{
	static const struct {
		const char *path, *mount;
	} cases[] = {
		{ "kv/t1", "kv/" }, { "kv", "kv/" }, { "kv/", "kv/" },
		{ "kv/data/t1", "kv/" }, { "kv/metadata", "kv/" },
		{ "a/b/data/t1", "a/b/" }, { "a/b/t9", "a/b/" },
		{ "data/t1", "data/" }, { "kv/database", "kv/" },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *request = xasprintf(
		    "GET /v1/sys/internal/ui/mounts/%s", cases[i].path);
		struct answer a = ask(w, request, NULL);
		json_t *o = NULL;

		assert_int_equal(a.status, 200);
		text_is(&a, &o, "data/path", cases[i].mount);
		text_is(&a, &o, "data/type", "kv");
		text_is(&a, &o, "data/options/version", "2");
		json_decref(o);
	}
	assert_string_equal(fake_audit_take(), "");
}

/* Whatever is said to log in. */
static void
lets_anybody_log_in(void **state)
{
	static const char *const requests[] = { "PUT /v1/auth/approle/login",
		"POST /v1/auth/a/b/login", "PUT /v1/auth/token/renew-self",
		"POST /v1/auth/token/renew-self" };
	static const char body[] = "Content-Length: 17\r\n";
	struct world *w = *state;
	struct answer a;
	json_t *o = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		_cleanup_free_ char *text = xasprintf("%s HTTP/1.1\r\n"
		    "Host: x\r\nX-Vault-Request: true\r\n%s\r\n"
		    "{\"secret_id\":\"x\"}", requests[i], body);
		int fd = world_connect(w, "api");

		world_write(fd, text);
		a = world_read(w, fd);
		assert_int_equal(a.status, 200);
		text_is(&a, &o, "auth/client_token", "tokenbroker");
		json_decref(o);
		o = NULL;
		close(fd);
	}
	a = ask(w, "GET /v1/auth/token/lookup-self", NULL);
	assert_int_equal(a.status, 200);
	text_is(&a, &o, "data/id", "tokenbroker");
	json_decref(o);
	/* and may no more than before */
	a = ask(w, "GET /v1/kv/data/t1", NULL);
	must_be_errors(&a, 403, "denied.token");
}

static void
is_sealed_while_nothing_can_be_released(void **state)
{
	struct world *w = *state;
	struct answer a;

	a = ask(w, "GET /v1/sys/health?standbyok=true&sealedcode=299", NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"sealed\":false"));
	fake_broker_disk(w->broker, false);
	a = ask(w, "GET /v1/sys/seal-status", NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"sealed\":true"));
	a = ask(w, "GET /v1/sys/leader", NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"ha_enabled\":false"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(reads_version_2),
		T(tells_when_to_read_again),
		T(reads_version_1),
		T(keeps_the_forms_apart),
		T(takes_any_mount),
		T(tells_nobody_what_exists),
		T(refuses),
		T(needs_its_header),
		T(is_only_on_the_api_door),
		T(says_why_there_is_no_value),
		T(waits_for_the_record),
		T(lists_what_one_may_have),
		T(describes_without_a_value),
		T(says_where_the_mount_is),
		T(lets_anybody_log_in),
		T(is_sealed_while_nothing_can_be_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
