/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of logins and tokens, by name. It routes; what happens to a login or
 * a token is decided in their own files.
 */
#include "broker/broker.h"

#include "base/log.h"
#include "base/now.h"
#include "broker/broker_int.h"
#include "broker/login.h"
#include "conf.h"
#include "lib/loop.h"
#include "state/audit.h"
#include "state/signer.h"
#include "state/store.h"

/* ------------------------------------------------------------ look-up */

static int
login_cmp(const void *a, const void *b)
{
	return strcmp(login_name(*(struct login *const *)a),
	    login_name(*(struct login *const *)b));
}

static int
token_cmp(const void *a, const void *b)
{
	return strcmp(token_name(*(struct token *const *)a),
	    token_name(*(struct token *const *)b));
}

static int
login_name_cmp(const void *name, const void *l)
{
	return strcmp(name, login_name(*(struct login *const *)l));
}

static int
token_name_cmp(const void *name, const void *t)
{
	return strcmp(name, token_name(*(struct token *const *)t));
}

struct login *
broker_login(struct broker *b, const char *name)
{
	struct login **l = b->n_logins ? bsearch(name, b->logins, b->n_logins,
	    sizeof(*b->logins), login_name_cmp) : NULL;

	return l ? *l : NULL;
}

struct token *
broker_token(struct broker *b, const char *name)
{
	struct token **t = b->n_tokens ? bsearch(name, b->tokens, b->n_tokens,
	    sizeof(*b->tokens), token_name_cmp) : NULL;

	return t ? *t : NULL;
}

struct login *
broker_payer_login(struct broker *b, const struct backend_conf *backend)
{
	struct token *t;

	/* conf refuses cycles */
	while (!backend->login) {
		t = backend->management_token ? broker_token(b,
		    backend->management_token) : NULL;
		if (!t || token_is_made_by_hand(t))
			return NULL;
		backend = token_get_conf(t)->backend;
	}
	return broker_login(b, backend->login);
}

/* ------------------------------------------------------------- quotas */

int
broker_may_mint(struct broker *b, struct token *t, struct tb_error *err)
{
	struct token *recipe = broker_recipe(b, t);

	if (token_take_quota(recipe, err) < 0) {
		token_count_over_quota(recipe, false);
		return -1;
	}
	if (quota_take(&b->mints, b->conf->mints_per_hour, "", err) == 0)
		return 0;
	token_count_over_quota(recipe, true);
	token_return_quota(recipe);
	return -1;
}

void
broker_did_not_mint(struct broker *b, const char *name)
{
	struct token *t = broker_token_or_recipe(b, name);

	quota_return(&b->mints);
	if (t)
		token_return_quota(broker_recipe(b, t));
}

uint64_t
broker_serial(struct broker *b)
{
	return ++b->serial;
}

void
broker_count_mint(struct broker *b, bool ok)
{
	if (ok)
		b->n_mints++;
	else
		b->n_mint_failures++;
}

/* ----------------------------------------------------------- releases */

bool
broker_has_token(const struct broker *b, const char *name)
{
	return broker_token((struct broker *)(uintptr_t)b, name) != NULL;
}

int64_t
broker_max_min_valid(const struct broker *b, const char *name)
{
	struct token *t = broker_token_or_recipe(
	    (struct broker *)(uintptr_t)b, name);

	return t ? token_max_min_valid(t) : 0;
}

bool
broker_get(struct broker *b, const char *name, int64_t min_valid_s,
    struct broker_view *view)
{
	struct token *t = broker_token(b, name);

	return t && token_get(t, min_valid_s, view);
}

struct broker_waiter *
broker_wait(struct broker *b, const char *name, uint64_t newer_than,
    int64_t min_valid_s, broker_waiter_fn *fn, void *arg)
{
	/* the doors check broker_has_token first, conf checked backends */
	return token_wait(broker_token_for(b, name), newer_than, min_valid_s,
	    fn, arg);
}

bool
broker_rejected(struct broker *b, const char *name, uint64_t generation,
    const unsigned char sha256[32], const struct principal *who)
{
	struct token *t = broker_token(b, name);

	return t && token_rejected(t, generation, sha256, who);
}

const char *
broker_token_login(const struct broker *b, const char *name)
{
	struct broker *bb = (struct broker *)(uintptr_t)b;
	struct token *t = broker_token_or_recipe(bb, name);
	struct login *l = t ? broker_payer_login(bb,
	    token_get_conf(t)->backend) : NULL;

	return l ? login_name(l) : NULL;
}

void
broker_each_token(struct broker *b, void (*fn)(void *arg, const char *name),
    void *arg)
{
	for (size_t i = 0; i < b->n_tokens; i++)
		if (!token_is_holders(b->tokens[i]))
			fn(arg, token_name(b->tokens[i]));
}

