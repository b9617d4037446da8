/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a service's list: what is marked as ours and unknown is told, and
 * revoked only when that was asked for, only once, and never when it belongs
 * to somebody else, to a mint under way, or to a record that cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/backoff.h"
#include "broker_world.h"

#define NONCE "00112233445566778899aabbccddeeff"
#define MINUTE_MS (60 * INT64_C(1000))
#define HOUR_MS (60 * MINUTE_MS)

/* The first look is half a minute after the start, the others an hour and half
 * a minute apart. */
#define FIRST_MS 31000
static uint64_t
no_jitter(void)
{
	return 30000;
}

/* The common world, whose backend `prod` is looked at every hour. */
static char *
conf_with(const char *on_orphan)
{
	static const char off[] = "reconcile_interval = 0\n";
	const char *at = strstr(world_conf, off);

	return xasprintf("%.*sreconcile_interval = 2h\non_orphan = %s\n"
	    "probe_url = https://influx.test/probe\n%s",
	    (int)(at - world_conf), world_conf, on_orphan,
	    at + sizeof(off) - 1);
}

static struct world *
start_by(char *text, bool granted)
{
	struct world *w = xnew(struct world);

	backoff_set_source(no_jitter);
	if (granted)
		fake_state_seed("login", "ops", WORLD_GRANT(1795999999));
	world_start(w, text);
	free(text);
	return w;
}

static struct world *
start(const char *on_orphan, bool granted)
{
	return start_by(conf_with(on_orphan), granted);
}

static int
setup_report(void **state)
{
	fake_state_reset();
	*state = start("report", true);
	return 0;
}

static int
setup_revoke(void **state)
{
	fake_state_reset();
	*state = start("revoke", true);
	return 0;
}

static int
setup_no_login(void **state)
{
	fake_state_reset();
	*state = start("report", false);
	return 0;
}

static int
teardown(void **state)
{
	world_stop(*state);
	free(*state);
	backoff_set_source(NULL);
	return 0;
}

static const char *
installation(void)
{
	static char id[INSTALLATION_LEN + 1];
	const char *record = fake_state_record("installation", "self");

	assert_non_null(record);
	memcpy(id, strstr(record, "\"id\":\"") + 6, INSTALLATION_LEN);
	return id;
}

/* A list of one, alive, or of none (id NULL). */
static void
push_list(const char *id, const char *of, const char *nonce, unsigned times)
{
	char *body = id ? xasprintf("[{\"id\":\"%s\",\"description\":"
	    "\"x [tokenbroker web/1/%s db #9 %s]\",\"permissions\":[],"
	    "\"createdAt\":\"2026-11-22T17:20:30Z\"}]", id, of, nonce) :
	    xstrdup("[]");

	while (times--)
		fake_http_push_json_for("/tokens", 200, body);
	free(body);
}

static size_t
looks(void)
{
	return world_count("GET", "influx.test/api/v0/tokens");
}

static size_t
orphans(struct world *w)
{
	json_t *status = broker_status(w->broker);
	json_t *one = json_array_get(json_object_get(status, "reconcile"), 0);
	size_t n = (size_t)json_integer_value(json_object_get(one,
	    "orphans_alive"));

	assert_string_equal(json_string_value(json_object_get(one,
	    "backend")), "prod");
	json_decref(status);
	return n;
}

/* The nonce of generation 1 of `db`, whose value is in the broker's hands. */
static void
get_first(struct world *w, char nonce[33])
{
	struct heard h = { .answers = 0 };
	const char *record;

	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	record = fake_state_record("generation", "db.1");
	memcpy(nonce, strstr(record, "\"nonce\":\"") + 9, 32);
	nonce[32] = '\0';
}

/* ----------------------------------------------------------------- orphans */

