/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * scan - one line of the audit log, read strictly and without a JSON library,
 * which would cost more than the hash. Pure: nothing is copied, all pointers
 * go into the line.
 *
 * A line is one flat JSON object without white space: `"seq":N` first,
 * `"hash":"64 hex digits"` last, no name twice; values are strings (UTF-8),
 * whole numbers from 0, true and false. Whatever this takes, a strict JSON
 * parser takes, too, and reads the same. The writer is another program
 * (src/state), on purpose: they share a format and no code.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;

/* The names that somebody here asks for. Others are read and kept. */
enum scan_name {
	SCAN_SEQ, SCAN_TIME, SCAN_BOOT, SCAN_EVENT, SCAN_DOOR, SCAN_UID,
	SCAN_GID, SCAN_UNIT, SCAN_INVOCATION, SCAN_STRENGTH, SCAN_CONTAINER,
	SCAN_PID, SCAN_RULE, SCAN_VERDICT, SCAN_TOKEN, SCAN_GENERATION,
	SCAN_TOKEN_ID, SCAN_FINGERPRINT, SCAN_BACKEND, SCAN_LOGIN, SCAN_HUMAN,
	SCAN_EXPIRES_AT, SCAN_REQUEST_ID, SCAN_NONCE, SCAN_COUNT, SCAN_SINCE,
	SCAN_UNTIL, SCAN_DELIVERY, SCAN_REASON, SCAN_FILE, SCAN_LAST_HASH,
	SCAN_RECORDS, SCAN_KEY, SCAN_SIGNATURE, SCAN_PUBLIC_KEY, SCAN_HASH,
	SCAN_NAMES
};

enum scan_kind { SCAN_NONE, SCAN_STRING, SCAN_NUMBER, SCAN_TRUE, SCAN_FALSE };

struct scan_member {
	const char *name; /* without quotes, as written */
	const char *value; /* of a string: without quotes, still escaped */
	size_t value_len;
	uint16_t name_len;
	uint8_t kind;
	bool escaped; /* the string holds a backslash */
};

#define SCAN_MEMBERS_MAX 48
#define SCAN_HEX 64
/* Of one line. Ours are below 2 kB. */
#define SCAN_LINE_MAX ((size_t)64 << 10)

struct scan {
	uint64_t seq;
	const char *hash; /* SCAN_HEX digits */
	size_t body_len;  /* up to `,"hash"`: what is hashed */
	size_t n;
	int8_t at[SCAN_NAMES]; /* index into member; -1: is not there */
	struct scan_member member[SCAN_MEMBERS_MAX];
};

/* line: without its newline. NULL, or what is wrong with it. */
const char *scan_line(const char *line, size_t len, struct scan *out);

/* "unit" */
const char *scan_name_text(enum scan_name name);

/* NULL when it is not there or no string. */
const struct scan_member *scan_string(const struct scan *s,
    enum scan_name name);
/* 0 when it is not there or no number. */
uint64_t scan_number(const struct scan *s, enum scan_name name);
bool scan_has(const struct scan *s, enum scan_name name);
/* Is there, and is this plain text. */
bool scan_is(const struct scan *s, enum scan_name name, const char *text);
/* The text of a string, unescaped, appended. */
void scan_add_text(const struct scan_member *m, struct strbuf *out);
/* The same, owned; NULL when it is not there. */
char *scan_dup(const struct scan *s, enum scan_name name);
