/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See broker_world.h.
 */
#include "broker_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "base/openmetrics.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"
#include "lib/seal.h"

/* A test that failed has left its frame, and with it what waits there. */
static bool stopping;
static const char *over;

const char world_conf[] =
    "[login ops]\n"
    "issuer = https://idp.test\n"
    "client_id = cli\n"
    "discovery = no\n"
    "device_endpoint = https://idp.test/device\n"
    "token_endpoint = https://idp.test/token\n"
    "revocation_endpoint = https://idp.test/revoke\n"
    "identity = unverified\n"
    "[backend prod]\n"
    "type = influxdb-clustered\n"
    "login = ops\n"
    "base_url = https://influx.test\n"
    "reconcile_interval = 0\n" /* its own test; others count requests */
    "[backend hand]\n"
    "type = import\n"
    "[backend paid]\n"
    "type = influxdb-clustered\n"
    "management_token = mgmt\n"
    "base_url = https://paid.test\n"
    "probe_url = https://paid.test/probe\n"
    "reconcile_interval = 0\n"
    "[backend self]\n"
    "type = oauth\n"
    "login = ops\n"
    "[token db]\n"
    "backend = prod\n"
    "permissions = write:metrics\n"
    "lifetime = 6h\n"
    "renew_before = 2h\n"
    "probe = none\n"
    "[token db2]\n"
    "backend = paid\n"
    "permissions = read:metrics\n"
    "lifetime = 6h\n"
    "[token mgmt]\n"
    "backend = hand\n"
    "kind = management\n"
    "allow_full_access = yes\n"
    "[token access]\n"
    "backend = self\n"
    "allow_full_access = yes\n"
    "[client all]\n"
    "user = *\n"
    "tokens = *\n";

struct conf *
world_load(const char *text)
{
	char path[] = "/tmp/tb-unit-XXXXXX";
	struct tb_error err = TB_ERROR_INIT;
	struct conf *c;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	c = conf_load(path, &err);
	unlink(path);
	if (!c)
		fail_msg("%s", err.msg);
	return c;
}

void
world_run_is_over(const char *run)
{
	over = run;
}

static bool
is_over(const char *unit, const char *run)
{
	return over && streq(run, over);
}

static void
world_build(struct world *w)
{
	struct tb_error err = TB_ERROR_INIT;
	struct broker_env env = {
		.loop = w->loop, .http = w->http, .seal = w->seal,
		.unit_is_over = is_over,
	};

	w->broker = broker_new(&env, w->conf, &err);
	if (!w->broker)
		fail_msg("%s", err.msg);
	fake_loop_run_pending();
}

void
world_start(struct world *w, const char *text)
{
	struct tb_error err = TB_ERROR_INIT;
	struct http_env henv = { .user_agent = "test" };
	struct secret key = SECRET_INIT;

	jsonx_init();
	fake_now_reset();
	fake_http_reset();
	w->loop = loop_new(&err);
	fake_state_init(w->loop);
	w->http = http_new(w->loop, &henv, &err);
	memset(secret_alloc(&key, SEAL_KEY_BYTES), 7, SEAL_KEY_BYTES);
	w->seal = seal_new(&key, &err);
	secret_clear(&key);
	assert_non_null(w->seal);
	w->conf = world_load(text);
	world_build(w);
}

void
world_crash(struct world *w)
{
	broker_free(w->broker);
	world_build(w);
}

void
world_restart(struct world *w)
{
	broker_stop(w->broker);
	broker_free(w->broker);
	fake_loop_run_pending(); /* what is queued is written */
	world_build(w);
}

int64_t
world_sample(struct world *w, const char *name)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct openmetrics m;
	char *want = xasprintf("\n%s ", name);
	const char *at;
	int64_t value = INT64_MIN;

	openmetrics_begin(&m, &text, false);
	broker_metrics(w->broker, &m);
	openmetrics_end(&m);
	at = strstr(strbuf_str(&text), want);
	if (at) {
		value = strtoll(at + strlen(want), NULL, 10);
		assert_null(strstr(at + 1, want)); /* each is there once */
	}
	free(want);
	return value;
}

char *
world_conf_db(const char *keys, const char *broker)
{
	const char *at = strstr(world_conf, "[token db2]");

	assert_non_null(at);
	return xasprintf("%s%.*s%s%s", broker, (int)(at - world_conf),
	    world_conf, keys, at);
}

void
world_reload_db(struct world *w, const char *keys, const char *broker)
{
	char *text _cleanup_free_ = world_conf_db(keys, broker);

	world_reload(w, text);
}

void
world_reload(struct world *w, const char *text)
{
	world_reconfigure(w, world_load(text));
	fake_loop_run_pending();
}

void
world_reconfigure(struct world *w, struct conf *next)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(broker_reconfigure(w->broker, next, &err), 0);
	conf_unref(w->conf);
	w->conf = next;
}

void
world_stop(struct world *w)
{
	over = NULL;
	stopping = true;
	broker_free(w->broker);
	stopping = false;
	assert_int_equal(fake_http_pending(), 0);
	fake_http_reset();
	http_free(w->http);
	seal_free(w->seal);
	fake_state_reset();
	conf_unref(w->conf);
	loop_free(w->loop);
}

int
world_setup(void **state, const char *grant)
{
	struct world *w = xnew(struct world);

	fake_state_reset();
	if (grant)
		fake_state_seed("login", "ops", grant);
	world_start(w, world_conf);
	*state = w;
	return 0;
}

int
world_teardown(void **state)
{
	world_stop(*state);
	free(*state);
	return 0;
}

static void
on_heard(void *arg, const struct broker_view *view,
    const struct tb_error *err)
{
	struct heard *h = arg;

	if (stopping)
		return;
	h->waiter = NULL;
	h->answers++;
	if (err) {
		h->err = *err;
		return;
	}
	h->generation = view->generation;
	snprintf(h->value, sizeof(h->value), "%s",
	    secret_reveal(view->value));
}

void
world_ask(struct world *w, const char *token, struct heard *h)
{
	h->waiter = broker_wait(w->broker, token, 0, 0, on_heard, h);
}

void
world_watch(struct world *w, const char *token, uint64_t newer_than,
    struct heard *h)
{
	h->waiter = broker_wait(w->broker, token, newer_than, 0, on_heard, h);
}

void
heard_clear(struct heard *h)
{
	broker_wait_cancel(&h->waiter);
	*h = (struct heard){ .answers = 0 };
}

void
world_push_mint(const char *id, const char *value)
{
	char *body = xasprintf("{\"id\":\"%s\",\"accessToken\":\"%s\","
	    "\"description\":\"x\",\"permissions\":[],"
	    "\"createdAt\":\"2026-11-22T17:20:00Z\","
	    "\"expiresAt\":\"2099-01-01T00:00:00.000Z\"}", id, value);

	fake_http_push_json_for("/tokens", 200, body);
	free(body);
}

void
world_push_refresh(const char *access, const char *refresh)
{
	char *body = xasprintf("{\"access_token\":\"%s\","
	    "\"token_type\":\"Bearer\",\"expires_in\":3600%s%s%s}", access,
	    refresh ? ",\"refresh_token\":\"" : "", refresh ? refresh : "",
	    refresh ? "\"" : "");

	fake_http_push_json_for("idp.test/token", 200, body);
	free(body);
}

size_t
world_count(const char *method, const char *url_part)
{
	size_t n = 0;

	for (size_t i = 0; i < fake_http_requests(); i++) {
		const struct fake_http_request *r = fake_http_request(i);

		n += streq(r->method, method) &&
		    strstr(r->url, url_part) != NULL;
	}
	return n;
}
