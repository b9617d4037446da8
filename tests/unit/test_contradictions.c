/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the published documents of InfluxDB's products say twice, and not the
 * same. Each contradiction is one named case: what is sent by default or by
 * configuration, and which answers are understood. (How influxctl is called
 * and what it prints is tested with its driver, discovery in test_discover.)
 */
#include "backend_fixture.h"

#define TOKEN "apiv1_3Zc9uI7XqYw"
#define ID "f2b1c9d0-5a4e-4b7f-9c3d-0123456789ab"
/* A token object as the descriptions have it, and what may follow. */
#define OBJECT(more) \
	"{\"id\":\"" ID "\",\"description\":\"" FIX_DESCRIPTION "\"," \
	"\"permissions\":[{\"action\":\"read\",\"resource\":\"m\"}]," \
	"\"createdAt\":\"2026-11-22T17:20:00.123Z\"" more "}"
#define MINTED(more) OBJECT(",\"accessToken\":\"" TOKEN "\"" more)
#define UNTIL ",\"expiresAt\":\"2026-11-29T17:20:00.000Z\""

enum product { DEDICATED, CLUSTERED, V3, V2 };

struct contradiction {
	const char *name;
	enum product product;
	enum backend_verb verb;
	enum backend_kind kind;
	const char *permissions; /* NULL: read:m */
	struct backend_conf conf; /* what is set in it is configured */
	int status;
	const char *type, *answer;
	/* wanted; NULL and 0: not looked at */
	const char *url, *authorization, *body, *not_body;
	enum tb_errc code;
	const char *says;
	const char *id;
	int64_t expires_at; /* -1: must not be known */
	bool endless;
	size_t listed;
	const char *alive; /* a letter each: alive, dead */
};

