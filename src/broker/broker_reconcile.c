/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The looks at the lists of all services, as one: who is looked at after a
 * reload, what the whole broker knows, and who is told that a value is over.
 */
#include "broker/broker_int.h"
#include "broker/known.h"
#include "broker/reconcile.h"
#include "broker/status.h"
#include "conf.h"

static struct reconcile *
find(struct broker *b, const char *backend)
{
	for (size_t i = 0; i < b->n_reconciles; i++) {
		if (streq(reconcile_name(b->reconciles[i]), backend))
			return b->reconciles[i];
	}
	return NULL;
}

static const struct backend_conf *
find_backend(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_backends; i++) {
		if (streq(conf->backends[i]->name, name))
			return conf->backends[i];
	}
	return NULL;
}

static void
rest_those_gone(struct broker *b)
{
	for (size_t i = 0; i < b->n_reconciles; i++) {
		struct reconcile *r = b->reconciles[i];
		const struct backend_conf *bc = find_backend(b->conf,
		    reconcile_name(r));

		if (!bc || !reconcile_can(b->conf, bc))
			reconcile_set_conf(r, b->conf, NULL);
	}
}

void
broker_apply_reconciles(struct broker *b)
{
	struct reconcile *r;

	rest_those_gone(b);
	for (size_t i = 0; i < b->conf->n_backends; i++) {
		const struct backend_conf *bc = b->conf->backends[i];

		if (!reconcile_can(b->conf, bc))
			continue;
		r = find(b, bc->name);
		if (r) {
			reconcile_set_conf(r, b->conf, bc);
			continue;
		}
		r = reconcile_new(&b->tenv, b->conf, bc);
		b->reconciles = xreallocarray(b->reconciles,
		    b->n_reconciles + 1, sizeof(struct reconcile *));
		b->reconciles[b->n_reconciles++] = r;
	}
}

/* Those that were just made. */
void
broker_activate_reconciles(struct broker *b, size_t from)
{
	for (size_t i = from; i < b->n_reconciles; i++)
		reconcile_activate(b->reconciles[i]);
}

bool
broker_claim_reconcile(struct broker *b, const char *backend,
    struct secret *plain)
{
	struct reconcile *r = find(b, backend);

	if (r)
		reconcile_restore(r, plain);
	return r != NULL;
}

void
broker_reconciles_free(struct broker *b)
{
	for (size_t i = 0; i < b->n_reconciles; i++)
		reconcile_free(b->reconciles[i]);
	free(b->reconciles);
	b->reconciles = NULL;
	b->n_reconciles = 0;
}

void
broker_payer_changed(struct broker *b)
{
	for (size_t i = 0; i < b->n_reconciles; i++)
		reconcile_payer_changed(b->reconciles[i]);
}

void
broker_retire(struct broker *b, const char *backend, const char *nonce,
    const char *id)
{
	struct reconcile *r = find(b, backend);

	if (r && nonce)
		reconcile_retire(r, nonce, id);
}

void
broker_look_soon(struct broker *b, const char *backend)
{
	struct reconcile *r = find(b, backend);

	if (r)
		reconcile_soon(r);
}

bool
broker_has_told(struct broker *b, struct reconcile *by, const char *id,
    const char *nonce)
{
	for (size_t i = 0; i < b->n_reconciles; i++) {
		if (reconcile_has_told(b->reconciles[i], by, id, nonce))
			return true;
	}
	return false;
}

/* What nothing configured claims is ours all the same. */
static void
collect_unclaimed(struct broker *b, struct known *k)
{
	struct tb_error ignored = TB_ERROR_INIT;
	struct generation *g;
	struct intent *n;

	for (size_t i = 0; i < b->n_unclaimed; i++) {
		const struct broker_unclaimed *u = &b->unclaimed[i];

		if (streq(u->kind, "generation")) {
			g = generation_decode(&u->plain, b->tenv.seal,
			    &ignored);
			if (g)
				known_add(k, g->nonce, g->id);
			generation_free(g);
		} else if (streq(u->kind, "intent")) {
			n = intent_decode(&u->plain, &ignored);
			if (n)
				known_add(k, n->nonce, NULL);
			intent_free(n);
		}
	}
}

void
broker_collect_known(struct broker *b, struct known *k, const char *backend,
    enum backend_kind kind)
{
	for (size_t i = 0; i < b->n_tokens; i++)
		token_collect_known(b->tokens[i], k, backend, kind);
	for (size_t i = 0; i < b->n_parked_tokens; i++) {
		if (b->parked_tokens[i])
			token_collect_known(b->parked_tokens[i], k, backend,
			    kind);
	}
	collect_unclaimed(b, k);
}

bool
broker_judge_imported(struct broker *b, const char *backend,
    enum backend_kind kind, const struct backend_run *run, int64_t began_ms)
{
	bool again = false;

	for (size_t i = 0; i < b->n_tokens; i++)
		again |= token_judge_imported(b->tokens[i], backend, kind,
		    run, began_ms);
	return again;
}

struct reconcile *
broker_reconcile_find(struct broker *b, const char *backend)
{
	struct reconcile *r = find(b, backend);

	return r && !reconcile_rests(r) ? r : NULL;
}

json_t *
broker_status_reconciles(struct broker *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_reconciles; i++) {
		if (!reconcile_rests(b->reconciles[i]))
			json_array_append_new(list,
			    reconcile_status(b->reconciles[i]));
	}
	return list;
}
