/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_influxctl - an influxctl that prints anything, and a helper that answers
 * anything. The first byte picks which run it is (bits 0-1: a list, a
 * creation, the list after one, a creation whose whole answer is the input) and
 * how it ends (bit 2: badly, with the input as its error output). What comes
 * out must be fit to store and to log, and no doubt may get lost.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/answer.h"
#include "backend/backend.h"
#include "base/util.h"
#include "lib/jsonx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIT(s) ((char *)(uintptr_t)(s))

enum { A_LIST, A_CREATION, A_LIST_AFTER, AN_ANSWER };

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_influxctl: %s\n", what);
	abort();
}

/* The helper's answer about a run; it makes ASCII of what influxctl wrote. */
static void
answer(struct http_reply *reply, const uint8_t *data, size_t size, bool bad)
{
	char *text = xcalloc(size + 1, 1);
	json_t *j;

	for (size_t i = 0; i < size; i++)
		text[i] = data[i] > '~' || (data[i] < ' ' &&
		    data[i] != '\n' && data[i] != '\r' && data[i] != '\t') ?
		    '?' : (char)data[i];
	j = json_pack("{s:b, s:i, s:i, s:s, s:s}", "ran", 1, "exit", bad,
	    "signal", 0, "stdout", bad ? "" : text, "stderr",
	    bad ? text : "");
	jsonx_dump(j, &reply->body);
	json_decref(j);
	free(text);
}

static void
check(const struct backend_run *run, enum backend_next next, unsigned what,
    const struct tb_error *err)
{
	if (next == BACKEND_DONE && run->verb == BACKEND_MINT)
		must(secret_is_token(&run->token) &&
		    answer_is_id(run->minted_id) && !run->uncertain, "a mint");
	for (size_t i = 0; next == BACKEND_DONE && i < run->n_listed; i++)
		must(answer_is_id(run->listed[i].id) &&
		    run->listed[i].description, "an item");
	if (next != BACKEND_FAILED)
		return;
	must(err->code != TB_OK && err->msg[0], "an error says why");
	for (const char *p = err->msg; *p; p++)
		must(*p >= ' ' && *p <= '~', "plain text");
	must(secret_is_empty(&run->token) && !run->minted_id, "no half token");
	must(!strstr(err->msg, "M.V1.+"), "a value in an error");
	if (what == A_LIST)
		must(!run->uncertain, "a list makes nothing");
	if (what == A_CREATION || what == A_LIST_AFTER)
		must(run->uncertain && !run->unauthorized, "a doubt is lost");
}

/* Steps with what is known to be good, up to the one that is tried. */
static enum backend_next
lead_up(struct backend_run *run, unsigned what, struct http_request *request,
    struct tb_error *err)
{
	static const char *const outputs[] = { "[]\n", "M.V1.abcdefgh\n" };
	enum backend_next next = run->conf->ops->step(run, NULL, request, err);
	unsigned steps = what == A_LIST ? 0 : what == A_LIST_AFTER ? 2 : 1;

	for (unsigned i = 0; i < steps; i++) {
		struct http_reply reply = { .status = 200 };

		must(next == BACKEND_ASK, "it asks");
		http_request_clear(request);
		answer(&reply, (const uint8_t *)outputs[i],
		    strlen(outputs[i]), false);
		next = run->conf->ops->step(run, &reply, request, err);
		secret_clear(&reply.body);
	}
	return next;
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
	struct backend_recipe recipe = { .kind = BACKEND_KIND_MANAGEMENT,
		.allow_full_access = true };
	struct backend_conf conf = { .name = LIT("b"), .login = LIT("ops"),
		.account_id = LIT("a"), .cluster_id = LIT("c"),
		.management_driver = LIT("influxctl") };
	struct tb_error err = TB_ERROR_INIT;
	struct http_reply reply = { .status = 200 };
	enum backend_next next;
	static bool ready;
	unsigned what;

	if (!ready)
		jsonx_init();
	ready = true;
	if (!size)
		return 0;
	what = data[0] & 3;
	conf.ops = backend_find("influxdb-dedicated");
	run.conf = &conf;
	run.recipe = &recipe;
	run.verb = what == A_LIST ? BACKEND_LIST : BACKEND_MINT;
	run.description = xstrdup("[tokenbroker h/i t #1 nonce]");
	secret_set_str(&run.bearer, "bearer");
	must(lead_up(&run, what, &request, &err) == BACKEND_ASK, "it asks");
	http_request_clear(&request);
	if (what == AN_ANSWER)
		secret_set(&reply.body, data + 1, size - 1);
	else
		answer(&reply, data + 1, size - 1, data[0] & 4);
	next = conf.ops->step(&run, &reply, &request, &err);
	check(&run, next, what, &err);
	secret_clear(&reply.body);
	return 0;
}
