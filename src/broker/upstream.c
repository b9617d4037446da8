/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See upstream.h.
 *
 *   PAYING --bearer--> CALLING --401, first time--> PAYING
 *                              --anything else----> (done)
 */
#include "broker/upstream.h"

#include "base/now.h"
#include "broker/payer.h"
#include "conf.h"

struct upstream {
	struct token_env env;
	const struct conf *conf; /* referenced */
	const struct token_conf *tc;
	struct backend_run run;
	struct payer *payer;
	struct backend_call *call;
	bool pays;  /* a probe asks with the value itself, save the provider */
	bool again; /* the one retry after 401 is used */
	backend_done_fn *done;
	void *arg;
};

static void upstream_pay(struct upstream *u);

static void
upstream_free(struct upstream *u)
{
	payer_cancel(&u->payer);
	backend_call_cancel(&u->call);
	backend_run_clear(&u->run);
	conf_unref(u->conf);
	free(u);
}

static void
upstream_on_called(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct upstream *u = arg;
	struct tb_error why = TB_ERROR_INIT;

	u->call = NULL;
	if (err && run->unauthorized && !u->again && u->pays) {
		u->again = true;
		payer_refused(&u->env, u->tc->backend, &run->bearer);
		/* the inputs are still in the run; start over with them */
		u->run = *run;
		memset(run, 0, sizeof(*run));
		u->run.step = 0;
		u->run.unauthorized = false;
		upstream_pay(u);
		return;
	}
	if (err) {
		why = *err;
		if (run->unauthorized && u->pays)
			payer_gave_up(&u->env, u->tc->backend, &run->bearer,
			    &why);
	} else if (u->pays) {
		payer_worked(&u->env, u->tc->backend);
	}
	u->done(u->arg, run, err ? &why : NULL);
	upstream_free(u);
}

static void
upstream_call(struct upstream *u)
{
	u->run.now_s = now_real_s();
	u->call = backend_call_start(u->env.loop, u->env.http, &u->run,
	    upstream_on_called, u);
}

static void
upstream_on_paid(void *arg, const struct secret *bearer, int64_t expires_at,
    const struct tb_error *err)
{
	struct upstream *u = arg;

	u->payer = NULL;
	if (err) {
		u->done(u->arg, &u->run, err);
		upstream_free(u);
		return;
	}
	secret_dup(&u->run.bearer, bearer);
	u->run.bearer_expires_at = expires_at;
	upstream_call(u);
}

static void
upstream_pay(struct upstream *u)
{
	u->payer = payer_start(&u->env, u->tc->backend, 0, upstream_on_paid,
	    u);
}

struct upstream *
upstream_start(const struct token_env *env, const struct conf *conf,
    const struct token_conf *tc, struct backend_run *run,
    backend_done_fn *done, void *arg)
{
	struct upstream *u = xnew(struct upstream);

	u->env = *env;
	u->conf = conf_ref(conf);
	u->tc = tc;
	u->run = *run; /* taken */
	memset(run, 0, sizeof(*run));
	u->run.conf = tc->backend;
	u->run.recipe = &tc->recipe;
	u->run.as_client = payer_as_client;
	u->run.as_client_arg = env->broker;
	u->done = done;
	u->arg = arg;
	u->pays = u->run.verb != BACKEND_PROBE || tc->backend->introspection;
	if (u->pays)
		upstream_pay(u);
	else
		upstream_call(u);
	return u;
}

void
upstream_cancel(struct upstream **up)
{
	struct upstream *u = STEAL(*up);

	if (u)
		upstream_free(u);
}
