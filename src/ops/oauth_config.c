/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See oauth_config.h. The names are those of the server's own options and of
 * RFC 8414, in the three usual ways of writing them.
 */
#include "ops/oauth_config.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/http.h"
#include "lib/jsonx.h"

#define NAMES 6

static const char *const issuer_names[NAMES] = { "issuer", "issuer_url",
	"issuerUrl", "oauth_issuer", "oauthIssuer", "oauth-issuer" };
static const char *const client_names[NAMES] = { "client_id", "clientId",
	"client", "oauth_client_id", "oauthClientId", "oauth-client-id" };
static const char *const audience_names[NAMES] = { "audience", "audiences",
	"aud", "oauth_audience", "oauthAudience", "oauth-audience" };
static const char *const scope_names[NAMES] = { "scopes", "scope",
	"scopes_supported", "oauth_scopes", "oauthScopes", "oauth-scopes" };

void
oauth_config_clear(struct oauth_config *c)
{
	free(c->issuer);
	free(c->client_id);
	free(c->audience);
	free(c->scopes);
	*c = (struct oauth_config){ .issuer = NULL };
}

static const json_t *
find_in(const json_t *o, const char *const names[NAMES])
{
	for (size_t i = 0; i < NAMES; i++) {
		const json_t *v = json_object_get(o, names[i]);

		if (v && !json_is_null(v))
			return v;
	}
	return NULL;
}

/* At the top, or in the first object there that has it. */
static const json_t *
find(const json_t *root, const char *const names[NAMES])
{
	const json_t *v = find_in(root, names), *member;
	const char *key;

	if (v)
		return v;
	json_object_foreach((json_t *)(uintptr_t)root, key, member) {
		v = find_in(member, names);
		if (v)
			return v;
	}
	return NULL;
}

/* Words of a text (blanks or commas between) or of an array of texts. */
static void
add_words(struct strbuf *b, const json_t *v)
{
	const char *s = json_string_value(v);
	size_t n;

	for (size_t i = 0; i < json_array_size(v); i++)
		add_words(b, json_array_get(v, i));
	for (s = s ? s : ""; *s; s += n) {
		s += strspn(s, " \t,");
		n = strcspn(s, " \t,");
		if (n && b->len)
			strbuf_addc(b, ' ');
		strbuf_add(b, s, n);
	}
}

static char *
words(const json_t *v)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	add_words(&b, v);
	return b.len ? strbuf_steal(&b) : NULL;
}

/* One text, without what could end a line or a header. */
static char *
text(const json_t *v)
{
	const char *s = json_string_value(json_is_array(v) ?
	    json_array_get(v, 0) : v);

	for (const char *p = s; p && *p; p++) {
		if (!isprint((unsigned char)*p))
			return NULL;
	}
	return s && *s ? xstrdup(s) : NULL;
}

int
oauth_config_parse(const struct http_reply *reply, struct oauth_config *out,
    struct tb_error *err)
{
	json_t *root _cleanup_json_ = NULL;

	if (reply->status != 200)
		return tb_error_set(err, reply->status == 429 ||
		    reply->status >= 500 ? TB_E_TRANSIENT : TB_E_UPSTREAM,
		    "HTTP %d", reply->status);
	root = jsonx_parse_object(&reply->body, err);
	if (!root)
		return -1;
	oauth_config_clear(out);
	out->issuer = text(find(root, issuer_names));
	out->client_id = text(find(root, client_names));
	out->audience = text(find(root, audience_names));
	out->scopes = words(find(root, scope_names));
	return 0;
}
