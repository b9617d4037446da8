/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_template - one request and one reply per verb, nothing remembered in
 * between. The templates are checked at load with sample values, so that at
 * run time a placeholder cannot fail.
 *
 * A list that does not show descriptions, or a mint that does not send ours,
 * would make a lost token look as if it had never been: both are refused.
 */
#include "backend/http_template.h"

#include <inttypes.h>

#include "backend/answer.h"
#include "backend/backend_int.h"
#include "backend/check.h"
#include "backend/template.h"
#include "base/strbuf.h"
#include "base/timefmt.h"
#include "lib/jsonx.h"


/* The values of one request, and the room some of them need. */
struct http_template_vars {
	struct template_var v[9];
	char expires_at[TIMEFMT_SIZE], lifetime_s[24], expires_at_epoch[24];
	char expires_on[TIMEFMT_SIZE]; /* the day of it */
};

static const struct backend_template *
http_template_of(const struct backend_conf *c, enum backend_verb verb)
{
	switch (verb) {
	case BACKEND_MINT:
		return &c->mint;
	case BACKEND_LIST:
		return &c->list;
	case BACKEND_REVOKE:
		return &c->revoke;
	case BACKEND_PROBE:
		return &c->probe;
	case BACKEND_DISABLE: /* not offered */
	case BACKEND_GET:
	case BACKEND_UPDATE:
		break;
	}
	return NULL;
}

static const char *
http_template_default_method(enum backend_verb verb)
{
	switch (verb) {
	case BACKEND_MINT:
		return "POST";
	case BACKEND_REVOKE:
		return "DELETE";
	case BACKEND_LIST:
	case BACKEND_PROBE:
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		return "GET";
	}
	return "GET";
}

/* As a literal, which http_request wants; NULL if it is none we send. */
static const char *
http_template_method(const struct backend_template *t, enum backend_verb verb)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH",
		"DELETE" };

	if (!t->method)
		return http_template_default_method(verb);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (streq(t->method, methods[i]))
			return methods[i];
	}
	return NULL;
}

/* What has no value for this verb stays NULL: template_check refuses it. */
static void
http_template_fill(struct http_template_vars *vars,
    const struct backend_run *run)
{
	const struct backend_conf *c = run->conf;
	bool mint = run->verb == BACKEND_MINT;
	struct template_var v[] = {
		{ "account_id", c->account_id },
		{ "cluster_id", c->cluster_id },
		{ "name", c->name },
		{ "id", run->verb == BACKEND_REVOKE ? run->token_id : NULL },
		{ "description", mint ? run->description : NULL },
		{ "expires_at", mint ? vars->expires_at : NULL },
		{ "expires_at_epoch", mint ? vars->expires_at_epoch : NULL },
		{ "expires_on", mint ? vars->expires_on : NULL },
		{ "lifetime_s", mint ? vars->lifetime_s : NULL },
	};

	_Static_assert(sizeof(v) == sizeof(vars->v), "room for all words");
	memcpy(vars->v, v, sizeof(v));
	timefmt_rfc3339(run->expires_at, vars->expires_at,
	    sizeof(vars->expires_at));
	snprintf(vars->expires_on, sizeof(vars->expires_on), "%.10s",
	    vars->expires_at);
	snprintf(vars->expires_at_epoch, sizeof(vars->expires_at_epoch),
	    "%" PRId64, run->expires_at);
	snprintf(vars->lifetime_s, sizeof(vars->lifetime_s), "%" PRId64,
	    run->expires_at - run->now_s);
}

/* ---------------------------------------------------------------- at load */

/* Filled in with samples it must be JSON, which it then is with any values. */
static int
http_template_check_body(const char *body,
    const struct http_template_vars *vars, struct tb_error *err)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct tb_error why = TB_ERROR_INIT;
	json_t *json _cleanup_json_ = NULL;

	if (template_check(body, vars->v, ARRAY_SIZE(vars->v), err) < 0)
		return -1;
	template_json(&text, body, vars->v, ARRAY_SIZE(vars->v));
	json = jsonx_parse(strbuf_str(&text), text.len, &why);
	if (!json)
		return tb_error_set(err, TB_E_CONFIG,
		    "it is no JSON object or array: %s", why.msg);
	return 0;
}

static int
http_template_check_one(const struct backend_conf *c, enum backend_verb verb,
    struct tb_error *err)
{
	const struct backend_template *t = http_template_of(c, verb);
	const char *name = backend_verb_name(verb);
	char id[] = "sample", description[] = "sample";
	struct backend_run sample = {
		.verb = verb,
		.conf = c,
		.token_id = id,
		.description = description,
	};
	struct http_template_vars vars;
	char key[16];

