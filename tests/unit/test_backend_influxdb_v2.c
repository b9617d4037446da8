/* SPDX-License-Identifier: Apache-2.0 */
/* InfluxDB Cloud Serverless and OSS v2: what is sent, byte by byte, what is
 * understood, and what is refused. */
#include "backend_fixture.h"

#include "backend/names.h"

#define BASE "https://v2.example.com"
#define ORG "0a1b2c3d4e5f6071"
#define BUCKET "0b0b0b0b0b0b0b01"
#define OTHER "0b0b0b0b0b0b0b02"
#define USER "0c0c0c0c0c0c0c01"
#define AUTH "0d0d0d0d0d0d0d01"
#define MINTED "{\"id\":\"" AUTH "\",\"token\":\"v2-value==\"," \
	"\"status\":\"active\",\"description\":\"x\"}"

static struct backend_conf
fix_v2(void)
{
	struct backend_conf c = {
		.name = LIT("v2"),
		.ops = backend_find("influxdb-v2"),
		.management_token = LIT("parent"),
		.base_url = LIT(BASE),
		.org = LIT(ORG),
		.timeout_ms = 5000,
	};

	return c;
}

/* "read-buckets", "read-bucket=NAME"; free with backend_recipe_clear. */
static struct backend_recipe
fix_words(const char *text)
{
	struct backend_recipe r = { .kind = BACKEND_KIND_DATABASE };
	char *copy = xstrdup(text), *save = NULL;

	for (char *p = strtok_r(copy, " ", &save); p;
	     p = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(p, '=');

		r.permissions = xreallocarray(r.permissions,
		    r.n_permissions + 1, sizeof(*r.permissions));
		r.permissions[r.n_permissions].action = xstrndup(p,
		    eq ? (size_t)(eq - p) : strlen(p));
		r.permissions[r.n_permissions++].resource = xstrdup0(eq ?
		    eq + 1 : NULL);
	}
	free(copy);
	return r;
}

static void
assert_request(size_t i, const char *method, const char *url, const char *body)
{
	const struct fake_http_request *q = fake_http_request(i);

	assert_non_null(q);
	assert_string_equal(q->method, method);
	assert_string_equal(q->url, url);
	assert_string_equal(fake_http_header(q, "Authorization"),
	    "Token " FIX_BEARER);
	if (body) {
		assert_string_equal(q->content_type, "application/json");
		assert_string_equal(q->body, body);
	}
}

#define P(action, rest) \
	"{\"action\":\"" action "\",\"resource\":{" rest "}}"
#define T(type) "\"type\":\"" type "\""
#define ID(id) ",\"id\":\"" id "\""
#define IN ",\"orgID\":\"" ORG "\""
#define BODY(user, permissions) \
	"{\"orgID\":\"" ORG "\"" user ",\"status\":\"active\"," \
	"\"description\":\"" FIX_DESCRIPTION "\",\"permissions\":[" \
	permissions "]}"

/* With ids everywhere a mint is one request. */
static void
test_mint_by_ids(void **state)
{
	static const struct {
		const char *words, *permissions;
	} rows[] = {
		{ "write-bucket=" BUCKET " read-bucket=" OTHER,
		    P("write", T("buckets") ID(BUCKET) IN) ","
		    P("read", T("buckets") ID(OTHER) IN) },
		{ "read-buckets write-notificationRules",
		    P("read", T("buckets") IN) ","
		    P("write", T("notificationRules") IN) },
		/* these two are of no organization */
		{ "read-orgs write-users", P("read", T("orgs") ID(ORG)) ","
		    P("write", T("users")) },
	};
	struct backend_conf c = fix_v2();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_recipe r = fix_words(rows[i].words);
		char *body = xasprintf(BODY("", "%s"), rows[i].permissions);

		backend_run_clear(&fix.run);
		fake_http_push_json(201, MINTED);
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_OK);
		assert_int_equal(fake_http_requests(), i + 1);
		assert_request(i, "POST", BASE "/api/v2/authorizations", body);
		assert_secret(&fix.run.token, "v2-value==");
		assert_string_equal(fix.run.minted_id, AUTH);
		assert_int_equal(fix.run.minted_expires_at, 0);
		free(body);
		backend_recipe_clear(&r);
	}
}

