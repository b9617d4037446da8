/* SPDX-License-Identifier: Apache-2.0 */
/* Every type through its life (mint, list, probe, revoke), and through the
 * answers that real services were seen or must be feared to give. */
#include "backend_fixture.h"

#include "backend/answer.h"
#include "base/strbuf.h"

#define LIVES 4

static struct backend_conf
conf_of(unsigned life)
{
	struct backend_conf c;

	if (life == 0)
		return fix_dedicated();
	if (life == 1)
		return fix_clustered();
	c = life == 2 ? fix_http() : fix_clustered();
	if (life == 3) { /* management tokens by the http driver */
		struct backend_conf t = fix_http();

		c.management_driver = LIT("http");
		c.mint = t.mint;
		c.list = t.list;
		c.revoke = t.revoke;
		c.probe = t.probe;
	}
	return c;
}

static struct backend_recipe
recipe_of(unsigned life)
{
	if (life == 2)
		return fix_recipe(BACKEND_KIND_CUSTOM);
	if (life == 3)
		return fix_recipe(BACKEND_KIND_MANAGEMENT);
	return fix_permissions("read:metrics write:logs");
}

/* What the type calls its secret. */
static const char *
token_member(unsigned life)
{
	return life < 2 ? "accessToken" : "token";
}

static void
answer_mint(unsigned life, int status, const char *text)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *at = strstr(text, "TOKEN");

	if (at) {
		strbuf_add(&body, text, (size_t)(at - text));
		strbuf_adds(&body, token_member(life));
		text = at + 5;
	}
	strbuf_adds(&body, text);
	fake_http_push_json(status, strbuf_str(&body));
}

/* ---------------------------------------------------------------- life */

static void
test_lives(void **state)
{
	for (unsigned life = 0; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(c.ops->check(&c, &err), 0);
		assert_int_equal(c.ops->check_recipe(&c, &r, &err), 0);

		answer_mint(life, 200, "{\"id\":\"id-1\",\"TOKEN\":\"apiv1_new\","
		    "\"expiresAt\":\"2026-11-28T17:20:00.123Z\"}");
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_OK);
		assert_secret(&fix.run.token, "apiv1_new");
		assert_string_equal(fix.run.minted_id, "id-1");
		assert_int_equal(fix.run.minted_expires_at,
		    FIX_EXPIRES - 86400);

		fake_http_push_json(200,
		    "[{\"id\":\"id-1\",\"description\":\"" FIX_DESCRIPTION
		    "\",\"createdAt\":\"2026-11-22T17:20:01Z\"}]");
		fix_call(&c, &r, BACKEND_LIST);
		assert_int_equal(fix.run.n_listed, 1);
		assert_string_equal(fix.run.listed[0].description,
		    FIX_DESCRIPTION);
		assert_int_equal(fix.run.listed[0].created_at,
		    FAKE_NOW_REAL_S + 1);
		assert_false(fix.run.listed[0].dead);

		if (c.ops->caps(&c, &r) & BACKEND_CAN_PROBE) {
			fake_http_push_json(401, "{}");
			fix_call(&c, &r, BACKEND_PROBE);
			assert_int_equal(fix.run.probe, BACKEND_PROBE_NOT_YET);
			fake_http_push_json(204, "");
			fix_call(&c, &r, BACKEND_PROBE);
			assert_int_equal(fix.run.probe, BACKEND_PROBE_YES);
		}
		fake_http_push_json(204, "");
		fix_call(&c, &r, BACKEND_REVOKE);
		assert_int_equal(fix.err.code, TB_OK);
		backend_recipe_clear(&r);
	}
}

static void
test_registry(void **state)
{
	static const char *const types[] = { "http", "import",
		"influxdb-clustered", "influxdb-dedicated", "influxdb-v2",
		"influxdb3", "oauth", "token-exchange" };
	char all[128] = "";

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct backend_ops *ops = backend_find(types[i]);

		assert_non_null(ops);
		assert_string_equal(ops->type, types[i]);
		assert_true(ops->caps && ops->check && ops->check_recipe &&
		    ops->step);
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
		    i ? ", " : "", types[i]);
	}
	assert_string_equal(backend_type_names(), all);
	assert_string_equal(backend_type_names(), all);
	assert_null(backend_find("influxdb"));
	assert_null(backend_find(""));
	assert_null(backend_find(NULL));
}