static void
test_orphan_is_told_once(void **state)
{
	struct world *w = *state;

	push_list("lost", installation(), NONCE, 8);
	fake_loop_advance(FIRST_MS);
	assert_int_equal(looks(), 1);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 1);
	assert_int_equal(orphans(w), 1);
	fake_loop_advance(6 * HOUR_MS);
	assert_in_range(looks(), 4, 8);
	world_crash(w);
	push_list("lost", installation(), NONCE, 1);
	fake_loop_advance(FIRST_MS);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 1);
	assert_int_equal(orphans(w), 1);
	assert_int_equal(world_count("DELETE", "/tokens"), 0);
	/* and forgotten when it is gone */
	fake_http_drop_scripted();
	push_list(NULL, "", "", 3);
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(orphans(w), 0);
}

/* `twin` is the service of `prod` under another name. */
static char *
conf_of_twins(const char *on_orphan)
{
	char *one = conf_with("report");
	char *both = xasprintf("%s[backend twin]\ntype = influxdb-clustered\n"
	    "login = ops\nbase_url = https://influx.test\n"
	    "reconcile_interval = 2h\non_orphan = %s\n", one, on_orphan);

	free(one);
	return both;
}

static int
setup_twins(void **state)
{
	fake_state_reset();
	*state = start_by(conf_of_twins("report"), true);
	return 0;
}

static void
test_orphan_is_told_once_by_two_backends(void **state)
{
	char *text = conf_of_twins("revoke");
	struct conf *next = world_load(text);
	struct world *w = *state;

	free(text);
	push_list("lost", installation(), NONCE, 8);
	fake_loop_advance(FIRST_MS);
	assert_int_equal(looks(), 2);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 1);
	assert_int_equal(orphans(w), 1);
	/* neither is it told again when it is the other one that ends it */
	world_reconfigure(w, next);
	fake_http_push_json_for("/tokens/lost", 204, "");
	fake_loop_advance(6 * HOUR_MS);
	assert_int_equal(world_count("DELETE", "/tokens/lost"), 1);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 1);
	assert_int_equal(fake_state_audits(AUDIT_REVOKED), 1);
	fake_http_drop_scripted();
}

static void
test_orphan_is_revoked_after_settle_time(void **state)
{
	struct world *w = *state;

	push_list("lost", installation(), NONCE, 1);
	fake_loop_advance(9 * MINUTE_MS);
	assert_int_equal(looks(), 1);
	assert_int_equal(world_count("DELETE", "/tokens"), 0);
	push_list("lost", installation(), NONCE, 1);
	fake_http_push_json_for("/tokens/lost", 204, "");
	fake_loop_advance(2 * MINUTE_MS);
	assert_int_equal(looks(), 2);
	assert_int_equal(world_count("DELETE", "/tokens/lost"), 1);
	assert_int_equal(fake_state_audits(AUDIT_REVOKED), 1);
	assert_int_equal(orphans(w), 0);
}

/* A service that lists what is revoked, for ever: asked once, also by the
 * next run of the daemon. */
static void
test_agreed_revocation_is_not_repeated(void **state)
{
	struct world *w = *state;

	push_list("lost", installation(), NONCE, 2);
	fake_http_push_json_for("/tokens/lost", 404, "{}");
	fake_loop_advance(12 * MINUTE_MS);
	assert_int_equal(world_count("DELETE", "/tokens/lost"), 1);
	push_list("lost", installation(), NONCE, 20);
	fake_loop_advance(6 * HOUR_MS);
	world_crash(w);
	fake_loop_advance(6 * HOUR_MS);
	assert_in_range(looks(), 8, 22);
	assert_int_equal(world_count("DELETE", "/tokens/lost"), 1);
	assert_int_equal(orphans(w), 0);
	fake_http_drop_scripted();
}

static void
test_another_installation_is_left_alone(void **state)
{
	struct world *w = *state;

	push_list("theirs", "feedfacefeedface", NONCE, 5);
	fake_loop_advance(4 * HOUR_MS);
	assert_true(looks() >= 3);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	assert_int_equal(world_count("DELETE", "/tokens"), 0);
	assert_int_equal(orphans(w), 0);
	fake_http_drop_scripted();
}

