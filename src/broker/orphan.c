/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See orphan.h. Both lists are capped: what a service lists is not ours to
 * bound. Retired values are few where a service marks or drops what is over;
 * where it does not, the oldest are forgotten first.
 */
#include "broker/orphan.h"

#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "broker/status.h"
#include "lib/jsonx.h"

#define BOOK_VERSION 1

struct orphan *
orphan_find(struct orphan_book *b, const char *id)
{
	for (size_t i = 0; i < b->n_orphans; i++) {
		if (streq(b->orphans[i].id, id))
			return &b->orphans[i];
	}
	return NULL;
}

struct orphan *
orphan_add(struct orphan_book *b, const char *id,
    const struct intent_mark *mark)
{
	struct orphan *o;

	if (b->n_orphans == ORPHANS_MAX)
		return NULL;
	b->orphans = xreallocarray(b->orphans, b->n_orphans + 1,
	    sizeof(*b->orphans));
	o = &b->orphans[b->n_orphans++];
	*o = (struct orphan){ .id = xstrdup(id), .mark = *mark };
	b->changed = true;
	return o;
}

bool
orphan_move(struct orphan_book *from, struct orphan_book *to,
    struct orphan *o)
{
	struct orphan *there = orphan_add(to, o->id, &o->mark);
	char *id;

	if (!there)
		return false;
	id = there->id;
	free(o->id);
	*there = *o;
	there->id = id;
	*o = from->orphans[--from->n_orphans];
	from->changed = true;
	return true;
}

size_t
orphan_count(const struct orphan_book *b)
{
	size_t n = b->n_untold;

	for (size_t i = 0; i < b->n_orphans; i++)
		n += !b->orphans[i].revoked_at;
	return n;
}

static void
retired_drop(struct orphan_book *b, size_t i)
{
	free(b->retired[i].id);
	b->n_retired--;
	memmove(&b->retired[i], &b->retired[i + 1],
	    (b->n_retired - i) * sizeof(*b->retired));
	b->changed = true;
}

static struct retired *
retired_add(struct orphan_book *b, const char *nonce, const char *id)
{
	struct retired *r;

	if (b->n_retired == RETIRED_MAX)
		retired_drop(b, 0);
	b->retired = xreallocarray(b->retired, b->n_retired + 1,
	    sizeof(*b->retired));
	r = &b->retired[b->n_retired++];
	*r = (struct retired){ .id = xstrdup0(id) };
	memcpy(r->nonce, nonce, sizeof(r->nonce));
	b->changed = true;
	return r;
}

void
orphan_retire(struct orphan_book *b, const char *nonce, const char *id)
{
	if (nonce && strlen(nonce) == INTENT_NONCE_LEN &&
	    !orphan_find_retired(b, nonce, id))
		retired_add(b, nonce, id)->since_ms = now_boot_ms();
}

struct retired *
orphan_find_retired(struct orphan_book *b, const char *nonce, const char *id)
{
	for (size_t i = 0; i < b->n_retired; i++) {
		struct retired *r = &b->retired[i];

		if (streq(r->nonce, nonce) && (!r->id || streq(r->id, id)))
			return r;
	}
	return NULL;
}

void
orphan_look_begins(struct orphan_book *b)
{
	b->n_untold = 0;
	for (size_t i = 0; i < b->n_orphans; i++)
		b->orphans[i].seen = b->orphans[i].refused = false;
	for (size_t i = 0; i < b->n_retired; i++)
		b->retired[i].seen = false;
}

void
orphan_look_ends(struct orphan_book *b, int64_t began_ms)
{
	for (size_t i = b->n_orphans; i-- > 0;) {
		if (b->orphans[i].seen)
			continue;
		free(b->orphans[i].id);
		b->orphans[i] = b->orphans[--b->n_orphans];
		b->changed = true;
	}
	for (size_t i = b->n_retired; i-- > 0;) {
		/* retired while the list was under way: it may yet appear */
		if (!b->retired[i].seen && b->retired[i].since_ms < began_ms)
			retired_drop(b, i);
	}
}

/* ------------------------------------------------------------ the record */

