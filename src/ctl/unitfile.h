/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * unitfile - what a unit's files say, from the text of `systemctl cat`, and
 * what that means for a consumer of tokens. Pure: it reads text and judges it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One assignment; an empty one has taken away those before it. */
struct unitfile_line {
	char *section, *key, *value; /* continued lines are joined */
	const char *file; /* borrowed from the unitfile */
	unsigned line;
};

struct unitfile {
	struct unitfile_line *lines;
	size_t n;
	char **files;
	size_t n_files;
};

#define UNITFILE_INIT { NULL, 0, NULL, 0 }

void unitfile_parse(struct unitfile *u, const char *text);
void unitfile_clear(struct unitfile *u);
/* The last one in effect, or NULL. */
const struct unitfile_line *unitfile_get(const struct unitfile *u,
    const char *section, const char *key);
/* The next one after `after` (NULL: the first), or NULL. */
const struct unitfile_line *unitfile_next(const struct unitfile *u,
    const char *section, const char *key, const struct unitfile_line *after);
/* Is `word` among the words of any such assignment? */
bool unitfile_has_word(const struct unitfile *u, const char *section,
    const char *key, const char *word);

/* ------------------------------------------------------------- consumers */

/* LoadCredential=ID:SOCKET. False: another source. id is cut to fit. */
#define UNITFILE_ID_MAX 256
bool unitfile_credential(const char *value, const char *socket,
    char id[UNITFILE_ID_MAX]);

/* systemd's connection names unit and credential in an address of at most 107
 * bytes, 24 of which are its own. How many characters are left; negative:
 * that many too many, and the start fails before the broker hears of it. */
int unitfile_room(const char *unit, const char *id);

/* What the unit does when the credential is empty, which it is when the daemon
 * is killed in the moment between accept and answer. */
enum unitfile_empty {
	UNITFILE_EMPTY_UNNOTICED,
	UNITFILE_EMPTY_CHECKED_BEFORE, /* only in a process of its own, which
	                                * got a copy of its own (systemd 252) */
	UNITFILE_EMPTY_FAILS,
};
enum unitfile_empty unitfile_on_empty(const struct unitfile *u,
    const char *id);

/* A time as in systemd.time(7), milliseconds; -1: infinity, or not read. */
int64_t unitfile_time_ms(const char *value);

/* A wrapper around the unit's command that fails on an empty credential:
 * the value for ExecStart=, owned by the caller. command may be NULL: a place
 * is left for it. NULL: one of its prefixes does not go together with that. */
char *unitfile_wrap(const char *id, const char *command);

/* "telegraf" -> "telegraf.service"; NULL when that is no name of a service.
 * Owned by the caller. */
char *unitfile_service_name(const char *name);
