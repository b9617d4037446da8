/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker in numbers. Labels are names from the configuration, so their
 * number is bounded by it.
 */
#include "base/now.h"
#include "base/openmetrics.h"
#include "broker/broker_int.h"
#include "broker/login.h"
#include "broker/reconcile.h"
#include "lib/http.h"
#include "state/store.h"
#include "state/writer.h"

#define COUNTER(name, help) openmetrics_family(m, OPENMETRICS_COUNTER, \
    "tokenbroker_" name, help)
#define GAUGE(name, help) openmetrics_family(m, OPENMETRICS_GAUGE, \
    "tokenbroker_" name, help)
#define ADD(value, ...) openmetrics_int(m, (int64_t)(value), __VA_ARGS__, NULL)

/* For each token `n` of its numbers. */
#define EACH_TOKEN(b, n) \
	for (size_t each_ = 0; each_ < (b)->n_tokens && \
	    (token_get_numbers((b)->tokens[each_], &(n)), true); each_++)
#define EACH_RECONCILE(b, r, c) \
	for (size_t each_ = 0; each_ < (b)->n_reconciles && \
	    ((r) = (b)->reconciles[each_], reconcile_get_counts(r, &(c)), \
	    true); each_++) \
		if (!reconcile_rests(r))

void
broker_count_release(struct broker *b, const char *name, unsigned door,
    enum broker_outcome outcome)
{
	struct token *t = broker_token(b, name);

	if (t)
		token_releases(t)->n[door][outcome]++;
}

/* ---------------------------------------------------------------- tokens */

static void
releases(struct broker *b, struct openmetrics *m)
{
	static const char *const doors[BROKER_DOORS] = { "api", "credential",
		"admin" };
	static const char *const outcomes[BROKER_N_OUTCOMES] = {
		[BROKER_SENT] = "sent",
		[BROKER_WITHHELD] = "withheld",
		[BROKER_UNAVAILABLE] = "unavailable",
		[BROKER_NOT_MODIFIED] = "not_modified",
	};
	struct token_numbers n;

	COUNTER("releases", "Requests for a token that a rule allows, by what "
	    "came of them.");
	EACH_TOKEN(b, n) {
		for (int i = 0; i < BROKER_DOORS * BROKER_N_OUTCOMES; i++) {
			int door = i / BROKER_N_OUTCOMES;
			int outcome = i % BROKER_N_OUTCOMES;
			uint64_t v = n.releases->n[door][outcome];

			if (v || i == BROKER_SENT)
				ADD(v, "door", doors[door], "token", n.name,
				    "outcome", outcomes[outcome]);
		}
	}
}

static void
token_times(struct broker *b, struct openmetrics *m)
{
	struct token_numbers n;

	GAUGE("token_expires_timestamp_seconds", "When the value that is "
	    "released ends; absent while there is none.");
	EACH_TOKEN(b, n) {
		if (n.expires_at)
			ADD(n.expires_at, "token", n.name);
	}
	GAUGE("token_renewal_timestamp_seconds", "When its renewal begins; "
	    "absent where the service makes no new one.");
	EACH_TOKEN(b, n) {
		if (n.renew_at)
			ADD(n.renew_at, "token", n.name);
	}
	GAUGE("token_expiring", "1: it ends soon (announce_expiry), and no "
	    "renewal comes before that.");
	EACH_TOKEN(b, n)
		ADD(n.ending, "token", n.name);
	GAUGE("outage_budget_seconds", "How long provider and service may be "
	    "away from now on before the first client is refused.");
	EACH_TOKEN(b, n) {
		if (!n.is_lease) /* it is meant to end */
			ADD(n.outage_budget_s, "token", n.name);
	}
}

