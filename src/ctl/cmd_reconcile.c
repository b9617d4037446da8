/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile - are there tokens at the services that this host made and does
 * not know? Asks the daemon to look now, and tells what it found.
 */
#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/phrase.h"
#include "ctl/term.h"

enum { RECONCILE_JSON, N_RECONCILE };
static const struct opt_spec reconcile_opts[N_RECONCILE] = {
	{ "json", 0, OPT_FLAG, NULL, "the daemon's answer as it is" },
};

static void
add_orphan(struct strbuf *b, const struct term *t, const struct json_t *o)
{
	int64_t seen = jval_time(o, "first_seen");
	bool revoked = jval_time(o, "revoked_at") != 0;
	const char *id = jval_str(o, "token_id");
	const char *token = jval_str(o, "token");
	char when[PHRASE_SIZE];

	strbuf_adds(b, "  ");
	term_add_clean(b, id ? id : "?", t->utf8);
	strbuf_adds(b, ": made here for '");
	term_add_clean(b, token ? token : "?", t->utf8);
	strbuf_addf(b, "', generation %" PRId64 ", known to nobody; first seen "
	    "%s%s\n", jval_int(o, "generation", 0), seen ? phrase_when(seen -
	    now_real_s(), when, sizeof(when)) : "now", revoked ?
	    "; revoked" : "");
}

/* Adds to the numbers of orphans that live and of lists that failed. */
static void
add_backend(struct strbuf *b, const struct term *t, const struct json_t *o,
    int64_t *alive, int64_t *failed)
{
	const struct json_t *list = jval_list(jval_get(o, "orphans"),
	    "orphans");
	const char *name = jval_str(o, "backend");
	const char *error = jval_str(o, "error");
	int64_t orphans = jval_int(o, "orphans_alive", 0);
	size_t i;

	term_add_clean(b, name ? name : "?", t->utf8);
	if (error) {
		++*failed;
		strbuf_adds(b, ": could not be looked at: ");
		term_add_clean(b, error, t->utf8);
		strbuf_addc(b, '\n');
		return;
	}
	*alive += orphans;
	strbuf_addf(b, ": %" PRId64 " listed, %" PRId64 " made here, %" PRId64
	    " by other installations, %" PRId64 " unknown\n",
	    jval_int(o, "listed", 0), jval_int(o, "ours", 0),
	    jval_int(o, "other_installations", 0), orphans);
	for (i = 0; i < jval_size(list); i++)
		add_orphan(b, t, jval_at(list, i));
}

static enum ctl_exit
tell_all(struct ctl *ctl, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "backends"),
	    "backends");
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	int64_t alive = 0, failed = 0;
	struct term t;
	size_t i;

	term_init(&t, STDOUT_FILENO);
	for (i = 0; i < jval_size(list); i++)
		add_backend(&b, &t, jval_at(list, i), &alive, &failed);
	fputs(strbuf_str(&b), stdout);
	if (failed)
		return CTL_NOT_READY;
	return alive ? CTL_FAILED : CTL_OK;
}

static enum ctl_exit
do_reconcile(struct ctl *ctl, const struct args *args)
{
	struct secret body _cleanup_(secret_clear) = SECRET_INIT;
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = "/api/v1/reconcile", .timeout_ms = ASK_LONG_MS };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct json_t *o _cleanup_jval_ = NULL;
	struct tb_error err = TB_ERROR_INIT;
	enum ctl_exit e;

	if (args->n_args) {
		strbuf_adds(&text, "{\"backend\":");
		strbuf_add_json(&text, args->arg[0]);
		strbuf_addc(&text, '}');
		secret_set_str(&body, strbuf_str(&text));
		a.body = &body;
	}
	e = ask(ctl, &a, &r);
	if (e != CTL_OK)
		return e;
	if (args->opt[RECONCILE_JSON].set)
		return ctl_write(ctl, &r.body, true);
	o = jval_parse(&r.body, &err);
	if (!o)
		return ctl_fail(ctl, &err);
	if (!streq(jval_str(o, "state"), "working"))
		return tell_all(ctl, o);
	ctl_complain(ctl, "it takes longer; the daemon goes on with it: see "
	    "'tokenbrokerctl status'");
	return CTL_NOT_READY;
}

const struct command cmd_reconcile = {
	.name = "reconcile", .synopsis = "[--json] [BACKEND]",
	.summary = "Look for tokens made here that nobody knows",
	.help = "Asks the services for their lists now, and not only every "
	    "reconcile_interval.\nThe exit status is 1 when there is such a "
	    "token, 5 when a service could not be asked.",
	.opts = reconcile_opts, .n_opts = N_RECONCILE, .max_args = 1,
	.fn = do_reconcile,
};
