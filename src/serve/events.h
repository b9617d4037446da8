/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * events - the events of late, in memory, and those who wait for more. The
 * audit log is where they are kept: whoever asks for older ones than are here
 * gets them from there, so nothing is missed and there is no second store.
 */
#include <stdint.h>
#include <sys/queue.h>

#include "serve/event.h"

struct audit;
struct events;

#define EVENTS_KEPT 256

/* Told when there is more, or when the disk's health has changed. It may end
 * its wait. */
struct events_waiter {
	void (*fn)(struct events_waiter *w);
	TAILQ_ENTRY(events_waiter) link;
};

struct events *events_new(struct audit *audit);
/* Nobody waits any more. NULL is fine. */
void events_free(struct events *e);

void events_wait(struct events *e, struct events_waiter *w);
void events_unwait(struct events *e, struct events_waiter *w);

const char *events_host(const struct events *e);
/* All events behind this line are here. */
uint64_t events_from(const struct events *e);
/* The first one behind line `after`; NULL: there is none. */
const struct event *events_behind(const struct events *e, uint64_t after);
