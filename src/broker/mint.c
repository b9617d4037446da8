/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See mint.h.
 *
 *   PAYING --bearer--> INTENT --durable--> CALLING --401, once--> PAYING
 *                                                  --reply------> (done)
 *
 * A create is not idempotent and its value is shown once. So the intent, whose
 * nonce goes into the token's description, is on disk before the request
 * leaves; when no usable answer comes back, the intent tells what to look for.
 */
#include "broker/mint.h"

#include <inttypes.h>

#include "base/now.h"
#include "broker/broker_int.h"
#include "broker/payer.h"
#include "conf.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

/* Values are some hundred bytes long. */
#define GENERATION_ROOM ((size_t)64 << 10)

struct mint {
	struct token_env env;
	const struct conf *conf; /* referenced */
	const struct token_conf *tc;
	uint64_t generation;
	int64_t min_valid_s;
	struct secret bearer;
	int64_t bearer_expires_at;
	struct payer *payer;
	struct writer_item *saving;
	struct backend_call *call;
	struct intent *intent; /* not NULL: its record is on disk */
	bool called;           /* a request may have reached the service */
	bool again;            /* the one retry after 401 is used */
	mint_done_fn *done;
	void *arg;
};

static void mint_pay(struct mint *m);

static bool
mint_needs_intent(const struct mint *m)
{
	const struct backend_conf *b = m->tc->backend;

	return !(b->ops->caps(b, &m->tc->recipe) & BACKEND_VALUE_IS_BEARER);
}

/* Does what it mints live until somebody ends it? */
static bool
mint_is_endless(const struct mint *m)
{
	const struct backend_conf *b = m->tc->backend;

	return b->ops->caps(b, &m->tc->recipe) & BACKEND_NO_EXPIRY;
}

static char *
mint_record(const struct mint *m)
{
	return xasprintf("%s.%" PRIu64, m->tc->name, m->generation);
}

static void
mint_audit(const struct mint *m, enum audit_event event, const char *reason)
{
	struct audit_rec rec = {
		.event = event,
		.token = m->tc->name,
		.generation = m->generation,
		.backend = m->tc->backend->name,
		.login = m->tc->backend->login,
		.nonce = m->intent ? m->intent->nonce : NULL,
		.expires_at = m->intent ? m->intent->expires_at : 0,
		.reason = reason,
	};

	audit_note(m->env.audit, &rec);
}

static void
mint_free(struct mint *m)
{
	payer_cancel(&m->payer);
	writer_forget(&m->saving);
	backend_call_cancel(&m->call);
	secret_clear(&m->bearer);
	intent_free(m->intent);
	conf_unref(m->conf);
	free(m);
}

static void
mint_fail(struct mint *m, bool uncertain, const struct tb_error *err)
{
	struct intent *open = NULL;
	char *record _cleanup_free_ = mint_record(m);

	mint_audit(m, AUDIT_MINT_FAILED, uncertain ? "uncertain" :
	    tb_error_name(err->code));
	if (m->intent && uncertain)
		open = STEAL(m->intent);
	else if (m->intent)
		store_delete(m->env.store, "intent", record, NULL, NULL);
	broker_count_mint(m->env.broker, false);
	if (!m->called)
		broker_did_not_mint(m->env.broker, m->tc->name);
	m->done(m->arg, NULL, &open, err);
	intent_free(open);
	mint_free(m);
}

static void
mint_succeed(struct mint *m, struct backend_run *run)
{
	struct mint_result r = {
		.expires_at = run->expires_at,
		.tc = m->tc,
	};
	struct intent *none = NULL;

	r.endless = mint_is_endless(m) || run->minted_endless;
	secret_move(&r.value, &run->token);
	r.id = STEAL(run->minted_id);
	/* the service may grant less time than was asked for, never more than
	 * we account for */
	if (run->minted_expires_at &&
	    (!r.expires_at || run->minted_expires_at < r.expires_at))
		r.expires_at = run->minted_expires_at;
	if (m->intent)
		memcpy(r.nonce, m->intent->nonce, sizeof(r.nonce));
	broker_count_mint(m->env.broker, true);
	m->done(m->arg, &r, &none, NULL);
	secret_clear(&r.value);
	free(r.id);
	mint_free(m);
}

