/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration of type token-exchange says, and what of it is refused
 * at load: words that are no URI, a refresh token, a human's whole power
 * without allow_full_access.
 */
#include <ctype.h>

#include "backend/check.h"
#include "backend/template.h"
#include "backend/token_exchange_int.h"
#include "base/util.h"

static const char *
exchange_or(const char *own, const char *of_backend)
{
	return own ? own : of_backend;
}

const char *
token_exchange_audience(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	return exchange_or(r->audience, c->audience);
}

const char *
token_exchange_resource(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	return exchange_or(r->resource, c->resource);
}

const char *
token_exchange_scopes(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	return exchange_or(r->scopes, c->scopes);
}

char *
token_exchange_word(const char **s)
{
	const char *begin;
	size_t n;

	if (!*s)
		return NULL;
	begin = *s + strspn(*s, " \t");
	n = strcspn(begin, " \t");
	*s = begin + n;
	return n ? xstrndup(begin, n) : NULL;
}

bool
token_exchange_has_word(const char *words, const char *word)
{
	char *w;

	while ((w = token_exchange_word(&words))) {
		bool same = streq(w, word);

		free(w);
		if (same)
			return true;
	}
	return false;
}

char *
token_exchange_type_uri(const char *type)
{
	if (!type)
		type = "access_token";
	return strchr(type, ':') ? xstrdup(type) :
	    xasprintf("%s%s", TOKEN_EXCHANGE_TYPE, type);
}

/* ---------------------------------------------------------------- at load */

/* The two words that make sense, or a URI of somebody's own. */
static int
exchange_check_type(const char *key, const char *type, struct tb_error *err)
{
	if (!type || streq(type, "access_token") || streq(type, "jwt"))
		return 0;
	if (streq(type, TOKEN_EXCHANGE_TYPE "refresh_token") ||
	    streq(type, "refresh_token"))
		return tb_error_set(err, TB_E_CONFIG,
		    "%s: a refresh token is not for programs", key);
	if (!isalpha((unsigned char)*type) || !strchr(type, ':') ||
	    strpbrk(type, " \t"))
		return tb_error_set(err, TB_E_CONFIG,
		    "%s must be access_token, jwt or a URI such as "
		    TOKEN_EXCHANGE_TYPE "jwt", key);
	return 0;
}

/* RFC 8693 2.1: an absolute URI, without a fragment. */
static int
exchange_check_resource(const char *words, struct tb_error *err)
{
	char *word;

	while ((word = token_exchange_word(&words))) {
		size_t scheme = strcspn(word, ":");
		bool fine = isalpha((unsigned char)*word) && word[scheme] &&
		    word[scheme + 1] && !strchr(word, '#');

		if (!fine)
			tb_error_set(err, TB_E_CONFIG,
			    "resource: '%.80s' is no absolute URI without a "
			    "fragment (a name goes into audience)", word);
		free(word);
		if (!fine)
			return -1;
	}
	return 0;
}

static int
exchange_check_scopes(const char *scopes, struct tb_error *err)
{
	if (!scopes)
		return 0;
	if (strpbrk(scopes, "\"\\"))
		return tb_error_set(err, TB_E_CONFIG,
		    "scopes: no scope has a quote or a backslash");
	if (token_exchange_has_word(scopes, "offline_access"))
		return tb_error_set(err, TB_E_CONFIG,
		    "scopes: offline_access asks for a refresh token, which is "
		    "not for programs");
	return 0;
}

static int
exchange_check_probe(const struct backend_conf *c, struct tb_error *err)
{
	static const struct template_var none[] = { { "database", NULL } };

	if (!c->probe_url)
		return 0;
	if (c->introspection)
		return tb_error_set(err, TB_E_CONFIG,
		    "probe_url and introspection are both set: one of them "
		    "is to tell whether a token works");
	return check_url(c, "probe_url", c->probe_url, none, ARRAY_SIZE(none),
	    err);
}

int
token_exchange_check(const struct backend_conf *c, struct tb_error *err)
{
	if (c->management_token || !c->login)
		return tb_error_set(err, TB_E_CONFIG,
		    "type token-exchange turns a login's token into others: it "
		    "takes login, and no management_token");
	if (c->base_url)
		return tb_error_set(err, TB_E_CONFIG,
		    "base_url has no meaning for type token-exchange: the "
		    "login's token endpoint is asked");
	if (exchange_check_type("subject_token_type", c->subject_token_type,
		err) < 0 ||
	    exchange_check_type("requested_token_type",
		c->requested_token_type, err) < 0 ||
	    exchange_check_resource(c->resource, err) < 0 ||
	    exchange_check_scopes(c->scopes, err) < 0 ||
	    exchange_check_probe(c, err) < 0)
		return -1;
	return check_common(c, err);
}

int
token_exchange_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err)
{
	if (r->kind != BACKEND_KIND_ACCESS)
		return tb_error_set(err, TB_E_CONFIG,
		    "a backend of type token-exchange has only kind = access");
	if (check_no_permissions(r, "type token-exchange (see audience and "
	    "scopes)", err) < 0 ||
	    exchange_check_resource(r->resource, err) < 0 ||
	    exchange_check_scopes(r->scopes, err) < 0)
		return -1;
	if (token_exchange_audience(c, r) || token_exchange_resource(c, r) ||
	    token_exchange_scopes(c, r))
		return 0;
	return check_full_access(r, "without audience, resource or scopes it "
	    "has the whole power of its human", err);
}