static void
test_unreadable_records_forbid_revocation(void **state)
{
	struct world *w = *state;

	fake_state_quarantine(1);
	push_list("lost", installation(), NONCE, 20);
	fake_loop_advance(2 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 1);
	assert_int_equal(world_count("DELETE", "/tokens"), 0);
	fake_state_quarantine(0);
	fake_http_push_json_for("/tokens/lost", 204, "");
	fake_loop_advance(HOUR_MS);
	assert_int_equal(world_count("DELETE", "/tokens"), 1);
	assert_int_equal(orphans(w), 0);
	fake_http_drop_scripted();
}

/* An old or copied state knows nothing of what was made since: no look, until
 * an operator decides; and then what it marked before is told, and left to
 * whoever else has that number. */
static void
test_quarantined_state_looks_at_nothing(void **state)
{
	struct world *w = *state;
	char before[INSTALLATION_LEN + 1], *list;

	strcpy(before, installation());
	fake_state_hold_back("it is older than it was");
	fake_loop_advance(5 * HOUR_MS);
	assert_int_equal(looks(), 0);
	broker_job_forget(&(struct broker_job *){
	    broker_adopt(w->broker, NULL, NULL) });
	fake_loop_run_pending();
	assert_string_not_equal(installation(), before);
	list = xasprintf("[{\"id\":\"old\",\"description\":"
	    "\"[tokenbroker h/%s db #1 " NONCE "]\"},{\"id\":\"new\","
	    "\"description\":\"[tokenbroker h/%s db #2 %.31s0]\"}]", before,
	    installation(), NONCE);
	for (int i = 0; i < 10; i++)
		fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/new", 204, "");
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 2);
	assert_int_equal(world_count("DELETE", "/tokens"), 1);
	assert_int_equal(world_count("DELETE", "/tokens/new"), 1);
	/* so it is after a restart */
	world_crash(w);
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(world_count("DELETE", "/tokens"), 1);
	assert_int_equal(orphans(w), 1);
	free(list);
	fake_http_drop_scripted();
}

static void
test_failed_revocation_is_tried_again(void **state)
{
	push_list("lost", installation(), NONCE, 1);
	fake_loop_advance(9 * MINUTE_MS);
	push_list("lost", installation(), NONCE, 1);
	fake_http_push_json_for("/tokens/lost", 500, "{}");
	fake_loop_advance(2 * MINUTE_MS);
	push_list("lost", installation(), NONCE, 1);
	fake_http_push_json_for("/tokens/lost", 204, "{}");
	fake_loop_advance(2 * MINUTE_MS);
	assert_int_equal(world_count("DELETE", "/tokens/lost"), 2);
	assert_int_equal(fake_state_audits(AUDIT_REVOKED), 1);
}

/* One that the service will not revoke does not shield the others. */
static void
test_refused_revocation_stops_no_other(void **state)
{
	struct world *w = *state;
	static const char other[] = "ffeeddccbbaa99887766554433221100";
	char *list = xasprintf("[{\"id\":\"kept\",\"description\":"
	    "\"[tokenbroker h/%s db #8 %s]\"},{\"id\":\"lost\","
	    "\"description\":\"[tokenbroker h/%s db #9 %s]\"}]",
	    installation(), NONCE, installation(), other);

	fake_http_push_json_for("/tokens", 200, list);
	fake_loop_advance(9 * MINUTE_MS);
	fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/kept", 400, "{}");
	fake_http_push_json_for("/tokens/lost", 204, "");
	fake_loop_advance(2 * MINUTE_MS);
	assert_int_equal(world_count("DELETE", "/tokens/kept"), 1);
	assert_int_equal(world_count("DELETE", "/tokens/lost"), 1);
	assert_int_equal(orphans(w), 1);
	/* and is itself not forgotten */
	push_list("kept", installation(), NONCE, 1);
	fake_http_push_json_for("/tokens/kept", 204, "");
	fake_loop_advance(2 * MINUTE_MS);
	assert_int_equal(orphans(w), 0);
	free(list);
	fake_http_drop_scripted();
}

/* ------------------------------------------------------------- no orphans */

static void
test_what_is_held_is_no_orphan(void **state)
{
	struct world *w = *state;
	char nonce[33];

	get_first(w, nonce);
	push_list("id-1", installation(), nonce, 5);
	fake_loop_advance(2 * HOUR_MS);
	assert_true(looks() >= 2);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 0);
	fake_http_drop_scripted();
}

