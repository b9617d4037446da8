/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_exchange - see the header. What is special here:
 *
 *  - No list shows what was issued, and nothing of ours is in it: an answer
 *    that got lost leaves a token that nobody has and that ends by itself.
 *  - A token that came and cannot be used (bound to a key, of another type) is
 *    alive there: it is handed back before the mint fails.
 *  - A refresh token was not asked for. It is dropped and not handed back:
 *    many providers end the whole grant with it (RFC 7009, 2.1), ours too.
 *  - The provider says 400 where an API would say 401, and its words tell
 *    whether the login's token, the registration or the request is at fault.
 */
#include "backend/token_exchange.h"

#include <inttypes.h>
#include <strings.h>

#include "backend/backend_int.h"
#include "backend/token_exchange_int.h"
#include "base/strbuf.h"
#include "lib/form.h"
#include "lib/jsonx.h"

#define EXCHANGE_GRANT "urn:ietf:params:oauth:grant-type:token-exchange"
#define EXCHANGE_LIFE_MAX INT64_C(315360000) /* ten years, in seconds */

enum { EXCHANGE_FIRST, EXCHANGE_HANDING_BACK };

static unsigned
exchange_caps(const struct backend_conf *c, const struct backend_recipe *r)
{
	unsigned caps = BACKEND_NEEDS_PAYER | BACKEND_AS_CLIENT |
	    BACKEND_CAN_REVOKE | BACKEND_REVOKES_VALUE;

	return c->introspection || c->probe_url ? caps | BACKEND_CAN_PROBE :
	    caps;
}

/* ---------------------------------------------------------------- requests */

static void
exchange_add_words(struct secret *form, const char *name, const char *words)
{
	char *word;

	while ((word = token_exchange_word(&words))) {
		form_add(form, name, word);
		free(word);
	}
}

static int
exchange_send_mint(struct backend_run *run, struct http_request *request,
    struct tb_error *err)
{
	const struct backend_conf *c = run->conf;
	char *subject _cleanup_free_ = token_exchange_type_uri(
	    c->subject_token_type);
	char *wanted _cleanup_free_ = token_exchange_type_uri(
	    c->requested_token_type);
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	const char *scopes = token_exchange_scopes(c, run->recipe);

	form_add(&form, "grant_type", EXCHANGE_GRANT);
	form_add_secret(&form, "subject_token", &run->bearer);
	form_add(&form, "subject_token_type", subject);
	if (c->requested_token_type)
		form_add(&form, "requested_token_type", wanted);
	exchange_add_words(&form, "audience", token_exchange_audience(c,
	    run->recipe));
	exchange_add_words(&form, "resource", token_exchange_resource(c,
	    run->recipe));
	if (scopes)
		form_add(&form, "scope", scopes);
	return backend_to_provider(run, BACKEND_AT_TOKEN, &form, request, err);
}

/* RFC 7009 and RFC 7662 begin alike. */
static int
exchange_send_value(struct backend_run *run, const struct secret *value,
    enum backend_endpoint at, struct http_request *request,
    struct tb_error *err)
{
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	if (secret_is_empty(value))
		return tb_error_set(err, TB_E_BADREQ,
		    "%s: there is no value", backend_verb_name(run->verb));
	form_add_secret(&form, "token", value);
	form_add(&form, "token_type_hint", "access_token");
	return backend_to_provider(run, at, &form, request, err);
}

static int
exchange_send_probe(struct backend_run *run, struct http_request *request,
    struct tb_error *err)
{
	const struct backend_conf *c = run->conf;
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (c->introspection)
		return exchange_send_value(run, &run->value,
		    BACKEND_AT_INTROSPECTION, request, err);
	strbuf_adds(&url, c->probe_url);
	backend_prepare(run, "GET", &url, request);
	return 0;
}

static enum backend_next
exchange_send(struct backend_run *run, struct http_request *request,
    struct tb_error *err)
{
	int r = -1;

	switch (run->verb) {
	case BACKEND_MINT:
		r = exchange_send_mint(run, request, err);
		break;
	case BACKEND_REVOKE:
		r = exchange_send_value(run, &run->value,
		    BACKEND_AT_REVOCATION, request, err);
		break;
	case BACKEND_PROBE:
		r = exchange_send_probe(run, request, err);
		break;
	case BACKEND_LIST:
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		return backend_cannot(run, err);
	}
	return r < 0 ? BACKEND_FAILED : BACKEND_SEND;
}

/* --------------------------------------------------------------- refusals */

