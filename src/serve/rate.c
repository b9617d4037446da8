/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate - see the header. Few rules have one, so few entries exist: one per
 * rule and uid that was released something, swept when many are over.
 */
#include "serve/rate.h"

#include "base/util.h"
#include "state/acl.h"

#define BUCKETS 64
#define SWEEP_AT 1024

struct rate_entry {
	struct rate_entry *next;
	const struct acl_rule *rule;
	uint64_t who;
	uint32_t used;
	int64_t ends_ms;
};

struct rate {
	struct rate_entry *buckets[BUCKETS];
	size_t n;
};

struct rate *
rate_new(void)
{
	return xnew(struct rate);
}

/* Those that are over at now_ms. */
static void
sweep(struct rate *r, int64_t now_ms)
{
	struct rate_entry **link, *e;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		link = &r->buckets[i];
		while ((e = *link)) {
			if (e->ends_ms > now_ms) {
				link = &e->next;
				continue;
			}
			*link = e->next;
			free(e);
			r->n--;
		}
	}
}

void
rate_reset(struct rate *r)
{
	sweep(r, INT64_MAX);
}

void
rate_free(struct rate *r)
{
	if (!r)
		return;
	rate_reset(r);
	free(r);
}

/* A uid has 32 bits, a unit the highest one and the rest of its hash. */
static uint64_t
who_of(uid_t uid, const char *unit)
{
	uint64_t h = UINT64_C(14695981039346656037);

	if (!unit)
		return uid;
	for (; *unit; unit++)
		h = (h ^ (unsigned char)*unit) * UINT64_C(1099511628211);
	return h | UINT64_C(1) << 63;
}

static struct rate_entry *
entry_of(struct rate *r, const struct acl_rule *rule, uint64_t who,
    int64_t now_ms)
{
	struct rate_entry **bucket = &r->buckets[((uintptr_t)rule / 16 + who) %
	    BUCKETS], *e;

	for (e = *bucket; e; e = e->next)
		if (e->rule == rule && e->who == who)
			return e;
	if (r->n >= SWEEP_AT)
		sweep(r, now_ms);
	e = xnew(struct rate_entry);
	e->rule = rule;
	e->who = who;
	e->next = *bucket;
	*bucket = e;
	r->n++;
	return e;
}

/* In the period that there is now. */
static struct rate_entry *
current_entry(struct rate *r, const struct acl_rule *rule, uid_t uid,
    const char *unit, int64_t now_ms)
{
	struct rate_entry *e = entry_of(r, rule, who_of(uid, unit), now_ms);

	if (e->ends_ms <= now_ms) {
		e->ends_ms = now_ms + rule->rate_period_s * 1000;
		e->used = 0;
	}
	return e;
}

uint32_t
rate_left(struct rate *r, const struct acl_rule *rule, uid_t uid,
    const char *unit, int64_t now_ms, int64_t *wait_s)
{
	struct rate_entry *e;

	if (!rule || rule->rate_count == 0)
		return UINT32_MAX;
	e = current_entry(r, rule, uid, unit, now_ms);
	*wait_s = (e->ends_ms - now_ms + 999) / 1000;
	return rule->rate_count - MIN2(e->used, rule->rate_count);
}

bool
rate_take(struct rate *r, const struct acl_rule *rule, uid_t uid,
    const char *unit, int64_t now_ms, int64_t *wait_s)
{
	struct rate_entry *e;

	if (!rule || rule->rate_count == 0)
		return true;
	e = current_entry(r, rule, uid, unit, now_ms);
	if (e->used >= rule->rate_count) {
		*wait_s = (e->ends_ms - now_ms + 999) / 1000;
		return false;
	}
	e->used++;
	return true;
}
