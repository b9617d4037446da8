/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token that pays for others and that nobody but a human can make anew: what
 * is heard of it from the service that it pays. The service is the one that
 * knows, and it may change its mind (a gateway in front of it that is wrong for
 * a minute looks the same), so the value stays what it is and is tried again;
 * that a human is needed is told at once, and once.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/token_int.h"
#include "state/audit.h"

bool
token_is_refused(const struct token *t)
{
	return t->current && t->current->number == t->refused;
}

void
token_payer_refused(struct token *t, const struct secret *bearer,
    const char *backend, const char *why)
{
	/* another one was imported while this one was on its way */
	if (!t->current || !secret_equal(&t->current->value, bearer))
		return;
	tb_error_set(&t->last_error, TB_E_LOGIN, "'%s' refuses it (%s); make "
	    "another one there, and run: tokenbrokerctl import %s", backend,
	    why, t->tc->name);
	if (token_is_refused(t))
		return;
	t->refused = t->current->number;
	t->last_error_at = now_real_s();
	log_error("token", "%s: generation %" PRIu64 ", which pays: %s",
	    t->tc->name, t->refused, t->last_error.msg);
	token_audit_generation(t, t->current, AUDIT_HUMAN_NEEDED,
	    t->last_error.msg);
}

void
token_payer_worked(struct token *t)
{
	if (!t->refused)
		return;
	if (token_is_refused(t)) {
		log_info("token", "%s: generation %" PRIu64 " is not refused "
		    "any more", t->tc->name, t->refused);
		t->last_error = (struct tb_error)TB_ERROR_INIT;
	}
	t->refused = 0;
}

int64_t
token_human_needed_at(const struct token *t)
{
	if (!token_is_made_by_hand(t))
		return 0;
	return t->current && !token_is_refused(t) ? t->current->expires_at :
	    now_real_s();
}
