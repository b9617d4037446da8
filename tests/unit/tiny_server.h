/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tiny_server - a tiny HTTP server in a thread, on a loopback port: it reads
 * requests, keeps them as they came, and answers by script. It knows nothing
 * of HTTP but where a request ends.
 */
#include <stdbool.h>
#include <stddef.h>

enum tiny_server_after {
	SERVER_CLOSE, /* the reply, then close */
	SERVER_KEEP,  /* the reply, then the next request */
	SERVER_HANG,  /* what there is of a reply, then nothing */
	SERVER_DEAF,  /* nothing at all, not even TLS */
	SERVER_RESET, /* the request is read, and the connection reset */
};

struct tiny_server_step {
	const char *reply; /* NULL: none */
	enum tiny_server_after after;
	int delay_ms;
};

struct tiny_server;

/* One step per request. TLS when cert_pem is given (key in the same file). */
struct tiny_server *tiny_server_start(const struct tiny_server_step *steps,
    size_t n, const char *cert_pem);
/* The next ones want a client certificate, of the CA in this file; NULL: not
 * any more. */
void tiny_server_want_client(const char *ca_pem);
int tiny_server_port(const struct tiny_server *s);
size_t tiny_server_connections(struct tiny_server *s);
size_t tiny_server_requests(struct tiny_server *s);
/* The bytes of the i-th; valid until tiny_server_stop. */
const char *tiny_server_request(struct tiny_server *s, size_t i);
void tiny_server_stop(struct tiny_server *s);

/* A port of 127.0.0.1 that refuses connections. */
int tiny_server_closed_port(void);

/* A self-signed certificate for localhost and 127.0.0.1, with its key. */
void tiny_server_make_cert(const char *path);
