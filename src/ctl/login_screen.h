/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * login_screen - what the operator sees while a human approves a login. Pure:
 * text for a given terminal. It is also the defence against somebody who talks
 * a human into approving a foreign code (RFC 10027): it says which host asks,
 * for what, and that the code must be compared.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "ctl/jval.h"
#include "ctl/term.h"

struct qr;

struct login_prompt {
	const char *login, *host;
	const char *user_code, *uri, *uri_complete; /* the last may be NULL */
};

/* qr is of uri_complete, or NULL for none. big: also where it is taller than
 * the screen. */
void login_screen_prompt(struct strbuf *b, const struct login_prompt *p,
    const struct qr *qr, bool big, const struct term *t);


/* The verified claims, one per line. */
void login_screen_claims(struct strbuf *b, const struct json_t *claims,
    const struct term *t);
/* What a person calls the account: email, else another name, else sub. NULL:
 * the provider told nothing. */
const char *login_screen_human(const struct json_t *claims);
