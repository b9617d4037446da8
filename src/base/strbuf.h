/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * strbuf - text that grows. Not for secrets (see secret_append). The text is
 * always NUL-terminated; STRBUF_INIT needs no allocation.
 */
#include <stdint.h>

#include "base/util.h"

struct strbuf {
	char *s; /* NULL while empty: read through strbuf_str() */
	size_t len, cap;
};

#define STRBUF_INIT { NULL, 0, 0 }

void strbuf_add(struct strbuf *b, const char *bytes, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) _printf_(2, 3);

/* "s" as a JSON string with its quotes; NULL gives null. Bytes that are not
 * UTF-8 become U+FFFD. No JSON library: this is on the hot path. */
void strbuf_add_json(struct strbuf *b, const char *s);

/* RFC 3986 unreserved characters stay, all others become %XX. */
void strbuf_add_percent(struct strbuf *b, const char *s);

void strbuf_reset(struct strbuf *b); /* empty, keeps the memory */
void strbuf_clear(struct strbuf *b); /* frees */
const char *strbuf_str(const struct strbuf *b);
char *strbuf_steal(struct strbuf *b); /* the text, never NULL; b is empty */
