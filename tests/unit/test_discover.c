/* SPDX-License-Identifier: Apache-2.0 */
#include "op_contract.h"

#include <jansson.h>

#include "base/now.h"
#include "jws_maker.h"
#include "ops/discover.h"

#define OPENID FIXTURE_ISSUER "/.well-known/openid-configuration"
#define OAUTH \
	"https://idp.example/.well-known/oauth-authorization-server/realms/r"
#define META(rest) \
	"{\"issuer\":\"" FIXTURE_ISSUER "\"," \
	"\"device_authorization_endpoint\":\"" FIXTURE_DEVICE "\"," \
	"\"token_endpoint\":\"" FIXTURE_TOKEN "\"," \
	"\"revocation_endpoint\":\"" FIXTURE_REVOKE "\"," \
	"\"jwks_uri\":\"" FIXTURE_JWKS "\"" rest "}"

static struct tb_error last;
static struct secret jwks;

static void
on_done(void *arg, const struct tb_error *err)
{
	op_probe_done(arg, err);
	last = err ? *err : (struct tb_error)TB_ERROR_INIT;
}

static void
start(struct op_probe *p, enum discover_want want)
{
	p->op = discover_start(fixture.loop, fixture.http, fixture.idp, want,
	    on_done, p);
}

/* A whole run; gives the code it ended with. */
static enum tb_errc
discover(enum discover_want want)
{
	struct op_probe p = { .op = NULL };

	start(&p, want);
	assert_int_equal(p.done, 0);
	fake_loop_run_pending();
	assert_int_equal(p.done, 1);
	return p.code;
}

static void
expect_text(const char *text)
{
	if (!strstr(last.msg, text))
		fail_msg("'%s' is not in '%s'", text, last.msg);
}

/* Nothing explicit. */
static int
setup(void **state)
{
	int rc = idp_fixture_setup(state);
	EVP_PKEY *key = maker_ec("P-256");

	maker_set(&jwks, maker_jwk(key, "k1"), NULL, NULL);
	EVP_PKEY_free(key);
	str_set(&fixture.conf.device_endpoint, NULL);
	str_set(&fixture.conf.token_endpoint, NULL);
	str_set(&fixture.conf.revocation_endpoint, NULL);
	str_set(&fixture.conf.jwks_uri, NULL);
	fixture.conf.discovery = true;
	idp_fixture_remake();
	return rc;
}

static int
teardown(void **state)
{
	secret_clear(&jwks);
	return idp_fixture_teardown(state);
}

static void
push_keys(void)
{
	fake_http_push_json_for("/jwks", 200, secret_reveal(&jwks));
}

/* The contract. */

static void
contract_start(struct op_probe *p)
{
	start(p, DISCOVER_KEYS);
}

static void
contract_cancel(struct op_probe *p)
{
	struct discover *d = p->op;

	discover_cancel(&d);
	p->op = d;
}

static void
contract_script(void)
{
	fake_http_push_json_for("openid-configuration", 404, "");
	fake_http_push_json_for("oauth-authorization-server", 200, META(""));
	push_keys();
}

static void
contract_spoil(void)
{
	str_set(&fixture.conf.issuer, "not a url");
}

static const struct op_contract op_contract = { contract_start,
	contract_cancel, contract_script, contract_spoil };

/* Documents. */

static void
test_openid(void **state)
{
	fake_http_push_json_for(OPENID, 200, META(""));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_int_equal(fake_http_requests(), 1);
	assert_string_equal(fake_http_last()->method, "GET");
	assert_string_equal(fake_http_last()->url, OPENID);
	assert_null(fake_http_last()->content_type);
	assert_string_equal(fixture.idp->device_endpoint, FIXTURE_DEVICE);
	assert_string_equal(fixture.idp->token_endpoint, FIXTURE_TOKEN);
	assert_string_equal(fixture.idp->revocation_endpoint, FIXTURE_REVOKE);
	assert_string_equal(fixture.idp->jwks_uri, FIXTURE_JWKS);
	assert_string_equal(fixture.idp->issuer, FIXTURE_ISSUER);
	assert_null(fixture.idp->keys);
}

