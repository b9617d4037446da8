/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: a token of a run's own, called RECIPE@lease:NUMBER:HOLDER, for as
 * long as its connection lasts. It has records and an end like any other, but
 * is not renewed: when the run is over it is revoked.
 *
 * The numbers are used again, so that what is counted per token stays finite.
 * A connection that ends because the daemon does is no run that is over: after
 * the start there is time to come back, with the number.
 */
#include "base/log.h"
#include "base/principal.h"
#include "broker/broker_job.h"
#include "broker/holder.h"

/* A client that tries every few seconds is back by then. The sweep looks once
 * a minute. */
#define COME_BACK_MS (60 * INT64_C(1000))

static void
lease_name(char buf[BROKER_NAME_SIZE], const char *token, unsigned number,
    const struct principal *who)
{
	char holder[HOLDER_NAME_SIZE];

	snprintf(buf, BROKER_NAME_SIZE, "%s" TOKEN_LEASE "%u:%s", token,
	    number, holder_name(who, holder));
}

static int
lease_resume(struct broker *b, const char *name, struct tb_error *err)
{
	struct token *t = broker_token(b, name);

	if (!t || token_is_vacant(t))
		return tb_error_set(err, TB_E_BADREQ, "there is no such lease "
		    "of yours any more; what it was for is revoked");
	if (token_is_leased(t))
		return tb_error_set(err, TB_E_BADREQ, "this lease has a "
		    "connection already");
	token_set_leased(t, true);
	log_info("broker", "%s: its run is back", name);
	return 0;
}

unsigned
broker_leases_taken(struct broker *b, const char *token)
{
	struct token *recipe = broker_token(b, token);
	unsigned n = 0;

	for (size_t i = 0; i < b->n_tokens; i++)
		n += token_is_lease(b->tokens[i]) &&
		    broker_recipe(b, b->tokens[i]) == recipe &&
		    !token_is_vacant(b->tokens[i]);
	return n;
}

/* The lowest number that is free; there is one, since less than all are
 * taken. */
static int
lease_new(struct broker *b, struct token *recipe, const struct principal *who,
    char name[BROKER_NAME_SIZE], unsigned *number, struct tb_error *err)
{
	unsigned most = token_get_conf(recipe)->leases;
	struct token *t;

	if (most == 0)
		return tb_error_set(err, TB_E_BADREQ, "[token %s] has no "
		    "leases: with leases = N there N runs may have one of "
		    "their own at a time", token_name(recipe));
	if (broker_leases_taken(b, token_name(recipe)) >= most) {
		tb_error_set(err, TB_E_LIMIT, "all of the leases = %u of "
		    "[token %s] are taken", most, token_name(recipe));
		err->retry_after_ms = 1000;
		return -1;
	}
	*number = 0;
	do {
		lease_name(name, token_name(recipe), ++*number, who);
		t = broker_token(b, name);
	} while (t && !token_is_vacant(t));
	if (strlen(name) > BROKER_OWN_NAME_MAX)
		return tb_error_set(err, TB_E_BADREQ, "the name of the token "
		    "with that of the unit is too long for a lease");
	if (!t) {
		t = broker_make_own(b, name);
		token_activate(t);
	}
	token_set_leased(t, true);
	return 0;
}

int
broker_lease_take(struct broker *b, const char *token,
    const struct principal *who, unsigned *number,
    char name[BROKER_NAME_SIZE], struct tb_error *err)
{
	if (*number == 0)
		return lease_new(b, broker_token(b, token), who, name, number,
		    err);
	lease_name(name, token, *number, who);
	return lease_resume(b, name, err);
}

/* One that a reload has taken out of the configuration has an end, too. */
static struct token *
lease_find(struct broker *b, const char *name)
{
	struct token *t = broker_token(b, name);

	for (size_t i = 0; !t && i < b->n_parked_tokens; i++) {
		if (b->parked_tokens[i] &&
		    streq(token_name(b->parked_tokens[i]), name))
			t = b->parked_tokens[i];
	}
	return t;
}

struct broker_job *
broker_lease_end(struct broker *b, const char *name, broker_done_fn *done,
    void *arg)
{
	struct broker_job *j = broker_job_new(b, "lease", name, done, arg);
	struct token *t = lease_find(b, name);

	if (!t)
		return broker_job_refuse(j, "there is no such lease", name);
	token_set_leased(t, false);
	j->open = 1;
	token_revoke(t, 0, "the run that it was leased to is over",
	    broker_job_on_revoked, j);
	return j;
}

void
broker_end_leases(struct broker *b)
{
	for (size_t i = 0; i < b->n_tokens; i++) {
		struct token *t = b->tokens[i];

		if (!token_is_lease(t) || token_is_leased(t) ||
		    token_is_vacant(t) ||
		    token_unasked_ms(t) < COME_BACK_MS)
			continue;
		log_info("broker", "%s: its run did not come back",
		    token_name(t));
		token_revoke(t, 0, "the run that it was leased to did not "
		    "come back", NULL, NULL);
	}
}
