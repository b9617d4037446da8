/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random lives of a broker: whatever clients, operators, reloads, crashes, the
 * disk, the clock and the services do, in any order. After every turn of the
 * loop the promises are held against what can be seen from outside. The seeds
 * are fixed, so that a failure comes again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/backoff.h"
#include "base/now.h"
#include "base/principal.h"
#include "base/strbuf.h"
#include "broker_world.h"

#define SEEDS 40
#define STEPS 150
#define ASKERS 12
#define HOUR_MS (3600 * INT64_C(1000))

static const char *const names[] = { "db", "db2", "mgmt", "access",
	"db@lease:1:uid:1000", "db@lease:2:uid:1000" };
#define RECIPES 4 /* of names; the others are leases */
#define LEASES 2
static const struct principal user = { .uid = 1000, .gid = 1 };

struct life {
	struct world w;
	uint64_t seed;
	struct heard heard[ASKERS];
	unsigned jobs_open;
	struct broker_login_watch *watch;
	size_t seen; /* requests looked at */
	unsigned n_minted, n_refreshed;
	uint64_t revoked_to[ARRAY_SIZE(names)];
	bool leased[LEASES]; /* by its number - 1 */
};

static uint64_t rng;

static uint64_t
random_next(void)
{
	/* splitmix64 */
	uint64_t z = (rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static unsigned
upto(unsigned n)
{
	return (unsigned)(random_next() % n);
}

/* ----------------------------------------------------------- the promises */

static void
check_view(struct life *l, const struct broker_view *v)
{
	char *name = xasprintf("%s.%u", v->name, (unsigned)v->generation);
	const char *record = fake_state_record("generation", name);

	/* on disk before it is released, and with this very value */
	if (!record || !strstr(record, secret_reveal(v->value)))
		fail_msg("seed %u: %s was released and is not on disk",
		    (unsigned)l->seed, name);
	assert_true(v->expires_at > now_real_s());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (streq(names[i], v->name) &&
		    v->generation <= l->revoked_to[i])
			fail_msg("seed %u: %s was released after it was "
			    "revoked", (unsigned)l->seed, name);
	}
	free(name);
}

/* P2: the nonce of every mint is on disk when the request leaves. */
static void
check_mint(struct life *l, const struct fake_http_request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (unsigned n = 1; n < 400; n++) {
			char key[64], nonce[33] = "";
			const char *record, *at;

			snprintf(key, sizeof(key), "%s.%u", names[i], n);
			record = fake_state_record("intent", key);
			at = record ? strstr(record, "\"nonce\":\"") : NULL;
			if (at && sscanf(at + 9, "%32[0-9a-f]", nonce) == 1 &&
			    strstr(r->body, nonce))
				return;
		}
	}
	fail_msg("seed %u: a mint left without its intent", (unsigned)l->seed);
}

/* P3: written ahead, and never a third time. P9: to its provider only. */
static void
check_refresh(struct life *l, const struct fake_http_request *r)
{
	const char *ops = fake_state_record("login", "ops");
	const char *ops2 = fake_state_record("login", "ops2");
	bool one = (ops && strstr(ops, "\"redeeming\":1")) ||
	    (ops2 && strstr(ops2, "\"redeeming\":1"));
	bool two = (ops && strstr(ops, "\"redeeming\":2")) ||
	    (ops2 && strstr(ops2, "\"redeeming\":2"));

	assert_true(strncmp(r->url, "https://idp.test/",
	    strlen("https://idp.test/")) == 0);
	if (!one && !two)
		fail_msg("seed %u: a refresh token left without its record",
		    (unsigned)l->seed);
}