static void
test_rfc8414_when_there_is_no_openid(void **state)
{
	static const int statuses[] = { 404, 403, 400, 410 };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		op_again();
		fake_http_push_json_for(OPENID, statuses[i], "<html>");
		fake_http_push_json_for(OAUTH, 200, META(""));
		assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
		assert_int_equal(fake_http_requests(), 2);
		assert_string_equal(fake_http_last()->url, OAUTH);
	}
}

static void
test_rfc8414_of_an_issuer_without_path(void **state)
{
	str_set(&fixture.conf.issuer, "https://a.example/");
	fake_http_push_json(404, "");
	fake_http_push_json(404, "");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_UPSTREAM);
	expect_text("discovery: the provider answered HTTP 404");
	assert_string_equal(fake_http_request(0)->url,
	    "https://a.example/.well-known/openid-configuration");
	assert_string_equal(fake_http_request(1)->url,
	    "https://a.example/.well-known/oauth-authorization-server");
}

static void
test_issuer_with_slash(void **state)
{
	/* auth0: configured without, published (and signed) with a slash */
	str_set(&fixture.conf.issuer, "https://t.auth0.example");
	fake_http_push_json(200,
	    "{\"issuer\":\"https://t.auth0.example/\",\"token_endpoint\":"
	    "\"https://t.auth0.example/oauth/token\"}");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->issuer, "https://t.auth0.example/");
}

static void
test_another_issuer(void **state)
{
	fake_http_push_json(200,
	    "{\"issuer\":\"https://evil.example\",\"token_endpoint\":"
	    "\"" FIXTURE_TOKEN "\"}");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
	expect_text("discovery: the provider's metadata are of another issuer");
	assert_int_equal(fake_http_requests(), 1);
	assert_null(fixture.idp->token_endpoint);
}

static void
test_endpoint_of_another_origin(void **state)
{
	static const struct {
		const char *name, *url;
		bool ok;
	} rows[] = {
		{ "token_endpoint", "https://evil.example/t", false },
		{ "token_endpoint", "https://idp.example:8443/t", false },
		{ "token_endpoint", "https://idp.example.evil.example/",
		    false },
		{ "device_authorization_endpoint", "https://evil.example/d",
		    false },
		{ "revocation_endpoint", "https://evil.example/r", false },
		{ "token_endpoint", "https://IDP.example:443/t", true },
		{ "jwks_uri", "https://keys.example/k", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *j = json_loads(META(""), 0, NULL);
		char *text;

		op_again();
		json_object_set_new(j, rows[i].name,
		    json_string(rows[i].url));
		text = json_dumps(j, 0);
		fake_http_push_json(200, text);
		secret_lib_free(text);
		json_decref(j);
		assert_int_equal(discover(DISCOVER_ENDPOINTS),
		    rows[i].ok ? TB_OK : TB_E_PROTO);
		if (rows[i].ok)
			continue;
		expect_text(rows[i].name);
		expect_text("not at its issuer's origin");
		/* and nothing of the document was taken */
		assert_null(fixture.idp->token_endpoint);
		assert_null(fixture.idp->jwks_uri);
	}
}

static void
test_explicit_endpoints_win(void **state)
{
	str_set(&fixture.conf.token_endpoint, "https://elsewhere.example/t");
	idp_fixture_remake();
	fake_http_push_json(200, META(""));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->token_endpoint,
	    "https://elsewhere.example/t");
	assert_string_equal(fixture.idp->device_endpoint, FIXTURE_DEVICE);
}

static void
test_configured_as_the_error_said(void **state)
{
	static const char doc[] =
	    "{\"issuer\":\"" FIXTURE_ISSUER "\",\"token_endpoint\":"
	    "\"https://elsewhere.example/t\"}";

	fake_http_push_json(200, doc);
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
	str_set(&fixture.conf.token_endpoint, "https://elsewhere.example/t");
	idp_fixture_remake();
	fake_http_push_json(200, doc);
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
}

static void
test_all_explicit_needs_no_document(void **state)
{
	str_set(&fixture.conf.device_endpoint, FIXTURE_DEVICE);
	str_set(&fixture.conf.token_endpoint, FIXTURE_TOKEN);
	str_set(&fixture.conf.revocation_endpoint, FIXTURE_REVOKE);
	str_set(&fixture.conf.jwks_uri, FIXTURE_JWKS);
	idp_fixture_remake();
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_int_equal(fake_http_requests(), 0);
}

