/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_cross - what takes more than one section: references, who pays for
 * whom, whether a backend can make what a token asks for, rules that name
 * nothing or can never be reached.
 */
#include <fnmatch.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "conf_int.h"

/* -------------------------------------------------------------- references */

static int
reference_error(const struct conf_build *b, const struct conf_item *from,
    const char *key, enum conf_section section, const char *name,
    struct tb_error *err)
{
	struct conf_guess guess;

	conf_guess_init(&guess, name);
	for (size_t i = 0; i < b->n_items; i++) {
		if (b->items[i]->section == section)
			conf_guess_try(&guess, b->items[i]->name);
	}
	return conf_error(from, key, err, "%s: there is no [%s %s]%s", key,
	    conf_section_names[section], name, conf_guess_text(&guess));
}

static int
resolve_backend(const struct conf_build *b, const struct conf_item *item,
    struct tb_error *err)
{
	const struct backend_conf *c = item->object;

	if (c->login && !conf_item_find(b, CONF_LOGIN, c->login))
		return reference_error(b, item, "login", CONF_LOGIN, c->login,
		    err);
	if (c->management_token &&
	    !conf_item_find(b, CONF_TOKEN, c->management_token))
		return reference_error(b, item, "management_token",
		    CONF_TOKEN, c->management_token, err);
	return 0;
}

static int
resolve_token(const struct conf_build *b, const struct conf_item *item,
    struct tb_error *err)
{
	struct token_conf *t = item->object;
	const struct conf_item *backend = conf_item_find(b, CONF_BACKEND,
	    item->backend_name);

	if (!backend)
		return reference_error(b, item, "backend", CONF_BACKEND,
		    item->backend_name, err);
	t->backend = backend->object;
	if (!conf_is_set(item, "kind"))
		t->recipe.kind = t->backend->ops->kind;
	return 0;
}

static int
resolve(const struct conf_build *b, struct tb_error *err)
{
	for (size_t i = 0; i < b->n_items; i++) {
		const struct conf_item *item = b->items[i];

		if (item->section == CONF_BACKEND &&
		    resolve_backend(b, item, err) < 0)
			return -1;
		if (item->section == CONF_TOKEN &&
		    resolve_token(b, item, err) < 0)
			return -1;
	}
	return 0;
}

/* ------------------------------------------------------------------ payers */

static const struct token_conf *
payer_of(const struct conf_build *b, const struct backend_conf *c)
{
	return c->management_token ?
	    conf_item_find(b, CONF_TOKEN, c->management_token)->object :
	    NULL;
}

/* It pays without being paid for: a chain ends there. */
static bool
is_made_by_hand(const struct token_conf *t)
{
	return t->backend->ops->caps(t->backend, &t->recipe) &
	    BACKEND_NO_MINT;
}

/* A chain of payers longer than there are backends comes round again. */
static int
check_payer(const struct conf_build *b, const struct conf_item *item,
    struct tb_error *err)
{
	const struct backend_conf *c = item->object;
	const struct token_conf *payer = payer_of(b, c);
	struct strbuf chain _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t steps = 0;

	if (payer && payer->recipe.kind == BACKEND_KIND_DATABASE)
		return conf_error(item, "management_token", err,
		    "management_token: [token %s] is of kind database, which "
		    "can make no tokens", payer->name);
	if (payer && payer->per_holder)
		return conf_error(item, "management_token", err,
		    "management_token: [token %s] has per = holder, and what "
		    "pays is no holder", payer->name);
	strbuf_addf(&chain, "[backend %s]", c->name);
	for (; payer && !is_made_by_hand(payer);
	     payer = payer_of(b, payer->backend)) {
		if (chain.len < 160)
			strbuf_addf(&chain, " needs [token %s] of "
			    "[backend %s]", payer->name, payer->backend->name);
		if (payer->backend == c || ++steps > b->n_items)
			return conf_error(item, "management_token", err,
			    "management_token: a circle, nobody can begin: "
			    "%s", strbuf_str(&chain));
	}
	return 0;
}

/* ------------------------------------------------------------------ tokens */

