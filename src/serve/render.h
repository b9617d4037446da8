/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * render - answers that carry a token, made when a generation is asked for the
 * first time and kept, so that the hot path neither formats nor copies a
 * secret: what differs from one answer to the next (seconds left, request id)
 * stands at the end, and is put over what the answer before had there.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct broker_view;
struct render;
struct secret;

#define RENDER_REQUEST_ID 16 /* hexadecimal digits */
/* The longest that a reader of Vault is told to wait before it reads again. */
#define RENDER_LEASE_MAX_S 300
#define RENDER_IOV 2

/* The parts of one answer. The head is that of http1_status_line(); iov points
 * into this struct and into render's memory, good until the next call. */
struct render_reply {
	char head[256];
	struct iovec iov[RENDER_IOV];
	int n_iov;
	size_t len;
};

struct render_how {
	unsigned minor;
	bool keep_alive;
	const char *request_id; /* RENDER_REQUEST_ID digits */
	int64_t now_s;
};

struct render *render_new(void);
void render_free(struct render *r); /* wipes; NULL is fine */

enum render_form {
	RENDER_JSON,     /* {"token": ...} */
	RENDER_VAULT_V2, /* as Vault answers from a KV engine of version 2 */
	RENDER_VAULT_V1,
	RENDER_N_KEPT,
	RENDER_TEXT = RENDER_N_KEPT, /* the bare value */
};

/* view is borrowed for the call; its value must live until the answer is
 * sent. */
void render_value(struct render *r, const struct broker_view *view,
    enum render_form form, const struct render_how *how,
    struct render_reply *out);

/* As what stands between the quotes of a JSON string. */
void render_add_value(struct secret *out, const struct secret *value);

/* What is kept of one token, or of all, is wiped: it is not released any
 * more. */
void render_forget(struct render *r, const char *token);
void render_forget_all(struct render *r);
