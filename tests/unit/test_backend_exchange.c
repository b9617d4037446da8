/* SPDX-License-Identifier: Apache-2.0 */
/* Type token-exchange: what is asked of the login's provider, and which answers
 * are a token. The provider is a function that fills in an address. */
#include "backend_fixture.h"

#include "lib/form.h"

#define URN "urn:ietf:params:oauth:token-type:"
#define AT "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
#define FIX_TOKEN "https://idp.test/token"
#define FIX_REVOKE "https://idp.test/revoke"
#define FIX_INTROSPECT "https://idp.test/introspect"
#define ANSWER(more) \
	"{\"access_token\":\"exchanged\",\"issued_token_type\":\"" URN \
	"access_token\",\"token_type\":\"Bearer\"" more "}"

static bool no_revocation;

static int
as_client(void *arg, const struct backend_conf *conf, enum backend_endpoint at,
    struct secret *form, struct http_request *request, struct tb_error *err)
{
	static const char *const urls[] = {
		[BACKEND_AT_TOKEN] = FIX_TOKEN,
		[BACKEND_AT_REVOCATION] = FIX_REVOKE,
		[BACKEND_AT_INTROSPECTION] = FIX_INTROSPECT,
	};

	assert_ptr_equal(arg, &no_revocation);
	assert_string_equal(conf->login, "ops");
	if (at == BACKEND_AT_REVOCATION && no_revocation)
		return tb_error_set(err, TB_E_UPSTREAM, "there is none");
	request->method = "POST";
	request->url = xstrdup(urls[at]);
	request->timeout_ms = 1234;
	form_add(form, "client_id", "broker");
	secret_move(&request->body, form);
	return 0;
}

static struct backend_conf
fix_exchange(void)
{
	struct backend_conf c = {
		.name = LIT("sts"),
		.ops = backend_find("token-exchange"),
		.login = LIT("ops"),
		.ca_file = LIT("/not/for/the/provider.pem"),
		.timeout_ms = 5000,
	};

	return c;
}

static struct backend_recipe
fix_audience(const char *audience)
{
	struct backend_recipe r = { .kind = BACKEND_KIND_ACCESS,
		.audience = LIT(audience) };

	return r;
}

static void
exchange(const struct backend_conf *c, const struct backend_recipe *r,
    enum backend_verb verb)
{
	struct backend_run run = fix_run(c, r, verb);

	run.as_client = as_client;
	run.as_client_arg = &no_revocation;
	fix_call_run(&run);
}

/* ---------------------------------------------------------------- requests */

#define GRANT "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3A" \
	"token-exchange&subject_token=" FIX_BEARER "&subject_token_type="

