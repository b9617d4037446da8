/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state as a whole: what a start found wrong with it, whether it is ours
 * to act on, and the key it is sealed with.
 *
 * While it is quarantined nothing of it is used up or taken away: who would
 * refresh, mint or revoke asks store_is_quarantined() first (login_refresh,
 * token_mint, token_revoke, settle, reconcile), and an operator's wishes for
 * the same are refused here.
 */
#include "base/log.h"
#include "broker/broker_int.h"
#include "broker/login.h"
#include "broker/status.h"
#include "state/audit.h"
#include "state/store.h"

static void
audit_state(struct broker *b, enum audit_event event, const char *record,
    const char *reason, uint64_t count)
{
	struct audit_rec rec = {
		.event = event,
		.record = record,
		.reason = reason,
		.count = count,
	};

	audit_durable(b->tenv.audit, &rec, NULL, NULL);
}

void
broker_begin_state(struct broker *b)
{
	const struct store_trouble *t;

	for (size_t i = 0; (t = store_get_trouble(b->store, i)); i++)
		audit_state(b, AUDIT_QUARANTINED, t->record, t->why, 0);
	if (store_is_quarantined(b->store))
		audit_state(b, AUDIT_QUARANTINED, "all",
		    store_quarantine(b->store), 0);
	store_begin(b->store);
}

void
broker_adopted(struct broker *b)
{
	audit_state(b, AUDIT_ADOPTED, "all", NULL, 0);
	log_warn("broker", "the state is adopted: an operator said that it is "
	    "this host's");
	for (size_t i = 0; i < b->n_logins; i++)
		login_resume(b->logins[i]);
	for (size_t i = 0; i < b->n_tokens; i++)
		token_resume(b->tokens[i]);
	for (size_t i = 0; i < b->n_parked_tokens; i++) {
		if (b->parked_tokens[i])
			token_resume(b->parked_tokens[i]);
	}
	broker_payer_changed(b); /* the looks at the services' lists */
}

void
broker_rekeyed(struct broker *b, const struct tb_error *err)
{
	struct store_rekey_status st;

	store_get_rekey(b->store, &st);
	audit_state(b, AUDIT_REKEYED, NULL, err ? "failed, and may go on" :
	    "every record is under the new key", st.records - st.left);
}

bool
broker_key_is_configured(struct broker *b, const char *key_id)
{
	struct store_rekey_status st;
	bool was_waiting;

	store_get_rekey(b->store, &st);
	was_waiting = st.state == STORE_REKEY_WAITING;
	if (!store_key_is_configured(b->store, key_id))
		return false;
	if (was_waiting)
		audit_state(b, AUDIT_REKEYED, NULL,
		    "the daemon has the new key, the old one is forgotten", 0);
	return true;
}

/* -------------------------------------------------------------- status */

static json_t *
status_rekey(const struct store_rekey_status *st)
{
	static const char *const names[] = {
		[STORE_REKEY_RUNNING] = "running",
		[STORE_REKEY_FAILED] = "failed",
		[STORE_REKEY_WAITING] = "waiting",
	};
	json_t *o = json_object();

	status_str(o, "state", names[st->state]);
	status_str(o, "old_key", st->old_key);
	status_int(o, "left", (int64_t)st->left);
	return o;
}

static json_t *
status_trouble(const struct broker *b)
{
	const struct store_trouble *t;
	json_t *list = json_array(), *o;

	for (size_t i = 0; (t = store_get_trouble(b->store, i)); i++) {
		o = json_object();
		status_str(o, "record", t->record);
		status_str(o, "reason", t->why);
		status_str(o, "file", t->kept);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *
broker_status_state(struct broker *b)
{
	struct store_rekey_status st;
	struct store_stats s;
	json_t *o = json_object();

	store_get_rekey(b->store, &st);
	store_get_stats(b->store, &s);
	status_str(o, "quarantine", store_quarantine(b->store));
	status_str(o, "key", st.key);
	if (st.state != STORE_REKEY_NONE)
		json_object_set_new(o, "rekey", status_rekey(&st));
	json_object_set_new(o, "trouble", status_trouble(b));
	status_int(o, "kept", (int64_t)s.kept);
	return o;
}
