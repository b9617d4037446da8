/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a look at a service's list (broker/reconcile) asks of a token: which
 * values it knows, and what it makes of one that the list has not. That alone
 * is no reason to drop a value: lists lag, are cut or paged. It is told, and a
 * probe decides where there is one.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/known.h"
#include "broker/mint.h"
#include "broker/settle.h"
#include "broker/token_int.h"
#include "conf.h"
#include "state/audit.h"

/* Whether the list of that kind of tokens should have it. */
static bool
should_be_listed(const struct token *t, const struct generation *g,
    const char *backend, enum backend_kind kind)
{
	return !t->parked && g->state == GENERATION_READY && !g->imported &&
	    streq(g->backend, backend) && generation_is_kind(g, kind);
}

void
token_collect_known(struct token *t, struct known *k, const char *backend,
    enum backend_kind kind)
{
	struct generation *g;
	struct settling *s;
	struct known_value *v;

	TAILQ_FOREACH(g, &t->gens, link) {
		v = known_add(k, g->nonce, g->id);
		if (v && should_be_listed(t, g, backend, kind)) {
			v->token = t;
			v->generation = g->number;
		}
	}
	if (t->fresh)
		known_add(k, t->fresh->nonce, t->fresh->id);
	if (t->mint)
		known_add(k, mint_nonce(t->mint), NULL);
	TAILQ_FOREACH(s, &t->settlings, link)
		known_add(k, settle_nonce(s->op), NULL);
}

static void
token_tell_missing(struct token *t, struct generation *g)
{
	g->missing_since = now_real_s();
	log_warn("token", "%s: '%s' does not list generation %" PRIu64
	    " any more, which is not over: somebody revoked it there, or the "
	    "list is not complete", t->tc->name, g->backend, g->number);
	token_audit_generation(t, g, AUDIT_MISSING, "not listed upstream");
	token_check_generation(t, g);
}

bool
token_was_listed(struct token *t, uint64_t number, bool listed,
    int64_t began_ms)
{
	struct generation *g = token_find(t, number);

	if (!g || g->state != GENERATION_READY)
		return false;
	if (listed) {
		if (g->missing_since)
			log_info("token", "%s: generation %" PRIu64 " is "
			    "listed again", t->tc->name, g->number);
		g->missing_ms = g->missing_since = 0;
		return false;
	}
	if (g->missing_since)
		return false;
	if (!g->missing_ms)
		g->missing_ms = MAX2(began_ms, g->born_ms);
	if (began_ms - g->missing_ms < t->conf->settle_time_ms)
		return true;
	token_tell_missing(t, g);
	return false;
}

unsigned
token_count_missing(const struct token *t)
{
	const struct generation *g;
	unsigned n = 0;

	TAILQ_FOREACH(g, &t->gens, link)
		n += g->missing_since != 0;
	return n;
}
