/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See generation.h.
 */
#include "broker/generation.h"

#include <inttypes.h>
#include <openssl/sha.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "broker/status.h"
#include "lib/jsonx.h"
#include "lib/seal.h"

#define GENERATION_VERSION 1

struct generation *
generation_new(uint64_t number)
{
	struct generation *g = xnew(struct generation);

	g->number = number;
	return g;
}

void
generation_free(struct generation *g)
{
	if (!g)
		return;
	secret_clear(&g->value);
	free(g->id);
	free(g->nonce);
	free(g->backend);
	free(g->login);
	free(g->human);
	free(g->recipe);
	free(g);
}

void
generation_set_value(struct generation *g, struct seal *seal,
    struct secret *value)
{
	secret_move(&g->value, value);
	seal_fingerprint(seal, &g->value, g->fingerprint);
	SHA256((const unsigned char *)secret_reveal(&g->value), g->value.len,
	    g->sha256);
}

void
generation_start_clock(struct generation *g)
{
	int64_t now = now_real_s();

	/* a clock before the value was made is wrong: it tells nothing */
	g->until_boot_ms = now < g->minted_at ? 0 :
	    now_boot_ms() + (g->expires_at - now) * 1000;
}

static int64_t
left_by_boot_s(const struct generation *g)
{
	return (g->until_boot_ms - now_boot_ms()) / 1000;
}

int64_t
generation_left_s(const struct generation *g)
{
	int64_t left = g->expires_at - now_real_s();

	return g->until_boot_ms ? MAX2(left, left_by_boot_s(g)) : left;
}

int64_t
generation_left_least_s(const struct generation *g)
{
	int64_t left = g->expires_at - now_real_s();

	return g->until_boot_ms ? MIN2(left, left_by_boot_s(g)) : left;
}

static const char *const state_names[] = {
	[GENERATION_PROBING] = "probing",
	[GENERATION_READY] = "ready",
	[GENERATION_REJECTED] = "rejected",
	[GENERATION_REVOKING] = "revoking",
};

static const char *
generation_state_name(enum generation_state s)
{
	return state_names[s];
}

static void
generation_recipe_add(struct strbuf *b, const char *key, const char *own,
    const char *of_backend)
{
	if (own || of_backend)
		strbuf_addf(b, " %s=%s", key, own ? own : of_backend);
}

char *
generation_recipe(const struct token_conf *tc)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_addf(&b, "%s kind=%d", tc->backend->name,
	    (int)tc->recipe.kind);
	for (size_t i = 0; i < tc->recipe.n_permissions; i++) {
		const char *resource = tc->recipe.permissions[i].resource;

		strbuf_addf(&b, " %s%s%s", tc->recipe.permissions[i].action,
		    resource ? ":" : "", resource ? resource : "");
	}
	/* of types that have no such keys there is nothing to compare */
	generation_recipe_add(&b, "audience", tc->recipe.audience,
	    tc->backend->audience);
	generation_recipe_add(&b, "resource", tc->recipe.resource,
	    tc->backend->resource);
	generation_recipe_add(&b, "scopes", tc->recipe.scopes,
	    tc->backend->scopes);
	return strbuf_steal(&b);
}

bool
generation_is_kind(const struct generation *g, enum backend_kind kind)
{
	char want[24];
	const char *s;

	snprintf(want, sizeof(want), " kind=%d", (int)kind);
	s = g->recipe ? strstr(g->recipe, want) : NULL;
	return s && (s[strlen(want)] == ' ' || !s[strlen(want)]);
}

