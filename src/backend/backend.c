/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend - the table of types, the life of the structs that cross it, and the
 * verdicts that no type should word for itself: above all when a token may
 * exist upstream that we do not know (uncertain), because somebody has to go
 * and look for it.
 */
#include "backend/backend_int.h"

#include <jansson.h>

#include "backend/advice.h"
#include "backend/answer.h"
#include "backend/http_template.h"
#include "backend/import.h"
#include "backend/influxdb3.h"
#include "backend/influxdb_mgmt.h"
#include "backend/influxdb_v2.h"
#include "backend/names.h"
#include "backend/oauth_access.h"
#include "backend/token_exchange.h"
#include "base/strbuf.h"
#include "lib/jsonx.h"

#define BACKEND_TEXT_MAX 160
/* Longer than a UUID, shorter than any token known to us. */
#define BACKEND_WORD_MAX 40

/* Sorted: backend_type_names() shows them in this order. */
static const struct backend_ops *const backend_types[] = {
	&http_template_ops,
	&import_ops,
	&influxdb_mgmt_clustered_ops,
	&influxdb_mgmt_dedicated_ops,
	&influxdb_v2_ops,
	&influxdb3_ops,
	&oauth_access_ops,
	&token_exchange_ops,
};

const struct backend_ops *
backend_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(backend_types); i++) {
		if (streq(backend_types[i]->type, type))
			return backend_types[i];
	}
	return NULL;
}

const char *
backend_type_names(void)
{
	static char names[256];
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(backend_types); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
		    "%s%s", i ? ", " : "", backend_types[i]->type);
	return names;
}

const char *
backend_verb_name(enum backend_verb verb)
{
	switch (verb) {
	case BACKEND_MINT:
		return "mint";
	case BACKEND_LIST:
		return "list";
	case BACKEND_REVOKE:
		return "revoke";
	case BACKEND_PROBE:
		return "probe";
	case BACKEND_DISABLE:
		return "disable";
	case BACKEND_GET:
		return "get";
	case BACKEND_UPDATE:
		return "update";
	}
	return "?";
}

/* ---------------------------------------------------------------- structs */

static void
backend_template_clear(struct backend_template *t)
{
	free(t->method);
	free(t->url);
	free(t->body);
}

static void
backend_influxctl_clear(struct backend_influxctl *i)
{
	free(i->socket);
	free(i->user);
	free(i->login);
	free(i->min_version);
	free(i->version_args);
	free(i->mint_args);
	free(i->list_args);
	free(i->revoke_args);
	free(i->token_prefix);
	free(i->token_path);
	free(i->token_content);
	free(i->unauthorized);
	free(i->host);
	free(i->port);
	free(i->client_id);
	free(i->scopes);
	free(i->device_url);
	free(i->token_url);
	free(i->audience);
}

void
backend_conf_free(struct backend_conf *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->where);
	free(c->login);
	free(c->management_token);
	free(c->base_url);
	free(c->account_id);
	free(c->cluster_id);
	free(c->org);
	free(c->owner);
	names_free(c->names);
	free(c->tokens_path);
	free(c->auth_scheme);
	free(c->auth_header);
	free(c->expiration_type);
	free(c->management_driver);
	free(c->audience);
	free(c->resource);
	free(c->scopes);
	free(c->subject_token_type);
	free(c->requested_token_type);
	backend_influxctl_clear(&c->influxctl);
	backend_template_clear(&c->mint);
	backend_template_clear(&c->list);
	backend_template_clear(&c->revoke);
	backend_template_clear(&c->probe);
	free(c->token_pointer);
	free(c->id_pointer);
	free(c->expires_pointer);
	free(c->list_pointer);
	free(c->list_id_pointer);
	free(c->list_description_pointer);
	free(c->list_revoked_pointer);
	free(c->list_created_pointer);
	free(c->list_expires_pointer);
	free(c->list_prefix_pointer);
	free(c->probe_url);
	free(c->ca_file);
	free(c->tls_cert_file);
	free(c->tls_key_file);
	free(c);
}