static void
test_names_are_looked_up(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("write-bucket=a&b");

	c.org = LIT("My Org");
	c.owner = LIT("telegraf");
	/* a service that does not filter must not choose for us */
	fake_http_push_json_for("/orgs", 200, "{\"orgs\":[{\"id\":\"" USER
	    "\",\"name\":\"Other\"},{\"id\":\"" ORG "\","
	    "\"name\":\"My Org\"}]}");
	fake_http_push_json_for("/users", 200, "{\"users\":[{\"id\":\"" USER
	    "\",\"name\":\"telegraf\"}]}");
	fake_http_push_json_for("/buckets", 200, "{\"buckets\":[{\"id\":\""
	    BUCKET "\",\"name\":\"a&b\"}]}");
	fake_http_push_json_for("/authorizations", 201, MINTED);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_int_equal(fake_http_requests(), 4);
	assert_request(0, "GET", BASE "/api/v2/orgs?org=My%20Org", NULL);
	assert_request(1, "GET", BASE "/api/v2/users?name=telegraf", NULL);
	assert_request(2, "GET", BASE "/api/v2/buckets?orgID=" ORG
	    "&name=a%26b", NULL);
	assert_request(3, "POST", BASE "/api/v2/authorizations",
	    BODY(",\"userID\":\"" USER "\"",
	    P("write", T("buckets") ID(BUCKET) IN)));
	backend_recipe_clear(&r);
}

static void
test_owner_is_created(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("read-buckets");
	static const struct {
		int status;
		const char *body;
	} none[] = {
		{ 404, "{\"code\":\"not found\",\"message\":\"user not found\"}" },
		{ 200, "{\"users\":[]}" },
	};

	c.owner = LIT("tele\"graf");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		c.create_owner = true;
		backend_run_clear(&fix.run);
		fake_http_push_json(none[i].status, none[i].body);
		fake_http_push_json(201, "{\"id\":\"" USER "\"}");
		fake_http_push_json(201, MINTED);
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_OK);
		assert_request(4 * i + 1, "POST", BASE "/api/v2/users",
		    "{\"name\":\"tele\\\"graf\",\"status\":\"active\"}");
		c.create_owner = false;
		backend_run_clear(&fix.run);
		fake_http_push_json(none[i].status, none[i].body);
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_E_UPSTREAM);
		assert_contains(fix.err.msg, "no user");
		assert_false(fix.run.uncertain);
	}
	backend_recipe_clear(&r);
}

