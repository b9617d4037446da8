/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_audit - state/audit.h as a text that a test compares:
 *
 *	authorised t1/3 rule.conf:1
 *	sent t1/3
 *	denied t2: no rule matches
 *
 * In strict mode a record is durable at once, unless the test holds it or lets
 * it fail. Link it instead of src/state/audit.c, with a loop.
 */
#include <stdbool.h>

#include "state/audit.h"

/* Everything since the last call of this; borrowed until then. */
const char *fake_audit_take(void);
void fake_audit_strict(struct audit *a, bool strict);
/* While held, `done` of strict records does not run; release runs them. */
void fake_audit_hold(bool hold);
/* The disk does not keep up. */
void fake_audit_behind(bool behind);
/* The next strict record fails. */
void fake_audit_fail(void);
/* The one after it. */
void fake_audit_fail_second(void);
/* The newest checkpoint there is, borrowed; NULL: none. */
void fake_audit_checkpoint(const char *line);
/* The last file for others that was written (its name; NULL: none), as if on
 * disk. It waits and fails like a strict record. */
const char *fake_audit_file(const char **text);
/* Strict records that nobody was told about yet. */
unsigned fake_audit_pending(void);
/* The request id of the last record, "" when it had none. */
const char *fake_audit_last_request(void);
/* Its `same`. */
uint64_t fake_audit_last_same(void);
/* Lines that are events have become durable, the last of the log being seq. */
void fake_audit_events(uint64_t seq, const char *lines);
/* What the next read of older ones finds (borrowed), and its gap. */
void fake_audit_older(const char *lines, uint64_t gap_to);
/* The disk refuses since then; 0: it is well. */
void fake_audit_failing(int64_t since);
