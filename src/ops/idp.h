/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * idp - one identity provider as one client registration sees it: what the
 * configuration says, the endpoints that discovery found, the signing keys,
 * and how requests prove who the client is (RFC 6749 2.3, RFC 7523, RFC 8705).
 * Owned by the broker's login; every operation in ops/ borrows it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "lib/http.h"

/* No reply of a provider is larger. */
#define IDP_BODY_CAP (256 * 1024)

struct jws_keys;
struct oauth_config;
struct tb_error;

enum idp_auth {
	IDP_AUTH_NONE,
	IDP_AUTH_CLIENT_SECRET_BASIC,
	IDP_AUTH_CLIENT_SECRET_POST,
	IDP_AUTH_PRIVATE_KEY_JWT,
	IDP_AUTH_TLS, /* tls_client_auth and self_signed_tls_client_auth */
};

struct idp_param {
	char *name, *value;
};

/* Filled by conf ([login NAME]); all strings owned; immutable. */
struct idp_conf {
	char *name;
	char *preset; /* keycloak, entra, auth0, generic */
	char *issuer;    /* these two may be NULL where influxdb3_url says */
	char *client_id; /* who knows them */
	char *influxdb3_url; /* an InfluxDB 3 server that takes its logins */
	enum idp_auth auth;
	char *client_secret_path; /* of client_secret_file or _credential */
	char *client_key_path;    /* PEM, for private_key_jwt */
	char *client_key_id;      /* kid, or NULL */
	char *assertion_alg;      /* RS256, ES256, or NULL: from the key */
	char *assertion_audience; /* NULL: the URL of the endpoint called */
	char *scopes;             /* space separated */
	struct idp_param *params; /* audience, resource, parameters */
	size_t n_params;
	bool discovery;
	/* explicit endpoints win over discovered ones; NULL: discovered */
	char *device_endpoint, *token_endpoint, *revocation_endpoint;
	char *introspection_endpoint, *jwks_uri;
	char *ca_file, *tls_cert_file, *tls_key_file;
	bool allow_insecure_loopback;
	bool identity_unverified; /* identity = unverified */
	char *identity_claim;     /* "sub", or e.g. "oid" */
	int64_t leeway_s;
	int64_t timeout_ms;
};

void idp_conf_free(struct idp_conf *c);

struct idp {
	/* Borrowed: what is configured, or (learnt) that with what the
	 * InfluxDB 3 server has said. */
	const struct idp_conf *conf;
	const struct idp_conf *configured;
	struct idp_conf learnt;
	struct oauth_config *said; /* NULL: nothing yet */
	char *scopes;              /* learnt.scopes, as params are */
	struct idp_param *params;
	int64_t learnt_at_ms; /* now_boot_ms(), 0 = not in this run */
	/* resolved; NULL until known. Owned. */
	char *device_endpoint, *token_endpoint, *revocation_endpoint;
	char *introspection_endpoint, *jwks_uri;
	/* as the provider writes it (auth0: with a slash), which is what its
	 * tokens say; the configured one until discovery */
	char *issuer;
	int64_t discovered_at_ms; /* now_boot_ms(), 0 = never */
	struct jws_keys *keys;
	int64_t keys_at_ms;
	struct secret client_secret; /* read at idp_new */
	struct secret client_key;
};

/* Reads the secret files. TB_E_CONFIG when one is missing or readable by
 * others. */
struct idp *idp_new(const struct idp_conf *conf, struct tb_error *err);
void idp_free(struct idp *idp);

/* What the InfluxDB 3 server says (moved). What is configured must agree; a
 * different issuer or client than before makes what was discovered void.
 * TB_E_PROTO: it cannot be used, and nothing has changed. */
int idp_learn(struct idp *idp, struct oauth_config *said,
    struct tb_error *err);
/* Before it was asked: who a sealed grant was given by. */
void idp_assume(struct idp *idp, const char *issuer, const char *client_id);

/* An empty POST to `url` (one of ours) with TLS, time-outs and policy set. */
void idp_request(const struct idp *idp, const char *url,
    struct http_request *req);

/* Adds client authentication to form and request; borrows both. Call it last:
 * private_key_jwt signs an assertion for req->url. */
int idp_authenticate(const struct idp *idp, struct http_request *req,
    struct secret *form, struct tb_error *err);

/* Both, in the one way that operations send forms: form is authenticated and
 * moved into a request to `url`. TB_E_CONFIG: nothing may be sent. */
int idp_form_request(const struct idp *idp, const char *url,
    struct secret *form, struct http_request *req, struct tb_error *err);

/* Canonical origins of the endpoints that would be given the refresh token:
 * "https://a.example https://b.example", sorted, unique; owned by the caller.
 * A grant is bound to it (promise P9). */
char *idp_origins(const struct idp *idp);
