/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer - the parsers of every backend. The services contradict their own
 * documentation, so a difference that does no harm is let pass. What does
 * harm: a list in which our token is overlooked. So an item without a usable
 * id, and a list in which no item has a description where it is looked for,
 * refuse the whole list; and an unreadable "revoked" does not mean revoked.
 */
#include "backend/answer.h"

#include <string.h>

#include "backend/backend.h"
#include "base/timefmt.h"
#include "lib/jsonx.h"

#define ANSWER_ID_MAX 256
#define ANSWER_PREFIX_MAX 16
#define ANSWER_YEAR_9999 INT64_C(253402300799)

static bool
answer_number(const json_t *j, int64_t *epoch_s)
{
	double d = json_number_value(j);

	if (json_is_integer(j)) {
		*epoch_s = json_integer_value(j);
		return true;
	}
	if (!json_is_real(j) || !(d > 0 && d <= (double)ANSWER_YEAR_9999))
		return false;
	*epoch_s = (int64_t)d;
	return true;
}

/* A time without a zone, as Arrow writes it in JSON, is UTC. A day is its
 * beginning: what ends on it may be over by then. */
static bool
answer_text_time(const char *s, int64_t *epoch_s)
{
	char with_zone[64];

	if (timefmt_parse_rfc3339(s, epoch_s))
		return true;
	if (strlen(s) == 10) {
		snprintf(with_zone, sizeof(with_zone), "%sT00:00:00Z", s);
		return timefmt_parse_rfc3339(with_zone, epoch_s);
	}
	return (size_t)snprintf(with_zone, sizeof(with_zone), "%sZ", s) <
	    sizeof(with_zone) && timefmt_parse_rfc3339(with_zone, epoch_s);
}

/* RFC 3339 text (without a zone: UTC; a day alone: its beginning), a number of
 * seconds since the epoch, or {seconds, nanos}. False for anything else, and
 * for "none" spelt as year 1 or 1970. */
static bool
answer_time(const json_t *j, int64_t *epoch_s)
{
	struct tb_error ignored = TB_ERROR_INIT;
	int64_t t = 0;

	if (json_is_string(j)) {
		if (!answer_text_time(json_string_value(j), &t))
			return false;
	} else if (json_is_object(j)) {
		if (jsonx_opt_int(j, "seconds", &t, &ignored) < 0)
			return false;
	} else if (!answer_number(j, &t)) {
		return false;
	}
	if (t <= 0 || t > ANSWER_YEAR_9999)
		return false;
	*epoch_s = t;
	return true;
}

/* The time at the first spelling that has one, else 0. */
static int64_t
answer_time_at(json_t *root, const char *const spellings[ANSWER_SPELLINGS])
{
	int64_t t;

	for (size_t i = 0; i < ANSWER_SPELLINGS; i++) {
		if (spellings[i] &&
		    answer_time(jsonx_pointer(root, spellings[i]), &t))
			return t;
	}
	return 0;
}

bool
answer_is_id(const char *id)
{
	size_t len = id ? strlen(id) : 0;

	if (!len || len > ANSWER_ID_MAX || streq(id, ".") || streq(id, ".."))
		return false;
	for (const char *p = id; *p; p++) {
		if (*p <= ' ' || *p > '~')
			return false;
	}
	return true;
}

/* Owned; NULL when there is none that can be used. */
static char *
answer_id_at(json_t *root, const char *pointer)
{
	const json_t *j = jsonx_pointer(root, pointer);

	if (json_is_integer(j))
		return xasprintf("%lld", (long long)json_integer_value(j));
	if (json_is_string(j) && answer_is_id(json_string_value(j)))
		return xstrdup(json_string_value(j));
	return NULL;
}

int
answer_minted(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err)
{
	struct secret token _cleanup_(secret_clear) = SECRET_INIT;
	json_t *root _cleanup_json_ = jsonx_parse_secret(&reply->body, err);
	char *id _cleanup_free_ = NULL;
	const json_t *value;
	int64_t expires_at;

	if (!root)
		return -1;
	value = jsonx_pointer(root, spec->token);
	if (!json_is_string(value))
		return tb_error_set(err, TB_E_PROTO,
		    "no token at '%s' of the answer", spec->token);
	secret_set(&token, json_string_value(value),
	    json_string_length(value));
	if (!secret_is_token(&token))
		return tb_error_set(err, TB_E_PROTO,
		    "what is at '%s' cannot be a token", spec->token);
	id = answer_id_at(root, spec->id);
	if (!id && spec->id_required)
		return tb_error_set(err, TB_E_PROTO,
		    "no usable id at '%s' of the answer", spec->id);
	expires_at = answer_time_at(root, spec->expires);
	if (!expires_at && spec->expires_required)
		return tb_error_set(err, TB_E_PROTO,
		    "no time at '%s' of the answer", spec->expires[0]);
	secret_move(&run->token, &token);
	run->minted_id = STEAL(id);
	run->minted_expires_at = expires_at;
	return 0;
}

