/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * principal - who asks, as the kernel says it. A value: serve/peer fills it
 * once at accept; rules, audit and holders read it. uid, gid and groups are
 * always strong; the unit has a strength of its own (promise P6).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum principal_strength {
	PRINCIPAL_UNKNOWN, /* no unit could be read */
	PRINCIPAL_WEAK,    /* read, but without a pidfd bracket around it */
	PRINCIPAL_STRONG,  /* read inside the bracket */
};

struct principal {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary, owned */
	size_t n_groups;
	pid_t pid;   /* decoration: never an identity */
	char *unit;  /* "telegraf.service", owned, NULL when unknown */
	char *invocation; /* of the unit: systemd's id of this run of it, 32 hex
	                   * digits, owned, NULL when unknown; as strong as
	                   * the unit */
	char *selinux; /* SO_PEERSEC label where there is one, owned or NULL */
	enum principal_strength strength; /* of unit */
	bool container;    /* nested pid namespace: never a unit */
	bool unit_hidden;  /* its control group cannot be read: unit says
	                    * nothing by being NULL */
	uint64_t cgroup_id; /* 0 when the kernel does not say */
};

#define PRINCIPAL_INIT { .uid = (uid_t)-1, .gid = (gid_t)-1 }

void principal_clear(struct principal *p);
void principal_copy(struct principal *to, const struct principal *from);
bool principal_in_group(const struct principal *p, gid_t gid);

/* "uid=1000 unit=telegraf.service pid=77 (weak)" for log lines. Returns buf. */
const char *principal_describe(const struct principal *p, char *buf,
    size_t size);
const char *principal_strength_name(enum principal_strength s);
