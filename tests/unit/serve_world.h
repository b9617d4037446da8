/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * serve_world - all of serve/ with real sockets in a directory of its own, over
 * fake_broker, fake_audit and fake_evloop. The tokens t1 and t2 are
 * configured; rules are added by the test. The client is this very process.
 */
#include <stdbool.h>
#include <stddef.h>

#include "broker/broker.h"
#include "conf.h"
#include "serve/serve.h"

#define WORLD_RULES_MAX 8

struct world {
	char dir[64];
	struct loop *loop;
	struct broker *broker;
	struct audit *audit;
	struct serve *serve;
	struct conf conf;
	struct acl_rule rules[WORLD_RULES_MAX], *rule_list[WORLD_RULES_MAX];
	struct token_conf *tokens[2];
	struct idp_conf *logins[1];
	struct backend_conf *backends[1];
	const char *reload_error; /* what the next reload says, or NULL */
	unsigned reloads;
};

/* cmocka setup and teardown: *state is the world. */
int world_setup(void **state);
int world_teardown(void **state);
/* Ends one serve and begins another (which reads conf). */
void world_restart(struct world *w);

/* Everybody with this uid may (or may not) have tokens that match glob. */
struct acl_rule *world_rule(struct world *w, uid_t uid, const char *glob,
    bool deny);
/* No rules; they count from now on. */
void world_no_rules(struct world *w);
/* t1 has a value, generation 1 (or that one), and this process may have it. */
void world_ready(struct world *w);

/* A connected socket at "api" or "admin", non-blocking. */
int world_connect(struct world *w, const char *door);
void world_write(int fd, const char *text);

struct answer {
	int status;      /* 0: none came; -1: the connection is closed */
	char text[32768]; /* all of it */
	size_t len;
};
/* Behind the head; "" when there is none. */
const char *answer_body(const struct answer *a);
/* Lets everything happen, then reads what is there. */
struct answer world_read(struct world *w, int fd);
/* "GET tokens/t1" with the usual fields and these ("A: b\r\n"), on a
 * connection that is open. body NULL: none. */
void world_send(int fd, const char *request, const char *fields,
    const char *body);
struct answer world_ask(struct world *w, int fd, const char *request,
    const char *fields, const char *body);
/* On a connection of its own. */
struct answer world_once(struct world *w, const char *door,
    const char *request, const char *fields, const char *body);
/* Is the connection closed by the daemon (and nothing left to read)? */
bool world_is_closed(struct world *w, int fd);
/* Fails the test unless it is this status with a problem of this code. */
void answer_must_be(const struct answer *a, int status, const char *code);
/* The value of a field, "" when there is none; until the next call. */
const char *answer_field(const struct answer *a, const char *name);
