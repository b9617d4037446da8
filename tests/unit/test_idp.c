/* SPDX-License-Identifier: Apache-2.0 */
#include "idp_fixture.h"

#include "base/b64.h"
#include "base/now.h"
#include "jws_maker.h"
#include "lib/form.h"
#include "lib/jsonx.h"
#include "lib/jws.h"
#include "ops/oauth.h"

static void
expect_secret(const struct secret *s, const char *want)
{
	assert_string_equal(secret_reveal(s), want);
	assert_int_equal(s->len, strlen(want));
}

static void
expect_config_error(const char *text)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_null(idp_new(&fixture.conf, &err));
	assert_int_equal(err.code, TB_E_CONFIG);
	if (!strstr(err.msg, text))
		fail_msg("'%s' is not in '%s'", text, err.msg);
}

/* The Authorization header of a request, NULL when there is none. */
static const struct secret *
authorization(const struct http_request *req)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (streq(req->headers[i].name, "Authorization"))
			return &req->headers[i].value;
	return NULL;
}

static void
authenticate(struct http_request *req, struct secret *form)
{
	struct tb_error err = TB_ERROR_INIT;

	form_add(form, "a", "b");
	idp_request(fixture.idp, FIXTURE_TOKEN, req);
	assert_int_equal(idp_authenticate(fixture.idp, req, form, &err), 0);
}

static void
test_request(void **state)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;

	str_set(&fixture.conf.ca_file, "/ca.pem");
	str_set(&fixture.conf.tls_cert_file, "/cert.pem");
	str_set(&fixture.conf.tls_key_file, "/key.pem");
	fixture.conf.allow_insecure_loopback = true;
	idp_request(fixture.idp, FIXTURE_TOKEN, &req);
	assert_string_equal(req.method, "POST");
	assert_string_equal(req.url, FIXTURE_TOKEN);
	assert_string_equal(req.content_type,
	    "application/x-www-form-urlencoded");
	assert_string_equal(req.tls.ca_file, "/ca.pem");
	assert_string_equal(req.tls.cert_file, "/cert.pem");
	assert_string_equal(req.tls.key_file, "/key.pem");
	assert_false(req.tls.insecure);
	assert_true(req.timeout_ms == 20000);
	assert_true(req.allow_loopback_http);
	assert_int_equal(req.n_headers, 1);
	assert_string_equal(req.headers[0].name, "Accept");
	expect_secret(&req.headers[0].value, "application/json");
}

static void
test_auth_none(void **state)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	authenticate(&req, &form);
	expect_secret(&form, "a=b&client_id=broker");
	assert_null(authorization(&req));
}

static void
test_auth_basic(void **state)
{
	_cleanup_free_ char *path = idp_fixture_file("secret", "p:w ü%\n",
	    0600);
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	fixture.conf.auth = IDP_AUTH_CLIENT_SECRET_BASIC;
	str_set(&fixture.conf.client_id, "my:client");
	str_set(&fixture.conf.client_secret_path, path);
	idp_fixture_remake();
	authenticate(&req, &form);
	expect_secret(&form, "a=b");
	/* base64 of my%3Aclient:p%3Aw%20%C3%BC%25 */
	expect_secret(authorization(&req),
	    "Basic bXklM0FjbGllbnQ6cCUzQXclMjAlQzMlQkMlMjU=");
}

static void
test_auth_post(void **state)
{
	_cleanup_free_ char *path = idp_fixture_file("secret", "p&w\r\n",
	    0640);
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	fixture.conf.auth = IDP_AUTH_CLIENT_SECRET_POST;
	str_set(&fixture.conf.client_secret_path, path);
	idp_fixture_remake();
	authenticate(&req, &form);
	expect_secret(&form, "a=b&client_id=broker&client_secret=p%26w");
	assert_null(authorization(&req));
}

static void
test_auth_tls(void **state)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	fixture.conf.auth = IDP_AUTH_TLS;
	str_set(&fixture.conf.tls_cert_file, "/cert.pem");
	str_set(&fixture.conf.tls_key_file, "/key.pem");
	idp_fixture_remake();
	authenticate(&req, &form);
	expect_secret(&form, "a=b&client_id=broker");
	assert_string_equal(req.tls.cert_file, "/cert.pem");
}

