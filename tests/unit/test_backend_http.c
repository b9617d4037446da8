/* SPDX-License-Identifier: Apache-2.0 */
/* Type http: templates at load and at run time, pointers into any reply. Types
 * oauth and import, which are small, are checked here as well. */
#include "backend_fixture.h"

#include "backend/template.h"
#include "base/strbuf.h"

/* ---------------------------------------------------------------- template */

static void
test_template_render(void **state)
{
	static const struct template_var vars[] = {
		{ "id", "{name}/..?x=\"1\"&y" },
		{ "name", "n\\\n" },
		{ "id_two", "2" },
	};
	static const struct {
		const char *text, *url, *json;
	} rows[] = {
		{ "", "", "" },
		{ "plain", "plain", "plain" },
		{ "{id}", "%7Bname%7D%2F..%3Fx%3D%221%22%26y",
		    "\"{name}/..?x=\\\"1\\\"&y\"" },
		{ "\"{id}\"", "\"%7Bname%7D%2F..%3Fx%3D%221%22%26y\"",
		    "\"{name}/..?x=\\\"1\\\"&y\"" },
		{ "a{name}b", "an%5C%0Ab", "a\"n\\\\\\n\"b" },
		{ "\"a{name}b\"", "\"an%5C%0Ab\"", "\"an\\\\\\nb\"" },
		{ "{id_two}{id_two}", "22", "22" },
		{ "{\"a\":{\"b\":\"{id_two}\"},\"c\":{}}",
		    "{\"a\":{\"b\":\"2\"},\"c\":{}}",
		    "{\"a\":{\"b\":\"2\"},\"c\":{}}" },
		{ "{{id_two}}", "{2}", "{2}" },
		{ "{id_two", "{id_two", "{id_two" },
		{ "{ id }{Id}{id2}{}", "{ id }{Id}{id2}{}",
		    "{ id }{Id}{id2}{}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;

		template_url(&out, rows[i].text, vars, ARRAY_SIZE(vars));
		assert_string_equal(strbuf_str(&out), rows[i].url);
		strbuf_reset(&out);
		template_json(&out, rows[i].text, vars, ARRAY_SIZE(vars));
		assert_string_equal(strbuf_str(&out), rows[i].json);
	}
}

static void
test_template_check(void **state)
{
	static const struct template_var vars[] = {
		{ "id", "1" },
		{ "account_id", NULL },
	};
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "", NULL },
		{ "{\"a\":{\"b\":\"{id}\"}, \"c\":{}, {1D} {id2} {", NULL },
		{ "{ID}", "unknown placeholder {ID}" },
		{ "x{nope}y", "unknown placeholder {nope}" },
		{ "{id}{i}", "unknown placeholder {i}" },
		{ "{{idx}}", "unknown placeholder {idx}" },
		{ "{account_id}", "placeholder {account_id} has no value here" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tb_error err = TB_ERROR_INIT;
		int r = template_check(rows[i].text, vars, ARRAY_SIZE(vars),
		    &err);

		assert_int_equal(r, rows[i].error ? -1 : 0);
		if (rows[i].error)
			assert_string_equal(err.msg, rows[i].error);
	}
	assert_true(template_uses("a{b}{id}", "id"));
	assert_false(template_uses("a{idx}", "id"));
	assert_false(template_uses(NULL, "id"));
}

/* What has been tried on others: each is one segment, one parameter, one string
 * or one value, and nothing more. */