static void
test_clone(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("clone=" AUTH " read-tasks");

	/* OSS shows values in clear, and members that nobody published */
	fake_http_push_json(200, "{\"id\":\"" AUTH "\",\"token\":\"SECRET\","
	    "\"permissions\":[{\"action\":\"write\",\"x\":1,\"resource\":{"
	    "\"type\":\"buckets\",\"id\":\"" BUCKET "\",\"name\":\"a\\\"b\","
	    "\"orgID\":\"" ORG "\",\"org\":null,\"y\":2}}]}");
	fake_http_push_json(201, MINTED);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_request(0, "GET", BASE "/api/v2/authorizations/" AUTH, NULL);
	assert_request(1, "POST", BASE "/api/v2/authorizations", BODY("",
	    P("read", T("tasks") IN) "," P("write", T("buckets") ID(BUCKET)
	    ",\"name\":\"a\\\"b\"" IN)));
	backend_run_clear(&fix.run);
	/* an id that is not understood, left out, would be all buckets */
	fake_http_push_json(200, "{\"permissions\":[{\"action\":\"write\","
	    "\"resource\":{\"type\":\"buckets\",\"id\":7}}]}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_E_PROTO);
	assert_false(fix.run.uncertain);
	assert_int_equal(fake_http_requests(), 3);
	backend_recipe_clear(&r);
}

static void
test_everything(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe all = fix_words("all-access");
	struct backend_recipe operator = fix_words("operator");
	static const char types[] =
	    "[\"buckets\",\"orgs\",\"users\",\"instance\"]";

	fake_http_push_json(200, types);
	fake_http_push_json(201, MINTED);
	fix_call(&c, &all, BACKEND_MINT);
	assert_request(0, "GET", BASE "/api/v2/resources", NULL);
	assert_request(1, "POST", BASE "/api/v2/authorizations", BODY("",
	    P("read", T("buckets") IN) "," P("write", T("buckets") IN) ","
	    P("read", T("orgs") ID(ORG))));
	backend_run_clear(&fix.run);
	c.owner = LIT(USER);
	fake_http_push_json(200, "[\"users\"]");
	fake_http_push_json(201, MINTED);
	fix_call(&c, &all, BACKEND_MINT);
	assert_request(3, "POST", BASE "/api/v2/authorizations",
	    BODY(",\"userID\":\"" USER "\"", P("read", T("users") ID(USER))
	    "," P("write", T("users") ID(USER))));
	backend_run_clear(&fix.run);
	c.owner = NULL;
	fake_http_push_json(200, types);
	fake_http_push_json(201, MINTED);
	fix_call(&c, &operator, BACKEND_MINT);
	assert_request(5, "POST", BASE "/api/v2/authorizations", BODY("",
	    P("read", T("buckets")) "," P("write", T("buckets")) ","
	    P("read", T("orgs")) "," P("write", T("orgs")) ","
	    P("read", T("users")) "," P("write", T("users"))));
	backend_recipe_clear(&all);
	backend_recipe_clear(&operator);
}

#define ONE_BUCKET(id) \
	"{\"buckets\":[{\"id\":\"" id "\",\"name\":\"metrics\"}]}"

static void
test_names_are_kept_for_a_while(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("read-bucket=metrics");
	struct backend_run run;

	c.names = names_new();
	fake_http_push_json(200, ONE_BUCKET(BUCKET));
	fake_http_push_json(201, MINTED);
	fix_call(&c, &r, BACKEND_MINT);
	fake_http_push_json(201, MINTED);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fake_http_requests(), 3);

	/* made anew under its name: the id is another one */
	fake_http_push_json(404, "{\"code\":\"not found\"}");
	fake_http_push_json(200, ONE_BUCKET(OTHER));
	fake_http_push_json(201, MINTED);
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_int_equal(fake_http_requests(), 6);
	assert_contains(fake_http_last()->body, OTHER);

	/* once more, and then it is said */
	fake_http_push_json(400, "{\"code\":\"invalid\",\"message\":\"no\"}");
	fake_http_push_json(200, ONE_BUCKET(OTHER));
	fake_http_push_json(400, "{\"code\":\"invalid\",\"message\":\"no\"}");
	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_E_UPSTREAM);
	assert_contains(fix.err.msg, "HTTP 400: no");
	assert_false(fix.run.uncertain);

	/* a service may take an old id without a word */
	run = fix_run(&c, &r, BACKEND_MINT);
	run.now_s += 300;
	fake_http_push_json(200, ONE_BUCKET(BUCKET));
	fake_http_push_json(201, MINTED);
	fix_call_run(&run);
	assert_int_equal(fake_http_requests(), 11);
	names_free(c.names);
	backend_recipe_clear(&r);
}