static void
test_frees(void **state)
{
	struct backend_conf *c = xnew(struct backend_conf);
	struct backend_recipe r = fix_permissions("read:a write:b");

	c->name = xstrdup("n");
	c->mint.url = xstrdup("u");
	c->list.method = xstrdup("m");
	c->probe.body = xstrdup("b");
	c->list_created_pointer = xstrdup("/c");
	c->tls_key_file = xstrdup("k");
	backend_conf_free(c);
	backend_conf_free(NULL);
	backend_recipe_clear(&r);
	assert_int_equal(r.n_permissions, 0);
	backend_recipe_clear(&r);
}

/* ---------------------------------------------------------------- mint */

/* TOKEN stands for the member that holds the secret. */
static const struct {
	const char *what;
	int status;
	const char *body;
	enum tb_errc code; /* TB_OK: minted */
	bool uncertain, unauthorized;
	const char *error; /* part of the text */
} mints[] = {
	{ "200", 200, "{\"id\":\"i\",\"TOKEN\":\"t\"}", TB_OK, false, false, "" },
	{ "201", 201, "{\"id\":\"i\",\"TOKEN\":\"t\"}", TB_OK, false, false, "" },
	{ "unknown members", 200, "{\"id\":\"i\",\"TOKEN\":\"t\",\"new\":"
	    "{\"a\":[1,2,{}]},\"expiresAt\":null}", TB_OK, false, false, "" },
	{ "odd expiry", 200, "{\"id\":\"i\",\"TOKEN\":\"t\","
	    "\"expiresAt\":\"soon\"}", TB_OK, false, false, "" },
	{ "no expiry as 1970", 200, "{\"id\":\"i\",\"TOKEN\":\"t\","
	    "\"expiresAt\":\"1970-01-01T00:00:00Z\"}", TB_OK, false, false,
	    "" },
	{ "numeric id", 200, "{\"id\":42,\"TOKEN\":\"t\"}", TB_OK, false, false,
	    "" },
	{ "no token", 200, "{\"id\":\"i\"}", TB_E_PROTO, true, false,
	    "mint: no token at" },
	{ "token is a number", 200, "{\"id\":\"i\",\"TOKEN\":7}", TB_E_PROTO,
	    true, false, "mint: no token at" },
	{ "empty token", 200, "{\"id\":\"i\",\"TOKEN\":\"\"}", TB_E_PROTO, true,
	    false, "cannot be a token" },
	{ "token with a space", 200, "{\"id\":\"i\",\"TOKEN\":\"a b\"}",
	    TB_E_PROTO, true, false, "cannot be a token" },
	{ "token with a line end", 200, "{\"id\":\"i\",\"TOKEN\":\"a\\r\\nb\"}",
	    TB_E_PROTO, true, false, "cannot be a token" },
	{ "no id", 200, "{\"TOKEN\":\"t\"}", TB_E_PROTO, true, false,
	    "mint: no usable id" },
	{ "id is a path", 200, "{\"id\":\"..\",\"TOKEN\":\"t\"}", TB_E_PROTO,
	    true, false, "mint: no usable id" },
	{ "id forges a line", 200, "{\"id\":\"a\\nb\",\"TOKEN\":\"t\"}",
	    TB_E_PROTO, true, false, "mint: no usable id" },
	{ "truncated", 200, "{\"id\":\"i\",\"TOKEN\":\"t", TB_E_PROTO, true,
	    false, "mint: " },
	{ "duplicate keys", 200, "{\"id\":\"i\",\"TOKEN\":\"t\",\"id\":\"j\"}",
	    TB_E_PROTO, true, false, "mint: " },
	{ "an array", 200, "[]", TB_E_PROTO, true, false, "mint: no token" },
	{ "empty body", 200, "", TB_E_PROTO, true, false, "mint: " },
	{ "HTML", 200, "<html>hello</html>", TB_E_PROTO, true, false,
	    "mint: " },
	{ "301", 301, "", TB_E_UPSTREAM, true, false,
	    "mint: HTTP 301: redirects are not followed" },
	{ "308", 308, "", TB_E_UPSTREAM, false, false,
	    "mint: HTTP 308: redirects are not followed" },
	{ "integer code", 400, "{\"code\":400,\"message\":\"no such db\"}",
	    TB_E_UPSTREAM, false, false, "mint: HTTP 400: no such db" },
	{ "string code", 400, "{\"code\":\"invalid\"}", TB_E_UPSTREAM, false,
	    false, "mint: HTTP 400: invalid" },
	{ "401", 401, "{\"code\":401,\"message\":\"unauthorized\"}",
	    TB_E_UPSTREAM, false, true, "mint: HTTP 401: unauthorized" },
	{ "403", 403, "{\"code\":403,\"message\":\"Admin only\"}",
	    TB_E_UPSTREAM, false, false, "mint: HTTP 403: Admin only" },
	{ "409", 409, "{}", TB_E_UPSTREAM, false, false, "mint: HTTP 409" },
	{ "429", 429, "{\"error\":\"slow down\"}", TB_E_BUSY, false,
	    false, "mint: HTTP 429: slow down" },
	{ "500", 500, "{\"code\":500,\"message\":\"oops\"}", TB_E_TRANSIENT,
	    true, false, "mint: HTTP 500: oops" },
	{ "503, empty", 503, "", TB_E_BUSY, false, false,
	    "mint: HTTP 503" },
};

