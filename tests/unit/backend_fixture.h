/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * backend_fixture - what the four tests of src/backend share: configurations
 * from string literals, and one call run to its end over the fakes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/timefmt.h"
#include "fake_http.h"
#include "fake_loop.h"
#include "fake_now.h"
#include "lib/jsonx.h"
#include "lib/loop.h"

/* A literal where a struct wants an owned string: nobody frees these. */
#define LIT(s) ((char *)(uintptr_t)(s))

#define FIX_BEARER "eyJhbGciOiJub25lIn0.e30.payer"
#define FIX_VALUE "apiv1_probed-value"
#define FIX_DESCRIPTION "tokenbroker telegraf nonce=4711"
#define FIX_EXPIRES (FAKE_NOW_REAL_S + 7 * 86400)

struct fixture {
	struct loop *loop;
	struct http *http;
	/* the last call */
	unsigned done;
	struct backend_run run; /* taken over from the call */
	struct tb_error err;    /* code TB_OK: it went well */
};

static struct fixture fix;

static inline struct backend_recipe
fix_recipe(enum backend_kind kind)
{
	struct backend_recipe r = { .kind = kind, .allow_full_access = true };

	return r;
}

/* "read:metrics write:logs"; free with backend_recipe_clear. */
static inline struct backend_recipe
fix_permissions(const char *text)
{
	struct backend_recipe r = { .kind = BACKEND_KIND_DATABASE };
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *p = strtok_r(copy, " ", &save); p;
	     p = strtok_r(NULL, " ", &save)) {
		char *colon = strchr(p, ':');

		r.permissions = xreallocarray(r.permissions,
		    r.n_permissions + 1, sizeof(*r.permissions));
		r.permissions[r.n_permissions].action = xstrndup(p,
		    (size_t)(colon - p));
		r.permissions[r.n_permissions++].resource = xstrdup(colon + 1);
	}
	return r;
}

static inline struct backend_conf
fix_dedicated(void)
{
	struct backend_conf c = {
		.name = LIT("prod"),
		.ops = backend_find("influxdb-dedicated"),
		.login = LIT("ops"),
		.account_id = LIT("acc/1"),
		.cluster_id = LIT("clu-2"),
		.timeout_ms = 5000,
	};

	return c;
}

static inline struct backend_conf
fix_clustered(void)
{
	struct backend_conf c = {
		.name = LIT("lab"),
		.ops = backend_find("influxdb-clustered"),
		.management_token = LIT("mgmt"),
		.base_url = LIT("https://influx.example.com"),
		.probe_url = LIT("https://influx.example.com/query?db={database}"),
		.timeout_ms = 5000,
	};

	return c;
}

static inline struct backend_conf
fix_http(void)
{
	struct backend_conf c = {
		.name = LIT("gw"),
		.ops = backend_find("http"),
		.login = LIT("ops"),
		.base_url = LIT("https://gw.example.com/v1"),
		.mint = {
			.url = LIT("/keys"),
			.body = LIT("{\"note\":\"{description}\","
			    "\"ttl\":{lifetime_s}}"),
		},
		.list = { .url = LIT("/keys") },
		.revoke = { .url = LIT("/keys/{id}") },
		.probe = { .url = LIT("/ping") },
		.timeout_ms = 5000,
	};

	return c;
}

static inline int
fix_setup(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct http_env env = { .user_agent = "test" };

	jsonx_init();
	fake_now_reset();
	memset(&fix, 0, sizeof(fix));
	fix.loop = loop_new(&err);
	fix.http = http_new(fix.loop, &env, &err);
	return 0;
}

static inline int
fix_teardown(void **state)
{
	size_t left = fake_http_scripted(), live = fake_http_pending();

	backend_run_clear(&fix.run);
	http_free(fix.http);
	fake_http_reset();
	loop_free(fix.loop);
	return left || live ? -1 : 0;
}

static inline void
fix_on_done(void *arg, struct backend_run *run, const struct tb_error *err)
{
	struct backend_call **call = arg;

	*call = NULL;
	fix.done++;
	fix.err = err ? *err : (struct tb_error)TB_ERROR_INIT;
	fix.run = *run; /* moved, as backend_call_start does */
	*run = (struct backend_run){ .verb = BACKEND_MINT };
}

static inline struct backend_run
fix_run(const struct backend_conf *c, const struct backend_recipe *r,
    enum backend_verb verb)
{
	struct backend_run run = {
		.verb = verb,
		.conf = c,
		.recipe = r,
		.bearer_expires_at = FAKE_NOW_REAL_S + 3600,
		.expires_at = FIX_EXPIRES,
		.now_s = FAKE_NOW_REAL_S,
		.token_id = xstrdup("id-1"),
		.description = xstrdup(FIX_DESCRIPTION),
	};

	secret_set_str(&run.bearer, FIX_BEARER);
	secret_set_str(&run.value, FIX_VALUE);
	return run;
}

static inline struct backend_call *
fix_start(struct backend_run *run, struct backend_call **handle)
{
	backend_run_clear(&fix.run);
	fix.done = 0;
	*handle = backend_call_start(fix.loop, fix.http, run, fix_on_done,
	    handle);
	return *handle;
}

/* Runs one call to its end; the result is in fix. */
static inline void
fix_call_run(struct backend_run *run)
{
	struct backend_call *call;

	fix_start(run, &call);
	assert_int_equal(fix.done, 0);
	fake_loop_run_pending();
	assert_int_equal(fix.done, 1);
	assert_null(call);
}

static inline void
fix_call(const struct backend_conf *c, const struct backend_recipe *r,
    enum backend_verb verb)
{
	struct backend_run run = fix_run(c, r, verb);

	fix_call_run(&run);
}

#define assert_secret(s, text) \
	assert_string_equal(secret_reveal(s), text)
#define assert_contains(text, part) \
	do { \
		if (!strstr(text, part)) \
			fail_msg("'%s' is not in '%s'", part, text); \
	} while (0)
