/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token for people: its state, and as a part of the inventory also who has
 * it and whom it hangs on.
 */
#include "base/now.h"
#include "broker/login.h"
#include "broker/settle.h"
#include "broker/status.h"
#include "broker/token_int.h"

static json_t *
token_status_settling(const struct token *t)
{
	json_t *list = json_array();
	struct settling *s;

	TAILQ_FOREACH(s, &t->settlings, link)
		json_array_append_new(list, settle_status(s->op));
	return list;
}

static const char *
token_state(const struct token *t)
{
	if (t->withheld)
		return "withheld";
	if (token_is_refused(t))
		return "refused";
	if (t->current)
		return t->mint || t->probing ? "renewing" : "ready";
	if (t->probing)
		return "probing";
	if (t->mint || t->fresh)
		return "minting";
	return t->last_error.code ? "failed" : "absent";
}

static json_t *
token_status_generations(const struct token *t, bool inventory)
{
	json_t *list = json_array(), *o;
	struct generation *g;

	TAILQ_FOREACH(g, &t->gens, link) {
		o = generation_status(g);
		if (inventory) {
			token_status_superseded(t, g, o);
			holders_status(&t->held.all, g->number,
			    t->env.unit_is_over, o);
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
token_status_rejection(const struct token_rejection *r)
{
	json_t *o = json_object();

	status_str(o, "by", r->by);
	status_int(o, "generation", (int64_t)r->generation);
	status_time(o, "at", r->at);
	status_str(o, "outcome", token_check_name(r->outcome));
	return o;
}

/* A value made by hand at the end of the chain of payers: whoever made it is
 * needed again when it ends. NULL: none. */
static const struct token *
token_made_by_hand(const struct token *t)
{
	while (t && !token_is_made_by_hand(t))
		t = t->tc->backend->management_token ?
		    broker_token(t->env.broker,
			t->tc->backend->management_token) : NULL;
	return t;
}

/* Whom it hangs on, and when that one has to act. Where that is not known:
 * not before what clients have now ends. */
static json_t *
token_status_human(const struct token *t)
{
	struct login *l = broker_payer_login(t->env.broker, t->tc->backend);
	const struct token *hand = l ? NULL : token_made_by_hand(t);
	struct login_numbers n;
	int64_t at = 0;
	json_t *o;

	if (!l && !hand)
		return NULL;
	o = json_object();
	if (l) {
		login_get_numbers(l, &n);
		at = n.human_needed_at;
		status_str(o, "login", login_name(l));
		status_str(o, "human", login_human(l));
	} else {
		status_str(o, "import", hand->tc->name);
		at = token_human_needed_at(hand);
	}
	status_time(o, "needed_at", at);
	if (!at && t->current)
		status_time(o, "not_needed_before", t->current->expires_at);
	return o;
}

static void
token_add_inventory(const struct token *t, json_t *o)
{
	const char *payer = t->tc->backend->management_token;
	json_t *human = token_status_human(t);

	if (!streq(payer, t->tc->name))
		status_str(o, "paid_by", payer);
	if (human)
		json_object_set_new(o, "depends_on", human);
	if (t->held.rejection.generation)
		json_object_set_new(o, "last_rejection",
		    token_status_rejection(&t->held.rejection));
}

json_t *
token_status(const struct token *t, bool inventory)
{
	json_t *o = json_object();

	status_str(o, "name", t->tc->name);
	status_str(o, "state", token_state(t));
	status_str(o, "backend", t->tc->backend->name);
	status_str(o, "type", t->tc->backend->ops->type);
	status_str(o, "login", t->tc->backend->login);
	if (t->current) {
		status_int(o, "generation", (int64_t)t->current->number);
		status_time(o, "expires_at", t->current->expires_at);
		status_time(o, "renew_at", token_renews_at(t));
	}
	token_add_ending(t, o);
	status_int(o, "outage_budget_seconds", token_outage_budget_s(t));
	json_object_set_new(o, "generations",
	    token_status_generations(t, inventory));
	json_object_set_new(o, "unsettled", token_status_settling(t));
	if (t->last_error.code) {
		status_str(o, "last_error", t->last_error.msg);
		status_str(o, "last_error_kind",
		    tb_error_name(t->last_error.code));
		status_time(o, "last_error_at", t->last_error_at);
	}
	token_add_probe(t, o);
	if (inventory)
		token_add_inventory(t, o);
	status_int(o, "mints", (int64_t)t->n_mints);
	status_int(o, "mint_failures", (int64_t)t->n_failures);
	return o;
}
