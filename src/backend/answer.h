/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * answer - what a management API says, read with tolerance: unknown members
 * are nothing, times come in three shapes, and a member may have two
 * spellings. Where a doubt could hide a living token the answer is refused
 * (list) or the token is taken for alive (revoked or not).
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct backend_run;
struct http_reply;
struct tb_error;

#define ANSWER_SPELLINGS 2

/* Where things are: JSON pointers. Of an array with two the first that names
 * a member counts; NULL is skipped. */
struct answer_spec {
	const char *token;
	const char *id; /* of the reply to a mint */
	const char *expires[ANSWER_SPELLINGS];
	bool id_required, expires_required;
	bool may_lack_descriptions; /* where none has one, ours is not there */

	/* NULL: the list is the whole reply, or the only array in it */
	const char *list;
	const char *list_id, *list_description;
	const char *list_prefix; /* NULL: values are not hinted at */
	const char *list_created[ANSWER_SPELLINGS];
	const char *list_revoked[ANSWER_SPELLINGS];
	const char *list_expires[ANSWER_SPELLINGS];
};


/* Fit for a URL, a log line and a record: 1 to 256 printable ASCII characters
 * without spaces, and no path segment with a meaning ("." and ".."). */
bool answer_is_id(const char *id);

/* Fills token, minted_id and minted_expires_at of run. */
int answer_minted(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err);
/* The same of one token alone, which must be that of run->token_id. */
int answer_one(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err);
/* Adds to listed, since a list may have pages. */
int answer_listed(struct backend_run *run, const struct http_reply *reply,
    const struct answer_spec *spec, struct tb_error *err);
