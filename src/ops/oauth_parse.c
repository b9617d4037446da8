/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth_parse - what comes back from a provider. The rest is in oauth.c.
 *
 * Servers disagree about statuses far more than about error codes (a pending
 * poll is 400 here and 403 there, slow_down 400 or 429), so a JSON error is
 * looked at first and the status second. One exception: on a refresh a 5xx
 * counts as 5xx whatever it says, because the wrong reading of it would throw
 * a human's grant away.
 *
 * What a 200 gives is read leniently where nothing depends on it (expires_in,
 * scope): refusing a grant over a malformed extra costs a human a login.
 */
#include <strings.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "lib/http.h"
#include "lib/jsonx.h"
#include "ops/oauth.h"

#define OAUTH_TEXT_MAX 200 /* bytes of a provider's own words */
#define OAUTH_HIDE_RUN 32  /* a run this long may be a token */
#define OAUTH_USER_CODE_MAX 64
#define OAUTH_CODE_LIFE_MAX_S (24 * 3600)
#define OAUTH_INTERVAL_DEFAULT_S 5
#define OAUTH_INTERVAL_MAX_S 3600
/* Ten years: what is longer only serves to overflow. */
#define OAUTH_LIFE_MAX_S (INT64_C(10) * 365 * 86400)

/* The provider's words, made fit for a terminal and a log. */

/* 8-4-4-4-12: a trace id, worth showing to whoever asks for support. */
static bool
looks_like_uuid(const char *s, size_t len)
{
	if (len != 36)
		return false;
	return s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-';
}

static bool
is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || (c && strchr("-._~+=", c));
}

/* Control characters, and what changes the direction of text or has no width:
 * all that could make a line look like another one. */