static void
mint_on_called(void *arg, struct backend_run *run, const struct tb_error *err)
{
	struct mint *m = arg;
	struct tb_error why;

	m->call = NULL;
	m->called |= !err || err->code != TB_E_UNREACHED;
	if (!err) {
		payer_worked(&m->env, m->tc->backend);
		mint_succeed(m, run);
	} else if (run->unauthorized && !m->again) {
		m->again = true;
		payer_refused(&m->env, m->tc->backend, &m->bearer);
		mint_pay(m);
	} else {
		why = *err;
		if (run->unauthorized)
			payer_gave_up(&m->env, m->tc->backend, &m->bearer,
			    &why);
		mint_fail(m, run->uncertain, &why);
	}
}

static void
mint_call(struct mint *m)
{
	struct backend_run run = {
		.verb = BACKEND_MINT,
		.conf = m->tc->backend,
		.recipe = &m->tc->recipe,
		.bearer_expires_at = m->bearer_expires_at,
		.now_s = now_real_s(),
		.as_client = payer_as_client,
		.as_client_arg = m->env.broker,
	};

	secret_dup(&run.bearer, &m->bearer);
	if (m->intent) {
		run.expires_at = m->intent->expires_at;
		run.description = intent_description(m->intent,
		    m->tc->description, m->env.installation->id,
		    m->tc->name);
	}
	m->call = backend_call_start(m->env.loop, m->env.http, &run,
	    mint_on_called, m);
}

static void
mint_on_intent(void *arg, const struct tb_error *err)
{
	struct mint *m = arg;
	struct tb_error why;

	m->saving = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "nothing was minted, because the intent "
		    "cannot be written down");
		why.code = TB_E_UNREACHED;
		mint_fail(m, false, &why);
		return;
	}
	mint_call(m);
}

static void
mint_on_paid(void *arg, const struct secret *bearer, int64_t expires_at,
    const struct tb_error *err)
{
	struct mint *m = arg;
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	char *record _cleanup_free_ = mint_record(m);
	int64_t now = now_real_s();

	m->payer = NULL;
	if (err) {
		mint_fail(m, false, err);
		return;
	}
	secret_dup(&m->bearer, bearer);
	m->bearer_expires_at = expires_at;
	if (m->intent || !mint_needs_intent(m)) {
		mint_call(m);
		return;
	}
	m->intent = intent_new(m->generation, m->tc->backend->name, now,
	    now + m->tc->lifetime_ms / 1000);
	m->intent->endless = mint_is_endless(m);
	mint_audit(m, AUDIT_MINT_INTENT, NULL);
	intent_encode(m->intent, &plain);
	m->saving = store_put_ahead(m->env.store, "intent", record, &plain,
	    "generation", GENERATION_ROOM, mint_on_intent, m);
}

static void
mint_pay(struct mint *m)
{
	m->payer = payer_start(&m->env, m->tc->backend, m->min_valid_s,
	    mint_on_paid, m);
}

struct mint *
mint_start(const struct token_env *env, const struct conf *conf,
    const struct token_conf *tc, uint64_t generation, int64_t min_valid_s,
    mint_done_fn *done, void *arg)
{
	struct mint *m = xnew(struct mint);

	m->env = *env;
	m->conf = conf_ref(conf);
	m->tc = tc;
	m->generation = generation;
	m->min_valid_s = min_valid_s;
	m->done = done;
	m->arg = arg;
	mint_pay(m);
	return m;
}

const struct conf *
mint_conf(const struct mint *m, const struct token_conf **tc)
{
	*tc = m->tc;
	return m->conf;
}

void
mint_cancel(struct mint **mp)
{
	struct mint *m = STEAL(*mp);

	if (m)
		mint_free(m);
}

const char *
mint_nonce(const struct mint *m)
{
	return m->intent ? m->intent->nonce : NULL;
}

struct intent *
mint_abandon(struct mint **mp)
{
	struct mint *m = STEAL(*mp);
	struct intent *open = NULL;
	char *record _cleanup_free_ = m ? mint_record(m) : NULL;

	if (!m)
		return NULL;
	if (m->call)
		open = STEAL(m->intent);
	else if (m->intent)
		store_delete(m->env.store, "intent", record, NULL, NULL);
	mint_free(m);
	return open;
}
