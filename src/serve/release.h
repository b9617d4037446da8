/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * release - one value of one token to one client: verdict, record, send, record
 * (promise P1). With bundle, which does the same for several at once, the only
 * way on which a value leaves the daemon.
 */
#include <stdbool.h>
#include <stdint.h>

#include "serve/render.h"

struct session;

struct release_ask {
	const char *token;   /* as the client wrote it */
	const char *lease;   /* the name of its lease of that, NULL: none */
	int64_t min_valid_s;
	int64_t wait_s;      /* how long it would wait; -1: not said */
	/* how long it has to wait for a first value, whatever goes wrong on
	 * the way, since it cannot ask again; 0: cold_wait, and an error is an
	 * answer */
	int64_t patience_ms;
	uint64_t known;      /* generation that it has, 0: none */
	const char *delivery; /* for the record: a static word or NULL */
	enum render_form form;
};

/* Answers, now or later. */
void release_start(struct session *s, const struct release_ask *ask);
/* The answer to whoever may not have a token, or asks for one that does not
 * exist: the same. reason and where go to the audit log and to the log. */
struct acl_verdict;
void release_deny(struct session *s, const char *token,
    const struct acl_verdict *v);