static void
test_discovery_off(void **state)
{
	fixture.conf.discovery = false;
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_CONFIG);
	expect_text("no token_endpoint is configured, and discovery is off");
	str_set(&fixture.conf.token_endpoint, FIXTURE_TOKEN);
	idp_fixture_remake();
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_int_equal(discover(DISCOVER_KEYS), TB_E_PROTO);
	expect_text("no jwks_uri");
	assert_int_equal(fake_http_requests(), 0);
}

static void
test_no_issuer(void **state)
{
	str_set(&fixture.conf.issuer, NULL);
	idp_fixture_remake();
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_CONFIG);
	expect_text("discovery needs an issuer");
}

static void
test_no_token_endpoint(void **state)
{
	fake_http_push_json(200, "{\"issuer\":\"" FIXTURE_ISSUER "\"}");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
	expect_text("publishes no token_endpoint");
	assert_true(fixture.idp->discovered_at_ms == 0);
}

static void
test_mtls_aliases(void **state)
{
	static const char aliases[] = META(
	    ",\"mtls_endpoint_aliases\":{\"token_endpoint\":\"" FIXTURE_ISSUER
	    "/mtls/token\",\"device_authorization_endpoint\":\"" FIXTURE_ISSUER
	    "/mtls/device\"}");

	fake_http_push_json(200, aliases);
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->token_endpoint, FIXTURE_TOKEN);

	fixture.conf.auth = IDP_AUTH_TLS;
	str_set(&fixture.conf.tls_cert_file, "/cert.pem");
	str_set(&fixture.conf.tls_key_file, "/key.pem");
	idp_fixture_remake();
	fake_http_push_json(200, aliases);
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->token_endpoint,
	    FIXTURE_ISSUER "/mtls/token");
	assert_string_equal(fixture.idp->device_endpoint,
	    FIXTURE_ISSUER "/mtls/device");
	/* no alias for it */
	assert_string_equal(fixture.idp->revocation_endpoint, FIXTURE_REVOKE);
}

static void
test_mtls_alias_of_another_origin(void **state)
{
	fixture.conf.auth = IDP_AUTH_TLS;
	str_set(&fixture.conf.tls_cert_file, "/cert.pem");
	str_set(&fixture.conf.tls_key_file, "/key.pem");
	idp_fixture_remake();
	fake_http_push_json(200, META(",\"mtls_endpoint_aliases\":"
	    "{\"token_endpoint\":\"https://mtls.example/t\"}"));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
	expect_text("if that is right, configure it");
}

static void
test_loopback(void **state)
{
	static const char doc[] =
	    "{\"issuer\":\"http://127.0.0.1:99/oidc\","
	    "\"token_endpoint\":\"http://127.0.0.1:99/oidc/token\"}";

	str_set(&fixture.conf.issuer, "http://127.0.0.1:99/oidc");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
	fixture.conf.allow_insecure_loopback = true;
	fake_http_push_json(200, doc);
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_true(fake_http_last()->allow_loopback_http);
}

/* Age. */

static void
test_known_for_an_hour(void **state)
{
	fake_http_push_json(200, META(""));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	fake_loop_advance(3600 * 1000 - 1);
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_int_equal(fake_http_requests(), 1);
	fake_loop_advance(1);
	fake_http_push_json(200, META(""));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_int_equal(fake_http_requests(), 2);
}

static void
test_outage_does_not_unlearn(void **state)
{
	fake_http_push_json(200, META(""));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	fake_loop_advance(3600 * 1000);
	fake_http_push_json(503, "");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	fake_http_push_error(TB_E_UNREACHED, "no route");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->token_endpoint, FIXTURE_TOKEN);
	/* it is asked every time until it answers */
	assert_int_equal(fake_http_requests(), 3);
	/* an answer that makes no sense is not an outage */
	fake_http_push_json(200, "{\"issuer\":\"https://evil.example\"}");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
}

static void
test_outage_at_first(void **state)
{
	fake_http_push_json(503, "");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_TRANSIENT);
	expect_text("discovery: the provider answered HTTP 503");
	fake_http_push_error(TB_E_UNREACHED, "no route");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_UNREACHED);
	expect_text("discovery: no route");
}

/* Keys. */

