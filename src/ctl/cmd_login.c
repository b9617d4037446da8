/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login - a device login from start to end, on one connection: the daemon
 * cancels the attempt when that connection closes, so leaving by any way
 * (Ctrl-C, a closed terminal, kill -9) leaves no code behind that somebody
 * could still approve.
 *
 *   POST logins/NAME -> code shown -> GET (waits) -> [confirm: shown, asked]
 *                                   -> granted | failed
 */
#include <signal.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/login_screen.h"
#include "ctl/phrase.h"
#include "ctl/qr.h"

#define WAIT_S 20     /* how long the daemon holds one GET */
#define GRACE_S 60    /* after the code's end, for the daemon to say so */
#define CONFIRM_S 300 /* the operator's time to answer */

enum { LOGIN_EXPECT, LOGIN_REPIN, LOGIN_YES, LOGIN_JSON, LOGIN_QR,
	LOGIN_NO_QR, N_LOGIN };
static const struct opt_spec login_opts[N_LOGIN] = {
	{ "expect", 0, OPT_TEXT, "CLAIM=VALUE", "pin only an account with "
	    "this claim, for example email=ops@example.com" },
	{ "repin", 0, OPT_FLAG, NULL, "another account than before may "
	    "approve" },
	{ "yes", 'y', OPT_FLAG, NULL, "pin whoever approves, without asking" },
	{ "json", 0, OPT_FLAG, NULL, "one JSON object per line and event" },
	{ "qr", 0, OPT_FLAG, NULL, "draw the QR code even where it is not "
	    "expected to fit" },
	{ "no-qr", 0, OPT_FLAG, NULL, "do not draw the QR code" },
};

struct attempt {
	struct ctl *ctl;
	const struct opt_value *opt;
	const char *name;
	char *path;
	struct term term;
	int64_t expires_at; /* now_boot_ms */
	int64_t said_s;     /* what the last plain line said was left */
	bool line_open;     /* a countdown stands on the terminal's last line */
	char *human;        /* confirmed by the operator, or NULL */
};

static volatile sig_atomic_t interrupted; /* the signal */

static void
on_signal(int sig)
{
	interrupted = sig;
}

/* Blocked but for the waits of the client, so that none is missed. */
static void
catch_signals(struct client *c, sigset_t *wait_mask)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block;
	size_t i;

	sigemptyset(&block);
	for (i = 0; i < ARRAY_SIZE(caught); i++) {
		sigaddset(&block, caught[i]);
		sigaction(caught[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, wait_mask);
	for (i = 0; i < ARRAY_SIZE(caught); i++)
		sigdelset(wait_mask, caught[i]);
	c->wait_mask = wait_mask;
	c->interrupted = &interrupted;
}

static bool
is_json(const struct attempt *l)
{
	return l->opt[LOGIN_JSON].set;
}

static void
end_line(struct attempt *l)
{
	if (l->line_open)
		fputs("\r\033[K", stdout);
	l->line_open = false;
	fflush(stdout);
}

static void
print_json(const struct json_t *o)
{
	jval_print(o, stdout);
	fflush(stdout);
}

/* The attempt goes away with the connection. Ends as the signal would have,
 * so that a shell script with us in a loop ends, too. */
static enum ctl_exit
leave_by_signal(struct attempt *l)
{
	int sig = (int)interrupted;
	sigset_t one;

	client_close(&l->ctl->admin);
	end_line(l);
	if (is_json(l))
		printf("{\"state\":\"cancelled\"}\n");
	else
		printf("Cancelled. The code is void, nothing was changed.\n");
	fflush(stdout);
	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return CTL_FAILED;
}

/* Every second while we wait. */
static void
on_tick(void *arg)
{
	struct attempt *l = arg;
	int64_t left = (l->expires_at - now_boot_ms() + 999) / 1000;
	char buf[PHRASE_SIZE];

	if (is_json(l))
		return;
	if (l->term.moves) {
		printf("\r\033[KWaiting for approval, %s left (Ctrl-C "
		    "cancels)", phrase_countdown(left, buf, sizeof(buf)));
		l->line_open = true;
	} else if (l->said_s < 0 || left <= l->said_s - 60) {
		l->said_s = left;
		printf("Waiting for approval, %s left.\n", phrase_minutes(left,
		    buf, sizeof(buf)));
	}
	fflush(stdout);
}

static void
show_prompt(struct attempt *l, const struct json_t *o)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct qr qr _cleanup_(qr_clear) = QR_INIT;
	char host[256] = "";
	struct login_prompt p = { .login = l->name, .host = host,
		.user_code = jval_str(o, "user_code"),
		.uri = jval_str(o, "verification_uri"),
		.uri_complete = jval_str(o, "verification_uri_complete") };
	const char *uri = p.uri_complete ? p.uri_complete : p.uri;
	bool want = l->opt[LOGIN_QR].set ||
	    (l->term.is_terminal && !l->opt[LOGIN_NO_QR].set);

	if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
		snprintf(host, sizeof(host), "localhost");
	if (want && !qr_encode(uri, &qr))
		ctl_note(l->ctl, "no QR code: libqrencode is not installed, "
		    "or the address is too long");
	login_screen_prompt(&b, &p, qr.modules ? &qr : NULL,
	    l->opt[LOGIN_QR].set, &l->term);
	fputs(strbuf_str(&b), stdout);
	fflush(stdout);
}