/* ---------------------------------------------------------------- lists */

/* The only member of an object that is an array; NULL if none or several. */
static json_t *
answer_lone_array(json_t *root)
{
	json_t *found = NULL, *member;
	const char *key;

	json_object_foreach(root, key, member) {
		if (!json_is_array(member))
			continue;
		if (found)
			return NULL;
		found = member;
	}
	return found;
}

static json_t *
answer_find_list(json_t *root, const char *pointer)
{
	json_t *list = pointer ? jsonx_pointer(root, pointer) :
	    json_is_array(root) ? root :
				  answer_lone_array(root);

	return json_is_array(list) ? list : NULL;
}

static bool
answer_is_revoked(json_t *item, const struct answer_spec *spec)
{
	for (size_t i = 0; i < ANSWER_SPELLINGS; i++) {
		if (spec->list_revoked[i] &&
		    json_is_true(jsonx_pointer(item, spec->list_revoked[i])))
			return true;
	}
	return answer_time_at(item, spec->list_revoked) > 0;
}

/* The hint at a value, cut so that it can never be one. */
static char *
answer_prefix_at(json_t *item, const char *pointer)
{
	const json_t *j = pointer ? jsonx_pointer(item, pointer) : NULL;

	return json_is_string(j) && json_string_length(j) ?
	    xstrndup(json_string_value(j), ANSWER_PREFIX_MAX) : NULL;
}

/* described_out: there is such a member, empty or null as it may be. */
static int
answer_item(json_t *item, const struct answer_spec *spec, int64_t now_s,
    struct backend_listed *out, bool *described_out, struct tb_error *err)
{
	const json_t *description = json_is_object(item) ?
	    jsonx_pointer(item, spec->list_description) :
	    NULL;
	const char *text = json_string_value(description);
	char *id = json_is_object(item) ? answer_id_at(item, spec->list_id) :
					  NULL;

	if (!id)
		return tb_error_set(err, TB_E_PROTO,
		    "the list has an item without a usable id at '%s'",
		    spec->list_id);
	if (description)
		*described_out = true;
	out->id = id;
	out->description = xstrdup(text ? text : "");
	out->created_at = answer_time_at(item, spec->list_created);
	out->expires_at = answer_time_at(item, spec->list_expires);
	out->prefix = answer_prefix_at(item, spec->list_prefix);
	out->revoked = answer_is_revoked(item, spec);
	out->dead = out->revoked ||
	    (out->expires_at > 0 && out->expires_at <= now_s);
	return 0;
}

int
answer_listed(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err)
{
	json_t *root _cleanup_json_ = jsonx_parse_secret(&reply->body, err);
	bool described = false;
	json_t *list, *item;
	size_t i, n;

	if (!root)
		return -1;
	list = answer_find_list(root, spec->list);
	if (!list)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer holds no list of tokens");
	n = json_array_size(list);
	run->listed = xreallocarray(run->listed, run->n_listed + n,
	    sizeof(*run->listed));
	json_array_foreach(list, i, item) {
		if (answer_item(item, spec, run->now_s,
			&run->listed[run->n_listed], &described, err) < 0)
			return -1;
		run->n_listed++;
	}
	if (n && !described && !spec->may_lack_descriptions)
		return tb_error_set(err, TB_E_PROTO,
		    "no item of the list has a description at '%s'",
		    spec->list_description);
	return 0;
}

int
answer_one(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err)
{
	json_t *root _cleanup_json_ = jsonx_parse_secret(&reply->body, err);
	bool described;

	if (!root)
		return -1;
	run->listed = xcalloc(1, sizeof(*run->listed));
	if (answer_item(root, spec, run->now_s, run->listed, &described,
		err) < 0)
		return -1;
	run->n_listed = 1;
	if (!streq(run->listed->id, run->token_id))
		return tb_error_set(err, TB_E_PROTO, "the answer is about "
		    "another token than was asked for");
	return 0;
}