static int
check_lifetime(const struct conf *c, const struct conf_item *item,
    struct tb_error *err)
{
	const struct token_conf *t = item->object;
	unsigned caps = t->backend->ops->caps(t->backend, &t->recipe);
	struct strbuf life _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf max _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (!t->lifetime_ms &&
	    !(caps & (BACKEND_NO_MINT | BACKEND_VALUE_IS_BEARER)))
		return conf_error(item, NULL, err,
		    "lifetime is missing: no token lives for ever");
	if (t->lifetime_ms > c->max_lifetime_ms) {
		conf_value_duration(&life, t->lifetime_ms);
		conf_value_duration(&max, c->max_lifetime_ms);
		return conf_error(item, "lifetime", err,
		    "lifetime is %s, max_lifetime in [broker] is %s",
		    strbuf_str(&life), strbuf_str(&max));
	}
	if (t->lifetime_ms && t->lifetime_ms < c->min_lifetime_ms) {
		conf_value_duration(&life, t->lifetime_ms);
		conf_value_duration(&max, c->min_lifetime_ms);
		return conf_error(item, "lifetime", err,
		    "lifetime is %s, min_lifetime in [broker] is %s",
		    strbuf_str(&life), strbuf_str(&max));
	}
	return 0;
}

/* They would look as if they narrowed what the token may do. */
static int
check_exchange_keys(const struct conf_item *item, struct tb_error *err)
{
	static const char *const keys[] = { "audience", "resource", "scopes" };
	const struct token_conf *t = item->object;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!streq(t->backend->ops->type, "token-exchange") &&
		    conf_is_set(item, keys[i]))
			return conf_error(item, keys[i], err,
			    "%s is of use only with a backend of type "
			    "token-exchange", keys[i]);
	}
	return 0;
}

/* Where that cannot be, a reload would do something else than it says. */
static int
check_change(const struct conf_item *item, struct tb_error *err)
{
	const struct token_conf *t = item->object;
	unsigned caps = t->backend->ops->caps(t->backend, &t->recipe);

	if (!t->update || (caps & BACKEND_CAN_UPDATE))
		return 0;
	return conf_error(item, "on_change", err, "on_change = update: what "
	    "such a token of [backend %s] may do cannot be changed once it "
	    "is made; with on_change = mint a new one is", t->backend->name);
}

/* A value for each, of the holders or of the runs, needs a service that makes
 * it. what: the key as it is written. */
static int
check_makes_each(const struct conf_item *item, const char *key,
    const char *what, struct tb_error *err)
{
	const struct token_conf *t = item->object;
	unsigned caps = t->backend->ops->caps(t->backend, &t->recipe);

	if (!(caps & (BACKEND_NO_MINT | BACKEND_VALUE_IS_BEARER)))
		return 0;
	return conf_error(item, key, err, "%s: [backend %s] does not make a "
	    "new value for each who asks", what, t->backend->name);
}

static int
check_can_revoke(const struct conf_item *item, const char *key,
    const char *what, struct tb_error *err)
{
	const struct token_conf *t = item->object;

	if (t->backend->ops->caps(t->backend, &t->recipe) & BACKEND_CAN_REVOKE)
		return 0;
	return conf_error(item, key, err, "%s: [backend %s] cannot revoke "
	    "what it made", what, t->backend->name);
}

/* What a token may be used as besides one value for all, for its own time. */
static int
check_uses(const struct conf_item *item, struct tb_error *err)
{
	const struct token_conf *t = item->object;

	if (t->per_holder &&
	    check_makes_each(item, "per", "per = holder", err) < 0)
		return -1;
	if (t->leases &&
	    (check_makes_each(item, "leases", "leases", err) < 0 ||
	    check_can_revoke(item, "leases", "leases", err) < 0))
		return -1;
	return !t->revoke_superseded ? 0 : check_can_revoke(item,
	    "revoke_superseded", "revoke_superseded = when_moved", err);
}

static int
check_recipe(const struct conf_build *b, const struct conf_item *item,
    struct tb_error *err)
{
	const struct token_conf *t = item->object;
	_cleanup_free_ char *key = NULL;

