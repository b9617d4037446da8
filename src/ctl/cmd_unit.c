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

/* Takes a file out of the output of `systemctl cat`. */
static void
cut_file(char *text, const char *path)
{
	_cleanup_free_ char *head = xasprintf("# %s\n", path);
	char *at = strstr(text, head), *end;

	if (!at || (at > text && at[-1] != '\n'))
		return;
	end = strstr(at + 1, "\n# /");
	memmove(at, end ? end + 1 : "", end ? strlen(end + 1) + 1 : 1);
}

/* Does the file give the unit a credential of ours that is called otherwise? */
static bool
gives_another(const struct ctl *ctl, const struct unitfile *u,
    const char *path, const char *id)
{
	_cleanup_free_ char *socket = xasprintf("%s/credential.sock",
	    ctl->run_dir);
	const struct unitfile_line *l = NULL;
	char other[UNITFILE_ID_MAX];

	while ((l = unitfile_next(u, "Service", "LoadCredential", l)))
		if (strcmp(l->file, path) == 0 &&
		    unitfile_credential(l->value, socket, other) &&
		    strcmp(other, id) != 0)
			return true;
	return false;
}

/* The unit as it is without the drop-in that is to be printed, which takes the
 * place of one of an earlier time; that one may have another credential, and
 * then the name of ours is another (sorted behind it). Empty when there is no
 * such unit. */
static char *
read_unit(const struct ctl *ctl, const char *name, const char *id,
    struct unitfile *u)
{
	const char *argv[] = { "systemctl", "--no-pager", "cat", "--", name,
		NULL };
	struct tb_error ignored = TB_ERROR_INIT;
	char *path = xasprintf("/etc/systemd/system/%s.d/tokenbroker.conf",
	    name), *text = NULL;
	int status = 1;

	if (program_read(argv, false, PRINTED_CAP, &text, &status,
	    &ignored) == 0 && status == 0) {
		unitfile_parse(u, text);
		if (gives_another(ctl, u, path, id)) {
			free(path);
			path = xasprintf("/etc/systemd/system/%s.d/"
			    "tokenbroker_%s.conf", name, id);
		}
		unitfile_clear(u);
		cut_file(text, path);
		unitfile_parse(u, text);
	} else {
		ctl_note(ctl, "there is no %s here yet (systemctl cat); put "
		    "its command in the place of COMMAND", name);
	}
	free(text);
	return path;
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
print_drop_in(const struct ctl *ctl, const char *path, const char *id,
    const struct unitfile *u)
{
	const struct unitfile_line *type = unitfile_get(u, "Service", "Type");

	printf("# %s\n[Unit]\n"
	    "Wants=tokenbroker-credential.socket\n"
	    "After=tokenbroker-credential.socket\n\n[Service]\n", path);
	if (!type || strcmp(type->value, "simple") == 0)
		printf("# With simple, TimeoutStartSec= does not count while "
		    "systemd waits for it.\nType=exec\n");
	printf("LoadCredential=%s:%s/credential.sock\n"
	    "TimeoutStartSec=" TIMEOUT "\n", id, ctl->run_dir);
	print_start(u, id);
}

static void
print_rule(const char *name, const char *id, const char *token, bool second)
{
	const char *at = strchr(name, '@');
	size_t len = at ? (size_t)(at - name) :
	    (size_t)(strrchr(name, '.') - name);
	_cleanup_free_ char *stem = xstrndup(name, len);
	char *rule = xasprintf("%s%s%s", stem, second ? "-" : "", second ? id :
	    ""), *c;

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
	_cleanup_free_ char *path = NULL;
	int room = unitfile_room(name, id);

	if (room < 0) {
		ctl_complain(ctl, "%s and the credential id %s are together "
		    "%d characters too long for the address that systemd "
		    "connects from (at most 83): choose a shorter id, "
		    "--credential ID=%s", name, id, -room, token);
		return CTL_FAILED;
	}
	path = read_unit(ctl, name, id, &u);
	print_drop_in(ctl, path, id, &u);
	print_rule(name, id, token, strstr(path, ".d/tokenbroker_") != NULL);
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
