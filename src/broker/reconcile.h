/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reconcile - one backend's list against what we know (P2), now and then: what
 * bears the mark of this installation and is known to nobody here is an
 * orphan, which is told, and revoked when the configuration says so and it is
 * still there a settle_time later. What we hold and the service does not list
 * any more is told and, where that is possible, probed; it is not dropped.
 *
 * A look takes a list per kind of token, and pays like any other call; it does
 * not happen while nobody can pay.
 */
#include <jansson.h>

#include "broker/token.h"

struct reconcile;
struct reconcile_ask;

struct reconcile_counts {
	uint64_t looks, failures, found, revoked;
	size_t listed, ours, others; /* of the last look: marked by us, by
	                              * other installations */
	int64_t last_ok_at;          /* epoch seconds, 0: never yet */
};

/* Is there anything to look at? */
bool reconcile_can(const struct conf *conf, const struct backend_conf *bc);

/* bc is inside conf. */
struct reconcile *reconcile_new(const struct token_env *env,
    const struct conf *conf, const struct backend_conf *bc);
void reconcile_free(struct reconcile *r);
/* After a reload; bc NULL: it is not configured any more, and rests. */
void reconcile_set_conf(struct reconcile *r, const struct conf *conf,
    const struct backend_conf *bc);
/* The record found at start ("reconcile/BACKEND"); plain is consumed. */
void reconcile_restore(struct reconcile *r, struct secret *plain);
/* After all records: plans the first look. */
void reconcile_activate(struct reconcile *r);
/* Who pays may be there again, or the state is adopted. */
void reconcile_payer_changed(struct reconcile *r);

/* A value came from outside: it is looked for soon. */
void reconcile_soon(struct reconcile *r);

/* r's look has told of that value, so that `by`, whose backend is the same
 * service under another name, need not. Where only `by` may revoke it, it is
 * in by's book from now on. */
bool reconcile_has_told(struct reconcile *r, struct reconcile *by,
    const char *id, const char *nonce);

const char *reconcile_name(const struct reconcile *r); /* of the backend */
bool reconcile_rests(const struct reconcile *r);

/* A value of ours is over (revoked or expired): it is no orphan, if a service
 * goes on listing it. id may be NULL. */
void reconcile_retire(struct reconcile *r, const char *nonce, const char *id);

/* Looks now, or joins the look that is under way. fn runs once, from the top
 * of the loop, when it has ended; err NULL: well. */
typedef void reconcile_done_fn(void *arg, struct reconcile *r,
    const struct tb_error *err);
struct reconcile_ask *reconcile_now(struct reconcile *r,
    reconcile_done_fn *fn, void *arg);
void reconcile_ask_cancel(struct reconcile_ask **a);

json_t *reconcile_status(const struct reconcile *r);
void reconcile_get_counts(const struct reconcile *r,
    struct reconcile_counts *out);
size_t reconcile_orphans(const struct reconcile *r);