static void
test_keys(void **state)
{
	fake_http_push_json_for(OPENID, 200, META(""));
	push_keys();
	assert_int_equal(discover(DISCOVER_KEYS), TB_OK);
	assert_non_null(fixture.idp->keys);
	assert_true(fixture.idp->keys_at_ms == now_boot_ms());
	assert_string_equal(fake_http_last()->url, FIXTURE_JWKS);
	/* cached */
	assert_int_equal(discover(DISCOVER_KEYS), TB_OK);
	assert_int_equal(fake_http_requests(), 2);
	/* unless asked again */
	push_keys();
	assert_int_equal(discover(DISCOVER_KEYS_AGAIN), TB_OK);
	assert_int_equal(fake_http_requests(), 3);
	/* or old */
	fake_loop_advance(3600 * 1000);
	fake_http_push_json_for(OPENID, 200, META(""));
	push_keys();
	assert_int_equal(discover(DISCOVER_KEYS), TB_OK);
	assert_int_equal(fake_http_requests(), 5);
}

static void
test_keys_errors(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum tb_errc code;
		const char *text;
	} rows[] = {
		{ 404, "", TB_E_UPSTREAM, "the provider's keys: HTTP 404" },
		{ 503, "", TB_E_TRANSIENT, "the provider's keys: HTTP 503" },
		{ 200, "<html>", TB_E_PROTO, "the provider's keys: " },
		{ 200, "{\"keys\":[]}", TB_E_PROTO, "the key set is empty" },
	};

	fake_http_push_json_for(OPENID, 200, META(""));
	push_keys();
	assert_int_equal(discover(DISCOVER_KEYS), TB_OK);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_http_push_json(rows[i].status, rows[i].body);
		assert_int_equal(discover(DISCOVER_KEYS_AGAIN), rows[i].code);
		expect_text(rows[i].text);
		/* the old ones are still there */
		assert_non_null(fixture.idp->keys);
	}
	fake_http_push_error(TB_E_TRANSIENT, "timed out");
	assert_int_equal(discover(DISCOVER_KEYS_AGAIN), TB_E_TRANSIENT);
	expect_text("the provider's keys: timed out");
}

/* ------------------------------------------------- an InfluxDB 3 server */

#define SERVER "https://influx.example"
#define CONFIG SERVER "/api/v3/auth/oauth/config"

static void
ask_server(bool configured)
{
	str_set(&fixture.conf.influxdb3_url, SERVER);
	if (!configured) {
		str_set(&fixture.conf.issuer, NULL);
		str_set(&fixture.conf.client_id, NULL);
	}
	idp_fixture_remake();
}

/* Nobody has published the layout: several are understood. */
static void
test_server_layouts(void **state)
{
	static const struct {
		const char *answer, *scopes, *audience;
	} rows[] = {
		{ "{\"issuer\":\"" FIXTURE_ISSUER "\",\"client_id\":\"cli\"}",
		    "openid offline_access", NULL },
		{ "{\"issuer\":\"" FIXTURE_ISSUER "\",\"client_id\":\"cli\","
		    "\"audience\":\"db\",\"scopes\":[\"openid\",\"db:all\"]}",
		    "openid offline_access db:all", "db" },
		{ "{\"oauth_issuer\":\"" FIXTURE_ISSUER "\","
		    "\"oauth_client_id\":\"cli\",\"oauth_scopes\":"
		    "\"openid,offline_access,x\"}",
		    "openid offline_access x", NULL },
		{ "{\"oauth\":{\"issuerUrl\":\"" FIXTURE_ISSUER "\","
		    "\"clientId\":\"cli\",\"audience\":[\"db\"],\"scope\":"
		    "\"openid\"},\"enabled\":true}",
		    "openid offline_access", "db" },
	};

	ask_server(false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct idp_conf *c;

		idp_fixture_remake();
		fake_http_push_json_for(CONFIG, 200, rows[i].answer);
		fake_http_push_json_for(OPENID, 200, META(""));
		assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
		c = fixture.idp->conf;
		assert_string_equal(c->issuer, FIXTURE_ISSUER);
		assert_string_equal(c->client_id, "cli");
		assert_string_equal(c->scopes, rows[i].scopes);
		assert_int_equal(c->n_params, rows[i].audience ? 1 : 0);
		if (rows[i].audience)
			assert_string_equal(c->params[0].value,
			    rows[i].audience);
		assert_string_equal(fixture.idp->device_endpoint,
		    FIXTURE_DEVICE);
	}
}