static void
test_template_attacks(void **state)
{
	static const char *const values[] = { "", "a", "\"", "\\", "\\\"",
		"\",\"admin\":true,\"x\":\"", "true", "1}", "[1]", "null", "7",
		"-7", "007", "1e9", "99999999999999999999", "a\nb\r\nX: y",
		"\t\b\f\x01\x1f\x7f", "%2f..%2f", "../..", "a/b?c=d&e=f#g",
		"{id}", "{description}{id}", "{{id}}", "\xc3\xa9\xe2\x82\xac",
		"\xf0\x9f\x98\x80", "\xc3", "\xff\xfe", "\xed\xa0\x80",
		"</script>", "${jndi:x}", "'; DROP TABLE t; --", "\u2028" };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const struct template_var vars[] = { { "id", values[i] } };
		struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
		struct tb_error err = TB_ERROR_INIT;
		json_t *json;

		template_url(&out, "/k/{id}/x?d={id}&e=1", vars, 1);
		assert_int_equal(strspn(strbuf_str(&out), "/?=&%-._~kxde"
		    "0123456789abcdefghijklmnopqrstuvwxyz"
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), out.len);
		assert_ptr_equal(strchr(strbuf_str(&out) + 3, '/'),
		    strstr(strbuf_str(&out), "/x?d="));
		assert_ptr_equal(strrchr(strbuf_str(&out), '&'),
		    strstr(strbuf_str(&out), "&e=1"));

		strbuf_reset(&out);
		template_json(&out, "{\"a\\\"b\\\\\":\"x{id}y\",\"v\":{id},"
		    "\"l\":[{id},\"{id}\"],\"end\":1}", vars, 1);
		json = jsonx_parse(strbuf_str(&out), out.len, &err);
		if (!json)
			fail_msg("value %zu: %s: %s", i, err.msg,
			    strbuf_str(&out));
		assert_int_equal(json_object_size(json), 4);
		assert_int_equal(json_array_size(json_object_get(json, "l")),
		    2);
		assert_true(json_is_string(json_object_get(json, "v")) ||
		    json_is_integer(json_object_get(json, "v")));
		if (i < 25 && json_is_string(json_object_get(json, "v")))
			assert_string_equal(json_string_value(
			    json_object_get(json, "v")), values[i]);
		json_decref(json);
	}
}

/* The same with whatever comes: bytes of a small generator. */
static void
test_template_random(void **state)
{
	static const char pieces[] = "\"\\{}[]:,/%?#&= \n\xc3\xa9id0aZ\x7f\x80";
	uint32_t seed = 4711;

	for (int round = 0; round < 20000; round++) {
		struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
		struct tb_error err = TB_ERROR_INIT;
		char value[24];
		const struct template_var vars[] = { { "id", value } };
		size_t n = (seed >> 3) % sizeof(value);
		json_t *json;

		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			value[i] = pieces[(seed >> 16) % (sizeof(pieces) - 1)];
		}
		value[n] = '\0';
		seed = seed * 1664525 + 1013904223;
		template_json(&out, "{\"s\":\"{id}\",\"v\":{id}}", vars, 1);
		json = jsonx_parse(strbuf_str(&out), out.len, &err);
		if (!json || json_object_size(json) != 2)
			fail_msg("round %d: %s", round, strbuf_str(&out));
		json_decref(json);
		strbuf_reset(&out);
		template_url(&out, "{id}", vars, 1);
		assert_null(strpbrk(strbuf_str(&out), "\"\\{}[]:,/?#&= \n"));
	}
}

/* ---------------------------------------------------------------- requests */

static void
test_requests(void **state)
{
	static const struct {
		enum backend_verb verb;
		const char *method, *url, *body, *authorization;
	} rows[] = {
		{ BACKEND_MINT, "POST", "https://gw.example.com/v1/keys",
		    "{\"note\":\"" FIX_DESCRIPTION "\",\"ttl\":604800}",
		    "Bearer " FIX_BEARER },
		{ BACKEND_LIST, "GET", "https://gw.example.com/v1/keys", "",
		    "Bearer " FIX_BEARER },
		{ BACKEND_REVOKE, "DELETE",
		    "https://gw.example.com/v1/keys/id-1", "",
		    "Bearer " FIX_BEARER },
		{ BACKEND_PROBE, "GET", "https://gw.example.com/v1/ping", "",
		    "Bearer " FIX_VALUE },
	};
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct fake_http_request *q;

		fake_http_push_json(404, "{}");
		fix_call(&c, &r, rows[i].verb);
		q = fake_http_last();
		assert_string_equal(q->method, rows[i].method);
		assert_string_equal(q->url, rows[i].url);
		assert_string_equal(q->body, rows[i].body);
		assert_string_equal(fake_http_header(q, "Authorization"),
		    rows[i].authorization);
		if (*rows[i].body)
			assert_string_equal(q->content_type,
			    "application/json");
		else
			assert_null(q->content_type);
	}
}