/* -------------------------------------------------------------- requests */

static enum ctl_exit
call(struct attempt *l, const char *method, const char *tail,
    const char *fields, const char *body, struct json_t **out)
{
	struct secret bytes _cleanup_(secret_clear) = SECRET_INIT;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	_cleanup_free_ char *path = xasprintf("%s%s", l->path, tail);
	struct client_request q = { .method = method, .path = path,
		.fields = fields, .timeout_ms = ASK_TIMEOUT_MS };
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (body) {
		secret_set_str(&bytes, body);
		q.body = &bytes;
	}
	if (client_call(&l->ctl->admin, &q, &r, &err) < 0) {
		if (interrupted)
			return leave_by_signal(l);
		end_line(l);
		if (l->ctl->admin.sticky && err.code == TB_E_TRANSIENT)
			tb_error_wrap(&err, "the attempt is void, start "
			    "again");
		return ctl_fail(l->ctl, &err);
	}
	if (r.status >= 300) {
		end_line(l);
		problem_from_reply(&refused, &r);
		return ctl_fail_problem(l->ctl, &refused, ASK_ADMIN);
	}
	*out = jval_parse(&r.body, &err);
	return *out ? CTL_OK : ctl_fail(l->ctl, &err);
}

static enum ctl_exit
refuse_unattended(const struct attempt *l)
{
	ctl_complain(l->ctl, "nobody can be asked here whether the account "
	    "that approved is the right one; give --expect CLAIM=VALUE (for "
	    "example email=ops@example.com), or --yes to pin whoever approves");
	return CTL_HUMAN_NEEDED;
}

static bool
can_confirm(const struct attempt *l)
{
	return l->opt[LOGIN_EXPECT].set || l->opt[LOGIN_YES].set ||
	    (!is_json(l) && term_can_ask() && l->term.is_terminal);
}

/* Where nobody can be asked, a first login is refused before a human has been
 * troubled. When the list does not say, the daemon's question decides. */
static bool
will_be_asked_in_vain(struct attempt *l)
{
	static const struct client_request q = { .method = "GET",
		.path = "/api/v1/logins", .timeout_ms = ASK_TIMEOUT_MS };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error ignored = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = NULL;
	const struct json_t *list, *one;
	size_t i;

	if (can_confirm(l) ||
	    client_call(&l->ctl->admin, &q, &r, &ignored) < 0 ||
	    r.status != 200)
		return false;
	o = jval_parse(&r.body, &ignored);
	list = jval_list(o, "logins");
	for (i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		if (jval_is_object(one) && streq(jval_name(one), l->name))
			return l->opt[LOGIN_REPIN].set ||
			    streq(jval_str(one, "state"), "empty");
	}
	return false;
}

