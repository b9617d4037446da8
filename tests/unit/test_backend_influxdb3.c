/* SPDX-License-Identifier: Apache-2.0 */
/* InfluxDB 3 Core, Enterprise and Cloud: what is sent, byte by byte, what is
 * understood, and what is refused. */
#include "backend_fixture.h"

#define NAME "tokenbroker-telegraf-nonce-4711"

static struct backend_conf
fix_influxdb3(void)
{
	struct backend_conf c = {
		.name = LIT("core"),
		.ops = backend_find("influxdb3"),
		.management_token = LIT("admin"),
		.base_url = LIT("https://i3.example.com"),
		.timeout_ms = 5000,
	};

	return c;
}

static void
test_admin_mint(void **state)
{
	struct backend_conf c = fix_influxdb3();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);
	struct fake_http_reply created = {
		.status = 201,
		.content_type = "json",
		.body = "{\"id\":7,\"name\":\"" NAME "\",\"token\":\"apiv3_x\","
		    "\"hash\":\"h\",\"created_at\":\"2026-11-22T17:20:00\","
		    "\"expiry\":\"2026-11-29T17:20:00.123\"}",
	};

	fake_http_push(&created);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_string_equal(fake_http_last()->method, "POST");
	assert_string_equal(fake_http_last()->url,
	    "https://i3.example.com/api/v3/configure/token/named_admin");
	assert_string_equal(fake_http_last()->content_type,
	    "application/json");
	assert_string_equal(fake_http_last()->body,
	    "{\"token_name\":\"" NAME "\",\"expiry_secs\":604800}");
	assert_string_equal(secret_reveal(&fix.run.token), "apiv3_x");
	assert_string_equal(fix.run.minted_id, NAME);
	assert_int_equal(fix.run.minted_expires_at, FIX_EXPIRES);
}

static void
test_resource_mint(void **state)
{
	struct backend_conf c = fix_influxdb3();
	struct backend_recipe r = fix_permissions("read:metrics write:a\"b");

	/* the guide's answer: nothing but the token */
	fake_http_push_json(201, "{\"token\":\"apiv3_y\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_string_equal(fake_http_last()->url,
	    "https://i3.example.com/api/v3/enterprise/configure/token");
	assert_string_equal(fake_http_last()->body,
	    "{\"token_name\":\"" NAME "\",\"permissions\":["
	    "{\"resource_type\":\"db\",\"resource_names\":[\"metrics\"],"
	    "\"actions\":[\"read\"]},"
	    "{\"resource_type\":\"db\",\"resource_names\":[\"a\\\"b\"],"
	    "\"actions\":[\"write\"]}],\"expiry_secs\":604800}");
	assert_string_equal(fix.run.minted_id, NAME);
	assert_int_equal(fix.run.minted_expires_at, 0);
	backend_recipe_clear(&r);
}

/* The nonce is what finds a lost token: it is the last to be cut off. */
static void
test_long_names_keep_the_nonce(void **state)
{
	struct backend_conf c = fix_influxdb3();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);
	struct backend_run run = fix_run(&c, &r, BACKEND_MINT);
	char text[400];

	memset(text, 'x', sizeof(text));
	strcpy(text + 300, " [tokenbroker h db #12 0123456789abcdef]");
	str_set(&run.description, text);
	fake_http_push_json(201, "{\"token\":\"apiv3_y\"}");
	fix_call_run(&run);
	assert_int_equal(strlen(fix.run.minted_id), 120);
	assert_string_equal(fix.run.minted_id + 120 - 36,
	    "tokenbroker-h-db-12-0123456789abcdef");
}

