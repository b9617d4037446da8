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
	struct tb_error gone; /* TB_OK: none is needed */
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
		/* the payer went away, not what it pays for */
		if (why.code == TB_E_BADREQ)
			why.code = TB_E_UNREACHED;
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
	struct payer *p = arg;
	struct tb_error gone = p->gone;

	if (gone.code)
		payer_end(p, NULL, 0, &gone);
	else
		payer_end(p, &none, 0, NULL);
}

/* An operation lives on with the configuration it began with, and a reload
 * may have removed who paid then. */
static void
payer_find(struct payer *p, const struct token_env *env,
    const struct backend_conf *backend, int64_t min_valid_s)
{
	struct login *l = backend->login ? broker_login(env->broker,
	    backend->login) : NULL;

	if (l && (backend->ops->caps(backend, NULL) & BACKEND_AS_CLIENT))
		p->login = login_bearer_for_provider(l, min_valid_s,
		    payer_on_login, p);
	else if (l)
		p->login = login_bearer_start(l, min_valid_s, payer_on_login,
		    p);
	else if (backend->login)
		tb_error_set(&p->gone, TB_E_UNREACHED, "login '%s', which paid, "
		    "is not configured any more", backend->login);
	else if (!backend->management_token)
		return;
	else if (broker_has_token(env->broker, backend->management_token))
		p->token = broker_wait(env->broker, backend->management_token,
		    0, 0, payer_on_token, p);
	else
		tb_error_set(&p->gone, TB_E_UNREACHED, "token '%s', which paid, "
		    "is not configured any more", backend->management_token);
}

struct payer *
payer_start(const struct token_env *env, const struct backend_conf *backend,
    int64_t min_valid_s, payer_done_fn *done, void *arg)
{
	struct payer *p = xnew(struct payer);

	p->done = done;
	p->arg = arg;
	loop_task_init(&p->nothing, env->loop, payer_on_nothing, p);
	payer_find(p, env, backend, min_valid_s);
	if (!p->login && !p->token)
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

/* By name, at the moment it is sent: a reload may have changed the login. */
int
payer_as_client(void *broker, const struct backend_conf *backend,
    enum backend_endpoint at, struct secret *form,
    struct http_request *request, struct tb_error *err)
{
	struct login *l = backend->login ? broker_login(broker,
	    backend->login) : NULL;

	if (!l)
		return tb_error_set(err, TB_E_UNREACHED, "the login that "
		    "backend '%s' asks by is not configured any more",
		    backend->name);
	return login_as_client(l, at, form, request, err);
}

void
payer_refused(const struct token_env *env, const struct backend_conf *backend,
    const struct secret *bearer)
{
	unsigned char sha[SHA256_DIGEST_LENGTH];
	struct broker_view view;
	struct login *l;

	if (backend->login) {
		l = broker_login(env->broker, backend->login);
		if (l)
			login_bearer_refused(l, bearer);
	} else if (backend->management_token && broker_get(env->broker,
	    backend->management_token, 0, &view)) {
		SHA256((const unsigned char *)secret_reveal(bearer),
		    bearer->len, sha);
		broker_rejected(env->broker, backend->management_token,
		    view.generation, sha, NULL);
	}
}

/* NULL: what pays is none, or the broker makes it itself. */
static struct token *
payer_by_hand(const struct token_env *env, const struct backend_conf *backend)
{
	struct token *t = backend->management_token ? broker_token(env->broker,
	    backend->management_token) : NULL;

	return t && token_is_made_by_hand(t) ? t : NULL;
}

void
payer_gave_up(const struct token_env *env, const struct backend_conf *backend,
    const struct secret *bearer, struct tb_error *err)
{
	struct token *t = payer_by_hand(env, backend);
	struct tb_error why = *err;

	if (!t && backend->login)
		tb_error_set(err, why.code, "%.200s; login '%s' pays: look at "
		    "its audience and scopes, or log in as somebody whom the "
		    "service knows: tokenbrokerctl login %s", why.msg,
		    backend->login, backend->login);
	if (!t)
		return;
	token_payer_refused(t, bearer, backend->name, why.msg);
	tb_error_set(err, TB_E_LOGIN, "token '%s', which pays, is refused: "
	    "%.400s; make another one there, and run: tokenbrokerctl import "
	    "%s", token_name(t), why.msg, token_name(t));
}

void
payer_worked(const struct token_env *env, const struct backend_conf *backend)
{
	struct token *t = payer_by_hand(env, backend);

	if (t)
		token_payer_worked(t);
}
