/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt, rekey - what an operator decides about the daemon's state: that it is
 * this host's after all, and under which key it is sealed.
 */
#include <inttypes.h>

#include "base/b64.h"
#include "base/fs.h"
#include "base/tb_error.h"
#include "ctl/command.h"

#define KEY_BYTES 32
#define KEY_CAP ((size_t)4096)
#define CREDENTIALS "/run/credentials/"

enum { ADOPT_YES, N_ADOPT };
static const struct opt_spec adopt_opts[N_ADOPT] = {
	{ "yes", 'y', OPT_FLAG, NULL, "do not ask" },
};

static enum ctl_exit
do_adopt(struct ctl *ctl, const struct args *args)
{
	static const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = "/api/v1/adopt", .timeout_ms = ASK_LONG_MS };
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e;

	if (!args->opt[ADOPT_YES].set && !ctl_is_sure(ctl, "Is this host the "
	    "only one that uses this state? If another one still does, its "
	    "logins end when this one refreshes.", &e))
		return e;
	e = ask_json(ctl, &a, &answer);
	if (e == CTL_OK)
		printf("Adopted. What was held back goes on.\n");
	return e;
}

const struct command cmd_adopt = {
	.name = "adopt", .synopsis = "[--yes]",
	.summary = "Let the daemon go on with a state it has quarantined",
	.help = "A state that was restored from a backup, or comes from "
	    "another machine, is only\nserved from: nothing is refreshed, "
	    "minted or revoked. 'tokenbrokerctl status'\nsays what was "
	    "noticed. Adopt it only when no other host uses it any more.",
	.opts = adopt_opts, .n_opts = N_ADOPT, .fn = do_adopt,
};

enum { REKEY_FILE, N_REKEY };
static const struct opt_spec rekey_opts[N_REKEY] = {
	{ "key-file", 0, OPT_TEXT, "FILE", "the new key, as init-key writes it "
	    "(required)" },
};

static bool
is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
			return false;
	return true;
}

/* As 64 hexadecimal digits, whichever way the file has it. */
static int
read_key(const char *path, struct secret *hex, struct tb_error *err)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	const char *s;

	if (fs_check_private(path, 077, err) < 0 ||
	    fs_read_secret(path, KEY_CAP, &key, err) < 0)
		return -1;
	s = secret_reveal(&key);
	if (key.len == KEY_BYTES) {
		hex_encode((const unsigned char *)s, KEY_BYTES,
		    (char *)secret_alloc(hex, 2 * KEY_BYTES));
		return 0;
	}
	if ((key.len == 2 * KEY_BYTES || (key.len == 2 * KEY_BYTES + 1 &&
	    s[2 * KEY_BYTES] == '\n')) && is_hex(s, 2 * KEY_BYTES)) {
		secret_set(hex, s, 2 * KEY_BYTES);
		return 0;
	}
	return tb_error_set(err, TB_E_BADREQ, "%.200s holds no master key: "
	    "%d bytes or %d hexadecimal digits were expected; make one with "
	    "'tokenbrokerctl init-key --output FILE'", path, KEY_BYTES,
	    2 * KEY_BYTES);
}

static void
print_next(const char *file, const struct json_t *answer)
{
	const char *place = jval_str(answer, "key_file");
	char *path = realpath(file, NULL);
	const char *key = path ? path : file;

	printf("%" PRId64 " records are sealed with the new key %s.\n\n"
	    "Until the daemon has the new key, the old one (%s) still opens "
	    "them. Now put\nthe new one in its place:\n\n",
	    jval_int(answer, "records", 0), jval_str(answer, "key"),
	    jval_str(answer, "old_key"));
	if (place && strncmp(place, CREDENTIALS, strlen(CREDENTIALS)) == 0)
		printf("    systemd-creds encrypt --name=master-key %s "
		    "/etc/credstore.encrypted/master-key\n"
		    "    systemctl restart tokenbrokerd\n", key);
	else
		printf("    install -m 0400 -o $(stat -c %%U %s) %s %s\n"
		    "    tokenbrokerctl reload\n", place ? place : "FILE",
		    key, place ? place : "FILE");
	printf("\nWithout that nothing is lost, and nothing is gained "
	    "either: whoever has the old key\nand a copy of the state opens "
	    "it. Then shred the old key, and copies of the new one.\n");
	free(path);
}

static enum ctl_exit
do_rekey(struct ctl *ctl, const struct args *args)
{
	struct secret body _cleanup_(secret_clear) = SECRET_INIT;
	struct secret hex _cleanup_(secret_clear) = SECRET_INIT;
	const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = "/api/v1/rekey", .body = &body,
		.timeout_ms = ASK_LONG_MS };
	struct json_t *answer _cleanup_jval_ = NULL;
	struct tb_error err = TB_ERROR_INIT;
	enum ctl_exit e;

	if (!args->opt[REKEY_FILE].set)
		return ctl_complain(ctl, "--key-file is required; make a key "
		    "with 'tokenbrokerctl init-key --output FILE'"), CTL_USAGE;
	if (read_key(args->opt[REKEY_FILE].text, &hex, &err) < 0)
		return ctl_fail(ctl, &err);
	secret_set_str(&body, "{\"key\":\"");
	secret_append(&body, secret_reveal(&hex), hex.len);
	secret_append_str(&body, "\"}");
	e = ask_json(ctl, &a, &answer);
	if (e != CTL_OK)
		return e;
	if (!streq(jval_str(answer, "state"), "resealed")) {
		ctl_complain(ctl, "it takes longer; the daemon goes on with "
		    "it: see 'tokenbrokerctl status', then run this again");
		return CTL_NOT_READY;
	}
	print_next(args->opt[REKEY_FILE].text, answer);
	return CTL_OK;
}

const struct command cmd_rekey = {
	.name = "rekey", .synopsis = "--key-file FILE",
	.summary = "Seal what the daemon keeps with another master key",
	.help = "While everything goes on. Afterwards the daemon has to be "
	    "given that key; until\nthen both open the state, and it can be "
	    "stopped or killed at any moment.",
	.opts = rekey_opts, .n_opts = N_REKEY, .fn = do_rekey,
};
