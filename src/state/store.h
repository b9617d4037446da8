/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store - named sealed records: what must survive a restart. It knows nothing
 * of logins or tokens. Records are read once, at start; afterwards memory is
 * the truth and every change goes to disk through the writer.
 *
 * A record's name is KIND/NAME ("login/ops", "generation/telegraf.3"); the
 * file is KIND.NAME.tbr, NAME percent-encoded. Every put has a higher version
 * than the one before. A file that does not open under our key and name is
 * moved to quarantine/ and reported, never deleted, never used.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

struct seal;
struct store;
struct tb_error;
struct writer;
struct writer_item;

/* Runs once per record found, in name order; plain may be moved. */
typedef void store_found_fn(void *arg, const char *kind, const char *name,
    struct secret *plain);
typedef void store_done_fn(void *arg, const struct tb_error *err);

struct store_stats {
	size_t records, quarantined;
};

/* seal and writer are borrowed for the store's life. Reads everything. */
struct store *store_open(struct writer *writer, struct seal *seal,
    store_found_fn *found, void *arg, struct tb_error *err);
void store_close(struct store *s);

/* plain is taken. Returns an item for writer_forget. done (may be NULL) runs
 * when durable. */
struct writer_item *store_put(struct store *s, const char *kind,
    const char *name, struct secret *plain, store_done_fn *done, void *arg);
struct writer_item *store_delete(struct store *s, const char *kind,
    const char *name, store_done_fn *done, void *arg);
void store_get_stats(const struct store *s, struct store_stats *out);
