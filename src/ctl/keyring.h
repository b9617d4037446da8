/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * keyring - a value as a key of type "user" in a keyring of the kernel, which
 * forgets it by itself when its time is over, whether we live or not.
 */
#include <stdint.h>

struct secret;
struct tb_error;

struct keyring {
	int32_t ring;      /* KEY_SPEC_USER_KEYRING and the like */
	const char *named; /* a keyring in it, made when missing; or NULL */
	const char *key;   /* the key's description; borrowed */
};

/* "user", "session", "user-session", each with ":NAME" for a keyring of that
 * name in it. named points into text. */
int keyring_parse(const char *text, struct keyring *out,
    struct tb_error *err);

/* Makes the key or replaces its content. ttl_s: seconds that it lives. */
int keyring_put(const struct keyring *k, const struct secret *value,
    int64_t ttl_s, struct tb_error *err);
/* A missing key is fine. */
int keyring_remove(const struct keyring *k, struct tb_error *err);
