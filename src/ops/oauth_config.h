/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * oauth_config - what an InfluxDB 3 server says of the provider whose logins
 * it takes: GET /api/v3/auth/oauth/config (Enterprise 3.10, Cloud). Its layout
 * is in no published description, so each thing is looked for under several
 * spellings, at the top or one level below. Pure.
 */
struct http_reply;
struct tb_error;

#define OAUTH_CONFIG_PATH "/api/v3/auth/oauth/config"

struct oauth_config {
	char *issuer, *client_id;
	char *audience; /* NULL: none */
	char *scopes;   /* words, single spaces between; NULL: none */
};
void oauth_config_clear(struct oauth_config *c);

/* issuer and client_id may be NULL: the server does not say. TB_E_UPSTREAM:
 * there is no such thing there; TB_E_PROTO: it cannot be read. */
int oauth_config_parse(const struct http_reply *reply,
    struct oauth_config *out, struct tb_error *err);
