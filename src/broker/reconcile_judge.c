/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a list means. Others' descriptions are others' text: only the parts of
 * a mark are taken from them, and only in the form in which we write them.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/broker_int.h"
#include "broker/known.h"
#include "broker/reconcile_int.h"

void
reconcile_audit(struct reconcile *r, const struct orphan *o,
    enum audit_event event, const char *reason)
{
	struct audit_rec rec = {
		.event = event,
		.token = o->mark.token,
		.generation = o->mark.generation,
		.token_id = o->id,
		.backend = r->name,
		.nonce = o->mark.nonce,
		.reason = reason,
	};

	audit_durable(r->env.audit, &rec, NULL, NULL);
}

/* Whoever had our former number may still have it. */
static bool
is_former(const struct reconcile *r, const struct intent_mark *mark)
{
	return *mark->installation && streq(mark->installation,
	    r->env.installation->former);
}

static bool
is_ours(const struct reconcile *r, const struct intent_mark *mark)
{
	return streq(mark->installation, r->env.installation->id) ||
	    is_former(r, mark);
}

/* One nonce is one mint: with the same id as well it is one value, whatever the
 * backends are called. */
bool
reconcile_has_told(struct reconcile *r, struct reconcile *by, const char *id,
    const char *nonce)
{
	struct orphan *o = orphan_find(&r->book, id);

	if (r == by || r->rests || !o || !streq(o->mark.nonce, nonce))
		return false;
	if (by->bc->revoke_orphans && !r->bc->revoke_orphans &&
	    !o->revoked_at && orphan_move(&r->book, &by->book, o))
		orphan_find(&by->book, id)->seen = true;
	return true;
}

static void
reconcile_found(struct reconcile *r, const struct backend_listed *item,
    const struct intent_mark *mark)
{
	struct orphan *o = orphan_find(&r->book, item->id);

	if (!o && broker_has_told(r->env.broker, r, item->id, mark->nonce))
		return;
	if (!o) {
		o = orphan_add(&r->book, item->id, mark);
		if (!o) {
			r->book.n_untold++;
			return;
		}
		o->kind = r->look.recipe.kind;
		o->created_at = item->created_at;
		o->first_seen = now_real_s();
		o->first_ms = r->began_ms;
		o->former = is_former(r, mark);
		r->counts.found++;
		log_warn("reconcile", "%s: token %s there is marked as made "
		    "here for '%s', generation %" PRIu64 ", and nothing here "
		    "knows it%s", r->name, o->id, mark->token,
		    mark->generation, o->former ? "; it was made before this "
		    "state was adopted, and another host may use it" :
		    r->bc->revoke_orphans ?
		    "; it is revoked when it is still there in a while" :
		    "; if nobody uses it, revoke it there");
		reconcile_audit(r, o, AUDIT_ORPHAN, "not known here");
	}
	o->seen = true;
}

/* The value that is listed is this one. False: it is another one of the same
 * nonce. */
static bool
known_take(struct known *k, struct known_value *v, const char *id)
{
	bool fits = false;

	for (const char *nonce = v->nonce; v < k->v + k->n &&
	    streq(v->nonce, nonce); v++) {
		if (v->id && !streq(v->id, id))
			continue;
		v->listed = true;
		fits = true;
	}
	return fits;
}

static const struct backend_listed *
list_find_id(const struct backend_run *run, const char *id)
{
	for (size_t i = 0; id && i < run->n_listed; i++) {
		if (streq(run->listed[i].id, id))
			return &run->listed[i];
	}
	return NULL;
}

/* One mint that made two values: the other one is an orphan, but only where
 * the list has ours as well. A service that calls a value one thing when it
 * makes it and another in its list shall not cost us a value that is used. */
static bool
is_twin(const struct known *k, const struct known_value *v)
{
	for (const char *nonce = v->nonce; v < k->v + k->n &&
	    streq(v->nonce, nonce); v++) {
		if (!v->id || !v->listed)
			return false;
	}
	return true;
}

static void
reconcile_judge_unknown(struct reconcile *r, const struct backend_listed *item,
    const struct intent_mark *mark)
{
	struct retired *over = orphan_find_retired(&r->book, mark->nonce,
	    item->id);

	if (over)
		over->seen = true;
	else if (is_ours(r, mark))
		reconcile_found(r, item, mark);
}

static void
reconcile_judge(struct reconcile *r, struct known *k,
    const struct backend_listed *item, bool twins)
{
	struct intent_mark mark;
	struct known_value *v;

	if (item->dead || !item->id ||
	    !intent_read_mark(item->description, &mark))
		return;
	v = known_find(k, mark.nonce);
	if (twins) {
		if (v && !known_take(k, v, item->id) && is_twin(k, v))
			reconcile_judge_unknown(r, item, &mark);
		return;
	}
	if (is_ours(r, &mark))
		r->counts.ours++;
	else if (!v)
		r->counts.others++;
	if (!v)
		reconcile_judge_unknown(r, item, &mark);
	else
		known_take(k, v, item->id);
}

static void
reconcile_judge_missing(struct reconcile *r, struct known *k,
    const struct backend_run *run)
{
	for (size_t i = 0; i < k->n; i++) {
		struct known_value *v = &k->v[i];
		const struct backend_listed *item;

		if (!v->token)
			continue;
		/* its description may have been edited there: then its id
		 * still tells */
		item = list_find_id(run, v->id);
		v->listed |= item && !item->dead;
		if (item && item->revoked && !v->listed) {
			token_was_revoked(v->token, v->generation);
			continue;
		}
		if (token_was_listed(v->token, v->generation, v->listed,
		    r->began_ms))
			r->suspects = true;
	}
}

void
reconcile_judge_list(struct reconcile *r, const struct backend_run *run)
{
	struct known k = { NULL, 0 };

	r->counts.listed += run->n_listed;
	broker_collect_known(r->env.broker, &k, r->name, r->look.recipe.kind);
	known_sort(&k);
	for (int twins = 0; twins <= 1; twins++) {
		for (size_t i = 0; i < run->n_listed; i++)
			reconcile_judge(r, &k, &run->listed[i], twins);
	}
	reconcile_judge_missing(r, &k, run);
	if (broker_judge_imported(r->env.broker, r->name, r->look.recipe.kind,
		run, r->began_ms))
		r->suspects = true;
	known_clear(&k);
}
