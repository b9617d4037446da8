/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * b64 - base64url without padding (RFC 4648 section 5, as JOSE uses it) and
 * standard base64, and lower-case hex. Decoding is strict: no white space, no
 * padding (url), no stray trailing bits, so that a value has one spelling.
 */
#include <stdbool.h>
#include <stddef.h>

struct secret;

/* NUL-terminated, owned by the caller. */
char *b64url_encode(const void *bytes, size_t len);
/* Fails (false) on anything not canonical. *out is owned, NUL-terminated. */
bool b64url_decode(const char *s, size_t len, unsigned char **out,
    size_t *out_len);
/* Standard alphabet with padding, for HTTP Basic: input and output secret. */
void b64_encode_secret(const struct secret *in, struct secret *out);

/* buf needs 2 * len + 1 bytes. Returns buf. */
char *hex_encode(const void *bytes, size_t len, char *buf);
/* Exactly 2 * n digits, either case. */
bool hex_decode(const char *s, void *out, size_t n);
