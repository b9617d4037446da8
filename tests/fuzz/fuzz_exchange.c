/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_exchange - a provider that answers anything to a token exchange. The
 * first byte picks verb (bits 0-1), status (2-4) and what was asked for (5);
 * the rest is the body. What comes out must be fit to store and to log, and
 * what cannot be used is handed back.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/util.h"
#include "lib/form.h"
#include "lib/jsonx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIT(s) ((char *)(uintptr_t)(s))

static const int statuses[] = { 200, 201, 302, 400, 401, 429, 500, 503 };

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_exchange: %s\n", what);
	abort();
}

static int
as_client(void *arg, const struct backend_conf *conf, enum backend_endpoint at,
    struct secret *form, struct http_request *request, struct tb_error *err)
{
	enum backend_endpoint *asked = arg;

	*asked = at;
	request->url = xstrdup("https://idp.example/");
	secret_move(&request->body, form);
	return 0;
}

static void
check_failed(const struct backend_run *run, const struct tb_error *err)
{
	must(err->code != TB_OK && err->msg[0], "an error says why");
	for (const char *p = err->msg; *p; p++)
		must(*p >= ' ' && *p <= '~', "plain text");
	must(run->verb == BACKEND_MINT || !run->uncertain, "uncertain");
}

static void
check_minted(const struct backend_run *run)
{
	must(secret_is_token(&run->token), "token");
	must(run->minted_expires_at == 0 ||
		run->minted_expires_at > run->now_s, "expiry");
	must(!run->uncertain && !run->unauthorized, "flags of a success");
	for (const char *p = run->note; p && *p; p++)
		must(*p != '\n' && *p != '\r', "one line");
}

/* The second request of a mint hands back what cannot be used. */
static void
hand_back(struct backend_run *run, enum backend_endpoint asked)
{
	struct http_request request _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct http_reply reply = { .status = 200 };
	struct tb_error err = TB_ERROR_INIT;

	must(run->verb == BACKEND_MINT && asked == BACKEND_AT_REVOCATION,
	    "handed back");
	must(run->conf->ops->step(run, &reply, &request, &err) ==
		BACKEND_FAILED, "it is of no use");
	check_failed(run, &err);
	must(secret_is_empty(&run->token) && !run->uncertain, "it is gone");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum backend_verb verbs[] = { BACKEND_MINT, BACKEND_MINT,
		BACKEND_REVOKE, BACKEND_PROBE };
	struct http_request request _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	enum backend_endpoint asked = BACKEND_AT_INTROSPECTION;
	struct backend_run run _cleanup_(backend_run_clear) = {
		.now_s = 1795368000,
		.expires_at = 1795972800,
		.as_client = as_client,
		.as_client_arg = &asked,
	};
	struct backend_conf conf = { .name = LIT("b"), .login = LIT("ops"),
		.ops = backend_find("token-exchange"), .introspection = true };
	struct backend_recipe recipe = { .kind = BACKEND_KIND_ACCESS,
		.audience = LIT("a"), .scopes = LIT("r w") };
	struct http_reply reply = { .status = 0 };
	struct tb_error err = TB_ERROR_INIT;
	enum backend_next next;
	static bool ready;

	if (!ready)
		jsonx_init();
	ready = true;
	if (!size)
		return 0;
	if (data[0] & 0x20)
		conf.requested_token_type = LIT("jwt");
	run.verb = verbs[data[0] & 3];
	run.conf = &conf;
	run.recipe = &recipe;
	secret_set_str(&run.bearer, "bearer");
	secret_set_str(&run.value, "value");
	next = conf.ops->step(&run, NULL, &request, &err);
	must(next == BACKEND_SEND && request.url, "first step sends");
	http_request_clear(&request);

	reply.status = statuses[data[0] >> 2 & 7];
	secret_set(&reply.body, data + 1, size - 1);
	next = conf.ops->step(&run, &reply, &request, &err);
	if (next == BACKEND_SEND)
		hand_back(&run, asked);
	else if (next == BACKEND_FAILED)
		check_failed(&run, &err);
	else if (run.verb == BACKEND_MINT)
		check_minted(&run);
	secret_clear(&reply.body);
	return 0;
}
