/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of a holder's own (per = holder): for each principal that asks, a
 * token like that of the recipe, called RECIPE@HOLDER, with records, renewal
 * and end of its own. The recipe itself stands in the set as well, makes
 * nothing, and speaks for those that are not there (yet).
 *
 * Nobody asks for such a name: the doors give the recipe's and who asks
 * (serve/verdict refuses a name with an '@'). Only an operator does.
 */
#include "base/log.h"
#include "broker/broker_int.h"
#include "broker/holder.h"
#include "conf.h"

#define SWEEP_MS (60 * INT64_C(1000))

/* The length of the recipe's part. */
static size_t
recipe_len(const char *name)
{
	return strcspn(name, (const char[]){ TOKEN_OF, '\0' });
}

static struct token *
recipe_of(struct broker *b, const char *name)
{
	char *recipe _cleanup_free_ = xstrndup(name, recipe_len(name));

	return broker_token(b, recipe);
}

struct token *
broker_recipe(struct broker *b, struct token *t)
{
	struct token *recipe = token_is_holders(t) ?
	    recipe_of(b, token_name(t)) : NULL;

	return recipe ? recipe : t; /* a parked one's recipe may be gone */
}

struct token *
broker_token_or_recipe(struct broker *b, const char *name)
{
	struct token *t = broker_token(b, name);

	return t ? t : recipe_of(b, name);
}

const char *
broker_name_for(struct broker *b, const char *token,
    const struct principal *who, char buf[BROKER_NAME_SIZE])
{
	struct token *t = broker_token(b, token);
	char holder[HOLDER_NAME_SIZE];

	if (!t || !token_get_conf(t)->per_holder)
		return token;
	snprintf(buf, BROKER_NAME_SIZE, "%s%c%s", token, TOKEN_OF,
	    holder_name(who, holder));
	return buf;
}

/* As it is configured now; NULL: it is not. */
static const struct token_conf *
recipe_conf(struct broker *b, const char *name)
{
	char *recipe _cleanup_free_ = xstrndup(name, recipe_len(name));

	return conf_token(b->conf, recipe);
}

/* ------------------------------------------------------------ one more */

/* tc is the recipe's. A lease is known as long as that is there, since it has
 * an end that is to be told, whatever the recipe says by now. */
static bool
may_have(const struct token_conf *tc, const char *name)
{
	return tc && (tc->per_holder || token_name_is_lease(name));
}

static unsigned
count_of(struct broker *b, const char *recipe)
{
	size_t n = strlen(recipe);
	unsigned count = 0;

	for (size_t i = 0; i < b->n_tokens; i++) {
		const char *name = token_name(b->tokens[i]);

		count += strncmp(name, recipe, n) == 0 && name[n] == TOKEN_OF &&
		    !token_is_lease(b->tokens[i]);
	}
	return count;
}

/* In its place in the order. */
static void
insert(struct broker *b, struct token *t)
{
	size_t i;

	b->tokens = xreallocarray(b->tokens, b->n_tokens + 1,
	    sizeof(*b->tokens));
	for (i = b->n_tokens++; i > 0 && strcmp(token_name(b->tokens[i - 1]),
	    token_name(t)) > 0; i--)
		b->tokens[i] = b->tokens[i - 1];
	b->tokens[i] = t;
}

struct token *
broker_make_own(struct broker *b, const char *name)
{
	struct token *t = token_new(&b->tenv, b->conf,
	    broker_token_conf(b, name));

	token_count_from(t, b->highest_gone);
	insert(b, t);
	return t;
}

struct token *
broker_token_of_holder(struct broker *b, const char *name)
{
	struct token *t = broker_token(b, name);

	if (t)
		return t;
	return name[recipe_len(name)] && may_have(recipe_conf(b, name), name) ?
	    broker_make_own(b, name) : NULL;
}

struct token *
broker_token_for(struct broker *b, const char *name)
{
	struct token *t = broker_token(b, name), *recipe;

	if (t)
		return t;
	recipe = recipe_of(b, name);
	if (strlen(name) > BROKER_OWN_NAME_MAX ||
	    count_of(b, token_name(recipe)) >=
	    token_get_conf(recipe)->max_holders)
		return recipe;
	t = broker_make_own(b, name);
	log_info("broker", "%s: a token of its own, for a holder that had none",
	    name);
	token_activate(t);
	return t;
}

/* ------------------------------------------------------- reload, the end */

void
broker_keep_holders(struct broker *b, struct token **list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = list[i] ? token_name(list[i]) : "";

		if (!name[recipe_len(name)] || broker_token(b, name) ||
		    !may_have(recipe_conf(b, name), name))
			continue;
		insert(b, list[i]);
		list[i] = NULL;
	}
}

const struct token_conf *
broker_token_conf(struct broker *b, const char *name)
{
	const struct token_conf *tc = recipe_conf(b, name);

	return name[recipe_len(name)] ? conf_token_of(b->conf, tc, name) : tc;
}

/* Nobody asks any more, and nothing is left upstream. */
static void
broker_on_sweep(void *arg)
{
	struct broker *b = arg;
	size_t kept = 0;

	broker_end_leases(b);
	for (size_t i = 0; i < b->n_tokens; i++) {
		struct token *t = b->tokens[i];

		if (!token_is_holders(t) || !token_is_over(t)) {
			b->tokens[kept++] = t;
			continue;
		}
		log_info("broker", "%s: nobody asks for it any more",
		    token_name(t));
		/* whoever knows one of its generations must not take another
		 * value for it, when the holder comes back */
		broker_number_gone(b, token_counted(t));
		token_stop(t);
		token_free(t);
	}
	b->n_tokens = kept;
	loop_timer_set(&b->sweep, SWEEP_MS);
}

void
broker_begin_sweep(struct broker *b)
{
	loop_timer_init(&b->sweep, b->tenv.loop, broker_on_sweep, b);
	loop_timer_set(&b->sweep, SWEEP_MS);
}
