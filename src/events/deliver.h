/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * deliver - one event to whoever is to be told, once: to standard output, a
 * command (exec.c) or a webhook (post.c). Trying again is the caller's.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"

struct http;
struct loop;
struct tb_error;

enum deliver_how { DELIVER_TEXT, DELIVER_JSON, DELIVER_EXEC, DELIVER_POST };

struct deliver {
	enum deliver_how how;
	int64_t timeout_ms;
	const char **argv; /* DELIVER_EXEC: ends with NULL */
	const char *url;   /* DELIVER_POST */
	struct secret key; /* ... empty: not signed */
	struct loop *loop;
	struct http *http;
};

/* err->code TB_E_CANCELLED: we were told to end. err->retry_after_ms: what the
 * receiver asks for. */
int deliver(struct deliver *d, const json_t *event, struct tb_error *err);

int deliver_exec(struct deliver *d, const json_t *event,
    struct tb_error *err);

/* "whsec_BASE64", as Standard Webhooks writes it; 24 to 64 bytes. */
int post_read_key(const char *path, struct secret *key, struct tb_error *err);
int post_open(struct deliver *d, const char *ca_file, struct tb_error *err);
void post_close(struct deliver *d);
int deliver_post(struct deliver *d, const json_t *event,
    struct tb_error *err);
