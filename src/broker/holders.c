/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holders - see the header.
 *
 * A holder is a principal and not a process: where several programs of one
 * unit (or of one uid without units) use a token, one that has fetched the
 * newer generation speaks for all. `overlap` is there for the others.
 */
#include "broker/holders.h"

#include <inttypes.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "broker/holder.h"
#include "broker/status.h"
#include "lib/jsonx.h"

#define HOLDERS_VERSION 1

static const char *const kind_names[] = {
	[HOLDING_FETCHED] = "fetched",
	[HOLDING_RUN] = "run",
	[HOLDING_KEPT] = "kept",
};
/* by counts_index */
static const char *const door_names[] = { "api", "credential", "admin" };

/* ---------------------------------------------------------------- look-up */

/* Where it is, or would be. */
static size_t
holder_place(const struct holders *h, const char *name, bool *found)
{
	size_t low = 0, high = h->n, mid;
	int cmp;

	*found = false;
	while (low < high && !*found) {
		mid = low + (high - low) / 2;
		cmp = strcmp(name, h->holder[mid].name);
		if (cmp == 0)
			*found = true;
		if (cmp <= 0)
			high = mid;
		else
			low = mid + 1;
	}
	return high;
}

static struct holder *
holder_add(struct holders *h, const char *name)
{
	bool found;
	size_t at = holder_place(h, name, &found);

	if (found)
		return &h->holder[at];
	h->holder = xreallocarray(h->holder, h->n + 1, sizeof(*h->holder));
	memmove(&h->holder[at + 1], &h->holder[at],
	    (h->n - at) * sizeof(*h->holder));
	h->n++;
	h->holder[at] = (struct holder){ .name = xstrdup(name) };
	return &h->holder[at];
}

static void
holder_remove(struct holders *h, size_t at)
{
	free(h->holder[at].name);
	free(h->holder[at].held);
	h->n--;
	memmove(&h->holder[at], &h->holder[at + 1],
	    (h->n - at) * sizeof(*h->holder));
}

static struct holding *
holding_find(const struct holder *who, uint64_t generation)
{
	for (size_t i = 0; i < who->n_held; i++)
		if (who->held[i].generation == generation)
			return &who->held[i];
	return NULL;
}

static struct holding *
holding_add(struct holders *h, struct holder *who, uint64_t generation)
{
	size_t at = 0;

	who->held = xreallocarray(who->held, who->n_held + 1,
	    sizeof(*who->held));
	while (at < who->n_held && who->held[at].generation > generation)
		at++;
	memmove(&who->held[at + 1], &who->held[at],
	    (who->n_held - at) * sizeof(*who->held));
	who->n_held++;
	h->n_pairs++;
	who->held[at] = (struct holding){ .generation = generation };
	return &who->held[at];
}

static void
holding_remove(struct holders *h, struct holder *who, size_t at)
{
	who->n_held--;
	h->n_pairs--;
	memmove(&who->held[at], &who->held[at + 1],
	    (who->n_held - at) * sizeof(*who->held));
}

static struct holders_about *
about_find(const struct holders *h, uint64_t generation)
{
	for (size_t i = 0; i < h->n_about; i++)
		if (h->about[i].generation == generation)
			return &h->about[i];
	return NULL;
}

static struct holders_about *
about_add(struct holders *h, uint64_t generation)
{
	struct holders_about *a = about_find(h, generation);

	if (a)
		return a;
	h->about = xreallocarray(h->about, h->n_about + 1, sizeof(*h->about));
	a = &h->about[h->n_about++];
	*a = (struct holders_about){ .generation = generation };
	return a;
}

/* ----------------------------------------------------------------- change */

void
holders_clear(struct holders *h)
{
	while (h->n)
		holder_remove(h, h->n - 1);
	free(h->holder);
	free(h->about);
	*h = (struct holders){ .n = 0 };
}

