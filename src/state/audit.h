/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * audit - the record of every verdict and issuance: JSON Lines, one object a
 * line, appended through the writer. It is not the log: no line is ever made
 * from free text of a peer or a provider, and a secret does not fit into it
 * by type (values appear as keyed fingerprints).
 *
 * In strict mode a release waits for the `done` of its `authorised` record;
 * `sent` or `withheld` follows buffered. Denials are counted per uid, rule,
 * token and minute and written as one line with a count, so that nobody can
 * fill the disk by being refused. The bytes are final here, save the last
 * member `hash` (SHA-256 over the previous hash and the line before that
 * member), which the writer thread adds.
 */
#include <stdbool.h>
#include <stdint.h>

#include "state/writer.h"

struct acl_rule;
struct audit;
struct loop;
struct principal;
struct tb_error;

enum audit_event {
	AUDIT_AUTHORISED, AUDIT_SENT, AUDIT_WITHHELD, AUDIT_DENIED,
	AUDIT_MINT_INTENT, AUDIT_MINTED, AUDIT_MINT_FAILED, AUDIT_SETTLED,
	AUDIT_RENEWED, AUDIT_REVOKED, AUDIT_IMPORTED, AUDIT_REJECTED,
	AUDIT_LOGIN_STARTED, AUDIT_LOGIN_GRANTED, AUDIT_LOGIN_FAILED,
	AUDIT_LOGIN_PINNED, AUDIT_REFRESH_INTENT, AUDIT_REFRESHED,
	AUDIT_REFRESH_FAILED, AUDIT_HUMAN_NEEDED, AUDIT_LOGOUT,
	AUDIT_RELOADED, AUDIT_STARTED, AUDIT_STOPPED, AUDIT_ADMIN,
	AUDIT_ORPHAN,      /* a service lists a value with our mark that we do
	                    * not know */
	AUDIT_MISSING,     /* a service does not list a value of ours */
	AUDIT_UNSETTLED,   /* nobody can say what became of a mint */
	AUDIT_EXPIRING,    /* the end is near and nothing newer is ready */
	AUDIT_UPDATED,     /* a value may do something else now */
	AUDIT_REKEYED,     /* the records are under another master key */
	AUDIT_QUARANTINED, /* a record, or the whole state, is not used */
	AUDIT_ADOPTED,     /* ... is used after all: an operator said so */
	/* made here */
	AUDIT_DISK_FAILED,    /* since `since` */
	AUDIT_DISK_RECOVERED, /* since `until`; `count` lines were lost */
	AUDIT_LOST, /* `count` lines could not be written, for once */
	/* made by the writer thread (state/trail.h) */
	AUDIT_CHECKPOINT,
	AUDIT_KEY,
	AUDIT_FILES_REMOVED,
	AUDIT_EVENTS, /* how many there are */
};

/* Everything borrowed for the call; NULL or 0: the member is left out. */
struct audit_rec {
	enum audit_event event;
	const char *door;
	const struct principal *who;
	const struct acl_rule *rule;
	const char *verdict; /* "allow", "deny" */
	const char *reason;  /* a static text or an error code */
	const char *token;
	uint64_t generation;
	const char *token_id;
	const char *fingerprint;
	const char *backend;
	const char *login;
	const char *human; /* iss + sub of the pinned account */
	const char *request_id;
	const char *nonce;
	const char *record; /* of the store: "KIND/NAME", "all" */
	const char *delivery; /* "static", "env" for audited downgrades */
	int64_t expires_at;
	/* Records with the same number (not 0) are the same but for event,
	 * request_id, nonce and what stands below: their common text is kept
	 * (the hot path's). */
	uint64_t same;
	int64_t since, until; /* of what lasted a while */
	uint64_t count;
};

struct audit *audit_new(struct loop *loop, struct writer *writer, bool strict,
    struct tb_error *err);
/* Writes pending denials. */
void audit_free(struct audit *a);
bool audit_is_strict(const struct audit *a);

/* Strict: done runs when durable (or with an error: release nothing), and the
 * item may be forgotten. Relaxed: the record is queued, NULL is returned and
 * done is NOT called: go on at once. */
struct writer_item *audit_before(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg);
/* The disk has stalled for so long that nobody else should be let in to wait
 * for a record: one who goes away again leaves his in the queue. */
bool audit_is_behind(const struct audit *a);
/* Durable, whatever the mode: for mints, logins, refreshes. done may be NULL,
 * and NULL is returned then. */
struct writer_item *audit_durable(struct audit *a,
    const struct audit_rec *rec, writer_done_fn *done, void *arg);
/* Buffered, ordered behind what was put before. */
void audit_note(struct audit *a, const struct audit_rec *rec);
/* A signed checkpoint behind all of the above; done is told when it is durable,
 * and finds its line, or a newer one, in audit_get_trail. */
struct writer_item *audit_checkpoint(struct audit *a, writer_done_fn *done,
    void *arg);
/* To be cleared with writer_trail_clear. *lost: lines that never got into the
 * log. */
void audit_get_trail(const struct audit *a, struct writer_trail *out,
    uint64_t *lost);
/* Events: see writer_watch_events, writer_events_seq and writer_put_read. */
void audit_watch_events(struct audit *a, writer_events_fn *fn, void *arg);
uint64_t audit_events_seq(const struct audit *a);
struct writer_item *audit_read_events(struct audit *a,
    struct eventlog_slice *slice, writer_done_fn *done, void *arg);
/* The disk refuses, and so nothing that says so can be in the log: since when
 * (0: it does not). *err: the last error. */
int64_t audit_failing_since(const struct audit *a, struct tb_error *err);
/* A denial: aggregated. The first of its kind in a minute is written at once,
 * those like it are counted (state/denials.h). */
void audit_denied(struct audit *a, const struct audit_rec *rec);
