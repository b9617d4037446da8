/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * peer - who is at the other end of a connection, from the kernel and from
 * nobody else (promise P6): asked once, at accept. Connections of one process
 * that look the same share one struct peer, and with it one pidfd.
 *
 * uid, gid and groups are those of connect(2), kept by the kernel. The unit is
 * read from /proc between two looks at a pidfd of the connector, so what was
 * read is its and not that of a later process with the same number.
 */
#include <stdbool.h>
#include <sys/queue.h>

#include "base/principal.h"

struct peer_table;
struct tb_error;
struct verdict_cache;

struct peer {
	unsigned refs;
	struct principal who;
	int pidfd; /* -1: a kernel without */
	struct verdict_cache *verdicts; /* see verdict.h; freed with the peer */
	struct peer_table *table;
	LIST_ENTRY(peer) link;
};

enum peer_result {
	PEER_OK,
	PEER_GONE, /* it died before we could say who it is */
	PEER_BUSY, /* no descriptors left: ask later */
	PEER_FAILED,
};

struct peer_table *peer_table_new(void);
void peer_table_free(struct peer_table *t); /* no peer may live */

/* What this kernel offers, as one log line, with a warning when units will be
 * weak. -1: nobody could ever be told apart. */
int peer_probe(struct peer_table *t, struct tb_error *err);

/* Of a connected AF_UNIX socket. *out is a reference for peer_unref; err is
 * set when the result is not PEER_OK. */
enum peer_result peer_attest(struct peer_table *t, int fd, struct peer **out,
    struct tb_error *err);
void peer_unref(struct peer *p); /* NULL is fine */

/* Is the process that connected still there? One poll(2). */
bool peer_is_alive(const struct peer *p);
/* Are these the credentials of who connected? */
bool peer_is_sender(const struct peer *p, pid_t pid, uid_t uid);

/* How a process would look if it connected now: for explain. */
int peer_of_pid(struct peer_table *t, pid_t pid, struct principal *out,
    struct tb_error *err);
