/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker_own_jobs - what is asked of a recipe is done for the tokens of its
 * holders, too, and for those that are leased.
 */
#include <inttypes.h>

#include "base/tb_error.h"
#include "broker/broker_job.h"
#include "broker/status.h"

static bool
is_of(struct broker *b, const struct token *t, const struct token *recipe)
{
	return t == recipe || broker_recipe(b, (struct token *)(uintptr_t)t) ==
	    recipe;
}

struct broker_job *
broker_own_revoke(struct broker_job *j, struct token *recipe,
    uint64_t generation)
{
	struct broker *b = j->broker;

	if (generation)
		return broker_job_refuse(j, "each holder has generations of its "
		    "own: name the one, as in NAME@unit:UNIT.service, of",
		    token_name(recipe));
	if (broker_job_is_held(j))
		return j;
	for (size_t i = 0; i < b->n_tokens; i++)
		j->open += is_of(b, b->tokens[i], recipe);
	for (size_t i = 0; i < b->n_tokens; i++) {
		if (is_of(b, b->tokens[i], recipe))
			token_revoke(b->tokens[i], 0, "revoked by an operator",
			    broker_job_on_revoked, j);
	}
	return j;
}

static void
rotate_end(struct broker_job *j)
{
	json_t *o;

	if (j->failed == j->n_turns) {
		broker_job_end(j, NULL, &j->last);
		return;
	}
	o = json_object();
	status_str(o, "token", j->name);
	status_int(o, "holders", (int64_t)(j->n_turns - j->failed));
	status_int(o, "failed", j->failed);
	if (j->failed)
		status_str(o, "last_error", j->last.msg);
	broker_job_end(j, o, NULL);
}

static void
own_on_rotated(void *arg, const struct broker_view *view,
    const struct tb_error *err)
{
	struct job_turn *turn = arg;
	struct broker_job *j = turn->job;

	turn->waiter = NULL;
	if (err) {
		j->failed++;
		j->last = *err;
	}
	if (--j->open == 0)
		rotate_end(j);
}

struct broker_job *
broker_own_rotate(struct broker_job *j, struct token *recipe)
{
	struct broker *b = j->broker;
	struct job_turn *turn;

	j->turns = xcalloc(b->n_tokens, sizeof(*j->turns));
	for (size_t i = 0; i < b->n_tokens; i++) {
		if (b->tokens[i] == recipe || token_is_lease(b->tokens[i]) ||
		    !is_of(b, b->tokens[i], recipe))
			continue;
		turn = &j->turns[j->n_turns++];
		turn->job = j;
		j->open++;
		turn->waiter = token_rotate(b->tokens[i], own_on_rotated,
		    turn);
	}
	if (j->n_turns == 0)
		return broker_job_refuse(j, "no holder has one yet", j->name);
	return j;
}
