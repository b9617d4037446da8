/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * http - libcurl's multi interface on the loop. One call is one object.
 *
 * The contract of every asynchronous operation here (CONTRIBUTING.md):
 *  1. _start cannot fail and never calls back before it returns; even a bad
 *     URL arrives as done(err) on a later turn.
 *  2. done is called exactly once, from the top of the loop, never inside
 *     libcurl or another operation's frame.
 *  3. When done runs the call is over: its first line forgets the handle. The
 *     call frees itself after done returned.
 *  4. _cancel at any time before: no callback afterwards, pointer cleared;
 *     legal from inside any other callback.
 *  5. What done gets is borrowed, save what may be moved (secret_move).
 *
 * Policy, the same for all: https only (http to loopback when the request
 * says so), TLS 1.2 or later, no redirects, never sent twice (anything but a
 * GET goes over a fresh connection: libcurl repeats a POST by itself when a
 * reused one closes before the first byte of a reply, measured), no proxy from the environment,
 * connect and total time-outs, a cap on the body. A reply with any HTTP
 * status is a reply; err means there is none. A body is a struct secret.
 * What is not a GET gets a connection of its own and is sent at most once.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "base/tb_error.h"

struct http;
struct http_call;
struct loop;

struct http_env {
	const char *ca_file;    /* NULL: the system's */
	const char *proxy;      /* NULL: none (the environment is ignored) */
	const char *user_agent; /* "tokenbrokerd/0.1.0" */
};

/* TLS of one service; strings are copied. */
struct http_tls {
	const char *ca_file;   /* NULL: that of http_env */
	const char *cert_file; /* client certificate (mTLS), PEM */
	const char *key_file;
	bool insecure; /* no verification: a warning at every start */
};

#define HTTP_MAX_HEADERS 12

struct http_request {
	const char *method; /* literal: "GET", "POST", "PATCH", "DELETE", "PUT" */
	char *url;          /* owned */
	struct {
		const char *name; /* literal */
		struct secret value;
	} headers[HTTP_MAX_HEADERS];
	size_t n_headers;
	const char *content_type; /* literal; NULL: no body */
	struct secret body;
	struct http_tls tls;      /* borrowed until the call's _start returns */
	int64_t timeout_ms;       /* total; 0 = 30 s */
	size_t body_cap;          /* 0 = 1 MiB */
	bool allow_loopback_http; /* http://127.0.0.0/8, [::1], localhost only */
};

#define HTTP_REQUEST_INIT { .method = "GET" }

struct http_reply {
	int status;
	struct secret body;
	char content_type[64]; /* lower case, without parameters */
	int64_t retry_after_ms; /* both forms of Retry-After; 0 = none */
	int64_t date_s;         /* Date header, epoch seconds; 0 = none */
};

/* reply or err, never both. err is TB_E_UNREACHED when certainly nothing was
 * sent (resolve, connect, a certificate that does not verify), TB_E_TRANSIENT
 * when the request may have been processed (lost reply, time-out), TB_E_PROTO
 * for a bad URL or a body over its cap. */
typedef void http_done_fn(void *arg, struct http_reply *reply,
    const struct tb_error *err);

/* How calls ended: by the status of the reply, or without one. */
enum http_result {
	HTTP_RESULT_2XX, HTTP_RESULT_3XX, HTTP_RESULT_4XX, HTTP_RESULT_5XX,
	HTTP_RESULT_LOST, HTTP_N_RESULTS,
};
struct http_stats {
	uint64_t results[HTTP_N_RESULTS];
};

struct http *http_new(struct loop *loop, const struct http_env *env,
    struct tb_error *err);
void http_free(struct http *http); /* no call may live; NULL is fine */

void http_get_stats(const struct http *http, struct http_stats *out);

void http_request_header(struct http_request *req, const char *name,
    const char *value);
void http_request_header_secret(struct http_request *req, const char *name,
    struct secret *value /* taken */);
/* "Authorization: SCHEME token" */
void http_request_bearer(struct http_request *req, const char *scheme,
    const struct secret *token);
void http_request_clear(struct http_request *req);

/* req is taken: empty afterwards. */
struct http_call *http_call_start(struct http *http, struct http_request *req,
    http_done_fn *done, void *arg);
void http_call_cancel(struct http_call **call); /* *call may be NULL */

/* scheme://host:port in canonical form ("https://a.example:443" without the
 * default port), owned by the caller; NULL if the URL has no such thing. */
char *http_url_origin(const char *url);
/* https, or http to loopback when allowed. The text says what is wrong. */
int http_url_check(const char *url, bool allow_loopback_http,
    struct tb_error *err);