static void
test_all_placeholders(void **state)
{
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();
	struct backend_run run;
	struct tb_error err = TB_ERROR_INIT;

	c.account_id = LIT("a/b");
	c.cluster_id = LIT("c");
	c.mint.method = LIT("PUT");
	c.mint.url = LIT("https://x.example/{account_id}/{cluster_id}/{name}"
			 "?d={description}");
	c.mint.body = LIT("{\"x\":\"{expires_at}\",\"e\":{expires_at_epoch},"
			  "\"l\":{lifetime_s},\"d\":\"{description}\"}");
	assert_int_equal(c.ops->check(&c, &err), 0);
	run = fix_run(&c, &r, BACKEND_MINT);
	str_set(&run.description, "a\",\"admin\":\"{id}&b=1");
	fake_http_push_json(200, "{\"id\":\"i\",\"token\":\"t\"}");
	fix_call_run(&run);
	assert_string_equal(fake_http_last()->method, "PUT");
	assert_string_equal(fake_http_last()->url,
	    "https://x.example/a%2Fb/c/gw?d=a%22%2C%22admin%22%3A%22%7Bid%7D"
	    "%26b%3D1");
	assert_string_equal(fake_http_last()->body,
	    "{\"x\":\"2026-11-29T17:20:00Z\",\"e\":1795972800,\"l\":604800,"
	    "\"d\":\"a\\\",\\\"admin\\\":\\\"{id}&b=1\"}");
}

/* A client certificate can pay: then no Authorization is sent. */
static void
test_certificate_pays(void **state)
{
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();
	struct backend_run run;
	struct tb_error err = TB_ERROR_INIT;

	c.login = NULL;
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "who pays for the calls?");
	c.tls_cert_file = LIT("/c.pem");
	c.tls_key_file = LIT("/k.pem");
	assert_int_equal(c.ops->check(&c, &err), 0);
	run = fix_run(&c, &r, BACKEND_MINT);
	secret_clear(&run.bearer);
	fake_http_push_json(200, "{\"id\":\"i\",\"token\":\"t\"}");
	fix_call_run(&run);
	assert_int_equal(fix.err.code, TB_OK);
	assert_null(fake_http_header(fake_http_last(), "Authorization"));
	assert_string_equal(fake_http_last()->tls_cert_file, "/c.pem");
}

/* ---------------------------------------------------------------- replies */

static void
test_pointers(void **state)
{
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();

	c.token_pointer = LIT("/data/0/secret~1value");
	c.id_pointer = LIT("/data/0/meta/key");
	c.expires_pointer = LIT("/data/0/until");
	c.list_pointer = LIT("/data/keys");
	c.list_id_pointer = LIT("/meta/key");
	c.list_description_pointer = LIT("/note");
	c.list_revoked_pointer = LIT("/off");
	c.list_created_pointer = LIT("/born");
	fake_http_push_json(201, "{\"data\":[{\"secret/value\":\"tok\","
				 "\"meta\":{\"key\":12},"
				 "\"until\":{\"seconds\":1795972800}}]}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_secret(&fix.run.token, "tok");
	assert_string_equal(fix.run.minted_id, "12");
	assert_int_equal(fix.run.minted_expires_at, 1795972800);

	fake_http_push_json(200,
	    "{\"other\":[],\"more\":[],\"data\":{\"keys\":["
	    "{\"meta\":{\"key\":\"a\"},\"note\":\"n\",\"born\":1795000000},"
	    "{\"meta\":{\"key\":\"b\"},\"note\":null,\"off\":true}]}}");
	fix_call(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.err.code, TB_OK);
	assert_int_equal(fix.run.n_listed, 2);
	assert_string_equal(fix.run.listed[0].id, "a");
	assert_string_equal(fix.run.listed[0].description, "n");
	assert_int_equal(fix.run.listed[0].created_at, 1795000000);
	assert_false(fix.run.listed[0].dead);
	assert_string_equal(fix.run.listed[1].description, "");
	assert_true(fix.run.listed[1].dead);

	/* A pointer that finds no description anywhere would hide a token. */
	c.list_description_pointer = LIT("/comment");
	fake_http_push_json(200, "{\"data\":{\"keys\":["
				 "{\"meta\":{\"key\":\"a\"},\"note\":\"n\"}]}}");
	fix_call(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.err.code, TB_E_PROTO);
	assert_string_equal(fix.err.msg, "list: no item of the list has a "
					 "description at '/comment'");
}

/* Where the token is to stand, and under which word. */
static void
test_other_header(void **state)
{
	static const struct {
		const char *header, *scheme, *want_header, *want;
	} rows[] = {
		{ NULL, NULL, "Authorization", "Bearer " FIX_BEARER },
		{ NULL, "none", "Authorization", FIX_BEARER },
		{ NULL, "Token", "Authorization", "Token " FIX_BEARER },
		{ "PRIVATE-TOKEN", NULL, "PRIVATE-TOKEN", FIX_BEARER },
		{ "X-Api-Key", "Key", "X-Api-Key", "Key " FIX_BEARER },
	};
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_http();
		const struct fake_http_request *q;

		c.auth_header = LIT(rows[i].header);
		c.auth_scheme = LIT(rows[i].scheme);
		fake_http_push_json(200, "[]");
		fix_call(&c, &r, BACKEND_LIST);
		q = fake_http_last();
		assert_string_equal(fake_http_header(q, rows[i].want_header),
		    rows[i].want);
		if (rows[i].header)
			assert_null(fake_http_header(q, "Authorization"));
	}
}

