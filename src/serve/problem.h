/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * problem - a refusal in the words of RFC 9457: what happened, whose turn it is
 * and when to try again. The codes are the contract with clients: three
 * families, and what is in a family only refines it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct tb_error;

enum problem_code {
	/* do not retry */
	PROBLEM_BAD_REQUEST,
	PROBLEM_HEADER,
	PROBLEM_BROWSER,
	PROBLEM_TOKEN,
	PROBLEM_ROLE,
	PROBLEM_PEER,
	PROBLEM_ROUTE,
	PROBLEM_UNKNOWN,
	PROBLEM_METHOD,
	PROBLEM_CONFLICT,
	PROBLEM_TOO_LARGE,
	PROBLEM_LENGTH,
	PROBLEM_CONFIGURATION,
	PROBLEM_GENERATION,
	/* retry later */
	PROBLEM_LIMIT,
	PROBLEM_RATE,
	PROBLEM_TIMEOUT,
	PROBLEM_AUDIT,
	PROBLEM_UPSTREAM,
	PROBLEM_DISK,
	PROBLEM_STOPPING,
	/* a human must log in, or decide */
	PROBLEM_LOGIN,
	PROBLEM_ADOPT,
	PROBLEM_N_CODES,
};

struct problem {
	enum problem_code code;
	int status;         /* 0: that of the code */
	const char *detail; /* cleaned when written */
	int64_t retry_after_s; /* 0: that of the code */
	const char *login;  /* NULL: no such member */
	const char *allow;  /* 405: the methods that there are */
	bool closes;        /* the connection is of no use after this */
};

int problem_status(const struct problem *p);

/* What an error of the broker means for whoever asked. detail points into
 * err; login is used for TB_E_LOGIN and may be NULL. */
struct problem problem_from_error(const struct tb_error *err,
    const char *login);

/* The JSON object alone. */
void problem_body(const struct problem *p, const char *request_id,
    struct strbuf *out);
enum problem_form {
	PROBLEM_NATIVE, /* RFC 9457 */
	PROBLEM_VAULT,  /* a list of texts, as Vault's clients expect it */
};

/* The answer behind its status line: fields, empty line, body. */
void problem_render(const struct problem *p, const char *request_id,
    enum problem_form form, struct strbuf *out);
