/* SPDX-License-Identifier: Apache-2.0 */
/*
 * discover - where a provider's endpoints are, and its keys.
 *
 *   start --> (SERVER) --> OPENID --found---> JWKS --keys--> (done)
 *               |                              ^
 *               +--not there--> RFC 8414 --found
 *
 * A state that is not needed is skipped: explicit endpoints, knowledge younger
 * than an hour, keys that nobody asked for. Endpoints that were known before
 * stay in use while the provider does not answer, so that its discovery being
 * down does not keep a refresh from being tried. Keys do not: a login needs
 * the provider alive anyway, and a withdrawn key must not live on here.
 *
 * The document decides where refresh tokens are sent. At least one provider
 * library writes endpoints from the Host header of whoever asked, so what is
 * not of the issuer's origin is refused; an administrator who knows better
 * configures the endpoint. Explicit endpoints are not judged here.
 */
#include "ops/discover.h"

#include "base/now.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/http.h"
#include "lib/jws.h"
#include "lib/loop.h"
#include "ops/idp.h"
#include "ops/oauth.h"
#include "ops/oauth_config.h"

#define DISCOVER_FRESH_MS (3600 * 1000)
#define DISCOVER_OPENID "/.well-known/openid-configuration"
#define DISCOVER_OAUTH "/.well-known/oauth-authorization-server"

struct discover {
	struct http *http;
	struct idp *idp;
	enum discover_want want;
	struct http_call *call;
	struct loop_task task; /* the first step, on the next turn */
	discover_done_fn *done;
	void *arg;
};

static loop_fn discover_begin;
static http_done_fn discover_on_server;
static http_done_fn discover_on_openid;
static http_done_fn discover_on_oauth;
static void discover_openid(struct discover *d);
static void discover_endpoints_known(struct discover *d);
static http_done_fn discover_on_keys;

static void
discover_free(struct discover *d)
{
	http_call_cancel(&d->call);
	loop_task_cancel(&d->task);
	free(d);
}

struct discover *
discover_start(struct loop *loop, struct http *http, struct idp *idp,
    enum discover_want want, discover_done_fn *done, void *arg)
{
	struct discover *d = xnew(struct discover);

	d->http = http;
	d->idp = idp;
	d->want = want;
	d->done = done;
	d->arg = arg;
	loop_task_init(&d->task, loop, discover_begin, d);
	loop_task_post(&d->task);
	return d;
}

void
discover_cancel(struct discover **d)
{
	if (*d)
		discover_free(STEAL(*d));
}

static void
discover_finish(struct discover *d, const struct tb_error *err)
{
	d->done(d->arg, err);
	discover_free(d);
}

static bool
is_fresh(int64_t at_ms)
{
	return at_ms != 0 && now_boot_ms() - at_ms < DISCOVER_FRESH_MS;
}

static void
discover_get(struct discover *d, const char *url, http_done_fn *fn)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;

	idp_request(d->idp, url, &req);
	req.method = "GET";
	req.content_type = NULL;
	d->call = http_call_start(d->http, &req, fn, d);
}

/* Nothing to learn: every endpoint is configured, or there is no discovery. */
static bool
discover_is_explicit(const struct idp_conf *c)
{
	return !c->discovery ||
	    (c->device_endpoint && c->token_endpoint &&
		c->revocation_endpoint && c->jwks_uri);
}

/* The issuer without the slash that some write at its end. */
static char *
discover_issuer(const struct idp_conf *c)
{
	size_t n = strlen(c->issuer);

	if (n && c->issuer[n - 1] == '/')
		n--;
	return xstrndup(c->issuer, n);
}

/* An InfluxDB 3 server says whose logins it takes. -> SERVER, or on. */
static void
discover_begin(void *arg)
{
	struct discover *d = arg;
	const char *server = d->idp->conf->influxdb3_url;
	char *url _cleanup_free_ = NULL;

	if (!server || is_fresh(d->idp->learnt_at_ms)) {
		discover_openid(d);
		return;
	}
	url = xasprintf("%s%s", server, OAUTH_CONFIG_PATH);
	discover_get(d, url, discover_on_server);
}

/* While it is away, what it said before has to do. Whatever it says decides
 * only whom we ask: a grant goes to nobody but whom it was given by. */
