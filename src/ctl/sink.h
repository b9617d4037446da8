/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sink - the file that a value is put into. It is replaced in one step, so a
 * reader sees the old content or the new one; its place is looked at before
 * every write, since between two of them days may pass.
 */
#include <stdbool.h>
#include <sys/types.h>

struct secret;
struct tb_error;

#define SINK_SAME ((uid_t)-1)

struct sink {
	const char *path;   /* absolute; borrowed */
	mode_t mode;
	uid_t uid;          /* SINK_SAME: who we are */
	gid_t gid;
	bool allow_disk;    /* else only a file system in memory will do */
};

#define SINK_INIT { .mode = 0600, .uid = SINK_SAME, .gid = (gid_t)SINK_SAME }

/* "0640". Nothing for others, nothing to execute. */
int sink_parse_mode(const char *text, mode_t *out, struct tb_error *err);
/* "USER", "USER:GROUP" or ":GROUP", names or numbers. */
int sink_parse_owner(const char *text, struct sink *s, struct tb_error *err);

/* Whether it could be written now: the place is ours, in memory, and what is
 * there is a file or nothing. */
int sink_check(const struct sink *s, struct tb_error *err);
int sink_write(const struct sink *s, const struct secret *bytes,
    struct tb_error *err);
/* What is not there, or no file of its owner, stays as it is. */
int sink_remove(const struct sink *s, struct tb_error *err);
