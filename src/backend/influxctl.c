/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxctl - which runs of influxctl make up a verb:
 *
 *   mint    list, create, and a list again where create did not say the id
 *   list    list
 *   revoke  revoke, list: whatever revoke said, the list shows what is true
 *   get     list, of which one is kept
 *
 * A mint begins with a list because that changes nothing: a login that is not
 * there, a version that is too old, a flag that it does not know show while it
 * is certain that no token was made. From create on nothing is: a program that
 * fails may have done it, and only the list can tell (the broker settles).
 */
#include "backend/influxctl.h"

#include "backend/backend_int.h"
#include "backend/influxctl_int.h"

bool
influxctl_is_own(const struct backend_conf *c)
{
	return influxctl_login(c) == INFLUXCTL_OWN;
}

unsigned
influxctl_caps(const struct backend_conf *c)
{
	return BACKEND_CAN_LIST | BACKEND_CAN_REVOKE | BACKEND_CAN_PROBE |
	    BACKEND_CAN_GET | (influxctl_is_own(c) ? 0 : BACKEND_NEEDS_PAYER);
}

int
influxctl_check(const struct backend_conf *c, bool dedicated,
    struct tb_error *err)
{
	return influxctl_say_check(c, dedicated, err);
}

/* -------------------------------------------------------------- questions */

static enum backend_next
influxctl_ask(struct backend_run *run, enum backend_verb verb,
    struct http_request *request, struct tb_error *err)
{
	run->harmless = verb != BACKEND_MINT;
	if (influxctl_say(run, verb, request, err) < 0)
		return BACKEND_FAILED;
	return BACKEND_ASK;
}

/* A run that did not go well. */
static enum backend_next
influxctl_failed(struct backend_run *run, const struct influxctl_heard *h,
    struct tb_error *err)
{
	enum tb_errc code = TB_E_TRANSIENT;

	if (!h->ran)
		code = h->busy ? TB_E_BUSY : TB_E_UNREACHED;
	tb_error_set(err, code, "%s: %s", backend_verb_name(run->verb),
	    strbuf_str(&h->why));
	run->uncertain = run->verb == BACKEND_MINT && !run->harmless && h->ran;
	/* after create nobody asks again with another bearer */
	run->unauthorized = h->unauthorized && run->harmless;
	return BACKEND_FAILED;
}

/* ------------------------------------------------------------------- mint */

/* All but the first `kept`. */
static void
influxctl_forget_listed(struct backend_run *run, size_t kept)
{
	for (size_t i = kept; i < run->n_listed; i++) {
		free(run->listed[i].id);
		free(run->listed[i].description);
		free(run->listed[i].prefix);
	}
	run->n_listed = kept;
}

/* The id of what was just made: its description is ours alone. */
static enum backend_next
influxctl_find_id(struct backend_run *run, struct tb_error *err)
{
	for (size_t i = 0; i < run->n_listed; i++) {
		if (strstr(run->listed[i].description, run->description) &&
		    !run->listed[i].dead)
			str_set(&run->minted_id, run->listed[i].id);
	}
	influxctl_forget_listed(run, 0);
	if (run->minted_id)
		return BACKEND_DONE;
	secret_clear(&run->token);
	tb_error_set(err, TB_E_PROTO, "influxctl made a token, and its list "
	    "does not show it");
	run->harmless = false; /* what was asked before has made one */
	return backend_unusable(run, err);
}

static enum backend_next
influxctl_mint(struct backend_run *run, const struct influxctl_heard *h,
    struct http_request *request, struct tb_error *err)
{
	switch (run->step++) {
	case 0: /* the login works; what is listed is of no use */
		if (influxctl_hear_listed(run, h, err) < 0)
			return backend_unusable(run, err);
		influxctl_forget_listed(run, 0);
		return influxctl_ask(run, BACKEND_MINT, request, err);
	case 1:
		if (influxctl_hear_minted(run, h, err) < 0)
			return backend_unusable(run, err);
		if (run->minted_id)
			return BACKEND_DONE;
		if (influxctl_ask(run, BACKEND_LIST, request, err) ==
		    BACKEND_ASK) {
			run->harmless = false; /* a token exists */
			return BACKEND_ASK;
		}
		return BACKEND_FAILED;
	default:
		if (influxctl_hear_listed(run, h, err) < 0) {
			secret_clear(&run->token);
			return backend_unusable(run, err);
		}
		return influxctl_find_id(run, err);
	}
}

