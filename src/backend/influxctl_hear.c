/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxctl_hear - what came of a run. influxctl's output has no published
 * form where it matters, and other things stand around it: warnings in front,
 * a notice of a newer version behind. So JSON is looked for at the beginning of
 * a line; a value is taken from where JSON is known to have it, else from the
 * last line that is nothing but a token. Tables are never read.
 *
 * Nothing of the standard output ever goes into an error: a value may be in
 * it. The error output goes there cleaned.
 */
#include "backend/influxctl_int.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "backend/answer.h"
#include "backend/backend_int.h"
#include "lib/jsonx.h"

#define UNAUTHORIZED "unauthorized unauthenticated"
/* Lines that look like the beginning of JSON and are not. */
#define JSON_TRIES 16
/* A list shows so many characters behind the prefix, to tell tokens apart. */
#define SHOWN_BEHIND_PREFIX 4

void
influxctl_heard_clear(struct influxctl_heard *h)
{
	secret_clear(&h->out);
	strbuf_clear(&h->why);
}

/* ------------------------------------------------------------------ a run */

static bool
says_unauthorized(const struct backend_conf *c, const char *text)
{
	const char *words = c->influxctl.unauthorized ?
	    c->influxctl.unauthorized : UNAUTHORIZED;

	for (const char *s = words; *(s += strspn(s, " \t"));) {
		size_t n = strcspn(s, " \t");
		char *word _cleanup_free_ = xstrndup(s, n);

		if (strcasestr(text, word))
			return true;
		s += n;
	}
	return false;
}

/* Without the words that begin as a value does, however short. */
static void
add_quoted(struct influxctl_heard *h, const struct backend_conf *c,
    const char *text)
{
	const char *prefix = influxctl_token_prefix(c);
	struct strbuf masked _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *hit;

	while ((hit = strstr(text, prefix))) {
		strbuf_add(&masked, text, (size_t)(hit - text));
		strbuf_adds(&masked, "...");
		text = hit + strcspn(hit, " \t\r\n\"'`,;()<>[]{}");
	}
	strbuf_adds(&masked, text);
	strbuf_adds(&h->why, ": ");
	backend_clean(&h->why, strbuf_str(&masked));
}

/* How it ended, in words, and whether that is good. */
static int
hear_end(const json_t *j, struct influxctl_heard *h, struct tb_error *err)
{
	int64_t status = -1, signo = 0;
	bool timed_out = false, too_long = false;

	if (jsonx_opt_int(j, "exit", &status, err) < 0 ||
	    jsonx_opt_int(j, "signal", &signo, err) < 0 ||
	    jsonx_opt_bool(j, "timed_out", &timed_out, err) < 0 ||
	    jsonx_opt_bool(j, "too_long", &too_long, err) < 0)
		return -1;
	h->good = status == 0 && !signo && !timed_out && !too_long;
	if (timed_out)
		strbuf_adds(&h->why, "influxctl did not end in time and was "
		    "killed (does it wait for a login?)");
	else if (too_long)
		strbuf_adds(&h->why, "influxctl wrote too much and was killed");
	else if (signo)
		strbuf_addf(&h->why, "influxctl was killed by signal %" PRId64,
		    signo);
	else
		strbuf_addf(&h->why, "influxctl ended with status %" PRId64,
		    status);
	return 0;
}

static int
hear_run(const struct backend_run *run, const json_t *j,
    struct influxctl_heard *h, struct tb_error *err)
{
	const char *said = "";

	if (hear_end(j, h, err) < 0 ||
	    jsonx_opt_str(j, "stderr", &said, err) < 0 ||
	    jsonx_secret(j, "stdout", &h->out, err) < 0)
		return -1;
	if (h->good)
		return 0;
	h->unauthorized = says_unauthorized(run->conf, said) &&
	    !secret_is_empty(&run->bearer);
	if (*said)
		add_quoted(h, run->conf, said);
	return 0;
}

int
influxctl_hear(const struct backend_run *run, const struct http_reply *reply,
    struct influxctl_heard *h, struct tb_error *err)
{
	json_t *j _cleanup_json_ = jsonx_parse_object(&reply->body, err);
	const char *why = "it does not say why";

	if (!j)
		return tb_error_wrap(err, "the helper's answer");
	if (!json_is_boolean(json_object_get(j, "ran")))
		return tb_error_set(err, TB_E_PROTO,
		    "the helper does not say whether influxctl ran");
	h->ran = json_is_true(json_object_get(j, "ran"));
	if (h->ran)
		return hear_run(run, j, h, err);
	if (jsonx_opt_bool(j, "busy", &h->busy, err) < 0 ||
	    jsonx_opt_str(j, "error", &why, err) < 0)
		return -1;
	strbuf_adds(&h->why, "influxctl was not run: ");
	backend_clean(&h->why, why);
	return 0;
}

/* ------------------------------------------------------------------- JSON */

