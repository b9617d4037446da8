/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tb_error - see the header. Texts are formatted to a buffer of their own
 * first, so that an error's old text may be among the arguments of the new.
 */
#include "base/tb_error.h"

static void
set_text(struct tb_error *err, const char *fmt, va_list ap) _printf_(2, 0);

static void
set_text(struct tb_error *err, const char *fmt, va_list ap)
{
	char text[sizeof(err->msg)];

	vsnprintf(text, sizeof(text), fmt, ap);
	memcpy(err->msg, text, sizeof(text));
}

int
tb_error_set(struct tb_error *err, enum tb_errc code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	err->code = code;
	err->retry_after_ms = 0;
	return -1;
}

/* Puts "text: " in front of what is there. */
int
tb_error_wrap(struct tb_error *err, const char *fmt, ...)
{
	char front[sizeof(err->msg)];
	char old[sizeof(err->msg)];
	size_t n;
	va_list ap;

	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(front, sizeof(front), fmt, ap);
	va_end(ap);
	n = strlen(front);
	memcpy(err->msg, front, n + 1);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
	return -1;
}

int
tb_error_errno(struct tb_error *err, enum tb_errc code, int errnum,
    const char *fmt, ...)
{
	char reason[64];
	size_t n;
	va_list ap;

	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	err->code = code;
	err->retry_after_ms = 0;
	/* The GNU strerror_r, which may or may not use the buffer. */
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s",
	    strerror_r(errnum, reason, sizeof(reason)));
	return -1;
}

bool
tb_error_is_transient(const struct tb_error *err)
{
	switch (err->code) {
	case TB_E_TRANSIENT:
	case TB_E_UNREACHED:
	case TB_E_BUSY:
		return true;
	case TB_OK:
	case TB_E_LOGIN:
	case TB_E_QUARANTINE:
	case TB_E_DENIED:
	case TB_E_BADREQ:
	case TB_E_UPSTREAM:
	case TB_E_PROTO:
	case TB_E_CONFIG:
	case TB_E_IO:
	case TB_E_LIMIT:
	case TB_E_CANCELLED:
		break;
	}
	return false;
}

const char *
tb_error_name(enum tb_errc code)
{
	switch (code) {
	case TB_OK:
		return "ok";
	case TB_E_TRANSIENT:
		return "transient";
	case TB_E_UNREACHED:
		return "unreached";
	case TB_E_BUSY:
		return "busy";
	case TB_E_LOGIN:
		return "login";
	case TB_E_QUARANTINE:
		return "quarantine";
	case TB_E_DENIED:
		return "denied";
	case TB_E_BADREQ:
		return "badreq";
	case TB_E_UPSTREAM:
		return "upstream";
	case TB_E_PROTO:
		return "proto";
	case TB_E_CONFIG:
		return "config";
	case TB_E_IO:
		return "io";
	case TB_E_LIMIT:
		return "limit";
	case TB_E_CANCELLED:
		return "cancelled";
	}
	return "unknown";
}