static const struct contradiction cases[] = {
	{ "02 a header without a scheme word", DEDICATED, BACKEND_LIST,
	    .conf = { .auth_scheme = LIT("none") },
	    .answer = "[]", .authorization = FIX_BEARER },
	{ "02 and with one", DEDICATED, BACKEND_LIST,
	    .answer = "[]", .authorization = "Bearer " FIX_BEARER },
	{ "02 or with the other one", CLUSTERED, BACKEND_LIST,
	    .conf = { .auth_scheme = LIT("Token") },
	    .answer = "[]", .authorization = "Token " FIX_BEARER },
	{ "03 expirationType is not sent", DEDICATED, BACKEND_MINT,
	    .answer = MINTED(UNTIL), .not_body = "expirationType",
	    .body = "\"expiresAt\":\"2026-11-29T17:20:00Z\"",
	    .expires_at = FIX_EXPIRES },
	{ "03 expirationType is sent", DEDICATED, BACKEND_MINT,
	    .conf = { .expiration_type = LIT("datetime") },
	    .answer = MINTED(UNTIL),
	    .body = "\"expirationType\":\"datetime\"" },
	{ "03 and comes back", DEDICATED, BACKEND_MINT,
	    .answer = MINTED(UNTIL ",\"expirationType\":\"datetime\""),
	    .expires_at = FIX_EXPIRES },
	{ "04 a quote in the middle of expiresAt", DEDICATED, BACKEND_MINT,
	    .answer = MINTED(",\"expiresAt\":\"2026-11-29T17:20:00Z\\\"\""),
	    .expires_at = -1, .endless = true, .id = ID },
	{ "05 the base is that of the cluster", CLUSTERED, BACKEND_LIST,
	    .conf = { .base_url = LIT("https://cluster-host.example") },
	    .answer = "[]",
	    .url = "https://cluster-host.example/api/v0/tokens" },
	{ "05 with the root of the API in it", CLUSTERED, BACKEND_LIST,
	    .conf = { .base_url = LIT("https://cluster-host.example/api/v0") },
	    .answer = "[]",
	    .url = "https://cluster-host.example/api/v0/tokens" },
	{ "05 the console, with the root in it", DEDICATED, BACKEND_REVOKE,
	    .conf = { .base_url = LIT("https://console.example/api/v0") },
	    .status = 204, .url = "https://console.example/api/v0/accounts/"
	    "acc%2F1/clusters/clu-2/tokens/id-1" },
	{ "06 the account's path at a cluster", CLUSTERED, BACKEND_GET,
	    .conf = { .account_id = LIT("a"), .cluster_id = LIT("c"),
		.tokens_path = LIT("/api/v0/accounts/{accountId}/clusters/"
		    "{clusterId}/tokens") },
	    .status = 404, .url = "https://influx.example.com/api/v0/accounts/"
	    "a/clusters/c/tokens/id-1" },
	{ "06 the same in our words", CLUSTERED, BACKEND_LIST,
	    .conf = { .account_id = LIT("a"), .cluster_id = LIT("c"),
		.tokens_path = LIT("/x/{account_id}/{cluster_id}/tokens") },
	    .answer = "[]", .url = "https://influx.example.com/x/a/c/tokens" },
	{ "06 the cluster's path", CLUSTERED, BACKEND_REVOKE, .status = 204,
	    .url = "https://influx.example.com/api/v0/tokens/id-1" },
	{ "07 database tokens have an end", DEDICATED, BACKEND_MINT,
	    .answer = MINTED(UNTIL), .expires_at = FIX_EXPIRES },
	{ "07 database tokens have none", DEDICATED, BACKEND_MINT,
	    .answer = MINTED(), .expires_at = -1, .endless = true },
	{ "07 none is null", DEDICATED, BACKEND_MINT,
	    .answer = MINTED(",\"expiresAt\":null"), .expires_at = -1,
	    .endless = true },
	{ "08 what is revoked is gone", CLUSTERED, BACKEND_REVOKE,
	    .status = 404, .answer = "{\"code\":404,\"message\":\"no\"}" },
	{ "08 what is revoked answers 200", CLUSTERED, BACKEND_REVOKE,
	    .status = 200, .answer = OBJECT(
	    ",\"revokedAt\":\"2026-11-22T17:20:01Z\"") },
	{ "08 what is revoked stays listed", CLUSTERED, BACKEND_LIST,
	    .answer = "[" OBJECT() ","
	    OBJECT(",\"revokedAt\":\"2026-11-22T17:20:01Z\"") ","
	    OBJECT(",\"revokedAt\":null") "]",
	    .listed = 3, .alive = "ada" },
	{ "09 permissions are an empty object", CLUSTERED, BACKEND_LIST,
	    .answer = "[{\"id\":\"x\",\"description\":\"d\","
	    "\"permissions\":{}},{\"id\":\"y\",\"description\":\"e\","
	    "\"permissions\":[{\"id\":1,\"action\":\"read\","
	    "\"resource\":\"m\"}]}]", .listed = 2, .alive = "aa" },
	{ "09 in the answer to a mint", DEDICATED, BACKEND_MINT,
	    .answer = "{\"id\":\"x\",\"accessToken\":\"" TOKEN "\","
	    "\"permissions\":{}" UNTIL "}", .id = "x",
	    .expires_at = FIX_EXPIRES },
	{ "10 times are seconds and nanos", CLUSTERED, BACKEND_MINT,
	    .answer = MINTED(",\"expires_at\":{\"seconds\":1795972800,"
	    "\"nanos\":5}"), .expires_at = 1795972800 },
	{ "10 nanos are left out", CLUSTERED, BACKEND_LIST,
	    .answer = "[" OBJECT(",\"revoked_at\":{\"seconds\":1795000000}")
	    "," OBJECT(",\"expires_at\":{\"seconds\":1795000000}") "]",
	    .listed = 2, .alive = "dd" },
	{ "10 times with an offset", CLUSTERED, BACKEND_MINT,
	    .answer = MINTED(",\"expiresAt\":\"2026-11-29T18:20:00+01:00\""),
	    .expires_at = FIX_EXPIRES },
	{ "11 1970 means none", CLUSTERED, BACKEND_LIST,
	    .answer = "[" OBJECT(",\"expiresAt\":\"1970-01-01T00:00:00Z\","
	    "\"revokedAt\":\"1970-01-01T00:00:00Z\"") "]",
	    .listed = 1, .alive = "a" },
	{ "17 a bucket by its id", V2, BACKEND_MINT,
	    .permissions = "read-bucket:0c0c0c0c0c0c0c01", .status = 201,
	    .answer = "{\"id\":\"0d0d0d0d0d0d0d01\",\"token\":\"t\"}",
	    .body = "\"type\":\"buckets\",\"id\":\"0c0c0c0c0c0c0c01\"",
	    .not_body = "\"name\"" },
	{ "18 a named admin token", V3, BACKEND_MINT,
	    BACKEND_KIND_MANAGEMENT, .status = 201, .type = "json",
	    .answer = "{\"id\":3,\"name\":\"n\",\"token\":\"" TOKEN "\","
	    "\"hash\":\"h\",\"expiry\":null}",
	    .url = "https://i3.example.com/api/v3/configure/token/named_admin",
	    .body = "{\"token_name\":\"" },
	{ "18 the name is taken", V3, BACKEND_MINT, BACKEND_KIND_MANAGEMENT,
	    .status = 409, .type = "text/plain",
	    .answer = "token name already exists, x\nmore",
	    .code = TB_E_UPSTREAM,
	    .says = "HTTP 409: token name already exists, x" },
	{ "19 a resource token's value at the top", V3, BACKEND_MINT,
	    .status = 200, .type = "json",
	    .answer = "{\"token_name\":\"n\",\"permissions\":[],"
	    "\"expiry_secs\":604800,\"token\":\"" TOKEN "\"}",
	    .url = "https://i3.example.com/api/v3/enterprise/configure/token" },
	{ "20 the region is in the base", V2, BACKEND_LIST,
	    .conf = { .base_url = LIT("https://eu-central-1-1.aws.cloud2."
		"influxdata.example") },
	    .answer = "{\"links\":{},\"authorizations\":[]}",
	    .url = "https://eu-central-1-1.aws.cloud2.influxdata.example/api/"
	    "v2/authorizations?orgID=0a1b2c3d4e5f6071" },
	/* and what is said once, or nowhere */
	{ "a mint answers 201", DEDICATED, BACKEND_MINT, .status = 201,
	    .answer = MINTED(UNTIL), .id = ID },
	{ "ids are numbers", CLUSTERED, BACKEND_MINT,
	    .answer = "{\"id\":4711,\"accessToken\":\"" TOKEN "\"" UNTIL "}",
	    .id = "4711", .expires_at = FIX_EXPIRES },
	{ "a list is in an object", CLUSTERED, BACKEND_LIST,
	    .answer = "{\"tokens\":[" OBJECT() "],\"next\":null}",
	    .listed = 1, .alive = "a" },
	{ "members that nobody has published", CLUSTERED, BACKEND_LIST,
	    .answer = "[" OBJECT(",\"createdBy\":{\"x\":[1]},\"z\":1.5") "]",
	    .listed = 1, .alive = "a" },
	{ "error codes are integers", CLUSTERED, BACKEND_MINT, .status = 409,
	    .answer = "{\"code\":409,\"message\":\"description in use\"}",
	    .code = TB_E_UPSTREAM, .says = "HTTP 409: description in use" },
	{ "a duplicate is 400", CLUSTERED, BACKEND_MINT, .status = 400,
	    .answer = "{\"code\":400,\"message\":\"description in use\"}",
	    .code = TB_E_UPSTREAM, .says = "HTTP 400: description in use" },
	{ "error codes are strings", V2, BACKEND_LIST, .status = 403,
	    .answer = "{\"code\":\"forbidden\",\"message\":\"insufficient\"}",
	    .code = TB_E_UPSTREAM, .says = "HTTP 403: insufficient" },
	{ "errors are empty", V3, BACKEND_LIST, .status = 401, .answer = "",
	    .code = TB_E_UPSTREAM, .says = "HTTP 401" },
	{ "errors are a page", DEDICATED, BACKEND_LIST, .status = 502,
	    .type = "text/html", .answer = "<html>502</html>",
	    .code = TB_E_TRANSIENT, .says = "an HTML page" },
	{ "errors are plain text", CLUSTERED, BACKEND_LIST, .status = 404,
	    .type = "text/plain", .answer = "404 page not found\n",
	    .code = TB_E_UPSTREAM, .says = "HTTP 404: 404 page not found" },
	{ "redirects lead nowhere", DEDICATED, BACKEND_LIST, .status = 307,
	    .answer = "", .code = TB_E_UPSTREAM,
	    .says = "redirects are not followed" },
	{ "a rate limit that is not documented", DEDICATED, BACKEND_MINT,
	    .status = 429, .answer = "", .code = TB_E_BUSY,
	    .says = "HTTP 429" },
};

