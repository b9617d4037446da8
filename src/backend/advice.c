/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advice - what to look at when a service says no: who pays, and the keys that
 * decide the answer. The service's own words stand in front, and give way when
 * there is not enough room for both.
 */
#include "backend/advice.h"

#include "backend/backend.h"
#include "base/strbuf.h"

/* Room for what is put in front of it on the way to a log. */
#define ADVICE_FRONT 48

static void
advice_payer(const struct backend_conf *c, struct strbuf *out)
{
	if (c->login)
		strbuf_addf(out, "; login '%s', which pays, may not do that, "
		    "or", c->login);
	else if (c->management_token)
		strbuf_addf(out, "; token '%s', which pays, may not do that: "
		    "import or make one that may, or", c->management_token);
	else
		strbuf_addc(out, ';');
}

/* With 401 it is who pays, which broker/payer says; what a service is not able
 * to do now is nobody's fault here. */
static bool
advice_is_due(int status)
{
	return (status >= 300 && status < 400) || status == 400 ||
	    status == 403 || status == 404 || status == 405 || status == 415 ||
	    status == 422;
}

void
advice_add(const struct backend_run *run, int status, struct tb_error *err)
{
	const struct backend_conf *c = run->conf;
	const char *keys = advice_is_due(status) && c->ops->keys ?
	    c->ops->keys(run, status) : NULL;
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t room;

	if (!keys)
		return;
	if (status == 403)
		advice_payer(c, &text);
	else if (status == 404 && run->verb == BACKEND_UPDATE)
		strbuf_adds(&text, "; it may have been revoked there, or");
	else
		strbuf_addc(&text, ';');
	strbuf_addf(&text, " look at %s of [backend %s]", keys, c->name);
	if (c->where)
		strbuf_addf(&text, " (%s)", c->where);
	room = sizeof(err->msg) - 1 - ADVICE_FRONT;
	room -= MIN2(room, text.len);
	if (strlen(err->msg) > room)
		snprintf(err->msg + room - MIN2(room, 3), 4, "...");
	strncat(err->msg, strbuf_str(&text),
	    sizeof(err->msg) - 1 - strlen(err->msg));
}
