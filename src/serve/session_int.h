/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * session_int - what session.c (life), session_io.c (bytes) and
 * session_reply.c (answers) share.
 *
 * The phase of a session is the list it is in. All of a list have the same
 * time, so the oldest is the first, and one timer looks at the heads once a
 * second; no timer is set for a request.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "base/secret.h"
#include "lib/loop.h"
#include "serve/session.h"

enum session_phase {
	SESSION_IDLE,
	SESSION_HEAD,   /* bytes of a request have come, not all of its head */
	SESSION_BODY,
	SESSION_BUSY,   /* an operation answers soon */
	SESSION_WAIT,   /* an operation answers when it likes */
	SESSION_WRITE,  /* the client does not take the answer yet */
	SESSION_LINGER, /* refused in the middle of a request: what still
	                 * comes is thrown away, so that the client gets to
	                 * read the refusal */
	SESSION_CLOSED, /* freed on the next turn */
	SESSION_N_PHASES,
};

/* A request that did not come in one piece. */
struct session_in {
	struct secret buf; /* len is how much fits */
	size_t used;
	bool told_continue;
	struct http1 h;
};

struct session_out {
	struct secret bytes;
	size_t at;
	bool some; /* of the answer left before it got stuck */
	session_drained_fn *fn;
	void *arg;
};

struct session {
	struct event event;
	TAILQ_ENTRY(session) link; /* in the list of its phase */
	struct session_set *set;
	const struct door *door;
	struct peer *peer;
	const struct principal *who; /* the peer's, as a rule */
	struct session_in *in;
	struct session_out *out;
	struct session_op *op;
	struct session_attachment *attached;
	int64_t deadline_ms;
	int64_t begun_ms; /* boot time when an operation took the request; 0:
	                   * none did, -1: how long it takes says nothing */
	uint64_t request_id;
	int fd;
	enum session_phase phase;
	short watching; /* what event is added for, 0: it is not */
	uint8_t minor;
	bool keep_alive, lingers, half_closed, is_vault;
};

TAILQ_HEAD(session_list, session);

struct session_uid {
	struct session_uid *next;
	uid_t uid;
	unsigned n;
};

#define SESSION_UID_BUCKETS 128
#define SESSION_SCRATCH 16384

struct session_set {
	struct serve *serve;
	struct session_list lists[SESSION_N_PHASES];
	struct loop_timer tick;
	struct loop_task reap;
	size_t n; /* not closed */
	struct session_uid *uids[SESSION_UID_BUCKETS];
	size_t buffered; /* bytes in session_in, all sessions together */
	uint64_t request_key, request_count, same_records;
	/* where a request is read to; it stays here when it is complete */
	struct secret scratch;
	unsigned char *scratch_bytes;
	struct http1 scratch_h;
};

void session_enter(struct session *s, enum session_phase phase);
/* The answer has left: the next request, or the end. */
void session_answered(struct session *s);


/* session_io.c */
void session_on_event(evutil_socket_t fd, short what, void *arg);
/* Watches for bytes (or room for them, in SESSION_WRITE). */
void session_watch(struct session *s);
void session_unwatch(struct session *s);
void session_in_free(struct session *s);
/* all: the answer is out. */
void session_out_free(struct session *s, bool all);
