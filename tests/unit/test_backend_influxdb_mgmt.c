/* SPDX-License-Identifier: Apache-2.0 */
/* InfluxDB Dedicated and Clustered: what is sent, byte by byte, what is
 * refused at load, and what each type can do. */
#include "backend_fixture.h"

/* ---------------------------------------------------------------- requests */

static void
test_dedicated_mint_request(void **state)
{
	struct backend_conf c = fix_dedicated();
	struct backend_recipe r = fix_permissions("read:metrics write:a\"b");
	const struct fake_http_request *q;

	fake_http_push_json(200, "{\"id\":\"u-1\",\"accessToken\":\"apiv1_x\"}");
	fix_call(&c, &r, BACKEND_MINT);
	q = fake_http_last();
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->url,
	    "https://console.influxdata.com/api/v0/accounts/acc%2F1/"
	    "clusters/clu-2/tokens");
	assert_string_equal(q->content_type, "application/json");
	assert_string_equal(fake_http_header(q, "Accept"), "application/json");
	assert_string_equal(fake_http_header(q, "Authorization"),
	    "Bearer " FIX_BEARER);
	assert_string_equal(q->body,
	    "{\"description\":\"" FIX_DESCRIPTION "\",\"permissions\":["
	    "{\"action\":\"read\",\"resource\":\"metrics\"},"
	    "{\"action\":\"write\",\"resource\":\"a\\\"b\"}],"
	    "\"expiresAt\":\"2026-11-29T17:20:00Z\"}");
	backend_recipe_clear(&r);
}

