/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * holder - what a principal is called who holds a token, or for whom one is
 * minted: "unit:telegraf.service", else "uid:1000", in a container
 * "container:1000". Two principals with the same name are the same holder.
 *
 * The name is one that nobody can take on: a unit counts when it was read
 * within the bracket (promise P6) or when root says so, who may start any
 * unit. Of others whose unit is weak the uid is the name, and of who sits in a
 * login session.
 */
#include <stdbool.h>

struct principal;

#define HOLDER_NAME_SIZE 280

/* Returns buf. Printable ASCII, without a space, whatever the unit is called;
 * different units have different names. */
const char *holder_name(const struct principal *p, char buf[HOLDER_NAME_SIZE]);
/* The unit of such a name (borrowed from it), NULL: it is none. */
const char *holder_unit(const char *name);
