/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * quote - a value as another format wants it written, such that it cannot
 * break out of its place: what a format cannot hold safely is an error, never
 * a guess. Pure; secret in, secret out.
 */
#include <stdbool.h>
#include <stddef.h>

struct secret;
struct tb_error;

enum quote {
	QUOTE_PLAIN,   /* as it is: letters, digits and -._~+/= only */
	QUOTE_RAW,     /* as it is: no control characters */
	QUOTE_BASE64,
	QUOTE_CURL,    /* "..." of a curl configuration file */
	QUOTE_ENV,     /* "..." for shells, systemd and dotenv readers */
	QUOTE_GRAFANA, /* YAML "...", with $ doubled */
	QUOTE_HEADER,  /* the value of an HTTP field */
	QUOTE_INI,     /* as it is: nothing that any dialect takes as special */
	QUOTE_JSON,    /* "..." */
	QUOTE_NETRC,   /* one word */
	QUOTE_SH,      /* '...' */
	QUOTE_TOML,    /* "..." */
	QUOTE_URL,     /* %XX */
	QUOTE_YAML,    /* "..." */
};

/* By the name that a template uses; false: there is none. */
bool quote_find(const char *name, enum quote *out);
/* All names, for an error: "base64, curl, ..." */
const char *quote_names(void);

/* Appends. TB_E_BADREQ says what cannot be written that way; the text does not
 * hold the value, and *out then has no part of it. */
int quote_add(enum quote q, const struct secret *value, struct secret *out,
    struct tb_error *err);