static void
test_server_answers_that_are_refused(void **state)
{
	static const struct {
		int status;
		const char *answer, *text;
		bool configured;
	} rows[] = {
		{ 404, "", "HTTP 404", false },
		{ 503, "", "HTTP 503", false },
		{ 200, "<html>", CONFIG, false },
		{ 200, "{\"client_id\":\"cli\"}", "does not say the issuer",
		    false },
		{ 200, "{\"issuer\":\"" FIXTURE_ISSUER "\"}",
		    "does not say the client_id", false },
		{ 200, "{\"issuer\":\"http://idp.example\","
		    "\"client_id\":\"cli\"}", "only https", false },
		{ 200, "{\"issuer\":\"https://evil.example\","
		    "\"client_id\":\"broker\"}", "another issuer", true },
		{ 200, "{\"issuer\":\"" FIXTURE_ISSUER "\","
		    "\"client_id\":\"cli\"}", "another client_id", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		str_set(&fixture.conf.issuer, FIXTURE_ISSUER);
		str_set(&fixture.conf.client_id, "broker");
		ask_server(rows[i].configured);
		fake_http_push_json_for(CONFIG, rows[i].status,
		    rows[i].answer);
		if (discover(DISCOVER_ENDPOINTS) == TB_OK)
			fail_msg("%s was taken", rows[i].answer);
		expect_text(rows[i].text);
		assert_null(fixture.idp->token_endpoint);
	}
}

/* Its word decides whom we ask; endpoints of another origin than the issuer's
 * are refused all the same. */
static void
test_server_names_an_issuer_with_foreign_endpoints(void **state)
{
	ask_server(false);
	fake_http_push_json_for(CONFIG, 200, "{\"issuer\":"
	    "\"https://other.example\",\"client_id\":\"cli\"}");
	fake_http_push_json_for("https://other.example/.well-known", 200,
	    "{\"issuer\":\"https://other.example\",\"token_endpoint\":\""
	    FIXTURE_TOKEN "\"}");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_E_PROTO);
	expect_text("not at its issuer's origin");
}

/* A grant names who gave it: that does while the server is away. */
static void
test_server_is_away(void **state)
{
	ask_server(false);
	idp_assume(fixture.idp, FIXTURE_ISSUER, "cli");
	fake_http_push_error_for(CONFIG, TB_E_TRANSIENT, "timed out");
	fake_http_push_json_for(OPENID, 200, META(""));
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->token_endpoint, FIXTURE_TOKEN);
	assert_string_equal(fixture.idp->conf->client_id, "cli");
	/* back, with another issuer: what was known of the first is void */
	fake_http_push_json_for(CONFIG, 200, "{\"issuer\":"
	    "\"https://other.example\",\"client_id\":\"cli\"}");
	fake_http_push_json_for("https://other.example/.well-known", 200,
	    "{\"issuer\":\"https://other.example\",\"token_endpoint\":"
	    "\"https://other.example/token\"}");
	assert_int_equal(discover(DISCOVER_ENDPOINTS), TB_OK);
	assert_string_equal(fixture.idp->token_endpoint,
	    "https://other.example/token");
	assert_null(fixture.idp->device_endpoint);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_contract_done_once_and_later),
		T(test_contract_bad_url_comes_later),
		T(test_contract_cancel_after_every_step),
		T(test_contract_cancel_from_anothers_callback),
		T(test_contract_cancel_with_the_answer_ready),
		T(test_openid),
		T(test_rfc8414_when_there_is_no_openid),
		T(test_rfc8414_of_an_issuer_without_path),
		T(test_issuer_with_slash),
		T(test_another_issuer),
		T(test_endpoint_of_another_origin),
		T(test_explicit_endpoints_win),
		T(test_configured_as_the_error_said),
		T(test_all_explicit_needs_no_document),
		T(test_discovery_off),
		T(test_no_issuer),
		T(test_no_token_endpoint),
		T(test_mtls_aliases),
		T(test_mtls_alias_of_another_origin),
		T(test_loopback),
		T(test_known_for_an_hour),
		T(test_outage_does_not_unlearn),
		T(test_outage_at_first),
		T(test_keys),
		T(test_keys_errors),
		T(test_server_layouts),
		T(test_server_answers_that_are_refused),
		T(test_server_names_an_issuer_with_foreign_endpoints),
		T(test_server_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