/* A day is sent, and a day comes back: over when it begins. A list that says
 * where an element's end is. */
static void
test_days(void **state)
{
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();
	struct tb_error err = TB_ERROR_INIT;
	char day[TIMEFMT_SIZE], body[128];

	c.mint.body = LIT("{\"n\":\"{description}\",\"e\":\"{expires_on}\"}");
	assert_int_equal(c.ops->check(&c, &err), 0);
	timefmt_rfc3339(FIX_EXPIRES, day, sizeof(day));
	day[10] = '\0';
	snprintf(body, sizeof(body),
	    "{\"token\":\"t\",\"id\":7,\"expires_at\":\"%s\"}", day);
	fake_http_push_json(201, body);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_contains(fake_http_last()->body, day);
	assert_string_equal(fix.run.minted_id, "7");
	assert_true(fix.run.minted_expires_at <= FIX_EXPIRES);
	assert_true(fix.run.minted_expires_at > FIX_EXPIRES - 86400);
	assert_int_equal(fix.run.minted_expires_at % 86400, 0);

	c.list_expires_pointer = LIT("/ends");
	fake_http_push_json(200, "[{\"id\":1,\"description\":\"d\","
	    "\"ends\":\"2001-01-01\"},{\"id\":2,\"description\":\"d\","
	    "\"ends\":\"2999-01-01T00:00:00Z\"}]");
	fix_call(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.run.n_listed, 2);
	assert_true(fix.run.listed[0].dead);
	assert_false(fix.run.listed[1].dead);
}