	if (check_lifetime(b->conf, item, err) < 0 ||
	    check_change(item, err) < 0 || check_uses(item, err) < 0 ||
	    check_exchange_keys(item, err) < 0)
		return -1;
	if (t->backend->ops->check_recipe(t->backend, &t->recipe, err) == 0)
		return 0;
	key = xstrndup(err->msg, strcspn(err->msg, " :"));
	return conf_error_wrap(item, key, err);
}

/* ------------------------------------------------------------------- rules */

static bool
matches_a_token(const struct conf *c, const char *glob)
{
	for (size_t i = 0; i < c->n_tokens; i++) {
		if (fnmatch(glob, c->tokens[i]->name, 0) == 0)
			return true;
	}
	return false;
}

static bool
rule_gives(const struct acl_rule *r, const char *token)
{
	for (size_t i = 0; i < r->n_tokens; i++) {
		if (fnmatch(r->tokens[i], token, 0) == 0)
			return true;
	}
	return false;
}

/* A pattern may be there for tokens to come; a plain name is a mistake. */
static int
check_rule(const struct conf_build *b, const struct conf_item *item,
    struct tb_error *err)
{
	const struct acl_rule *r = item->object;

	for (size_t i = 0; i < r->n_credentials; i++) {
		const char *token = r->credential_tokens[i];

		if (!conf_item_find(b, CONF_TOKEN, token))
			return reference_error(b, item, "credentials",
			    CONF_TOKEN, token, err);
		if (!rule_gives(r, token))
			return conf_error(item, "credentials", err,
			    "credentials: '%s' is not among the tokens of "
			    "this rule", token);
	}
	for (size_t i = 0; i < r->n_tokens; i++) {
		if (!strpbrk(r->tokens[i], "*?[") &&
		    !matches_a_token(b->conf, r->tokens[i]))
			return reference_error(b, item, "tokens", CONF_TOKEN,
			    r->tokens[i], err);
	}
	return 0;
}

/* ---------------------------------------------------------------- warnings */

/* A request that is given up after its time-out may have arrived long before:
 * what it made is looked for until settle_time after it began. */
static void
warn_of_settle_time(struct conf_build *b, const struct conf_item *item)
{
	const struct backend_conf *c = item->object;
	struct conf *conf = b->conf;
	struct strbuf settle _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf timeout _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct tb_error text = TB_ERROR_INIT;
	const struct conf_item *broker = conf_item_find(b, CONF_BROKER, NULL);
	bool here = conf_is_set(item, "timeout");

	if (conf->settle_time_ms >= c->timeout_ms ||
	    !(c->ops->caps(c, NULL) & BACKEND_CAN_LIST))
		return;
	conf_value_duration(&settle, conf->settle_time_ms);
	conf_value_duration(&timeout, c->timeout_ms);
	conf_error(here ? item : broker, here ? "timeout" : "settle_time",
	    &text, "settle_time is %s, less than timeout = %s of [backend %s]: "
	    "a mint whose answer is lost is looked for no longer than the "
	    "request itself may last, and its token could be missed",
	    strbuf_str(&settle), strbuf_str(&timeout), c->name);
	conf->warnings = xreallocarray(conf->warnings, conf->n_warnings + 1,
	    sizeof(conf->warnings[0]));
	conf->warnings[conf->n_warnings++] = xstrdup(text.msg);
}

int
conf_cross(struct conf_build *b, struct tb_error *err)
{
	if (resolve(b, err) < 0)
		return -1;
	for (size_t i = 0; i < b->n_items; i++) {
		const struct conf_item *item = b->items[i];

		if ((item->section == CONF_BACKEND &&
			check_payer(b, item, err) < 0) ||
		    (item->section == CONF_TOKEN &&
			check_recipe(b, item, err) < 0) ||
		    (item->section == CONF_CLIENT &&
			check_rule(b, item, err) < 0))
			return -1;
		if (item->section == CONF_BACKEND)
			warn_of_settle_time(b, item);
	}
	return acl_check_shadowed(b->conf->rules, b->conf->n_rules, err);
}
