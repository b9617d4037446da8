/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release_record - see the header. Decides nothing: who calls has judged.
 */
#include "serve/release_record.h"

#include "serve/serve_int.h"
#include "serve/session.h"

struct audit_rec
release_record(struct session *s, const char *id, const struct acl_verdict *v,
    const struct broker_view *view, const char *delivery)
{
	return (struct audit_rec){
		.event = AUDIT_AUTHORISED,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.rule = v->rule,
		.verdict = "allow",
		.token = view->name,
		.generation = view->generation,
		.token_id = view->token_id,
		.fingerprint = view->fingerprint,
		.backend = view->backend,
		.login = view->login,
		.human = view->human,
		.request_id = id,
		.delivery = delivery,
		.expires_at = view->expires_at,
		.same = session_same_record(s, view),
	};
}

void
release_count(struct session *s, const char *token, enum broker_outcome outcome)
{
	broker_count_release(session_serve(s)->broker, token,
	    counts_index(session_door(s)->id), outcome);
}

/* What became of an authorisation, from the authorisation's record. What that
 * has said is not said again (request_id joins the two): half the bytes, and
 * nearly half of what the audit costs a release. */
void
release_outcome(struct session *s, struct audit_rec *rec)
{
	rec->rule = NULL;
	rec->verdict = rec->token_id = rec->fingerprint = NULL;
	rec->backend = rec->human = NULL;
	rec->expires_at = 0;
	audit_note(session_serve(s)->audit, rec);
}

void
release_withheld(struct session *s, const char *token, uint64_t generation,
    const char *reason)
{
	char id[17];
	struct audit_rec rec = {
		.event = AUDIT_WITHHELD,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.token = token,
		.generation = generation,
		.request_id = session_request_id(s, id),
		.reason = reason,
	};

	release_count(s, token, BROKER_WITHHELD);
	audit_note(session_serve(s)->audit, &rec);
}

void
release_drained(struct session *s, const char *token, uint64_t generation,
    const char *id, bool all, bool some)
{
	struct audit_rec rec = {
		.event = all || some ? AUDIT_SENT : AUDIT_WITHHELD,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.token = token,
		.generation = generation,
		.request_id = id,
		.reason = all ? NULL : some ? "cut short" :
		    "client does not read",
	};

	release_count(s, token, all || some ? BROKER_SENT : BROKER_WITHHELD);
	audit_note(session_serve(s)->audit, &rec);
}