/* Without a revoke the id is nice to have; with one it is not. */
static void
test_id_optional(void **state)
{
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();

	fake_http_push_json(200, "{\"token\":\"t\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_string_equal(fix.err.msg,
	    "mint: no usable id at '/id' of the answer");
	assert_true(fix.run.uncertain);
	assert_true(secret_is_empty(&fix.run.token));

	c.revoke.url = NULL;
	fake_http_push_json(200, "{\"token\":\"t\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_null(fix.run.minted_id);
	assert_int_equal(fix.run.minted_expires_at, 0);
}

/* Who cannot ask for an end must be told one. */
static void
test_expiry_required(void **state)
{
	struct backend_recipe r = fix_recipe(BACKEND_KIND_CUSTOM);
	struct backend_conf c = fix_http();
	struct tb_error err = TB_ERROR_INIT;

	c.mint.body = LIT("{\"n\":\"{description}\"}");
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "expires_pointer must say");
	c.expires_pointer = LIT("/end");
	assert_int_equal(c.ops->check(&c, &err), 0);
	fake_http_push_json(200, "{\"token\":\"t\",\"id\":\"i\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_string_equal(fix.err.msg, "mint: no time at '/end' of the answer");
	assert_true(fix.run.uncertain);
}

/* ---------------------------------------------------------------- at load */

#define KEY(member) offsetof(struct backend_conf, member)

static void
test_check(void **state)
{
	static const struct {
		size_t key;
		const char *value, *error;
	} rows[] = {
		{ KEY(name), "gw", NULL },
		{ KEY(mint.url), NULL, "mint_url is missing" },
		{ KEY(list.url), NULL, NULL },
		{ KEY(list.body), "{}", NULL },
		{ KEY(probe.url), NULL, NULL },
		{ KEY(revoke.url), NULL, NULL },
		{ KEY(revoke.url), "/keys", "revoke_url or revoke_body must "
					    "have {id}" },
		{ KEY(mint.method), "FETCH", "mint_method must be GET, POST" },
		{ KEY(mint.method), "PATCH", NULL },
		{ KEY(mint.body), "{\"ttl\":{lifetime_s}}",
		    "list_url is of use only if" },
		{ KEY(mint.body), "{\"a\":\"{descripton}\"}",
		    "mint_body: unknown placeholder {descripton}" },
		{ KEY(mint.body), "{\"d\":{description},\"t\":{lifetime_s}}",
		    NULL },
		{ KEY(mint.body), "d={description}&t={lifetime_s}",
		    "mint_body: it is no JSON" },
		{ KEY(mint.body), "{\"d\":\"{description}\" {lifetime_s}}",
		    "mint_body: it is no JSON" },
		{ KEY(list_expires_pointer), "x", "list_expires_pointer must" },
		{ KEY(auth_header), "PRIVATE-TOKEN", NULL },
		{ KEY(auth_header), "X: y\r\nZ", "auth_header must be" },
		{ KEY(auth_header), "", "auth_header must be" },
		{ KEY(auth_header), "content-length", "auth_header: Content-" },
		{ KEY(mint.body), "{\"a\":\"{id}\"}",
		    "mint_body: placeholder {id} has no value here" },
		{ KEY(list.url), "/keys?d={description}",
		    "list_url: placeholder {description} has no value here" },
		{ KEY(mint.url), "/{account_id}",
		    "mint_url: placeholder {account_id} has no value here" },
		{ KEY(mint.url), "https://{name}.example/",
		    "mint_url must be a path or a URL without a placeholder" },
		{ KEY(mint.url), "keys", "mint_url must be a path or a URL" },
		{ KEY(mint.url), "http://gw.example/", "mint_url: " },
		{ KEY(base_url), NULL, "_url is a path, so base_url is wanted" },
		{ KEY(token_pointer), "token",
		    "token_pointer must be a JSON pointer" },
		{ KEY(id_pointer), "/a~2", "id_pointer: after '~'" },
		{ KEY(expires_pointer), "x", "expires_pointer must be" },
		{ KEY(list_pointer), "", NULL },
		{ KEY(list_pointer), "x", "list_pointer must be" },
		{ KEY(list_id_pointer), "x", "list_id_pointer must be" },
		{ KEY(list_description_pointer), "x",
		    "list_description_pointer must be" },
		{ KEY(list_revoked_pointer), "x", "list_revoked_pointer must" },
		{ KEY(list_created_pointer), "x", "list_created_pointer must" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_http();
		struct tb_error err = TB_ERROR_INIT;
		int r;

		*(char **)((char *)&c + rows[i].key) = LIT(rows[i].value);
		r = c.ops->check(&c, &err);
		if (!rows[i].error) {
			if (r < 0)
				fail_msg("row %zu: %s", i, err.msg);
			continue;
		}
		if (r == 0)
			fail_msg("row %zu passes, wanted: %s", i,
			    rows[i].error);
		assert_int_equal(err.code, TB_E_CONFIG);
		assert_contains(err.msg, rows[i].error);
	}
}

static void
test_check_no_url(void **state)
{
	struct backend_conf c = fix_http();
	struct tb_error err = TB_ERROR_INIT;

	c.probe.url = NULL;
	c.probe.method = LIT("GET");
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_string_equal(err.msg, "probe_url is missing");
}

static void
test_caps(void **state)
{
	struct backend_conf c = fix_http();
	struct backend_conf bare = fix_http();

	assert_int_equal(c.ops->caps(&c, NULL), BACKEND_CAN_LIST |
	    BACKEND_CAN_REVOKE | BACKEND_CAN_PROBE | BACKEND_NEEDS_PAYER);
	bare.list.url = bare.revoke.url = bare.probe.url = NULL;
	assert_int_equal(c.ops->caps(&bare, NULL), BACKEND_NEEDS_PAYER);
}

/* ------------------------------------------------- recipes, oauth, import */

static void
test_recipes(void **state)
{
	static const struct {
		const char *type;
		enum backend_kind kind;
		const char *permissions;
		bool full;
		const char *error;
	} rows[] = {
		{ "http", BACKEND_KIND_CUSTOM, "", false, NULL },
		{ "http", BACKEND_KIND_CUSTOM, "read:m", false,
		    "permissions have no meaning for type http" },
		{ "http", BACKEND_KIND_MANAGEMENT, "", true, NULL },
		{ "http", BACKEND_KIND_MANAGEMENT, "", false,
		    "add allow_full_access = yes" },
		{ "http", BACKEND_KIND_MANAGEMENT, "read:m", true,
		    "permissions have no meaning" },
		{ "http", BACKEND_KIND_DATABASE, "read:m", true,
		    "type http has kind = custom or management" },
		{ "http", BACKEND_KIND_ACCESS, "", true,
		    "type http has kind = custom or management" },
		{ "oauth", BACKEND_KIND_ACCESS, "", true, NULL },
		{ "oauth", BACKEND_KIND_ACCESS, "", false,
		    "the whole power of its human: add allow_full_access" },
		{ "oauth", BACKEND_KIND_ACCESS, "read:m", true,
		    "permissions have no meaning for kind = access" },
		{ "oauth", BACKEND_KIND_CUSTOM, "", true,
		    "type oauth has only kind = access" },
		{ "import", BACKEND_KIND_DATABASE, "", false, NULL },
		{ "import", BACKEND_KIND_DATABASE, "read:*", false,
		    "add allow_full_access = yes" },
		{ "import", BACKEND_KIND_CUSTOM, "", false, NULL },
		{ "import", BACKEND_KIND_MANAGEMENT, "", true, NULL },
		{ "import", BACKEND_KIND_MANAGEMENT, "", false,
		    "add allow_full_access = yes" },
		{ "import", BACKEND_KIND_ACCESS, "", true,
		    "an access token cannot be imported" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = { .ops = backend_find(rows[i].type) };
		struct backend_recipe r = fix_permissions(rows[i].permissions);
		struct tb_error err = TB_ERROR_INIT;
		int ret;

		r.kind = rows[i].kind;
		r.allow_full_access = rows[i].full;
		ret = c.ops->check_recipe(&c, &r, &err);
		assert_int_equal(ret, rows[i].error ? -1 : 0);
		if (rows[i].error)
			assert_contains(err.msg, rows[i].error);
		backend_recipe_clear(&r);
	}
}

static void
test_oauth(void **state)
{
	struct backend_conf c = { .name = LIT("me"), .login = LIT("ops"),
		.ops = backend_find("oauth") };
	struct backend_recipe r = fix_recipe(BACKEND_KIND_ACCESS);
	struct tb_error err = TB_ERROR_INIT;
	struct backend_run run;

	assert_int_equal(c.ops->check(&c, &err), 0);
	assert_int_equal(c.ops->caps(&c, &r),
	    BACKEND_NEEDS_PAYER | BACKEND_VALUE_IS_BEARER);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_secret(&fix.run.token, FIX_BEARER);
	assert_secret(&fix.run.bearer, FIX_BEARER);
	assert_null(fix.run.minted_id);
	assert_int_equal(fix.run.minted_expires_at, FAKE_NOW_REAL_S + 3600);
	assert_int_equal(fake_http_requests(), 0);

	run = fix_run(&c, &r, BACKEND_MINT);
	secret_set_str(&run.bearer, "two words");
	fix_call_run(&run);
	assert_string_equal(fix.err.msg,
	    "the login's access token cannot be used as one");
	assert_false(fix.run.uncertain);

	c.management_token = LIT("m");
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "it takes login, and no management_token");
	c.login = c.management_token = NULL;
	assert_int_equal(c.ops->check(&c, &err), -1);
}

static void
test_import(void **state)
{
	struct backend_conf c = { .name = LIT("ui"),
		.ops = backend_find("import") };
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(c.ops->check(&c, &err), 0);
	assert_int_equal(c.ops->caps(&c, &r), BACKEND_NO_MINT);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_E_BADREQ);
	assert_contains(fix.err.msg, "import one");
	c.login = LIT("ops");
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "takes neither login nor management_token");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_template_render),
		T(test_template_check),
		T(test_template_attacks),
		T(test_template_random),
		T(test_other_header),
		T(test_days),
		T(test_requests),
		T(test_all_placeholders),
		T(test_certificate_pays),
		T(test_pointers),
		T(test_id_optional),
		T(test_expiry_required),
		T(test_check),
		T(test_check_no_url),
		T(test_caps),
		T(test_recipes),
		T(test_oauth),
		T(test_import),
	};

	return cmocka_run_group_tests_name("backend/http", tests, NULL, NULL);
}
