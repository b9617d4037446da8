/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_check - what a section is without the others: defaults and presets
 * filled in, required keys there, and keys that contradict each other refused
 * rather than ignored. An ignored key looks like a working one.
 */
#include <pwd.h>

#include "backend/influxctl.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "conf_int.h"
#include "lib/http.h"

#define EXPIRY_GRACE_MS (10 * 60 * 1000)
/* An old generation is left for, unless somebody says otherwise. */
#define OVERLAP_MS (3600 * INT64_C(1000))

/* Where a provider differs from the plain standard. */
static const struct {
	const char *preset, *key, *value;
} presets[] = {
	/* Entra's sub differs per client registration; oid is the person. */
	{ "entra", "identity_claim", "oid" },
};

static const char *
preset_of(const struct conf_item *item)
{
	return item->section == CONF_LOGIN ?
	    ((const struct idp_conf *)item->object)->preset :
	    NULL;
}

/* preset is the first key of its section in the table, so it is known when
 * the others ask. */
static const char *
default_of(const struct conf_item *item, const struct conf_option *o)
{
	const char *preset = preset_of(item);

	for (size_t i = 0; preset && i < ARRAY_SIZE(presets); i++) {
		if (streq(presets[i].preset, preset) &&
		    streq(presets[i].key, o->key))
			return presets[i].value;
	}
	return o->def;
}

static int
fill_defaults(struct conf_item *item, struct tb_error *err)
{
	for (size_t i = 0; i < conf_n_options; i++) {
		const struct conf_option *o = &conf_options[i];
		const char *def;

		if (o->section != item->section || item->lines[i])
			continue;
		if (o->flags & CONF_REQUIRED)
			return conf_error(item, NULL, err, "%s is missing",
			    o->key);
		def = default_of(item, o);
		if (def && conf_value_set(o, item, def, err) < 0)
			return conf_error_wrap(item, NULL, err);
	}
	return 0;
}

/* ------------------------------------------------------------------ broker */

/* A password in the proxy's URL would be a secret in the configuration. */
static int
check_proxy(const struct conf_item *item, const char *proxy,
    struct tb_error *err)
{
	const char *host = proxy ? strstr(proxy, "://") : NULL;

	if (!proxy)
		return 0;
	if (strncmp(proxy, "http://", 7) && strncmp(proxy, "https://", 8) &&
	    strncmp(proxy, "socks5h://", 10))
		return conf_error(item, "proxy", err,
		    "proxy: http://, https:// or socks5h:// is wanted");
	if (strchr(host, '@'))
		return conf_error(item, "proxy", err,
		    "proxy: no user and password here: let the proxy know "
		    "this host by its address");
	return 0;
}

static int
check_broker(const struct conf_item *item, struct tb_error *err)
{
	struct conf *c = item->object;

	if (!conf_is_set(item, "max_connections_per_uid"))
		c->max_connections_per_uid = MIN2(c->max_connections_per_uid,
		    c->max_connections);
	if (c->max_connections_per_uid > c->max_connections)
		return conf_error(item, "max_connections_per_uid", err,
		    "max_connections_per_uid is %u, more than max_connections "
		    "(%u)", c->max_connections_per_uid, c->max_connections);
	return check_proxy(item, c->proxy, err);
}

/* ------------------------------------------------------------------- login */

static int
check_urls(const struct conf_item *item, bool loopback, struct tb_error *err)
{
	for (size_t i = 0; i < conf_n_options; i++) {
		const struct conf_option *o = &conf_options[i];
		struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

		if (o->section != item->section || o->type != CONF_T_URL ||
		    !conf_value_print(o, item->object, &url) ||
		    http_url_check(strbuf_str(&url), loopback, err) == 0)
			continue;
		tb_error_wrap(err, "%s", o->key);
		return conf_error_wrap(item, o->key, err);
	}
	return 0;
}

