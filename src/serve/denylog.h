/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * denylog - log lines about refusals: one per uid, token and minute, and so
 * many a minute in all. The audit log counts the rest.
 */
#include <stdint.h>

struct denylog;
struct principal;

struct denylog *denylog_new(void);
void denylog_free(struct denylog *d); /* NULL is fine */
/* door is the subsystem of the line; token may be NULL (no token is meant)
 * and is what the peer wrote; where is the rule's file:line or NULL. */
void denylog_line(struct denylog *d, const char *door,
    const struct principal *who, const char *token, const char *reason,
    const char *where, int64_t now_ms);