static void
check(struct life *l)
{
	struct broker_view view;

	for (; l->seen < fake_http_requests(); l->seen++) {
		const struct fake_http_request *r = fake_http_request(l->seen);

		if (streq(r->method, "POST") && strstr(r->url, "/tokens"))
			check_mint(l, r);
		if (r->body && strstr(r->body, "grant_type=refresh_token"))
			check_refresh(l, r);
		else if (!r->body || !strstr(r->url, "/revoke"))
			assert_null(r->body ? strstr(r->body, "=rt") : NULL);
		/* what one service minted is not shown to another */
		if (strstr(r->url, "influx.test"))
			assert_null(strstr(r->headers, "Bearer M.V1"));
		if (strstr(r->url, "paid.test"))
			assert_null(strstr(r->headers, "Bearer at"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (broker_get(l->w.broker, names[i], 0, &view))
			check_view(l, &view);
	}
	for (size_t i = 0; i < ASKERS; i++)
		assert_in_range(l->heard[i].answers, 0, 1);
}

static void
turns(struct life *l)
{
	for (unsigned n = 0; fake_loop_tasks() > 0 ||
	    fake_loop_next_ms() == 0; n++) {
		fake_loop_turn();
		check(l);
		if (n > 3000)
			fail_msg("seed %u: it spins", (unsigned)l->seed);
	}
}

static void
pass(struct life *l, int64_t ms)
{
	int64_t next;

	turns(l);
	while (ms > 0) {
		next = fake_loop_next_ms();
		next = next < 0 || next > ms ? ms : MAX2(next, 1);
		fake_now_advance(next);
		ms -= next;
		turns(l);
	}
}

/* ------------------------------------------------------------ the services */

static void
push_mint(struct life *l, const char *value)
{
	char *id = xasprintf("id-%u", ++l->n_minted);
	char *text = xasprintf("%s%u", value, l->n_minted);

	world_push_mint(id, text);
	free(id);
	free(text);
}

static void
push_refresh(struct life *l)
{
	char *at = xasprintf("at-%u", ++l->n_refreshed);
	char *rt = xasprintf("rt-%u", l->n_refreshed);

	world_push_refresh(at, upto(3) ? rt : NULL);
	free(at);
	free(rt);
}

static void
service(struct life *l)
{
	static const char *const parts[] = { "/tokens", "idp.test/token",
		"/probe", "/revoke", "/device" };
	static const int statuses[] = { 401, 403, 404, 429, 500, 503, 200 };
	const char *part = parts[upto(ARRAY_SIZE(parts))];

	if (fake_http_scripted() > 20)
		return;
	switch (upto(9)) {
	case 0:
		fake_http_push_error_for(part, TB_E_TRANSIENT, "lost");
		break;
	case 1:
		fake_http_push_error_for(part, TB_E_UNREACHED, "down");
		break;
	case 2:
		fake_http_push_json_for(part,
		    statuses[upto(ARRAY_SIZE(statuses))], "{}");
		break;
	case 3:
		fake_http_push_json_for("idp.test/token", 400, upto(3) ?
		    "{\"error\":\"authorization_pending\"}" :
		    "{\"error\":\"invalid_grant\"}");
		break;
	case 4:
		push_refresh(l);
		break;
	case 5:
		fake_http_push_json_for("/probe", 200, "{}");
		break;
	case 6:
		fake_http_push_json_for("/device", 200,
		    "{\"device_code\":\"dc\",\"user_code\":\"AB-CD\","
		    "\"verification_uri\":\"https://idp.test/d\","
		    "\"expires_in\":600}");
		break;
	case 7:
		fake_http_push_json_for("/tokens", 200, "[]");
		break;
	default:
		push_mint(l, "apiv1_v");
		break;
	}
}

/* ------------------------------------------------------- what may happen */

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	struct life *l = arg;

	assert_true((detail != NULL) != (err != NULL));
	assert_true(l->jobs_open > 0);
	l->jobs_open--;
}

static void
on_news(void *arg, const struct broker_login_news *n)
{
	struct life *l = arg;

	assert_non_null(l->watch);
	if (n->what == BROKER_LOGIN_DONE || n->what == BROKER_LOGIN_FAILED)
		l->watch = NULL;
}

static void
operate(struct life *l)
{
	struct broker_login_request req = { .name = "ops" };
	struct secret value = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct broker_job *job;
	struct broker_view view;
	unsigned i = upto(RECIPES);

	l->jobs_open++;
	switch (upto(5)) {
	case 0:
		job = broker_revoke(l->w.broker, names[i], 0, on_job, l);
		break;
	case 1:
		job = broker_logout(l->w.broker, "ops", upto(2) == 0, on_job,
		    l);
		break;
	case 2:
		secret_set_str(&value, "M.V1.secret");
		job = broker_import(l->w.broker, "mgmt", &value, "m-1",
		    now_real_s() + 86400, on_job, l);
		secret_clear(&value);
		break;
	case 3:
		l->jobs_open--;
		if (l->watch)
			broker_login_cancel(&l->watch);
		else
			l->watch = broker_login_start(l->w.broker, &req,
			    on_news, l, &err);
		return;
	default:
		job = broker_rotate(l->w.broker, names[i], on_job, l);
		break;
	}
	if (upto(4) == 0) {
		broker_job_forget(&job);
		l->jobs_open--;
	}
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		/* what is revoked is not to be had from now on */
		if (!broker_get(l->w.broker, names[i], 0, &view))
			continue;
		assert_true(view.generation > l->revoked_to[i]);
	}
}

