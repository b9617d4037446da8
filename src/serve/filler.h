/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * filler - how systemd's client for LoadCredential= is told "no". Its protocol
 * has no word for that: a connection that is closed without data is an empty
 * credential, one that is closed early a short one, and the unit starts with
 * it. More than 1 MiB is the one answer that it takes for a failure. So zeros
 * are sent until there are more than that, for as long as the client takes,
 * and only then is the connection closed.
 */
#include <stddef.h>
#include <stdint.h>

struct filler_set;
struct loop;

struct filler_set *filler_set_new(struct loop *loop);
/* Gives those that still read a moment for the rest; then closes all. The loop
 * does not run any more. NULL is fine. */
void filler_set_free(struct filler_set *set);
size_t filler_set_count(const struct filler_set *set);

/* fd (non-blocking) is taken. patience_ms: closed when it has not read all by
 * then; 0: it may take as long as it likes. Those with a limit are few, and one
 * too many is closed at once. */
void filler_start(struct filler_set *set, int fd, int64_t patience_ms);
