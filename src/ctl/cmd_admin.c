/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate, logout, reload, import: what operators change. Each is one
 * request; what the daemon says about it is told in a sentence.
 */
#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/command.h"
#include "ctl/phrase.h"
#include "ctl/term.h"

#define VALUE_CAP ((size_t)32 << 10)

/* "Rotated NAME: generation 7, expires in 6d 23h." */
static void
print_generation(const char *what, const char *token,
    const struct json_t *answer)
{
	int64_t expires = jval_time(answer, "expires_at");
	char when[PHRASE_SIZE];

	printf("%s %s", what, token);
	if (jval_int(answer, "generation", 0) > 0)
		printf(": generation %" PRId64,
		    jval_int(answer, "generation", 0));
	if (jval_int(answer, "holders", 0) > 0)
		printf(" for %" PRId64 " holder%s",
		    jval_int(answer, "holders", 0),
		    jval_int(answer, "holders", 0) == 1 ? "" : "s");
	if (jval_int(answer, "failed", 0) > 0)
		printf(", not for %" PRId64 ": %s",
		    jval_int(answer, "failed", 0),
		    jval_str(answer, "last_error"));
	if (expires > 0)
		printf(", expires %s", phrase_when(expires - now_real_s(),
		    when, sizeof(when)));
	printf(".\n");
}

static enum ctl_exit
do_rotate(struct ctl *ctl, const struct args *args)
{
	_cleanup_free_ char *path = ask_path("tokens/", args->arg[0],
	    "/rotate");
	const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = path, .timeout_ms = ASK_LONG_MS };
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e = ask_job(ctl, &a, &answer);

	if (e == CTL_OK)
		print_generation("Rotated", args->arg[0], answer);
	return e;
}

const struct command cmd_rotate = {
	.name = "rotate", .synopsis = "NAME",
	.summary = "Mint a new generation of a token now",
	.help = "The generations before it live on to their own expiry. It "
	    "returns when the\nnew one is ready, which may take minutes "
	    "where it has to be probed.",
	.names = COMPLETE_ALL_TOKENS,
	.min_args = 1, .max_args = 1, .fn = do_rotate,
};

enum ctl_exit
cmd_admin_tell_counts(const struct ctl *ctl, const struct json_t *answer)
{
	int64_t revoked = jval_int(answer, "revoked", 0);
	int64_t forgotten = jval_int(answer, "forgotten", 0);
	int64_t failed = jval_int(answer, "failed", 0);
	const char *why = jval_str(answer, "last_error");

	printf("%" PRId64 " generation%s revoked at the service", revoked,
	    revoked == 1 ? "" : "s");
	if (forgotten)
		printf(", %" PRId64 " forgotten here only (the service cannot "
		    "revoke: they live to their expiry)", forgotten);
	printf(".\n");
	if (failed == 0)
		return CTL_OK;
	ctl_complain(ctl, "%" PRId64 " could not be revoked and may still be "
	    "alive at the service: %s; see 'tokenbrokerctl status'", failed,
	    why ? why : "no reason given");
	return CTL_FAILED;
}

enum { LOGOUT_KEEP_TOKENS, N_LOGOUT };
static const struct opt_spec logout_opts[N_LOGOUT] = {
	{ "keep-tokens", 0, OPT_FLAG, NULL,
	    "do not revoke what was minted on this login" },
};

static enum ctl_exit
do_logout(struct ctl *ctl, const struct args *args)
{
	bool keep = args->opt[LOGOUT_KEEP_TOKENS].set;
	_cleanup_free_ char *path = ask_path("logins/", args->arg[0],
	    keep ? "?keep_tokens=yes" : "");
	const struct ask a = { .door = ASK_ADMIN, .method = "DELETE",
		.path = path, .timeout_ms = ASK_LONG_MS };
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e = ask_job(ctl, &a, &answer);
	const char *why;

	if (e != CTL_OK)
		return e;
	printf("Logged out of '%s' on this host. ", args->arg[0]);
	if (keep)
		printf("Its tokens live on to their expiry.\n");
	else
		e = cmd_admin_tell_counts(ctl, answer);
	why = jval_str(answer, "grant_error");
	if (why) {
		ctl_complain(ctl, "the provider did not revoke the grant, "
		    "which this host has forgotten: %s; end the session "
		    "there", why);
		e = CTL_FAILED;
	}
	if (jval_is_false(answer, "on_disk")) {
		ctl_complain(ctl, "the logout cannot be written to the disk "
		    "yet, which is tried again by itself: do not restart the "
		    "daemon before, or the login comes back; see "
		    "'tokenbrokerctl health'");
		e = CTL_FAILED;
	}
	return e;
}

const struct command cmd_logout = {
	.name = "logout", .synopsis = "[--keep-tokens] NAME",
	.summary = "Revoke a login's tokens and give its grant back",
	.help = "The exit status is 1 when something may still be alive at "
	    "the provider or\na service; here, the login is gone in any "
	    "case.",
	.opts = logout_opts, .n_opts = N_LOGOUT, .min_args = 1, .max_args = 1,
	.names = COMPLETE_LOGINS, .fn = do_logout,
};

