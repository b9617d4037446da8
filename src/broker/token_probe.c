/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a fresh value work yet? Until its service says so it is not released.
 *
 *   PROBING --2xx--> READY
 *           --401, no answer--> again, with back-off
 *           --404 and its like--> again, but whoever waits is told
 *
 * 401 is what activation looks like, for minutes. Any other refusal is most
 * likely an answer to a wrong question, which time does not mend: it is told at
 * once, once for each status, with the key that asks it.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "base/timefmt.h"
#include "broker/status.h"
#include "broker/token_int.h"
#include "broker/upstream.h"
#include "state/audit.h"

#define PROBE_BACKOFF_BASE_MS 500
#define PROBE_BACKOFF_CAP_MS 30000
/* Documented activation takes minutes; longer than this is worth a line. */
#define PROBE_SLOW_MS (10 * 60 * 1000)
#define NOTHING_TOLD (-1)

static void token_probe(struct token *t);

static bool
token_can_probe(const struct token *t)
{
	const struct backend_conf *b = t->tc->backend;

	return t->tc->probe && (b->ops->caps(b, &t->tc->recipe) &
	    BACKEND_CAN_PROBE);
}

/* ------------------------------------------------------------ what is told */

/* The question is wrong, and the same answer will come again. 403 may be how a
 * service says that it does not know the value yet. */
static bool
is_hopeless(int status)
{
	return status >= 300 && status < 500 && status != 401 &&
	    status != 403 && status != 408 && status != 425 && status != 429;
}

bool
token_probe_is_hopeless(const struct token *t, struct tb_error *err)
{
	if (!t->probing || !is_hopeless(t->probe_status))
		return false;
	*err = t->last_error;
	err->retry_after_ms = PROBE_BACKOFF_CAP_MS;
	return true;
}

/* Which key asks it, and where that stands. */
static char *
probe_key(const struct token *t)
{
	const struct backend_conf *b = t->tc->backend;

	return xasprintf("%s of [backend %s]%s%s%s",
	    b->probe_url || b->probe.url ? "probe_url" : "base_url", b->name,
	    b->where ? " (" : "", b->where ? b->where : "",
	    b->where ? ")" : "");
}

static void
probe_why(const struct token *t, int status, struct tb_error *err)
{
	char *key _cleanup_free_ = probe_key(t);
	const char *asked = t->probe_asked ? t->probe_asked : "?";
	enum tb_errc code = is_hopeless(status) ? TB_E_UPSTREAM :
	    TB_E_TRANSIENT;

	if (status == 401)
		tb_error_set(err, code, "generation %" PRIu64 " is not "
		    "released: %.100s does not know it yet (HTTP 401)",
		    t->probing->number, asked);
	else if (status == 403)
		tb_error_set(err, code, "generation %" PRIu64 " is not "
		    "released: its probe of %.90s answers HTTP 403; let %.110s "
		    "ask for what it may do, or set probe = none and "
		    "activate_after", t->probing->number, asked, key);
	else if (is_hopeless(status))
		tb_error_set(err, code, "generation %" PRIu64 " is not "
		    "released: its probe of %.90s answers HTTP %d; look at "
		    "%.110s, or set probe = none and activate_after",
		    t->probing->number, asked, status, key);
	else
		tb_error_set(err, code, "generation %" PRIu64 " is not "
		    "released yet: its probe of %.100s answers HTTP %d",
		    t->probing->number, asked, status);
}

static void
token_tell_probe(struct token *t, const struct backend_run *run,
    const struct tb_error *err)
{
	int64_t since = now_boot_ms() - t->probe_since_ms;

	t->probe_status = err ? 0 : run->answered;
	str_set(&t->probe_asked, run->asked);
	if (t->probe_told == t->probe_status ||
	    (t->probe_status == 401 && since <= PROBE_SLOW_MS))
		return;
	t->probe_told = t->probe_status;
	t->last_error_at = now_real_s();
	if (err) {
		t->last_error = *err;
		tb_error_wrap(&t->last_error, "generation %" PRIu64 " is not "
		    "released yet", t->probing->number);
	} else {
		probe_why(t, t->probe_status, &t->last_error);
	}
	log_warn("token", "%s: %s", t->tc->name, t->last_error.msg);
	if (is_hopeless(t->probe_status)) {
		t->last_error.retry_after_ms = PROBE_BACKOFF_CAP_MS;
		token_waiters_fail(t, &t->last_error);
	}
	token_make_plan(t);
}