struct broker_login_watch *
broker_login_start(struct broker *b, const struct broker_login_request *req,
    broker_login_fn *fn, void *arg, struct tb_error *err)
{
	struct login *l = broker_login(b, req->name);

	if (!l) {
		tb_error_set(err, TB_E_BADREQ, "there is no login '%s' in the "
		    "configuration", req->name);
		return NULL;
	}
	/* a renewed login hands the older grant back */
	if (store_is_quarantined(b->store)) {
		store_why_quarantined(b->store, err);
		return NULL;
	}
	return login_begin(l, req, fn, arg, err);
}

/* -------------------------------------------------------- start, reload */

static void
broker_on_login_changed(void *arg, struct login *l)
{
	struct broker *b = arg;

	broker_payer_changed(b);
	for (size_t i = 0; i < b->n_tokens; i++)
		token_login_changed(b->tokens[i], l);
}

static void
broker_on_clock_step(void *arg)
{
	struct broker *b = arg;

	log_info("broker", "the clock was set or the machine slept; all "
	    "deadlines are looked at again");
	for (size_t i = 0; i < b->n_tokens; i++)
		token_clock_stepped(b->tokens[i]);
}

static struct login_env
broker_login_env(struct broker *b)
{
	return (struct login_env){
		.loop = b->tenv.loop,
		.http = b->tenv.http,
		.store = b->store,
		.audit = b->tenv.audit,
		.changed = broker_on_login_changed,
		.arg = b,
	};
}

static void
idps_free(struct idp **idps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		idp_free(idps[i]);
	free(idps);
}

/* Every file of every login is read before anything is changed. */
static struct idp **
idps_new(const struct conf *conf, struct tb_error *err)
{
	struct idp **idps = xcalloc(conf->n_logins, sizeof(*idps));

	for (size_t i = 0; i < conf->n_logins; i++) {
		idps[i] = idp_new(conf->logins[i], err);
		if (!idps[i]) {
			tb_error_wrap(err, "[login %s]",
			    conf->logins[i]->name);
			idps_free(idps, conf->n_logins);
			return NULL;
		}
	}
	return idps;
}

static struct login *
login_unpark(struct login **list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] && streq(login_name(list[i]), name))
			return STEAL(list[i]);
	}
	return NULL;
}

static struct token *
token_unpark(struct token **list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] && streq(token_name(list[i]), name))
			return STEAL(list[i]);
	}
	return NULL;
}

/* idps are taken. Logins that exist are given their new configuration. */
static void
broker_apply_logins(struct broker *b, const struct conf *conf,
    struct idp **idps)
{
	struct login_env env = broker_login_env(b);
	struct login **next = xcalloc(conf->n_logins, sizeof(*next));
	struct login *l;

	for (size_t i = 0; i < conf->n_logins; i++) {
		const char *name = conf->logins[i]->name;

		l = login_unpark(b->logins, b->n_logins, name);
		if (!l)
			l = login_unpark(b->parked_logins, b->n_parked_logins,
			    name);
		if (l)
			login_set_conf(l, conf, idps[i]);
		else
			l = login_new(&env, conf, idps[i]);
		next[i] = l;
	}
	b->parked_logins = xreallocarray(b->parked_logins,
	    b->n_parked_logins + b->n_logins, sizeof(*b->parked_logins));
	for (size_t i = 0; i < b->n_logins; i++) {
		if (b->logins[i])
			b->parked_logins[b->n_parked_logins++] = b->logins[i];
	}
	free(b->logins);
	free(idps);
	b->logins = next;
	b->n_logins = conf->n_logins;
	qsort(b->logins, b->n_logins, sizeof(*b->logins), login_cmp);
}

static void
broker_apply_tokens(struct broker *b, const struct conf *conf)
{
	struct token **old = b->tokens, *t;
	size_t n_old = b->n_tokens;

	b->tokens = xcalloc(conf->n_tokens, sizeof(*b->tokens));
	b->n_tokens = 0;
	for (size_t i = 0; i < conf->n_tokens; i++) {
		const struct token_conf *tc = conf->tokens[i];

		t = token_unpark(old, n_old, tc->name);
		if (!t)
			t = token_unpark(b->parked_tokens, b->n_parked_tokens,
			    tc->name);
		if (!t)
			t = token_new(&b->tenv, conf, tc);
		b->tokens[b->n_tokens++] = t;
	}
	qsort(b->tokens, b->n_tokens, sizeof(*b->tokens), token_cmp);
	broker_keep_holders(b, old, n_old);
	broker_keep_holders(b, b->parked_tokens, b->n_parked_tokens);
	b->parked_tokens = xreallocarray(b->parked_tokens,
	    b->n_parked_tokens + n_old, sizeof(*b->parked_tokens));
	for (size_t i = 0; i < n_old; i++) {
		if (!old[i])
			continue;
		token_park(old[i]);
		b->parked_tokens[b->n_parked_tokens++] = old[i];
	}
	free(old);
	for (size_t i = 0; i < b->n_tokens; i++)
		token_set_conf(b->tokens[i], conf,
		    broker_token_conf(b, token_name(b->tokens[i])));
}

