/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenbroker-influxctl - runs influxctl for tokenbrokerd, which itself never
 * runs anything. A process and a uid of its own: what influxctl is, or what
 * comes in by it, never reads the daemon's memory, state or keys. One question
 * and one answer per connection, both JSON. Exit status: 0, 1 (it failed), 2
 * (usage).
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/tb_error.h"
#include "influxctl/helper.h"
#include "influxctl/home.h"
#include "influxctl/login.h"
#include "influxctl/server.h"
#include "lib/jsonx.h"

#define ASKER "tokenbroker"
#define SOCKET_PATH RUNSTATEDIR "/tokenbroker-influxctl/helper.sock"
#define RUN_DIR RUNSTATEDIR "/tokenbroker-influxctl/home"
#define STATE_DIR LOCALSTATEDIR "/lib/tokenbroker-influxctl"

static void
usage(FILE *out)
{
	fprintf(out,
	    "usage: tokenbroker-influxctl [OPTION...]\n"
	    "       tokenbroker-influxctl [OPTION...] login BACKEND "
	    "[-- ARGUMENT...]\n"
	    "\n"
	    "  -s, --socket PATH     where to listen (default\n"
	    "                        %s)\n"
	    "  -i, --influxctl PATH  the program (default /usr/bin/influxctl,\n"
	    "                        /usr/local/bin/influxctl)\n"
	    "  -u, --user USER       who may ask (default %s)\n"
	    "      --run-dir DIR     homes of one run, in memory (default\n"
	    "                        $RUNTIME_DIRECTORY,\n"
	    "                        %s)\n"
	    "      --state-dir DIR   homes that are kept (default\n"
	    "                        $STATE_DIRECTORY,\n"
	    "                        %s)\n"
	    "      --allow-disk      --run-dir need not be in memory\n"
	    "      --pass-env NAME   a variable that influxctl may see\n"
	    "  -h, --help            this text\n"
	    "  -V, --version         the version\n"
	    "\n"
	    "See tokenbroker-influxctl(8).\n",
	    SOCKET_PATH, ASKER, RUN_DIR, STATE_DIR);
}

static const char *
env_or(const char *name, const char *def)
{
	const char *value = getenv(name);

	return value && *value ? value : def;
}

static int
add_env(struct helper *h, const char *name)
{
	if (h->n_pass_env == HELPER_ENV_MAX || !*name)
		return -1;
	h->pass_env[h->n_pass_env++] = name;
	return 0;
}

/* -1: go on, else the exit status. */
static int
take_option(struct helper *h, int c, const char **user)
{
	switch (c) {
	case 's':
		h->socket_path = optarg;
		return -1;
	case 'i':
		h->program = optarg;
		return -1;
	case 'u':
		*user = optarg;
		return -1;
	case 1:
		h->run_dir = optarg;
		return -1;
	case 2:
		h->state_dir = optarg;
		return -1;
	case 3:
		h->allow_disk = true;
		return -1;
	case 4:
		return add_env(h, optarg) < 0 ? 2 : -1;
	case 'h':
		usage(stdout);
		return 0;
	case 'V':
		printf("tokenbroker-influxctl %s\n", PACKAGE_VERSION);
		return 0;
	default:
		usage(stderr);
		return 2;
	}
}

static int
parse_args(struct helper *h, int argc, char **argv, const char **user)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "influxctl", required_argument, NULL, 'i' },
		{ "user", required_argument, NULL, 'u' },
		{ "run-dir", required_argument, NULL, 1 },
		{ "state-dir", required_argument, NULL, 2 },
		{ "allow-disk", no_argument, NULL, 3 },
		{ "pass-env", required_argument, NULL, 4 },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c, status;

	/* "+": what is behind a command is influxctl's */
	while ((c = getopt_long(argc, argv, "+s:i:u:hV", longs, NULL)) != -1) {
		status = take_option(h, c, user);
		if (status >= 0)
			return status;
	}
	return -1;
}

static int
fail(const struct tb_error *err)
{
	log_error("influxctl", "%s", err->msg);
	return 1;
}

/* No core, no ptrace by influxctl, which has our uid. */
static int
harden(struct tb_error *err)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot forbid core dumps");
	return 0;
}

static int
find_asker(struct helper *h, const char *user, struct tb_error *err)
{
	const struct passwd *pw = getpwnam(user);

	if (!pw)
		return tb_error_set(err, TB_E_CONFIG, "there is no user '%s', "
		    "who alone could ask: is tokenbrokerd installed? (--user)",
		    user);
	h->asker = pw->pw_uid;
	return 0;
}

static int
serve(struct helper *h, const char *user)
{
	struct tb_error err = TB_ERROR_INIT;
	int fd, r;

	if (harden(&err) < 0 || find_asker(h, user, &err) < 0 ||
	    home_check_dirs(h, &err) < 0)
		return fail(&err);
	fd = server_listen(h, &err);
	if (fd < 0)
		return fail(&err);
	log_info("influxctl", "uid %u may ask at %s", (unsigned)h->asker,
	    h->socket_path);
	r = server_run(h, fd, &err);
	close(fd);
	return r < 0 ? fail(&err) : 0;
}

int
main(int argc, char **argv)
{
	struct helper h = {
		.socket_path = SOCKET_PATH,
		.run_dir = env_or("RUNTIME_DIRECTORY", RUN_DIR),
		.state_dir = env_or("STATE_DIRECTORY", STATE_DIR),
	};
	struct tb_error err = TB_ERROR_INIT;
	const char *user = ASKER;
	int status = parse_args(&h, argc, argv, &user);

	if (status >= 0)
		return status;
	jsonx_init();
	argv += optind;
	if (!*argv)
		return serve(&h, user);
	if (strcmp(*argv, "login") != 0 || !argv[1]) {
		usage(stderr);
		return 2;
	}
	if (argv[2] && strcmp(argv[2], "--") != 0) {
		usage(stderr);
		return 2;
	}
	login_exec(&h, argv[1], argv + 2 + (argv[2] != NULL), &err);
	return fail(&err);
}