static void
token_forget_probe(struct token *t)
{
	if (t->probe_told != NOTHING_TOLD)
		t->last_error = (struct tb_error)TB_ERROR_INIT;
	t->probe_told = NOTHING_TOLD;
	t->probe_status = 0;
	str_set(&t->probe_asked, NULL);
}

void
token_add_probe(const struct token *t, json_t *o)
{
	json_t *p;

	if (!t->probing || !t->probe_asked)
		return;
	p = json_object();
	status_int(p, "generation", (int64_t)t->probing->number);
	status_time(p, "since", t->probe_since);
	status_str(p, "url", t->probe_asked);
	if (t->probe_status)
		status_int(p, "status", t->probe_status);
	json_object_set_new(o, "probe", p);
}

/* -------------------------------------------------------------- probing */

void
token_take_over(struct token *t, const struct generation *g)
{
	if (g->number > 1)
		token_audit_generation(t, g, AUDIT_RENEWED, NULL);
	token_choose_current(t);
}

static void
token_make_ready(struct token *t)
{
	struct generation *g = STEAL(t->probing);

	loop_timer_stop(&t->probe_timer);
	token_forget_probe(t);
	g->state = GENERATION_READY;
	log_info("token", "%s: generation %" PRIu64 " is ready", t->tc->name,
	    g->number);
	token_save_generation(t, g, NULL, NULL, NULL);
	token_take_over(t, g);
	token_look_at_grant(t); /* lost while it was made? */
}

static void
token_on_probed(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct token *t = arg;

	t->probe = NULL;
	if (!err && run->probe == BACKEND_PROBE_YES) {
		token_make_ready(t);
		return;
	}
	loop_timer_set(&t->probe_timer, backoff_next(&t->probe_backoff,
	    err ? err->retry_after_ms : 0));
	token_tell_probe(t, run, err);
}

static void
token_probe(struct token *t)
{
	struct backend_run run = { .verb = BACKEND_PROBE };

	secret_dup(&run.value, &t->probing->value);
	t->probe = upstream_start(&t->env, t->conf, t->tc, &run,
	    token_on_probed, t);
}

static void
token_on_probe_timer(void *arg)
{
	struct token *t = arg;

	if (token_can_probe(t))
		token_probe(t);
	else
		token_make_ready(t); /* activate_after has passed */
}

void
token_probe_stop(struct token *t)
{
	upstream_cancel(&t->probe);
	loop_timer_stop(&t->probe_timer);
	token_forget_probe(t);
	t->probing = NULL;
}

void
token_resume_probe(struct token *t, struct generation *g)
{
	/* minted by an older configuration: no other service is shown it, and
	 * it is not released */
	if (t->parked || !streq(g->backend, t->tc->backend->name)) {
		token_choose_current(t);
		return;
	}
	t->probing = g;
	t->probe_since_ms = now_boot_ms();
	t->probe_since = now_real_s();
	backoff_reset(&t->probe_backoff);
	if (token_can_probe(t))
		token_probe(t);
	else if (t->tc->activate_after_ms > 0)
		loop_timer_set(&t->probe_timer, t->tc->activate_after_ms);
	else
		token_make_ready(t);
}

void
token_probe_init(struct token *t)
{
	t->probe_told = NOTHING_TOLD;
	loop_timer_init(&t->probe_timer, t->env.loop, token_on_probe_timer, t);
	t->probe_backoff = (struct backoff)BACKOFF_INIT(PROBE_BACKOFF_BASE_MS,
	    PROBE_BACKOFF_CAP_MS);
}
