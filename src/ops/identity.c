/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity - from an id token to claims that can be relied upon.
 *
 *   start --> KEYS --known kid-------------> verify --> (done)
 *               |                              ^
 *               +--unseen kid--> KEYS AGAIN ---+
 *
 * Providers rotate their keys whenever they like; a kid that is not in the set
 * fetched within the hour is no forgery yet. One more fetch settles it.
 */
#include "ops/identity.h"

#include "base/now.h"
#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/jsonx.h"
#include "lib/jws.h"
#include "ops/discover.h"
#include "ops/idp.h"

#define REFRESH_LEEWAY_S (24 * 3600)

struct identity {
	struct loop *loop;
	struct http *http;
	struct idp *idp;
	struct discover *discover;
	struct secret id_token;
	enum identity_times times;
	identity_done_fn *done;
	void *arg;
};

static discover_done_fn identity_on_keys;
static discover_done_fn identity_on_keys_again;
static void identity_verify(struct identity *i);

static void
identity_free(struct identity *i)
{
	discover_cancel(&i->discover);
	secret_clear(&i->id_token);
	free(i);
}

struct identity *
identity_start(struct loop *loop, struct http *http, struct idp *idp,
    const struct secret *id_token, enum identity_times times,
    identity_done_fn *done, void *arg)
{
	struct identity *i = xnew(struct identity);

	i->loop = loop;
	i->http = http;
	i->idp = idp;
	i->times = times;
	i->done = done;
	i->arg = arg;
	secret_dup(&i->id_token, id_token);
	i->discover = discover_start(loop, http, idp, DISCOVER_KEYS,
	    identity_on_keys, i);
	return i;
}

void
identity_cancel(struct identity **i)
{
	if (*i)
		identity_free(STEAL(*i));
}

static void
identity_finish(struct identity *i, json_t *claims,
    const struct tb_error *err)
{
	i->done(i->arg, claims, err);
	identity_free(i);
}

static void
identity_on_keys(void *arg, const struct tb_error *err)
{
	struct identity *i = arg;

	i->discover = NULL;
	if (err)
		identity_finish(i, NULL, err);
	else if (jws_keys_has(i->idp->keys, &i->id_token))
		identity_verify(i);
	else
		i->discover = discover_start(i->loop, i->http, i->idp,
		    DISCOVER_KEYS_AGAIN, identity_on_keys_again, i);
}

static void
identity_on_keys_again(void *arg, const struct tb_error *err)
{
	struct identity *i = arg;

	i->discover = NULL;
	if (err)
		identity_finish(i, NULL, err);
	else
		identity_verify(i);
}

static void
identity_verify(struct identity *i)
{
	const struct idp_conf *c = i->idp->conf;
	struct jws_expect expect = {
		.issuer = i->idp->issuer,
		.client_id = c->client_id,
		.now_s = now_real_s(),
		.leeway_s = i->times == IDENTITY_OF_REFRESH ?
		    MAX2(c->leeway_s, REFRESH_LEEWAY_S) : c->leeway_s,
	};
	struct tb_error why = TB_ERROR_INIT;
	json_t *claims _cleanup_json_ = NULL;

	if (expect.issuer)
		claims = jws_verify(i->idp->keys, &i->id_token, &expect,
		    &why);
	else
		tb_error_set(&why, TB_E_CONFIG,
		    "no issuer is configured to compare with");
	if (!claims)
		tb_error_wrap(&why, "the id token");
	identity_finish(i, claims, claims ? NULL : &why);
}