/* Two keys for one thing, as a file or as a credential. */
static int
check_one_of(const struct conf_item *item, const char *file,
    const char *credential, struct tb_error *err)
{
	if (conf_is_set(item, file) && conf_is_set(item, credential))
		return conf_error(item, credential, err,
		    "%s and %s are both set: only one is wanted", file,
		    credential);
	return 0;
}

static int
check_auth_needs(const struct conf_item *item, const struct idp_conf *c,
    struct tb_error *err)
{
	switch (c->auth) {
	case IDP_AUTH_NONE:
		return 0;
	case IDP_AUTH_CLIENT_SECRET_BASIC:
	case IDP_AUTH_CLIENT_SECRET_POST:
		if (c->client_secret_path)
			return 0;
		return conf_error(item, "client_auth", err,
		    "client_auth needs client_secret_file or "
		    "client_secret_credential");
	case IDP_AUTH_PRIVATE_KEY_JWT:
		if (c->client_key_path)
			return 0;
		return conf_error(item, "client_auth", err,
		    "client_auth needs client_key_file or "
		    "client_key_credential");
	case IDP_AUTH_TLS:
		if (c->tls_cert_file)
			return 0;
		return conf_error(item, "client_auth", err,
		    "client_auth needs tls_cert_file and tls_key_file");
	}
	return 0;
}

/* A secret that is configured but not used is a mistake about client_auth. */
static int
check_auth_extra(const struct conf_item *item, const struct idp_conf *c,
    struct tb_error *err)
{
	static const char *const secret[] = { "client_secret_file",
		"client_secret_credential" };
	static const char *const key[] = { "client_key_file",
		"client_key_credential", "client_key_id", "assertion_alg",
		"assertion_audience" };
	bool by_secret = c->auth == IDP_AUTH_CLIENT_SECRET_BASIC ||
	    c->auth == IDP_AUTH_CLIENT_SECRET_POST;

	for (size_t i = 0; !by_secret && i < ARRAY_SIZE(secret); i++) {
		if (conf_is_set(item, secret[i]))
			return conf_error(item, secret[i], err,
			    "%s is of no use without client_auth = "
			    "client_secret_basic or client_secret_post",
			    secret[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(key); i++) {
		if (c->auth != IDP_AUTH_PRIVATE_KEY_JWT &&
		    conf_is_set(item, key[i]))
			return conf_error(item, key[i], err,
			    "%s is of no use without client_auth = "
			    "private_key_jwt", key[i]);
	}
	return 0;
}

static int
check_endpoints(const struct conf_item *item, const struct idp_conf *c,
    struct tb_error *err)
{
	if (c->discovery)
		return 0;
	if (!c->device_endpoint || !c->token_endpoint)
		return conf_error(item, "discovery", err,
		    "discovery = no needs device_endpoint and "
		    "token_endpoint");
	if (!c->jwks_uri && !c->identity_unverified)
		return conf_error(item, "discovery", err,
		    "discovery = no needs jwks_uri, or else no id token can "
		    "be verified");
	return 0;
}

static bool
has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = strstr(words, word); p; p = strstr(p + 1, word)) {
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	}
	return false;
}

/* Who the provider is and who we are there: written, or asked for. */
static int
check_provider(const struct conf_item *item, const struct idp_conf *c,
    struct tb_error *err)
{
	const char *url = c->influxdb3_url;

	if (!url && (!c->issuer || !c->client_id))
		return conf_error(item, NULL, err, "%s is missing",
		    c->issuer ? "client_id" : "issuer");
	if (!url)
		return 0;
	if (!c->discovery)
		return conf_error(item, "discovery", err, "discovery = no, and "
		    "influxdb3_url asks for it: only one can be meant");
	if (url[strlen(url) - 1] == '/' || strpbrk(url, "?#{}@"))
		return conf_error(item, "influxdb3_url", err, "influxdb3_url "
		    "must be a plain address, without a slash at its end");
	return 0;
}