static enum ctl_exit
do_reload(struct ctl *ctl, const struct args *args)
{
	static const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = "/api/v1/reload", .timeout_ms = ASK_TIMEOUT_MS };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	enum ctl_exit e = ask_or_refusal(ctl, &a, &r, &refused);

	if (e != CTL_OK)
		return e;
	if (!refused.code) {
		printf("Reloaded.\n");
		return CTL_OK;
	}
	if (refused.status != 422)
		return ctl_fail_problem(ctl, &refused, ASK_ADMIN);
	ctl_complain(ctl, "%s; the configuration of before stays in force",
	    refused.detail);
	return CTL_FAILED;
}

const struct command cmd_reload = {
	.name = "reload", .synopsis = "",
	.summary = "Have the daemon read its configuration again",
	.help = "All or nothing: with an error, told with file and line, "
	    "nothing changes.",
	.fn = do_reload,
};

/* --------------------------------------------------------------- import */

enum { IMPORT_EXPIRES_AT, IMPORT_ID, N_IMPORT };
static const struct opt_spec import_opts[N_IMPORT] = {
	{ "expires-at", 0, OPT_TEXT, "TIME", "2026-11-22T17:20:00Z, or 90d "
	    "from now (required)" },
	{ "id", 0, OPT_TEXT, "ID", "what the service calls the token" },
};

/* The value is printable ASCII: two characters need a backslash. */
static void
add_escaped(struct secret *out, const struct secret *value)
{
	const char *s = secret_reveal(value);
	size_t i;

	for (i = 0; i < value->len; i++) {
		if (s[i] == '"' || s[i] == '\\')
			secret_append_str(out, "\\");
		secret_append(out, s + i, 1);
	}
}

static void
build_import(struct secret *body, const struct secret *value, const char *id,
    int64_t expires_at)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	char when[TIMEFMT_SIZE];

	strbuf_addf(&b, "{\"expires_at\":\"%s\",",
	    timefmt_rfc3339(expires_at, when, sizeof(when)));
	if (id) {
		strbuf_adds(&b, "\"token_id\":");
		strbuf_add_json(&b, id);
		strbuf_addc(&b, ',');
	}
	strbuf_adds(&b, "\"token\":\"");
	secret_set_str(body, strbuf_str(&b));
	add_escaped(body, value);
	secret_append_str(body, "\"}");
}

static int
parse_expiry(const struct opt_value *o, int64_t *epoch_s, struct tb_error *err)
{
	int64_t ms, now = now_real_s();

	if (!o->set)
		return tb_error_set(err, TB_E_BADREQ, "--expires-at is "
		    "required: when does the token end?");
	if (timefmt_parse_duration(o->text, &ms))
		*epoch_s = now + ms / 1000;
	else if (!timefmt_parse_rfc3339(o->text, epoch_s))
		return tb_error_set(err, TB_E_BADREQ, "--expires-at: '%.40s' "
		    "is neither a time like 2026-11-22T17:20:00Z nor a "
		    "duration like 90d", o->text);
	if (*epoch_s <= now)
		return tb_error_set(err, TB_E_BADREQ, "--expires-at: '%.40s' "
		    "is not in the future", o->text);
	return 0;
}

static enum ctl_exit
do_import(struct ctl *ctl, const struct args *args)
{
	struct secret value _cleanup_(secret_clear) = SECRET_INIT;
	struct secret body _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *path = ask_path("tokens/", args->arg[0],
	    "/import");
	const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = path, .body = &body, .timeout_ms = ASK_LONG_MS };
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *answer _cleanup_jval_ = NULL;
	int64_t expires_at;
	enum ctl_exit e;

	if (args->n_args > 1) {
		ctl_complain(ctl, "the value does not belong on the command "
		    "line, where every user of this host sees it (and your "
		    "shell keeps it); give it on standard input");
		return CTL_USAGE;
	}
	if (parse_expiry(&args->opt[IMPORT_EXPIRES_AT], &expires_at, &err) < 0)
		return ctl_complain(ctl, "%s", err.msg), CTL_USAGE;
	if (term_read_secret("Token value (not shown): ", VALUE_CAP, &value,
	    &err) < 0)
		return ctl_fail(ctl, &err);
	if (!secret_is_token(&value)) {
		ctl_complain(ctl, "standard input holds no token: one word of "
		    "printable characters was expected");
		return CTL_FAILED;
	}
	build_import(&body, &value, args->opt[IMPORT_ID].text, expires_at);
	e = ask_job(ctl, &a, &answer);
	if (e == CTL_OK)
		print_generation("Imported", args->arg[0], answer);
	return e;
}

const struct command cmd_import = {
	.name = "import", .synopsis = "--expires-at TIME [--id ID] NAME",
	.summary = "Take over a token that was made elsewhere",
	.help = "The value comes on standard input, or is asked for without "
	    "echo.",
	.opts = import_opts, .n_opts = N_IMPORT, .min_args = 1,
	.max_args = OPT_ARGS_MAX, .names = COMPLETE_ALL_TOKENS,
	.fn = do_import,
};
