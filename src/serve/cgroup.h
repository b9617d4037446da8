/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cgroup - from the text of /proc/PID/cgroup to a systemd unit. Pure.
 *
 * The unit is the first component of the path that is not a slice, never the
 * last: whoever runs a unit with Delegate=yes (every user@UID.service does)
 * makes groups of any name below it.
 */
#include <stdbool.h>
#include <stddef.h>

#define CGROUP_PATH_MAX 1024
#define CGROUP_UNIT_MAX 256

struct cgroup_path {
	char path[CGROUP_PATH_MAX];
	/* it is that of the unified hierarchy, so that its directory's inode
	 * is the cgroup id which the kernel gives for a pidfd */
	bool unified;
};

/* The "0::" line, or where that says nothing (legacy hierarchy) the one of
 * "name=systemd". False: neither is there, or it is the root. */
bool cgroup_parse(const char *text, size_t len, struct cgroup_path *out);

/* The unit of a path, in the spelling that systemctl uses. False: none, such
 * as that of a foreign cgroup namespace ("/.."), a bare slice, or a group that
 * systemd did not make. */
bool cgroup_unit(const char *path, char out[CGROUP_UNIT_MAX]);

/* The name of a unit of a kind that has processes. */
bool cgroup_is_unit_name(const char *s, size_t len);