/* The list's answer comes while a mint waits for its own. */
static void
test_mint_under_way_is_no_orphan(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char nonce[33] = "";

	push_list(NULL, "", "", 1);
	fake_loop_advance(FIRST_MS);
	fake_http_push_silence("/tokens");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	memcpy(nonce, strstr(fake_state_record("intent", "db.1"),
	    "\"nonce\":\"") + 9, 32);
	push_list("id-1", installation(), nonce, 1);
	broker_job_forget(&(struct broker_job *){
	    broker_reconcile(w->broker, NULL, NULL, NULL) });
	fake_loop_run_pending();
	assert_int_equal(looks(), 2);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	heard_clear(&h);
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	struct heard *h = arg;

	h->answers++;
	if (err)
		h->err = *err;
	else
		h->generation = json_array_size(json_object_get(detail,
		    "backends"));
}

/* Revoked, and expired: in both cases a service may list it for ever. */
static void
test_what_is_over_is_no_orphan(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char nonce[33];

	get_first(w, nonce);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	broker_job_forget(&(struct broker_job *){
	    broker_revoke(w->broker, "db", 1, on_job, &h) });
	fake_loop_run_pending();
	assert_null(fake_state_record("generation", "db.1"));
	push_list("id-1", installation(), nonce, 30);
	fake_loop_advance(3 * HOUR_MS);
	world_crash(w);
	fake_loop_advance(12 * HOUR_MS);
	assert_true(looks() >= 5);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	assert_int_equal(world_count("DELETE", "/tokens"), 1);
	/* once it is not listed it need not be remembered */
	fake_http_drop_scripted();
	push_list(NULL, "", "", 2);
	fake_loop_advance(2 * HOUR_MS);
	assert_null(strstr(fake_state_record("reconcile", "prod"), nonce));
	fake_http_drop_scripted();
}

/* A token that was taken out of the configuration is still ours. */
static void
test_unconfigured_token_is_no_orphan(void **state)
{
	struct world *w = *state;
	static const char head[] = "[token db]\n";
	char nonce[33], *text, *at;

	get_first(w, nonce);
	text = conf_with("revoke");
	at = strstr(text, head);
	memmove(at, strstr(at, "[token db2]"),
	    strlen(strstr(at, "[token db2]")) + 1);
	world_reconfigure(w, world_load(text));
	push_list("id-1", installation(), nonce, 20);
	fake_loop_advance(2 * HOUR_MS);
	world_crash(w); /* now nothing claims its record */
	fake_loop_advance(2 * HOUR_MS);
	assert_true(looks() >= 3);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	assert_int_equal(world_count("DELETE", "/tokens"), 0);
	fake_http_drop_scripted();
	free(text);
}

/* One mint, two values: the one that is not ours is lost. But where the list
 * does not have ours at all, it may be ours under another name. */
static void
test_twin_of_a_held_value(void **state)
{
	struct world *w = *state;
	char nonce[33], *list;

	get_first(w, nonce);
	push_list("other-name", installation(), nonce, 1);
	fake_loop_advance(FIRST_MS);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	list = xasprintf("[{\"id\":\"twin\",\"description\":"
	    "\"[tokenbroker h/%s db #1 %s]\"},{\"id\":\"id-1\","
	    "\"description\":\"[tokenbroker h/%s db #1 %s]\"}]",
	    installation(), nonce, installation(), nonce);
	fake_http_push_json_for("/tokens", 200, list);
	fake_loop_advance(90 * MINUTE_MS);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 1);
	assert_int_equal(orphans(w), 1);
	free(list);
	fake_http_drop_scripted();
}

/* ----------------------------------------------------------------- missing */

