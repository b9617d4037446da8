/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * client - asks the daemon over one of its sockets: one kept connection, one
 * request at a time, blocking. Knows bytes and time-outs, not what an answer
 * means (see ask.h).
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/reply.h"

struct tb_error;

/* Called about once a second while we wait for an answer. */
typedef void client_tick_fn(void *arg);

struct client {
	char *path; /* of the socket */
	int fd;     /* -1: not connected */
	int connect_errno; /* of the last client_call that was UNREACHED */
	bool used;         /* the connection has carried an answer */
	bool sticky;       /* what we do is bound to this connection: losing
	                    * it is an error, and no new one is made */
	/* While waiting: signals that may interrupt (NULL: none do), the flag
	 * that their handler sets, and what to do every second. */
	const sigset_t *wait_mask;
	const volatile sig_atomic_t *interrupted;
	client_tick_fn *tick;
	void *tick_arg;
	struct secret in; /* receive buffer, at buf */
	unsigned char *buf;
};

#define CLIENT_INIT { .fd = -1, .in = SECRET_INIT }

struct client_request {
	const char *method;
	const char *path;   /* begins with '/', already escaped */
	const char *accept; /* NULL: application/json */
	const char *fields; /* more header lines, each with CRLF, or NULL */
	const struct secret *body; /* JSON, or NULL */
	int64_t timeout_ms; /* from sending to the last byte of the answer */
};

/* path is copied. Connects on the first call. */
void client_init(struct client *c, const char *path);
void client_close(struct client *c);
/* Of what was received nothing is left; the connection stays. */
void client_wipe(struct client *c);
void client_clear(struct client *c);

/* Any status is an answer. Connects when there is no connection. Errors:
 * TB_E_UNREACHED: nobody there, nothing was sent (connect_errno says why);
 * TB_E_TRANSIENT: the connection was lost or no answer came in time;
 * TB_E_PROTO, TB_E_LIMIT: that is not our daemon; TB_E_CANCELLED: a signal.
 * After an error there is no connection. */
int client_call(struct client *c, const struct client_request *q,
    struct reply *out, struct tb_error *err);

/* The two halves of client_call, for who waits for several answers at once: the
 * request is sent; when the connection (fd) can be read, the answer is taken.
 * A kept connection that was closed meanwhile is not tried again. */
int client_start(struct client *c, const struct client_request *q,
    struct tb_error *err);
int client_finish(struct client *c, const struct client_request *q,
    struct reply *out, struct tb_error *err);

/* Waits until fd or the connection can be read, a signal comes, or ms have
 * passed (-1: no end). fd may be -1. */
enum client_wake { CLIENT_FD, CLIENT_LOST, CLIENT_SIGNAL, CLIENT_TIMEOUT };
enum client_wake client_wait(struct client *c, int fd, int64_t ms);