/* -------------------------------------------------------------------- get */

static enum backend_next
influxctl_get(struct backend_run *run, const struct influxctl_heard *h,
    struct tb_error *err)
{
	size_t kept = 0;

	if (influxctl_hear_listed(run, h, err) < 0)
		return backend_unusable(run, err);
	for (size_t i = 0; i < run->n_listed; i++) {
		struct backend_listed *item = &run->listed[i];

		if (streq(item->id, run->token_id) && !kept) {
			struct backend_listed found = *item;

			*item = run->listed[0];
			run->listed[0] = found;
			kept = 1;
		}
	}
	influxctl_forget_listed(run, kept);
	return BACKEND_DONE;
}

/* ----------------------------------------------------------------- revoke */

static enum backend_next
influxctl_revoke(struct backend_run *run, const struct influxctl_heard *h,
    struct http_request *request, struct tb_error *err)
{
	bool alive = false;

	if (run->step++ == 0)
		return influxctl_ask(run, BACKEND_LIST, request, err);
	if (influxctl_hear_listed(run, h, err) < 0)
		return backend_unusable(run, err);
	for (size_t i = 0; i < run->n_listed; i++) {
		alive |= streq(run->listed[i].id, run->token_id) &&
		    !run->listed[i].dead;
	}
	influxctl_forget_listed(run, 0);
	if (!alive)
		return BACKEND_DONE;
	tb_error_set(err, TB_E_TRANSIENT, "revoke: influxctl was asked, and "
	    "the token is still listed as alive");
	return BACKEND_FAILED;
}

/* ------------------------------------------------------------------- steps */

/* A revoke that fails may have been done before, or by others: the list says.
 * All else that fails, failed. */
static bool
influxctl_goes_on(const struct backend_run *run,
    const struct influxctl_heard *h)
{
	return h->good || (run->verb == BACKEND_REVOKE && run->step == 0 &&
	    h->ran && !h->unauthorized);
}

static enum backend_next
influxctl_read(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	struct influxctl_heard h _cleanup_(influxctl_heard_clear) = { 0 };

	if (influxctl_hear(run, reply, &h, err) < 0) {
		secret_clear(&run->token);
		return backend_unusable(run, err);
	}
	if (!influxctl_goes_on(run, &h)) {
		secret_clear(&run->token);
		/* a list after create: a token exists, even if this one was
		 * refused before it ran */
		h.ran |= run->verb == BACKEND_MINT && run->step > 1;
		return influxctl_failed(run, &h, err);
	}
	switch (run->verb) {
	case BACKEND_MINT:
		return influxctl_mint(run, &h, request, err);
	case BACKEND_LIST:
		if (influxctl_hear_listed(run, &h, err) < 0)
			return backend_unusable(run, err);
		return BACKEND_DONE;
	case BACKEND_REVOKE:
		return influxctl_revoke(run, &h, request, err);
	case BACKEND_GET:
		return influxctl_get(run, &h, err);
	case BACKEND_PROBE:
	case BACKEND_DISABLE:
	case BACKEND_UPDATE:
		break;
	}
	return backend_cannot(run, err);
}

enum backend_next
influxctl_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	if (reply)
		return influxctl_read(run, reply, request, err);
	run->step = 0;
	if (run->verb == BACKEND_REVOKE)
		return influxctl_ask(run, BACKEND_REVOKE, request, err);
	return influxctl_ask(run, BACKEND_LIST, request, err);
}