static void
test_missing_value_is_probed(void **state)
{
	struct world *w = *state;
	struct broker_view view;
	char nonce[33];

	get_first(w, nonce);
	push_list(NULL, "", "", 1);
	fake_loop_advance(9 * MINUTE_MS);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 0);
	/* told after two lists, and dropped only because it is refused */
	push_list(NULL, "", "", 1);
	fake_http_push_json_for("/tokens/id-1", 404, "{\"code\":404,"
	    "\"message\":\"no such token\"}");
	fake_loop_advance(2 * MINUTE_MS);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 1);
	assert_int_equal(world_count("GET", "/probe"), 1);
	assert_true(broker_get(w->broker, "db", 0, &view));
	fake_http_push_json_for("/probe", 401, "{}");
	fake_loop_run_pending();
	assert_int_equal(fake_state_audits(AUDIT_REJECTED), 1);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	fake_http_drop_scripted();
}

/* A list may be cut: what it has not is asked for by its id. */
static void
test_unlisted_value_is_asked_for(void **state)
{
	static const char *const answers[] = {
		"{\"id\":\"id-1\",\"description\":\"x\"}",
		"{\"id\":\"id-1\",\"description\":\"x\",\"revokedAt\":"
		"\"2026-11-22T17:30:00Z\"}",
	};
	struct world *w = *state;
	struct broker_view view;
	char nonce[33];

	get_first(w, nonce);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_true(broker_get(w->broker, "db", 0, &view));
		fake_http_push_json_for("/tokens/id-1", 200, answers[i]);
		push_list(NULL, "", "", 6);
		for (int n = 0; n < 24 && world_count("GET", "/tokens/id-1") <=
		    i; n++)
			fake_loop_advance(10 * MINUTE_MS);
		assert_int_equal(world_count("GET", "/tokens/id-1"), i + 1);
		fake_http_drop_scripted();
		assert_int_equal(fake_state_audits(AUDIT_MISSING), 0);
		assert_int_equal(fake_state_audits(AUDIT_REJECTED), i);
	}
	assert_false(broker_get(w->broker, "db", 0, &view));
	fake_http_drop_scripted();
}

static void
test_missing_value_that_works_stays(void **state)
{
	struct world *w = *state;
	struct broker_view view;
	char nonce[33];

	get_first(w, nonce);
	push_list(NULL, "", "", 3);
	fake_http_push_json_for("/probe", 200, "{}");
	fake_loop_advance(100 * MINUTE_MS);
	assert_true(looks() >= 3);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 1);
	assert_int_equal(fake_state_audits(AUDIT_REJECTED), 0);
	assert_true(broker_get(w->broker, "db", 0, &view));
	fake_http_drop_scripted();
}

/* ---------------------------------------------------------------- when, who */

static void
test_nobody_pays(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_loop_advance(24 * HOUR_MS);
	assert_int_equal(fake_http_requests(), 0);
	broker_job_forget(&(struct broker_job *){
	    broker_reconcile(w->broker, "prod", NULL, NULL) });
	fake_loop_run_pending();
	(void)broker_reconcile(w->broker, "prod", on_job, &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_int_equal(fake_http_requests(), 0);
}

static void
test_failures_back_off(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 200; i++)
		fake_http_push_json_for("/tokens", 500, "{}");
	fake_loop_advance(24 * HOUR_MS);
	/* seconds at first, then an hour at most */
	assert_in_range(looks(), 24, 60);
	fake_http_drop_scripted();
	push_list(NULL, "", "", 3);
	fake_loop_advance(2 * HOUR_MS);
	assert_int_equal(orphans(w), 0);
	fake_http_drop_scripted();
}

static void
test_operator_asks(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	push_list(NULL, "", "", 1);
	fake_loop_advance(FIRST_MS);
	push_list(NULL, "", "", 1);
	(void)broker_reconcile(w->broker, "prod", on_job, &h);
	assert_int_equal(h.answers, 0);
	fake_loop_run_pending();
	assert_int_equal(looks(), 2);
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_OK);
	assert_int_equal(h.generation, 1);
	/* a backend that cannot list, one that is not there */
	(void)broker_reconcile(w->broker, "hand", on_job, &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_BADREQ);
	/* two that ask at once share a look; a stop in the middle is clean */
	fake_http_push_silence("/tokens");
	(void)broker_reconcile(w->broker, "prod", on_job, &h);
	(void)broker_reconcile(w->broker, "prod", on_job, &h);
	fake_loop_run_pending();
	assert_int_equal(looks(), 3);
}

