/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * event - what an auditor is told: a record of the audit log with a sentence,
 * the next step, and what it opens or ends. Pure.
 *
 * Some events begin a condition that lasts ("condition": a name of its own)
 * and others say which are over ("ends"), so that who is told can repeat the
 * former until the latter without knowing what any of them mean.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum event_type {
	EVENT_HUMAN_NEEDED, EVENT_LOGIN_PENDING, EVENT_LOGIN_GRANTED,
	EVENT_LOGIN_FAILED, EVENT_LOGOUT, EVENT_ROTATED, EVENT_UPDATED,
	EVENT_REVOKED,
	EVENT_DENIED, EVENT_EXPIRING, EVENT_UNSETTLED, EVENT_SETTLED,
	EVENT_ORPHAN, EVENT_MISSING, EVENT_QUARANTINED, EVENT_ADOPTED,
	EVENT_AUDIT_DEGRADED, EVENT_AUDIT_RECOVERED,
	EVENT_TYPES
};

struct event {
	uint64_t seq;   /* 0: it is not in the log */
	unsigned types; /* bits: its own, and those of what it ends */
	int64_t outage; /* EVENT_AUDIT_DEGRADED: since when, as in the log */
	json_t *json;
};

/* "human_needed", ... */
const char *event_type_name(enum event_type type);
/* "a,b": their bits; 0: a word is none of them. */
unsigned event_types(const char *words, size_t len);

/* A line of the log; false: it is none that is told. */
bool event_from_line(const char *line, size_t len, const char *host,
    struct event *out);
/* That the disk refuses, while it does. */
void event_degraded(int64_t since, const char *why, const char *host,
    struct event *out);