static void
test_mint_answers(void **state)
{
	for (unsigned life = 0; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);

		for (size_t i = 0; i < ARRAY_SIZE(mints); i++) {
			bool ok = mints[i].code == TB_OK;

			answer_mint(life, mints[i].status, mints[i].body);
			fix_call(&c, &r, BACKEND_MINT);
			if (fix.err.code != mints[i].code)
				fail_msg("life %u, %s: %s", life,
				    mints[i].what, fix.err.msg);
			assert_int_equal(fix.run.uncertain,
			    mints[i].uncertain);
			assert_int_equal(fix.run.unauthorized,
			    mints[i].unauthorized);
			assert_int_equal(!secret_is_empty(&fix.run.token), ok);
			assert_int_equal(fix.run.minted_id != NULL, ok);
			assert_int_equal(fix.run.minted_expires_at, 0);
			assert_contains(fix.err.msg, mints[i].error);
		}
		backend_recipe_clear(&r);
	}
}

/* Success without the token: it exists, and we have not got it. */
static void
test_mint_no_content(void **state)
{
	for (unsigned life = 0; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);

		fake_http_push_json(204, "");
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_not_equal(fix.err.code, TB_OK);
		assert_true(fix.run.uncertain);
		backend_recipe_clear(&r);
	}
}

static void
test_huge_id(void **state)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;

	for (unsigned life = 0; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);

		strbuf_reset(&body);
		strbuf_addf(&body, "{\"%s\":\"t\",\"id\":\"%0300000d\"}",
		    token_member(life), 1);
		fake_http_push_json(200, strbuf_str(&body));
		fix_call(&c, &r, BACKEND_MINT);
		assert_true(fix.run.uncertain);
		assert_contains(fix.err.msg, "no usable id");
		backend_recipe_clear(&r);
	}
}

/* ---------------------------------------------------------------- list */

