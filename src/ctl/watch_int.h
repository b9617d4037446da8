/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * watch_int - what the parts of watch share: watch.c turns the loop and judges
 * when something is over, watch_ask.c talks with the daemon, watch_deliver.c
 * writes and tells.
 */
#include <signal.h>

#include "base/backoff.h"
#include "base/secret.h"
#include "ctl/watch.h"

struct watch_token {
	const char *name;
	struct client client;
	char *path;           /* of the request */
	char fields[160];
	struct client_request q;
	bool asking;          /* an answer is awaited, until deadline_ms */
	int64_t asked_ms, deadline_ms;
	int64_t next_ms;      /* when to ask, if not asking */
	struct backoff backoff;
	/* the newest value that we know */
	struct secret value;  /* empty: none */
	int64_t generation, expires_at;
	int64_t ends_ms;      /* on the clock that nobody sets */
	/* since when the daemon says that we may not, 0: it does not */
	int64_t refused_ms;
	char said[32];        /* the problem that was told last, "" none */
};

/* What has to be done with the values. */
enum watch_due {
	WATCH_NOTHING,
	WATCH_TELL,  /* it is written; the commands failed */
	WATCH_WRITE,
};

struct watch {
	struct ctl *ctl;
	struct watch_conf *conf;
	struct watch_token tokens[TMPL_TOKENS_MAX + 1];
	size_t n_tokens;
	enum watch_due due;
	int64_t due_ms;          /* not before */
	struct backoff backoff;  /* of what is due */
	bool delivered;          /* what we wrote is there */
	/* until when that is good; the tokens may be others by now, which a
	 * canary or a full disk keeps from being delivered */
	int64_t delivered_ends_ms;
	int64_t look_ms;         /* when to see whether the file is there */
	bool was_ready;
	/* nothing of ours is to be there: taken away, or, for this reason, not
	 * yet; then tried again at remove_ms */
	bool removed;
	const char *removing;
	bool to_tell;            /* it was delivered, and its end is news */
	int64_t remove_ms;
	struct backoff remove_backoff;
	enum ctl_exit exit;
	bool ends;               /* with that status */
	const sigset_t *mask;    /* while waiting */
	const volatile sig_atomic_t *stop;
};

/* ------------------------------------------------------------- watch_ask.c */

void watch_token_init(struct watch *w, struct watch_token *t,
    const char *name);
void watch_token_clear(struct watch_token *t);
void watch_token_forget(struct watch_token *t); /* its value */
void watch_ask(struct watch *w, struct watch_token *t, int64_t now);
void watch_take_answer(struct watch *w, struct watch_token *t);
void watch_no_answer(struct watch *w, struct watch_token *t);

/* --------------------------------------------------------- watch_deliver.c */

/* All values are there and something is due. */
void watch_deliver(struct watch *w);
/* The file and the key go, as soon as that can be; why is a static word for
 * the log. */
void watch_remove(struct watch *w, const char *why);
void watch_remove_again(struct watch *w);
void watch_status(const struct watch *w);
