/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_state - state/store.h, state/audit.h and what of state/writer.h their
 * users call, without a disk. A put is done on the next turn of the loop, or
 * fails, or stays open while the test holds it. Link it instead of the files
 * of src/state (not acl.c), with fake_loop and fake_now.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/loop.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

void fake_state_init(struct loop *loop);
void fake_state_reset(void);

/* Records found by the next store_open. */
void fake_state_seed(const char *kind, const char *name, const char *plain);

/* What is on disk now; NULL: no such record. Borrowed. */
const char *fake_state_record(const char *kind, const char *name);
size_t fake_state_puts(void);
/* The next n puts fail with TB_E_IO. */
void fake_state_fail(unsigned n);
/* While held, puts stay open; release finishes them in order. */
void fake_state_hold(bool hold);

/* What store_boot_id says ("boot1" at first); static. */
void fake_state_boot(const char *id);
/* What audit_is_strict says; no, at first. */
void fake_state_strict(bool strict);

/* What store_get_stats says. */
void fake_state_quarantine(size_t n);

/* The whole state is quarantined for this reason (NULL: it is not). An
 * adoption ends it, as a put is done. */
void fake_state_hold_back(const char *why);
/* How many puts went ahead of something that can be done once only. */
size_t fake_state_aheads(void);

size_t fake_state_audits(enum audit_event event);
