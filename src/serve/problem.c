/* SPDX-License-Identifier: Apache-2.0 */
/*
 * problem - see the header. One table; the manual's and OpenAPI's lists of
 * codes are held against it.
 */
#include "serve/problem.h"

#include <inttypes.h>

#include "base/tb_error.h"

/* What one waits for an upstream that did not say when. */
#define UPSTREAM_RETRY_S 5

static const struct {
	const char *name;
	int status;
	int64_t retry_after_s; /* 0: none */
	const char *title;
} problems[PROBLEM_N_CODES] = {
	[PROBLEM_BAD_REQUEST] = { "denied.bad_request", 400, 0,
	    "The request is malformed" },
	[PROBLEM_HEADER] = { "denied.header", 400, 0,
	    "The X-Tokenbroker header is missing" },
	[PROBLEM_BROWSER] = { "denied.browser", 403, 0,
	    "Browsers are not served" },
	[PROBLEM_TOKEN] = { "denied.token", 403, 0,
	    "The token is denied or unknown" },
	[PROBLEM_ROLE] = { "denied.role", 403, 0,
	    "You may not do this" },
	[PROBLEM_PEER] = { "denied.peer", 421, 0,
	    "The sender is not who connected" },
	[PROBLEM_ROUTE] = { "denied.route", 404, 0,
	    "There is no such address" },
	[PROBLEM_UNKNOWN] = { "denied.unknown", 404, 0,
	    "There is nothing of that name" },
	[PROBLEM_METHOD] = { "denied.method", 405, 0,
	    "The method does not fit the address" },
	[PROBLEM_CONFLICT] = { "denied.conflict", 409, 0,
	    "This cannot be done now" },
	[PROBLEM_TOO_LARGE] = { "denied.too_large", 413, 0,
	    "The request is too large" },
	[PROBLEM_LENGTH] = { "denied.length", 411, 0,
	    "The body needs a Content-Length" },
	[PROBLEM_CONFIGURATION] = { "denied.configuration", 422, 0,
	    "The configuration is not valid" },
	[PROBLEM_GENERATION] = { "denied.generation", 409, 0,
	    "That is no value of this token" },
	[PROBLEM_LIMIT] = { "unavailable.limit", 503, 1,
	    "Too much is asked for at once" },
	[PROBLEM_RATE] = { "unavailable.rate", 429, 1,
	    "The rule's rate is used up" },
	[PROBLEM_TIMEOUT] = { "unavailable.timeout", 503, 5,
	    "It takes longer than you wait" },
	[PROBLEM_AUDIT] = { "unavailable.audit", 503, 5,
	    "The audit record cannot be written" },
	[PROBLEM_UPSTREAM] = { "unavailable.upstream", 503, UPSTREAM_RETRY_S,
	    "A service did not do what was asked" },
	[PROBLEM_DISK] = { "unavailable.disk", 503, 5,
	    "The machine failed" },
	[PROBLEM_STOPPING] = { "unavailable.stopping", 503, 1,
	    "The broker is being restarted" },
	[PROBLEM_LOGIN] = { "human_needed.login", 503, 0,
	    "A human must log in" },
	[PROBLEM_ADOPT] = { "human_needed.adopt", 503, 0,
	    "An operator must decide about the state" },
};

int
problem_status(const struct problem *p)
{
	return p->status ? p->status : problems[p->code].status;
}

static enum problem_code
code_of_error(enum tb_errc e)
{
	switch (e) {
	case TB_E_LOGIN:
		return PROBLEM_LOGIN;
	case TB_E_QUARANTINE:
		return PROBLEM_ADOPT;
	case TB_E_DENIED:
		return PROBLEM_ROLE;
	case TB_E_BADREQ:
		return PROBLEM_CONFLICT;
	case TB_E_CONFIG:
		return PROBLEM_CONFIGURATION;
	case TB_E_LIMIT:
		return PROBLEM_LIMIT;
	case TB_E_CANCELLED:
		return PROBLEM_STOPPING;
	case TB_OK:
	case TB_E_IO:
		return PROBLEM_DISK;
	case TB_E_TRANSIENT:
	case TB_E_UNREACHED:
	case TB_E_BUSY:
	case TB_E_UPSTREAM:
	case TB_E_PROTO:
		break;
	}
	return PROBLEM_UPSTREAM;
}

struct problem
problem_from_error(const struct tb_error *err, const char *login)
{
	struct problem p = {
		.code = code_of_error(err->code),
		.detail = err->msg,
	};

	if (p.code == PROBLEM_LOGIN)
		p.login = login;
	else if (problems[p.code].retry_after_s)
		p.retry_after_s = (err->retry_after_ms + 999) / 1000;
	return p;
}

static void
add_member(struct strbuf *b, const char *name, const char *value)
{
	if (!value)
		return;
	strbuf_addf(b, ",\"%s\":", name);
	strbuf_add_json(b, value);
}

static int64_t
retry_after_s(const struct problem *p)
{
	return p->retry_after_s > 0 ? p->retry_after_s :
	    problems[p->code].retry_after_s;
}

void
problem_body(const struct problem *p, const char *request_id,
    struct strbuf *out)
{
	int64_t retry = retry_after_s(p);

	strbuf_addf(out, "{\"type\":\"urn:tokenbroker:problem:%s\"",
	    problems[p->code].name);
	add_member(out, "title", problems[p->code].title);
	strbuf_addf(out, ",\"status\":%d", problem_status(p));
	add_member(out, "detail", p->detail);
	add_member(out, "code", problems[p->code].name);
	add_member(out, "login", p->login);
	if (retry)
		strbuf_addf(out, ",\"retry_after\":%" PRId64, retry);
	add_member(out, "request_id", request_id);
	strbuf_adds(out, "}\n");
}

/* {"errors":[...]} is all that Vault's clients know; what a program here may
 * want besides stands next to it. */
static void
vault_body(const struct problem *p, const char *request_id,
    struct strbuf *out)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_addf(&text, "%s: %s", problems[p->code].name,
	    problems[p->code].title);
	if (p->detail)
		strbuf_addf(&text, " (%s)", p->detail);
	strbuf_adds(out, "{\"errors\":[");
	strbuf_add_json(out, text.s);
	strbuf_adds(out, "]");
	add_member(out, "code", problems[p->code].name);
	add_member(out, "login", p->login);
	add_member(out, "request_id", request_id);
	strbuf_adds(out, "}\n");
}

void
problem_render(const struct problem *p, const char *request_id,
    enum problem_form form, struct strbuf *out)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	int64_t retry = retry_after_s(p);

	if (form == PROBLEM_VAULT)
		vault_body(p, request_id, &body);
	else
		problem_body(p, request_id, &body);
	strbuf_addf(out, "Content-Type: application/%sjson\r\n"
	    "Cache-Control: no-store\r\n",
	    form == PROBLEM_VAULT ? "" : "problem+");
	if (retry)
		strbuf_addf(out, "Retry-After: %" PRId64 "\r\n", retry);
	if (p->allow)
		strbuf_addf(out, "Allow: %s\r\n", p->allow);
	strbuf_addf(out, "Content-Length: %zu\r\n\r\n", body.len);
	strbuf_add(out, body.s, body.len);
}