/* A unit has one run at a time: with another one, what the run before kept for
 * itself is gone. */
static bool
holding_enter_run(struct holding *held, const char *run)
{
	if (streq(held->run, run))
		return false;
	if (held->run[0] && run[0] && held->kind == HOLDING_RUN)
		held->kind = HOLDING_FETCHED;
	snprintf(held->run, sizeof(held->run), "%s", run);
	return true;
}

bool
holders_note(struct holders *h, const struct holders_release *r)
{
	bool found, news;
	size_t at = holder_place(h, r->name, &found);
	struct holder *who = found ? &h->holder[at] : NULL;
	struct holding *held = who ? holding_find(who, r->generation) : NULL;

	if (!held && h->n_pairs >= HOLDERS_MAX) {
		about_add(h, r->generation)->more++;
		/* nor is it known any more what this one uses now */
		if (who)
			who->newest = 0;
		return true;
	}
	if (!who)
		who = holder_add(h, r->name);
	news = !held || who->newest != r->generation;
	if (!held) {
		held = holding_add(h, who, r->generation);
		held->first = r->now_s;
	}
	who->newest = r->generation;
	held->last = r->now_s;
	news |= holding_enter_run(held, r->run && holder_unit(r->name) ?
	    r->run : "");
	if (held->kind < r->kind) {
		held->kind = r->kind;
		news = true;
	}
	held->doors |= 1u << r->door;
	return news;
}

void
holders_forget_generation(struct holders *h, uint64_t generation)
{
	struct holders_about *a = about_find(h, generation);

	for (size_t i = h->n; i-- > 0;) {
		struct holding *held = holding_find(&h->holder[i], generation);

		if (held)
			holding_remove(h, &h->holder[i],
			    (size_t)(held - h->holder[i].held));
		if (h->holder[i].n_held == 0)
			holder_remove(h, i);
	}
	if (a)
		*a = h->about[--h->n_about];
}

void
holders_keep_only(struct holders *h, holders_there_fn *there, void *arg)
{
	for (size_t i = h->n; i-- > 0;) {
		struct holder *who = &h->holder[i];

		for (size_t j = who->n_held; j-- > 0;)
			if (!there(arg, who->held[j].generation))
				holding_remove(h, who, j);
		if (who->n_held == 0)
			holder_remove(h, i);
	}
	for (size_t i = h->n_about; i-- > 0;)
		if (!there(arg, h->about[i].generation))
			h->about[i] = h->about[--h->n_about];
}

/* The start of the unit that it was given to. */
static bool
holding_is_over(const struct holder *who, const struct holding *held,
    holders_over_fn *over)
{
	const char *unit = holder_unit(who->name);

	return held->kind != HOLDING_KEPT && unit && held->run[0] && over &&
	    over(unit, held->run);
}

void
holders_forget_over(struct holders *h, holders_over_fn *over)
{
	for (size_t i = h->n; i-- > 0;) {
		struct holder *who = &h->holder[i];

		for (size_t j = who->n_held; j-- > 0;)
			if (holding_is_over(who, &who->held[j], over))
				holding_remove(h, who, j);
		if (who->n_held == 0)
			holder_remove(h, i);
	}
}

void
holders_are_unsure(struct holders *h, uint64_t generation)
{
	about_add(h, generation)->unsure = true;
}

/* ------------------------------------------------------------------- judge */

/* Does this pair stand in the way of revoking its generation? */
static bool
holding_blocks(const struct holder *who, const struct holding *held,
    holders_over_fn *over)
{
	if (held->kind == HOLDING_FETCHED && who->newest > held->generation)
		return false;
	return !holding_is_over(who, held, over);
}

static char *
why_blocked(const struct holder *who, const struct holding *held)
{
	switch (held->kind) {
	case HOLDING_KEPT:
		return xasprintf("%s has it in a file, or where it cannot be "
		    "known", who->name);
	case HOLDING_RUN:
		return xasprintf("%s was started with it", who->name);
	case HOLDING_FETCHED:
		break;
	}
	return xasprintf("%s has not asked for a newer one", who->name);
}

