/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth - what is sent: forms. What comes back is read in oauth_parse.c.
 *
 * Values are percent-encoded throughout (%20, never '+'): every decoder of
 * forms takes that, and it is the same encoding that HTTP Basic needs for the
 * client's id and secret (RFC 6749 2.3.1).
 */
#include "ops/oauth.h"

#include "base/strbuf.h"
#include "base/util.h"
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
	free(m->jwks_uri);
	free(m->mtls_device_endpoint);
	free(m->mtls_token_endpoint);
	free(m->mtls_revocation_endpoint);
	*m = (struct oauth_metadata){ .issuer = NULL };
}

void
oauth_percent_encode(const struct secret *in, struct secret *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	const char *s = secret_reveal(in);
	size_t need = 0, i;
	unsigned char *to;

	for (i = 0; i < in->len; i++)
		need += s[i] && strchr(plain, s[i]) ? 1 : 3;
	to = secret_alloc(out, need);
	for (i = 0; i < in->len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c && strchr(plain, c)) {
			*to++ = c;
		} else {
			*to++ = '%';
			*to++ = (unsigned char)hex[c >> 4];
			*to++ = (unsigned char)hex[c & 15];
		}
	}
}

/* "&name=" */
static void
form_begin(struct secret *form, const char *name)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (!secret_is_empty(form))
		strbuf_addc(&b, '&');
	strbuf_add_percent(&b, name);
	strbuf_addc(&b, '=');
	secret_append_str(form, strbuf_str(&b));
}

void
oauth_form_add(struct secret *form, const char *name, const char *value)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	form_begin(form, name);
	strbuf_add_percent(&b, value);
	secret_append_str(form, strbuf_str(&b));
}

void
oauth_form_add_secret(struct secret *form, const char *name,
    const struct secret *value)
{
	struct secret encoded _cleanup_(secret_clear) = SECRET_INIT;

	form_begin(form, name);
	oauth_percent_encode(value, &encoded);
	secret_append(form, secret_reveal(&encoded), encoded.len);
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
		oauth_form_add(form, "scope", scopes);
	for (size_t i = 0; i < c->n_params; i++)
		oauth_form_add(form, c->params[i].name, c->params[i].value);
}

void
oauth_build_poll(const struct secret *device_code, struct secret *form)
{
	secret_clear(form);
	oauth_form_add(form, "grant_type", OAUTH_GRANT_DEVICE);
	oauth_form_add_secret(form, "device_code", device_code);
}

void
oauth_build_refresh(const struct idp *idp, const struct secret *refresh_token,
    struct secret *form)
{
	const struct idp_conf *c = idp->conf;

	secret_clear(form);
	oauth_form_add(form, "grant_type", "refresh_token");
	oauth_form_add_secret(form, "refresh_token", refresh_token);
	for (size_t i = 0; i < c->n_params; i++)
		if (streq(c->params[i].name, "resource"))
			oauth_form_add(form, "resource", c->params[i].value);
}

void
oauth_build_revoke(const struct secret *token, const char *hint,
    struct secret *form)
{
	secret_clear(form);
	oauth_form_add_secret(form, "token", token);
	if (hint)
		oauth_form_add(form, "token_type_hint", hint);
}
