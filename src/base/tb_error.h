/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tb_error - why something failed, on the caller's stack: nothing to free,
 * nothing to leak. A function that can fail returns 0 or -1 and takes `err`
 * last, never NULL; -1 if and only if err is set. An error is logged once,
 * where it is handled. The text never holds a token, a code or a body.
 */
#include <stdbool.h>

#include "base/util.h"

enum tb_errc {
	TB_OK = 0,
	TB_E_TRANSIENT, /* ours: try again (timeout, 5xx, 429, lost link) */
	TB_E_UNREACHED, /* as above, and certainly nothing reached the peer */
	TB_E_BUSY,      /* as above, and the peer said so: it did nothing (429,
	                 * 500, 503) */
	TB_E_LOGIN,     /* a human's: the grant is gone, log in again */
	TB_E_QUARANTINE, /* an operator's: is this state ours to use? */
	TB_E_DENIED,    /* the administrator's: a rule says no */
	TB_E_BADREQ,    /* the asker's: malformed or unknown */
	TB_E_UPSTREAM,  /* the service refused, for good */
	TB_E_PROTO,     /* the service's answer makes no sense */
	TB_E_CONFIG,    /* ours at start or reload: file:line is in the text */
	TB_E_IO,        /* the machine: disk, permissions */
	TB_E_LIMIT,     /* too many of something */
	TB_E_CANCELLED, /* the broker stops or the object went away */
};

struct tb_error {
	enum tb_errc code;
	int64_t retry_after_ms; /* what the service asked for; 0 = nothing */
	char msg[320];
};

#define TB_ERROR_INIT { .code = TB_OK }

/* Sets err (what it held is replaced). Always returns -1. */
int tb_error_set(struct tb_error *err, enum tb_errc code, const char *fmt, ...)
    _printf_(3, 4);

/* "fmt: what err said"; keeps the code. Always returns -1. */
int tb_error_wrap(struct tb_error *err, const char *fmt, ...) _printf_(2, 3);

/* As tb_error_set, with strerror(errnum) behind the text. */
int tb_error_errno(struct tb_error *err, enum tb_errc code, int errnum,
    const char *fmt, ...) _printf_(4, 5);

/* TRANSIENT, UNREACHED or BUSY: waiting and trying again may help. */
bool tb_error_is_transient(const struct tb_error *err);

/* "transient", "login", ...: for logs. Never NULL. */
const char *tb_error_name(enum tb_errc code);
