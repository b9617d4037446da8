/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit - the lines that make a unit a consumer: a drop-in for systemd and a
 * rule for the daemon. Prints them and changes nothing.
 */
#include <ctype.h>

#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/program.h"
#include "ctl/unitfile.h"

#define PRINTED_CAP ((size_t)1 << 20)
/* longer than credential_wait, so that a refusal comes first */
#define TIMEOUT "60s"

enum { UNIT_CREDENTIAL, N_UNIT };
static const struct opt_spec unit_opts[N_UNIT] = {
	{ "credential", 'c', OPT_TEXT, "ID[=TOKEN]", "what the unit calls the "
	    "token, and the token (default: both \"token\")" },
};

/* As the unit is now; empty when it does not exist yet or systemd is not to
 * be asked. */
static void
read_unit(const char *name, struct unitfile *u)
{
	const char *argv[] = { "systemctl", "--no-pager", "cat", "--", name,
		NULL };
	struct tb_error ignored = TB_ERROR_INIT;
	char *text = NULL;
	int status = 1;

	if (program_read(argv, false, PRINTED_CAP, &text, &status,
	    &ignored) == 0 && status == 0)
		unitfile_parse(u, text);
	free(text);
}

/* The same command behind a test that the credential is not empty. Several of
 * a oneshot are wrapped one by one. */
static void
print_start(const struct unitfile *u, const char *id)
{
	const struct unitfile_line *l = NULL;
	bool any = false;
	char *wrapped;

	if (unitfile_on_empty(u, id) == UNITFILE_EMPTY_FAILS)
		return;
	printf("# If the daemon is killed in the moment in which it answers, "
	    "systemd takes what\n# came, nothing, for the credential. This "
	    "fails the start then.\nExecStart=\n");
	while ((l = unitfile_next(u, "Service", "ExecStart", l))) {
		wrapped = unitfile_wrap(id, l->value);
		printf(wrapped ? "ExecStart=%s\n" : "# (cannot be wrapped: "
		    "its prefix)\nExecStart=%s\n", wrapped ? wrapped :
		    l->value);
		free(wrapped);
		any = true;
	}
	if (!any) {
		wrapped = unitfile_wrap(id, NULL);
		printf("ExecStart=%s\n", wrapped);
		free(wrapped);
	}
}

static void
print_drop_in(const struct ctl *ctl, const char *name, const char *id,
    const struct unitfile *u)
{
	const struct unitfile_line *type = unitfile_get(u, "Service", "Type");

	printf("# /etc/systemd/system/%s.d/tokenbroker.conf\n[Unit]\n"
	    "Wants=tokenbroker-credential.socket\n"
	    "After=tokenbroker-credential.socket\n\n[Service]\n", name);
	if (!type || strcmp(type->value, "simple") == 0)
		printf("# With simple, TimeoutStartSec= does not count while "
		    "systemd waits for it.\nType=exec\n");
	printf("LoadCredential=%s:%s/credential.sock\n"
	    "TimeoutStartSec=" TIMEOUT "\n", id, ctl->run_dir);
	print_start(u, id);
}

static void
print_rule(const char *name, const char *id, const char *token)
{
	const char *at = strchr(name, '@');
	size_t len = at ? (size_t)(at - name) :
	    (size_t)(strrchr(name, '.') - name);
	char *rule = xstrndup(name, len), *c;

	for (c = rule; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			*c = '-';
	printf("\n# /etc/tokenbroker/conf.d/50-%s.conf\n[client %s]\n", rule,
	    rule);
	if (at && at[1] == '.') /* a template: its instances */
		printf("unit        = %.*s*.service\n", (int)len + 1, name);
	else
		printf("unit        = %s\n", name);
	printf("door        = credential\ntokens      = %s\n", token);
	if (strcmp(id, token) != 0)
		printf("credentials = %s=%s\n", id, token);
	printf("\n# Then: systemctl daemon-reload, tokenbrokerctl reload, "
	    "systemctl restart %s.\n# The unit reads the token from the file "
	    "$CREDENTIALS_DIRECTORY/%s.\n", name, id);
	free(rule);
}

static bool
is_plain(const char *s)
{
	if (!*s || *s == '.' || strlen(s) > 64)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return false;
	return true;
}

static enum ctl_exit
print_unit(struct ctl *ctl, const char *name, const char *id,
    const char *token)
{
	struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;
	int room = unitfile_room(name, id);

	if (room < 0) {
		ctl_complain(ctl, "%s and the credential id %s are together "
		    "%d characters too long for the address that systemd "
		    "connects from (at most 83): choose a shorter id, "
		    "--credential ID=%s", name, id, -room, token);
		return CTL_FAILED;
	}
	read_unit(name, &u);
	print_drop_in(ctl, name, id, &u);
	print_rule(name, id, token);
	if (strstr(name, "@."))
		ctl_note(ctl, "the names of its instances must not be longer "
		    "than %d characters", room);
	return CTL_OK;
}

static enum ctl_exit
do_unit(struct ctl *ctl, const struct args *args)
{
	const char *pair = args->opt[UNIT_CREDENTIAL].set ?
	    args->opt[UNIT_CREDENTIAL].text : "token";
	size_t n = strcspn(pair, "=");
	char *id = xstrndup(pair, n);
	const char *token = pair[n] ? pair + n + 1 : id;
	char *name = unitfile_service_name(args->arg[0]);
	enum ctl_exit e = CTL_USAGE;

	if (!name)
		ctl_complain(ctl, "this is no name of a service unit");
	else if (!is_plain(id) || !is_plain(token))
		ctl_complain(ctl, "--credential takes ID or ID=TOKEN, both of "
		    "letters, digits, '.', '_' and '-'");
	else
		e = print_unit(ctl, name, id, token);
	free(name);
	free(id);
	return e;
}

const struct command cmd_unit = {
	.name = "unit", .synopsis = "NAME [--credential ID[=TOKEN]]",
	.summary = "Print the lines that give a unit a token",
	.help = "A drop-in for the unit, which is read as it is now, and a "
	    "rule for the daemon.\nNothing is changed.",
	.opts = unit_opts, .n_opts = N_UNIT, .min_args = 1, .max_args = 1,
	.fn = do_unit,
};