static void
token_counts(struct broker *b, struct openmetrics *m)
{
	struct token_numbers n;

	COUNTER("mints", "Attempts to make a value, by what came of them.");
	EACH_TOKEN(b, n) {
		ADD(n.counts.made, "token", n.name, "outcome", "made");
		ADD(n.counts.not_made, "token", n.name, "outcome", "failed");
		ADD(n.counts.uncertain, "token", n.name, "outcome",
		    "uncertain");
	}
	COUNTER("revocations", "Attempts to end a value, by what came of "
	    "them.");
	EACH_TOKEN(b, n) {
		ADD(n.counts.revoked, "token", n.name, "outcome", "revoked");
		ADD(n.counts.not_revoked, "token", n.name, "outcome",
		    "failed");
		ADD(n.counts.forgotten, "token", n.name, "outcome",
		    "forgotten");
	}
	COUNTER("mint_quota_refusals", "Values that were not made because a "
	    "quota was used up (mints_per_hour), that of the token or that of "
	    "all.");
	EACH_TOKEN(b, n) {
		if (n.mints_per_hour)
			ADD(n.counts.over_quota[0], "token", n.name, "quota",
			    "token");
		if (n.counts.over_quota[1])
			ADD(n.counts.over_quota[1], "token", n.name, "quota",
			    "broker");
	}
	GAUGE("mints_settling", "Mints whose outcome is being looked for.");
	EACH_TOKEN(b, n)
		ADD(n.settling, "token", n.name);
	GAUGE("mints_unsettled", "Of these, those where nobody can look.");
	EACH_TOKEN(b, n)
		ADD(n.unsettled, "token", n.name);
	GAUGE("token_values_missing", "Values that are not over and that the "
	    "service does not list any more.");
	EACH_TOKEN(b, n)
		ADD(n.missing, "token", n.name);
}

static void
token_holders(struct broker *b, struct openmetrics *m)
{
	struct token_numbers n;

	GAUGE("token_holders", "Who was given the value that is released "
	    "(units, or uids), as far as that is kept in mind.");
	EACH_TOKEN(b, n)
		ADD(n.holders, "token", n.name);
	GAUGE("token_values_superseded", "Values that work and that a newer "
	    "one has taken the place of.");
	EACH_TOKEN(b, n)
		ADD(n.superseded, "token", n.name);
	COUNTER("superseded_revocations", "Of these, those that were revoked "
	    "before their expiry (revoke_superseded).");
	EACH_TOKEN(b, n)
		ADD(n.counts.superseded_revoked, "token", n.name);
}

static void
token_leases(struct broker *b, struct openmetrics *m)
{
	struct token_numbers n;

	GAUGE("leases_taken", "Values of a run's own (leases) that are there.");
	EACH_TOKEN(b, n) {
		if (n.leases)
			ADD(broker_leases_taken(b, n.name), "token", n.name);
	}
	GAUGE("leases_limit", "How many there may be.");
	EACH_TOKEN(b, n) {
		if (n.leases)
			ADD(n.leases, "token", n.name);
	}
}

/* ---------------------------------------------------------------- logins */

static void
logins(struct broker *b, struct openmetrics *m)
{
	struct login_numbers n;
	size_t i;

	GAUGE("human_needed", "1: nothing can be minted on this login until "
	    "somebody logs in.");
	for (i = 0; i < b->n_logins; i++) {
		login_get_numbers(b->logins[i], &n);
		ADD(n.human_needed, "login", login_name(b->logins[i]));
	}
	GAUGE("human_needed_timestamp_seconds", "When somebody has to log in, "
	    "as far as it is known; now when it is so already, absent when "
	    "the provider does not say.");
	for (i = 0; i < b->n_logins; i++) {
		login_get_numbers(b->logins[i], &n);
		if (n.human_needed_at)
			ADD(n.human_needed_at, "login",
			    login_name(b->logins[i]));
	}
	COUNTER("refreshes", "Attempts to renew an access token, by what came "
	    "of them.");
	for (i = 0; i < b->n_logins; i++) {
		login_get_numbers(b->logins[i], &n);
		ADD(n.refreshes, "login", login_name(b->logins[i]), "outcome",
		    "refreshed");
		ADD(n.refresh_failures, "login", login_name(b->logins[i]),
		    "outcome", "failed");
	}
}

/* -------------------------------------------------------------- services */

static void
upstream(struct broker *b, struct openmetrics *m)
{
	static const char *const results[HTTP_N_RESULTS] = {
		[HTTP_RESULT_2XX] = "2xx",
		[HTTP_RESULT_3XX] = "3xx",
		[HTTP_RESULT_4XX] = "4xx",
		[HTTP_RESULT_5XX] = "5xx",
		[HTTP_RESULT_LOST] = "no_answer",
	};
	struct http_stats s;

	http_get_stats(b->tenv.http, &s);
	COUNTER("upstream_requests", "Requests to providers and services, by "
	    "their answer.");
	for (int i = 0; i < HTTP_N_RESULTS; i++)
		ADD(s.results[i], "result", results[i]);
}