	if (!t->url) {
		if (t->method || t->body)
			return tb_error_set(err, TB_E_CONFIG,
			    "%s_url is missing", name);
		return 0;
	}
	if (!http_template_method(t, verb))
		return tb_error_set(err, TB_E_CONFIG,
		    "%s_method must be GET, POST, PUT, PATCH or DELETE", name);
	http_template_fill(&vars, &sample);
	snprintf(key, sizeof(key), "%s_url", name);
	if (check_url(c, key, t->url, vars.v, ARRAY_SIZE(vars.v), err) < 0)
		return -1;
	if (t->body && http_template_check_body(t->body, &vars, err) < 0)
		return tb_error_wrap(err, "%s_body", name);
	return 0;
}

static bool
http_template_mentions(const struct backend_template *t, const char *word)
{
	return template_uses(t->url, word) || template_uses(t->body, word);
}

static bool
http_template_asks_expiry(const struct backend_conf *c)
{
	return http_template_mentions(&c->mint, "expires_at") ||
	    http_template_mentions(&c->mint, "expires_at_epoch") ||
	    http_template_mentions(&c->mint, "expires_on") ||
	    http_template_mentions(&c->mint, "lifetime_s");
}

static int
http_template_check_revoke(const struct backend_conf *c, struct tb_error *err)
{
	if (c->revoke.url && !http_template_mentions(&c->revoke, "id"))
		return tb_error_set(err, TB_E_CONFIG,
		    "revoke_url or revoke_body must have {id}");
	return 0;
}

/* What finding, ending and outliving a token rest on. */
static int
http_template_check_ties(const struct backend_conf *c, struct tb_error *err)
{
	if (!c->mint.url)
		return tb_error_set(err, TB_E_CONFIG, "mint_url is missing");
	if (!http_template_asks_expiry(c) && !c->expires_pointer)
		return tb_error_set(err, TB_E_CONFIG,
		    "mint_body or mint_url must have {expires_at}, "
		    "{expires_at_epoch}, {expires_on} or {lifetime_s}, or else "
		    "expires_pointer must say where the answer has the end");
	if (c->list.url && !http_template_mentions(&c->mint, "description"))
		return tb_error_set(err, TB_E_CONFIG,
		    "list_url is of use only if mint_body or mint_url has "
		    "{description}");
	return http_template_check_revoke(c, err);
}

static int
http_template_check_pointers(const struct backend_conf *c,
    struct tb_error *err)
{
	if (check_pointer("token_pointer", c->token_pointer, err) < 0 ||
	    check_pointer("id_pointer", c->id_pointer, err) < 0 ||
	    check_pointer("expires_pointer", c->expires_pointer, err) < 0 ||
	    check_pointer("list_pointer", c->list_pointer, err) < 0 ||
	    check_pointer("list_id_pointer", c->list_id_pointer, err) < 0 ||
	    check_pointer("list_description_pointer",
		c->list_description_pointer, err) < 0 ||
	    check_pointer("list_revoked_pointer", c->list_revoked_pointer,
		err) < 0 ||
	    check_pointer("list_expires_pointer", c->list_expires_pointer,
		err) < 0 ||
	    check_pointer("list_prefix_pointer", c->list_prefix_pointer,
		err) < 0)
		return -1;
	return check_pointer("list_created_pointer", c->list_created_pointer,
	    err);
}

static int
http_template_check_all(const struct backend_conf *c, struct tb_error *err)
{
	static const enum backend_verb verbs[] = { BACKEND_MINT, BACKEND_LIST,
		BACKEND_REVOKE, BACKEND_PROBE };

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (http_template_check_one(c, verbs[i], err) < 0)
			return -1;
	}
	return http_template_check_pointers(c, err);
}

int
http_template_check(const struct backend_conf *c, struct tb_error *err)
{
	return http_template_check_all(c, err) < 0 ? -1 :
	    http_template_check_ties(c, err);
}

int
http_template_check_imported(const struct backend_conf *c,
    struct tb_error *err)
{
	if (c->mint.url || c->mint.method || c->mint.body)
		return tb_error_set(err, TB_E_CONFIG, "mint_url is of use only "
		    "with management_driver = http");
	return http_template_check_all(c, err) < 0 ? -1 :
	    http_template_check_revoke(c, err);
}

static int
http_template_check_type(const struct backend_conf *c, struct tb_error *err)
{
	return check_common(c, err) < 0 ? -1 : http_template_check(c, err);
}

static int
http_template_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err)
{
	switch (r->kind) {
	case BACKEND_KIND_CUSTOM:
		return check_no_permissions(r, "type http", err);
	case BACKEND_KIND_MANAGEMENT:
		if (check_no_permissions(r, "kind = management", err) < 0)
			return -1;
		return check_full_access(r,
		    "kind = management is all-powerful", err);
	case BACKEND_KIND_DATABASE:
	case BACKEND_KIND_ACCESS:
		break;
	}
	return tb_error_set(err, TB_E_CONFIG,
	    "a backend of type http has kind = custom or management");
}

