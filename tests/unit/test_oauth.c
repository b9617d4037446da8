/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth - forms and replies, by tables. What a real provider was seen to send
 * is marked with its name.
 */
#include "idp_fixture.h"

#include "lib/form.h"
#include "ops/oauth.h"

#define BEARER "\"access_token\":\"at-1\",\"token_type\":\"Bearer\""

static struct http_reply
reply_of(int status, const char *body)
{
	struct http_reply r = { .status = status, .retry_after_ms = 7000 };

	secret_set_str(&r.body, body);
	return r;
}

static void
reply_clear(struct http_reply *r)
{
	secret_clear(&r->body);
}

static void
expect_text(const struct tb_error *err, const char *text)
{
	if (!strstr(err->msg, text))
		fail_msg("'%s' is not in '%s'", text, err->msg);
}

static void
expect_secret(const struct secret *s, const char *want)
{
	assert_string_equal(secret_reveal(s), want);
	assert_int_equal(s->len, strlen(want));
}

/* Forms. */

static void
test_form_encoding(void **state)
{
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;

	form_add(&form, "a b", "x&y=z+%/~");
	expect_secret(&form, "a%20b=x%26y%3Dz%2B%25%2F~");
	secret_set(&v, "\0\xff:A-._~09z ", 12);
	form_add_secret(&form, "s", &v);
	expect_secret(&form,
	    "a%20b=x%26y%3Dz%2B%25%2F~&s=%00%FF%3AA-._~09z%20");
	secret_clear(&form);
	secret_clear(&v);
	form_add_secret(&form, "empty", &v);
	form_add(&form, "e", "");
	expect_secret(&form, "empty=&e=");
}

