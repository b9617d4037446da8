/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store had at the start, and whose it is. A record whose owner is not
 * configured is kept, since the next reload may bring that back.
 */
#include "base/log.h"
#include "broker/broker_int.h"
#include "broker/login.h"
#include "state/signer.h"

void
broker_take_record(void *arg, const char *kind, const char *name,
    struct secret *plain)
{
	struct broker *b = arg;
	struct broker_unclaimed *u;

	if (streq(kind, SIGNER_RECORD_KIND) &&
	    streq(name, SIGNER_RECORD_NAME)) {
		secret_move(&b->signing_key, plain);
		return;
	}
	b->unclaimed = xreallocarray(b->unclaimed, b->n_unclaimed + 1,
	    sizeof(*b->unclaimed));
	u = &b->unclaimed[b->n_unclaimed++];
	u->kind = xstrdup(kind);
	u->name = xstrdup(name);
	u->plain = (struct secret)SECRET_INIT;
	secret_move(&u->plain, plain);
}

static void
unclaimed_clear(struct broker_unclaimed *u)
{
	secret_clear(&u->plain);
	free(u->kind);
	free(u->name);
}

void
broker_unclaimed_free(struct broker *b)
{
	for (size_t i = 0; i < b->n_unclaimed; i++)
		unclaimed_clear(&b->unclaimed[i]);
	free(b->unclaimed);
}

/* "telegraf.3" -> the token "telegraf"; names may hold dots themselves. */
static struct token *
broker_token_of_record(struct broker *b, const char *record)
{
	const char *dot = strrchr(record, '.');
	char *name _cleanup_free_ = dot ? xstrndup(record,
	    (size_t)(dot - record)) : NULL;

	return name ? broker_token_of_holder(b, name) : NULL;
}

static bool
broker_claim(struct broker *b, struct broker_unclaimed *u, bool intents)
{
	struct token *t;
	struct login *l;

	if (streq(u->kind, "login") && !intents) {
		l = broker_login(b, u->name);
		if (l)
			login_restore(l, &u->plain);
		return l != NULL;
	}
	if (streq(u->kind, "installation") && !intents) {
		installation_restore(&b->installation, &u->plain);
		return true;
	}
	if (streq(u->kind, BROKER_NUMBER_KIND) && !intents) {
		broker_number_restore(b, &u->plain);
		return true;
	}
	if (streq(u->kind, "reconcile") && !intents)
		return broker_claim_reconcile(b, u->name, &u->plain);
	if (streq(u->kind, "holders") && !intents) {
		t = broker_token_of_holder(b, u->name);
		if (t)
			token_restore_held(t, &u->plain);
		return t != NULL;
	}
	t = broker_token_of_record(b, u->name);
	if (t && streq(u->kind, "generation") && !intents)
		token_restore_generation(t, u->name, &u->plain);
	else if (t && streq(u->kind, "intent") && intents)
		token_restore_intent(t, u->name, &u->plain);
	else
		return false;
	return true;
}

/* Generations before intents: an intent whose generation is there is done. */
void
broker_claim_all(struct broker *b)
{
	size_t kept = 0;

	for (int intents = 0; intents <= 1; intents++) {
		kept = 0;
		for (size_t i = 0; i < b->n_unclaimed; i++) {
			struct broker_unclaimed *u = &b->unclaimed[i];

			if (broker_claim(b, u, intents))
				unclaimed_clear(u);
			else
				b->unclaimed[kept++] = *u;
		}
		b->n_unclaimed = kept;
	}
	for (size_t i = 0; i < b->n_unclaimed; i++)
		log_warn("broker", "record %s/%s belongs to nothing that is "
		    "configured; it is kept and not used",
		    b->unclaimed[i].kind, b->unclaimed[i].name);
}
