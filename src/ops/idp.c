/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idp - a provider and how we prove to it who we are.
 *
 * Secrets are read once, when the configuration is taken up, so that a missing
 * or exposed file fails the start or the reload and not a refresh at night.
 * The time for that is also why reading may block here.
 */
#include "ops/idp.h"

#include <sys/stat.h>

#include "base/b64.h"
#include "base/fs.h"
#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/form.h"
#include "lib/jws.h"
#include "ops/oauth.h"
#include "ops/oauth_config.h"

#define IDP_FORM_TYPE "application/x-www-form-urlencoded"
#define IDP_ASSERTION_TYPE \
	"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define IDP_SECRET_CAP 65536
/* A group may read (that is how some hand out credentials), others not. */
#define IDP_SECRET_FORBIDDEN (S_IWGRP | S_IXGRP | S_IRWXO)

void
idp_conf_free(struct idp_conf *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->preset);
	free(c->issuer);
	free(c->client_id);
	free(c->influxdb3_url);
	free(c->client_secret_path);
	free(c->client_key_path);
	free(c->client_key_id);
	free(c->assertion_alg);
	free(c->assertion_audience);
	free(c->scopes);
	for (size_t i = 0; i < c->n_params; i++) {
		free(c->params[i].name);
		free(c->params[i].value);
	}
	free(c->params);
	free(c->device_endpoint);
	free(c->token_endpoint);
	free(c->revocation_endpoint);
	free(c->introspection_endpoint);
	free(c->jwks_uri);
	free(c->ca_file);
	free(c->tls_cert_file);
	free(c->tls_key_file);
	free(c->identity_claim);
	free(c);
}

static int
idp_read_secret(const char *path, const char *what, struct secret *out,
    struct tb_error *err)
{
	if (!path)
		return tb_error_set(err, TB_E_CONFIG, "no %s is configured",
		    what);
	if (fs_check_private(path, IDP_SECRET_FORBIDDEN, err) < 0 ||
	    fs_read_secret(path, IDP_SECRET_CAP, out, err) < 0) {
		tb_error_wrap(err, "%s", what);
		err->code = TB_E_CONFIG;
		return -1;
	}
	return 0;
}

/* Editors and echo(1) leave a newline at the end of a file. */
static void
idp_trim(struct secret *s)
{
	struct secret all _cleanup_(secret_clear) = SECRET_INIT;
	const char *text;
	size_t n;

	secret_move(&all, s);
	text = secret_reveal(&all);
	n = all.len;
	if (n && text[n - 1] == '\n')
		n--;
	if (n && text[n - 1] == '\r')
		n--;
	secret_set(s, text, n);
}

static int
idp_read_secrets(struct idp *idp, struct tb_error *err)
{
	const struct idp_conf *c = idp->conf;

	switch (c->auth) {
	case IDP_AUTH_NONE:
		return 0;
	case IDP_AUTH_CLIENT_SECRET_BASIC:
	case IDP_AUTH_CLIENT_SECRET_POST:
		if (idp_read_secret(c->client_secret_path, "client secret",
			&idp->client_secret, err) < 0)
			return -1;
		idp_trim(&idp->client_secret);
		if (secret_is_empty(&idp->client_secret))
			return tb_error_set(err, TB_E_CONFIG,
			    "the client secret is empty");
		return 0;
	case IDP_AUTH_PRIVATE_KEY_JWT:
		if (idp_read_secret(c->client_key_path, "client key",
			&idp->client_key, err) < 0)
			return -1;
		if (jws_check_signing_key(&idp->client_key, c->assertion_alg,
			err) < 0)
			return tb_error_wrap(err, "client key");
		return 0;
	case IDP_AUTH_TLS:
		if (!c->tls_cert_file || !c->tls_key_file)
			return tb_error_set(err, TB_E_CONFIG,
			    "no client certificate and key are configured");
		return 0;
	}
	return 0;
}

/* --------------------------------------------- an InfluxDB 3 server's word */

static void
idp_unlearn(struct idp *idp)
{
	if (idp->said) {
		oauth_config_clear(idp->said);
		free(STEAL(idp->said));
	}
	free(STEAL(idp->scopes));
	free(STEAL(idp->params));
	idp->conf = idp->configured;
}

static bool
has_word(const char *words, const char *word, size_t n)
{
	for (const char *p = words; p && (p = strstr(p, word)); p++) {
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	}
	return false;
}