void
generation_encode(const struct generation *g, struct secret *out)
{
	json_t *o _cleanup_json_ = json_object();

	status_int(o, "v", GENERATION_VERSION);
	status_int(o, "generation", (int64_t)g->number);
	jsonx_put_str(o, "state", generation_state_name(g->state));
	jsonx_put_str(o, "value", secret_reveal(&g->value));
	jsonx_put_str(o, "id", g->id);
	jsonx_put_str(o, "nonce", g->nonce);
	jsonx_put_str(o, "backend", g->backend);
	jsonx_put_str(o, "login", g->login);
	jsonx_put_str(o, "human", g->human);
	jsonx_put_str(o, "recipe", g->recipe);
	json_object_set_new(o, "imported", json_boolean(g->imported));
	if (g->endless)
		json_object_set_new(o, "endless", json_true());
	if (g->disabled_at)
		status_int(o, "disabled_at", g->disabled_at);
	if (g->announced_s)
		status_int(o, "announced", g->announced_s);
	status_int(o, "minted_at", g->minted_at);
	status_int(o, "expires_at", g->expires_at);
	jsonx_dump(o, out);
}

static int
decode_state(const char *name, struct generation *g, struct tb_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_names); i++) {
		if (streq(name, state_names[i])) {
			g->state = (enum generation_state)i;
			return 0;
		}
	}
	return tb_error_set(err, TB_E_PROTO, "unknown state of a generation");
}

static int
decode_members(const json_t *o, struct generation *g, struct secret *value,
    struct tb_error *err)
{
	const char *state;
	int64_t v, number;

	if (jsonx_int(o, "v", &v, err) < 0)
		return -1;
	if (v != GENERATION_VERSION)
		return tb_error_set(err, TB_E_PROTO,
		    "a generation record of version %" PRId64 "; this program "
		    "reads version %d", v, GENERATION_VERSION);
	if (jsonx_int(o, "generation", &number, err) < 0 ||
	    jsonx_str(o, "state", &state, err) < 0 ||
	    jsonx_secret(o, "value", value, err) < 0 ||
	    jsonx_int(o, "expires_at", &g->expires_at, err) < 0 ||
	    jsonx_opt_int(o, "minted_at", &g->minted_at, err) < 0 ||
	    jsonx_opt_bool(o, "imported", &g->imported, err) < 0 ||
	    jsonx_opt_bool(o, "endless", &g->endless, err) < 0 ||
	    jsonx_opt_int(o, "disabled_at", &g->disabled_at, err) < 0 ||
	    jsonx_opt_int(o, "announced", &g->announced_s, err) < 0 ||
	    jsonx_opt_copy(o, "id", &g->id, err) < 0 ||
	    jsonx_opt_copy(o, "nonce", &g->nonce, err) < 0 ||
	    jsonx_opt_copy(o, "backend", &g->backend, err) < 0 ||
	    jsonx_opt_copy(o, "login", &g->login, err) < 0 ||
	    jsonx_opt_copy(o, "human", &g->human, err) < 0 ||
	    jsonx_opt_copy(o, "recipe", &g->recipe, err) < 0)
		return -1;
	g->number = (uint64_t)number;
	return decode_state(state, g, err);
}

struct generation *
generation_decode(const struct secret *in, struct seal *seal,
    struct tb_error *err)
{
	json_t *o _cleanup_json_ = jsonx_parse_object(in, err);
	struct secret value _cleanup_(secret_clear) = SECRET_INIT;
	struct generation *g;

	if (!o)
		return NULL;
	g = generation_new(0);
	if (decode_members(o, g, &value, err) < 0) {
		generation_free(g);
		return NULL;
	}
	generation_set_value(g, seal, &value);
	generation_start_clock(g);
	return g;
}

json_t *
generation_status(const struct generation *g)
{
	json_t *o = json_object();

	status_int(o, "generation", (int64_t)g->number);
	status_str(o, "state", generation_state_name(g->state));
	status_str(o, "token_id", g->id);
	status_str(o, "fingerprint", g->fingerprint);
	status_str(o, "backend", g->backend);
	status_str(o, "login", g->login);
	status_str(o, "human", g->human);
	status_time(o, "minted_at", g->minted_at);
	status_time(o, "expires_at", g->expires_at);
	status_time(o, "rejected_at", g->rejected_at);
	status_time(o, "disabled_at", g->disabled_at);
	status_time(o, "missing_upstream_since", g->missing_since);
	if (g->imported)
		json_object_set_new(o, "imported", json_true());
	return o;
}
