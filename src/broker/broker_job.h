/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * broker_job - one wish of an operator. Its asker may go away (forget), the work
 * goes on. For the files of broker/ that carry one out.
 */
#include "broker/broker_int.h"
#include "lib/loop.h"

struct reconcile_ask;

struct broker_job {
	TAILQ_ENTRY(broker_job) link;
	struct broker *broker;
	const char *what; /* for the status; static */
	char *name;       /* ... of what; NULL: all */
	int64_t since;
	broker_done_fn *done; /* NULL: nobody waits any more */
	void *arg;
	struct loop_task failing; /* delivers an early error from the top */
	struct tb_error error;
	struct broker_waiter *waiter;
	/* logout */
	char *login;
	int pass;      /* 0: tokens paid by tokens, 1: the others, 2: grant */
	unsigned open; /* token_revoke calls not yet answered */
	unsigned revoked, local_only, failed;
	struct tb_error last;
	bool held_back; /* adopt: the state was quarantined */
	/* reconcile */
	struct job_look {
		struct broker_job *job;
		struct reconcile_ask *ask;
	} *asked;
	size_t n_asked;
	json_t *looks; /* what each came to */
	/* rotate, of all holders */
	struct job_turn {
		struct broker_job *job;
		struct broker_waiter *waiter;
	} *turns;
	size_t n_turns;
};

/* name: of what; NULL: all. It is in the list of the broker. */
struct broker_job *broker_job_new(struct broker *b, const char *what,
    const char *name, broker_done_fn *done, void *arg);
/* Tells its asker, if there is one, and frees it. detail is taken. */
void broker_job_end(struct broker_job *j, json_t *detail,
    const struct tb_error *err);
/* A job that cannot begin: the error comes from the top of the loop. */
struct broker_job *broker_job_refuse(struct broker_job *j, const char *why,
    const char *name);
/* Would use up or take away what may be another's. True: the job is over. */
bool broker_job_is_held(struct broker_job *j);
/* What revocations came to, and that as the answer. */
void broker_job_add_counts(struct broker_job *j, unsigned revoked,
    unsigned local_only, unsigned failed, const struct tb_error *last);
/* token_revoked_fn, one of j->open; the last ends the job. */
void broker_job_on_revoked(void *arg, unsigned revoked, unsigned local_only,
    unsigned failed, const struct tb_error *last);
json_t *broker_job_counts(const struct broker_job *j);
