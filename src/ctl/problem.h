/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * problem - what a refusal of the daemon means for the person or script that
 * asked: an exit status and one line with the next step. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "ctl/jval.h"

struct reply;

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_HUMAN_NEEDED = 3,
	CTL_DENIED = 4, /* or unknown: the daemon does not tell which */
	CTL_NOT_READY = 5,
	CTL_NO_DAEMON = 6,
};

struct problem {
	int status;   /* of HTTP, 0: the problem came inside an answer */
	char *code;   /* "denied.no_rule", "" when the daemon gave none */
	char *detail; /* never empty */
	char *login;  /* or NULL */
	char *request_id; /* or NULL */
	int64_t retry_after_s; /* -1: not said */
};

#define PROBLEM_INIT { .retry_after_s = -1 }

void problem_clear(struct problem *p);
/* Of an answer that is not 2xx; any body will do. */
void problem_from_reply(struct problem *p, const struct reply *r);
/* Of a problem object, or a mere {"detail"}, or a string, in an answer. */
void problem_from_json(struct problem *p, const struct json_t *o);

enum ctl_exit problem_exit(const struct problem *p);
/* The daemon is on its way out or in: asking again soon will do. */
bool problem_is_restart(const struct problem *p);
/* It may become better without anybody doing something. */
bool problem_is_passing(const struct problem *p);

/* "denied: ...; what to do" on one line, cleaned for a terminal. */
void problem_add_text(struct strbuf *b, const struct problem *p, bool admin,
    bool utf8);
