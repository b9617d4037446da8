/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * session - one connection: bytes in, a request, one answer, and again. It
 * knows who is at the other end and how long things may take; what is asked
 * and answered it does not know.
 *
 * A route's function answers at once, or begins an operation that answers
 * later. While an operation lives, the session watches the client: when that
 * goes away, the operation is told and ends.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "serve/problem.h"
#include "serve/route.h"
#include "state/acl.h"

struct audit_rec;
struct broker_view;
struct peer;
struct serve;
struct session;
struct session_set;

enum session_hurry {
	SESSION_STOPPING, /* the daemon stops: answer, unless it is a matter of
	                   * milliseconds */
	SESSION_RELOADED, /* the rules are others: end a watch */
	SESSION_EXPIRED,  /* it took too long: answer now */
};

/* All sessions of a serve, and what they share. */
struct session_set *session_set_new(struct serve *serve);
void session_set_free(struct session_set *set); /* closes them; NULL is fine */
size_t session_set_count(const struct session_set *set);
/* May this uid have one more at this door? NULL: yes, else a static text. */
const char *session_set_refuses(const struct session_set *set,
    const struct door *door, uid_t uid);
/* For all operations; see enum session_hurry. */
void session_set_hurry(struct session_set *set, enum session_hurry why);
/* For an answer to somebody who gets no session. */
const char *session_set_request_id(struct session_set *set, char buf[17]);

/* fd (non-blocking, with SO_PASSCRED) and the reference to peer are taken.
 * What has arrived already is read at once. */
void session_start(struct session_set *set, const struct door *door, int fd,
    struct peer *peer);
/* At once for the client; the memory lives until the next turn. */
void session_close(struct session *s);

/* What a door does that does not speak HTTP. What its clients send, if they
 * do, is not looked at: it is an error. */
struct door_ops {
	/* A session begins: refuse, or begin an operation. */
	void (*open)(struct session *s);
	/* The value leaves, or does not: sets event and reason of rec, which
	 * the caller records before it closes the session. */
	void (*send)(struct session *s, const struct broker_view *view,
	    struct audit_rec *rec);
	/* Both refuse, and close the session. */
	void (*deny)(struct session *s, const char *token,
	    const struct acl_verdict *v);
	void (*refuse)(struct session *s, const struct problem *p);
	/* The session is closed, whatever for. fd is taken. */
	void (*end)(struct session *s, int fd);
	/* Somebody who gets no session. fd is taken; detail is static. */
	void (*turn_away)(struct serve *serve, int fd, const char *detail);
};

struct serve *session_serve(const struct session *s);
int session_fd(const struct session *s);
const struct peer *session_peer(const struct session *s);
/* The connection is judged as this one from now on, which belongs to the
 * session's attachment. */
void session_speak_for(struct session *s, const struct principal *who);
/* What is asked now is another request than what was asked before. */
void session_new_request(struct session *s);
const struct door *session_door(const struct session *s);
const struct principal *session_who(const struct session *s);
bool session_peer_is_alive(const struct session *s);
/* 16 hexadecimal digits, another for every request. */
const char *session_request_id(const struct session *s,
    char buf[17]);
struct acl_verdict session_verdict(struct session *s, const char *token);
/* After it allowed: struct audit_rec's `same`, for a release of this. */
uint64_t session_same_record(struct session *s,
    const struct broker_view *view);
unsigned session_minor(const struct session *s);
/* The request is one of Vault's clients, and errors are told in its form. */
bool session_is_vault(const struct session *s);
void session_set_vault(struct session *s, bool is_vault);
bool session_keeps_alive(const struct session *s);

/* ------------------------------------------------------------ operations */

struct session_op;
struct session_op_type {
	/* No answer is wanted any more: cancel everything, free the op. The
	 * session forgets it. */
	void (*gone)(struct session_op *op);
	void (*hurry)(struct session_op *op, enum session_hurry why);
};

struct session_op {
	const struct session_op_type *type;
	struct session *session;
};

/* has_own_timer: it may take as long as it likes. */
void session_begin(struct session *s, struct session_op *op,
    const struct session_op_type *type, bool has_own_timer);
/* It waits for something to happen: its time is not the daemon's. */
void session_is_watch(struct session *s);
/* Before its answer; op is no longer known to the session. */
struct session *session_end(struct session_op *op);

/* Something that belongs to the connection beyond one request; one at most. */
struct session_attachment {
	void (*gone)(struct session_attachment *a); /* frees it */
	bool keeps; /* the connection, however long nothing is asked on it */
};
struct session_attachment *session_attached(const struct session *s);
/* NULL: takes away what there is, without calling gone. */
void session_attach(struct session *s, struct session_attachment *a);

/* --------------------------------------------------------------- answers */

enum session_sent {
	SESSION_SENT,    /* the kernel has all of it */
	SESSION_PARTLY,  /* the rest is kept and follows */
	SESSION_NOT_SENT, /* the client is gone; the session is closed */
};

/* Exactly one per request. The bytes are a whole answer, made with the minor
 * version and keep-alive of this session. */
enum session_sent session_send(struct session *s, const struct iovec *iov,
    int n);
/* After SESSION_PARTLY: told once how it ended. `some`: bytes left at all. */
typedef void session_drained_fn(void *arg, struct session *s, bool all,
    bool some);
void session_on_drained(struct session *s, session_drained_fn *fn, void *arg);

/* fields: further header lines, or NULL. */
void session_reply(struct session *s, int status, const char *fields,
    const char *body, size_t len);
/* o is taken. */
void session_reply_json(struct session *s, int status, json_t *o);
void session_not_modified(struct session *s, uint64_t generation);
void session_problem(struct session *s, const struct problem *p);
/* The usual one: a code and a text. */
void session_refuse(struct session *s, enum problem_code code,
    const char *detail);
