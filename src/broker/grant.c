/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed form is versioned JSON, because it is read by a later version of
 * this program than the one that wrote it. Absent members mean "not known".
 */
#include "broker/grant.h"

#include <inttypes.h>

#include "base/tb_error.h"
#include "lib/jsonx.h"

#define GRANT_VERSION 1

void
grant_forget_tokens(struct grant *g)
{
	secret_clear(&g->refresh_token);
	secret_clear(&g->access_token);
	g->access_expires_at = g->refresh_expires_at = 0;
	g->redeeming = 0;
}

void
grant_clear(struct grant *g)
{
	grant_forget_tokens(g);
	free(g->issuer);
	free(g->client_id);
	free(g->origins);
	free(g->server);
	free(g->pin_iss);
	free(g->pin_claim);
	free(g->pin_value);
	free(g->pin_show);
	free(g->human_needed);
	*g = (struct grant)GRANT_INIT;
}

bool
grant_has_tokens(const struct grant *g)
{
	return !secret_is_empty(&g->access_token) ||
	    !secret_is_empty(&g->refresh_token);
}

bool
grant_is_pinned(const struct grant *g)
{
	return g->pin_iss && g->pin_value;
}

void
grant_take(struct grant *g, struct oauth_grant *from, int64_t now_s)
{
	secret_move(&g->access_token, &from->access_token);
	g->access_expires_at = from->expires_in > 0 ?
	    now_s + from->expires_in : 0;
	if (!secret_is_empty(&from->refresh_token)) {
		secret_move(&g->refresh_token, &from->refresh_token);
		g->refresh_expires_at = 0;
	}
	if (from->refresh_expires_in > 0)
		g->refresh_expires_at = now_s + from->refresh_expires_in;
	g->refreshed_at = now_s;
	g->redeeming = 0;
}

static void
put_int(json_t *o, const char *key, int64_t value)
{
	if (value)
		json_object_set_new(o, key, json_integer(value));
}

void
grant_encode(const struct grant *g, struct secret *out)
{
	json_t *o _cleanup_json_ = json_object();

	put_int(o, "v", GRANT_VERSION);
	jsonx_put_str(o, "issuer", g->issuer);
	jsonx_put_str(o, "client_id", g->client_id);
	jsonx_put_str(o, "origins", g->origins);
	jsonx_put_str(o, "server", g->server);
	jsonx_put_str(o, "pin_iss", g->pin_iss);
	jsonx_put_str(o, "pin_claim", g->pin_claim);
	jsonx_put_str(o, "pin_value", g->pin_value);
	jsonx_put_str(o, "pin_show", g->pin_show);
	if (!secret_is_empty(&g->refresh_token))
		jsonx_put_str(o, "refresh_token", secret_reveal(&g->refresh_token));
	if (!secret_is_empty(&g->access_token))
		jsonx_put_str(o, "access_token", secret_reveal(&g->access_token));
	put_int(o, "access_expires_at", g->access_expires_at);
	put_int(o, "refresh_expires_at", g->refresh_expires_at);
	put_int(o, "granted_at", g->granted_at);
	put_int(o, "refreshed_at", g->refreshed_at);
	put_int(o, "redeeming", g->redeeming);
	jsonx_put_str(o, "human_needed", g->human_needed);
	jsonx_dump(o, out);
}

static int
decode_members(const json_t *o, struct grant *g, struct tb_error *err)
{
	int64_t redeeming = 0;

	if (jsonx_opt_copy(o, "issuer", &g->issuer, err) < 0 ||
	    jsonx_opt_copy(o, "client_id", &g->client_id, err) < 0 ||
	    jsonx_opt_copy(o, "origins", &g->origins, err) < 0 ||
	    jsonx_opt_copy(o, "server", &g->server, err) < 0 ||
	    jsonx_opt_copy(o, "pin_iss", &g->pin_iss, err) < 0 ||
	    jsonx_opt_copy(o, "pin_claim", &g->pin_claim, err) < 0 ||
	    jsonx_opt_copy(o, "pin_value", &g->pin_value, err) < 0 ||
	    jsonx_opt_copy(o, "pin_show", &g->pin_show, err) < 0 ||
	    jsonx_opt_copy(o, "human_needed", &g->human_needed, err) < 0 ||
	    jsonx_opt_secret(o, "refresh_token", &g->refresh_token, err) < 0 ||
	    jsonx_opt_secret(o, "access_token", &g->access_token, err) < 0 ||
	    jsonx_opt_int(o, "access_expires_at", &g->access_expires_at,
	        err) < 0 ||
	    jsonx_opt_int(o, "refresh_expires_at", &g->refresh_expires_at,
	        err) < 0 ||
	    jsonx_opt_int(o, "granted_at", &g->granted_at, err) < 0 ||
	    jsonx_opt_int(o, "refreshed_at", &g->refreshed_at, err) < 0 ||
	    jsonx_opt_int(o, "redeeming", &redeeming, err) < 0)
		return -1;
	g->redeeming = (unsigned)redeeming;
	return 0;
}

int
grant_decode(const struct secret *in, struct grant *out, struct tb_error *err)
{
	json_t *o _cleanup_json_ = jsonx_parse_object(in, err);
	int64_t v = 0;

	if (!o || jsonx_int(o, "v", &v, err) < 0)
		return -1;
	if (v != GRANT_VERSION)
		return tb_error_set(err, TB_E_PROTO,
		    "a login record of version %" PRId64 "; this program "
		    "reads version %d", v, GRANT_VERSION);
	grant_clear(out);
	if (decode_members(o, out, err) < 0) {
		grant_clear(out);
		return -1;
	}
	return 0;
}