static void
test_device_request_scopes(void **state)
{
	static const struct {
		const char *scopes, *want;
	} rows[] = {
		{ "openid offline_access", "scope=openid%20offline_access" },
		{ "  openid   api:read ", "scope=openid%20api%3Aread" },
		{ "\topenid\t", "scope=openid" },
		{ "", "" },
		{ "   ", "" },
		{ NULL, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct secret form _cleanup_(secret_clear) = SECRET_INIT;

		str_set(&fixture.conf.scopes, rows[i].scopes);
		oauth_build_device_request(fixture.idp, &form);
		expect_secret(&form, rows[i].want);
	}
}

static void
test_parameters(void **state)
{
	struct idp_param params[] = {
		{ (char *)"audience", (char *)"https://api.example/" },
		{ (char *)"resource", (char *)"https://r.example/a b" },
	};
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	struct secret t _cleanup_(secret_clear) = SECRET_INIT;

	fixture.conf.params = params;
	fixture.conf.n_params = ARRAY_SIZE(params);
	oauth_build_device_request(fixture.idp, &form);
	expect_secret(&form, "scope=openid%20offline_access"
			     "&audience=https%3A%2F%2Fapi.example%2F"
			     "&resource=https%3A%2F%2Fr.example%2Fa%20b");
	secret_set_str(&t, "rt/1");
	oauth_build_refresh(fixture.idp, &t, &form);
	expect_secret(&form, "grant_type=refresh_token&refresh_token=rt%2F1"
			     "&resource=https%3A%2F%2Fr.example%2Fa%20b");
	fixture.conf.params = NULL;
	fixture.conf.n_params = 0;
	oauth_build_poll(&t, &form);
	expect_secret(&form, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3A"
			     "grant-type%3Adevice_code&device_code=rt%2F1");
	oauth_build_revoke(&t, "refresh_token", &form);
	expect_secret(&form, "token=rt%2F1&token_type_hint=refresh_token");
	oauth_build_revoke(&t, NULL, &form);
	expect_secret(&form, "token=rt%2F1");
}

/* The device reply. */

static void
test_device_reply(void **state)
{
	struct http_reply r _cleanup_(reply_clear) = reply_of(200,
	    "{\"device_code\":\"dc-1\",\"user_code\":\"VZQ2-WNJV\","
	    "\"verification_uri\":\"https://idp.example/device\","
	    "\"verification_uri_complete\":"
	    "\"https://idp.example/device?code=VZQ2-WNJV\","
	    "\"expires_in\":600,\"interval\":3,\"message\":\"hi\"}");
	struct oauth_code c _cleanup_(oauth_code_clear) = OAUTH_CODE_INIT;
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(oauth_parse_device_reply(&r, &c, &err), 0);
	expect_secret(&c.device_code, "dc-1");
	assert_string_equal(c.user_code, "VZQ2-WNJV");
	assert_string_equal(c.verification_uri, "https://idp.example/device");
	assert_string_equal(c.verification_uri_complete,
	    "https://idp.example/device?code=VZQ2-WNJV");
	assert_int_equal(c.expires_in_s, 600);
	assert_int_equal(c.interval_s, 3);
}

#define CODE(rest) \
	"{\"device_code\":\"dc\",\"user_code\":\"UC\"" rest "}"
#define URI ",\"verification_uri\":\"https://i.example/d\""

static void
test_device_reply_variants(void **state)
{
	static const struct {
		const char *body;
		int64_t expires, interval;
		const char *uri, *complete;
	} rows[] = {
		/* oidc-provider has no interval; strings are in the wild */
		{ CODE(URI ",\"expires_in\":\"900\""), 900, 5,
		    "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":900,\"interval\":\"7\""), 900, 7,
		    "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":900,\"interval\":0"), 900, 5,
		    "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":900,\"interval\":-3"), 900, 5,
		    "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":900,\"interval\":\"soon\""), 900,
		    5, "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":900,\"interval\":999999"), 900,
		    3600, "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":9223372036854775807"), 86400, 5,
		    "https://i.example/d", NULL },
		{ CODE(",\"verification_url\":\"http://i.example/u\","
		       "\"expires_in\":1"),
		    1, 5, "http://i.example/u", NULL },
		/* a convenience that is unusable is left out */
		{ CODE(URI ",\"expires_in\":900,"
			   "\"verification_uri_complete\":\"javascript:1\""),
		    900, 5, "https://i.example/d", NULL },
		{ CODE(URI ",\"expires_in\":900,"
			   "\"verification_uri_complete\":7"),
		    900, 5, "https://i.example/d", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(200,
		    rows[i].body);
		struct oauth_code c _cleanup_(oauth_code_clear) =
		    OAUTH_CODE_INIT;
		struct tb_error err = TB_ERROR_INIT;

		oauth_parse_device_reply(&r, &c, &err);
		assert_string_equal(err.msg, "");
		assert_true(c.expires_in_s == rows[i].expires);
		assert_true(c.interval_s == rows[i].interval);
		assert_string_equal(c.verification_uri, rows[i].uri);
		assert_null(c.verification_uri_complete);
	}
}