static enum ctl_exit
start(struct attempt *l)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct json_t *o _cleanup_jval_ = NULL;
	enum ctl_exit e;

	if (will_be_asked_in_vain(l))
		return refuse_unattended(l);
	strbuf_addf(&body, "{\"repin\":%s",
	    l->opt[LOGIN_REPIN].set ? "true" : "false");
	if (l->opt[LOGIN_EXPECT].set) {
		strbuf_adds(&body, ",\"expect\":");
		strbuf_add_json(&body, l->opt[LOGIN_EXPECT].text);
	}
	strbuf_addc(&body, '}');
	e = call(l, "POST", "", NULL, strbuf_str(&body), &o);
	if (e != CTL_OK)
		return e;
	l->ctl->admin.sticky = true;
	if (!jval_str(o, "user_code") || !jval_str(o, "verification_uri")) {
		ctl_complain(l->ctl, "the daemon's answer has no code and "
		    "address to show");
		return CTL_FAILED;
	}
	l->expires_at = now_boot_ms() + jval_int(o, "expires_in", 600) * 1000;
	if (is_json(l))
		print_json(o);
	else
		show_prompt(l, o);
	return CTL_OK;
}

/* --------------------------------------------------------------- confirm */

/* Asks the operator; ends on an answer, a signal, a lost connection. */
static enum ctl_exit
ask_operator(struct attempt *l, const struct json_t *claims, bool *yes)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	char line[16];

	strbuf_addf(&b, "Approved by this account, verified at the provider:"
	    "\n\n");
	login_screen_claims(&b, claims, &l->term);
	strbuf_adds(&b, "\nFrom now on, only this account can approve logins "
	    "of this name.\nPin this account? [y/N] ");
	fputs(strbuf_str(&b), stdout);
	fflush(stdout);
	switch (client_wait(&l->ctl->admin, STDIN_FILENO,
	    (int64_t)CONFIRM_S * 1000)) {
	case CLIENT_FD:
		*yes = fgets(line, sizeof(line), stdin) &&
		    term_answer_is_yes(line);
		return CTL_OK;
	case CLIENT_SIGNAL:
		printf("\n");
		return leave_by_signal(l);
	case CLIENT_LOST:
		ctl_complain(l->ctl, "the daemon ended the attempt; start "
		    "again");
		return CTL_FAILED;
	case CLIENT_TIMEOUT:
		break;
	}
	ctl_complain(l->ctl, "no answer within %d minutes: not pinned",
	    CONFIRM_S / 60);
	return CTL_HUMAN_NEEDED;
}

static enum ctl_exit
confirm(struct attempt *l, const struct json_t *news)
{
	const struct json_t *claims = jval_get(news, "claims");
	struct json_t *ignored _cleanup_jval_ = NULL;
	bool yes = l->opt[LOGIN_EXPECT].set || l->opt[LOGIN_YES].set;
	bool asked = !yes && can_confirm(l);
	enum ctl_exit e = CTL_OK;

	end_line(l);
	if (is_json(l))
		print_json(news);
	if (asked)
		e = ask_operator(l, claims, &yes);
	if (e != CTL_OK)
		return e;
	str_set(&l->human, login_screen_human(claims));
	e = call(l, "POST", "/confirm", NULL, yes ? "{\"confirm\":true}" :
	    "{\"confirm\":false}", &ignored);
	if (e != CTL_OK || yes)
		return e;
	if (!asked)
		return refuse_unattended(l);
	printf("Not pinned. The grant is thrown away, nothing was changed.\n");
	return CTL_HUMAN_NEEDED;
}

/* ------------------------------------------------------------------- end */

static enum ctl_exit
granted(struct attempt *l, const struct json_t *news)
{
	struct strbuf who _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *human = login_screen_human(jval_get(news,
	    "claims"));

	end_line(l);
	if (is_json(l)) {
		print_json(news);
		return CTL_OK;
	}
	if (!human)
		human = l->human;
	if (human) {
		strbuf_adds(&who, ", in the name of ");
		term_add_clean(&who, human, l->term.utf8);
	}
	printf("%sLogged in%s: '%s'%s.\nTokens are minted and renewed from "
	    "here on. See them with: tokenbrokerctl status\n",
	    term_on(&l->term, TERM_GREEN), term_off(&l->term), l->name,
	    strbuf_str(&who));
	return CTL_OK;
}