static void
reload(struct life *l, unsigned which)
{
	/* cut: the section is left out; from, to: a word is another */
	static const struct {
		const char *cut, *from, *to;
	} ways[] = {
		{ NULL, NULL, NULL },
		{ "[token db]", NULL, NULL },
		{ "[token db2]", NULL, NULL },
		{ "[token access]", NULL, NULL },
		{ NULL, "write:metrics", "read:metrics" },
		{ NULL, "prod", "prod2" },
		{ NULL, "ops", "ops2" },
		{ NULL, "mgmt", "mgmt2" },
		{ NULL, "probe = none", "on_grant_loss = withhold" },
		{ NULL, "influx.test", "influx.test/v2" },
	};
	struct strbuf b = STRBUF_INIT;
	char *first = world_conf_db("leases = 2\n", "");
	const char *text = first, *at;
	char *made;

	which %= ARRAY_SIZE(ways);
	at = ways[which].cut ? strstr(text, ways[which].cut) : NULL;
	if (at) {
		strbuf_add(&b, text, (size_t)(at - text));
		text = strstr(at + 1, "\n[") + 1;
	}
	while (ways[which].from && (at = strstr(text, ways[which].from))) {
		strbuf_add(&b, text, (size_t)(at - text));
		strbuf_adds(&b, ways[which].to);
		text = at + strlen(ways[which].from);
	}
	strbuf_adds(&b, text);
	made = strbuf_steal(&b);
	world_reconfigure(&l->w, world_load(made));
	free(made);
	free(first);
}

static void
crash(struct life *l)
{
	fake_state_hold(false);
	if (upto(2))
		turns(l);
	broker_free(l->w.broker);
	l->w.broker = NULL;
	fake_loop_run_pending(); /* what was queued gets to the disk */
	world_crash(&l->w);
	l->seen = fake_http_requests(); /* it was not looked at turn by turn */
	l->watch = NULL;
	l->jobs_open = 0;
	memset(l->leased, 0, sizeof(l->leased));
}

static void
client(struct life *l)
{
	struct heard *h = &l->heard[upto(ASKERS)];
	const char *name = names[upto(RECIPES)];
	struct broker_view view;
	unsigned char sha[32];

	heard_clear(h);
	if (!broker_has_token(l->w.broker, name) || upto(4) == 0)
		return;
	if (!broker_get(l->w.broker, name, 0, &view)) {
		if (upto(3))
			world_ask(&l->w, name, h);
		else
			world_watch(&l->w, name, 1 + upto(5), h);
		return;
	}
	check_view(l, &view);
	if (upto(3) == 0) {
		SHA256((const unsigned char *)secret_reveal(view.value),
		    view.value->len, sha);
		assert_true(broker_rejected(l->w.broker, name,
		    view.generation, sha, NULL));
	} else {
		world_watch(&l->w, name, view.generation, h);
	}
}