char *
holders_why_needed(const struct holders *h, uint64_t generation,
    holders_over_fn *over)
{
	const struct holders_about *a = about_find(h, generation);

	if (a && a->unsure)
		return xstrdup("not everybody who was given it is known, since "
		    "the daemon did not stop in an orderly way or its state "
		    "was put back");
	if (a && a->more)
		return xstrdup("it has more holders than are kept in mind");
	for (size_t i = 0; i < h->n; i++) {
		const struct holder *who = &h->holder[i];
		const struct holding *held = holding_find(who, generation);

		if (held && holding_blocks(who, held, over))
			return why_blocked(who, held);
	}
	return NULL;
}

size_t
holders_count(const struct holders *h, uint64_t generation)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += holding_find(&h->holder[i], generation) != NULL;
	return n;
}

/* ------------------------------------------------------------------ record */

static json_t *
encode_held(const struct holding *held)
{
	json_t *o = json_object();

	status_int(o, "generation", (int64_t)held->generation);
	status_int(o, "first", held->first);
	status_int(o, "last", held->last);
	status_int(o, "doors", held->doors);
	status_str(o, "kind", kind_names[held->kind]);
	status_str(o, "run", held->run);
	return o;
}

static json_t *
encode_holder(const struct holder *who)
{
	json_t *o = json_object(), *list = json_array();

	for (size_t i = 0; i < who->n_held; i++)
		json_array_append_new(list, encode_held(&who->held[i]));
	status_str(o, "name", who->name);
	status_int(o, "newest", (int64_t)who->newest);
	json_object_set_new(o, "held", list);
	return o;
}

static json_t *
encode_about(const struct holders_about *a)
{
	json_t *o = json_object();

	status_int(o, "generation", (int64_t)a->generation);
	json_object_set_new(o, "unsure", json_boolean(a->unsure));
	status_int(o, "more", (int64_t)a->more);
	return o;
}

void
holders_encode(const struct holders *h, const char *boot, bool complete,
    json_t *o)
{
	json_t *list = json_array(), *about = json_array();

	for (size_t i = 0; i < h->n; i++)
		json_array_append_new(list, encode_holder(&h->holder[i]));
	for (size_t i = 0; i < h->n_about; i++)
		json_array_append_new(about, encode_about(&h->about[i]));
	status_int(o, "v", HOLDERS_VERSION);
	status_str(o, "boot", boot);
	json_object_set_new(o, "complete", json_boolean(complete));
	json_object_set_new(o, "holders", list);
	json_object_set_new(o, "about", about);
}

static int
decode_kind(const char *name, enum holding_kind *out, struct tb_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++) {
		if (streq(name, kind_names[i])) {
			*out = (enum holding_kind)i;
			return 0;
		}
	}
	return tb_error_set(err, TB_E_PROTO, "unknown kind of a holding");
}

static int
decode_held(struct holders *h, const char *name, const json_t *o,
    bool rebooted, struct tb_error *err)
{
	const char *kind, *run = "";
	int64_t generation, doors = 0;
	struct holding got = { .generation = 0 }, *held;

	if (jsonx_int(o, "generation", &generation, err) < 0 ||
	    jsonx_int(o, "first", &got.first, err) < 0 ||
	    jsonx_int(o, "last", &got.last, err) < 0 ||
	    jsonx_str(o, "kind", &kind, err) < 0 ||
	    jsonx_opt_int(o, "doors", &doors, err) < 0 ||
	    jsonx_opt_str(o, "run", &run, err) < 0 ||
	    decode_kind(kind, &got.kind, err) < 0)
		return -1;
	if (rebooted && got.kind != HOLDING_KEPT)
		return 0;
	got.generation = (uint64_t)generation;
	got.doors = (unsigned)doors;
	snprintf(got.run, sizeof(got.run), "%s", run);
	held = holding_add(h, holder_add(h, name), got.generation);
	*held = got;
	return 0;
}

