/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * run_lease - stands in front of a command that has values of its own: holds
 * the connections that these hang on (serve/lease.h), passes signals on and the
 * exit status back, and has the values revoked when the command is over.
 */
#include <sys/types.h>

#include "ctl/ask.h"

/* As env(1) and timeout(1) have them. */
#define RUN_FAILED 125
#define RUN_NOT_EXECUTABLE 126
#define RUN_NOT_FOUND 127

enum run_lease_state {
	RUN_LEASE_NONE,
	RUN_LEASE_HELD,
	RUN_LEASE_LOST,  /* its connection is; to be tried again at retry_ms */
	RUN_LEASE_ASKED, /* to have it back; the answer is awaited */
	RUN_LEASE_OVER,  /* it cannot be had back */
};

struct run_lease {
	struct ctl ctl; /* with a connection of its own; command: VAR=TOKEN */
	const char *token; /* borrowed */
	unsigned number;
	enum run_lease_state state;
	int64_t retry_ms, pause_ms;
	int value_fd; /* the caller's; -1: none */
};

struct run_lease_how {
	const char *fields; /* of the request for the value */
	int64_t min_valid_ms;
	bool waits; /* also while the value is not ready */
	int64_t patience_ms;
};

/* run_dir, pair and token are borrowed. */
void run_lease_init(struct run_lease *l, const char *run_dir,
    const char *pair, const char *token);
/* Ends the connection, and with it what is leased. One of all zeros is fine. */
void run_lease_clear(struct run_lease *l);
/* *value is set. False: complained. */
bool run_lease_take(struct run_lease *l, const struct run_lease_how *how,
    struct secret *value);

/* fork(2); on our side signals come by that descriptor from now on. -1:
 * complained. */
pid_t run_fork(struct ctl *ctl, int *signals);
/* Until the child is over. Returns its exit status, or dies of the signal that
 * it died of. signals is taken. */
enum ctl_exit run_stand_by(pid_t child, int signals, struct run_lease *leases,
    size_t n);
