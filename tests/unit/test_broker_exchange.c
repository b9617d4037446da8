/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens by exchange: who asks whom for them, with what, and what is sent
 * nowhere. The provider has discovery, so its endpoints are not known at first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker_world.h"

#define GOOD \
	"{\"access_token\":\"x1\",\"issued_token_type\":\"urn:ietf:params:" \
	"oauth:token-type:access_token\",\"token_type\":\"Bearer\"," \
	"\"expires_in\":600}"
#define METADATA(origin) \
	"{\"issuer\":\"https://idp.test\",\"device_authorization_endpoint\":" \
	"\"https://idp.test/device\",\"token_endpoint\":\"https://idp.test/" \
	"token\",\"revocation_endpoint\":\"https://idp.test/revoke\"," \
	"\"introspection_endpoint\":\"" origin "/introspect\"}"

static const char conf[] =
    "[login ops]\n"
    "issuer = https://idp.test\n"
    "client_id = cli\n"
    "identity = unverified\n"
    "[backend sts]\n"
    "type = token-exchange\n"
    "login = ops\n"
    "[token t]\n"
    "backend = sts\n"
    "audience = a\n"
    "lifetime = 1h\n"
    "[client all]\n"
    "user = *\n"
    "tokens = *\n";

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	json_t **out = arg;

	*out = err ? json_pack("{s:s}", "error", err->msg) :
	    json_incref(detail);
}

static int
setup_with(void **state, const char *text)
{
	struct world *w = xnew(struct world);

	fake_state_reset();
	fake_state_seed("login", "ops", WORLD_GRANT(1795999999));
	world_start(w, text);
	*state = w;
	return 0;
}

static int
setup(void **state)
{
	return setup_with(state, conf);
}

static void
push_discovery(void)
{
	fake_http_push_json_for("openid-configuration", 200,
	    METADATA("https://idp.test"));
}

static void
get(struct world *w)
{
	struct heard h = { .answers = 0 };

	fake_http_push_json_for("/token", 200, GOOD);
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "x1");
}

/* The grant was at rest: where it may be exchanged is asked first, once. Its
 * end is the provider's, and the value is what it is revoked by. */
static void
test_life(void **state)
{
	struct world *w = *state;
	const struct fake_http_request *q;
	json_t *detail = NULL;

	push_discovery();
	get(w);
	q = fake_http_last();
	assert_non_null(strstr(q->body, "subject_token=at1&"));
	assert_non_null(strstr(q->body, "audience=a&client_id=cli"));
	assert_non_null(strstr(fake_state_record("generation", "t.1"),
	    "\"value\":\"x1\""));
	assert_null(fake_state_record("intent", "t.1"));

	fake_http_push_json_for("/revoke", 200, "");
	broker_revoke(w->broker, "t", 0, on_job, &detail);
	fake_loop_run_pending();
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "revoked")), 1);
	json_decref(detail);
	q = fake_http_last();
	assert_string_equal(q->url, "https://idp.test/revoke");
	assert_non_null(strstr(q->body, "token=x1&"));
	assert_int_equal(world_count("GET", "openid-configuration"), 1);
	assert_int_equal(world_count("POST", "grant_type"), 0);
}

/* What is written ahead is there when the answer is lost, and nobody can look:
 * it counts until it is over by itself. */
static void
test_lost(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	push_discovery();
	fake_http_push_error_for("/token", TB_E_TRANSIENT, "lost");
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_non_null(fake_state_record("intent", "t.1"));
	heard_clear(&h);
	world_crash(w);
	assert_non_null(fake_state_record("intent", "t.1"));
	push_discovery();
	get(w);
	assert_non_null(fake_state_record("intent", "t.1"));
	fake_loop_advance(3700 * 1000);
	assert_null(fake_state_record("intent", "t.1"));
}

/* Discovery that does not answer spends nothing, and says so. */
static void
test_no_discovery(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_error_for("openid-configuration", TB_E_UNREACHED,
	    "no route");
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/token"), 0);
	assert_null(fake_state_record("intent", "t.1"));
	push_discovery();
	fake_http_push_json_for("/token", 200, GOOD);
	fake_loop_advance(10 * 1000);
	assert_int_equal(world_count("POST", "/token"), 1);
	heard_clear(&h);
}

static int
setup_moved(void **state)
{
	char *text = xasprintf("%s%s", "[login ops]\n"
	    "token_endpoint = https://evil.test/token\n", strchr(conf, '\n') +
	    1);
	int r = setup_with(state, text);

	free(text);
	return r;
}

/* P9: an endpoint of another origin gets neither grant nor client. */
static void
test_moved(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	push_discovery();
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_int_equal(world_count("POST", ""), 0);
	heard_clear(&h);
}

static int
setup_probe(void **state)
{
	char *text = xasprintf("%s[login ops2]\nissuer = https://idp.test\n"
	    "client_id = cli\nidentity = unverified\n", conf);
	char *with = xasprintf("%.*s%s%s", (int)(strstr(text, "[token") -
	    text), text, "introspection = yes\n", strstr(text, "[token"));
	int r = setup_with(state, with);

	free(text);
	free(with);
	return r;
}

/* A provider that publishes it elsewhere has none for us. */
static void
test_introspection_elsewhere(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_json_for("openid-configuration", 200,
	    METADATA("https://evil.test"));
	fake_http_push_json_for("/token", 200, GOOD);
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/introspect"), 0);
	assert_int_equal(h.answers, 0);
	heard_clear(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn, before) \
	cmocka_unit_test_setup_teardown(fn, before, world_teardown)
		T(test_life, setup),
		T(test_lost, setup),
		T(test_no_discovery, setup),
		T(test_moved, setup_moved),
		T(test_introspection_elsewhere, setup_probe),
	};

	return cmocka_run_group_tests_name("broker/exchange", tests, NULL,
	    NULL);
}
