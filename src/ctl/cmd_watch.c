/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - the options of what watch.c does, from the command line and from a
 * file. What the command line says goes before what the file says.
 */
#include <signal.h>

#include "base/fs.h"
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/watch.h"

#define CONFIG_CAP ((size_t)64 << 10)

enum { W_ALLOW_DISK, W_CANARY, W_CONFIG, W_EXEC, W_EXEC_TIMEOUT, W_GRACE,
	W_KEY, W_KEYRING, W_MODE, W_ONCE, W_OWNER, W_PID_FILE, W_RELOAD_UNIT,
	W_REMOVE_ON_EXIT, W_SET, W_SIGNAL, W_TEMPLATE, W_TOKEN, W_WRITE,
	N_WATCH };
static const struct opt_spec watch_opts[N_WATCH] = {
	[W_ALLOW_DISK] = { "allow-disk", 0, OPT_FLAG, NULL,
	    "write also where it is not in memory" },
	[W_CANARY] = { "canary", 0, OPT_TEXT, "COMMAND",
	    "must accept the new content before it is written" },
	[W_CONFIG] = { "config", 0, OPT_TEXT, "FILE",
	    "these options, one 'option = value' per line" },
	[W_EXEC] = { "exec", 0, OPT_TEXT, "COMMAND",
	    "run it after each change; or -- COMMAND" },
	[W_EXEC_TIMEOUT] = { "exec-timeout", 0, OPT_DURATION, "DURATION",
	    "how long a command may take (default: 30s)" },
	[W_GRACE] = { "grace", 0, OPT_DURATION, "DURATION",
	    "refused for so long, the value is removed (default: 1m)" },
	[W_KEY] = { "key", 0, OPT_TEXT, "NAME",
	    "of the key in the keyring (default: the token's)" },
	[W_KEYRING] = { "keyring", 0, OPT_TEXT, "RING[:NAME]",
	    "put it into that keyring: user, session, user-session" },
	[W_MODE] = { "mode", 0, OPT_TEXT, "MODE",
	    "of the file (default: 0600)" },
	[W_ONCE] = { "once", 0, OPT_FLAG, NULL, "deliver once and exit" },
	[W_OWNER] = { "owner", 0, OPT_TEXT, "USER[:GROUP]", "of the file" },
	[W_PID_FILE] = { "pid-file", 0, OPT_TEXT, "FILE[:SIGNAL]",
	    "signal that process after each change (HUP)" },
	[W_RELOAD_UNIT] = { "reload-unit", 0, OPT_TEXT, "UNIT",
	    "reload it, or restart it, after each change" },
	[W_REMOVE_ON_EXIT] = { "remove-on-exit", 0, OPT_FLAG, NULL,
	    "remove the file and the key in the end" },
	[W_SET] = { "set", 0, OPT_LIST, "KEY=VALUE",
	    "for {{var KEY}} in the template; may be repeated" },
	[W_SIGNAL] = { "signal", 0, OPT_TEXT, "UNIT:SIGNAL",
	    "signal its main process after each change" },
	[W_TEMPLATE] = { "template", 0, OPT_TEXT, "TEMPLATE",
	    "what to write; without '/': one of those installed" },
	[W_TOKEN] = { "token", 0, OPT_TEXT, "TOKEN", "instead of NAME" },
	[W_WRITE] = { "write", 0, OPT_TEXT, "PATH",
	    "the file that is replaced on each change" },
};

/* "SIGHUP", "HUP"; -1: none that one may want. */
static int
signal_number(const char *name)
{
	int s;

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (s = 1; s < NSIG; s++)
		if (streq(sigabbrev_np(s), name))
			return s;
	return -1;
}

static int
take_signals(const struct opt_value *o, struct watch_conf *c,
    struct tb_error *err)
{
	const char *text = o[W_SIGNAL].text, *colon;

