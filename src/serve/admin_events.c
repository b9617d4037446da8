/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET events: what happened behind a cursor, at once or when it happens.
 *
 * The cursor is the number of the last line of the audit log that was looked
 * at, so it holds over restarts and rotation. Behind a dot stands the outage
 * of the disk that the asker was told of: while it lasts nothing can be in the
 * log, and when it is over the log tells it again.
 */
#include <inttypes.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "lib/jsonx.h"
#include "lib/loop.h"
#include "serve/admin_int.h"
#include "serve/events.h"
#include "serve/serve_int.h"
#include "state/audit.h"
#include "state/eventlog.h"

#define WAIT_MAX_S 300
#define READ_MS 20000 /* for older ones, when the asker does not wait */
#define SLICES_MAX 64 /* without an event, before there is an answer */
#define EVENTS_MAX 64 /* of one answer */

/* What is asked for and what has been found so far. */
struct look {
	struct serve *serve;
	unsigned types;
	uint64_t seq;
	int64_t outage;
	json_t *found;
	uint64_t gap_after, gap_to; /* lines that are not there; 0: none */
	unsigned slices;
};

struct admin_events {
	struct session_op op;
	struct loop_timer timer;
	struct events_waiter waiter;
	bool waits;
	struct look look;
	int64_t wait_ms;
	struct writer_item *item;
	struct eventlog_slice *slice; /* item's */
};

static void events_advance(struct admin_events *a);

/* ------------------------------------------------------------------- looks */

static bool
is_wanted(const struct look *l, const struct event *ev)
{
	if (ev->outage && ev->seq && ev->outage == l->outage)
		return false; /* told while it was not in the log */
	return (ev->types & l->types) != 0;
}

/* "SEQ" or "SEQ.OUTAGE" */
static json_t *
cursor_json(uint64_t seq, int64_t outage)
{
	return outage ? json_sprintf("%" JSON_INTEGER_FORMAT ".%"
	    JSON_INTEGER_FORMAT, (json_int_t)seq, (json_int_t)outage) :
	    json_sprintf("%" JSON_INTEGER_FORMAT, (json_int_t)seq);
}

/* With the cursor of who has been told this much. */
static void
add_found(struct look *l, const struct event *ev, uint64_t seq)
{
	json_t *o;

	if (!is_wanted(l, ev))
		return;
	o = json_copy(ev->json); /* others are given it as well */
	json_object_set_new(o, "cursor", cursor_json(seq, l->outage));
	json_array_append_new(l->found, o);
}

/* Not in the log: that it cannot be written. */
static void
look_at_disk(struct look *l)
{
	struct tb_error err = TB_ERROR_INIT;
	int64_t since = audit_failing_since(l->serve->audit, &err);
	struct event ev;

	if (!since || since == l->outage ||
	    !(l->types & 1u << EVENT_AUDIT_DEGRADED))
		return;
	event_degraded(since, err.msg, events_host(l->serve->events), &ev);
	l->outage = since;
	add_found(l, &ev, l->seq);
	json_decref(ev.json);
}

static void
look_at_ring(struct look *l)
{
	const struct event *ev;
	uint64_t end;

	while ((ev = events_behind(l->serve->events, l->seq))) {
		l->seq = ev->seq;
		add_found(l, ev, ev->seq);
		if (json_array_size(l->found) >= EVENTS_MAX)
			return;
	}
	end = audit_events_seq(l->serve->audit);
	l->seq = MAX2(l->seq, end);
}

/* Looks at what is in memory. False: older ones must be read first. */
static bool
look_now(struct look *l)
{
	look_at_disk(l);
	if (json_array_size(l->found))
		return true;
	if (l->seq < events_from(l->serve->events))
		return false;
	look_at_ring(l);
	return true;
}

static void
look_at_slice(struct look *l, const struct eventlog_slice *slice)
{
	const char *s = strbuf_str(&slice->lines), *eol;
	struct event ev;

	for (; (eol = strchr(s, '\n')); s = eol + 1) {
		if (!event_from_line(s, (size_t)(eol - s),
			events_host(l->serve->events), &ev))
			continue;
		add_found(l, &ev, ev.seq);
		json_decref(ev.json);
	}
	if (slice->gap_to && l->seq) {
		if (!l->gap_to)
			l->gap_after = l->seq;
		l->gap_to = slice->gap_to;
	}
	l->seq = MAX2(l->seq, slice->seen);
	l->slices++;
}

static json_t *
look_answer(struct look *l)
{
	json_t *o = json_object(), *gap;

	json_object_set_new(o, "events", STEAL(l->found));
	json_object_set_new(o, "cursor", cursor_json(l->seq, l->outage));
	if (!l->gap_to)
		return o;
	gap = json_object();
	json_object_set_new(gap, "after", json_integer(
	    (json_int_t)l->gap_after));
	json_object_set_new(gap, "until", json_integer((json_int_t)l->gap_to));
	json_object_set_new(o, "gap", gap);
	return o;
}

