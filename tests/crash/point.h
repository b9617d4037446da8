/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * point - which system calls of a traced program are crash points, and how
 * they are called in words that are the same in every run:
 *
 *	fsync state/.login.ops.tbr.tmp      a file below `dir`, from there on
 *	rename state/login.ops.tbr          where to
 *	connect provider                    a label, else ADDRESS:PORT
 *	sendto provider, sendmsg api.sock   by the peer, or by the door
 *
 * Counted is what leaves a trace outside the process: files below `dir`
 * written, synced, made, renamed, linked, removed or cut; connections; bytes
 * sent to a peer. Pipes, event descriptors and whatever is on descriptors
 * 0-2 (the log) do not count.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define POINT_TEXT 192
#define POINT_LABELS 8

struct point_target {
	pid_t pid;
	int pidfd;
	const char *dir; /* absolute, without a slash at the end */
	struct {
		const char *port, *name;
	} labels[POINT_LABELS];
	unsigned n_labels;
};

enum point_kind { POINT_OTHER, POINT_SYNC, POINT_CREATE };

struct point {
	char text[POINT_TEXT];
	enum point_kind kind;
	int fd; /* of POINT_SYNC */
};

/* A system call that is about to be made. False: it does not count. */
bool point_of_call(const struct point_target *t, uint64_t nr,
    const uint64_t args[6], struct point *p);