static const struct exchange_refusal {
	const char *error, *advice;
	bool bearer; /* it is about the login's access token */
} exchange_refusals[] = {
	{ "invalid_target", "check audience and resource: the provider issues "
	    "no token for what they name", false },
	{ "invalid_scope", "check scopes: the provider does not give them for "
	    "this audience", false },
	{ "invalid_grant", "the provider does not take the login's access "
	    "token (subject_token_type?)", true },
	{ "invalid_token", "the provider does not take the login's access "
	    "token (subject_token_type?)", true },
	{ "unauthorized_client", "the login's client may not exchange tokens: "
	    "allow it the grant type token-exchange at the provider", false },
	{ "access_denied", "the provider's policy does not let the login's "
	    "client have this audience", false },
	{ "unsupported_grant_type", "this provider has no token exchange "
	    "(RFC 8693), or not for this client", false },
	{ "invalid_client", "check client_auth of the login", false },
};

/* RFC 8693 2.2.2 has invalid_request for a subject token that is over, too. */
static bool
exchange_is_about_token(const char *error, const char *description)
{
	return streq(error, "invalid_request") && description &&
	    strcasestr(description, "token");
}

static void
exchange_advise(struct backend_run *run, json_t *body, struct tb_error *err)
{
	const char *error = json_string_value(json_object_get(body, "error"));
	char *what _cleanup_free_ = xstrdup(err->msg);

	run->unauthorized = exchange_is_about_token(error,
	    json_string_value(json_object_get(body, "error_description")));
	for (size_t i = 0; i < ARRAY_SIZE(exchange_refusals); i++) {
		const struct exchange_refusal *r = &exchange_refusals[i];

		if (!streq(r->error, error))
			continue;
		run->unauthorized = r->bearer;
		tb_error_set(err, err->code, "%s (%s): %s", what, error,
		    r->advice);
		return;
	}
}

/* 401 is about our client, and no fresh access token would help it. */
static enum backend_next
exchange_refused(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	struct tb_error unreadable = TB_ERROR_INIT;
	json_t *body _cleanup_json_ = jsonx_parse_object(&reply->body,
	    &unreadable);

	backend_refused(run, reply, err);
	run->unauthorized = false;
	if (body && reply->status >= 400 && reply->status < 500 &&
	    reply->status != 429)
		exchange_advise(run, body, err);
	return BACKEND_FAILED;
}

/* ---------------------------------------------------------------- the token */

/* Why what came cannot be used; NULL: it can. */
static const char *
exchange_judge_type(const struct backend_run *run, const char *issued,
    const char *token_type)
{
	const struct backend_conf *c = run->conf;
	char *wanted _cleanup_free_ = token_exchange_type_uri(
	    c->requested_token_type);
	bool access = streq(issued, TOKEN_EXCHANGE_TYPE "access_token");

	if (!issued)
		return "it does not say its issued_token_type";
	if (c->requested_token_type ? !streq(issued, wanted) :
		!access && !streq(issued, TOKEN_EXCHANGE_TYPE "jwt"))
		return "its issued_token_type is not the one asked for";
	if (!token_type)
		return "it does not say its token_type";
	if (strcasecmp(token_type, "Bearer") == 0)
		return NULL;
	if (strcasecmp(token_type, "N_A") == 0)
		return access ? "token_type N_A is for what is no access "
		    "token" : NULL;
	return "its token_type is not Bearer: it is bound to a key that its "
	    "holders do not have";
}

/* 0: not said; -1: nonsense, or over already. */
static int64_t
exchange_life(json_t *root)
{
	struct tb_error ignored = TB_ERROR_INIT;
	int64_t life = 0;

	if (jsonx_opt_int(root, "expires_in", &life, &ignored) < 0)
		return -1;
	if (!life && json_object_get(root, "expires_in") &&
	    !json_is_null(json_object_get(root, "expires_in")))
		return -1;
	return life < 0 ? -1 : MIN2(life, EXCHANGE_LIFE_MAX);
}

static const char *
exchange_judge(struct backend_run *run, json_t *root)
{
	const char *issued = json_string_value(
	    json_object_get(root, "issued_token_type"));
	const char *type = json_string_value(
	    json_object_get(root, "token_type"));
	const char *why = exchange_judge_type(run, issued, type);
	int64_t life = exchange_life(root);

	if (why)
		return why;
	if (life < 0)
		return "its expires_in is no lifetime";
	/* not said: the lifetime that was configured is what holds */
	run->minted_expires_at = life ? run->now_s + life : 0;
	return NULL;
}

/* Worth knowing, and no reason to refuse it. */
static void
exchange_note(struct backend_run *run, json_t *root)
{
	const char *scope = json_string_value(json_object_get(root, "scope"));
	const char *asked = token_exchange_scopes(run->conf, run->recipe);
	char *word;

	if (json_object_get(root, "refresh_token"))
		run->note = xstrdup("a refresh token came with it, which "
		    "nobody asked for: dropped");
	while (!run->note && scope && (word = token_exchange_word(&asked))) {
		if (!token_exchange_has_word(scope, word))
			run->note = xasprintf("the provider did not grant "
			    "the scope %.80s", word);
		free(word);
	}
}

