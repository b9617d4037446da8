/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * release_record - what a release says of itself, in the audit log and in the
 * counts, for the two that let a value leave: release.c (one) and bundle.c
 * (several in one answer).
 */
#include <stdint.h>

#include "broker/broker.h"
#include "state/acl.h"
#include "state/audit.h"

struct session;

/* The record in front of a release; id is that of the request, and lives as
 * long as the record. */
struct audit_rec release_record(struct session *s, const char *id,
    const struct acl_verdict *v, const struct broker_view *view,
    const char *delivery);
/* What became of it, from that record. */
void release_outcome(struct session *s, struct audit_rec *rec);
/* What was authorised did not leave after all. */
void release_withheld(struct session *s, const char *token,
    uint64_t generation, const char *reason);
void release_count(struct session *s, const char *token,
    enum broker_outcome outcome);
/* It is no longer known whether this much left: the last word. */
void release_drained(struct session *s, const char *token,
    uint64_t generation, const char *id, bool all, bool some);