void
backend_recipe_clear(struct backend_recipe *r)
{
	for (size_t i = 0; i < r->n_permissions; i++) {
		free(r->permissions[i].action);
		free(r->permissions[i].resource);
	}
	free(r->permissions);
	free(r->audience);
	free(r->resource);
	free(r->scopes);
	*r = (struct backend_recipe){ .kind = BACKEND_KIND_DATABASE };
}

void
backend_run_clear(struct backend_run *run)
{
	secret_clear(&run->bearer);
	secret_clear(&run->value);
	secret_clear(&run->token);
	if (run->scratch)
		run->scratch_free(run->scratch);
	free(run->description);
	free(run->token_id);
	free(run->minted_id);
	free(run->note);
	free(run->asked);
	for (size_t i = 0; i < run->n_listed; i++) {
		free(run->listed[i].id);
		free(run->listed[i].description);
		free(run->listed[i].prefix);
	}
	free(run->listed);
	*run = (struct backend_run){ .verb = BACKEND_MINT };
}

/* ---------------------------------------------------------------- requests */

void
backend_prepare(const struct backend_run *run, const char *method,
    struct strbuf *url, struct http_request *request)
{
	struct secret value _cleanup_(secret_clear) = SECRET_INIT;
	const struct secret *bearer = run->verb == BACKEND_PROBE ?
	    &run->value :
	    &run->bearer;
	const char *header = run->conf->auth_header;
	const char *scheme = run->conf->auth_scheme ?
	    run->conf->auth_scheme :
	    header ? "none" : run->conf->ops->auth_scheme;

	request->method = method;
	request->url = strbuf_steal(url);
	http_request_header(request, "Accept", "application/json");
	if (secret_is_empty(bearer)) {
		return; /* a client certificate pays */
	} else if (!header && !streq(scheme, "none")) {
		http_request_bearer(request, scheme ? scheme : "Bearer",
		    bearer);
	} else {
		if (!streq(scheme, "none")) {
			secret_set_str(&value, scheme);
			secret_append_str(&value, " ");
		}
		secret_append(&value, secret_reveal(bearer), bearer->len);
		http_request_header_secret(request,
		    header ? header : "Authorization", &value);
	}
}

int
backend_to_provider(struct backend_run *run, enum backend_endpoint at,
    struct secret *form, struct http_request *request, struct tb_error *err)
{
	if (!run->as_client)
		return tb_error_set(err, TB_E_BADREQ,
		    "backend '%s' has no provider to call", run->conf->name);
	if (run->as_client(run->as_client_arg, run->conf, at, form, request,
		err) < 0)
		return -1;
	run->at_provider = true;
	return 0;
}

/* ---------------------------------------------------------------- replies */

/* The words of an error body, borrowed from root; NULL when there are none. */
static const char *
backend_find_text(json_t *root)
{
	static const char *const pointers[] = { "/message", "/error/message",
		"/error_description", "/detail", "/error", "/title", "/code" };

	for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
		const char *text = json_string_value(
		    jsonx_pointer(root, pointers[i]));

		if (text && *text)
			return text;
	}
	return NULL;
}

void
backend_clean(struct strbuf *out, const char *text)
{
	while (*text && out->len < BACKEND_TEXT_MAX) {
		size_t n = strcspn(text, " \t\r\n\"'`,;:()<>[]{}");

		if (n >= BACKEND_WORD_MAX) {
			strbuf_adds(out, "...");
			text += n;
			continue;
		}
		for (n += !n; n; n--, text++)
			strbuf_addc(out,
			    *text >= ' ' && *text <= '~' ? *text : '?');
	}
}

/* Some refuse in plain text: its first line. */
static void
backend_add_plain(struct strbuf *out, const struct http_reply *reply)
{
	const char *text = secret_reveal(&reply->body);
	char *line _cleanup_free_ = NULL;

	text += strspn(text, " \t\r\n");
	if (*text == '<' || *text == '{' || *text == '[')
		return;
	line = xstrndup(text, strcspn(text, "\r\n"));
	backend_clean(out, line);
}

