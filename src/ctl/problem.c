/* SPDX-License-Identifier: Apache-2.0 */
/*
 * problem - see the header.
 */
#include "ctl/problem.h"

#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/reply.h"
#include "ctl/term.h"

void
problem_clear(struct problem *p)
{
	free(p->code);
	free(p->detail);
	free(p->login);
	free(p->request_id);
	*p = (struct problem)PROBLEM_INIT;
}

void
problem_from_json(struct problem *p, const struct json_t *o)
{
	const char *detail = jval_text(o), *code = jval_str(o, "code");

	problem_clear(p);
	if (!detail)
		detail = jval_str(o, "detail");
	if (!detail)
		detail = jval_str(o, "title");
	p->code = xstrdup(code ? code : "");
	p->detail = xstrdup(detail && *detail ? detail :
	    "the daemon gave no reason");
	p->login = xstrdup0(jval_str(o, "login"));
	p->request_id = xstrdup0(jval_str(o, "request_id"));
	p->retry_after_s = jval_int(o, "retry_after", -1);
}

void
problem_from_reply(struct problem *p, const struct reply *r)
{
	struct tb_error ignored = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = jval_parse(&r->body, &ignored);

	problem_from_json(p, o);
	p->status = r->status;
	if (!o) {
		free(p->detail);
		p->detail = xasprintf("the daemon answered with status %d",
		    r->status);
	}
	if (p->retry_after_s < 0)
		p->retry_after_s = r->retry_after_s;
}

static bool
is_family(const struct problem *p, const char *family)
{
	size_t n = strlen(family);

	return strncmp(p->code, family, n) == 0 &&
	    (p->code[n] == '.' || p->code[n] == '\0');
}

enum ctl_exit
problem_exit(const struct problem *p)
{
	if (streq(p->code, "denied.bad_request"))
		return CTL_FAILED;
	if (is_family(p, "denied"))
		return CTL_DENIED;
	if (is_family(p, "unavailable"))
		return CTL_NOT_READY;
	if (is_family(p, "human_needed"))
		return CTL_HUMAN_NEEDED;
	switch (p->status) {
	case 401:
	case 403:
	case 404:
		return CTL_DENIED;
	case 429:
	case 503:
		return CTL_NOT_READY;
	default:
		return CTL_FAILED;
	}
}

bool
problem_is_restart(const struct problem *p)
{
	return streq(p->code, "unavailable.stopping") ||
	    streq(p->code, "unavailable.starting");
}

bool
problem_is_passing(const struct problem *p)
{
	return problem_exit(p) == CTL_NOT_READY;
}

static const char *
family_words(enum ctl_exit e)
{
	switch (e) {
	case CTL_HUMAN_NEEDED:
		return "a human is needed: ";
	case CTL_DENIED:
		return "denied: ";
	case CTL_NOT_READY:
		return "not ready: ";
	case CTL_OK:
	case CTL_FAILED:
	case CTL_USAGE:
	case CTL_NO_DAEMON:
		break;
	}
	return "";
}

/* What to do next, unless the daemon has said so. */
static void
add_advice(struct strbuf *b, const struct problem *p, enum ctl_exit e,
    bool admin)
{
	char in[TIMEFMT_SIZE];

	if (strstr(p->detail, "tokenbrokerctl"))
		return;
	switch (e) {
	case CTL_HUMAN_NEEDED:
		strbuf_addf(b, "; run 'tokenbrokerctl login %s'",
		    p->login ? p->login : "NAME");
		break;
	case CTL_DENIED:
		/* of the others the detail is the reason */
		if (!admin && (p->status == 403 || p->status == 404))
			strbuf_adds(b, "; an operator sees the reason with "
			    "'tokenbrokerctl explain --pid PID'");
		break;
	case CTL_NOT_READY:
		if (p->retry_after_s > 0)
			strbuf_addf(b, "; try again in %s", timefmt_duration(
			    p->retry_after_s * 1000, in, sizeof(in)));
		else
			strbuf_adds(b, "; try again later");
		break;
	case CTL_OK:
	case CTL_FAILED:
	case CTL_USAGE:
	case CTL_NO_DAEMON:
		break;
	}
}

void
problem_add_text(struct strbuf *b, const struct problem *p, bool admin,
    bool utf8)
{
	struct strbuf raw _cleanup_(strbuf_clear) = STRBUF_INIT;
	enum ctl_exit e = problem_exit(p);
	const char *words = family_words(e);

	if (strncmp(p->detail, words, strlen(words)) != 0)
		strbuf_adds(&raw, words);
	strbuf_adds(&raw, p->detail);
	add_advice(&raw, p, e, admin);
	if (p->request_id && *p->request_id)
		strbuf_addf(&raw, " (request %s)", p->request_id);
	term_add_clean(b, strbuf_str(&raw), utf8);
}
