/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * http_call - one call between its start and its end. Private to http.c, which
 * knows libcurl's multi interface and the loop, and to http_call.c, which
 * knows a single transfer: its options, its reply, its errors.
 */
#include <curl/curl.h>

#include "lib/http.h"
#include "lib/loop.h"

struct http_socket;

struct http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer; /* libcurl's one timer */
	struct loop_task deliver;
	struct http_socket *sockets;
	/* Ended and not yet told; those of the turn that tells. */
	struct http_call *finished, *delivering;
	size_t n_calls;
	struct http_stats stats;
	char *ca_file, *proxy, *user_agent;
};

/* Content-Type and Expect beside the caller's. */
#define HTTP_CALL_LINES (HTTP_MAX_HEADERS + 2)

struct http_call {
	struct http *http;
	CURL *easy; /* NULL once libcurl is done with it */
	bool is_delivering;

	struct secret body; /* of the request: libcurl borrows it */
	struct secret line_text[HTTP_CALL_LINES];
	struct curl_slist lines[HTTP_CALL_LINES]; /* over line_text */
	size_t n_lines;
	size_t body_cap;
	char *origin, *ca_file, *cert_file; /* for messages */

	bool sent; /* from here on the service may have seen it */
	bool body_too_large, head_too_large, head_done;
	size_t head_len;
	int64_t retry_date_s; /* Retry-After as a date */
	struct http_reply reply;
	struct tb_error err;
	char curl_says[CURL_ERROR_SIZE];

	http_done_fn *done;
	void *arg;
	struct http_call *next, **link; /* in finished or delivering */
};

/* libcurl is done with the transfer: detaches it, fills in reply or err, and
 * has it delivered by a task. Not from inside libcurl. */
void http_call_ended(struct http_call *call, CURLcode code);
/* Calls done, then frees the call. */
void http_call_deliver(struct http_call *call);