static void
test_clustered_requests(void **state)
{
	struct backend_conf c = fix_clustered();
	struct backend_recipe r = fix_permissions("read:metrics");
	static const struct {
		enum backend_verb verb;
		const char *method, *url, *authorization;
	} rows[] = {
		{ BACKEND_MINT, "POST",
		    "https://influx.example.com/api/v0/tokens",
		    "Bearer " FIX_BEARER },
		{ BACKEND_LIST, "GET",
		    "https://influx.example.com/api/v0/tokens",
		    "Bearer " FIX_BEARER },
		{ BACKEND_REVOKE, "DELETE",
		    "https://influx.example.com/api/v0/tokens/a%2F..%2Fb%3F",
		    "Bearer " FIX_BEARER },
		{ BACKEND_PROBE, "GET",
		    "https://influx.example.com/query?db=metrics",
		    "Bearer " FIX_VALUE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_run run = fix_run(&c, &r, rows[i].verb);

		str_set(&run.token_id, "a/../b?");
		fake_http_push_json(404, "{}");
		fix_call_run(&run);
		assert_string_equal(fake_http_last()->method, rows[i].method);
		assert_string_equal(fake_http_last()->url, rows[i].url);
		assert_string_equal(fake_http_header(fake_http_last(),
		    "Authorization"), rows[i].authorization);
		if (rows[i].verb != BACKEND_MINT)
			assert_int_equal(fake_http_last()->body_len, 0);
	}
	backend_recipe_clear(&r);
}

static void
test_get_and_update(void **state)
{
	struct backend_conf c = fix_clustered();
	struct backend_recipe r = fix_permissions("read:metrics write:a\"b");
	static const struct {
		enum backend_verb verb;
		int status;
		const char *answer;
		enum tb_errc code;
		size_t n;
		bool revoked;
	} rows[] = {
		{ BACKEND_GET, 200, "{\"id\":\"id-1\",\"description\":\"x\"}",
		    TB_OK, 1, false },
		{ BACKEND_GET, 200, "{\"id\":\"id-1\",\"description\":\"x\","
		    "\"revokedAt\":\"2026-01-02T03:04:05.678Z\"}", TB_OK, 1,
		    true },
		{ BACKEND_GET, 404, "{\"code\":404,\"message\":\"no\"}", TB_OK,
		    0, false },
		{ BACKEND_GET, 200, "{\"id\":\"other\"}", TB_E_PROTO, 0, false },
		{ BACKEND_GET, 200, "<html>", TB_E_PROTO, 0, false },
		{ BACKEND_GET, 500, "{}", TB_E_TRANSIENT, 0, false },
		{ BACKEND_UPDATE, 200, "{\"id\":\"id-1\"}", TB_OK, 0, false },
		{ BACKEND_UPDATE, 204, "", TB_OK, 0, false },
		{ BACKEND_UPDATE, 404, "{}", TB_E_UPSTREAM, 0, false },
		{ BACKEND_UPDATE, 409, "{}", TB_E_UPSTREAM, 0, false },
		{ BACKEND_UPDATE, 503, "{}", TB_E_BUSY, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_http_push_json(rows[i].status, rows[i].answer);
		fix_call(&c, &r, rows[i].verb);
		assert_int_equal(fix.err.code, rows[i].code);
		if (rows[i].code == TB_OK && rows[i].verb == BACKEND_GET) {
			assert_int_equal(fix.run.n_listed, rows[i].n);
			assert_int_equal(rows[i].n && fix.run.listed->revoked,
			    rows[i].revoked);
		}
		assert_string_equal(fake_http_last()->url,
		    "https://influx.example.com/api/v0/tokens/id-1");
	}
	assert_string_equal(fake_http_last()->method, "PATCH");
	/* nothing but what is published: description or permissions */
	assert_string_equal(fake_http_last()->body, "{\"permissions\":["
	    "{\"action\":\"read\",\"resource\":\"metrics\"},"
	    "{\"action\":\"write\",\"resource\":\"a\\\"b\"}]}");
	assert_string_equal(fake_http_header(fake_http_last(),
	    "Authorization"), "Bearer " FIX_BEARER);
	backend_recipe_clear(&r);
}

static void
test_configured_request(void **state)
{
	struct backend_conf c = fix_clustered();
	struct backend_recipe r = fix_permissions("write:*");

	c.account_id = LIT("a b");
	c.cluster_id = LIT("c");
	c.tokens_path = LIT("/x/{account_id}/{cluster_id}/t");
	c.expiration_type = LIT("datetime");
	c.auth_scheme = LIT("Token");
	fake_http_push_json(200, "{\"id\":\"u-1\",\"accessToken\":\"t\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_string_equal(fake_http_last()->url,
	    "https://influx.example.com/x/a%20b/c/t");
	assert_string_equal(fake_http_header(fake_http_last(),
	    "Authorization"), "Token " FIX_BEARER);
	assert_contains(fake_http_last()->body,
	    "\"expiresAt\":\"2026-11-29T17:20:00Z\","
	    "\"expirationType\":\"datetime\"}");

	c.auth_scheme = LIT("none");
	c.expiration_type = LIT("omit");
	fake_http_push_json(200, "{\"id\":\"u-1\",\"accessToken\":\"t\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_string_equal(fake_http_header(fake_http_last(),
	    "Authorization"), FIX_BEARER);
	assert_null(strstr(fake_http_last()->body, "expirationType"));
	backend_recipe_clear(&r);
}

/* A stored or imported id that would change the path is never sent. */
static void
test_revoke_bad_id(void **state)
{
	static const char *const ids[] = { NULL, "", ".", "..", "a b", "a\nb" };
	struct backend_conf c = fix_clustered();
	struct backend_recipe r = fix_permissions("read:m");

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct backend_run run = fix_run(&c, &r, BACKEND_REVOKE);

		str_set(&run.token_id, ids[i]);
		fix_call_run(&run);
		assert_int_equal(fix.err.code, TB_E_BADREQ);
		assert_string_equal(fix.err.msg,
		    "revoke: there is no usable token id");
	}
	assert_int_equal(fake_http_requests(), 0);
	backend_recipe_clear(&r);
}