static bool
is_deceptive(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad ||
	    c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	    c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

/* The next character of valid UTF-8 (jansson refuses any other). */
static uint32_t
next_char(const char *s, size_t *len)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c = p[0];

	*len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (*len > 1)
		c &= 0xffu >> (*len + 1);
	for (size_t i = 1; i < *len; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

/* At most max bytes of s. A server that quotes what it was sent would have us
 * print a token: long runs of its characters are hidden. */
static char *
oauth_clean(const char *s, size_t max)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t n, run;
	uint32_t c;

	while (*s) {
		for (run = 0; is_token_char(s[run]); run++)
			;
		if (run >= OAUTH_HIDE_RUN && !looks_like_uuid(s, run)) {
			n = run;
			if (b.len + strlen("[hidden]") > max)
				break;
			strbuf_adds(&b, "[hidden]");
		} else if (run) {
			n = run;
			strbuf_add(&b, s, MIN2(run, max - b.len));
		} else {
			c = next_char(s, &n);
			if (b.len + n > max)
				break;
			if (is_deceptive(c))
				strbuf_addc(&b, '?');
			else
				strbuf_add(&b, s, n);
		}
		s += n;
	}
	return strbuf_steal(&b);
}

/* An error reply of RFC 6749 5.2. */
struct refusal {
	char *error; /* as sent, for comparing only */
	char *text;  /* cleaned: "error: description" */
};
#define REFUSAL_INIT { .error = NULL }

static void
refusal_clear(struct refusal *r)
{
	free(r->error);
	free(r->text);
}

/* False: the reply does not speak OAuth. */
static bool
refusal_read(const struct http_reply *reply, struct refusal *r)
{
	struct tb_error why = TB_ERROR_INIT;
	json_t *root _cleanup_json_ = jsonx_parse_object(&reply->body, &why);
	_cleanup_free_ char *error = NULL, *description = NULL;
	const char *code = NULL, *words = NULL;

	if (!root || jsonx_str(root, "error", &code, &why) < 0 || !*code)
		return false;
	error = oauth_clean(code, OAUTH_USER_CODE_MAX);
	r->error = xstrdup(code);
	if (jsonx_opt_str(root, "error_description", &words, &why) < 0)
		words = NULL;
	if (words && *words) {
		description = oauth_clean(words, OAUTH_TEXT_MAX);
		r->text = xasprintf("%s: %s", error, description);
	} else {
		r->text = STEAL(error);
	}
	return true;
}

static bool
refusal_is(const struct refusal *r, const char *const *list)
{
	for (; *list; list++)
		if (streq(r->error, *list))
			return true;
	return false;
}

/* Says "later" with whatever status it comes. */
static bool
refusal_is_transient(const struct refusal *r)
{
	static const char *const later[] = { "temporarily_unavailable",
		"server_error", "slow_down", NULL };

	return refusal_is(r, later);
}

static bool
status_is_transient(int status)
{
	return status == 408 || status == 429 || status >= 500;
}

static int
fail_status(const struct http_reply *reply, enum tb_errc code,
    struct tb_error *err)
{
	tb_error_set(err, code,
	    "the provider answered HTTP %d without an OAuth error",
	    reply->status);
	err->retry_after_ms = reply->retry_after_ms;
	return -1;
}

static int
fail_refusal(const struct http_reply *reply, const struct refusal *r,
    enum tb_errc code, const char *what, struct tb_error *err)
{
	tb_error_set(err, code, "%s: %s", what, r->text);
	err->retry_after_ms = reply->retry_after_ms;
	return -1;
}

/* The device authorization reply. */

static bool
is_user_code(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > OAUTH_USER_CODE_MAX)
		return false;
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

/* http too: it is for a human's browser, and carries no secret of ours. */
static bool
is_web_address(const char *s)
{
	_cleanup_free_ char *origin = http_url_origin(s);

	return origin != NULL;
}

static int
parse_code_times(const json_t *root, struct oauth_code *c,
    struct tb_error *err)
{
	struct tb_error why = TB_ERROR_INIT;

	if (jsonx_int(root, "expires_in", &c->expires_in_s, err) < 0)
		return -1;
	if (c->expires_in_s < 1)
		return tb_error_set(err, TB_E_PROTO,
		    "member 'expires_in' is not positive");
	c->expires_in_s = MIN2(c->expires_in_s, OAUTH_CODE_LIFE_MAX_S);
	c->interval_s = OAUTH_INTERVAL_DEFAULT_S;
	if (jsonx_opt_int(root, "interval", &c->interval_s, &why) < 0 ||
	    c->interval_s < 1)
		c->interval_s = OAUTH_INTERVAL_DEFAULT_S;
	c->interval_s = MIN2(c->interval_s, OAUTH_INTERVAL_MAX_S);
	return 0;
}

static int
parse_code(const struct http_reply *reply, struct oauth_code *c,
    struct tb_error *err)
{
	json_t *root _cleanup_json_ = jsonx_parse_object(&reply->body, err);
	struct tb_error why = TB_ERROR_INIT;
	const char *user_code, *uri = NULL, *complete = NULL;

	if (!root ||
	    jsonx_secret(root, "device_code", &c->device_code, err) < 0 ||
	    jsonx_str(root, "user_code", &user_code, err) < 0 ||
	    parse_code_times(root, c, err) < 0)
		return -1;
	/* the spelling of drafts of RFC 8628, still in use */
	if (jsonx_opt_str(root, "verification_url", &uri, &why) < 0)
		uri = NULL;
	if ((!uri || json_object_get(root, "verification_uri")) &&
	    jsonx_str(root, "verification_uri", &uri, err) < 0)
		return -1;
	if (!secret_is_token(&c->device_code))
		return tb_error_set(err, TB_E_PROTO,
		    "member 'device_code' is not a code");
	if (!is_user_code(user_code))
		return tb_error_set(err, TB_E_PROTO,
		    "member 'user_code' cannot be shown");
	if (!is_web_address(uri))
		return tb_error_set(err, TB_E_PROTO,
		    "member 'verification_uri' is not a web address");
	/* a mere convenience: without it the human types the code */
	if (jsonx_opt_str(root, "verification_uri_complete", &complete,
		&why) == 0 &&
	    complete && is_web_address(complete))
		c->verification_uri_complete = xstrdup(complete);
	c->user_code = xstrdup(user_code);
	c->verification_uri = xstrdup(uri);
	return 0;
}

int
oauth_parse_device_reply(const struct http_reply *reply,
    struct oauth_code *out, struct tb_error *err)
{
	struct oauth_code code _cleanup_(oauth_code_clear) = OAUTH_CODE_INIT;
	struct refusal r _cleanup_(refusal_clear) = REFUSAL_INIT;

	if (reply->status == 200) {
		if (parse_code(reply, &code, err) < 0)
			return tb_error_wrap(err,
			    "the provider's device code");
		oauth_code_clear(out);
		*out = code;
		code = (struct oauth_code)OAUTH_CODE_INIT;
		return 0;
	}
	if (refusal_read(reply, &r))
		return fail_refusal(reply, &r,
		    refusal_is_transient(&r) ||
			    status_is_transient(reply->status) ?
			TB_E_TRANSIENT :
			TB_E_UPSTREAM,
		    "the provider refused to give a code", err);
	if (status_is_transient(reply->status))
		return fail_status(reply, TB_E_TRANSIENT, err);
	if (reply->status >= 400)
		return fail_status(reply, TB_E_UPSTREAM, err);
	return fail_status(reply, TB_E_PROTO, err);
}

/* The token endpoint's replies. */

/* Seconds under either name; what is absent, negative or malformed counts as
 * not said. */
static int64_t
parse_life(const json_t *root, const char *name, const char *other)
{
	struct tb_error why = TB_ERROR_INIT;
	int64_t s = 0;

	if (jsonx_opt_int(root, name, &s, &why) < 0 || s <= 0) {
		s = 0;
		if (other)
			return parse_life(root, other, NULL);
	}
	return MIN2(s, OAUTH_LIFE_MAX_S);
}

/* Absent, null and empty are the same; anything but a token is an error. */
static int
parse_opt_token(const json_t *root, const char *name, struct secret *out,
    struct tb_error *err)
{
	if (jsonx_opt_secret(root, name, out, err) < 0)
		return -1;
	if (!secret_is_empty(out) && !secret_is_token(out))
		return tb_error_set(err, TB_E_PROTO,
		    "member '%s' is not a token", name);
	return 0;
}

static int
parse_grant(const struct http_reply *reply, struct oauth_grant *out,
    struct tb_error *err)
{
	struct oauth_grant g _cleanup_(oauth_grant_clear) = OAUTH_GRANT_INIT;
	json_t *root _cleanup_json_ = jsonx_parse_object(&reply->body, err);
	struct tb_error why = TB_ERROR_INIT;
	const char *type = "Bearer", *scope = NULL;

	if (!root ||
	    jsonx_secret(root, "access_token", &g.access_token, err) < 0 ||
	    parse_opt_token(root, "refresh_token", &g.refresh_token,
		err) < 0 ||
	    parse_opt_token(root, "id_token", &g.id_token, err) < 0 ||
	    jsonx_opt_str(root, "token_type", &type, err) < 0)
		return tb_error_wrap(err, "the provider's tokens");
	if (!secret_is_token(&g.access_token))
		return tb_error_set(err, TB_E_PROTO,
		    "the provider's tokens: member 'access_token' is not a "
		    "token");
	/* a bound token (DPoP, mac) would be refused wherever we use it */
	if (strcasecmp(type, "Bearer") != 0)
		return tb_error_set(err, TB_E_PROTO,
		    "the provider's tokens are not bearer tokens");
	if (jsonx_opt_str(root, "scope", &scope, &why) < 0)
		scope = NULL;
	g.token_type = xstrdup("Bearer");
	g.scope = xstrdup0(scope);
	g.expires_in = parse_life(root, "expires_in", NULL);
	g.refresh_expires_in = parse_life(root, "refresh_expires_in",
	    "refresh_token_expires_in");
	oauth_grant_clear(out);
	*out = g;
	g = (struct oauth_grant)OAUTH_GRANT_INIT;
	return 0;
}

static enum oauth_poll
poll_refused(const struct http_reply *reply, const struct refusal *r,
    struct tb_error *err)
{
	/* Entra has a name of its own for a human's no */
	static const char *const denied[] = { "access_denied",
		"authorization_declined", NULL };

	if (streq(r->error, "authorization_pending"))
		return OAUTH_POLL_PENDING;
	if (streq(r->error, "slow_down"))
		return OAUTH_POLL_SLOW_DOWN;
	if (refusal_is(r, denied)) {
		fail_refusal(reply, r, TB_E_LOGIN, "the login was refused",
		    err);
		return OAUTH_POLL_DENIED;
	}
	if (streq(r->error, "expired_token")) {
		fail_refusal(reply, r, TB_E_LOGIN,
		    "nobody confirmed the code in time", err);
		return OAUTH_POLL_EXPIRED;
	}
	/* bad_verification_code is Entra's word for an unknown code */
	if (streq(r->error, "invalid_grant") ||
	    streq(r->error, "bad_verification_code")) {
		fail_refusal(reply, r, TB_E_LOGIN,
		    "the provider does not know the code any more", err);
		return OAUTH_POLL_SPENT;
	}
	if (refusal_is_transient(r) || status_is_transient(reply->status)) {
		fail_refusal(reply, r, TB_E_TRANSIENT,
		    "the provider asks to try later", err);
		return OAUTH_POLL_TRANSIENT;
	}
	fail_refusal(reply, r, TB_E_UPSTREAM, "the provider refused the poll",
	    err);
	return OAUTH_POLL_REFUSED;
}

enum oauth_poll
oauth_parse_poll(const struct http_reply *reply, struct oauth_grant *out,
    struct tb_error *err)
{
	struct refusal r _cleanup_(refusal_clear) = REFUSAL_INIT;

	if (reply->status == 200) {
		if (parse_grant(reply, out, err) < 0)
			return OAUTH_POLL_NONSENSE;
		return OAUTH_POLL_GRANTED;
	}
	if (refusal_read(reply, &r))
		return poll_refused(reply, &r, err);
	/* a proxy's page, a maintenance page: the code is still good */
	fail_status(reply, TB_E_TRANSIENT, err);
	return OAUTH_POLL_TRANSIENT;
}

static int
refresh_refused(const struct http_reply *reply, const struct refusal *r,
    struct tb_error *err)
{
	/* the last three: the grant lives, but nothing comes of it without a
	 * human (Entra's conditional access) */
	static const char *const human[] = { "invalid_grant",
		"interaction_required", "login_required", "consent_required",
		NULL };

	if (refusal_is(r, human))
		return fail_refusal(reply, r, TB_E_LOGIN,
		    "the provider does not take the refresh token", err);
	if (refusal_is_transient(r))
		return fail_refusal(reply, r, TB_E_BUSY,
		    "the provider asks to try later", err);
	return fail_refusal(reply, r, TB_E_UPSTREAM,
	    "the provider refused the refresh", err);
}

int
oauth_parse_refresh(const struct http_reply *reply, struct oauth_grant *out,
    struct tb_error *err)
{
	struct refusal r _cleanup_(refusal_clear) = REFUSAL_INIT;

	if (reply->status == 200)
		return parse_grant(reply, out, err);
	if (reply->status == 429 || reply->status == 500 ||
	    reply->status == 503)
		return fail_status(reply, TB_E_BUSY, err);
	if (reply->status >= 500)
		return fail_status(reply, TB_E_TRANSIENT, err);
	if (reply->status >= 400 && refusal_read(reply, &r))
		return refresh_refused(reply, &r, err);
	/* Glewlwyd refuses a dead refresh token with an empty 400 */
	if (reply->status == 400 || reply->status == 401)
		return fail_status(reply, TB_E_LOGIN, err);
	return fail_status(reply, TB_E_TRANSIENT, err);
}

int
oauth_parse_revoke(const struct http_reply *reply, struct tb_error *err)
{
	/* the first: a JWT access token, which only time revokes; the others:
	 * dead already, where RFC 7009 would say 200 */
	static const char *const fine[] = { "unsupported_token_type",
		"invalid_token", "invalid_grant", NULL };
	struct refusal r _cleanup_(refusal_clear) = REFUSAL_INIT;

	if (reply->status >= 200 && reply->status < 300)
		return 0;
	if (status_is_transient(reply->status))
		return fail_status(reply, TB_E_TRANSIENT, err);
	if (!refusal_read(reply, &r))
		return fail_status(reply, TB_E_UPSTREAM, err);
	if (refusal_is(&r, fine))
		return 0;
	return fail_refusal(reply, &r,
	    refusal_is_transient(&r) ? TB_E_TRANSIENT : TB_E_UPSTREAM,
	    "the provider refused to revoke", err);
}

/* Metadata: OpenID Connect Discovery and RFC 8414 are the same to us. */

static int
parse_endpoint(const json_t *obj, const char *name, bool allow_loopback_http,
    char **out, struct tb_error *err)
{
	struct tb_error why = TB_ERROR_INIT;
	const char *url = NULL;

	if (jsonx_opt_str(obj, name, &url, &why) < 0 ||
	    (url && http_url_check(url, allow_loopback_http, &why) < 0))
		return tb_error_set(err, TB_E_PROTO, "%s: %s", name, why.msg);
	*out = xstrdup0(url);
	return 0;
}

static int
parse_endpoints(const json_t *root, bool allow, struct oauth_metadata *m,
    struct tb_error *err)
{
	const json_t *mtls = json_object_get(root, "mtls_endpoint_aliases");
	struct tb_error ignored = TB_ERROR_INIT;
	const struct {
		const json_t *obj;
		const char *name;
		char **out;
	} list[] = {
		{ root, "device_authorization_endpoint", &m->device_endpoint },
		{ root, "token_endpoint", &m->token_endpoint },
		{ root, "revocation_endpoint", &m->revocation_endpoint },
		{ root, "jwks_uri", &m->jwks_uri },
		{ mtls, "device_authorization_endpoint",
		    &m->mtls_device_endpoint },
		{ mtls, "token_endpoint", &m->mtls_token_endpoint },
		{ mtls, "revocation_endpoint", &m->mtls_revocation_endpoint },
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		if (json_is_object(list[i].obj) &&
		    parse_endpoint(list[i].obj, list[i].name, allow,
			list[i].out, err) < 0)
			return -1;
	/* few need it: one that is no URL is none */
	parse_endpoint(root, "introspection_endpoint", allow,
	    &m->introspection_endpoint, &ignored);
	if (json_is_object(mtls))
		parse_endpoint(mtls, "introspection_endpoint", allow,
		    &m->mtls_introspection_endpoint, &ignored);
	return 0;
}

/* Equal, a slash at the end of either apart. */
static bool
issuer_equal(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	if (n && a[n - 1] == '/')
		n--;
	if (m && b[m - 1] == '/')
		m--;
	return n == m && memcmp(a, b, n) == 0;
}

int
oauth_parse_metadata(const struct http_reply *reply, const char *want_issuer,
    bool allow_loopback_http, struct oauth_metadata *out,
    struct tb_error *err)
{
	struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
		.issuer = NULL };
	json_t *root _cleanup_json_ = NULL;
	const char *issuer;

	if (reply->status != 200)
		return fail_status(reply,
		    status_is_transient(reply->status) ? TB_E_TRANSIENT :
							 TB_E_UPSTREAM, err);
	root = jsonx_parse_object(&reply->body, err);
	if (!root || jsonx_str(root, "issuer", &issuer, err) < 0)
		return tb_error_wrap(err, "the provider's metadata");
	if (!issuer_equal(issuer, want_issuer))
		return tb_error_set(err, TB_E_PROTO,
		    "the provider's metadata are of another issuer than "
		    "'%.200s'", want_issuer);
	if (parse_endpoints(root, allow_loopback_http, &m, err) < 0)
		return tb_error_wrap(err, "the provider's metadata");
	m.issuer = xstrdup(issuer);
	oauth_metadata_clear(out);
	*out = m;
	m = (struct oauth_metadata){ .issuer = NULL };
	return 0;
}