static void
test_device_reply_errors(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum tb_errc code;
		const char *text;
	} rows[] = {
		{ 200, "", TB_E_PROTO, "device code: " },
		{ 200, "<html>login</html>", TB_E_PROTO, "device code: " },
		{ 200, "[]", TB_E_PROTO, "device code: " },
		{ 200, "{}", TB_E_PROTO, "'device_code'" },
		{ 200, CODE(URI), TB_E_PROTO, "'expires_in'" },
		{ 200, CODE(URI ",\"expires_in\":0"), TB_E_PROTO,
		    "'expires_in' is not positive" },
		{ 200, CODE(URI ",\"expires_in\":\"ten\""), TB_E_PROTO,
		    "'expires_in'" },
		{ 200, CODE(",\"expires_in\":9"), TB_E_PROTO,
		    "'verification_uri'" },
		{ 200, CODE(",\"expires_in\":9,\"verification_uri\":"
			    "\"javascript:alert(1)\""),
		    TB_E_PROTO, "not a web address" },
		{ 200, CODE(",\"expires_in\":9,\"verification_uri\":"
			    "\"https://a@b.example/\""),
		    TB_E_PROTO, "not a web address" },
		{ 200, CODE(",\"expires_in\":9,\"verification_uri\":"
			    "\"https://b.example/\\u001b[2J\""),
		    TB_E_PROTO, "not a web address" },
		{ 200, "{\"device_code\":\"dc\",\"user_code\":\"\\u001b[31m\""
		       ",\"expires_in\":9" URI "}",
		    TB_E_PROTO, "'user_code' cannot be shown" },
		{ 200, "{\"device_code\":\"dc\",\"user_code\":\"\""
		       ",\"expires_in\":9" URI "}",
		    TB_E_PROTO, "'user_code' cannot be shown" },
		{ 200, "{\"device_code\":\"d c\",\"user_code\":\"U\""
		       ",\"expires_in\":9" URI "}",
		    TB_E_PROTO, "'device_code' is not a code" },
		{ 401, "{\"error\":\"invalid_client\"}", TB_E_UPSTREAM,
		    "refused to give a code: invalid_client" },
		/* Glewlwyd: wrong client */
		{ 403, "{\"error\":\"unauthorized_client\"}", TB_E_UPSTREAM,
		    "unauthorized_client" },
		{ 400, "{\"error\":\"invalid_scope\","
		       "\"error_description\":\"no such scope\"}",
		    TB_E_UPSTREAM, "invalid_scope: no such scope" },
		{ 404, "<html>", TB_E_UPSTREAM, "HTTP 404" },
		{ 302, "", TB_E_PROTO, "HTTP 302" },
		{ 429, "", TB_E_TRANSIENT, "HTTP 429" },
		{ 429, "{\"error\":\"too_many\"}", TB_E_TRANSIENT, "too_many" },
		{ 400, "{\"error\":\"temporarily_unavailable\"}",
		    TB_E_TRANSIENT, "temporarily_unavailable" },
		{ 500, "{\"error\":\"server_error\"}", TB_E_TRANSIENT,
		    "server_error" },
		{ 502, "<html>Bad Gateway", TB_E_TRANSIENT, "HTTP 502" },
		{ 408, "", TB_E_TRANSIENT, "HTTP 408" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(
		    rows[i].status, rows[i].body);
		struct oauth_code c _cleanup_(oauth_code_clear) =
		    OAUTH_CODE_INIT;
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(oauth_parse_device_reply(&r, &c, &err), -1);
		expect_text(&err, rows[i].text);
		assert_int_equal(err.code, rows[i].code);
		if (rows[i].status != 200)
			assert_int_equal(err.retry_after_ms, 7000);
		assert_null(c.user_code);
	}
}

/* Polls. */