/* -------------------------------------------------------------- operations */

static void
events_gone(struct session_op *op)
{
	struct admin_events *a = container_of(op, struct admin_events, op);

	if (a->waits)
		events_unwait(a->look.serve->events, &a->waiter);
	loop_timer_stop(&a->timer);
	writer_forget(&a->item);
	json_decref(a->look.found);
	free(a);
}

static void
events_answer(struct admin_events *a)
{
	struct session *s = session_end(&a->op);
	json_t *o = look_answer(&a->look);

	events_gone(&a->op);
	session_reply_json(s, 200, o);
}

/* Whatever the hurry: what there is is an answer. */
static void
events_hurry(struct session_op *op, enum session_hurry why)
{
	events_answer(container_of(op, struct admin_events, op));
}

static const struct session_op_type events_type = {
	.gone = events_gone,
	.hurry = events_hurry,
};

static void
events_on_time(void *arg)
{
	events_answer(arg);
}

static void
events_on_news(struct events_waiter *w)
{
	events_advance(container_of(w, struct admin_events, waiter));
}

static void
events_on_read(void *arg, const struct tb_error *err)
{
	struct admin_events *a = arg;
	struct session *s;

	a->item = NULL;
	if (err) {
		s = session_end(&a->op);
		events_gone(&a->op);
		session_refuse(s, PROBLEM_AUDIT, err->msg);
		return;
	}
	look_at_slice(&a->look, a->slice);
	if (json_array_size(a->look.found) || a->look.gap_to ||
	    a->look.slices >= SLICES_MAX)
		events_answer(a);
	else
		events_advance(a);
}

static void
events_advance(struct admin_events *a)
{
	struct look *l = &a->look;

	if (a->item)
		return; /* events_on_read goes on */
	if (!look_now(l)) {
		a->slice = xnew(struct eventlog_slice);
		a->slice->after = l->seq;
		a->item = audit_read_events(l->serve->audit, a->slice,
		    events_on_read, a);
		return;
	}
	if (json_array_size(l->found) || !a->wait_ms) {
		events_answer(a);
		return;
	}
	if (a->waits)
		return;
	a->waits = true;
	a->waiter.fn = events_on_news;
	events_wait(l->serve->events, &a->waiter);
}

/* ------------------------------------------------------------------- asked */

/* "SEQ" or "SEQ.OUTAGE" */
static bool
parse_cursor(struct http1_view v, struct look *l)
{
	const char *dot = memchr(v.s, '.', v.len);
	size_t n = dot ? (size_t)(dot - v.s) : v.len;
	int64_t seq = http1_number((struct http1_view){ v.s, n },
	    INT64_MAX / 16);

	l->seq = (uint64_t)seq;
	if (dot)
		l->outage = http1_number((struct http1_view){ dot + 1,
			v.len - n - 1 }, INT64_MAX / 16);
	return seq >= 0 && l->outage >= 0;
}

/* NULL: all is well; else what is wrong. */
static const char *
parse_look(const struct request *rq, struct look *l, int64_t *wait_ms)
{
	struct http1_view after = route_query(rq, "after");
	struct http1_view types = route_query(rq, "types");
	struct http1_view wait = route_query(rq, "wait");
	int64_t s = wait.s ? http1_number(wait, WAIT_MAX_S) : 0;

	l->types = types.s ? event_types(types.s, types.len) :
	    (1u << EVENT_TYPES) - 1;
	if (!l->types)
		return "types: a word is no type of event; see "
		    "tokenbroker-protocol(7) for those there are";
	if (after.s && !parse_cursor(after, l))
		return "after: this is no cursor of an answer of ours";
	if (!after.s)
		l->seq = audit_events_seq(l->serve->audit);
	if (s < 0)
		return "wait: whole seconds from 0 to 300 are expected";
	*wait_ms = s * 1000;
	return NULL;
}

void
admin_events(struct session *s, const struct request *rq)
{
	struct look l = { .serve = session_serve(s) };
	struct admin_events *a;
	int64_t wait_ms = 0;
	const char *wrong = parse_look(rq, &l, &wait_ms);
	uint64_t end = audit_events_seq(l.serve->audit);

	if (wrong) {
		session_refuse(s, PROBLEM_BAD_REQUEST, wrong);
		return;
	}
	l.found = json_array();
	if (l.seq > end) { /* that was another log: begin with all of this */
		l.gap_after = end;
		l.gap_to = l.seq;
		l.seq = 0;
	}
	if (look_now(&l) && (json_array_size(l.found) || !wait_ms ||
	    l.gap_to)) {
		session_reply_json(s, 200, look_answer(&l));
		return;
	}
	a = xnew(struct admin_events);
	a->look = l; /* moved */
	a->wait_ms = wait_ms;
	loop_timer_init(&a->timer, l.serve->loop, events_on_time, a);
	session_begin(s, &a->op, &events_type, true);
	session_is_watch(s);
	loop_timer_set(&a->timer, wait_ms ? wait_ms : READ_MS);
	events_advance(a);
}