/* A run begins, comes back, asks, or is over. */
static void
run(struct life *l)
{
	unsigned i = upto(LEASES), number = l->leased[i] || upto(2) ? 0 : i + 1;
	struct heard *h = &l->heard[upto(ASKERS)];
	const char *name = names[RECIPES + i];
	char taken[BROKER_NAME_SIZE];
	struct tb_error err = TB_ERROR_INIT;

	heard_clear(h);
	if (l->leased[i]) {
		l->leased[i] = upto(2) && broker_has_token(l->w.broker, name);
		if (l->leased[i])
			world_ask(&l->w, name, h);
		else
			broker_lease_end(l->w.broker, name, NULL, NULL);
		return;
	}
	if (!broker_has_token(l->w.broker, "db") ||
	    broker_lease_take(l->w.broker, "db", &user, &number, taken,
	    &err) < 0)
		return;
	assert_in_range(number, 1, LEASES);
	assert_false(l->leased[number - 1]);
	assert_string_equal(taken, names[RECIPES + number - 1]);
	l->leased[number - 1] = true;
}

static void
step(struct life *l)
{
	switch (upto(32)) {
	case 0:
	case 1:
		reload(l, upto(10));
		break;
	case 2:
		crash(l);
		break;
	case 3:
		fake_state_fail(upto(4));
		break;
	case 4:
		fake_state_hold(upto(3) == 0);
		break;
	case 5:
		pass(l, upto(8) * HOUR_MS);
		break;
	case 6:
		fake_now_step_wall(((int64_t)upto(7200) - 3600) * 1000);
		fake_loop_clock_step();
		break;
	case 7:
	case 8:
	case 9:
		operate(l);
		break;
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
	case 15:
		pass(l, upto(20000));
		break;
	case 16:
	case 17:
	case 18:
	case 19:
	case 20:
	case 21:
		client(l);
		break;
	case 22:
	case 23:
		run(l);
		break;
	default:
		service(l);
		break;
	}
	turns(l);
}

/* The services work, the disk has space, the configuration is the first one:
 * everybody is answered, and no mint stays in the dark. */
static void
wind_up(struct life *l)
{
	if (l->watch)
		broker_login_cancel(&l->watch);
	fake_state_fail(0);
	fake_state_hold(false);
	reload(l, 0);
	turns(l);
	for (int i = 0; i < LEASES; i++) {
		if (l->leased[i])
			broker_lease_end(l->w.broker, names[RECIPES + i], NULL,
			    NULL);
	}
	for (int i = 0; i < 200; i++) {
		for (int k = 0; k < 3; k++)
			fake_http_push_json_for("/tokens", 200, "[]");
		fake_http_push_json_for("/revoke", 200, "");
		fake_http_push_json_for("/probe", 200, "{}");
		pass(l, 5 * 60000);
	}
	assert_int_equal(l->jobs_open, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (unsigned n = 1; n < 400; n++) {
			char key[64];
			const char *record;
			long long expires;

			snprintf(key, sizeof(key), "%s.%u", names[i], n);
			record = fake_state_record("intent", key);
			if (!record)
				continue;
			/* a renewal just now may have gone wrong */
			assert_int_equal(sscanf(strstr(record,
			    "\"expires_at\":") + 13, "%lld", &expires), 1);
			if (expires < now_real_s() - 300)
				fail_msg("seed %u: intent %s stays",
				    (unsigned)l->seed, key);
		}
		if (i >= RECIPES && broker_has_token(l->w.broker, names[i]))
			fail_msg("seed %u: %s stays", (unsigned)l->seed,
			    names[i]);
	}
}

static void
test_random_lives(void **state)
{
	static struct life l;

	(void)state;
	backoff_set_source(random_next);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		memset(&l, 0, sizeof(l));
		l.seed = rng = seed;
		fake_state_reset();
		fake_state_seed("login", "ops", WORLD_GRANT(1795999999));
		world_start(&l.w, world_conf);
		reload(&l, 0);
		for (int i = 0; i < STEPS; i++)
			step(&l);
		wind_up(&l);
		for (size_t i = 0; i < ASKERS; i++)
			heard_clear(&l.heard[i]);
		world_stop(&l.w);
	}
	backoff_set_source(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
