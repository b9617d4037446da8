/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * peer_proc - what the kernel tells about a process by its pidfd, and the
 * unit, which takes a file of /proc as well. For peer.c, which knows sockets,
 * and for who learns of a unit in another way.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/principal.h"

#define PEER_PROC_CACHE 256

/* cgroup id -> path and unit; checked by inode each time it is used. */
struct peer_proc_cache {
	struct {
		uint64_t id;
		char *path, *unit; /* unit: NULL, it is none */
	} entries[PEER_PROC_CACHE];
	const char *mount; /* of the unified hierarchy; NULL: there is none */
};

void peer_proc_cache_init(struct peer_proc_cache *c);
void peer_proc_cache_clear(struct peer_proc_cache *c);

enum peer_proc_result { PEER_PROC_OK, PEER_PROC_GONE, PEER_PROC_BUSY };

/* poll(2): not even a zombie. */
bool peer_proc_is_alive(int pidfd);
/* The cgroup id by PIDFD_GET_INFO. 0: the kernel has none to give; *gone: the
 * process is reaped. */
uint64_t peer_proc_cgroup_id(int pidfd, bool *gone);
/* Fills container, unit, invocation, strength and cgroup_id of who (0 where
 * that does not stand for the unit), whose pid is set;
 * strength is what it will be if all goes well. GONE when the process was not
 * alive at the end: then nothing that was read counts. */
enum peer_proc_result peer_proc_attest(struct peer_proc_cache *c, int pidfd,
    enum principal_strength strength, struct principal *who);
/* systemd's id of this run of a unit, or NULL. Not kept: a control group may
 * outlive a run. Owned by the caller. */
char *peer_proc_invocation(const char *unit);
/* That run of it has ended, for sure: systemd takes its link away or gives the
 * unit another. What a unit leaves behind when it ends (KillMode=process) does
 * not count. */
bool peer_proc_run_is_over(const char *unit, const char *invocation);
/* uid, gid and groups as a socket would tell them, from /proc/PID/status. */
enum peer_proc_result peer_proc_ids(pid_t pid, struct principal *who);
