/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * format - a token's value in the words of those who ask a command for it.
 * Pure; what is secret goes in and comes out as a secret.
 */
#include <stdbool.h>
#include <stdint.h>

struct secret;
struct tb_error;

enum format {
	FORMAT_RAW,
	FORMAT_JSON,               /* the daemon's answer as it is */
	FORMAT_ENV,                /* NAME=value */
	FORMAT_HEADER,             /* Authorization: Bearer value */
	FORMAT_CREDENTIAL_PROCESS, /* AWS: ~/.aws/config */
	FORMAT_EXEC_CREDENTIAL,    /* Kubernetes: users[].user.exec */
};

/* TB_E_BADREQ names those there are. */
int format_find(const char *word, enum format *out, struct tb_error *err);
/* Whether the daemon is asked for the bare value. */
bool format_is_bare(enum format f);

struct format_ask {
	enum format format;
	const char *token;     /* its name */
	const char *name;      /* --name, or NULL */
	const char *scheme;    /* --scheme, or NULL */
	const char *exec_info; /* $KUBERNETES_EXEC_INFO, or NULL */
};

/* What can be told before the daemon is asked. */
int format_check(const struct format_ask *a, struct tb_error *err);
/* *out without a line end; expires_at 0: it is not known. For all but RAW and
 * JSON. */
int format_value(const struct format_ask *a, const struct secret *value,
    int64_t expires_at, struct secret *out, struct tb_error *err);