/* Those configured, then those said that are not among them. */
static char *
idp_all_scopes(const char *configured, const char *said)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t n;

	strbuf_adds(&b, configured ? configured : "");
	for (const char *s = said; s && *s; s += n) {
		char *word _cleanup_free_ = NULL;

		s += strspn(s, " ");
		n = strcspn(s, " ");
		word = xstrndup(s, n);
		if (n && !has_word(configured, word, n))
			strbuf_addf(&b, "%s%s", b.len ? " " : "", word);
	}
	return strbuf_steal(&b);
}

static void
idp_set_audience(struct idp *idp, char *audience)
{
	const struct idp_conf *c = idp->configured;

	for (size_t i = 0; i < c->n_params; i++) {
		if (streq(c->params[i].name, "audience"))
			return;
	}
	idp->params = xcalloc(c->n_params + 1, sizeof(*idp->params));
	if (c->n_params)
		memcpy(idp->params, c->params,
		    c->n_params * sizeof(*idp->params));
	idp->params[c->n_params].name = (char *)(uintptr_t)"audience";
	idp->params[c->n_params].value = audience;
	idp->learnt.params = idp->params;
	idp->learnt.n_params = c->n_params + 1;
}

/* said is taken, and everything in `learnt` is borrowed from it. */
static void
idp_take(struct idp *idp, struct oauth_config *said)
{
	const struct idp_conf *c = idp->configured;

	idp_unlearn(idp);
	idp->said = xcalloc(1, sizeof(*idp->said));
	*idp->said = *said;
	*said = (struct oauth_config){ .issuer = NULL };
	idp->learnt = *c;
	if (!c->issuer)
		idp->learnt.issuer = idp->said->issuer;
	if (!c->client_id)
		idp->learnt.client_id = idp->said->client_id;
	idp->scopes = idp_all_scopes(c->scopes, idp->said->scopes);
	idp->learnt.scopes = idp->scopes;
	if (idp->said->audience)
		idp_set_audience(idp, idp->said->audience);
	idp->conf = &idp->learnt;
}

/* Some write a slash at the end of an issuer. */
static bool
is_same(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	n -= n && a[n - 1] == '/';
	m -= m && b[m - 1] == '/';
	return n == m && memcmp(a, b, n) == 0;
}

static int
idp_agree(const char *what, const char *configured, const char *said,
    struct tb_error *err)
{
	if (!configured && !said)
		return tb_error_set(err, TB_E_PROTO, "the InfluxDB 3 server "
		    "does not say the %s: configure it", what);
	if (configured && said && !is_same(configured, said))
		return tb_error_set(err, TB_E_PROTO, "the InfluxDB 3 server "
		    "says another %s than is configured", what);
	return 0;
}

int
idp_learn(struct idp *idp, struct oauth_config *said, struct tb_error *err)
{
	const struct idp_conf *c = idp->configured;
	char *was _cleanup_free_ = xstrdup0(idp->conf->issuer);

	if (idp_agree("issuer", c->issuer, said->issuer, err) < 0 ||
	    idp_agree("client_id", c->client_id, said->client_id, err) < 0)
		return -1;
	if (!c->issuer && http_url_check(said->issuer,
		c->allow_insecure_loopback, err) < 0) {
		err->code = TB_E_PROTO;
		return tb_error_wrap(err, "the issuer that the InfluxDB 3 "
		    "server says");
	}
	idp_take(idp, said);
	idp->learnt_at_ms = now_boot_ms();
	if (streq(was, idp->conf->issuer))
		return 0;
	idp->discovered_at_ms = idp->keys_at_ms = 0;
	str_set(&idp->issuer, idp->conf->issuer);
	str_set(&idp->device_endpoint, c->device_endpoint);
	str_set(&idp->token_endpoint, c->token_endpoint);
	str_set(&idp->revocation_endpoint, c->revocation_endpoint);
	str_set(&idp->introspection_endpoint, c->introspection_endpoint);
	str_set(&idp->jwks_uri, c->jwks_uri);
	return 0;
}

void
idp_assume(struct idp *idp, const char *issuer, const char *client_id)
{
	struct oauth_config said = {
		.issuer = xstrdup0(issuer),
		.client_id = xstrdup0(client_id),
	};

	idp_take(idp, &said);
	str_set(&idp->issuer, idp->conf->issuer);
}

struct idp *
idp_new(const struct idp_conf *conf, struct tb_error *err)
{
	struct idp *idp = xnew(struct idp);

	idp->conf = idp->configured = conf;
	if (idp_read_secrets(idp, err) < 0) {
		tb_error_wrap(err, "login '%s'", conf->name);
		idp_free(idp);
		return NULL;
	}
	str_set(&idp->issuer, conf->issuer);
	str_set(&idp->device_endpoint, conf->device_endpoint);
	str_set(&idp->token_endpoint, conf->token_endpoint);
	str_set(&idp->revocation_endpoint, conf->revocation_endpoint);
	str_set(&idp->introspection_endpoint, conf->introspection_endpoint);
	str_set(&idp->jwks_uri, conf->jwks_uri);
	return idp;
}