static int
check_login(const struct conf_item *item, struct tb_error *err)
{
	const struct idp_conf *c = item->object;

	if (check_provider(item, c, err) < 0)
		return -1;

	if (check_one_of(item, "client_secret_file",
		"client_secret_credential", err) < 0 ||
	    check_one_of(item, "client_key_file", "client_key_credential",
		err) < 0)
		return -1;
	if (!c->tls_cert_file != !c->tls_key_file)
		return conf_error(item,
		    c->tls_cert_file ? "tls_cert_file" : "tls_key_file", err,
		    "tls_cert_file and tls_key_file are wanted together");
	if (!c->identity_unverified && !has_word(c->scopes, "openid"))
		return conf_error(item, "scopes", err,
		    "scopes must have openid, or else no id token comes that "
		    "says who approved (identity = unverified does without)");
	if (check_auth_needs(item, c, err) < 0 ||
	    check_auth_extra(item, c, err) < 0 ||
	    check_endpoints(item, c, err) < 0)
		return -1;
	return check_urls(item, c->allow_insecure_loopback, err);
}

/* ----------------------------------------------------------------- backend */

/* A type names the key it complains of first in its message: its line is the
 * better one. */
static int
backend_error(const struct conf_item *item, struct tb_error *err)
{
	_cleanup_free_ char *key = xstrndup(err->msg,
	    strcspn(err->msg, " :"));

	return conf_error_wrap(item, key, err);
}

/* Who the helper is, by number: a name service may be slow, so it is asked
 * now and not at a call. */
static int
find_influxctl_user(struct backend_conf *c, struct tb_error *err)
{
	const char *name = c->influxctl.user ? c->influxctl.user :
	    INFLUXCTL_USER;
	const struct passwd *pw;

	if (!streq(c->management_driver, "influxctl"))
		return 0;
	pw = getpwnam(name);
	if (!pw)
		return tb_error_set(err, TB_E_CONFIG, "influxctl_user: there "
		    "is no user '%.64s': the package's sysusers.d file makes "
		    "the one of tokenbroker-influxctl(8)", name);
	c->influxctl.uid = pw->pw_uid;
	return 0;
}

static int
check_backend(const struct conf_item *item, struct tb_error *err)
{
	static const char *const of_exchange[] = { "audience", "resource",
		"scopes", "subject_token_type", "requested_token_type",
		"introspection" };
	struct backend_conf *c = item->object;

	for (size_t i = 0; i < ARRAY_SIZE(of_exchange); i++) {
		if (!streq(c->ops->type, "token-exchange") &&
		    conf_is_set(item, of_exchange[i]))
			return conf_error(item, of_exchange[i], err,
			    "%s is of use only with type = token-exchange",
			    of_exchange[i]);
	}
	/* One key for both: the http type keeps it with its other templates,
	 * the rest has nothing but the URL. */
	if (streq(c->ops->type, "http"))
		c->probe.url = xstrdup0(c->probe_url);
	if (c->ops->check(c, err) < 0 || find_influxctl_user(c, err) < 0)
		return backend_error(item, err);
	if (!c->expiry_grace_ms && (c->ops->caps(c, NULL) & BACKEND_NO_EXPIRY))
		c->expiry_grace_ms = EXPIRY_GRACE_MS;
	return 0;
}

/* ------------------------------------------------------------------- token */

/* An old generation ends by itself renew_before after the newer one came. */
static int
check_overlap(const struct conf_item *item, struct token_conf *t,
    struct tb_error *err)
{
	bool set = conf_is_set(item, "overlap");

	if (!t->revoke_superseded && (set || t->hard_overlap))
		return conf_error(item, set ? "overlap" : "hard_overlap", err,
		    "%s is about generations that are revoked before their "
		    "expiry: write revoke_superseded = when_moved too",
		    set ? "overlap" : "hard_overlap");
	if (!t->revoke_superseded)
		return 0;
	if (t->hard_overlap && !set)
		return conf_error(item, "hard_overlap", err,
		    "hard_overlap takes a value away from whoever uses it: "
		    "write with overlap = DURATION when");
	if (!set)
		t->overlap_ms = t->renew_before_ms ?
		    MIN2(OVERLAP_MS, t->renew_before_ms / 2) : OVERLAP_MS;
	if (t->renew_before_ms && t->overlap_ms >= t->renew_before_ms)
		return conf_error(item, "overlap", err,
		    "overlap is as long as renew_before or longer: the old "
		    "generation has expired by then");
	return 0;
}