static const struct {
	const char *what, *body;
	const char *want; /* "id description created dead;" or an error */
} lists[] = {
	{ "none", "[]", "" },
	{ "one", "[{\"id\":\"a\",\"description\":\"d\"}]", "a d 0 0;" },
	{ "in an object", "{\"n\":1,\"tokens\":[{\"id\":\"a\","
	    "\"description\":\"d\"}],\"next\":null}", "a d 0 0;" },
	{ "two arrays", "{\"a\":[],\"b\":[]}",
	    "!list: the answer holds no list of tokens" },
	{ "no array", "{\"a\":{}}",
	    "!list: the answer holds no list of tokens" },
	{ "times as text", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"createdAt\":\"2026-11-22T17:20:00Z\"}]", "a d 1795368000 0;" },
	{ "times with offset", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"created_at\":\"2026-11-22T18:20:00.5+01:00\"}]",
	    "a d 1795368000 0;" },
	{ "times as seconds and nanos", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"created_at\":{\"seconds\":1795368000,\"nanos\":5},"
	    "\"revoked_at\":{\"seconds\":1795368001}}]",
	    "a d 1795368000 1;" },
	{ "times as numbers", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"created_at\":1795368000,\"revoked_at\":1795368001.5}]",
	    "a d 1795368000 1;" },
	{ "64 bits as text", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"created_at\":{\"seconds\":\"1795368000\"}}]",
	    "a d 1795368000 0;" },
	{ "revoked", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"revokedAt\":\"2026-11-22T17:20:00Z\"},"
	    "{\"id\":\"b\",\"description\":\"e\",\"revokedAt\":null}]",
	    "a d 0 1;b e 0 0;" },
	{ "not really revoked", "["
	    "{\"id\":\"a\",\"description\":\"\",\"revokedAt\":\"\"},"
	    "{\"id\":\"b\",\"description\":\"\",\"revokedAt\":false},"
	    "{\"id\":\"c\",\"description\":\"\",\"revokedAt\":{}},"
	    "{\"id\":\"d\",\"description\":\"\",\"revokedAt\":0},"
	    "{\"id\":\"e\",\"description\":\"\",\"revokedAt\":{\"seconds\":0}},"
	    "{\"id\":\"f\",\"description\":\"\",\"revokedAt\":"
	    "\"0001-01-01T00:00:00Z\"}]",
	    "a  0 0;b  0 0;c  0 0;d  0 0;e  0 0;f  0 0;" },
	{ "expired", "["
	    "{\"id\":\"a\",\"description\":\"\",\"expiresAt\":"
	    "\"2026-11-22T17:20:00Z\"},"
	    "{\"id\":\"b\",\"description\":\"\",\"expires_at\":"
	    "\"2026-11-22T17:20:01Z\"},"
	    "{\"id\":\"c\",\"description\":\"\",\"expiresAt\":"
	    "\"1970-01-01T00:00:00Z\"}]",
	    "a  0 1;b  0 0;c  0 0;" },
	{ "permissions empty object", "[{\"id\":\"a\",\"description\":\"d\","
	    "\"permissions\":{}}]", "a d 0 0;" },
	{ "one without description", "[{\"id\":\"a\"},{\"id\":\"b\","
	    "\"description\":\"d\"}]", "a  0 0;b d 0 0;" },
	{ "none with description", "[{\"id\":\"a\"}]",
	    "!list: no item of the list has a description" },
	{ "no id", "[{\"id\":\"a\",\"description\":\"\"},{}]",
	    "!list: the list has an item without a usable id" },
	{ "item is text", "[\"a\"]",
	    "!list: the list has an item without a usable id" },
	{ "truncated", "[{\"id\":\"a\",", "!list: " },
	{ "duplicate keys", "[{\"id\":\"a\",\"id\":\"b\"}]", "!list: " },
	{ "empty body", "", "!list: " },
	{ "HTML", "<html>", "!list: " },
};

