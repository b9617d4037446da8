/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * util - what every file of the sandbox needs and libc does not have.
 *
 * Everything that returns a pointer returns something the caller frees. Out
 * of memory aborts: this is a tool for the loopback, with capped requests.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define UTIL_DIGEST 32 /* bytes of a SHA-256 */
#define UTIL_UUID 37 /* bytes of a UUID as text, with its NUL */

/* For _cleanup_: free what the variable points at. */
void util_free_text(char **text);
void util_free_json(json_t **json);

/* Zeroed memory, a copy of text (NULL stays NULL), formatted text. */
void *util_alloc(size_t size);
char *util_copy(const char *text);
char *util_format(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Free *slot, if any, and put value (taken) there. */
void util_replace(char **slot, char *value);

/* Milliseconds since 1970. */
int64_t util_now_ms(void);

/* Fill with random bytes; random bytes as base64url; a random UUID v4. */
void util_random(void *bytes, size_t len);
char *util_random_text(size_t bytes);
void util_uuid(char uuid[UTIL_UUID]);

/* base64url without padding; lower-case hex; SHA-256 of a text. */
char *util_base64url(const void *bytes, size_t len);
char *util_hex(const void *bytes, size_t len);
void util_digest(const char *text, unsigned char digest[UTIL_DIGEST]);

json_t *util_json_time(int64_t ms);

/* Parse RFC 3339. Returns 0, or -1 when text is nothing of the kind. */
int util_parse_time(const char *text, int64_t *ms_out);

/* Parse a whole non-negative decimal number, or return -1. */
int util_parse_number(const char *text, int64_t max, int64_t *out);