static struct backend_conf
conf_of(const struct contradiction *t)
{
	static const char *const types[] = { "influxdb-dedicated",
		"influxdb-clustered", "influxdb3", "influxdb-v2" };
	static const char *const bases[] = { NULL,
		"https://influx.example.com", "https://i3.example.com",
		"https://v2.example.com" };
	struct backend_conf c = t->conf;

	c.name = LIT("x");
	c.ops = backend_find(types[t->product]);
	c.login = t->product == V2 ? NULL : LIT("ops");
	c.management_token = t->product == V2 ? LIT("parent") : NULL;
	c.timeout_ms = 5000;
	if (!c.base_url && bases[t->product])
		c.base_url = LIT(bases[t->product]);
	if (t->product == DEDICATED) {
		c.account_id = LIT("acc/1");
		c.cluster_id = LIT("clu-2");
	}
	if (t->product == V2)
		c.org = LIT("0a1b2c3d4e5f6071");
	return c;
}

static void
assert_sent(const struct contradiction *t)
{
	const struct fake_http_request *q = fake_http_last();

	if (t->url)
		assert_string_equal(q->url, t->url);
	if (t->authorization)
		assert_string_equal(fake_http_header(q, "Authorization"),
		    t->authorization);
	if (t->body)
		assert_contains(q->body, t->body);
	if (t->not_body)
		assert_null(strstr(q->body, t->not_body));
}

