/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * installation - which tokenbroker made a token: a random number that is part
 * of the description of everything minted here. Many hosts share one service,
 * and a value of a neighbour must not look like one of ours that was lost.
 *
 * It is kept sealed with the state. A state that was copied to another machine
 * gets another number there, and so does one that an operator adopts after it
 * was an older one or in use elsewhere: two that have one number would take each
 * other's tokens for lost ones. The number before is remembered, so that what it
 * marked and nobody knows is told, but never revoked: another may be using it.
 */
#include "base/secret.h"
#include "lib/loop.h"

struct store;
struct writer_item;

#define INSTALLATION_LEN 16 /* hexadecimal digits */

struct installation {
	char id[INSTALLATION_LEN + 1]; /* "" until installation_begin */
	char former[INSTALLATION_LEN + 1]; /* the one before, or "" */
	/* private */
	char machine[17];
	bool renewed; /* in this run */
	struct store *store;
	struct writer_item *saving;
	struct loop_timer again;
};

void installation_init(struct installation *i, struct loop *loop);
/* The record found at start ("installation/self"); plain is consumed. */
void installation_restore(struct installation *i, struct secret *plain);
/* After all records: makes a number where there is none, and stores it. */
void installation_begin(struct installation *i, struct store *store);
/* An operator says that the state, which may be in use elsewhere, is ours. */
void installation_renew(struct installation *i);
void installation_stop(struct installation *i);