/* A question that is lost makes no token; a mint that is lost may. */
static void
test_what_is_uncertain(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("read-bucket=metrics");
	static const struct {
		bool asked;
		int status; /* 0: lost */
		const char *body, *says;
		bool uncertain, unauthorized;
	} rows[] = {
		{ false, 0, NULL, "cut", false, false },
		{ false, 500, "{\"code\":\"internal error\"}",
		    "HTTP 500: internal error", false, false },
		{ false, 200, "{\"buckets\":[]}", "no bucket 'metrics'", false,
		    false },
		{ false, 200, "{\"buckets\":[{\"name\":\"metrics\","
		    "\"id\":\"../x\"}]}", "no bucket 'metrics'", false, false },
		{ false, 404, "{\"code\":\"not found\"}", "no bucket", false,
		    false },
		{ false, 401, "{\"code\":\"unauthorized\"}",
		    "HTTP 401: unauthorized", false, true },
		{ true, 0, NULL, "cut", true, false },
		{ true, 500, "{\"code\":\"internal error\"}", "HTTP 500", true,
		    false },
		{ true, 201, "{\"id\":\"" AUTH "\"}", "no token", true,
		    false },
		{ true, 201, "{\"token\":\"v\"}", "no usable id", true,
		    false },
		{ true, 401, "{\"code\":\"unauthorized\",\"message\":"
		    "\"token is inactive\"}", "token is inactive", false, true },
		{ true, 403, "{\"code\":\"forbidden\",\"message\":\"you may "
		    "not\"}", "you may not", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		backend_run_clear(&fix.run);
		if (rows[i].asked)
			fake_http_push_json(200, ONE_BUCKET(BUCKET));
		if (rows[i].status)
			fake_http_push_json(rows[i].status, rows[i].body);
		else
			fake_http_push_error(TB_E_TRANSIENT, "cut");
		fix_call(&c, &r, BACKEND_MINT);
		assert_int_not_equal(fix.err.code, TB_OK);
		assert_contains(fix.err.msg, rows[i].says);
		assert_int_equal(fix.run.uncertain, rows[i].uncertain);
		assert_int_equal(fix.run.unauthorized, rows[i].unauthorized);
	}
	backend_recipe_clear(&r);
}

static void
test_list(void **state)
{
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("read-buckets");

	fake_http_push_json(200, "{\"links\":{\"self\":\"/x\",\"next\":"
	    "\"/api/v2/authorizations?offset=2\"},\"authorizations\":["
	    "{\"id\":\"" AUTH "\",\"token\":\"IN-CLEAR\",\"status\":\"active\""
	    ",\"description\":\"ours\","
	    "\"createdAt\":\"2026-11-22T17:20:00.5Z\"},"
	    "{\"id\":\"" USER "\",\"token\":\"redacted\"}]}");
	/* none has a description: then none is ours */
	fake_http_push_json(200, "{\"links\":{\"next\":\"\"},"
	    "\"authorizations\":[{\"id\":\"" BUCKET "\",\"status\":"
	    "\"inactive\"}]}");
	fix_call(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.err.code, TB_OK);
	assert_request(0, "GET", BASE "/api/v2/authorizations?orgID=" ORG,
	    NULL);
	assert_request(1, "GET", BASE "/api/v2/authorizations?offset=2", NULL);
	assert_int_equal(fix.run.n_listed, 3);
	assert_string_equal(fix.run.listed[0].id, AUTH);
	assert_string_equal(fix.run.listed[0].description, "ours");
	assert_int_equal(fix.run.listed[0].created_at, FAKE_NOW_REAL_S);
	assert_string_equal(fix.run.listed[2].id, BUCKET);
	/* it could be enabled again */
	assert_false(fix.run.listed[2].dead);

	c.org = LIT("My Org");
	backend_run_clear(&fix.run);
	fake_http_push_json(200, "{\"links\":{\"next\":"
	    "\"https://evil.example/api/v2/authorizations?\"},"
	    "\"authorizations\":[]}");
	fix_call(&c, &r, BACKEND_LIST);
	assert_string_equal(fake_http_last()->url,
	    BASE "/api/v2/authorizations?org=My%20Org");
	assert_int_equal(fix.err.code, TB_E_PROTO);
	assert_contains(fix.err.msg, "goes on at a link");
	backend_recipe_clear(&r);
}

static void
test_end_and_probe(void **state)
{
	static const struct {
		enum backend_verb verb;
		const char *method, *url, *authorization, *body;
		int status;
	} rows[] = {
		{ BACKEND_DISABLE, "PATCH", BASE "/api/v2/authorizations/a%2Fb",
		    "Token " FIX_BEARER, "{\"status\":\"inactive\"}", 200 },
		{ BACKEND_DISABLE, "PATCH", BASE "/api/v2/authorizations/a%2Fb",
		    "Token " FIX_BEARER, "{\"status\":\"inactive\"}", 404 },
		{ BACKEND_REVOKE, "DELETE", BASE "/api/v2/authorizations/a%2Fb",
		    "Token " FIX_BEARER, "", 204 },
		{ BACKEND_REVOKE, "DELETE", BASE "/api/v2/authorizations/a%2Fb",
		    "Token " FIX_BEARER, "", 404 },
		{ BACKEND_GET, "GET", BASE "/api/v2/authorizations/a%2Fb",
		    "Token " FIX_BEARER, "", 404 },
		{ BACKEND_PROBE, "GET", BASE "/api/v2/buckets?limit=1",
		    "Token " FIX_VALUE, "", 401 },
	};
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_words("write-bucket=w read-bucket=r&1");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_run run = fix_run(&c, &r, rows[i].verb);

		str_set(&run.token_id, "a/b");
		fake_http_push_json(rows[i].status, "{}");
		backend_run_clear(&fix.run);
		fix_call_run(&run);
		assert_int_equal(fix.err.code, TB_OK);
		assert_string_equal(fake_http_last()->method, rows[i].method);
		assert_string_equal(fake_http_last()->url, rows[i].url);
		assert_string_equal(fake_http_last()->body, rows[i].body);
		assert_string_equal(fake_http_header(fake_http_last(),
		    "Authorization"), rows[i].authorization);
	}
	assert_int_equal(fix.run.probe, BACKEND_PROBE_NOT_YET);
	c.probe_url = LIT("/query?bucket={bucket}");
	backend_run_clear(&fix.run);
	fake_http_push_json(200, "{}");
	fix_call(&c, &r, BACKEND_PROBE);
	assert_string_equal(fake_http_last()->url, BASE "/query?bucket=r%261");
	assert_int_equal(fix.run.probe, BACKEND_PROBE_YES);
	backend_recipe_clear(&r);
	r = fix_words("read-tasks");
	assert_int_equal(c.ops->caps(&c, &r) & BACKEND_CAN_PROBE, 0);
	backend_recipe_clear(&r);
}