/* ------------------------------------------------------------ capabilities */

static void
test_caps(void **state)
{
	static const struct {
		const char *permissions, *probe_url;
		bool probe;
		const char *probed;
	} rows[] = {
		{ "read:m", NULL, false, NULL },
		{ "read:m", "https://i.example/q?db={database}", true, "m" },
		{ "write:w read:m", "https://i.example/q?db={database}", true,
		    "m" },
		{ "write:w write:v", "https://i.example/q?db={database}", true,
		    "w" },
		{ "read:* write:v", "https://i.example/q?db={database}", true,
		    "v" },
		{ "read:*", "https://i.example/q?db={database}", false, NULL },
		{ "read:*", "https://i.example/q?db=health", true, "health" },
	};
	const unsigned base = BACKEND_CAN_LIST | BACKEND_CAN_REVOKE |
	    BACKEND_CAN_GET | BACKEND_CAN_UPDATE | BACKEND_NEEDS_PAYER;
	struct backend_conf c = fix_clustered();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_recipe r = fix_permissions(rows[i].permissions);
		char want[128];

		c.probe_url = LIT(rows[i].probe_url);
		assert_int_equal(c.ops->caps(&c, &r),
		    base | (rows[i].probe ? BACKEND_CAN_PROBE : 0));
		if (rows[i].probe) {
			fake_http_push_json(200, "{}");
			fix_call(&c, &r, BACKEND_PROBE);
			snprintf(want, sizeof(want),
			    "https://i.example/q?db=%s", rows[i].probed);
			assert_string_equal(fake_http_last()->url, want);
		} else {
			fix_call(&c, &r, BACKEND_PROBE);
			assert_string_equal(fix.err.msg,
			    "backend 'lab' cannot probe");
		}
		backend_recipe_clear(&r);
	}
	c.probe_url = NULL;
	assert_int_equal(c.ops->caps(&c, NULL), base);
}

static void
test_management_drivers(void **state)
{
	struct backend_conf c = fix_clustered();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);

	assert_int_equal(c.ops->caps(&c, &r), BACKEND_NO_MINT);
	fix_call(&c, &r, BACKEND_MINT);
	assert_string_equal(fix.err.msg, "backend 'lab' makes no tokens of "
					 "this kind: import one");
	assert_false(fix.run.uncertain);
	fix_call(&c, &r, BACKEND_LIST);
	assert_string_equal(fix.err.msg, "backend 'lab' cannot list");

	c.management_driver = LIT("http");
	c.mint.url = LIT("/mgmt");
	c.mint.body = LIT("{\"d\":\"{description}\",\"e\":\"{expires_at}\"}");
	c.list.url = LIT("/mgmt");
	assert_int_equal(c.ops->caps(&c, &r),
	    BACKEND_CAN_LIST | BACKEND_NEEDS_PAYER);
	fake_http_push_json(201, "{\"id\":7,\"token\":\"M.V1.x\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_secret(&fix.run.token, "M.V1.x");
	assert_string_equal(fix.run.minted_id, "7");
	assert_string_equal(fake_http_last()->url,
	    "https://influx.example.com/mgmt");
}

/* ---------------------------------------------------------------- at load */

#define KEY(member) offsetof(struct backend_conf, member)

