/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * oauth - the messages of OAuth 2.0: forms built, replies parsed (RFC 6749,
 * 7009, 8414, 8628, OpenID Connect Discovery). Pure: bytes and structs, no
 * network and no clock. error_description of a provider is shown to humans
 * with control characters replaced and cut at 200 bytes.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"

struct http_reply;
struct idp;
struct tb_error;

/* What a token endpoint gave. expires_in is seconds, 0 = not said. */
struct oauth_grant {
	struct secret access_token, refresh_token, id_token;
	char *token_type, *scope;
	int64_t expires_in;
	int64_t refresh_expires_in; /* 0 = not said */
};
#define OAUTH_GRANT_INIT { .expires_in = 0 }
void oauth_grant_clear(struct oauth_grant *g);

struct oauth_code {
	struct secret device_code;
	char *user_code, *verification_uri, *verification_uri_complete;
	int64_t expires_in_s;
	int64_t interval_s; /* 5 when not said */
};
#define OAUTH_CODE_INIT { .interval_s = 5 }
void oauth_code_clear(struct oauth_code *c);

struct oauth_metadata {
	char *issuer, *device_endpoint, *token_endpoint, *revocation_endpoint;
	char *introspection_endpoint, *jwks_uri;
	char *mtls_device_endpoint, *mtls_token_endpoint;
	char *mtls_revocation_endpoint, *mtls_introspection_endpoint;
};
void oauth_metadata_clear(struct oauth_metadata *m);

void oauth_build_device_request(const struct idp *idp, struct secret *form);
void oauth_build_poll(const struct secret *device_code, struct secret *form);
/* Repeats resource (RFC 8707) but no scope: the grant keeps what it has. */
void oauth_build_refresh(const struct idp *idp,
    const struct secret *refresh_token, struct secret *form);
void oauth_build_revoke(const struct secret *token, const char *hint,
    struct secret *form);

/* TB_E_UPSTREAM: refused (text names error and description); TB_E_TRANSIENT:
 * 429 or 5xx; TB_E_PROTO: nonsense. verification_uri must be http(s). */
int oauth_parse_device_reply(const struct http_reply *reply,
    struct oauth_code *out, struct tb_error *err);

enum oauth_poll {
	OAUTH_POLL_GRANTED,
	OAUTH_POLL_PENDING,
	OAUTH_POLL_SLOW_DOWN,
	OAUTH_POLL_TRANSIENT, /* 5xx, 429, HTML: ask again; err set */
	OAUTH_POLL_DENIED,    /* err set, here and below: final */
	OAUTH_POLL_EXPIRED,
	OAUTH_POLL_SPENT,     /* invalid_grant: unknown or redeemed already */
	OAUTH_POLL_REFUSED,   /* any other OAuth error */
	OAUTH_POLL_NONSENSE,  /* a 200 that cannot be used: never poll again */
};
enum oauth_poll oauth_parse_poll(const struct http_reply *reply,
    struct oauth_grant *out, struct tb_error *err);

/* 0, or -1 with TB_E_LOGIN (invalid_grant, or 400/401 without OAuth JSON),
 * TB_E_BUSY (429, 500, 503: answered and not done), TB_E_TRANSIENT (502, 504,
 * other 5xx, HTML with another status: may have been done), TB_E_UPSTREAM
 * (client or request refused), TB_E_PROTO (a 200 that cannot be used: the
 * refresh token may be spent). */
int oauth_parse_refresh(const struct http_reply *reply,
    struct oauth_grant *out, struct tb_error *err);

/* 200, and "unsupported_token_type" or an already dead token, are success. */
int oauth_parse_revoke(const struct http_reply *reply, struct tb_error *err);

/* issuer must be equal to want_issuer (a trailing slash apart it is compared
 * exactly); each endpoint https, or http of a loopback address where that is
 * allowed. */
int oauth_parse_metadata(const struct http_reply *reply,
    const char *want_issuer, bool allow_loopback_http,
    struct oauth_metadata *out, struct tb_error *err);
