/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict - see the header.
 */
#include "serve/verdict.h"

#include "base/util.h"
#include "broker/broker.h"
#include "conf.h"

static struct verdict_kept *
find(struct verdict_cache *c, enum acl_door door, const char *token)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		if (c->kept[i].door == door &&
		    strcmp(c->kept[i].token, token) == 0)
			return &c->kept[i];
	return NULL;
}

static void
keep(struct verdict_cache *c, const struct verdict_env *env,
    enum acl_door door, const char *token, const struct acl_verdict *v)
{
	const char *name = NULL;
	size_t i;

	for (i = 0; i < env->conf->n_tokens && !name; i++)
		if (streq(env->conf->tokens[i]->name, token))
			name = env->conf->tokens[i]->name;
	if (!name)
		return;
	c->kept[c->next] = (struct verdict_kept){ .door = door,
		.token = name, .v = *v };
	c->next = (c->next + 1) % VERDICT_KEPT;
	if (c->n < VERDICT_KEPT)
		c->n++;
}

struct acl_verdict
verdict_get(struct verdict_cache **cache, const struct verdict_env *env,
    const struct principal *who, enum acl_door door, const char *token)
{
	struct verdict_cache *c = *cache;
	struct verdict_kept *kept;
	struct acl_verdict v;
	bool exists;

	if (c && c->conf_generation != env->conf_generation)
		c->n = c->next = 0;
	kept = c ? find(c, door, token) : NULL;
	if (kept)
		return kept->v;
	/* both, always: how long it takes must not tell which one failed */
	v = acl_check(env->conf->rules, env->conf->n_rules, who, door, token);
	exists = broker_has_token(env->broker, token) &&
	    !strchr(token, TOKEN_OF); /* a holder's is not to be had by name */
	if (v.allow && !exists) {
		v.allow = false;
		v.reason = "no such token";
	}
	if (!v.allow)
		return v;
	if (!c)
		c = *cache = xnew(struct verdict_cache);
	c->conf_generation = env->conf_generation;
	keep(c, env, door, token, &v);
	return v;
}

uint64_t
verdict_same(struct verdict_cache *c, enum acl_door door,
    const struct broker_view *view, uint64_t *last)
{
	struct verdict_kept *k = c ? find(c, door, view->name) : NULL;

	if (!k)
		return 0;
	if (k->serial != view->serial || k->expires_at != view->expires_at) {
		k->serial = view->serial;
		k->expires_at = view->expires_at;
		k->same = 0;
	} else if (!k->same) {
		k->same = ++*last;
	}
	return k->same;
}