/* A reload in the middle of a look: it begins anew, and who asked is told. */
static void
test_reload_during_a_look(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *text = conf_with("revoke");
	struct conf *next;

	fake_http_push_silence("/tokens");
	(void)broker_reconcile(w->broker, "prod", on_job, &h);
	fake_loop_run_pending();
	next = world_load(text);
	push_list("lost", installation(), NONCE, 1);
	world_reconfigure(w, next);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_OK);
	assert_int_equal(orphans(w), 1);
	/* and without its backend it rests */
	free(text);
	fake_http_push_silence("/tokens");
	(void)broker_reconcile(w->broker, "prod", on_job, &h);
	fake_loop_run_pending();
	next = world_load("[client all]\nuser = *\ntokens = *\n");
	world_reconfigure(w, next);
	fake_loop_advance(24 * HOUR_MS);
	assert_int_equal(h.answers, 2);
	assert_int_equal(h.err.code, TB_E_CANCELLED);
	assert_int_equal(looks(), 3);
}

/* ---------------------------------------------------------------- settling */

static json_t *
unsettled(struct world *w, const char *token)
{
	json_t *tokens = broker_status_tokens(w->broker), *t, *one = NULL;
	size_t i;

	json_array_foreach(tokens, i, t) {
		if (streq(json_string_value(json_object_get(t, "name")),
		    token))
			one = json_incref(json_array_get(json_object_get(t,
			    "unsettled"), 0));
	}
	json_decref(tokens);
	return one;
}

static void
lose_a_mint(struct world *w, char nonce[33])
{
	struct heard h = { .answers = 0 };

	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	memcpy(nonce, strstr(fake_state_record("intent", "db.1"),
	    "\"nonce\":\"") + 9, 32);
	nonce[32] = '\0';
}

/* What a lost reply left, at a service that lists it for ever: revoked, once
 * more because lists lag, and no more; and no orphan ever after. */
static void
test_settled_is_not_revoked_for_ever(void **state)
{
	struct world *w = *state;
	char nonce[33];

	lose_a_mint(w, nonce);
	push_list("late", installation(), nonce, 30);
	for (int i = 0; i < 5; i++)
		fake_http_push_json_for("/tokens/late", 204, "");
	fake_loop_advance(HOUR_MS);
	assert_null(fake_state_record("intent", "db.1"));
	fake_loop_advance(12 * HOUR_MS);
	assert_int_equal(world_count("DELETE", "/tokens/late"), 2);
	assert_int_equal(fake_state_audits(AUDIT_SETTLED), 1);
	assert_int_equal(fake_state_audits(AUDIT_ORPHAN), 0);
	fake_http_drop_scripted();
}

/* The service cannot be asked for all of settle_time: told as unsettled, and
 * settled when it can. */
static void
test_unsettled_while_nobody_can_look(void **state)
{
	struct world *w = *state;
	char nonce[33];
	json_t *one;

	lose_a_mint(w, nonce);
	for (int i = 0; i < 200; i++)
		fake_http_push_error_for("/tokens", TB_E_UNREACHED, "down");
	fake_loop_advance(5 * MINUTE_MS);
	assert_int_equal(fake_state_audits(AUDIT_UNSETTLED), 0);
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_UNSETTLED), 1);
	one = unsettled(w, "db");
	assert_string_equal(json_string_value(json_object_get(one, "state")),
	    "unsettled");
	json_decref(one);
	fake_http_drop_scripted();
	push_list(NULL, "", "", 5);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_SETTLED), 1);
	assert_null(unsettled(w, "db"));
	fake_http_drop_scripted();
}

static const char blind_conf[] =
    "[login ops]\n"
    "issuer = https://idp.test\n"
    "client_id = cli\n"
    "discovery = no\n"
    "device_endpoint = https://idp.test/device\n"
    "token_endpoint = https://idp.test/token\n"
    "identity = unverified\n"
    "[backend any]\n"
    "type = http\n"
    "login = ops\n"
    "mint_url = https://any.test/tokens\n"
    "mint_body = {\"d\":\"{description}\",\"e\":\"{expires_at}\"}\n"
    "[token db]\n"
    "backend = any\n"
    "lifetime = 6h\n"
    "renew_before = 2h\n"
    "[client all]\n"
    "user = *\n"
    "tokens = *\n";

