/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_disk - state/disk.h on the real file system, with faults. Link it
 * instead of src/state/disk.c. Calls go through as they are until a rule says
 * otherwise. Safe from any thread.
 *
 *	fake_disk_fail(FAKE_DISK_WRITE, "audit.jsonl", ENOSPC, 0, -1);
 *	... every write to a path with that in it fails ...
 *	fake_disk_reset();
 */
#include <stdbool.h>
#include <stddef.h>

#include "state/disk.h"

enum fake_disk_op {
	FAKE_DISK_OPEN, FAKE_DISK_WRITE, FAKE_DISK_FSYNC, FAKE_DISK_FDATASYNC,
	FAKE_DISK_FTRUNCATE, FAKE_DISK_RENAME, FAKE_DISK_LINK,
	FAKE_DISK_UNLINK, FAKE_DISK_ALLOCATE, FAKE_DISK_PWRITE, FAKE_DISK_OPS,
};

/* Calls of op on a path that contains part (NULL: any; "part$": ends with
 * it): `skip` of them go through, the next `times` (-1: all) fail with error.
 * Several rules may be set; the first that fits decides. A failing write
 * writes nothing. */
void fake_disk_fail(enum fake_disk_op op, const char *part, int error,
    int skip, int times);
/* The next write to such a path writes only `bytes`. */
void fake_disk_short_write(const char *part, size_t bytes);
/* Whatever it is: `skip` calls go through, the next `times` (-1: all) fail. */
void fake_disk_fail_call(int error, int skip, int times);
/* A sync that fails leaves zeroes where the data was that it should have
 * written, as a kernel does that drops the pages: the next sync finds nothing
 * to write, and says all is well. Needs a sync that went well before. */
void fake_disk_lose_pages(void);
/* Told, on the thread that makes the call: of each sync that gets to the disk,
 * before and after it, and of each file that was made. Borrowed; NULL ends it. */
struct fake_disk_watcher {
	void (*sync_begin)(void *arg, int fd);
	void (*sync_end)(void *arg, int fd, bool ok);
	void (*made)(void *arg, int fd);
	void *arg;
};
void fake_disk_watch(const struct fake_disk_watcher *w);
/* While held, syncs of such paths (fsync, fdatasync) do not return. */
void fake_disk_hold_syncs(const char *part);
void fake_disk_release(void);
/* After n more calls nothing reaches the disk any more: all fail with EIO, as
 * if the process had been killed there. */
void fake_disk_die_after(unsigned n);
/* No rules, counters at 0. */
void fake_disk_reset(void);

/* Calls of op since the reset on paths that contain part (NULL: all). */
unsigned fake_disk_count(enum fake_disk_op op, const char *part);
/* Calls of any kind since the reset. */
unsigned fake_disk_calls(void);
/* "write audit.jsonl\nfdatasync audit.jsonl\n...": all calls since the reset,
 * by the last component of the path; to be freed. */
char *fake_disk_trace(void);
