/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reply - reads one HTTP/1.1 answer of the daemon from bytes, however they are
 * cut. Pure. As strict as the daemon's own reader: what our daemon does not
 * send (chunks, folded lines, bare LF, two lengths, bytes behind the body) is
 * an error and not a guess, since it means that somebody else is talking.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

struct tb_error;

#define REPLY_HEAD_CAP ((size_t)16 << 10)
#define REPLY_BODY_CAP ((size_t)16 << 20) /* status of thousands of tokens */

struct reply {
	int status;
	int64_t retry_after_s; /* -1: not said */
	bool closes;           /* "Connection: close" */
	char type[64];         /* Content-Type, without parameters */
	struct secret body;    /* it may be a token */
	/* private: where the reader is */
	enum { REPLY_HEAD, REPLY_BODY, REPLY_DONE } at;
	int64_t length; /* Content-Length, -1: none seen */
	size_t head_used;
	char *head; /* REPLY_HEAD_CAP bytes, allocated on first use */
};

#define REPLY_INIT { .retry_after_s = -1, .body = SECRET_INIT, .length = -1 }

void reply_clear(struct reply *r);

/* Takes the next n bytes. -1 (TB_E_PROTO, TB_E_LIMIT): no HTTP answer of
 * ours; the connection is of no more use. */
int reply_feed(struct reply *r, const char *bytes, size_t n,
    struct tb_error *err);
bool reply_is_complete(const struct reply *r);
/* Nothing has arrived yet. */
bool reply_is_untouched(const struct reply *r);
