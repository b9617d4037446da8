/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who was given which generation of a token, over restarts.
 *
 * The record holders/NAME is "complete" when nobody has anything that it does
 * not name. Before the first release that it does not name it is written as
 * incomplete; a few seconds later, with all that has come by then, as complete
 * again. All writes are in order, so in mode `strict`, where a release waits
 * for its audit record, that first write is durable before the release. In
 * mode `relaxed` no release waits for anything, and the record stays
 * incomplete until the daemon stops in an orderly way.
 *
 * A start that finds an incomplete record, or none, does not know who else has
 * the generations of that time, and says so of each.
 */
#include "broker/token_holders.h"

#include "base/log.h"
#include "base/now.h"
#include "base/principal.h"
#include "broker/holder.h"
#include "broker/status.h"
#include "broker/token_int.h"
#include "lib/jsonx.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

#define KIND "holders"
/* How long what comes together is written together. */
#define SAVE_MS 5000
/* A disk that takes longer for one write is in trouble. */
#define SLOW_MS 100
/* With the table full: how often it is looked at who is gone. */
#define SWEEP_MS 60000

/* ------------------------------------------------------------------ record */

static void
put_superseded(const struct token *t, json_t *o)
{
	json_t *list = json_array(), *one;
	const struct generation *g;

	TAILQ_FOREACH(g, &t->gens, link) {
		if (!g->superseded_at)
			continue;
		one = json_object();
		status_int(one, "generation", (int64_t)g->number);
		status_int(one, "at", g->superseded_at);
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "superseded", list);
}

static void
put_rejection(const struct token_rejection *r, json_t *o)
{
	json_t *one;

	if (!r->generation)
		return;
	one = json_object();
	status_str(one, "by", r->by);
	status_int(one, "generation", (int64_t)r->generation);
	status_int(one, "at", r->at);
	status_int(one, "outcome", (int64_t)r->outcome);
	json_object_set_new(o, "rejection", one);
}

static void
on_put(void *arg, const struct tb_error *err)
{
	struct token *t = arg;

	t->held.item = NULL;
	if (!err)
		return;
	log_warn("token", "%s: who holds it cannot be written down: %s; that "
	    "is tried again", t->tc->name, err->msg);
	t->held.dirty = true;
	loop_timer_set(&t->held.save, SAVE_MS);
}

static void
holders_put(struct token *t, bool complete)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	json_t *o _cleanup_json_ = json_object();
	struct token_held *h = &t->held;

	holders_encode(&h->all, store_boot_id(t->env.store), complete, o);
	put_superseded(t, o);
	put_rejection(&h->rejection, o);
	jsonx_dump(o, &plain);
	writer_forget(&h->item);
	h->complete = complete;
	h->dirty = false;
	h->stored = true;
	h->put_ms = now_boot_ms();
	h->item = store_put(t->env.store, KIND, t->tc->name, &plain, on_put,
	    t);
}

static void
on_save(void *arg)
{
	struct token *t = arg;

	if (t->held.item) /* one at a time */
		loop_timer_set(&t->held.save, SAVE_MS);
	else
		holders_put(t, audit_is_strict(t->env.audit));
}

static void
save_soon(struct token *t)
{
	t->held.dirty = true;
	if (!loop_timer_is_set(&t->held.save))
		loop_timer_set(&t->held.save, SAVE_MS);
}

/* A disk that does not keep up must not hold up the stop: the next start is
 * then one after a crash. */
void
token_held_flush(struct token *t)
{
	struct token_held *h = &t->held;

	if (h->item && now_boot_ms() - h->put_ms > SLOW_MS)
		return;
	if (h->known && (h->dirty || !h->complete) && !TAILQ_EMPTY(&t->gens))
		holders_put(t, true);
}

/* ----------------------------------------------------------------- restart */

static int
decode_superseded(struct token_held *h, const json_t *o, struct tb_error *err)
{
	const json_t *list = json_object_get(o, "superseded"), *one;
	int64_t generation, at;

	for (size_t i = 0; i < json_array_size(list); i++) {
		one = json_array_get(list, i);
		if (jsonx_int(one, "generation", &generation, err) < 0 ||
		    jsonx_int(one, "at", &at, err) < 0)
			return -1;
		h->past = xreallocarray(h->past, h->n_past + 1,
		    sizeof(*h->past));
		h->past[h->n_past++] = (struct token_past){
			(uint64_t)generation, at };
	}
	return 0;
}

static int
decode_rejection(struct token_rejection *r, const json_t *o,
    struct tb_error *err)
{
	const json_t *one = json_object_get(o, "rejection");
	int64_t generation, outcome;
	const char *by;

	if (!one)
		return 0;
	if (jsonx_str(one, "by", &by, err) < 0 ||
	    jsonx_int(one, "generation", &generation, err) < 0 ||
	    jsonx_int(one, "at", &r->at, err) < 0 ||
	    jsonx_int(one, "outcome", &outcome, err) < 0)
		return -1;
	snprintf(r->by, sizeof(r->by), "%s", by);
	r->generation = (uint64_t)generation;
	/* what was under way ended with the daemon */
	r->outcome = outcome > TOKEN_CHECK_PENDING &&
	    outcome < TOKEN_N_CHECKS ? (enum token_check)outcome :
	    TOKEN_CHECK_UNCLEAR;
	return 0;
}

void
token_restore_held(struct token *t, struct secret *plain)
{
	struct tb_error err = TB_ERROR_INIT;
	struct token_held *h = &t->held;
	json_t *o _cleanup_json_ = jsonx_parse_object(plain, &err);

	h->stored = true;
	if (o && holders_decode(&h->all, o, store_boot_id(t->env.store),
	    &h->complete, &err) == 0 && decode_superseded(h, o, &err) == 0 &&
	    decode_rejection(&h->rejection, o, &err) == 0)
		return;
	log_error("token", "%s: record " KIND "/%s cannot be used: %s",
	    t->tc->name, t->tc->name, err.msg);
	h->complete = false;
}