static void
broker_apply(struct broker *b, const struct conf *conf, struct idp **idps)
{
	size_t n_reconciles = b->n_reconciles;

	conf_ref(conf);
	conf_unref(b->conf);
	b->conf = conf;
	broker_apply_logins(b, conf, idps);
	broker_apply_tokens(b, conf);
	broker_apply_reconciles(b);
	broker_claim_all(b);
	installation_begin(&b->installation, b->store);
	for (size_t i = 0; i < b->n_logins; i++)
		login_activate(b->logins[i]);
	for (size_t i = 0; i < b->n_tokens; i++) {
		if (token_is_active(b->tokens[i]))
			continue;
		if (!token_counted(b->tokens[i]))
			token_count_from(b->tokens[i], b->highest_gone);
		token_activate(b->tokens[i]);
	}
	for (size_t i = 0; i < b->n_tokens; i++)
		token_look_at_grant(b->tokens[i]);
	broker_activate_reconciles(b, n_reconciles);
	broker_tell_insecure(b);
}

struct broker *
broker_new(const struct broker_env *env, const struct conf *conf,
    struct tb_error *err)
{
	struct idp **idps = idps_new(conf, err);
	const struct store_env senv = {
		.loop = env->loop,
		.writer = env->writer,
		.seal = env->seal,
		.run_dir = conf->run_dir,
		.log_dir = conf->log_dir,
	};
	struct broker *b;

	if (!idps)
		return NULL;
	b = xnew(struct broker);
	TAILQ_INIT(&b->jobs);
	b->writer = env->writer;
	b->started_at = now_real_s();
	quota_init(&b->mints, conf->mints_per_hour);
	installation_init(&b->installation, env->loop);
	b->store = store_open(&senv, broker_take_record, b, err);
	if (!b->store) {
		idps_free(idps, conf->n_logins);
		broker_free(b);
		return NULL;
	}
	b->tenv = (struct token_env){
		.loop = env->loop,
		.http = env->http,
		.store = b->store,
		.audit = env->audit,
		.seal = env->seal,
		.broker = b,
		.installation = &b->installation,
		.unit_is_over = env->unit_is_over,
	};
	broker_begin_state(b);
	b->signer = signer_new(env->loop, env->writer, b->store,
	    &b->signing_key);
	broker_apply(b, conf, idps);
	broker_begin_sweep(b);
	loop_on_clock_step(env->loop, broker_on_clock_step, b);
	return b;
}

int
broker_reconfigure(struct broker *b, const struct conf *conf,
    struct tb_error *err)
{
	struct audit_rec rec = { .event = AUDIT_RELOADED };
	struct idp **idps;

	if (conf_check_reloadable(b->conf, conf, err) < 0)
		return -1;
	idps = idps_new(conf, err);
	if (!idps)
		return -1;
	broker_apply(b, conf, idps);
	audit_durable(b->tenv.audit, &rec, NULL, NULL);
	return 0;
}

static void
tokens_stop(struct token **tokens, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (tokens[i])
			token_stop(tokens[i]);
	}
}

static void
tokens_free(struct token **tokens, size_t n)
{
	for (size_t i = 0; i < n; i++)
		token_free(tokens[i]);
	free(tokens);
}

static void
logins_free(struct login **logins, size_t n)
{
	for (size_t i = 0; i < n; i++)
		login_free(logins[i]);
	free(logins);
}

void
broker_free(struct broker *b)
{
	if (!b)
		return;
	broker_jobs_free(b);
	loop_timer_stop(&b->sweep);
	broker_reconciles_free(b);
	installation_stop(&b->installation);
	/* tokens pay for tokens: all stop before the first is freed */
	tokens_stop(b->tokens, b->n_tokens);
	tokens_stop(b->parked_tokens, b->n_parked_tokens);
	tokens_free(b->tokens, b->n_tokens);
	tokens_free(b->parked_tokens, b->n_parked_tokens);
	b->n_tokens = 0; /* a login that ends tells no token */
	logins_free(b->logins, b->n_logins);
	logins_free(b->parked_logins, b->n_parked_logins);
	broker_unclaimed_free(b);
	signer_free(b->signer);
	secret_clear(&b->signing_key);
	store_close(b->store);
	conf_unref(b->conf);
	free(b);
}