static void
test_list_answers(void **state)
{
	for (unsigned life = 0; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);

		for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
			struct strbuf got _cleanup_(strbuf_clear) = STRBUF_INIT;

			fake_http_push_json(200, lists[i].body);
			fix_call(&c, &r, BACKEND_LIST);
			assert_false(fix.run.uncertain);
			if (lists[i].want[0] == '!') {
				assert_int_equal(fix.err.code, TB_E_PROTO);
				assert_contains(fix.err.msg,
				    lists[i].want + 1);
				continue;
			}
			if (fix.err.code)
				fail_msg("%s: %s", lists[i].what, fix.err.msg);
			for (size_t k = 0; k < fix.run.n_listed; k++) {
				struct backend_listed *t = &fix.run.listed[k];

				strbuf_addf(&got, "%s %s %lld %d;", t->id,
				    t->description,
				    (long long)t->created_at, t->dead);
			}
			assert_string_equal(strbuf_str(&got), lists[i].want);
		}
		fake_http_push_json(401, "{}");
		fix_call(&c, &r, BACKEND_LIST);
		assert_true(fix.run.unauthorized);
		backend_recipe_clear(&r);
	}
}

/* A list of several MiB is no error: the API has no pages. */
static void
test_long_list(void **state)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct backend_recipe r = recipe_of(0);
	struct backend_conf c = conf_of(0);
	const size_t n = 15000;

	for (size_t i = 0; i < n; i++)
		strbuf_addf(&body, "%c{\"id\":\"%zu\",\"description\":"
		    "\"%0100d\"}", i ? ',' : '[', i, 7);
	strbuf_addc(&body, ']');
	assert_true(body.len > 1 << 20);
	fake_http_push_json(200, strbuf_str(&body));
	fix_call(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.err.code, TB_OK);
	assert_int_equal(fix.run.n_listed, n);
	backend_recipe_clear(&r);
}

/* ------------------------------------------------------- revoke and probe */

static void
test_revoke_answers(void **state)
{
	static const struct {
		int status;
		enum tb_errc code;
		bool unauthorized;
	} rows[] = {
		{ 200, TB_OK, false },
		{ 202, TB_OK, false },
		{ 204, TB_OK, false },
		{ 404, TB_OK, false },
		{ 410, TB_OK, false },
		{ 301, TB_E_UPSTREAM, false },
		{ 400, TB_E_UPSTREAM, false },
		{ 401, TB_E_UPSTREAM, true },
		{ 403, TB_E_UPSTREAM, false },
		{ 429, TB_E_BUSY, false },
		{ 500, TB_E_TRANSIENT, false },
	};

	for (unsigned life = 0; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			fake_http_push_json(rows[i].status, "<x>");
			fix_call(&c, &r, BACKEND_REVOKE);
			assert_int_equal(fix.err.code, rows[i].code);
			assert_int_equal(fix.run.unauthorized,
			    rows[i].unauthorized);
			assert_false(fix.run.uncertain);
		}
		backend_recipe_clear(&r);
	}
}

static void
test_probe_answers(void **state)
{
	static const struct {
		int status;
		enum backend_probe probe;
	} rows[] = {
		{ 200, BACKEND_PROBE_YES },
		{ 204, BACKEND_PROBE_YES },
		{ 401, BACKEND_PROBE_NOT_YET },
		{ 403, BACKEND_PROBE_NOT_YET },
		{ 302, BACKEND_PROBE_UNCLEAR },
		{ 400, BACKEND_PROBE_UNCLEAR },
		{ 404, BACKEND_PROBE_UNCLEAR },
		{ 429, BACKEND_PROBE_UNCLEAR },
		{ 500, BACKEND_PROBE_UNCLEAR },
	};

	for (unsigned life = 1; life < LIVES; life++) {
		struct backend_conf c = conf_of(life);
		struct backend_recipe r = recipe_of(life);

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			fake_http_push_json(rows[i].status, "<html>");
			fix_call(&c, &r, BACKEND_PROBE);
			assert_int_equal(fix.err.code, TB_OK);
			assert_int_equal(fix.run.probe, rows[i].probe);
			/* it is the probed value that is refused */
			assert_false(fix.run.unauthorized);
		}
		backend_recipe_clear(&r);
	}
}

/* ---------------------------------------------------------------- errors */

