/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * records - what the writer thread does to the state directory, and what it
 * remembers from one item to the next: which room is set aside for which
 * record to come, whether the list of records could be written, and the mark
 * in the run directory. Blocking, of one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct records;
struct tb_error;

/* dirfd is borrowed. */
struct records *records_new(int dirfd);
void records_free(struct records *r); /* NULL is fine */

struct records_put {
	const char *name; /* of the file */
	const void *bytes;
	size_t len;
	uint64_t version;
	/* Not NULL: before anything is written, room is set aside for this
	 * file, or nothing is. It lasts until that file is written, or until
	 * this one is written again or deleted. */
	const char *room_for;
	size_t room;
	bool is_list; /* this is the list of all records */
};
int records_put(struct records *r, const struct records_put *put,
    struct tb_error *err);
/* Nothing is deleted while the newest list could not be written: the old one
 * still says that the file is there. */
int records_delete(struct records *r, const char *name, struct tb_error *err);

/* How it went with the newest list. */
void records_list_error(const struct records *r, struct tb_error *err);

/* Makes other bytes of a record's; *out stays NULL: it is right as it is. */
typedef int records_change_fn(void *arg, const char *name,
    const unsigned char *bytes, size_t len, unsigned char **out,
    size_t *out_len, struct tb_error *err);
/* A missing file is fine. */
int records_change(struct records *r, const char *name, records_change_fn *fn,
    void *arg, struct tb_error *err);

/* What was done so far is durable; then the mark moves. */
int records_sync(struct records *r, struct tb_error *err);

/* A mark: "STATE LIST HIGHEST\n" in a file, the state's id and the versions of
 * its newest durable list and of its newest durable record. The one in
 * run_path follows every sync, and a reboot removes it; the one in log_path
 * is written after the first sync. list and highest are in run_path already.
 * From any thread; all is copied, paths may be NULL. */
void records_set_mark(struct records *r, const char *run_path,
    const char *log_path, const char *state, uint64_t list, uint64_t highest);