static void
test_request(void **state)
{
	static const struct {
		const char *audience, *resource, *scopes;
		const char *of_backend; /* audience there */
		const char *subject, *requested;
		const char *body;
	} rows[] = {
		{ "a", NULL, NULL, NULL, NULL, NULL,
		    GRANT AT "&audience=a&client_id=broker" },
		{ "a b", "https://x.example/1 urn:y", "r w", NULL, NULL, NULL,
		    GRANT AT "&audience=a&audience=b"
		    "&resource=https%3A%2F%2Fx.example%2F1&resource=urn%3Ay"
		    "&scope=r%20w&client_id=broker" },
		{ NULL, NULL, "r", "of-backend", NULL, NULL,
		    GRANT AT "&audience=of-backend&scope=r&client_id=broker" },
		{ "own", NULL, NULL, "of-backend", NULL, NULL,
		    GRANT AT "&audience=own&client_id=broker" },
		{ "a", NULL, NULL, NULL, "jwt", "access_token",
		    GRANT "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
		    "&requested_token_type=" AT
		    "&audience=a&client_id=broker" },
		{ "x&scope=admin", NULL, NULL, NULL, "urn:my:own", NULL,
		    GRANT "urn%3Amy%3Aown&audience=x%26scope%3Dadmin"
		    "&client_id=broker" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_exchange();
		struct backend_recipe r = fix_audience(rows[i].audience);
		const struct fake_http_request *q;

		r.resource = LIT(rows[i].resource);
		r.scopes = LIT(rows[i].scopes);
		c.audience = LIT(rows[i].of_backend);
		c.subject_token_type = LIT(rows[i].subject);
		c.requested_token_type = LIT(rows[i].requested);
		fake_http_push_json(200, ANSWER(""));
		exchange(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_OK);
		q = fake_http_last();
		assert_string_equal(q->method, "POST");
		assert_string_equal(q->url, FIX_TOKEN);
		assert_string_equal(q->body, rows[i].body);
		assert_null(fake_http_header(q, "Authorization"));
		/* the login's TLS and time-out, not the backend's */
		assert_null(q->tls_ca_file);
		assert_int_equal(q->timeout_ms, 1234);
	}
}

static void
test_other_requests(void **state)
{
	struct backend_conf c = fix_exchange();
	struct backend_recipe r = fix_audience("a");
	const struct fake_http_request *q;

	fake_http_push_json(200, "");
	exchange(&c, &r, BACKEND_REVOKE);
	assert_int_equal(fix.err.code, TB_OK);
	q = fake_http_last();
	assert_string_equal(q->url, FIX_REVOKE);
	assert_string_equal(q->body, "token=" FIX_VALUE
	    "&token_type_hint=access_token&client_id=broker");

	c.introspection = true;
	fake_http_push_json(200, "{\"active\":true}");
	exchange(&c, &r, BACKEND_PROBE);
	assert_int_equal(fix.run.probe, BACKEND_PROBE_YES);
	q = fake_http_last();
	assert_string_equal(q->url, FIX_INTROSPECT);

	/* a probe at the service: with the value itself, and nothing else */
	c.introspection = false;
	c.probe_url = LIT("https://svc.example/me");
	fake_http_push_json(200, "{}");
	exchange(&c, &r, BACKEND_PROBE);
	assert_int_equal(fix.run.probe, BACKEND_PROBE_YES);
	q = fake_http_last();
	assert_string_equal(q->url, "https://svc.example/me");
	assert_string_equal(fake_http_header(q, "Authorization"),
	    "Bearer " FIX_VALUE);
	assert_string_equal(q->tls_ca_file, "/not/for/the/provider.pem");
	assert_int_equal(q->timeout_ms, 5000);

	exchange(&c, &r, BACKEND_LIST);
	assert_int_equal(fix.err.code, TB_E_BADREQ);
}

/* ---------------------------------------------------------------- tokens */

static void
test_tokens(void **state)
{
	static const struct {
		const char *requested, *body;
		int64_t life; /* 0: as configured */
		const char *note;
	} rows[] = {
		{ NULL, ANSWER(",\"expires_in\":300"), 300, NULL },
		{ NULL, ANSWER(",\"expires_in\":\"300\""), 300, NULL },
		{ NULL, ANSWER(""), 0, NULL },
		{ NULL, ANSWER(",\"expires_in\":null"), 0, NULL },
		{ NULL, ANSWER(",\"scope\":\"r\""), 0, NULL },
		{ NULL, ANSWER(",\"scope\":\"other\""), 0,
		    "the provider did not grant the scope r" },
		{ NULL, ANSWER(",\"refresh_token\":\"never-asked-for\""), 0,
		    "a refresh token came with it" },
		{ NULL, "{\"access_token\":\"exchanged\","
		    "\"issued_token_type\":\"" URN "jwt\","
		    "\"token_type\":\"N_A\"}", 0, NULL },
		{ NULL, "{\"access_token\":\"exchanged\","
		    "\"issued_token_type\":\"" URN "jwt\","
		    "\"token_type\":\"bearer\"}", 0, NULL },
		{ "urn:my:own", "{\"access_token\":\"exchanged\","
		    "\"issued_token_type\":\"urn:my:own\","
		    "\"token_type\":\"BEARER\"}", 0, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_exchange();
		struct backend_recipe r = fix_audience("a");

		r.scopes = LIT("r");
		c.requested_token_type = LIT(rows[i].requested);
		fake_http_push_json(200, rows[i].body);
		exchange(&c, &r, BACKEND_MINT);
		if (fix.err.code)
			fail_msg("row %zu: %s", i, fix.err.msg);
		assert_secret(&fix.run.token, "exchanged");
		assert_int_equal(fix.run.minted_expires_at,
		    rows[i].life ? FAKE_NOW_REAL_S + rows[i].life : 0);
		if (rows[i].note)
			assert_contains(fix.run.note, rows[i].note);
		else
			assert_null(fix.run.note);
		assert_null(fix.run.minted_id);
	}
}

/* Alive at the provider and of no use: handed back. */
static void
test_unusable(void **state)
{
	static const struct {
		const char *requested, *body, *error;
	} rows[] = {
		{ NULL, "{\"access_token\":\"zz9\",\"token_type\":\"Bearer\"}",
		    "does not say its issued_token_type" },
		{ NULL, "{\"access_token\":\"zz9\",\"token_type\":\"Bearer\","
		    "\"issued_token_type\":\"" URN "refresh_token\"}",
		    "issued_token_type is not the one asked for" },
		{ "jwt", ANSWER(""), "not the one asked for" },
		{ NULL, "{\"access_token\":\"zz9\",\"issued_token_type\":\"" URN
		    "access_token\"}", "does not say its token_type" },
		{ NULL, "{\"access_token\":\"zz9\",\"token_type\":\"DPoP\","
		    "\"issued_token_type\":\"" URN "access_token\"}",
		    "bound to a key" },
		{ NULL, "{\"access_token\":\"zz9\",\"token_type\":\"N_A\","
		    "\"issued_token_type\":\"" URN "access_token\"}",
		    "token_type N_A is for what is no access token" },
		{ NULL, ANSWER(",\"expires_in\":0"), "is no lifetime" },
		{ NULL, ANSWER(",\"expires_in\":-5"), "is no lifetime" },
		{ NULL, ANSWER(",\"expires_in\":\"soon\""), "is no lifetime" },
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_exchange();
		struct backend_recipe r = fix_audience("a");
		size_t n = fake_http_requests();
		int status = i % 2 ? 503 : 200; /* of the hand-back */

		c.requested_token_type = LIT(rows[i / 2].requested);
		fake_http_push_json_for(FIX_TOKEN, 200, rows[i / 2].body);
		fake_http_push_json_for(FIX_REVOKE, status, "");
		exchange(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_E_PROTO);
		assert_contains(fix.err.msg, rows[i / 2].error);
		assert_int_equal(fake_http_requests(), n + 2);
		assert_contains(fake_http_last()->body, "token=");
		assert_int_equal(fix.run.uncertain, status != 200);
		assert_true(secret_is_empty(&fix.run.token));
	}
	/* where it cannot be handed back somebody has to know */
	no_revocation = true;
	fake_http_push_json(200, rows[0].body);
	struct backend_conf c = fix_exchange();
	struct backend_recipe r = fix_audience("a");
	exchange(&c, &r, BACKEND_MINT);
	no_revocation = false;
	assert_true(fix.run.uncertain);
	assert_contains(fix.err.msg, rows[0].error);
}

static void
test_nonsense(void **state)
{
	static const char *const bodies[] = { "", "[]", "{}", "<html>",
		"{\"access_token\":7}", "{\"access_token\":\"a b\"}",
		"{\"access_token\":\"\"}" };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct backend_conf c = fix_exchange();
		struct backend_recipe r = fix_audience("a");

		fake_http_push_json(200, bodies[i]);
		exchange(&c, &r, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_E_PROTO);
		assert_true(fix.run.uncertain);
	}
}

/* --------------------------------------------------------------- refusals */

static void
test_refusals(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum tb_errc code;
		bool unauthorized, uncertain;
		const char *error;
	} rows[] = {
		{ 400, "{\"error\":\"invalid_target\"}", TB_E_UPSTREAM, false,
		    false, "check audience and resource" },
		{ 400, "{\"error\":\"invalid_scope\",\"error_description\":"
		       "\"no w for you\"}", TB_E_UPSTREAM, false, false,
		    "mint: HTTP 400: no w for you (invalid_scope): check "
		    "scopes" },
		{ 400, "{\"error\":\"invalid_grant\"}", TB_E_UPSTREAM, true,
		    false, "does not take the login's access token" },
		{ 400, "{\"error\":\"invalid_token\"}", TB_E_UPSTREAM, true,
		    false, "does not take the login's access token" },
		{ 400, "{\"error\":\"invalid_request\",\"error_description\":"
		       "\"Subject token expired\"}", TB_E_UPSTREAM, true,
		    false, "Subject token expired" },
		{ 400, "{\"error\":\"invalid_request\",\"error_description\":"
		       "\"too many parameters\"}", TB_E_UPSTREAM, false, false,
		    "too many parameters" },
		{ 400, "{\"error\":\"unauthorized_client\"}", TB_E_UPSTREAM,
		    false, false, "allow it the grant type token-exchange" },
		{ 403, "{\"error\":\"access_denied\"}", TB_E_UPSTREAM, false,
		    false, "policy" },
		{ 400, "{\"error\":\"unsupported_grant_type\"}", TB_E_UPSTREAM,
		    false, false, "no token exchange (RFC 8693)" },
		/* our client's fault, which no new access token mends */
		{ 401, "{\"error\":\"invalid_client\"}", TB_E_UPSTREAM, false,
		    false, "check client_auth" },
		{ 401, "", TB_E_UPSTREAM, false, false, "HTTP 401" },
		{ 400, "", TB_E_UPSTREAM, false, false, "HTTP 400" },
		{ 429, "{\"error\":\"invalid_grant\"}", TB_E_BUSY, false,
		    false, "HTTP 429" },
		{ 503, "", TB_E_BUSY, false, false, "HTTP 503" },
		{ 500, "{\"error\":\"invalid_grant\"}", TB_E_TRANSIENT, false,
		    true, "HTTP 500" },
		{ 302, "", TB_E_UPSTREAM, false, true, "redirects" },
		{ 201, ANSWER(""), TB_E_UPSTREAM, false, true, "HTTP 201" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_exchange();
		struct backend_recipe r = fix_audience("a");

		fake_http_push_json(rows[i].status, rows[i].body);
		exchange(&c, &r, BACKEND_MINT);
		if (fix.err.code != rows[i].code ||
		    fix.run.unauthorized != rows[i].unauthorized ||
		    fix.run.uncertain != rows[i].uncertain)
			fail_msg("row %zu: %d %d %d %s", i, fix.err.code,
			    fix.run.unauthorized, fix.run.uncertain,
			    fix.err.msg);
		assert_contains(fix.err.msg, rows[i].error);
	}
}

static void
test_verdicts(void **state)
{
	static const struct {
		enum backend_verb verb;
		int status;
		const char *body;
		bool fails;
		enum backend_probe probe;
	} rows[] = {
		{ BACKEND_REVOKE, 200, "", false, 0 },
		{ BACKEND_REVOKE, 400, "{\"error\":\"invalid_token\"}", false,
		    0 },
		/* it is not revoked, whatever the status of a logout would be */
		{ BACKEND_REVOKE, 400, "{\"error\":\"unsupported_token_type\"}",
		    true, 0 },
		{ BACKEND_REVOKE, 503, "", true, 0 },
		{ BACKEND_REVOKE, 401, "", true, 0 },
		{ BACKEND_PROBE, 200, "{\"active\":true}", false,
		    BACKEND_PROBE_YES },
		{ BACKEND_PROBE, 200, "{\"active\":false}", false,
		    BACKEND_PROBE_NOT_YET },
		{ BACKEND_PROBE, 200, "{\"active\":\"true\"}", false,
		    BACKEND_PROBE_UNCLEAR },
		{ BACKEND_PROBE, 200, "{}", false, BACKEND_PROBE_UNCLEAR },
		{ BACKEND_PROBE, 200, "nonsense", false,
		    BACKEND_PROBE_UNCLEAR },
		/* about our client, not about the value */
		{ BACKEND_PROBE, 401, "{\"active\":false}", false,
		    BACKEND_PROBE_UNCLEAR },
		{ BACKEND_PROBE, 500, "", false, BACKEND_PROBE_UNCLEAR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_exchange();
		struct backend_recipe r = fix_audience("a");

		c.introspection = true;
		fake_http_push_json(rows[i].status, rows[i].body);
		exchange(&c, &r, rows[i].verb);
		if ((fix.err.code != TB_OK) != rows[i].fails)
			fail_msg("row %zu: %s", i, fix.err.msg);
		if (rows[i].verb == BACKEND_PROBE)
			assert_int_equal(fix.run.probe, rows[i].probe);
		assert_false(fix.run.uncertain);
	}
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
		{ KEY(name), "sts", NULL },
		{ KEY(login), NULL, "it takes login" },
		{ KEY(management_token), "m", "no management_token" },
		{ KEY(base_url), "https://x.example", "base_url has no" },
		{ KEY(subject_token_type), "jwt", NULL },
		{ KEY(subject_token_type), "saml", "subject_token_type must" },
		{ KEY(requested_token_type), "access_token", NULL },
		{ KEY(requested_token_type), URN "jwt", NULL },
		{ KEY(requested_token_type), "refresh_token",
		    "requested_token_type: a refresh token" },
		{ KEY(requested_token_type), URN "refresh_token",
		    "requested_token_type: a refresh token" },
		{ KEY(requested_token_type), ":x", "requested_token_type must" },
		{ KEY(resource), "https://a.example/x?y urn:z", NULL },
		{ KEY(resource), "metrics", "'metrics' is no absolute URI" },
		{ KEY(resource), "https://a.example/#x", "is no absolute URI" },
		{ KEY(resource), "https:", "is no absolute URI" },
		{ KEY(scopes), "read write", NULL },
		{ KEY(scopes), "read offline_access", "asks for a refresh" },
		{ KEY(scopes), "a\"b", "no scope has a quote" },
		{ KEY(probe_url), "https://svc.example/me", NULL },
		{ KEY(probe_url), "/me", "probe_url is a path" },
		{ KEY(probe_url), "http://svc.example/me", "probe_url: " },
		{ KEY(auth_header), "Host", "auth_header: Host is the" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_exchange();
		struct tb_error err = TB_ERROR_INIT;
		int r;

		*(char **)((char *)&c + rows[i].key) = LIT(rows[i].value);
		r = c.ops->check(&c, &err);
		if (!rows[i].error && r == 0)
			continue;
		if (!rows[i].error || r == 0)
			fail_msg("row %zu: %s", i, err.msg);
		assert_int_equal(err.code, TB_E_CONFIG);
		assert_contains(err.msg, rows[i].error);
	}
}

static void
test_caps(void **state)
{
	struct backend_conf c = fix_exchange();
	unsigned always = BACKEND_NEEDS_PAYER | BACKEND_AS_CLIENT |
	    BACKEND_CAN_REVOKE | BACKEND_REVOKES_VALUE;
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(c.ops->caps(&c, NULL), always);
	assert_int_equal(c.ops->kind, BACKEND_KIND_ACCESS);
	c.introspection = true;
	assert_int_equal(c.ops->caps(&c, NULL), always | BACKEND_CAN_PROBE);
	c.probe_url = LIT("https://svc.example/me");
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "probe_url and introspection are both set");
}

/* A human's whole power is asked for in so many words. */
static void
test_recipes(void **state)
{
	static const struct {
		const char *audience, *resource, *scopes, *of_backend;
		bool full;
		const char *error;
	} rows[] = {
		{ "a", NULL, NULL, NULL, false, NULL },
		{ NULL, "urn:x", NULL, NULL, false, NULL },
		{ NULL, NULL, "r", NULL, false, NULL },
		{ NULL, NULL, NULL, "a", false, NULL },
		{ NULL, NULL, NULL, NULL, false, "whole power of its human" },
		{ NULL, NULL, NULL, NULL, true, NULL },
		{ NULL, "x", NULL, NULL, true, "resource: 'x' is no absolute" },
		{ NULL, NULL, "offline_access", NULL, true, "refresh token" },
	};
	struct backend_recipe r = fix_permissions("read:x");
	struct backend_conf c = fix_exchange();
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
	assert_contains(err.msg, "has only kind = access");
	r.kind = BACKEND_KIND_ACCESS;
	assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
	assert_contains(err.msg, "permissions have no meaning");
	backend_recipe_clear(&r);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		r = fix_audience(rows[i].audience);
		r.resource = LIT(rows[i].resource);
		r.scopes = LIT(rows[i].scopes);
		r.allow_full_access = rows[i].full;
		c.audience = LIT(rows[i].of_backend);
		if (!rows[i].error) {
			assert_int_equal(c.ops->check_recipe(&c, &r, &err), 0);
			continue;
		}
		assert_int_equal(c.ops->check_recipe(&c, &r, &err), -1);
		assert_contains(err.msg, rows[i].error);
	}
}

/* Without the login's side nothing can leave. */
static void
test_no_provider(void **state)
{
	struct backend_conf c = fix_exchange();
	struct backend_recipe r = fix_audience("a");

	fix_call(&c, &r, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_E_BADREQ);
	assert_false(fix.run.uncertain);
	assert_int_equal(fake_http_requests(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_request),
		T(test_other_requests),
		T(test_tokens),
		T(test_unusable),
		T(test_nonsense),
		T(test_refusals),
		T(test_verdicts),
		T(test_check),
		T(test_caps),
		T(test_recipes),
		T(test_no_provider),
	};

	return cmocka_run_group_tests_name("backend/exchange", tests, NULL,
	    NULL);
}