static void
test_reply_error(void **state)
{
	static const struct {
		int status;
		const char *type, *body, *want;
		enum tb_errc code;
	} rows[] = {
		{ 400, "application/json", "{\"code\":1,\"message\":\"m\"}",
		    "x: HTTP 400: m", TB_E_UPSTREAM },
		{ 400, "application/json", "{\"error\":\"e\"}",
		    "x: HTTP 400: e", TB_E_UPSTREAM },
		{ 400, "application/json", "{\"error\":{\"message\":\"e\"}}",
		    "x: HTTP 400: e", TB_E_UPSTREAM },
		{ 400, "application/json",
		    "{\"error\":\"e\",\"error_description\":\"long\"}",
		    "x: HTTP 400: long", TB_E_UPSTREAM },
		{ 400, "application/problem+json", "{\"detail\":\"d\"}",
		    "x: HTTP 400: d", TB_E_UPSTREAM },
		{ 400, "application/json", "{\"message\":\"a\\nb\\u001b[2J"
		    "\\u202ec\"}", "x: HTTP 400: a?b?[2J???c", TB_E_UPSTREAM },
		{ 400, "application/json", "{\"message\":\"token apiv1_"
		    "0123456789012345678901234567890123456789 is bad\"}",
		    "x: HTTP 400: token ... is bad", TB_E_UPSTREAM },
		{ 404, "application/json", "{\"message\":\"no "
		    "123e4567-e89b-42d3-a456-426614174000 here\"}",
		    "x: HTTP 404: no 123e4567-e89b-42d3-a456-426614174000 "
		    "here", TB_E_UPSTREAM },
		{ 400, "application/json", "{\"message\":7}", "x: HTTP 400",
		    TB_E_UPSTREAM },
		{ 400, "application/json", "{", "x: HTTP 400",
		    TB_E_UPSTREAM },
		{ 502, "text/html", "<html>secret</html>",
		    "x: HTTP 502: an HTML page", TB_E_TRANSIENT },
		{ 429, "text/plain", "", "x: HTTP 429", TB_E_BUSY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply reply = { .status = rows[i].status,
			.retry_after_ms = 1500 };
		struct tb_error err = TB_ERROR_INIT;

		snprintf(reply.content_type, sizeof(reply.content_type), "%s",
		    rows[i].type);
		secret_set_str(&reply.body, rows[i].body);
		assert_int_equal(backend_reply_error(&reply, "x", &err), -1);
		assert_string_equal(err.msg, rows[i].want);
		assert_int_equal(err.code, rows[i].code);
		assert_int_equal(err.retry_after_ms, 1500);
		secret_clear(&reply.body);
	}
}

static void
test_reply_error_cut(void **state)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct http_reply reply = { .status = 400 };
	struct tb_error err = TB_ERROR_INIT;

	strbuf_adds(&body, "{\"message\":\"");
	for (int i = 0; i < 1000; i++)
		strbuf_adds(&body, "word ");
	strbuf_adds(&body, "\"}");
	secret_set_str(&reply.body, strbuf_str(&body));
	backend_reply_error(&reply, "x", &err);
	assert_true(strlen(err.msg) > 150 && strlen(err.msg) < 220);
	secret_clear(&reply.body);
}

static void
test_answer_id(void **state)
{
	char longest[258];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[257] = '\0';
	assert_false(answer_is_id(longest));
	longest[256] = '\0';
	assert_true(answer_is_id(longest));
	assert_true(answer_is_id("..."));
	assert_false(answer_is_id("\xc3\xa4"));
	assert_false(answer_is_id("\x7f"));
	assert_false(answer_is_id(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_lives),
		T(test_registry),
		T(test_frees),
		T(test_mint_answers),
		T(test_mint_no_content),
		T(test_huge_id),
		T(test_list_answers),
		T(test_long_list),
		T(test_revoke_answers),
		T(test_probe_answers),
		T(test_reply_error),
		T(test_reply_error_cut),
		T(test_answer_id),
	};

	return cmocka_run_group_tests_name("backend/table", tests, NULL, NULL);
}
