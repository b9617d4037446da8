/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - see the header. A ring: the oldest goes when it is full.
 */
#include "serve/events.h"

#include <limits.h>

#include "base/util.h"
#include "state/audit.h"
#include "state/eventlog.h"

struct events {
	struct audit *audit;
	char host[HOST_NAME_MAX + 1];
	uint64_t from;
	struct event ring[EVENTS_KEPT];
	size_t first, n;
	TAILQ_HEAD(, events_waiter) waiters;
};

static void
events_keep(struct events *e, const struct event *ev)
{
	struct event *slot = &e->ring[(e->first + e->n) % EVENTS_KEPT];

	if (e->n == EVENTS_KEPT) {
		e->from = slot->seq;
		json_decref(slot->json);
		e->first = (e->first + 1) % EVENTS_KEPT;
		e->n--;
	}
	*slot = *ev;
	e->n++;
}

static void
events_on_lines(void *arg, const char *lines, size_t len)
{
	struct events *e = arg;
	struct events_waiter *w, *next;
	const char *end = lines + len, *eol;
	struct event ev;

	for (; lines < end; lines = eol + 1) {
		eol = memchr(lines, '\n', (size_t)(end - lines));
		if (!eol)
			break;
		if (event_from_line(lines, (size_t)(eol - lines), e->host,
			&ev))
			events_keep(e, &ev);
	}
	for (w = TAILQ_FIRST(&e->waiters); w; w = next) {
		next = TAILQ_NEXT(w, link);
		w->fn(w);
	}
}

struct events *
events_new(struct audit *audit)
{
	struct events *e = xnew(struct events);
	char *p;

	e->audit = audit;
	TAILQ_INIT(&e->waiters);
	if (gethostname(e->host, sizeof(e->host) - 1) < 0 || !e->host[0])
		strcpy(e->host, "localhost");
	for (p = e->host; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("\"\\/", *p))
			*p = '-';
	e->from = audit_events_seq(audit);
	audit_watch_events(audit, events_on_lines, e);
	return e;
}

void
events_free(struct events *e)
{
	if (!e)
		return;
	audit_watch_events(e->audit, NULL, NULL);
	for (; e->n; e->n--)
		json_decref(e->ring[(e->first + e->n - 1) %
		    EVENTS_KEPT].json);
	free(e);
}

void
events_wait(struct events *e, struct events_waiter *w)
{
	TAILQ_INSERT_TAIL(&e->waiters, w, link);
}

void
events_unwait(struct events *e, struct events_waiter *w)
{
	TAILQ_REMOVE(&e->waiters, w, link);
}

const char *
events_host(const struct events *e)
{
	return e->host;
}

uint64_t
events_from(const struct events *e)
{
	return e->from;
}

const struct event *
events_behind(const struct events *e, uint64_t after)
{
	const struct event *ev;
	size_t i;

	for (i = 0; i < e->n; i++) {
		ev = &e->ring[(e->first + i) % EVENTS_KEPT];
		if (ev->seq > after)
			return ev;
	}
	return NULL;
}
