/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * server - HTTP on the loopback: from libevent's request to the route's
 * function and back, with the faults that spoil a reply on its way.
 */
#include <stdint.h>

struct event_base;
struct server; /* opaque: the listener and the requests in the air */
struct world;

/*
 * Listen. base and world are borrowed until server_free(); the issuer of
 * world is set. Returns NULL when the address cannot be had.
 */
struct server *server_new(struct event_base *base, struct world *world,
    const char *address, uint16_t port);

/* Drop every connection, also those whose reply hangs. */
struct server *server_free(struct server *server);
