/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store - named sealed records: what must survive a restart. It knows nothing
 * of logins or tokens. Records are read once, at start; afterwards memory is
 * the truth and every change goes to disk through the writer.
 *
 * A record's name is KIND/NAME ("login/ops", "generation/telegraf.3"); the
 * file is KIND.NAME.tbr, NAME percent-encoded. Every put has a higher version
 * than any before. The kind "store" is the store's own: "store/list" names
 * every record with its version, "store/origin" the machine and the boot.
 *
 * A file that is damaged, of another key, of another state, swapped for
 * another or older than it was, is moved to quarantine/ and reported, never
 * deleted, never used; a record that is gone is reported. When the state as a
 * whole is an older one or another machine's, it is read and quarantined: see
 * store_is_quarantined.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

struct loop;
struct seal;
struct store;
struct tb_error;
struct writer;
struct writer_item;

/* Runs once per record found, in name order; plain may be moved. */
typedef void store_found_fn(void *arg, const char *kind, const char *name,
    struct secret *plain);
typedef void store_done_fn(void *arg, const struct tb_error *err);

/* All borrowed for the store's life; the strings for the call. */
struct store_env {
	struct loop *loop;
	struct writer *writer;
	struct seal *seal; /* with the configured key; gets the state's id */
	/* Where the marks are kept by which an older state is known: one that
	 * a reboot removes, one that stays. NULL: none. */
	const char *run_dir, *log_dir;
	const char *machine_id, *boot_id; /* NULL: those of this machine */
};

/* Reads everything; queues no writes yet. On -1 (a key that opens nothing, a
 * format of a later version) no file was touched. */
struct store *store_open(const struct store_env *env, store_found_fn *found,
    void *arg, struct tb_error *err);
/* Writes down what the start has brought: to be called when what was found is
 * reported, before the first put. */
void store_begin(struct store *s);
/* The id of this boot, "" when it cannot be read. */
const char *store_boot_id(const struct store *s);
/* Queues what is left to write. What was put before still calls its done. */
void store_close(struct store *s);

/* plain is taken. Returns an item for writer_forget. done (may be NULL) runs
 * when durable. */
struct writer_item *store_put(struct store *s, const char *kind,
    const char *name, struct secret *plain, store_done_fn *done, void *arg);
/* The write-ahead of something that can be done once only: when done comes
 * without an error, this record is durable and there is room for the record
 * next_kind/name that will say how it went, up to `room` bytes, however full
 * the disk is by then. The room is given back when that record is put, and
 * when this one is put again or deleted. */
struct writer_item *store_put_ahead(struct store *s, const char *kind,
    const char *name, struct secret *plain, const char *next_kind,
    size_t room, store_done_fn *done, void *arg);
struct writer_item *store_delete(struct store *s, const char *kind,
    const char *name, store_done_fn *done, void *arg);

/* ------------------------------------------------------------ quarantine */

/* This state may be an older one, or be in use on another machine as well:
 * what it holds may be released, but no refresh token of it may be redeemed,
 * nothing minted, revoked or removed upstream, until an operator has said so
 * (store_adopt). */
bool store_is_quarantined(const struct store *s);
/* Sets err (TB_E_QUARANTINE) to the reason and what to do. Returns -1. */
int store_why_quarantined(const struct store *s, struct tb_error *err);
/* The reason alone, NULL when it is not. Borrowed. */
const char *store_quarantine(const struct store *s);
/* From now on it is this machine's state. done runs when that is durable; on
 * an error the state is still quarantined. */
void store_adopt(struct store *s, store_done_fn *done, void *arg);

/* What was wrong with single records at this start. */
struct store_trouble {
	char *record; /* "KIND/NAME"; of a strange file its name */
	char *kept;   /* "quarantine/FILE"; NULL: the file is not there */
	char *why;
};
const struct store_trouble *store_get_trouble(const struct store *s,
    size_t i); /* NULL: there are no more */

struct store_stats {
	size_t records;     /* without the store's own */
	size_t quarantined; /* files moved away at this start */
	size_t missing;     /* records that should be there and were not */
	size_t kept;        /* files in quarantine/, of this and earlier starts */
};
void store_get_stats(const struct store *s, struct store_stats *out);

/* ------------------------------------------------------------- the key */

enum store_rekey_state {
	STORE_REKEY_NONE,
	STORE_REKEY_RUNNING, /* records are being sealed anew */
	STORE_REKEY_FAILED,  /* not all could be written; ask again */
	STORE_REKEY_WAITING, /* all are; the daemon has still the old key */
};
struct store_rekey_status {
	enum store_rekey_state state;
	const char *key, *old_key; /* ids, borrowed */
	size_t records, left;
};
void store_get_rekey(const struct store *s, struct store_rekey_status *out);
/* Seals every record with key (as for seal_new; borrowed). From the first
 * write on both keys open the state, until the daemon was given the new one
 * (store_key_is_configured). done runs when all is durable; then puts of the
 * meantime are under the new key as well. Asking again for the same key goes
 * on with what is left. -1: refused, nothing was done. */
int store_rekey(struct store *s, const struct secret *key,
    store_done_fn *done, void *arg, struct tb_error *err);
/* This is the key that the next start will find, by its id. Ends a change of
 * keys that has come so far. True: the key is the one in use. */
bool store_key_is_configured(struct store *s, const char *key_id);