static void
discover_on_server(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct discover *d = arg;
	struct oauth_config said _cleanup_(oauth_config_clear) = {
		.issuer = NULL };
	struct tb_error why = TB_ERROR_INIT;

	d->call = NULL;
	if (err)
		why = *err;
	else if (oauth_config_parse(reply, &said, &why) == 0)
		idp_learn(d->idp, &said, &why);
	if (why.code && !(tb_error_is_transient(&why) &&
	    d->idp->conf->issuer)) {
		tb_error_wrap(&why, "%s%s", d->idp->conf->influxdb3_url,
		    OAUTH_CONFIG_PATH);
		discover_finish(d, &why);
		return;
	}
	discover_openid(d);
}

/* -> OPENID, or on when nothing is to be fetched. */
static void
discover_openid(struct discover *d)
{
	const struct idp_conf *c = d->idp->conf;
	_cleanup_free_ char *issuer = NULL, *url = NULL;

	struct tb_error why = TB_ERROR_INIT;

	if (discover_is_explicit(c) || is_fresh(d->idp->discovered_at_ms)) {
		discover_endpoints_known(d);
		return;
	}
	if (!c->issuer) {
		tb_error_set(&why, TB_E_CONFIG,
		    "discovery needs an issuer, and none is configured");
		discover_finish(d, &why);
		return;
	}
	issuer = discover_issuer(c);
	url = xasprintf("%s%s", issuer, DISCOVER_OPENID);
	discover_get(d, url, discover_on_openid);
}

/* RFC 8414 puts the well-known part between host and path. */
static void
discover_try_oauth(struct discover *d)
{
	_cleanup_free_ char *issuer = discover_issuer(d->idp->conf);
	_cleanup_free_ char *url = NULL;
	const char *host = strstr(issuer, "://"), *path;
	size_t n;

	host = host ? host + 3 : issuer;
	path = strchr(host, '/');
	n = path ? (size_t)(path - issuer) : strlen(issuer);
	url = xasprintf("%.*s%s%s", (int)n, issuer, DISCOVER_OAUTH,
	    path ? path : "");
	discover_get(d, url, discover_on_oauth);
}

/* One endpoint that was found, if it is where it must be; nothing when one is
 * configured. */
static int
discover_take(const struct idp_conf *c, const char *name, char **to,
    const char *configured, char **found, struct tb_error *err)
{
	_cleanup_free_ char *want = http_url_origin(c->issuer);
	_cleanup_free_ char *have = NULL;

	if (configured)
		return 0;
	if (*found) {
		have = http_url_origin(*found);
		if (!streq(want, have))
			return tb_error_set(err, TB_E_PROTO,
			    "the provider's %s is at %.100s, not at its "
			    "issuer's origin; if that is right, configure it",
			    name, have ? have : "no origin");
	}
	*to = STEAL(*found);
	return 0;
}

/* Few need it, so one that cannot be used is none, and no reason to refuse the
 * others. */
static void
discover_take_introspection(struct idp *idp, struct oauth_metadata *m)
{
	bool mtls = idp->conf->auth == IDP_AUTH_TLS;
	struct tb_error ignored = TB_ERROR_INIT;

	free(STEAL(idp->introspection_endpoint));
	discover_take(idp->conf, "introspection_endpoint",
	    &idp->introspection_endpoint, NULL,
	    mtls && m->mtls_introspection_endpoint ?
		&m->mtls_introspection_endpoint :
		&m->introspection_endpoint,
	    &ignored);
}

/* All endpoints or none: on an error the idp is as it was. */
static int
discover_take_all(struct discover *d, struct oauth_metadata *m,
    struct tb_error *err)
{
	struct idp *idp = d->idp;
	const struct idp_conf *c = idp->conf;
	bool mtls = c->auth == IDP_AUTH_TLS;
	struct oauth_metadata t _cleanup_(oauth_metadata_clear) = {
		.issuer = NULL };