	if (o[W_SIGNAL].set) {
		colon = strrchr(text, ':');
		if (!colon || colon == text || signal_number(colon + 1) < 0)
			return tb_error_set(err, TB_E_BADREQ, "--signal: "
			    "'%.80s' is not UNIT:SIGNAL, as in "
			    "telegraf.service:HUP", text);
		c->signal_unit = xstrndup(text, (size_t)(colon - text));
		c->signal_name = xasprintf("SIG%s",
		    sigabbrev_np(signal_number(colon + 1)));
	}
	if (o[W_PID_FILE].set) {
		text = o[W_PID_FILE].text;
		colon = strrchr(text, ':');
		c->pid_signal = colon ? signal_number(colon + 1) : -1;
		c->pid_file = c->pid_signal > 0 ? xstrndup(text,
		    (size_t)(colon - text)) : xstrdup(text);
		if (c->pid_signal < 0)
			c->pid_signal = SIGHUP;
	}
	return 0;
}

static int
take_sinks(const struct opt_value *o, struct watch_conf *c,
    struct tb_error *err)
{
	c->sink.path = o[W_WRITE].text;
	c->sink.allow_disk = o[W_ALLOW_DISK].set;
	if (o[W_MODE].set &&
	    sink_parse_mode(o[W_MODE].text, &c->sink.mode, err) < 0)
		return -1;
	if (o[W_OWNER].set &&
	    sink_parse_owner(o[W_OWNER].text, &c->sink, err) < 0)
		return -1;
	if (!o[W_WRITE].set && (o[W_MODE].set || o[W_OWNER].set ||
	    o[W_ALLOW_DISK].set))
		return tb_error_set(err, TB_E_BADREQ, "--mode, --owner and "
		    "--allow-disk are for --write PATH");
	if (!o[W_KEYRING].set)
		return o[W_KEY].set ? tb_error_set(err, TB_E_BADREQ, "--key "
		    "is for --keyring") : 0;
	c->keyring.key = o[W_KEY].set ? o[W_KEY].text : c->own;
	if (!c->keyring.key)
		return tb_error_set(err, TB_E_BADREQ, "what is the key to be "
		    "called? --key NAME");
	return keyring_parse(o[W_KEYRING].text, &c->keyring, err);
}

static int
take_commands(const struct opt_value *o, char *const *rest,
    struct watch_conf *c, struct tb_error *err)
{
	if (o[W_CANARY].set && words_split(o[W_CANARY].text, &c->canary,
	    err) < 0)
		return tb_error_wrap(err, "--canary");
	if (o[W_EXEC].set && *rest)
		return tb_error_set(err, TB_E_BADREQ, "--exec and -- COMMAND "
		    "are the same: give one of them");
	if (o[W_EXEC].set && words_split(o[W_EXEC].text, &c->exec, err) < 0)
		return tb_error_wrap(err, "--exec");
	for (; *rest; rest++)
		words_add(&c->exec, *rest);
	c->reload_unit = o[W_RELOAD_UNIT].text;
	if (o[W_EXEC_TIMEOUT].set)
		c->exec_limit_ms = MAX2(o[W_EXEC_TIMEOUT].number, 100);
	if (o[W_GRACE].set)
		c->grace_ms = o[W_GRACE].number;
	return take_signals(o, c, err);
}

static int
take_template(const struct opt_value *o, char **path, struct watch_conf *c,
    struct tb_error *err)
{
	size_t i;

	for (i = 0; i < c->n_vars; i++)
		if (!strchr(c->vars[i], '='))
			return tb_error_set(err, TB_E_BADREQ, "--set: "
			    "'%.60s' is not KEY=VALUE", c->vars[i]);
	if (!o[W_TEMPLATE].set)
		return c->own ? 0 : tb_error_set(err, TB_E_BADREQ,
		    "which token? tokenbrokerctl watch NAME ...");
	*path = strchr(o[W_TEMPLATE].text, '/') ?
	    xstrdup(o[W_TEMPLATE].text) :
	    xasprintf(PKGDATADIR "/templates/%s", o[W_TEMPLATE].text);
	c->tmpl_file = *path;
	return watch_read_template(c, err);
}

