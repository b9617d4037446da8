/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_backend - a management API that answers anything. The first byte picks
 * type (bits 0-1), verb (2-3), status (4-6) and content type (7); the rest is
 * the body. What comes out must be fit to store, to log and to put in a URL.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/answer.h"
#include "backend/backend.h"
#include "base/util.h"
#include "lib/jsonx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIT(s) ((char *)(uintptr_t)(s))

static const int statuses[] = { 200, 201, 204, 302, 401, 404, 429, 503 };

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_backend: %s\n", what);
	abort();
}

static void
fill(unsigned type, struct backend_conf *c, struct backend_recipe *r)
{
	static const char *const types[] = { "influxdb-dedicated",
		"influxdb-clustered", "http", "influxdb-clustered" };

	c->name = LIT("b");
	c->ops = backend_find(types[type]);
	c->login = LIT("ops");
	c->account_id = LIT("a");
	c->cluster_id = LIT("c");
	c->base_url = LIT("https://x.example");
	c->probe_url = LIT("/q");
	r->kind = type < 2 ? BACKEND_KIND_DATABASE :
	    type == 2	   ? BACKEND_KIND_CUSTOM :
			     BACKEND_KIND_MANAGEMENT;
	if (type < 2)
		return;
	c->management_driver = LIT("http");
	c->mint.url = LIT("/k");
	c->mint.body = LIT("{\"d\":\"{description}\",\"t\":{lifetime_s}}");
	c->list.url = LIT("/k");
	c->revoke.url = LIT("/k/{id}");
	c->probe.url = LIT("/p");
	if (type == 2) {
		c->token_pointer = LIT("/data/0/value");
		c->list_pointer = LIT("/data/keys");
		c->list_created_pointer = LIT("/born");
	}
}

static void
check_done(const struct backend_run *run)
{
	if (run->verb == BACKEND_MINT) {
		must(secret_is_token(&run->token), "token");
		must(answer_is_id(run->minted_id), "minted id");
		must(run->minted_expires_at >= 0, "expiry");
	}
	for (size_t i = 0; i < run->n_listed; i++) {
		must(answer_is_id(run->listed[i].id), "listed id");
		must(run->listed[i].description, "description");
		must(run->listed[i].created_at >= 0, "created");
	}
	must(!run->uncertain && !run->unauthorized, "flags of a success");
}

static void
check_failed(const struct backend_run *run, int status,
    const struct tb_error *err)
{
	must(err->code != TB_OK && err->msg[0], "an error says why");
	for (const char *p = err->msg; *p; p++)
		must(*p >= ' ' && *p <= '~', "plain text");
	must(secret_is_empty(&run->token) && !run->minted_id, "no half token");
	must(run->verb == BACKEND_MINT || !run->uncertain, "uncertain");
	if (run->verb == BACKEND_MINT)
		must(run->uncertain == (status < 400 || (status >= 500 &&
		    status != 503)), "a token may exist");
	must(!run->unauthorized || status == 401, "unauthorized");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct backend_run run _cleanup_(backend_run_clear) = {
		.now_s = 1795368000,
		.expires_at = 1795972800,
	};
	struct backend_recipe recipe = { .allow_full_access = true };
	struct tb_error err = TB_ERROR_INIT;
	struct http_reply reply = { .status = 0 };
	struct backend_conf conf = { .name = NULL };
	enum backend_next next;
	static bool ready;

	if (!ready)
		jsonx_init();
	ready = true;
	if (!size)
		return 0;
	fill(data[0] & 3, &conf, &recipe);
	run.verb = (enum backend_verb)(data[0] >> 2 & 3);
	run.conf = &conf;
	run.recipe = &recipe;
	run.description = xstrdup("nonce");
	run.token_id = xstrdup("id");
	secret_set_str(&run.bearer, "bearer");
	secret_set_str(&run.value, "value");
	next = conf.ops->step(&run, NULL, &request, &err);
	must(next == BACKEND_SEND && request.url, "first step sends");
	must(http_url_check(request.url, false, &err) == 0, "URL");
	http_request_clear(&request);

	reply.status = statuses[data[0] >> 4 & 7];
	strcpy(reply.content_type,
	    data[0] & 0x80 ? "text/html" : "application/json");
	secret_set(&reply.body, data + 1, size - 1);
	next = conf.ops->step(&run, &reply, &request, &err);
	must(next != BACKEND_SEND, "one reply ends it");
	if (next == BACKEND_DONE)
		check_done(&run);
	else
		check_failed(&run, reply.status, &err);
	secret_clear(&reply.body);
	return 0;
}
