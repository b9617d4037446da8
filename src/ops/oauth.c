/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth - what is sent: forms. What comes back is read in oauth_parse.c.
 */
#include "ops/oauth.h"

#include "base/strbuf.h"
#include "base/util.h"
#include "lib/form.h"
#include "ops/idp.h"

#define OAUTH_GRANT_DEVICE "urn:ietf:params:oauth:grant-type:device_code"

void
oauth_grant_clear(struct oauth_grant *g)
{
	secret_clear(&g->access_token);
	secret_clear(&g->refresh_token);
	secret_clear(&g->id_token);
	free(g->token_type);
	free(g->scope);
	*g = (struct oauth_grant)OAUTH_GRANT_INIT;
}

void
oauth_code_clear(struct oauth_code *c)
{
	secret_clear(&c->device_code);
	free(c->user_code);
	free(c->verification_uri);
	free(c->verification_uri_complete);
	*c = (struct oauth_code)OAUTH_CODE_INIT;
}

void
oauth_metadata_clear(struct oauth_metadata *m)
{
	free(m->issuer);
	free(m->device_endpoint);
	free(m->token_endpoint);
	free(m->revocation_endpoint);
	free(m->introspection_endpoint);
	free(m->jwks_uri);
	free(m->mtls_device_endpoint);
	free(m->mtls_token_endpoint);
	free(m->mtls_revocation_endpoint);
	free(m->mtls_introspection_endpoint);
	*m = (struct oauth_metadata){ .issuer = NULL };
}

/* One space between scopes, none around: configurations generated from lists
 * like [""] are in the wild. NULL when no scope is left. */
static char *
oauth_join_scopes(const char *scopes)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *p = scopes ? scopes : "";
	size_t n;

	for (; *p; p += n) {
		p += strspn(p, " \t");
		n = strcspn(p, " \t");
		if (n && b.len)
			strbuf_addc(&b, ' ');
		strbuf_add(&b, p, n);
	}
	return b.len ? strbuf_steal(&b) : NULL;
}

void
oauth_build_device_request(const struct idp *idp, struct secret *form)
{
	const struct idp_conf *c = idp->conf;
	_cleanup_free_ char *scopes = oauth_join_scopes(c->scopes);

	secret_clear(form);
	if (scopes)
		form_add(form, "scope", scopes);
	for (size_t i = 0; i < c->n_params; i++)
		form_add(form, c->params[i].name, c->params[i].value);
}

void
oauth_build_poll(const struct secret *device_code, struct secret *form)
{
	secret_clear(form);
	form_add(form, "grant_type", OAUTH_GRANT_DEVICE);
	form_add_secret(form, "device_code", device_code);
}

void
oauth_build_refresh(const struct idp *idp, const struct secret *refresh_token,
    struct secret *form)
{
	const struct idp_conf *c = idp->conf;

	secret_clear(form);
	form_add(form, "grant_type", "refresh_token");
	form_add_secret(form, "refresh_token", refresh_token);
	for (size_t i = 0; i < c->n_params; i++)
		if (streq(c->params[i].name, "resource"))
			form_add(form, "resource", c->params[i].value);
}

void
oauth_build_revoke(const struct secret *token, const char *hint,
    struct secret *form)
{
	secret_clear(form);
	form_add_secret(form, "token", token);
	if (hint)
		form_add(form, "token_type_hint", hint);
}