static void
reconciles(struct broker *b, struct openmetrics *m)
{
	struct reconcile_counts c;
	struct reconcile *r;

	GAUGE("orphans", "Values that the service lists as made here and that "
	    "nobody here knows.");
	EACH_RECONCILE(b, r, c)
		ADD(reconcile_orphans(r), "backend", reconcile_name(r));
	COUNTER("orphans_found", "Such values since the start.");
	EACH_RECONCILE(b, r, c)
		ADD(c.found, "backend", reconcile_name(r));
	COUNTER("orphans_revoked", "Of these, those that were revoked.");
	EACH_RECONCILE(b, r, c)
		ADD(c.revoked, "backend", reconcile_name(r));
	COUNTER("reconcile_looks", "Looks at a service's list.");
	EACH_RECONCILE(b, r, c)
		ADD(c.looks, "backend", reconcile_name(r));
	COUNTER("reconcile_failures", "Of these, those that failed.");
	EACH_RECONCILE(b, r, c)
		ADD(c.failures, "backend", reconcile_name(r));
	GAUGE("reconcile_last_success_timestamp_seconds", "When a look "
	    "succeeded last; absent before the first.");
	EACH_RECONCILE(b, r, c) {
		if (c.last_ok_at)
			ADD(c.last_ok_at, "backend", reconcile_name(r));
	}
}

/* ------------------------------------------------------------------ disk */

static void
disk(struct broker *b, struct openmetrics *m)
{
	struct writer_stats w;
	struct store_stats s;
	struct tb_error err = TB_ERROR_INIT;

	writer_get_stats(b->writer, &w);
	store_get_stats(b->store, &s);
	GAUGE("disk_ok", "0: what is written fails, and nothing is released "
	    "where its record must be on disk.");
	openmetrics_int(m, writer_health(b->writer, &err) == 0, NULL);
	GAUGE("writer_queue_length", "Records and audit lines that wait for "
	    "the disk.");
	openmetrics_int(m, (int64_t)w.queued, NULL);
	COUNTER("writer_items", "Records and audit lines written, or failed.");
	openmetrics_int(m, (int64_t)w.items, NULL);
	COUNTER("writer_groups", "Groups in which they were written.");
	openmetrics_int(m, (int64_t)w.groups, NULL);
	COUNTER("audit_syncs", "Times the audit log was made durable.");
	openmetrics_int(m, (int64_t)w.syncs, NULL);
	COUNTER("writer_errors", "Records and lines that could not be written.");
	openmetrics_int(m, (int64_t)w.errors, NULL);
	COUNTER("audit_lines_lost", "Lines that are not in the audit log.");
	openmetrics_int(m, (int64_t)w.lost, NULL);
	GAUGE("records", "Sealed records.");
	openmetrics_int(m, (int64_t)s.records, NULL);
	GAUGE("records_quarantined", "Records that cannot be read.");
	openmetrics_int(m, (int64_t)s.quarantined, NULL);
	GAUGE("records_missing", "Records that somebody else deleted.");
	openmetrics_int(m, (int64_t)s.missing, NULL);
	GAUGE("state_quarantined", "1 while an operator has to adopt it.");
	openmetrics_int(m, store_is_quarantined(b->store), NULL);
}

void
broker_metrics(struct broker *b, struct openmetrics *m)
{
	int64_t budget = broker_outage_budget_s(b, NULL);

	GAUGE("start_timestamp_seconds", "When the daemon was started.");
	openmetrics_int(m, b->started_at, NULL);
	GAUGE("outage_budget_minimum_seconds", "The least outage budget of the "
	    "tokens that have a value or were asked for; absent when there "
	    "is none.");
	if (budget >= 0)
		openmetrics_int(m, budget, NULL);
	token_times(b, m);
	releases(b, m);
	token_counts(b, m);
	token_holders(b, m);
	token_leases(b, m);
	logins(b, m);
	upstream(b, m);
	reconciles(b, m);
	disk(b, m);
}