static int
check_token(const struct conf_item *item, struct tb_error *err)
{
	struct token_conf *t = item->object;
	struct strbuf life _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf before _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (t->lifetime_ms && t->renew_before_ms >= t->lifetime_ms) {
		conf_value_duration(&life, t->lifetime_ms);
		conf_value_duration(&before, t->renew_before_ms);
		return conf_error(item, "renew_before", err,
		    "renew_before is %s, lifetime is %s: it must be shorter, "
		    "or a token would be renewed at once, for ever",
		    strbuf_str(&before), strbuf_str(&life));
	}
	if (!t->renew_before_ms) /* renewal at 2/3 of life */
		t->renew_before_ms = t->lifetime_ms / 3;
	if (t->activate_after_ms && t->probe)
		return conf_error(item, "activate_after", err,
		    "activate_after is a wait instead of a probe: write "
		    "probe = none too");
	if (t->lifetime_ms &&
	    t->activate_after_ms >= t->lifetime_ms - t->renew_before_ms)
		return conf_error(item, "activate_after", err,
		    "activate_after is so long that the token would be "
		    "renewed before it is released");
	return check_overlap(item, t, err);
}

/* ------------------------------------------------------------------ client */

/* Credentials alone name the tokens well enough. */
static void
tokens_of_credentials(struct acl_rule *r)
{
	r->tokens = xcalloc(r->n_credentials, sizeof(*r->tokens));
	for (size_t i = 0; i < r->n_credentials; i++) {
		size_t k = 0;

		while (k < i && !streq(r->credential_tokens[k],
				    r->credential_tokens[i]))
			k++;
		if (k == i)
			r->tokens[r->n_tokens++] =
			    xstrdup(r->credential_tokens[i]);
	}
}

static int
check_client(const struct conf_item *item, struct tb_error *err)
{
	struct acl_rule *r = item->object;

	if (!r->n_units && !r->n_users && !r->n_groups && !r->n_selinux &&
	    r->container < 0 && !conf_is_set(item, "user"))
		return conf_error(item, NULL, err,
		    "the rule would match everybody: name a unit, user, "
		    "group, selinux or container, or write user = * to mean "
		    "it");
	if (!r->n_units && !r->deny && (r->n_credentials ||
		r->doors == ACL_DOOR_CREDENTIAL))
		return conf_error(item, r->n_credentials ? "credentials" :
		    "door", err, "the rule gives credentials to no unit: at "
		    "the credential door systemd asks for a unit, so only "
		    "rules with unit = count there");
	if (!r->n_tokens && !r->n_credentials)
		return conf_error(item, NULL, err,
		    "tokens is missing: which tokens is the rule about?");
	if (!r->n_tokens)
		tokens_of_credentials(r);
	return 0;
}

/* ------------------------------------------------------------------ driver */

int
conf_check(struct conf_build *b, struct tb_error *err)
{
	static int (*const checks[CONF_N_SECTIONS])(
	    const struct conf_item *item, struct tb_error *err) = {
		[CONF_BROKER] = check_broker,
		[CONF_LOGIN] = check_login,
		[CONF_BACKEND] = check_backend,
		[CONF_TOKEN] = check_token,
		[CONF_CLIENT] = check_client,
	};

	for (size_t i = 0; i < b->n_items; i++) {
		struct conf_item *item = b->items[i];

		if (fill_defaults(item, err) < 0 ||
		    checks[item->section](item, err) < 0)
			return -1;
	}
	return 0;
}