/* The assertion in a form, checked as a server would. */
static void
expect_assertion(const struct secret *form, EVP_PKEY *key, const char *aud)
{
	static const char before[] = "a=b&client_id=broker"
	    "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A"
	    "client-assertion-type%3Ajwt-bearer&client_assertion=";
	struct secret set _cleanup_(secret_clear) = SECRET_INIT;
	struct secret jwt _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct jws_expect expect = { .issuer = "broker", .client_id = aud,
		.now_s = now_real_s(), .leeway_s = 0 };
	struct jws_keys *keys;
	json_t *claims;

	assert_memory_equal(secret_reveal(form), before, strlen(before));
	secret_set_str(&jwt, secret_reveal(form) + strlen(before));
	maker_set(&set, maker_jwk(key, "kid-1"), NULL, NULL);
	keys = jws_keys_parse(&set, &err);
	claims = jws_verify(keys, &jwt, &expect, &err);
	assert_string_equal(err.msg, "");
	assert_non_null(claims);
	json_decref(claims);
	jws_keys_free(keys);
}

static void
test_auth_private_key_jwt(void **state)
{
	EVP_PKEY *key = maker_ec("P-256");
	_cleanup_free_ char *pem = maker_private_pem(key, NULL);
	_cleanup_free_ char *path = idp_fixture_file("key.pem", pem, 0600);
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	fixture.conf.auth = IDP_AUTH_PRIVATE_KEY_JWT;
	str_set(&fixture.conf.client_key_path, path);
	str_set(&fixture.conf.client_key_id, "kid-1");
	idp_fixture_remake();
	authenticate(&req, &form);
	expect_assertion(&form, key, FIXTURE_TOKEN);
	assert_null(authorization(&req));

	secret_clear(&form);
	str_set(&fixture.conf.assertion_audience, FIXTURE_ISSUER);
	authenticate(&req, &form);
	expect_assertion(&form, key, FIXTURE_ISSUER);
	EVP_PKEY_free(key);
}

static void
test_form_request(void **state)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	form_add(&form, "a", "b");
	assert_int_equal(idp_form_request(fixture.idp, FIXTURE_REVOKE, &form,
			     &req, &err), 0);
	assert_string_equal(req.url, FIXTURE_REVOKE);
	expect_secret(&req.body, "a=b&client_id=broker");
	assert_true(secret_is_empty(&form));
}

static void
test_secret_files(void **state)
{
	_cleanup_free_ char *empty = idp_fixture_file("empty", "\n", 0600);
	_cleanup_free_ char *open = idp_fixture_file("open", "s", 0644);
	_cleanup_free_ char *writable = idp_fixture_file("wr", "s", 0660);
	_cleanup_free_ char *rubbish = idp_fixture_file("key", "s", 0600);

	fixture.conf.auth = IDP_AUTH_CLIENT_SECRET_BASIC;
	expect_config_error(
	    "login 'ops': no client secret is configured");
	str_set(&fixture.conf.client_secret_path, "/nonexistent/secret");
	expect_config_error("login 'ops': client secret: ");
	str_set(&fixture.conf.client_secret_path, open);
	expect_config_error("login 'ops': client secret: ");
	str_set(&fixture.conf.client_secret_path, writable);
	expect_config_error("login 'ops': client secret: ");
	str_set(&fixture.conf.client_secret_path, empty);
	expect_config_error("login 'ops': the client secret is empty");

	fixture.conf.auth = IDP_AUTH_PRIVATE_KEY_JWT;
	expect_config_error("login 'ops': no client key is configured");
	str_set(&fixture.conf.client_key_path, rubbish);
	expect_config_error("login 'ops': client key: not a private key");

	fixture.conf.auth = IDP_AUTH_TLS;
	expect_config_error("login 'ops': no client certificate and key");
	fixture.conf.auth = IDP_AUTH_NONE;
}

static void
test_origins(void **state)
{
	static const struct {
		const char *token, *revoke, *want;
	} rows[] = {
		{ "https://a.example/t", "https://a.example/r",
		    "https://a.example" },
		{ "https://a.example/t", NULL, "https://a.example" },
		{ NULL, "https://a.example/r", "https://a.example" },
		{ NULL, NULL, "" },
		{ "https://b.example/t", "https://a.example/r",
		    "https://a.example https://b.example" },
		{ "https://a.example/t", "https://b.example/r",
		    "https://a.example https://b.example" },
		{ "https://A.example:443/t", "https://a.example/r",
		    "https://a.example" },
		{ "https://a.example:8443/t", "https://a.example/r",
		    "https://a.example https://a.example:8443" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *got = NULL;

		str_set(&fixture.idp->token_endpoint, rows[i].token);
		str_set(&fixture.idp->revocation_endpoint, rows[i].revoke);
		got = idp_origins(fixture.idp);
		assert_string_equal(got, rows[i].want);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, idp_fixture_setup, \
	idp_fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_request),
		T(test_auth_none),
		T(test_auth_basic),
		T(test_auth_post),
		T(test_auth_tls),
		T(test_auth_private_key_jwt),
		T(test_form_request),
		T(test_secret_files),
		T(test_origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
