/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * rate - a rule's `rate = COUNT/PERIOD`: how many releases one uid gets under
 * one rule. A period begins with its first release. At the credential door,
 * where everybody is uid 0, each unit counts for itself: one that restarts all
 * the time uses up nothing of another's.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct acl_rule;
struct rate;

struct rate *rate_new(void);
void rate_free(struct rate *r); /* NULL is fine */
/* Takes one; unit is NULL where the uid counts. False: used up, and *wait_s
 * says for how long. */
bool rate_take(struct rate *r, const struct acl_rule *rule, uid_t uid,
    const char *unit, int64_t now_ms, int64_t *wait_s);
/* How many it would give now; UINT32_MAX: the rule has none. *wait_s: until
 * there are as many as the rule gives. */
uint32_t rate_left(struct rate *r, const struct acl_rule *rule, uid_t uid,
    const char *unit, int64_t now_ms, int64_t *wait_s);
/* The rules are others now. */
void rate_reset(struct rate *r);