static void
test_other_requests(void **state)
{
	struct backend_conf c = fix_influxdb3();
	struct backend_recipe r = fix_permissions("read:metrics");
	static const struct {
		enum backend_verb verb;
		const char *method, *url, *authorization;
	} rows[] = {
		{ BACKEND_LIST, "GET",
		    "https://i3.example.com/api/v3/query_sql?db=_internal"
		    "&format=json&q=SELECT%20name%2C%20created_at%2C%20expiry"
		    "%20FROM%20system.tokens", "Bearer " FIX_BEARER },
		{ BACKEND_REVOKE, "DELETE",
		    "https://i3.example.com/api/v3/configure/token"
		    "?token_name=a%26b%2F..", "Bearer " FIX_BEARER },
		{ BACKEND_PROBE, "GET", "https://i3.example.com/health",
		    "Bearer " FIX_VALUE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_run run = fix_run(&c, &r, rows[i].verb);

		str_set(&run.token_id, "a&b/..");
		fake_http_push_json(404, "{}");
		fix_call_run(&run);
		assert_string_equal(fake_http_last()->method, rows[i].method);
		assert_string_equal(fake_http_last()->url, rows[i].url);
		assert_string_equal(fake_http_header(fake_http_last(),
		    "Authorization"), rows[i].authorization);
	}
	c.probe_url = LIT("/api/v3/query_sql?db={database}&q=SELECT%201");
	fake_http_push_json(200, "[]");
	fix_call(&c, &r, BACKEND_PROBE);
	assert_string_equal(fake_http_last()->url, "https://i3.example.com"
	    "/api/v3/query_sql?db=metrics&q=SELECT%201");
	assert_int_equal(fix.run.probe, BACKEND_PROBE_YES);
	backend_recipe_clear(&r);
}

static void
test_list(void **state)
{
	struct backend_conf c = fix_influxdb3();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);

	fake_http_push_json(200,
	    "[{\"name\":\"_admin\",\"created_at\":\"2026-01-01T00:00:00\"},"
	    "{\"name\":\"ours\",\"created_at\":\"2026-11-22T17:20:00\","
	    "\"expiry\":\"2026-11-29T17:20:00\"},"
	    "{\"name\":\"past\",\"created_at\":\"2026-11-01T00:00:00.5\","
	    "\"expiry\":\"2026-11-02T00:00:00\"}]");
	fix_call(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.err.code, TB_OK);
	assert_int_equal(fix.run.n_listed, 3);
	assert_string_equal(fix.run.listed[1].id, "ours");
	assert_string_equal(fix.run.listed[1].description, "ours");
	assert_int_equal(fix.run.listed[1].created_at, FAKE_NOW_REAL_S);
	assert_false(fix.run.listed[0].dead);
	assert_false(fix.run.listed[1].dead);
	assert_true(fix.run.listed[2].dead);
}

static void
test_refusals(void **state)
{
	static const struct {
		enum backend_kind kind;
		int status;
		const char *type, *body, *says;
		enum tb_errc code;
		bool uncertain, unauthorized;
	} rows[] = {
		{ BACKEND_KIND_MANAGEMENT, 409, "text/plain",
		    "token name already exists", "HTTP 409", TB_E_UPSTREAM,
		    false, false },
		{ BACKEND_KIND_MANAGEMENT, 401, "text/plain", "", "HTTP 401",
		    TB_E_UPSTREAM, false, true },
		{ BACKEND_KIND_MANAGEMENT, 401, "application/json",
		    "{\"error\":\"nope\"}", "nope", TB_E_UPSTREAM, false,
		    true },
		{ BACKEND_KIND_MANAGEMENT, 405, "text/plain", "x",
		    "started without authorization", TB_E_UPSTREAM, false,
		    false },
		{ BACKEND_KIND_DATABASE, 404, "text/plain", "Not Found",
		    "Core does not", TB_E_UPSTREAM, false, false },
		{ BACKEND_KIND_MANAGEMENT, 500, "text/plain", "x", "HTTP 500",
		    TB_E_TRANSIENT, true, false },
		{ BACKEND_KIND_MANAGEMENT, 201, "json", "{\"id\":1}",
		    "no token", TB_E_PROTO, true, false },
	};
	struct backend_conf c = fix_influxdb3();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_recipe r = fix_permissions("read:m");
		struct fake_http_reply reply = {
			.status = rows[i].status,
			.content_type = rows[i].type,
			.body = rows[i].body,
		};

		r.kind = rows[i].kind;
		backend_run_clear(&fix.run);
		fake_http_push(&reply);
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, rows[i].code);
		assert_non_null(strstr(fix.err.msg, rows[i].says));
		assert_int_equal(fix.run.uncertain, rows[i].uncertain);
		assert_int_equal(fix.run.unauthorized, rows[i].unauthorized);
		backend_recipe_clear(&r);
	}
}

static void
test_check(void **state)
{
	struct backend_conf c = fix_influxdb3();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(c.ops->check(&c, &err), 0);
	assert_int_equal(c.ops->check_recipe(&c, &r, &err), 0);
	r.allow_full_access = false;
	assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
	assert_non_null(strstr(err.msg, "allow_full_access"));
	r.kind = BACKEND_KIND_DATABASE;
	assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
	assert_non_null(strstr(err.msg, "permissions are missing"));
	r.kind = BACKEND_KIND_CUSTOM;
	assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
	c.base_url = NULL;
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_string_equal(err.msg, "base_url is missing");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_admin_mint),
		T(test_resource_mint),
		T(test_long_names_keep_the_nonce),
		T(test_other_requests),
		T(test_list),
		T(test_refusals),
		T(test_check),
	};

	return cmocka_run_group_tests_name("backend/influxdb3", tests, NULL,
	    NULL);
}