static enum ctl_exit
failed(struct attempt *l, const struct json_t *news)
{
	struct problem p _cleanup_(problem_clear) = PROBLEM_INIT;
	const struct json_t *error = jval_get(news, "error");

	end_line(l);
	if (is_json(l))
		print_json(news);
	problem_from_json(&p, error ? error : news);
	return ctl_fail_problem(l->ctl, &p, ASK_ADMIN);
}

/* One answer of the daemon. True: the attempt is over, with *e. */
static bool
take_news(struct attempt *l, const struct json_t *news, enum ctl_exit *e)
{
	const char *state = jval_str(news, "state");

	if (streq(state, "granted")) {
		*e = granted(l, news);
		return true;
	}
	if (streq(state, "failed")) {
		*e = failed(l, news);
		return true;
	}
	if (streq(state, "confirm")) {
		*e = confirm(l, news);
		return *e != CTL_OK;
	}
	return false;
}

static enum ctl_exit
follow(struct attempt *l)
{
	char prefer[40];
	int64_t asked_at;
	enum ctl_exit e;
	bool over = false;

	snprintf(prefer, sizeof(prefer), "Prefer: wait=%d\r\n", WAIT_S);
	on_tick(l);
	while (!over) {
		struct json_t *news _cleanup_jval_ = NULL;

		asked_at = now_boot_ms();
		if (asked_at > l->expires_at + GRACE_S * 1000) {
			end_line(l);
			ctl_complain(l->ctl, "nobody approved in time; start "
			    "again");
			return CTL_HUMAN_NEEDED;
		}
		e = call(l, "GET", "", prefer, NULL, &news);
		if (e != CTL_OK)
			return e;
		over = take_news(l, news, &e);
		/* A daemon that does not hold the request must not make us
		 * ask in a circle. */
		if (!over && !streq(jval_str(news, "state"), "confirm") &&
		    now_boot_ms() - asked_at < 500)
			client_wait(&l->ctl->admin, -1, 1000);
	}
	return e;
}

static enum ctl_exit
do_login(struct ctl *ctl, const struct args *args)
{
	struct attempt l = { .ctl = ctl, .opt = args->opt,
		.name = args->arg[0], .said_s = -1 };
	struct client *c = &ctl->admin;
	sigset_t wait_mask;
	enum ctl_exit e;

	if (l.opt[LOGIN_EXPECT].set &&
	    (!strchr(l.opt[LOGIN_EXPECT].text, '=') ||
	    *l.opt[LOGIN_EXPECT].text == '=')) {
		ctl_complain(ctl, "--expect: '%.60s' is not CLAIM=VALUE",
		    l.opt[LOGIN_EXPECT].text);
		return CTL_USAGE;
	}
	l.path = ask_path("logins/", l.name, "");
	term_init(&l.term, STDOUT_FILENO);
	catch_signals(c, &wait_mask);
	e = start(&l);
	if (e == CTL_OK) {
		c->tick = on_tick;
		c->tick_arg = &l;
		e = follow(&l);
	}
	free(l.path);
	free(l.human);
	return e;
}

const struct command cmd_login = {
	.name = "login",
	.synopsis = "[--expect CLAIM=VALUE] [--repin] [--yes] [--json] "
	    "[--qr | --no-qr] NAME",
	.summary = "Have a human approve a login of this host",
	.help = "Shows an address and a code. A human opens the address on "
	    "any device,\ncompares the code, signs in and approves. The "
	    "account that approves first\nis pinned: from then on no other "
	    "one counts.",
	.opts = login_opts, .n_opts = N_LOGIN, .min_args = 1, .max_args = 1,
	.names = COMPLETE_LOGINS, .fn = do_login,
};
