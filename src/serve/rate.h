/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * rate - a rule's `rate = COUNT/PERIOD`: how many releases one uid gets under
 * one rule. A period begins with its first release.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct acl_rule;
struct rate;

struct rate *rate_new(void);
void rate_free(struct rate *r); /* NULL is fine */
/* Takes one. False: used up, and *wait_s says for how long. */
bool rate_take(struct rate *r, const struct acl_rule *rule, uid_t uid,
    int64_t now_ms, int64_t *wait_s);
/* The rules are others now. */
void rate_reset(struct rate *r);