void
orphan_encode(struct orphan_book *b, struct secret *out)
{
	json_t *root _cleanup_json_ = json_object();
	json_t *orphans = json_array(), *retired = json_array(), *o;

	for (size_t i = 0; i < b->n_orphans; i++) {
		const struct orphan *p = &b->orphans[i];

		o = json_pack("{s:s, s:s, s:s, s:I, s:i, s:I, s:I, s:I}",
		    "id", p->id, "nonce", p->mark.nonce, "token",
		    p->mark.token, "generation",
		    (json_int_t)p->mark.generation, "kind", (int)p->kind,
		    "created_at", (json_int_t)p->created_at, "first_seen",
		    (json_int_t)p->first_seen, "revoked_at",
		    (json_int_t)p->revoked_at);
		if (p->former)
			json_object_set_new(o, "former", json_true());
		json_array_append_new(orphans, o);
	}
	for (size_t i = 0; i < b->n_retired; i++) {
		o = json_pack("{s:s}", "nonce", b->retired[i].nonce);
		jsonx_put_str(o, "id", b->retired[i].id);
		json_array_append_new(retired, o);
	}
	status_int(root, "v", BOOK_VERSION);
	json_object_set_new(root, "orphans", orphans);
	json_object_set_new(root, "retired", retired);
	jsonx_dump(root, out);
	b->changed = false;
}

static int
decode_orphan(const json_t *o, struct orphan_book *b, struct tb_error *err)
{
	struct intent_mark mark = { .generation = 0 };
	const char *id, *nonce, *token;
	int64_t generation, kind;
	struct orphan *p;

	if (jsonx_str(o, "id", &id, err) < 0 ||
	    jsonx_str(o, "nonce", &nonce, err) < 0 ||
	    jsonx_str(o, "token", &token, err) < 0 ||
	    jsonx_int(o, "generation", &generation, err) < 0 ||
	    jsonx_int(o, "kind", &kind, err) < 0)
		return -1;
	if (strlen(nonce) != INTENT_NONCE_LEN ||
	    strlen(token) >= sizeof(mark.token))
		return tb_error_set(err, TB_E_PROTO, "an orphan's mark");
	memcpy(mark.nonce, nonce, sizeof(mark.nonce));
	memcpy(mark.token, token, strlen(token) + 1);
	mark.generation = (uint64_t)generation;
	p = orphan_add(b, id, &mark);
	if (!p)
		return 0;
	p->kind = (enum backend_kind)kind;
	if (jsonx_opt_int(o, "created_at", &p->created_at, err) < 0 ||
	    jsonx_opt_int(o, "first_seen", &p->first_seen, err) < 0 ||
	    jsonx_opt_bool(o, "former", &p->former, err) < 0)
		return -1;
	return jsonx_opt_int(o, "revoked_at", &p->revoked_at, err);
}

static int
decode_retired(const json_t *o, struct orphan_book *b, struct tb_error *err)
{
	const char *nonce, *id = NULL;

	if (jsonx_str(o, "nonce", &nonce, err) < 0 ||
	    jsonx_opt_str(o, "id", &id, err) < 0)
		return -1;
	if (strlen(nonce) != INTENT_NONCE_LEN)
		return tb_error_set(err, TB_E_PROTO, "a retired nonce");
	retired_add(b, nonce, id);
	return 0;
}

int
orphan_decode(const struct secret *in, struct orphan_book *b,
    struct tb_error *err)
{
	json_t *root _cleanup_json_ = jsonx_parse_object(in, err), *item;
	int64_t v;
	size_t i;

	if (!root || jsonx_int(root, "v", &v, err) < 0)
		return -1;
	if (v != BOOK_VERSION)
		return tb_error_set(err, TB_E_PROTO, "a reconcile record of "
		    "version %" PRId64 "; this program reads version %d", v,
		    BOOK_VERSION);
	json_array_foreach(json_object_get(root, "orphans"), i, item) {
		if (decode_orphan(item, b, err) < 0)
			return -1;
	}
	json_array_foreach(json_object_get(root, "retired"), i, item) {
		if (decode_retired(item, b, err) < 0)
			return -1;
	}
	b->changed = false;
	return 0;
}

json_t *
orphan_status(const struct orphan_book *b)
{
	json_t *list = json_array(), *o;

	for (size_t i = 0; i < b->n_orphans; i++) {
		const struct orphan *p = &b->orphans[i];

		o = json_object();
		status_str(o, "token_id", p->id);
		status_str(o, "token", p->mark.token);
		status_int(o, "generation", (int64_t)p->mark.generation);
		status_str(o, "nonce", p->mark.nonce);
		status_time(o, "created_at", p->created_at);
		status_time(o, "first_seen", p->first_seen);
		status_time(o, "revoked_at", p->revoked_at);
		if (p->former)
			json_object_set_new(o, "former", json_true());
		json_array_append_new(list, o);
	}
	return list;
}

void
orphan_clear(struct orphan_book *b)
{
	for (size_t i = 0; i < b->n_orphans; i++)
		free(b->orphans[i].id);
	free(b->orphans);
	for (size_t i = 0; i < b->n_retired; i++)
		free(b->retired[i].id);
	free(b->retired);
	*b = (struct orphan_book){ .n_orphans = 0 };
}