static void
test_poll(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum oauth_poll want;
		enum tb_errc code;
		const char *text;
	} rows[] = {
		{ 200, "{" BEARER "}", OAUTH_POLL_GRANTED, TB_OK, "" },
		{ 400, "{\"error\":\"authorization_pending\"}",
		    OAUTH_POLL_PENDING, TB_OK, "" },
		/* auth0 */
		{ 403, "{\"error\":\"authorization_pending\"}",
		    OAUTH_POLL_PENDING, TB_OK, "" },
		{ 429, "{\"error\":\"slow_down\"}", OAUTH_POLL_SLOW_DOWN,
		    TB_OK, "" },
		{ 400, "{\"error\":\"slow_down\"}", OAUTH_POLL_SLOW_DOWN,
		    TB_OK, "" },
		{ 400, "{\"error\":\"access_denied\"}", OAUTH_POLL_DENIED,
		    TB_E_LOGIN, "the login was refused: access_denied" },
		/* entra */
		{ 400, "{\"error\":\"authorization_declined\","
		       "\"error_description\":\"AADSTS70016: no\\r\\n"
		       "Trace ID: 0f8fad5b-d9cb-469f-a165-70867728950e\"}",
		    OAUTH_POLL_DENIED, TB_E_LOGIN,
		    "authorization_declined: AADSTS70016: no??"
		    "Trace ID: 0f8fad5b-d9cb-469f-a165-70867728950e" },
		{ 400, "{\"error\":\"bad_verification_code\"}",
		    OAUTH_POLL_SPENT, TB_E_LOGIN, "bad_verification_code" },
		{ 400, "{\"error\":\"expired_token\"}", OAUTH_POLL_EXPIRED,
		    TB_E_LOGIN, "nobody confirmed the code in time" },
		{ 400, "{\"error\":\"invalid_grant\"}", OAUTH_POLL_SPENT,
		    TB_E_LOGIN, "does not know the code any more" },
		{ 401, "{\"error\":\"invalid_client\"}", OAUTH_POLL_REFUSED,
		    TB_E_UPSTREAM, "refused the poll: invalid_client" },
		{ 400, "{\"error\":\"unsupported_grant_type\"}",
		    OAUTH_POLL_REFUSED, TB_E_UPSTREAM,
		    "unsupported_grant_type" },
		{ 400, "{\"error\":\"server_error\"}", OAUTH_POLL_TRANSIENT,
		    TB_E_TRANSIENT, "server_error" },
		{ 503, "{\"error\":\"whatever\"}", OAUTH_POLL_TRANSIENT,
		    TB_E_TRANSIENT, "whatever" },
		/* glewlwyd under load */
		{ 500, "{\"error\":\"server_error\"}", OAUTH_POLL_TRANSIENT,
		    TB_E_TRANSIENT, "server_error" },
		{ 400, "", OAUTH_POLL_TRANSIENT, TB_E_TRANSIENT, "HTTP 400" },
		{ 400, "{\"error\":7}", OAUTH_POLL_TRANSIENT, TB_E_TRANSIENT,
		    "HTTP 400" },
		{ 400, "{\"error\":\"\"}", OAUTH_POLL_TRANSIENT,
		    TB_E_TRANSIENT, "HTTP 400" },
		{ 403, "<html>", OAUTH_POLL_TRANSIENT, TB_E_TRANSIENT,
		    "HTTP 403" },
		{ 429, "", OAUTH_POLL_TRANSIENT, TB_E_TRANSIENT, "HTTP 429" },
		{ 502, "<html>", OAUTH_POLL_TRANSIENT, TB_E_TRANSIENT,
		    "HTTP 502" },
		{ 302, "", OAUTH_POLL_TRANSIENT, TB_E_TRANSIENT, "HTTP 302" },
		{ 200, "<html>maintenance", OAUTH_POLL_NONSENSE, TB_E_PROTO,
		    "the provider's tokens: " },
		{ 200, "", OAUTH_POLL_NONSENSE, TB_E_PROTO,
		    "the provider's tokens: " },
		{ 200, "{\"token_type\":\"Bearer\"}", OAUTH_POLL_NONSENSE,
		    TB_E_PROTO, "'access_token'" },
		{ 200, "{\"access_token\":\"a\\nb\"}", OAUTH_POLL_NONSENSE,
		    TB_E_PROTO, "'access_token' is not a token" },
		{ 200, "{\"access_token\":\"\"}", OAUTH_POLL_NONSENSE,
		    TB_E_PROTO, "'access_token'" },
		{ 200, "{\"access_token\":\"a\",\"token_type\":\"DPoP\"}",
		    OAUTH_POLL_NONSENSE, TB_E_PROTO, "not bearer tokens" },
		{ 200, "{" BEARER ",\"refresh_token\":\"a b\"}",
		    OAUTH_POLL_NONSENSE, TB_E_PROTO,
		    "'refresh_token' is not a token" },
		{ 200, "{" BEARER "," BEARER "}", OAUTH_POLL_NONSENSE,
		    TB_E_PROTO, "the provider's tokens: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(
		    rows[i].status, rows[i].body);
		struct oauth_grant g _cleanup_(oauth_grant_clear) =
		    OAUTH_GRANT_INIT;
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(oauth_parse_poll(&r, &g, &err),
		    rows[i].want);
		expect_text(&err, rows[i].text);
		assert_int_equal(err.code, rows[i].code);
		assert_int_equal(secret_is_empty(&g.access_token),
		    rows[i].want != OAUTH_POLL_GRANTED);
	}
}