static void
test_check(void **state)
{
	static const struct {
		const char *type;
		size_t key;
		const char *value; /* NULL: unset */
		const char *error; /* NULL: fine */
	} rows[] = {
		{ "influxdb-dedicated", KEY(name), "prod", NULL },
		{ "influxdb-clustered", KEY(name), "lab", NULL },
		{ "influxdb-dedicated", KEY(account_id), NULL,
		    "account_id is missing" },
		{ "influxdb-dedicated", KEY(cluster_id), NULL,
		    "cluster_id is missing" },
		{ "influxdb-dedicated", KEY(cluster_id), "..",
		    "cluster_id must have" },
		{ "influxdb-dedicated", KEY(account_id), "a b",
		    "account_id must have" },
		{ "influxdb-clustered", KEY(base_url), NULL,
		    "base_url is missing" },
		{ "influxdb-clustered", KEY(base_url), "https://i.example/",
		    "base_url must not end with a slash" },
		{ "influxdb-clustered", KEY(base_url), "",
		    "base_url must not end with a slash" },
		{ "influxdb-clustered", KEY(base_url), "https://i.example?x",
		    "base_url must have no user, query" },
		{ "influxdb-clustered", KEY(base_url), "https://u@i.example",
		    "base_url must have no user, query" },
		{ "influxdb-clustered", KEY(base_url), "http://i.example",
		    "base_url: " },
		{ "influxdb-clustered", KEY(base_url), "http://127.0.0.1:80",
		    "base_url: " },
		{ "influxdb-clustered", KEY(base_url), "i.example",
		    "base_url: " },
		{ "influxdb-clustered", KEY(base_url),
		    "https://i.example/prefix", NULL },
		{ "influxdb-clustered", KEY(tokens_path), "/{account_id}/t",
		    "tokens_path: placeholder {account_id} has no value here" },
		{ "influxdb-dedicated", KEY(tokens_path), "/{account_id}/t",
		    NULL },
		{ "influxdb-dedicated", KEY(tokens_path), "/{id}/t",
		    "tokens_path: unknown placeholder {id}" },
		{ "influxdb-dedicated", KEY(tokens_path), "t", "tokens_path" },
		{ "influxdb-dedicated", KEY(tokens_path), "", "tokens_path" },
		{ "influxdb-dedicated", KEY(tokens_path), "/t/",
		    "tokens_path" },
		{ "influxdb-dedicated", KEY(tokens_path), "/t?x",
		    "tokens_path" },
		{ "influxdb-dedicated", KEY(login), NULL,
		    "login or management_token is wanted" },
		{ "influxdb-dedicated", KEY(management_token), "m",
		    "login and management_token are both set" },
		{ "influxdb-dedicated", KEY(tls_cert_file), "/c.pem",
		    "tls_cert_file and tls_key_file are wanted together" },
		{ "influxdb-dedicated", KEY(tls_key_file), "/k.pem",
		    "tls_cert_file and tls_key_file are wanted together" },
		{ "influxdb-dedicated", KEY(auth_scheme), "Token", NULL },
		{ "influxdb-dedicated", KEY(auth_scheme), "Be arer",
		    "auth_scheme must be one word" },
		{ "influxdb-dedicated", KEY(auth_scheme), "",
		    "auth_scheme must be one word" },
		{ "influxdb-dedicated", KEY(expiration_type), "datetime",
		    NULL },
		{ "influxdb-dedicated", KEY(expiration_type), "noExpiration",
		    "expiration_type must be omit or datetime" },
		{ "influxdb-dedicated", KEY(management_driver), "import",
		    NULL },
		{ "influxdb-dedicated", KEY(management_driver), "magic",
		    "management_driver must be import, http or influxctl" },
		{ "influxdb-dedicated", KEY(management_driver), "http",
		    "mint_url is missing" },
		{ "influxdb-clustered", KEY(probe_url), "/q?db={database}",
		    NULL },
		{ "influxdb-dedicated", KEY(probe_url), "/q?db={database}",
		    "probe_url is a path, so base_url is wanted" },
		{ "influxdb-dedicated", KEY(probe_url), "https://{database}/",
		    "without a placeholder in its host" },
		{ "influxdb-dedicated", KEY(probe_url), "https://h/{nope}",
		    "probe_url: unknown placeholder {nope}" },
		{ "influxdb-dedicated", KEY(probe_url), "http://h/",
		    "probe_url: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool dedicated = streq(rows[i].type, "influxdb-dedicated");
		struct backend_conf c = dedicated ? fix_dedicated() :
						    fix_clustered();
		struct tb_error err = TB_ERROR_INIT;
		int r;

		*(char **)((char *)&c + rows[i].key) = LIT(rows[i].value);
		r = c.ops->check(&c, &err);
		if (!rows[i].error) {
			if (r < 0)
				fail_msg("row %zu: %s", i, err.msg);
			continue;
		}
		assert_int_equal(r, -1);
		assert_int_equal(err.code, TB_E_CONFIG);
		assert_contains(err.msg, rows[i].error);
	}
}

static void
test_check_loopback(void **state)
{
	struct backend_conf c = fix_clustered();
	struct tb_error err = TB_ERROR_INIT;

	c.base_url = LIT("http://127.0.0.1:8181");
	c.allow_insecure_loopback = true;
	assert_int_equal(c.ops->check(&c, &err), 0);
	c.base_url = LIT("http://192.0.2.1:8181");
	assert_int_equal(c.ops->check(&c, &err), -1);
}

static void
test_check_recipe(void **state)
{
	static const char long64[] = "read:"
	    "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
	    "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char long65[] = "read:"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
	static const struct {
		enum backend_kind kind;
		const char *permissions;
		bool full;
		const char *error;
	} rows[] = {
		{ BACKEND_KIND_DATABASE, "read:m write:n", false, NULL },
		{ BACKEND_KIND_DATABASE, "", false,
		    "permissions are missing" },
		{ BACKEND_KIND_DATABASE, "", true, "permissions are missing" },
		{ BACKEND_KIND_DATABASE, "admin:m", true,
		    "permissions: 'admin' is neither read nor write" },
		{ BACKEND_KIND_DATABASE, "read:", true,
		    "a database name has 1 to 64 characters" },
		{ BACKEND_KIND_DATABASE, long64, false, NULL },
		{ BACKEND_KIND_DATABASE, long65, false,
		    "a database name has 1 to 64 characters" },
		{ BACKEND_KIND_DATABASE, "read:a\001", false,
		    "a database name holds a control character" },
		{ BACKEND_KIND_DATABASE, "read:m write:*", false,
		    "'*' reaches every database: add allow_full_access = yes" },
		{ BACKEND_KIND_DATABASE, "read:m write:*", true, NULL },
		{ BACKEND_KIND_MANAGEMENT, "", false,
		    "kind = management is all-powerful: add "
		    "allow_full_access = yes" },
		{ BACKEND_KIND_MANAGEMENT, "", true, NULL },
		{ BACKEND_KIND_MANAGEMENT, "read:m", true,
		    "permissions have no meaning for kind = management" },
		{ BACKEND_KIND_ACCESS, "", true,
		    "influxdb-dedicated has kind = database or management" },
		{ BACKEND_KIND_CUSTOM, "", true,
		    "influxdb-dedicated has kind = database or management" },
	};
	struct backend_conf c = fix_dedicated();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_recipe r = fix_permissions(rows[i].permissions);
		struct tb_error err = TB_ERROR_INIT;
		int ret;

		r.kind = rows[i].kind;
		r.allow_full_access = rows[i].full;
		ret = c.ops->check_recipe(&c, &r, &err);
		assert_int_equal(ret, rows[i].error ? -1 : 0);
		if (rows[i].error) {
			assert_int_equal(err.code, TB_E_CONFIG);
			assert_contains(err.msg, rows[i].error);
		}
		backend_recipe_clear(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_dedicated_mint_request),
		T(test_clustered_requests),
		T(test_get_and_update),
		T(test_configured_request),
		T(test_revoke_bad_id),
		T(test_caps),
		T(test_management_drivers),
		T(test_check),
		T(test_check_loopback),
		T(test_check_recipe),
	};

	return cmocka_run_group_tests_name("backend/influxdb_mgmt", tests,
	    NULL, NULL);
}