static void
test_check_recipe(void **state)
{
	static const struct {
		const char *words;
		bool full;
		const char *says; /* NULL: it is fine */
	} rows[] = {
		{ "read-buckets write-dbrp read-bucket=x", false, NULL },
		{ "", false, "permissions are missing" },
		{ "read-bucket", false, "wants the name or the id" },
		{ "read=metrics", false, "read-bucket NAME" },
		{ "read-dbrps", false, "'read-dbrps' is unknown" },
		{ "readx-buckets", false, "is unknown" },
		{ "delete-buckets", false, "is unknown" },
		{ "all-access", false, "allow_full_access" },
		{ "all-access", true, NULL },
		{ "operator", false, "allow_full_access" },
		{ "operator", true, NULL },
		{ "read-buckets all-access", true, "stands alone" },
		{ "clone=" AUTH, false, "allow_full_access" },
		{ "clone=" AUTH, true, NULL },
		{ "clone=name", true, "16 hexadecimal digits" },
		{ "clone", true, "16 hexadecimal digits" },
		{ "read-bucket=1 read-bucket=2 read-bucket=3 read-bucket=4 "
		  "read-bucket=5 read-bucket=6 read-bucket=7 read-bucket=8 "
		  "read-bucket=9 read-bucket=a read-bucket=b read-bucket=c "
		  "read-bucket=d read-bucket=e read-bucket=f read-bucket=g "
		  "read-bucket=h read-bucket=i read-bucket=j read-bucket=k "
		  "read-bucket=l", false, "give ids of buckets" },
	};
	struct backend_conf c = fix_v2();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_recipe r = fix_words(rows[i].words);
		struct tb_error err = TB_ERROR_INIT;

		r.allow_full_access = rows[i].full;
		assert_int_equal(c.ops->check_recipe(&c, &r, &err),
		    rows[i].says ? -1 : 0);
		if (rows[i].says)
			assert_contains(err.msg, rows[i].says);
		backend_recipe_clear(&r);
	}
}

static void
test_check(void **state)
{
	static const struct {
		size_t field;
		const char *value, *says;
	} rows[] = {
#define F(f) offsetof(struct backend_conf, f)
		{ F(login), "ops", "knows no login" },
		{ F(management_token), NULL, "parent token pays" },
		{ F(base_url), NULL, "base_url is missing" },
		{ F(org), NULL, "org is missing" },
		{ F(probe_url), "/x{database}", "probe_url" },
#undef F
	};
	struct backend_conf c = fix_v2();
	struct backend_recipe r = fix_recipe(BACKEND_KIND_MANAGEMENT);
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(c.ops->check(&c, &err), 0);
	assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
	assert_contains(err.msg, "kind = database");
	c.create_owner = true;
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "wants owner");
	c.owner = LIT(USER);
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "owner is an id");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf bad = fix_v2();

		*(char **)(void *)((char *)&bad + rows[i].field) =
		    LIT(rows[i].value);
		assert_int_equal(bad.ops->check(&bad, &err), -1);
		assert_contains(err.msg, rows[i].says);
	}
}

int
main(void)
{
#undef T
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_mint_by_ids),
		T(test_names_are_looked_up),
		T(test_owner_is_created),
		T(test_clone),
		T(test_everything),
		T(test_names_are_kept_for_a_while),
		T(test_what_is_uncertain),
		T(test_list),
		T(test_end_and_probe),
		T(test_check_recipe),
		T(test_check),
	};

	return cmocka_run_group_tests_name("backend/influxdb_v2", tests, NULL,
	    NULL);
}