void
idp_free(struct idp *idp)
{
	if (!idp)
		return;
	free(idp->device_endpoint);
	free(idp->token_endpoint);
	free(idp->revocation_endpoint);
	free(idp->introspection_endpoint);
	free(idp->jwks_uri);
	free(idp->issuer);
	idp_unlearn(idp);
	jws_keys_free(idp->keys);
	secret_clear(&idp->client_secret);
	secret_clear(&idp->client_key);
	free(idp);
}

void
idp_request(const struct idp *idp, const char *url, struct http_request *req)
{
	const struct idp_conf *c = idp->conf;

	http_request_clear(req);
	req->method = "POST";
	req->url = xstrdup(url);
	req->content_type = IDP_FORM_TYPE;
	req->tls.ca_file = c->ca_file;
	req->tls.cert_file = c->tls_cert_file;
	req->tls.key_file = c->tls_key_file;
	req->timeout_ms = c->timeout_ms;
	req->body_cap = IDP_BODY_CAP;
	req->allow_loopback_http = c->allow_insecure_loopback;
	http_request_header(req, "Accept", "application/json");
}

/* RFC 6749 2.3.1: both are form-encoded first, so that a colon in either does
 * not end the name. */
static void
idp_basic(const struct idp *idp, struct http_request *req)
{
	struct secret part _cleanup_(secret_clear) = SECRET_INIT;
	struct secret pair _cleanup_(secret_clear) = SECRET_INIT;
	struct secret code _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&code, idp->conf->client_id);
	form_percent_encode(&code, &pair);
	secret_append_str(&pair, ":");
	form_percent_encode(&idp->client_secret, &part);
	secret_append(&pair, secret_reveal(&part), part.len);
	b64_encode_secret(&pair, &code);
	http_request_bearer(req, "Basic", &code);
}

static int
idp_assert(const struct idp *idp, const struct http_request *req,
    struct secret *form, struct tb_error *err)
{
	const struct idp_conf *c = idp->conf;
	struct secret jwt _cleanup_(secret_clear) = SECRET_INIT;

	/* Glewlwyd takes nothing but the URL that is called as audience */
	if (jws_sign_assertion(&idp->client_key, c->assertion_alg,
		c->client_key_id, c->client_id,
		c->assertion_audience ? c->assertion_audience : req->url,
		now_real_s(), &jwt, err) < 0)
		return tb_error_wrap(err, "client assertion");
	form_add(form, "client_assertion_type", IDP_ASSERTION_TYPE);
	form_add_secret(form, "client_assertion", &jwt);
	return 0;
}

int
idp_authenticate(const struct idp *idp, struct http_request *req,
    struct secret *form, struct tb_error *err)
{
	switch (idp->conf->auth) {
	case IDP_AUTH_CLIENT_SECRET_BASIC:
		/* two ways of authentication in one request are forbidden */
		idp_basic(idp, req);
		return 0;
	case IDP_AUTH_NONE:
	case IDP_AUTH_TLS:
		form_add(form, "client_id", idp->conf->client_id);
		return 0;
	case IDP_AUTH_CLIENT_SECRET_POST:
		form_add(form, "client_id", idp->conf->client_id);
		form_add_secret(form, "client_secret",
		    &idp->client_secret);
		return 0;
	case IDP_AUTH_PRIVATE_KEY_JWT:
		form_add(form, "client_id", idp->conf->client_id);
		return idp_assert(idp, req, form, err);
	}
	return 0;
}

int
idp_form_request(const struct idp *idp, const char *url, struct secret *form,
    struct http_request *req, struct tb_error *err)
{
	idp_request(idp, url, req);
	if (idp_authenticate(idp, req, form, err) < 0) {
		http_request_clear(req);
		return -1;
	}
	secret_move(&req->body, form);
	return 0;
}

/* There are two, which makes sorting and uniqueness one comparison. */
char *
idp_origins(const struct idp *idp)
{
	_cleanup_free_ char *token = http_url_origin(idp->token_endpoint);
	_cleanup_free_ char *revoke = http_url_origin(
	    idp->revocation_endpoint);
	int order;

	if (!token || !revoke)
		return token ? STEAL(token) :
		    revoke   ? STEAL(revoke) :
			       xstrdup("");
	order = strcmp(token, revoke);
	if (order == 0)
		return STEAL(token);
	return order < 0 ? xasprintf("%s %s", token, revoke) :
			   xasprintf("%s %s", revoke, token);
}
