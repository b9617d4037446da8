/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * credname - what systemd's client for LoadCredential= calls itself: it binds
 * an abstract address before it connects, and that is all it ever says.
 *
 *	NUL HEX "/unit/" UNIT "/" CREDID
 *
 * Pure. Anybody can bind such an address: it is a claim, not an identity.
 */
#include <stddef.h>

#define CREDNAME_UNIT_MAX 256
#define CREDNAME_ID_MAX 256

struct credname {
	char unit[CREDNAME_UNIT_MAX]; /* escapes as systemd writes them */
	char id[CREDNAME_ID_MAX];
};

/* addr[0..len) is sun_path as getpeername(2) gives it. NULL: *out is set; else
 * a static text that says why it is no such name, and *out is empty. */
const char *credname_parse(const char *addr, size_t len, struct credname *out);