static int
take_all(const struct opt_value *o, const struct args *args, char **path,
    struct watch_conf *c, struct tb_error *err)
{
	if (o[W_TOKEN].set && args->n_args)
		return tb_error_set(err, TB_E_BADREQ, "NAME and --token are "
		    "the same: give one of them");
	c->own = args->n_args ? args->arg[0] : o[W_TOKEN].text;
	if (take_template(o, path, c, err) < 0 || take_sinks(o, c, err) < 0 ||
	    take_commands(o, args->rest, c, err) < 0)
		return -1;
	c->once = o[W_ONCE].set;
	c->remove_on_exit = o[W_REMOVE_ON_EXIT].set;
	if (c->sink.path || c->keyring.key || c->exec.n)
		return 0;
	return tb_error_set(err, TB_E_BADREQ, "where to? --write PATH, "
	    "--keyring RING or --exec COMMAND");
}

/* What the file says, where the command line says nothing. */
static int
add_config(const struct words *file, const struct args *args,
    struct opt_value *o, const char **list, size_t *n_list,
    struct tb_error *err)
{
	struct opt_result r;
	size_t i;

	if (opt_parse(watch_opts, N_WATCH, (int)file->n, file->v, 0, false,
	    &r, err) < 0)
		return -1;
	if (r.value[W_CONFIG].set)
		return tb_error_set(err, TB_E_BADREQ, "no 'config' in a file "
		    "of --config");
	for (i = 0; i < N_WATCH; i++)
		if (!o[i].set && !(i == W_TOKEN && args->n_args) &&
		    !(i == W_EXEC && *args->rest))
			o[i] = r.value[i];
	if (args->n_list + r.n_list > OPT_LIST_MAX)
		return tb_error_set(err, TB_E_BADREQ, "--set is given more "
		    "than %d times", OPT_LIST_MAX);
	/* the first of a key counts */
	for (i = 0; i < r.n_list; i++)
		list[(*n_list)++] = r.list[i];
	return 0;
}

static int
read_config(const char *file, struct words *out, struct tb_error *err)
{
	_cleanup_free_ char *text = NULL;

	if (fs_read_text(file, CONFIG_CAP, &text, err) < 0)
		return -1;
	return words_from_options(file, text, out, err);
}

static enum ctl_exit
do_watch(struct ctl *ctl, const struct args *args)
{
	struct watch_conf c _cleanup_(watch_conf_clear) = WATCH_CONF_INIT;
	struct words file _cleanup_(words_clear) = WORDS_INIT;
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ char *path = NULL, *label = NULL;
	const char *list[OPT_LIST_MAX];
	struct opt_value o[N_WATCH];
	size_t n_list = args->n_list;

	memcpy(o, args->opt, sizeof(o));
	memcpy(list, args->list, n_list * sizeof(*list));
	if (o[W_CONFIG].set && read_config(o[W_CONFIG].text, &file,
	    &err) == 0 && add_config(&file, args, o, list, &n_list, &err) < 0)
		tb_error_wrap(&err, "%.200s", o[W_CONFIG].text);
	c.vars = list;
	c.n_vars = n_list;
	if (err.code || take_all(o, args, &path, &c, &err) < 0) {
		ctl_fail(ctl, &err);
		return err.code == TB_E_BADREQ ? CTL_USAGE : CTL_FAILED;
	}
	label = xasprintf("watch %s", c.own ? c.own : c.tmpl_file);
	ctl->command = label;
	return watch_run(ctl, &c);
}

const struct command cmd_watch = {
	.name = "watch",
	.synopsis = "[NAME] --write PATH [--template FILE] [OPTION...] "
	    "[-- COMMAND...]\n       tokenbrokerctl watch [NAME] --keyring "
	    "RING | --exec COMMAND [OPTION...]\n       tokenbrokerctl watch "
	    "--config FILE",
	.summary = "Keep a file, a key or a program at the newest value",
	.help = "It goes on until it is ended. What it has written is removed "
	    "when the value\nexpires and when the daemon refuses it, never "
	    "because the daemon is away.\nCommands get the path of the "
	    "content in TOKENBROKER_FILE.",
	.opts = watch_opts, .n_opts = N_WATCH, .min_args = 0, .max_args = 1,
	.names = COMPLETE_TOKENS, .splits = true, .fn = do_watch,
};