/* A service without a list: nothing is asked of it, it is told once in the
 * audit log, and a few such mints are the last. */
static void
test_blind_mints_are_told_and_capped(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_stop(w);
	fake_state_seed("login", "ops", WORLD_GRANT(1795999999));
	world_start(w, blind_conf);
	for (int i = 0; i < 20; i++)
		fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_ask(w, "db", &h);
	fake_loop_advance(5 * HOUR_MS);
	heard_clear(&h);
	assert_int_equal(world_count("POST", "/tokens"), 3);
	assert_int_equal(world_count("GET", "/tokens"), 0);
	assert_int_equal(fake_state_audits(AUDIT_UNSETTLED), 3);
	/* over at its expiry */
	fake_http_drop_scripted();
	fake_loop_advance(2 * HOUR_MS);
	assert_null(unsettled(w, "db"));
	assert_int_equal(fake_state_audits(AUDIT_SETTLED), 3);
}

/* -------------------------------------------------------- the installation */

static void
test_installation_is_kept(void **state)
{
	struct world *w = *state;
	char before[INSTALLATION_LEN + 1];

	strcpy(before, installation());
	world_crash(w);
	assert_string_equal(installation(), before);
	fake_state_seed("installation", "self", "{\"v\":1,"
	    "\"id\":\"aaaaaaaaaaaaaaaa\",\"machine\":\"00000000\"}");
	world_crash(w);
	/* made on another machine */
	assert_string_not_equal(installation(), "aaaaaaaaaaaaaaaa");
	fake_state_seed("installation", "self", "{\"v\":7}");
	world_crash(w);
	assert_int_equal(strspn(installation(), "0123456789abcdef"),
	    INSTALLATION_LEN);
}

static void
test_installation_is_written_until_it_is_there(void **state)
{
	struct world *w = *state;

	broker_free(w->broker);
	fake_state_reset();
	fake_state_init(w->loop);
	fake_state_fail(3);
	w->broker = broker_new(&(struct broker_env){ .loop = w->loop,
	    .http = w->http, .seal = w->seal }, w->conf,
	    &(struct tb_error)TB_ERROR_INIT);
	fake_loop_run_pending();
	assert_null(fake_state_record("installation", "self"));
	fake_loop_advance(MINUTE_MS);
	assert_non_null(fake_state_record("installation", "self"));
}

int
main(void)
{
#define T(fn, how) cmocka_unit_test_setup_teardown(fn, setup_##how, teardown)
	const struct CMUnitTest tests[] = {
		T(test_orphan_is_told_once, report),
		T(test_orphan_is_told_once_by_two_backends, twins),
		T(test_orphan_is_revoked_after_settle_time, revoke),
		T(test_agreed_revocation_is_not_repeated, revoke),
		T(test_another_installation_is_left_alone, revoke),
		T(test_unreadable_records_forbid_revocation, revoke),
		T(test_quarantined_state_looks_at_nothing, revoke),
		T(test_failed_revocation_is_tried_again, revoke),
		T(test_refused_revocation_stops_no_other, revoke),
		T(test_what_is_held_is_no_orphan, revoke),
		T(test_mint_under_way_is_no_orphan, revoke),
		T(test_what_is_over_is_no_orphan, revoke),
		T(test_unconfigured_token_is_no_orphan, revoke),
		T(test_twin_of_a_held_value, report),
		T(test_missing_value_is_probed, report),
		T(test_unlisted_value_is_asked_for, report),
		T(test_missing_value_that_works_stays, report),
		T(test_nobody_pays, no_login),
		T(test_failures_back_off, report),
		T(test_operator_asks, report),
		T(test_reload_during_a_look, report),
		T(test_settled_is_not_revoked_for_ever, revoke),
		T(test_unsettled_while_nobody_can_look, report),
		T(test_blind_mints_are_told_and_capped, report),
		T(test_installation_is_kept, report),
		T(test_installation_is_written_until_it_is_there, report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