int
backend_reply_error(const struct http_reply *reply, const char *what,
    struct tb_error *err)
{
	struct tb_error unreadable = TB_ERROR_INIT;
	json_t *root _cleanup_json_ = jsonx_parse_object(&reply->body,
	    &unreadable);
	const char *text = root ? backend_find_text(root) : NULL;
	struct strbuf clean _cleanup_(strbuf_clear) = STRBUF_INIT;
	enum tb_errc code = TB_E_UPSTREAM;

	/* 429 and 503 say that nothing was done; of the others nobody knows */
	if (reply->status == 429 || reply->status == 503)
		code = TB_E_BUSY;
	else if (reply->status >= 500)
		code = TB_E_TRANSIENT;
	if (text)
		backend_clean(&clean, text);
	else if (reply->status >= 300 && reply->status < 400)
		strbuf_adds(&clean, "redirects are not followed");
	else if (streq(reply->content_type, "text/html"))
		strbuf_adds(&clean, "an HTML page");
	else if (!root)
		backend_add_plain(&clean, reply);
	tb_error_set(err, code,
	    "%s: HTTP %d%s%s", what, reply->status, clean.len ? ": " : "",
	    strbuf_str(&clean));
	err->retry_after_ms = reply->retry_after_ms;
	return -1;
}

/* May a mint answered with this have made a token? 4xx and 503 say no. 307 and
 * 308 ask for the same request elsewhere; any other redirect may follow a
 * deed. */
static bool
backend_may_have_minted(int status)
{
	return !(status >= 400 && status < 500) && status != 307 &&
	    status != 308 && status != 503;
}

enum backend_next
backend_refused(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	backend_reply_error(reply, backend_verb_name(run->verb), err);
	run->unauthorized = reply->status == 401;
	run->uncertain = run->verb == BACKEND_MINT && !run->harmless &&
	    backend_may_have_minted(reply->status);
	advice_add(run, reply->status, err);
	return BACKEND_FAILED;
}

enum backend_next
backend_unusable(struct backend_run *run, struct tb_error *err)
{
	tb_error_wrap(err, "%s", backend_verb_name(run->verb));
	run->uncertain = run->verb == BACKEND_MINT && !run->harmless;
	return BACKEND_FAILED;
}

enum backend_next
backend_cannot(const struct backend_run *run, struct tb_error *err)
{
	tb_error_set(err, TB_E_BADREQ, "backend '%s' cannot %s",
	    run->conf->name, backend_verb_name(run->verb));
	return BACKEND_FAILED;
}

enum backend_next
backend_listed(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err)
{
	if (reply->status != 200)
		return backend_refused(run, reply, err);
	if (answer_listed(run, reply, spec, err) < 0)
		return backend_unusable(run, err);
	return BACKEND_DONE;
}

enum backend_next
backend_got(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err)
{
	if (reply->status == 404 || reply->status == 410)
		return BACKEND_DONE;
	if (reply->status != 200)
		return backend_refused(run, reply, err);
	if (answer_one(run, reply, spec, err) < 0)
		return backend_unusable(run, err);
	return BACKEND_DONE;
}

enum backend_next
backend_revoked(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	switch (reply->status) {
	case 200:
	case 202:
	case 204:
	case 404: /* gone already */
	case 410:
		return BACKEND_DONE;
	}
	return backend_refused(run, reply, err);
}

enum backend_next
backend_probed(struct backend_run *run, const struct http_reply *reply)
{
	if (reply->status >= 200 && reply->status < 300)
		run->probe = BACKEND_PROBE_YES;
	else if (reply->status == 401 || reply->status == 403)
		run->probe = BACKEND_PROBE_NOT_YET;
	else
		run->probe = BACKEND_PROBE_UNCLEAR;
	return BACKEND_DONE;
}