static void
exchange_free_text(void *text)
{
	free(text);
}

/* Of no use to us, and alive there. */
static enum backend_next
exchange_hand_back(struct backend_run *run, const char *why,
    struct http_request *request, struct tb_error *err)
{
	struct tb_error none = TB_ERROR_INIT;

	tb_error_set(err, TB_E_PROTO, "mint: the provider's token cannot be "
	    "used: %s", why);
	run->uncertain = true;
	if (exchange_send_value(run, &run->token, BACKEND_AT_REVOCATION,
		request, &none) < 0)
		return BACKEND_FAILED; /* it lives on, and nobody has it */
	run->step = EXCHANGE_HANDING_BACK;
	run->scratch = xstrdup(err->msg);
	run->scratch_free = exchange_free_text;
	return BACKEND_SEND;
}

static enum backend_next
exchange_handed_back(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	secret_clear(&run->token);
	run->uncertain = reply->status != 200;
	tb_error_set(err, TB_E_PROTO, "%s", (const char *)run->scratch);
	return BACKEND_FAILED;
}

static enum backend_next
exchange_minted(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	json_t *root _cleanup_json_ = NULL;
	const char *why;

	if (run->step == EXCHANGE_HANDING_BACK)
		return exchange_handed_back(run, reply, err);
	if (reply->status != 200)
		return exchange_refused(run, reply, err);
	root = jsonx_parse_object(&reply->body, err);
	if (!root ||
	    jsonx_secret(root, "access_token", &run->token, err) < 0)
		return backend_unusable(run, err);
	if (!secret_is_token(&run->token)) {
		secret_clear(&run->token);
		tb_error_set(err, TB_E_PROTO, "what is at 'access_token' "
		    "cannot be a token");
		return backend_unusable(run, err);
	}
	why = exchange_judge(run, root);
	if (why)
		return exchange_hand_back(run, why, request, err);
	exchange_note(run, root);
	return BACKEND_DONE;
}

/* ------------------------------------------------------------ other replies */

/* What is over already is what was wanted. That it cannot revoke this kind of
 * token, which RFC 7009 lets a provider say, is not. */
static enum backend_next
exchange_revoked(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	struct tb_error unreadable = TB_ERROR_INIT;
	json_t *body _cleanup_json_ = NULL;
	const char *error;

	if (reply->status == 200)
		return BACKEND_DONE;
	body = jsonx_parse_object(&reply->body, &unreadable);
	error = json_string_value(json_object_get(body, "error"));
	if (reply->status == 400 && (streq(error, "invalid_token") ||
	    streq(error, "invalid_grant")))
		return BACKEND_DONE;
	if (streq(error, "unsupported_token_type")) {
		tb_error_set(err, TB_E_UPSTREAM, "revoke: the provider cannot "
		    "revoke such tokens: it works there until it expires");
		return BACKEND_FAILED;
	}
	return exchange_refused(run, reply, err);
}

static enum backend_next
exchange_probed(struct backend_run *run, const struct http_reply *reply)
{
	struct tb_error unreadable = TB_ERROR_INIT;
	json_t *body _cleanup_json_ = NULL;
	const json_t *active;

	if (!run->conf->introspection)
		return backend_probed(run, reply);
	run->probe = BACKEND_PROBE_UNCLEAR;
	if (reply->status != 200)
		return BACKEND_DONE;
	body = jsonx_parse_object(&reply->body, &unreadable);
	active = json_object_get(body, "active");
	if (json_is_boolean(active))
		run->probe = json_is_true(active) ? BACKEND_PROBE_YES :
						    BACKEND_PROBE_NOT_YET;
	return BACKEND_DONE;
}

static enum backend_next
exchange_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	if (!reply)
		return exchange_send(run, request, err);
	switch (run->verb) {
	case BACKEND_MINT:
		return exchange_minted(run, reply, request, err);
	case BACKEND_REVOKE:
		return exchange_revoked(run, reply, err);
	case BACKEND_PROBE:
		return exchange_probed(run, reply);
	case BACKEND_LIST:
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		break;
	}
	return backend_cannot(run, err);
}

const struct backend_ops token_exchange_ops = {
	.type = "token-exchange",
	.kind = BACKEND_KIND_ACCESS,
	.caps = exchange_caps,
	.check = token_exchange_check,
	.check_recipe = token_exchange_check_recipe,
	.step = exchange_step,
};