/* The JSON in a text, as the body of a reply. False: there is none. */
static bool
find_json(const struct secret *out, struct http_reply *reply)
{
	const char *s = secret_reveal(out), *end = s + out->len, *nl;
	unsigned tries = 0;

	for (; s < end && tries < JSON_TRIES; s = nl + 1) {
		size_t left = (size_t)(end - s);
		json_error_t at;
		json_t *j _cleanup_json_ = NULL;

		nl = memchr(s, '\n', left);
		nl = nl ? nl : end;
		if (*s != '{' && *s != '[')
			continue;
		tries++;
		j = json_loadb(s, left,
		    JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &at);
		if (!j || at.position <= 0 || (size_t)at.position > left)
			continue;
		secret_set(&reply->body, s, (size_t)at.position);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------- mint */

static const char *const token_pointers[] = { "/token", "/accessToken",
	"/access_token", "/mgmt_token", "/management_token",
	"/managementToken", "/token_string", "/secret", "/value" };

static int
minted_at(struct backend_run *run, const struct http_reply *reply,
    const char *token, const char *before)
{
	const struct backend_conf *c = run->conf;
	char *value _cleanup_free_ = xasprintf("%s%s", before, token);
	char *id _cleanup_free_ = xasprintf("%s%s", before,
	    c->id_pointer ? c->id_pointer : "/id");
	char *end _cleanup_free_ = xasprintf("%s%s", before,
	    c->expires_pointer ? c->expires_pointer : "/expires_at");
	char *camel _cleanup_free_ = xasprintf("%s/expiresAt", before);
	struct tb_error not_there = TB_ERROR_INIT;
	const struct answer_spec spec = {
		.token = value,
		.id = id,
		.expires = { end, c->expires_pointer ? NULL : camel },
	};

	return answer_minted(run, reply, &spec, &not_there);
}

/* An object, or a table of one row. */
static bool
minted_in_json(struct backend_run *run, const struct http_reply *reply)
{
	const char *known = run->conf->token_pointer;

	if (known)
		return minted_at(run, reply, known, "") == 0;
	for (size_t i = 0; i < ARRAY_SIZE(token_pointers); i++) {
		if (minted_at(run, reply, token_pointers[i], "") == 0 ||
		    minted_at(run, reply, token_pointers[i], "/0") == 0)
			return true;
	}
	return false;
}

static bool
minted_line(const char *line, size_t len, const char *prefix,
    struct secret *out)
{
	size_t n = strlen(prefix);

	while (len && strchr(" \t\r", line[len - 1]))
		len--;
	for (; len && strchr(" \t", *line); line++)
		len--;
	if (len <= n + SHOWN_BEHIND_PREFIX || memcmp(line, prefix, n) != 0)
		return false;
	secret_set(out, line, len);
	if (secret_is_token(out))
		return true;
	secret_clear(out);
	return false;
}

/* The last such line, since warnings come before it. */
static bool
minted_in_text(struct backend_run *run, const struct secret *out)
{
	const char *prefix = influxctl_token_prefix(run->conf);
	const char *text = secret_reveal(out), *end = text + out->len;

	while (end > text) {
		const char *nl = memrchr(text, '\n', (size_t)(end - text));
		const char *line = nl ? nl + 1 : text;

		if (minted_line(line, (size_t)(end - line), prefix,
		    &run->token))
			return true;
		end = nl ? nl : text;
	}
	return false;
}

int
influxctl_hear_minted(struct backend_run *run, const struct influxctl_heard *h,
    struct tb_error *err)
{
	struct http_reply reply = { .status = 200 };
	bool found = find_json(&h->out, &reply) && minted_in_json(run, &reply);

	secret_clear(&reply.body);
	if (found || minted_in_text(run, &h->out))
		return 0;
	return tb_error_set(err, TB_E_PROTO, "influxctl reported success, and "
	    "there is no token in its output: neither at %s in JSON nor on a "
	    "line that begins with %s (token_pointer, influxctl_token_prefix)",
	    run->conf->token_pointer ? run->conf->token_pointer :
				       "a place known to have one",
	    influxctl_token_prefix(run->conf));
}

/* ------------------------------------------------------------------- list */

int
influxctl_hear_listed(struct backend_run *run, const struct influxctl_heard *h,
    struct tb_error *err)
{
	const struct backend_conf *c = run->conf;
	struct http_reply reply = { .status = 200 };
	const struct answer_spec spec = {
		.list = c->list_pointer,
		.list_id = c->list_id_pointer ? c->list_id_pointer : "/id",
		.list_description = c->list_description_pointer ?
		    c->list_description_pointer : "/description",
		.list_prefix = c->list_prefix_pointer ?
		    c->list_prefix_pointer : "/token_prefix",
		.list_created = { c->list_created_pointer ?
			c->list_created_pointer : "/created_at",
		    c->list_created_pointer ? NULL : "/createdAt" },
		.list_revoked = { c->list_revoked_pointer ?
			c->list_revoked_pointer : "/revoked_at",
		    c->list_revoked_pointer ? NULL : "/revokedAt" },
		.list_expires = { "/expires_at", "/expiresAt" },
	};
	const char *text = secret_reveal(&h->out);
	int r;

	text += strspn(text, " \t\r\n");
	if (strncmp(text, "null", 4) == 0 && !text[4 + strspn(text + 4,
	    " \t\r\n")])
		return 0; /* how a Go program writes a list of none */
	if (!find_json(&h->out, &reply))
		return tb_error_set(err, TB_E_PROTO, "influxctl reported "
		    "success, and its list is not JSON (does "
		    "influxctl_list_args ask for it?)");
	r = answer_listed(run, &reply, &spec, err);
	secret_clear(&reply.body);
	return r;
}