static void
test_grant_members(void **state)
{
	static const struct {
		const char *body;
		const char *refresh, *id, *scope;
		int64_t expires, refresh_expires;
	} rows[] = {
		{ "{" BEARER "}", "", "", NULL, 0, 0 },
		/* glewlwyd */
		{ "{\"token_type\":\"bearer\",\"access_token\":\"at-1\","
		  "\"refresh_token\":\"rt-1\",\"id_token\":\"a.b.c\","
		  "\"iat\":1,\"expires_in\":3600,\"scope\":\"openid x\"}",
		    "rt-1", "a.b.c", "openid x", 3600, 0 },
		/* keycloak; entra in strings */
		{ "{" BEARER ",\"expires_in\":\"300\","
		  "\"refresh_expires_in\":\"1800\"}",
		    "", "", NULL, 300, 1800 },
		{ "{" BEARER ",\"expires_in\":300,\"refresh_expires_in\":0}",
		    "", "", NULL, 300, 0 },
		{ "{" BEARER ",\"refresh_token_expires_in\":7200}", "", "",
		    NULL, 0, 7200 },
		{ "{\"access_token\":\"at-1\",\"token_type\":\"BEARER\"}", "",
		    "", NULL, 0, 0 },
		{ "{\"access_token\":\"at-1\"}", "", "", NULL, 0, 0 },
		/* nothing depends on these: a malformed one is not said */
		{ "{" BEARER ",\"expires_in\":\"soon\",\"scope\":[\"x\"]}", "",
		    "", NULL, 0, 0 },
		{ "{" BEARER ",\"expires_in\":-5}", "", "", NULL, 0, 0 },
		{ "{" BEARER ",\"expires_in\":9223372036854775807}", "", "",
		    NULL, 315360000, 0 },
		{ "{" BEARER ",\"refresh_token\":null,\"id_token\":null}", "",
		    "", NULL, 0, 0 },
		{ "{" BEARER ",\"refresh_token\":\"\"}", "", "", NULL, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(200,
		    rows[i].body);
		struct oauth_grant g _cleanup_(oauth_grant_clear) =
		    OAUTH_GRANT_INIT;
		struct tb_error err = TB_ERROR_INIT;

		oauth_parse_refresh(&r, &g, &err);
		assert_string_equal(err.msg, "");
		expect_secret(&g.access_token, "at-1");
		expect_secret(&g.refresh_token, rows[i].refresh);
		expect_secret(&g.id_token, rows[i].id);
		assert_string_equal(g.token_type, "Bearer");
		assert_true(streq(g.scope, rows[i].scope));
		assert_true(g.expires_in == rows[i].expires);
		assert_true(g.refresh_expires_in == rows[i].refresh_expires);
	}
}

/* Refresh. */

static void
test_refresh_errors(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum tb_errc code;
		const char *text;
	} rows[] = {
		{ 400, "{\"error\":\"invalid_grant\","
		       "\"error_description\":\"grant request is invalid\"}",
		    TB_E_LOGIN,
		    "does not take the refresh token: invalid_grant: grant" },
		/* glewlwyd: empty body, no type */
		{ 400, "", TB_E_LOGIN, "HTTP 400" },
		{ 401, "", TB_E_LOGIN, "HTTP 401" },
		{ 400, "<html>", TB_E_LOGIN, "HTTP 400" },
		{ 400, "{\"message\":\"no\"}", TB_E_LOGIN, "HTTP 400" },
		/* entra */
		{ 400, "{\"error\":\"interaction_required\"}", TB_E_LOGIN,
		    "interaction_required" },
		{ 400, "{\"error\":\"consent_required\"}", TB_E_LOGIN,
		    "consent_required" },
		{ 429, "", TB_E_BUSY, "HTTP 429" },
		{ 429, "{\"error\":\"slow_down\"}", TB_E_BUSY, "HTTP 429" },
		{ 500, "{\"error\":\"server_error\"}", TB_E_BUSY, "HTTP 500" },
		{ 503, "<html>", TB_E_BUSY, "HTTP 503" },
		/* whatever a 5xx says, it does not end a grant */
		{ 503, "{\"error\":\"invalid_grant\"}", TB_E_BUSY,
		    "HTTP 503" },
		{ 400, "{\"error\":\"temporarily_unavailable\"}", TB_E_BUSY,
		    "temporarily_unavailable" },
		{ 502, "<html>", TB_E_TRANSIENT, "HTTP 502" },
		{ 504, "", TB_E_TRANSIENT, "HTTP 504" },
		{ 599, "", TB_E_TRANSIENT, "HTTP 599" },
		{ 403, "<html>blocked", TB_E_TRANSIENT, "HTTP 403" },
		{ 404, "<html>", TB_E_TRANSIENT, "HTTP 404" },
		{ 302, "", TB_E_TRANSIENT, "HTTP 302" },
		{ 204, "", TB_E_TRANSIENT, "HTTP 204" },
		{ 401, "{\"error\":\"invalid_client\"}", TB_E_UPSTREAM,
		    "refused the refresh: invalid_client" },
		{ 403, "{\"error\":\"unauthorized_client\"}", TB_E_UPSTREAM,
		    "unauthorized_client" },
		{ 400, "{\"error\":\"invalid_request\"}", TB_E_UPSTREAM,
		    "invalid_request" },
		{ 200, "<html>", TB_E_PROTO, "the provider's tokens: " },
		{ 200, "{\"error\":\"invalid_grant\"}", TB_E_PROTO,
		    "'access_token'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(
		    rows[i].status, rows[i].body);
		struct oauth_grant g _cleanup_(oauth_grant_clear) =
		    OAUTH_GRANT_INIT;
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(oauth_parse_refresh(&r, &g, &err), -1);
		expect_text(&err, rows[i].text);
		assert_int_equal(err.code, rows[i].code);
		if (rows[i].status != 200)
			assert_int_equal(err.retry_after_ms, 7000);
	}
}

