/* SPDX-License-Identifier: Apache-2.0 */
/* What a refusal tells an operator: the keys that decide it, and where. */
#include "backend_fixture.h"

#include "base/strbuf.h"

#define ORG "0a1b2c3d4e5f6071"

static struct backend_conf
fix_v2(void)
{
	struct backend_conf c = {
		.name = LIT("v2"),
		.where = LIT("tb.conf:9"),
		.ops = backend_find("influxdb-v2"),
		.management_token = LIT("parent"),
		.base_url = LIT("https://v2.example.com"),
		.org = LIT(ORG),
		.timeout_ms = 5000,
	};

	return c;
}

static struct backend_conf
fix_v3(void)
{
	struct backend_conf c = {
		.name = LIT("v3"),
		.ops = backend_find("influxdb3"),
		.management_token = LIT("parent"),
		.base_url = LIT("https://v3.example.com"),
		.timeout_ms = 5000,
	};

	return c;
}

static void
test_keys_are_named(void **state)
{
	static const struct {
		struct backend_conf (*conf)(void);
		enum backend_verb verb;
		int status;
		const char *says; /* NULL: nothing is to be looked at */
	} t[] = {
		{ fix_dedicated, BACKEND_MINT, 404, "HTTP 404: no; look at "
		    "account_id and cluster_id of [backend prod]" },
		{ fix_dedicated, BACKEND_LIST, 403, "HTTP 403: no; login 'ops',"
		    " which pays, may not do that, or look at account_id" },
		{ fix_dedicated, BACKEND_MINT, 400, "look at permissions and "
		    "lifetime of the [token], or at expiration_type of "
		    "[backend prod]" },
		{ fix_dedicated, BACKEND_MINT, 422, "look at permissions" },
		{ fix_dedicated, BACKEND_REVOKE, 403, "account_id" },
		{ fix_dedicated, BACKEND_UPDATE, 404, "update: HTTP 404: no; "
		    "it may have been revoked there, or look at account_id" },
		{ fix_dedicated, BACKEND_MINT, 307, "look at account_id" },
		{ fix_dedicated, BACKEND_MINT, 401, NULL },
		{ fix_dedicated, BACKEND_MINT, 429, NULL },
		{ fix_dedicated, BACKEND_MINT, 500, NULL },
		{ fix_clustered, BACKEND_LIST, 404, "look at base_url and "
		    "tokens_path of [backend lab]" },
		{ fix_clustered, BACKEND_MINT, 403, "token 'mgmt', which pays, "
		    "may not do that: import or make one that may, or look at "
		    "base_url" },
		{ fix_v2, BACKEND_MINT, 403, "permissions of the [token] (what "
		    "pays needs them" },
		{ fix_v2, BACKEND_MINT, 422, "or at org and owner of [backend "
		    "v2] (tb.conf:9)" },
		{ fix_v2, BACKEND_LIST, 404, "look at org and base_url" },
		{ fix_v3, BACKEND_MINT, 400, "look at permissions" },
		{ fix_v3, BACKEND_REVOKE, 403, "or look at base_url" },
		{ fix_http, BACKEND_MINT, 404, "look at mint_url" },
		{ fix_http, BACKEND_MINT, 422, "look at mint_body" },
		{ fix_http, BACKEND_LIST, 405, "look at list_url" },
		{ fix_http, BACKEND_REVOKE, 400, "look at revoke_url" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct backend_conf c = t[i].conf();
		struct backend_recipe r = c.ops == backend_find("http") ?
		    fix_recipe(BACKEND_KIND_CUSTOM) :
		    c.ops == backend_find("influxdb-v2") ?
		    fix_recipe(BACKEND_KIND_DATABASE) :
		    fix_permissions("read:metrics");

		fake_http_push_json(t[i].status, "{\"message\":\"no\"}");
		fix_call(&c, &r, t[i].verb);
		assert_int_not_equal(fix.err.code, TB_OK);
		if (t[i].says)
			assert_contains(fix.err.msg, t[i].says);
		else if (strstr(fix.err.msg, "look at"))
			fail_msg("%d: %s", t[i].status, fix.err.msg);
		backend_recipe_clear(&r);
	}
}

/* Whether the service knows the value is asked, not what it may do; and no
 * secret is in what is said of where that was asked. */
static void
test_probe_of_what_may_not_read(void **state)
{
	static const struct {
		const char *permissions;
		int status;
		enum backend_probe probe;
		const char *database;
	} t[] = {
		{ "write:logs", 403, BACKEND_PROBE_YES, "db=logs" },
		{ "write:logs", 401, BACKEND_PROBE_NOT_YET, "db=logs" },
		{ "write:logs", 404, BACKEND_PROBE_UNCLEAR, "db=logs" },
		{ "read:metrics", 403, BACKEND_PROBE_NOT_YET, "db=metrics" },
		{ "write:logs read:metrics", 403, BACKEND_PROBE_NOT_YET,
		    "db=metrics" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct backend_conf c = fix_clustered();
		struct backend_recipe r = fix_permissions(t[i].permissions);

		fake_http_push_json(t[i].status, "{}");
		fix_call(&c, &r, BACKEND_PROBE);
		assert_int_equal(fix.run.probe, t[i].probe);
		assert_int_equal(fix.run.answered, t[i].status);
		assert_string_equal(fix.run.asked,
		    "https://influx.example.com/query");
		assert_contains(fake_http_last()->url, t[i].database);
		backend_recipe_clear(&r);
	}
}

/* The service's own words give way, and what is put in front of all. */
static void
test_the_advice_is_never_cut(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_DATABASE);
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&body, "{\"message\":\"");
	for (int i = 0; i < 100; i++)
		strbuf_adds(&body, "many words ");
	strbuf_adds(&body, "\"}");
	fake_http_push_json(403, strbuf_str(&body));
	fix_call(&c, &r, BACKEND_MINT);
	assert_contains(fix.err.msg, "mint: HTTP 403: many words");
	assert_contains(fix.err.msg, "...; token 'parent', which pays");
	tb_error_wrap(&fix.err, "the management token that pays");
	assert_contains(fix.err.msg, "of [backend v2] (tb.conf:9)");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_keys_are_named),
		T(test_probe_of_what_may_not_read),
		T(test_the_advice_is_never_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
