/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store_int - what the files of the store share: store.c (puts), store_names.c
 * (the table), store_load.c (start), store_list.c (the list of all records),
 * store_origin.c (machine, boot, marks, quarantine), store_rekey.c.
 */
#include "base/tb_error.h"
#include "lib/loop.h"
#include "state/store.h"

struct rekey;
struct writer_item;

#define STORE_SUFFIX ".tbr"
#define STORE_QUARANTINE "quarantine"
#define STORE_RECORD_MAX ((size_t)1 << 20)
#define STORE_KIND "store"
#define STORE_LIST "list"
#define STORE_ORIGIN "origin"
#define STORE_FINGERPRINT "fingerprint"
#define STORE_KEYS_FILE "rekey.tbr" /* no record: see store_rekey.c */

/* A record. On disk its version is between low and high, and its file may be
 * missing when low is 0, because a write is under way or has failed. */
struct store_entry {
	char *file; /* owned */
	uint64_t low, high;
	uint64_t last; /* version of the newest put or delete */
	bool dead;     /* it is being deleted */
};

struct store_table {
	struct store_entry *e; /* sorted by file */
	size_t n, cap;
};

/* What a mark remembers. */
struct store_mark {
	bool there;
	char state[33];
	uint64_t list, highest;
};

struct store {
	struct loop *loop;
	struct writer *writer;
	struct seal *seal;
	struct store_table table;
	uint64_t version; /* the highest one in use */

	/* the list on disk */
	struct loop_timer list_timer;
	bool list_is_behind;

	/* origin */
	char *machine_id, *boot_id; /* of here and now */
	char *run_dir, *log_dir;
	struct store_mark run_mark, log_mark;
	char *origin_machine, *origin_boot; /* as in the record; NULL: none */
	bool origin_is_behind;
	uint64_t found_list, found_highest; /* versions, at start */
	char *adopted[2]; /* states whose marks count no more */
	char *quarantine; /* NULL: it is ours, and the newest */
	struct store_adoption *adoption;
	struct writer_item *adopting;

	struct store_trouble *trouble;
	size_t n_trouble, quarantined, missing, kept;

	struct rekey *rekey; /* NULL: one key */
	char **stale;        /* files under an old key or in an old format */
	size_t n_stale;
};

/* ---------------------------------------------------- store_names.c */

char *store_record_name(const char *kind, const char *name);
char *store_file_name(const char *kind, const char *name);
bool store_is_kind(const char *kind);
/* Only the one spelling we write ourselves counts, or two files could claim
 * one name. */
bool store_parse_file(const char *file, char **kind, char **name);
bool store_is_own_file(const char *file);

/* NULL: there is none. Valid until the next add or remove. */
struct store_entry *store_find(const struct store_table *t,
    const char *file);
struct store_entry *store_add(struct store_table *t, const char *file);
void store_remove(struct store_table *t, const char *file);
void store_table_clear(struct store_table *t);

/* ---------------------------------------------------------- store.c */

/* The put of a record of the store's own. */
struct writer_item *store_put_own(struct store *s, const char *name,
    struct secret *plain, store_done_fn *done, void *arg);

/* ----------------------------------------------------- store_load.c */

int store_load(struct store *s, store_found_fn *found, void *arg,
    struct tb_error *err);

/* ----------------------------------------------------- store_list.c */

void store_list_init(struct store *s);
/* Queues it, as it will be when all that was put so far is done. */
void store_list_put(struct store *s);
void store_list_written(struct store *s, const struct tb_error *err);
/* Something has changed: it is written soon. */
void store_list_touch(struct store *s);
/* Reads into an empty table. */
int store_list_decode(const struct secret *plain, struct store_table *t,
    struct tb_error *err);

/* --------------------------------------------------- store_origin.c */

void store_origin_init(struct store *s, const struct store_env *env);
void store_origin_clear(struct store *s);
/* The record found at start, or NULL. */
int store_origin_decode(struct store *s, const struct secret *plain,
    struct tb_error *err);
/* Is this the newest state of this machine? Sets s->quarantine. list is the
 * version of the list, highest of any record; is_empty: there are none. */
void store_origin_judge(struct store *s, uint64_t list, uint64_t highest,
    bool is_empty);
/* why is static or copied; the first reason stays. */
void store_set_quarantine(struct store *s, const char *why);
void store_origin_begin(struct store *s);
bool store_origin_is_due(const struct store *s);
void store_origin_put(struct store *s, store_done_fn *done, void *arg);

/* ---------------------------------------------------- store_rekey.c */

/* The file with both keys, if a change of keys has not ended. Afterwards the
 * seal has them. bytes NULL: there is none. *foreign: it opens under no key
 * of ours. */
int store_rekey_load(struct store *s, const unsigned char *bytes, size_t len,
    bool *foreign, struct tb_error *err);
void store_rekey_begin(struct store *s);
void store_rekey_free(struct store *s);
