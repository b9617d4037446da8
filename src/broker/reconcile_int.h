/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reconcile_int - the inside of a reconcile, for the files that share it:
 * reconcile.c (when, the calls, who asks) and reconcile_judge.c (what a list
 * means).
 */
#include <sys/queue.h>

#include "base/backoff.h"
#include "broker/orphan.h"
#include "broker/reconcile.h"
#include "lib/loop.h"
#include "state/audit.h"

struct upstream;

struct reconcile_ask {
	TAILQ_ENTRY(reconcile_ask) link;
	struct reconcile *r; /* NULL: answered, or r is gone */
	reconcile_done_fn *fn;
	void *arg;
};
TAILQ_HEAD(reconcile_asks, reconcile_ask);

struct reconcile {
	struct token_env env;
	const struct conf *conf; /* referenced */
	const struct backend_conf *bc;
	char *name;
	bool rests;
	struct orphan_book book;

	struct loop_timer timer;
	struct loop_task ending; /* tells those who ask, from the top */
	struct backoff backoff;
	struct reconcile_asks asks;
	struct tb_error error; /* of the look that ends; TB_OK: well */

	/* the look under way */
	struct upstream *op;
	struct token_conf look; /* what upstream is told: backend and kind */
	unsigned kinds;         /* still to be listed, a bit each */
	int64_t began_ms;
	bool suspects;          /* another look is wanted after settle_time */
	char *revoking;         /* id of the orphan, in the book */
	struct tb_error refusal; /* of one of them; TB_OK: none */
	unsigned n_revocations;

	struct tb_error last_error;
	int64_t last_error_at;
	struct reconcile_counts counts;
};

/* reconcile_judge.c */
void reconcile_audit(struct reconcile *r, const struct orphan *o,
    enum audit_event event, const char *reason);
/* Takes one list of the look into the book, and tells what is new. */
void reconcile_judge_list(struct reconcile *r, const struct backend_run *run);