static void
assert_understood(const struct contradiction *t)
{
	if (t->verb == BACKEND_MINT)
		assert_false(secret_is_empty(&fix.run.token));
	if (t->id)
		assert_string_equal(fix.run.minted_id, t->id);
	if (t->expires_at)
		assert_int_equal(fix.run.minted_expires_at,
		    t->expires_at > 0 ? t->expires_at : 0);
	assert_int_equal(fix.run.minted_endless, t->endless);
	assert_int_equal(fix.run.n_listed, t->listed);
	for (size_t i = 0; i < t->listed; i++)
		assert_int_equal(fix.run.listed[i].dead, t->alive[i] == 'd');
}

/* At load it is accepted as well. */
static void
assert_configurable(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	struct tb_error err = TB_ERROR_INIT;

	if (c->ops->check(c, &err) < 0 || c->ops->check_recipe(c, r, &err) < 0)
		fail_msg("%s", err.msg);
}

static void
test_contradiction(void **state)
{
	const struct contradiction *t = *state;
	struct backend_conf c = conf_of(t);
	struct backend_recipe r = t->kind == BACKEND_KIND_MANAGEMENT ?
	    fix_recipe(t->kind) :
	    fix_permissions(t->permissions ? t->permissions :
	    t->product == V2 ? "read-bucket:0c0c0c0c0c0c0c01" : "read:m");
	struct fake_http_reply reply = {
		.status = t->status ? t->status : 200,
		.content_type = t->type ? t->type : "application/json",
		.body = t->answer ? t->answer : "",
	};

	assert_configurable(&c, &r);
	fake_http_push(&reply);
	fix_call(&c, &r, t->verb);
	if (fix.err.code != t->code)
		fail_msg("%s: %s", tb_error_name(fix.err.code), fix.err.msg);
	assert_sent(t);
	if (t->says)
		assert_contains(fix.err.msg, t->says);
	if (t->code == TB_OK)
		assert_understood(t);
	backend_recipe_clear(&r);
}

int
main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases)];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i].name,
			.test_func = test_contradiction,
			.setup_func = fix_setup,
			.teardown_func = fix_teardown,
			.initial_state = (void *)(uintptr_t)&cases[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