/* Revoke. */

static void
test_revoke_replies(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum tb_errc code;
		const char *text;
	} rows[] = {
		{ 200, "", TB_OK, "" },
		{ 204, "", TB_OK, "" },
		/* oidc-provider: a JWT access token */
		{ 400, "{\"error\":\"unsupported_token_type\"}", TB_OK, "" },
		{ 400, "{\"error\":\"invalid_token\"}", TB_OK, "" },
		{ 400, "{\"error\":\"invalid_grant\"}", TB_OK, "" },
		/* glewlwyd: a public client */
		{ 401, "", TB_E_UPSTREAM, "HTTP 401" },
		{ 401, "{\"error\":\"invalid_client\"}", TB_E_UPSTREAM,
		    "refused to revoke: invalid_client" },
		{ 404, "<html>", TB_E_UPSTREAM, "HTTP 404" },
		{ 302, "", TB_E_UPSTREAM, "HTTP 302" },
		{ 503, "", TB_E_TRANSIENT, "HTTP 503" },
		{ 429, "", TB_E_TRANSIENT, "HTTP 429" },
		{ 400, "{\"error\":\"temporarily_unavailable\"}",
		    TB_E_TRANSIENT, "temporarily_unavailable" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(
		    rows[i].status, rows[i].body);
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(oauth_parse_revoke(&r, &err),
		    rows[i].code == TB_OK ? 0 : -1);
		expect_text(&err, rows[i].text);
		assert_int_equal(err.code, rows[i].code);
	}
}

/* The provider's words. */