unsigned
http_template_caps(const struct backend_conf *c)
{
	unsigned caps = 0;

	if (c->list.url)
		caps |= BACKEND_CAN_LIST;
	if (c->revoke.url)
		caps |= BACKEND_CAN_REVOKE;
	if (c->probe.url)
		caps |= BACKEND_CAN_PROBE;
	/* A client certificate can pay instead. */
	if (c->login || c->management_token || !c->tls_cert_file)
		caps |= BACKEND_NEEDS_PAYER;
	return caps;
}

static unsigned
http_template_caps_type(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	return http_template_caps(c);
}

/* ---------------------------------------------------------------- requests */

static enum backend_next
http_template_send(struct backend_run *run, struct http_request *request,
    struct tb_error *err)
{
	const struct backend_conf *c = run->conf;
	const struct backend_template *t = http_template_of(c, run->verb);
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct http_template_vars vars;

	if (run->verb == BACKEND_REVOKE && !answer_is_id(run->token_id)) {
		tb_error_set(err, TB_E_BADREQ,
		    "revoke: there is no usable token id");
		return BACKEND_FAILED;
	}
	http_template_fill(&vars, run);
	if (*t->url == '/')
		strbuf_adds(&url, c->base_url);
	template_url(&url, t->url, vars.v, ARRAY_SIZE(vars.v));
	backend_prepare(run, http_template_method(t, run->verb), &url,
	    request);
	if (t->body) {
		template_json(&body, t->body, vars.v, ARRAY_SIZE(vars.v));
		secret_set_str(&request->body, strbuf_str(&body));
		request->content_type = "application/json";
	}
	if (run->verb == BACKEND_LIST)
		request->body_cap = BACKEND_LIST_CAP;
	return BACKEND_SEND;
}

/* ---------------------------------------------------------------- replies */

static const char *
http_template_or(const char *configured, const char *fallback)
{
	return configured ? configured : fallback;
}

static void
http_template_spec(const struct backend_conf *c, struct answer_spec *s)
{
	*s = (struct answer_spec){
		.token = http_template_or(c->token_pointer, "/token"),
		.id = http_template_or(c->id_pointer, "/id"),
		.id_required = c->revoke.url != NULL,
		.expires_required = !http_template_asks_expiry(c),
		.expires = { "/expiresAt", "/expires_at" },
		.list = c->list_pointer,
		.list_id = http_template_or(c->list_id_pointer, "/id"),
		.list_description = http_template_or(
		    c->list_description_pointer, "/description"),
		.list_prefix = http_template_or(c->list_prefix_pointer,
		    "/token_prefix"),
		.list_created = { "/createdAt", "/created_at" },
		.list_revoked = { "/revokedAt", "/revoked_at" },
		.list_expires = { "/expiresAt", "/expires_at" },
	};
	if (c->expires_pointer) {
		s->expires[0] = c->expires_pointer;
		s->expires[1] = NULL;
	}
	if (c->list_created_pointer) {
		s->list_created[0] = c->list_created_pointer;
		s->list_created[1] = NULL;
	}
	if (c->list_expires_pointer) {
		s->list_expires[0] = c->list_expires_pointer;
		s->list_expires[1] = NULL;
	}
	if (c->list_revoked_pointer) {
		s->list_revoked[0] = c->list_revoked_pointer;
		s->list_revoked[1] = NULL;
	}
}

const char *
http_template_keys(const struct backend_run *run, int status)
{
	bool body = status == 400 || status == 415 || status == 422;

	switch (run->verb) {
	case BACKEND_MINT:
		return body ? "mint_body" : "mint_url and mint_method";
	case BACKEND_LIST:
		return "list_url and list_method";
	case BACKEND_REVOKE:
		return "revoke_url and revoke_method";
	case BACKEND_PROBE:
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		break;
	}
	return NULL;
}

static enum backend_next
http_template_read(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	struct answer_spec spec;
	int r;

	if (run->verb == BACKEND_PROBE)
		return backend_probed(run, reply);
	if (run->verb == BACKEND_REVOKE)
		return backend_revoked(run, reply, err);
	if (reply->status < 200 || reply->status > 299)
		return backend_refused(run, reply, err);
	http_template_spec(run->conf, &spec);
	r = run->verb == BACKEND_MINT ?
	    answer_minted(run, reply, &spec, err) :
	    answer_listed(run, reply, &spec, err);
	return r < 0 ? backend_unusable(run, err) : BACKEND_DONE;
}

enum backend_next
http_template_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	return reply ? http_template_read(run, reply, err) :
		       http_template_send(run, request, err);
}

const struct backend_ops http_template_ops = {
	.type = "http",
	.kind = BACKEND_KIND_CUSTOM,
	.caps = http_template_caps_type,
	.check = http_template_check_type,
	.check_recipe = http_template_check_recipe,
	.keys = http_template_keys,
	.step = http_template_step,
};