static int
decode_holder(struct holders *h, const json_t *o, bool rebooted,
    struct tb_error *err)
{
	const json_t *list = json_object_get(o, "held");
	const char *name;
	int64_t newest;
	bool found;
	size_t at;

	if (jsonx_str(o, "name", &name, err) < 0 ||
	    jsonx_int(o, "newest", &newest, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (decode_held(h, name, json_array_get(list, i), rebooted,
			err) < 0)
			return -1;
	at = holder_place(h, name, &found);
	if (found)
		h->holder[at].newest = (uint64_t)newest;
	return 0;
}

static int
decode_about(struct holders *h, const json_t *o, struct tb_error *err)
{
	int64_t generation, more = 0;
	bool unsure = false;
	struct holders_about *a;

	if (jsonx_int(o, "generation", &generation, err) < 0 ||
	    jsonx_opt_bool(o, "unsure", &unsure, err) < 0 ||
	    jsonx_opt_int(o, "more", &more, err) < 0)
		return -1;
	a = about_add(h, (uint64_t)generation);
	a->unsure = unsure;
	a->more = (uint64_t)more;
	return 0;
}

int
holders_decode(struct holders *h, const json_t *o, const char *boot,
    bool *complete, struct tb_error *err)
{
	const json_t *list = json_object_get(o, "holders");
	const json_t *about = json_object_get(o, "about");
	const char *then = "";
	int64_t v;
	bool rebooted;

	*complete = false;
	if (jsonx_int(o, "v", &v, err) < 0 ||
	    jsonx_opt_str(o, "boot", &then, err) < 0)
		return -1;
	if (v != HOLDERS_VERSION)
		return tb_error_set(err, TB_E_PROTO, "a record of holders of "
		    "version %" PRId64 "; this program reads version %d", v,
		    HOLDERS_VERSION);
	rebooted = *boot && *then && !streq(boot, then);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (decode_holder(h, json_array_get(list, i), rebooted,
			err) < 0)
			return -1;
	for (size_t i = 0; i < json_array_size(about); i++)
		if (decode_about(h, json_array_get(about, i), err) < 0)
			return -1;
	return jsonx_opt_bool(o, "complete", complete, err);
}

/* ------------------------------------------------------------------ status */

static json_t *
status_of(const struct holder *who, const struct holding *held,
    holders_over_fn *over)
{
	json_t *o = json_object(), *doors = json_array();

	status_str(o, "holder", who->name);
	for (size_t i = 0; i < ARRAY_SIZE(door_names); i++)
		if (held->doors & 1u << i)
			json_array_append_new(doors,
			    json_string(door_names[i]));
	json_object_set_new(o, "doors", doors);
	status_str(o, "keeps_it", kind_names[held->kind]);
	status_time(o, "first", held->first);
	status_time(o, "last", held->last);
	if (who->newest > held->generation)
		status_int(o, "has_newer", (int64_t)who->newest);
	if (holding_is_over(who, held, over))
		json_object_set_new(o, "over", json_true());
	return o;
}

void
holders_status(const struct holders *h, uint64_t generation,
    holders_over_fn *over, json_t *o)
{
	const struct holders_about *a = about_find(h, generation);
	json_t *list = json_array();

	for (size_t i = 0; i < h->n; i++) {
		const struct holding *held = holding_find(&h->holder[i],
		    generation);

		if (held)
			json_array_append_new(list, status_of(&h->holder[i],
			    held, over));
	}
	json_object_set_new(o, "holders", list);
	if (a && a->more)
		status_int(o, "more_holders", (int64_t)a->more);
	if (a && a->unsure)
		json_object_set_new(o, "holders_unsure", json_true());
}