static void
test_words_of_a_provider_are_cleaned(void **state)
{
	static const struct {
		const char *description, *want;
	} rows[] = {
		{ "a\\nb\\tc\\u001b[31m", "invalid_client: a?b?c?[31m" },
		{ "\\u009b31m\\u007f", "invalid_client: ?31m?" },
		{ "\\u202eevil\\u2066\\ufeff\\u200b", "invalid_client: "
						      "?evil???" },
		{ "Ung\\u00fcltig \\u2713 \\ud83d\\ude00",
		    "invalid_client: Ung\xc3\xbcltig \xe2\x9c\x93 "
		    "\xf0\x9f\x98\x80" },
		/* 31 are shown, 32 may be a token */
		{ "token abcdefghijabcdefghijabcdefghija is bad",
		    "invalid_client: token abcdefghijabcdefghijabcdefghija "
		    "is bad" },
		{ "token abcdefghijabcdefghijabcdefghijab is bad",
		    "invalid_client: token [hidden] is bad" },
		{ "id 0f8fad5b-d9cb-469f-a165-70867728950e.",
		    "invalid_client: id [hidden]" },
		{ "id 0f8fad5b-d9cb-469f-a165-70867728950e, yes",
		    "invalid_client: id 0f8fad5b-d9cb-469f-a165-70867728950e, "
		    "yes" },
		{ "", "invalid_client" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *body = xasprintf(
		    "{\"error\":\"invalid_client\",\"error_description\":"
		    "\"%s\"}", rows[i].description);
		struct http_reply r _cleanup_(reply_clear) = reply_of(401,
		    body);
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(oauth_parse_revoke(&r, &err), -1);
		expect_text(&err, "invalid_client");
		assert_string_equal(strstr(err.msg, "invalid_client"),
		    rows[i].want);
	}
}

static void
test_words_of_a_provider_are_cut(void **state)
{
	_cleanup_free_ char *body = NULL;
	char words[700] = "";
	struct tb_error err = TB_ERROR_INIT;
	struct http_reply r _cleanup_(reply_clear) = { .status = 401 };
	const char *p;

	/* three bytes each: 200 is not on a boundary */
	for (int i = 0; i < 150; i++)
		strcat(words, "\xe2\x9c\x93 ");
	body = xasprintf("{\"error\":\"e\",\"error_description\":\"%s\"}",
	    words);
	secret_set_str(&r.body, body);
	assert_int_equal(oauth_parse_revoke(&r, &err), -1);
	p = strstr(err.msg, ": e: ");
	assert_non_null(p);
	assert_int_equal(strlen(p + 5), 200);
	assert_memory_equal(p + 5, words, 200);
}

/* Metadata. */

#define META(rest) "{\"issuer\":\"" FIXTURE_ISSUER "\"" rest "}"

static void
test_metadata(void **state)
{
	struct http_reply r _cleanup_(reply_clear) = reply_of(200,
	    META(",\"device_authorization_endpoint\":\"" FIXTURE_DEVICE "\","
		 "\"token_endpoint\":\"" FIXTURE_TOKEN "\","
		 "\"revocation_endpoint\":\"" FIXTURE_REVOKE "\","
		 "\"jwks_uri\":\"" FIXTURE_JWKS "\","
		 "\"mtls_endpoint_aliases\":{\"token_endpoint\":"
		 "\"https://m.example/t\",\"revocation_endpoint\":"
		 "\"https://m.example/r\",\"device_authorization_endpoint\":"
		 "\"https://m.example/d\",\"x\":7}"));
	struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
		.issuer = NULL };
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(oauth_parse_metadata(&r, FIXTURE_ISSUER, false, &m,
			     &err), 0);
	assert_string_equal(m.issuer, FIXTURE_ISSUER);
	assert_string_equal(m.device_endpoint, FIXTURE_DEVICE);
	assert_string_equal(m.token_endpoint, FIXTURE_TOKEN);
	assert_string_equal(m.revocation_endpoint, FIXTURE_REVOKE);
	assert_string_equal(m.jwks_uri, FIXTURE_JWKS);
	assert_string_equal(m.mtls_device_endpoint, "https://m.example/d");
	assert_string_equal(m.mtls_token_endpoint, "https://m.example/t");
	assert_string_equal(m.mtls_revocation_endpoint, "https://m.example/r");
}

