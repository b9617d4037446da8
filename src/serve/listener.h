/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * listener - one listening socket of a door: bound by us or handed over by
 * systemd. Accepts, asks the kernel who it is, and starts a session or says
 * why not. A full descriptor table is answered, too: one descriptor is kept in
 * reserve for that, so that nobody spins on a connection that cannot be taken.
 */
#include <sys/types.h>

struct door;
struct listener;
struct serve;
struct tb_error;

/* Binds PATH with this mode. A socket file that nobody listens on any more is
 * replaced; anything else at that place is an error. */
int listener_bind(const char *path, mode_t mode, struct tb_error *err);
/* Is fd a listening AF_UNIX stream socket? -1 says what it is not. */
int listener_check(int fd, const char *name, struct tb_error *err);

/* fd is taken, also on failure. path: to be removed at the end, or NULL. */
struct listener *listener_new(struct serve *serve, const struct door *door,
    int fd, const char *path, struct tb_error *err);
void listener_free(struct listener *l); /* NULL is fine */
