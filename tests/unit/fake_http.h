/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_http - lib/http.h without a network: a script of replies, and a record
 * of what was asked. Link it instead of src/lib/http.c, with fake_loop.c,
 * fake_now.c, and the real src/lib/http_request.c.
 *
 *	fake_http_push_json(400, "{\"error\":\"authorization_pending\"}");
 *	fake_http_push_error(TB_E_TRANSIENT, "connection lost");
 *	... start the thing ...
 *	fake_loop_run_pending();
 *	assert_int_equal(fake_http_requests(), 1);
 *	assert_string_equal(fake_http_request(0)->body, "grant_type=...");
 *
 * A call takes the oldest scripted answer whose url_part is in its URL (NULL
 * fits all) when it starts, or later as soon as one is pushed. It is delivered
 * on the loop, as the real one does. A call without an answer waits, and times
 * out on the fake clock (TB_E_TRANSIENT). URLs and body caps are enforced.
 *
 * Breaking the contract of lib/http.h aborts with a message: cancelling a
 * call from its own done (its handle was not forgotten) or after it, freeing
 * the http with calls alive.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/http.h"

struct fake_http_reply {
	int status;               /* 0: 200 */
	const char *content_type; /* NULL: "application/json" */
	const char *body;         /* copied; NULL: none */
	size_t body_len;          /* 0: strlen(body) */
	int64_t retry_after_ms;
	int64_t date_s;
	int64_t delay_ms;         /* on the fake clock */
};

void fake_http_push(const struct fake_http_reply *reply);
void fake_http_push_for(const char *url_part,
    const struct fake_http_reply *reply);
void fake_http_push_json(int status, const char *body);
void fake_http_push_json_for(const char *url_part, int status,
    const char *body);
void fake_http_push_error(enum tb_errc code, const char *msg);
void fake_http_push_error_for(const char *url_part, enum tb_errc code,
    const char *msg);
/* The next call is never answered (it can time out, or be cancelled). */
void fake_http_push_silence(const char *url_part);
/* Scripted and not taken yet. */
size_t fake_http_scripted(void);
/* Forgets what is scripted and not taken. */
void fake_http_drop_scripted(void);

/* What was asked, in order, kept until fake_http_reset. */
struct fake_http_request {
	char *method, *url;
	char *headers; /* "Name: value\n" each, secrets revealed */
	char *content_type; /* NULL: none */
	char *body;    /* NUL-terminated */
	size_t body_len;
	int64_t at_ms; /* now_boot_ms() */
	bool done, cancelled;
	char *tls_ca_file, *tls_cert_file, *tls_key_file;
	bool tls_insecure, allow_loopback_http;
	int64_t timeout_ms;
};
size_t fake_http_requests(void);
/* The i-th, borrowed; the last one. NULL when there is none. */
const struct fake_http_request *fake_http_request(size_t i);
const struct fake_http_request *fake_http_last(void);
/* A header's value; valid until the next call of this. NULL: not sent. */
const char *fake_http_header(const struct fake_http_request *r,
    const char *name);

size_t fake_http_pending(void);   /* started, not done, not cancelled */
size_t fake_http_cancelled(void);

/* While held, answers are not delivered by the loop but one by one by
 * fake_http_deliver (the oldest answered call; runs what is pending then).
 * False: none is ready. */
void fake_http_hold(bool hold);
bool fake_http_deliver(void);

/* Forgets script, record and living calls (a test that failed leaves some; one
 * that should not leave any asserts fake_http_pending() == 0): for setup and
 * teardown, before http_free. */
void fake_http_reset(void);
