/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See payer.h. A management token pays like any other client of the broker
 * would use it: by its name, the newest ready generation.
 */
#include "broker/payer.h"

#include <openssl/sha.h>

#include "broker/broker_int.h"
#include "broker/login.h"
#include "lib/loop.h"

struct payer {
	struct login_bearer *login;
	struct broker_waiter *token;
	struct loop_task nothing;
	payer_done_fn *done;
	void *arg;
};

static void
payer_end(struct payer *p, const struct secret *bearer, int64_t expires_at,
    const struct tb_error *err)
{
	payer_done_fn *done = p->done;
	void *arg = p->arg;

	done(arg, bearer, expires_at, err);
	free(p);
}

static void
payer_on_login(void *arg, const struct secret *token, int64_t expires_at,
    const struct tb_error *err)
{
	struct payer *p = arg;

	p->login = NULL;
	payer_end(p, token, expires_at, err);
}

static void
payer_on_token(void *arg, const struct broker_view *view,
    const struct tb_error *err)
{
	struct payer *p = arg;
	struct tb_error why;

	p->token = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "the management token that pays");
		payer_end(p, NULL, 0, &why);
	} else {
		payer_end(p, view->value, view->expires_at, NULL);
	}
}

static void
payer_on_nothing(void *arg)
{
	static const struct secret none = SECRET_INIT;

	payer_end(arg, &none, 0, NULL);
}

struct payer *
payer_start(const struct token_env *env, const struct backend_conf *backend,
    int64_t min_valid_s, payer_done_fn *done, void *arg)
{
	struct payer *p = xnew(struct payer);

	p->done = done;
	p->arg = arg;
	loop_task_init(&p->nothing, env->loop, payer_on_nothing, p);
	if (backend->login)
		p->login = login_bearer_start(broker_login(env->broker,
		    backend->login), min_valid_s, payer_on_login, p);
	else if (backend->management_token)
		p->token = broker_wait(env->broker, backend->management_token,
		    0, 0, payer_on_token, p);
	else
		loop_task_post(&p->nothing);
	return p;
}

void
payer_cancel(struct payer **pp)
{
	struct payer *p = STEAL(*pp);

	if (!p)
		return;
	login_bearer_cancel(&p->login);
	broker_wait_cancel(&p->token);
	loop_task_cancel(&p->nothing);
	free(p);
}

void
payer_refused(const struct token_env *env, const struct backend_conf *backend,
    const struct secret *bearer)
{
	unsigned char sha[SHA256_DIGEST_LENGTH];
	struct broker_view view;

	if (backend->login) {
		login_bearer_refused(broker_login(env->broker, backend->login),
		    bearer);
	} else if (backend->management_token && broker_get(env->broker,
	    backend->management_token, 0, &view)) {
		SHA256((const unsigned char *)secret_reveal(bearer),
		    bearer->len, sha);
		broker_rejected(env->broker, backend->management_token,
		    view.generation, sha);
	}
}