/* Since when, by the clock that nobody sets. A wall clock that was set back
 * meanwhile makes it later, never earlier than it was. */
static void
restore_superseded(struct token *t)
{
	struct token_held *h = &t->held;
	int64_t ago;

	for (size_t i = 0; i < h->n_past; i++) {
		struct generation *g = token_find(t, h->past[i].generation);

		if (!g)
			continue;
		ago = MAX2(now_real_s() - h->past[i].at, 0);
		g->superseded_at = h->past[i].at;
		g->superseded_ms = now_boot_ms() - ago * 1000;
	}
	free(STEAL(h->past));
	h->n_past = 0;
}

static bool
is_there(void *arg, uint64_t generation)
{
	return token_find(arg, generation) != NULL;
}

void
token_held_activate(struct token *t)
{
	struct token_held *h = &t->held;
	struct generation *g;

	if (h->known) /* it was only parked */
		return;
	h->known = true;
	restore_superseded(t);
	holders_keep_only(&h->all, is_there, t);
	if (h->complete && !store_is_quarantined(t->env.store))
		return;
	TAILQ_FOREACH(g, &t->gens, link)
		holders_are_unsure(&h->all, g->number);
}

/* ---------------------------------------------------------------- releases */

static enum holding_kind
kind_of(const char *delivery)
{
	static const char *const run[] = { "static", "memfd", "environment",
		"stdout", "secrets" };

	if (!delivery || streq(delivery, "vault"))
		return HOLDING_FETCHED;
	for (size_t i = 0; i < ARRAY_SIZE(run); i++)
		if (streq(delivery, run[i]))
			return HOLDING_RUN;
	return HOLDING_KEPT;
}

static void
make_room(struct token *t)
{
	struct token_held *h = &t->held;
	int64_t now = now_boot_ms();

	if (h->all.n_pairs < HOLDERS_MAX ||
	    (h->swept_ms && now - h->swept_ms < SWEEP_MS))
		return;
	h->swept_ms = now;
	holders_forget_over(&h->all, t->env.unit_is_over);
}

void
token_hold(struct token *t, uint64_t generation, const struct principal *who,
    unsigned door, const char *delivery)
{
	struct token_held *h = &t->held;
	char name[HOLDER_NAME_SIZE];
	const struct holders_release r = {
		.name = holder_name(who, name),
		.generation = generation,
		.door = door,
		.kind = kind_of(delivery),
		.run = who->invocation,
		.now_s = now_real_s(),
	};

	make_room(t);
	if (!holders_note(&h->all, &r)) {
		h->dirty = true; /* with the next news */
		return;
	}
	if (h->complete || !h->stored)
		holders_put(t, false);
	save_soon(t);
	token_superseded_soon(t);
}

void
token_held_current(struct token *t, bool changed)
{
	struct token_held *h = &t->held;

	if (!h->known)
		return;
	if (!audit_is_strict(t->env.audit) && (h->complete || !h->stored))
		holders_put(t, false);
	if (changed || !h->stored || !h->complete)
		save_soon(t);
}

void
token_held_drop(struct token *t, uint64_t generation)
{
	struct token_held *h = &t->held;

	holders_forget_generation(&h->all, generation);
	if (!TAILQ_EMPTY(&t->gens)) {
		save_soon(t);
		return;
	}
	loop_timer_stop(&h->save);
	writer_forget(&h->item);
	if (h->stored)
		store_delete(t->env.store, KIND, t->tc->name, NULL, NULL);
	h->stored = h->complete = h->dirty = false;
}

/* --------------------------------------------------------------- rejection */

void
token_note_rejection(struct token *t, uint64_t generation,
    const struct principal *who, enum token_check outcome)
{
	struct token_rejection *r = &t->held.rejection;

	if (who)
		holder_name(who, r->by);
	else
		snprintf(r->by, sizeof(r->by), "tokenbrokerd");
	/* it was looked into a moment ago: that still counts */
	if (outcome != TOKEN_CHECK_RECENT)
		r->outcome = outcome;
	else if (r->generation != generation)
		r->outcome = TOKEN_CHECK_UNCLEAR;
	r->generation = generation;
	r->at = now_real_s();
	save_soon(t);
}

void
token_rejection_checked(struct token *t, uint64_t generation,
    enum token_check outcome)
{
	struct token_rejection *r = &t->held.rejection;

	if (r->generation != generation || r->outcome != TOKEN_CHECK_PENDING)
		return;
	r->outcome = outcome;
	save_soon(t);
}

const char *
token_check_name(enum token_check outcome)
{
	static const char *const names[] = {
		[TOKEN_CHECK_PENDING] = "pending",
		[TOKEN_CHECK_REFUSED] = "refused",
		[TOKEN_CHECK_WORKS] = "works",
		[TOKEN_CHECK_UNCLEAR] = "unclear",
		[TOKEN_CHECK_NONE] = "not_probed",
	};

	return names[outcome];
}

/* ------------------------------------------------------------------- life */

void
token_held_init(struct token *t)
{
	loop_timer_init(&t->held.save, t->env.loop, on_save, t);
}

/* What was put is written all the same. */
void
token_held_stop(struct token *t)
{
	loop_timer_stop(&t->held.save);
	writer_forget(&t->held.item);
}

void
token_held_clear(struct token *t)
{
	holders_clear(&t->held.all);
	free(t->held.past);
}
