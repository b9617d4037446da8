/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influxctl_int - what the files of the driver share: influxctl.c decides what
 * to run, influxctl_say.c words the question, influxctl_hear.c understands the
 * answer.
 */
#include <stdbool.h>

#include "backend/backend.h"
#include "base/strbuf.h"


/* ------------------------------------------------------------- say */

enum influxctl_login {
	INFLUXCTL_TOKEN_FILE, INFLUXCTL_MGMT_TOKEN, INFLUXCTL_CACHE,
	INFLUXCTL_OWN,
};
enum influxctl_login influxctl_login(const struct backend_conf *c);
const char *influxctl_token_prefix(const struct backend_conf *c);

/* Fills request for BACKEND_ASK. verb: what influxctl is to do, which need not
 * be run->verb. -1: a value cannot be said safely (TB_E_BADREQ). */
int influxctl_say(const struct backend_run *run, enum backend_verb verb,
    struct http_request *request, struct tb_error *err);

/* At load. */
int influxctl_say_check(const struct backend_conf *c, bool dedicated,
    struct tb_error *err);

/* ------------------------------------------------------------- hear */

/* What became of one run of influxctl. */
struct influxctl_heard {
	bool ran;  /* false: it was not even started; why says why not */
	bool busy; /* for now: others wait */
	bool good; /* it ended by itself, with status 0 */
	bool unauthorized; /* by its words: the login was refused */
	struct secret out; /* its standard output */
	struct strbuf why; /* cleaned */
};
void influxctl_heard_clear(struct influxctl_heard *h);

/* -1: the helper's answer makes no sense, which means that it may have run. */
int influxctl_hear(const struct backend_run *run,
    const struct http_reply *reply, struct influxctl_heard *out,
    struct tb_error *err);

/* The value, and the id and the end where they are said. */
int influxctl_hear_minted(struct backend_run *run,
    const struct influxctl_heard *h, struct tb_error *err);
int influxctl_hear_listed(struct backend_run *run,
    const struct influxctl_heard *h, struct tb_error *err);