	/* RFC 8705 section 5: where there are such, they are the ones */
	if (discover_take(c, "device_authorization_endpoint",
		&t.device_endpoint, c->device_endpoint,
		mtls && m->mtls_device_endpoint ? &m->mtls_device_endpoint :
						  &m->device_endpoint,
		err) < 0 ||
	    discover_take(c, "token_endpoint", &t.token_endpoint,
		c->token_endpoint,
		mtls && m->mtls_token_endpoint ? &m->mtls_token_endpoint :
						 &m->token_endpoint,
		err) < 0 ||
	    discover_take(c, "revocation_endpoint", &t.revocation_endpoint,
		c->revocation_endpoint,
		mtls && m->mtls_revocation_endpoint ?
		    &m->mtls_revocation_endpoint :
		    &m->revocation_endpoint,
		err) < 0)
		return -1;
	if (!c->token_endpoint && !t.token_endpoint)
		return tb_error_set(err, TB_E_PROTO,
		    "the provider publishes no token_endpoint");
	str_set(&idp->issuer, m->issuer);
	if (!c->device_endpoint)
		str_set(&idp->device_endpoint, t.device_endpoint);
	if (!c->token_endpoint)
		str_set(&idp->token_endpoint, t.token_endpoint);
	if (!c->revocation_endpoint)
		str_set(&idp->revocation_endpoint, t.revocation_endpoint);
	if (!c->introspection_endpoint)
		discover_take_introspection(idp, m);
	/* public, and no secret goes there: any origin will do */
	if (!c->jwks_uri)
		str_set(&idp->jwks_uri, m->jwks_uri);
	idp->discovered_at_ms = now_boot_ms();
	return 0;
}

/* No document. What is known, from before or from the configuration, does for
 * as long as it must. */
static void
discover_failed(struct discover *d, const struct tb_error *err)
{
	const struct idp *idp = d->idp;
	struct tb_error why = *err;
	bool enough = idp->token_endpoint &&
	    (d->want == DISCOVER_ENDPOINTS || idp->jwks_uri);

	if (tb_error_is_transient(err) && enough) {
		discover_endpoints_known(d);
		return;
	}
	tb_error_wrap(&why, "discovery");
	discover_finish(d, &why);
}

static int
discover_parse(struct discover *d, struct http_reply *reply,
    struct tb_error *err)
{
	const struct idp_conf *c = d->idp->conf;
	struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
		.issuer = NULL };

	if (oauth_parse_metadata(reply, c->issuer,
		c->allow_insecure_loopback, &m, err) < 0)
		return -1;
	return discover_take_all(d, &m, err);
}

static void
discover_on_openid(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct discover *d = arg;
	struct tb_error why = TB_ERROR_INIT;

	d->call = NULL;
	if (err)
		discover_failed(d, err);
	else if (discover_parse(d, reply, &why) == 0)
		discover_endpoints_known(d);
	else if (why.code == TB_E_UPSTREAM) /* not there */
		discover_try_oauth(d);
	else
		discover_failed(d, &why);
}

static void
discover_on_oauth(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct discover *d = arg;
	struct tb_error why = TB_ERROR_INIT;

	d->call = NULL;
	if (err)
		discover_failed(d, err);
	else if (discover_parse(d, reply, &why) == 0)
		discover_endpoints_known(d);
	else
		discover_failed(d, &why);
}

/* -> JWKS, or done. */
static void
discover_endpoints_known(struct discover *d)
{
	struct idp *idp = d->idp;
	struct tb_error why = TB_ERROR_INIT;
	bool known = idp->keys && is_fresh(idp->keys_at_ms);

	/* a missing device endpoint is only of concern to a new login */
	if (!idp->token_endpoint) {
		tb_error_set(&why, TB_E_CONFIG,
		    "no token_endpoint is configured, and discovery is off");
		discover_finish(d, &why);
		return;
	}
	if (d->want == DISCOVER_ENDPOINTS ||
	    (d->want == DISCOVER_KEYS && known)) {
		discover_finish(d, NULL);
		return;
	}
	if (!idp->jwks_uri) {
		tb_error_set(&why, TB_E_PROTO,
		    "the provider publishes no jwks_uri, so its signatures "
		    "cannot be verified");
		discover_finish(d, &why);
		return;
	}
	discover_get(d, idp->jwks_uri, discover_on_keys);
}

static void
discover_on_keys(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct discover *d = arg;
	struct tb_error why = TB_ERROR_INIT;
	struct jws_keys *keys = NULL;

	d->call = NULL;
	if (err)
		why = *err;
	else if (reply->status != 200)
		tb_error_set(&why,
		    reply->status == 429 || reply->status >= 500 ?
			TB_E_TRANSIENT :
			TB_E_UPSTREAM,
		    "HTTP %d", reply->status);
	else
		keys = jws_keys_parse(&reply->body, &why);
	if (!keys) {
		tb_error_wrap(&why, "the provider's keys");
		discover_finish(d, &why);
		return;
	}
	jws_keys_free(d->idp->keys);
	d->idp->keys = keys;
	d->idp->keys_at_ms = now_boot_ms();
	discover_finish(d, NULL);
}