static void
test_metadata_issuer(void **state)
{
	static const struct {
		const char *theirs, *ours;
		bool ok;
	} rows[] = {
		{ "https://a.example", "https://a.example", true },
		{ "https://a.example/", "https://a.example", true }, /* auth0 */
		{ "https://a.example", "https://a.example/", true },
		{ "https://a.example/", "https://a.example/", true },
		{ "https://a.example//", "https://a.example", false },
		{ "https://A.example", "https://a.example", false },
		{ "https://a.example.evil", "https://a.example", false },
		{ "https://a.exampl", "https://a.example", false },
		{ "", "https://a.example", false },
		/* entra's template for any tenant */
		{ "https://l.example/{tenantid}/v2.0",
		    "https://l.example/common/v2.0", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *body = xasprintf("{\"issuer\":\"%s\"}",
		    rows[i].theirs);
		struct http_reply r _cleanup_(reply_clear) = reply_of(200,
		    body);
		struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
			.issuer = NULL };
		struct tb_error err = TB_ERROR_INIT;
		int rc = oauth_parse_metadata(&r, rows[i].ours, false, &m,
		    &err);

		assert_int_equal(rc, rows[i].ok ? 0 : -1);
		if (rows[i].ok) {
			assert_string_equal(m.issuer, rows[i].theirs);
		} else {
			assert_int_equal(err.code, TB_E_PROTO);
			expect_text(&err, "another issuer than '");
		}
	}
}

static void
test_metadata_errors(void **state)
{
	static const struct {
		int status;
		const char *body;
		bool http;
		enum tb_errc code;
		const char *text;
	} rows[] = {
		{ 200, "<html>", false, TB_E_PROTO, "metadata: " },
		{ 200, "{}", false, TB_E_PROTO, "'issuer'" },
		{ 200, META(",\"token_endpoint\":\"http://idp.example/t\""),
		    true, TB_E_PROTO, "token_endpoint: " },
		{ 200, META(",\"token_endpoint\":\"http://127.0.0.1/t\""),
		    false, TB_E_PROTO, "token_endpoint: " },
		{ 200, META(",\"token_endpoint\":7"), false, TB_E_PROTO,
		    "token_endpoint: " },
		{ 200, META(",\"jwks_uri\":\"file:///etc/passwd\""), true,
		    TB_E_PROTO, "jwks_uri: " },
		{ 200, META(",\"mtls_endpoint_aliases\":{\"token_endpoint\":"
			    "\"gopher://x\"}"),
		    true, TB_E_PROTO, "token_endpoint: " },
		{ 404, "", false, TB_E_UPSTREAM, "HTTP 404" },
		{ 302, "", false, TB_E_UPSTREAM, "HTTP 302" },
		{ 500, "", false, TB_E_TRANSIENT, "HTTP 500" },
		{ 429, "", false, TB_E_TRANSIENT, "HTTP 429" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_reply r _cleanup_(reply_clear) = reply_of(
		    rows[i].status, rows[i].body);
		struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
			.issuer = NULL };
		struct tb_error err = TB_ERROR_INIT;

		assert_int_equal(oauth_parse_metadata(&r, FIXTURE_ISSUER,
				     rows[i].http, &m, &err), -1);
		expect_text(&err, rows[i].text);
		assert_int_equal(err.code, rows[i].code);
		assert_null(m.issuer);
	}
}

static void
test_metadata_loopback(void **state)
{
	struct http_reply r _cleanup_(reply_clear) = reply_of(200,
	    META(",\"token_endpoint\":\"http://127.0.0.1:9/t\""));
	struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
		.issuer = NULL };
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(oauth_parse_metadata(&r, FIXTURE_ISSUER, true, &m,
			     &err), 0);
	assert_string_equal(m.token_endpoint, "http://127.0.0.1:9/t");
}

#define T(f) cmocka_unit_test_setup_teardown(f, idp_fixture_setup, \
	idp_fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_form_encoding),
		T(test_device_request_scopes),
		T(test_parameters),
		T(test_device_reply),
		T(test_device_reply_variants),
		T(test_device_reply_errors),
		T(test_poll),
		T(test_grant_members),
		T(test_refresh_errors),
		T(test_revoke_replies),
		T(test_words_of_a_provider_are_cleaned),
		T(test_words_of_a_provider_are_cut),
		T(test_metadata),
		T(test_metadata_issuer),
		T(test_metadata_errors),
		T(test_metadata_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
