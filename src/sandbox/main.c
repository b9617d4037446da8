/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenbroker-sandbox - a loopback identity provider and management API, to
 * try tokenbroker out and to see how it takes misfortune.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sandbox/server.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define MAIN_FAULTS_MAX 64
#define MAIN_TTL_MAX (100LL * 365 * 24 * 3600)

enum { EXIT_USAGE = 2 };

struct main_args {
	struct options options;
	const char *address;
	int64_t port;
	const char *faults[MAIN_FAULTS_MAX];
	size_t n_faults;
};

static void
main_print_help(void)
{
	printf("Usage: tokenbroker-sandbox [OPTION]...\n"
	       "A loopback identity provider and management API to try "
	       "tokenbroker out.\n\n"
	       "  --port=N            listen on port N (0: any free one; "
	       "default 0)\n"
	       "  --bind=ADDRESS      a loopback address (default 127.0.0.1)\n"
	       "  --access-ttl=S      access tokens live S seconds (3600)\n"
	       "  --refresh-ttl=S     refresh tokens live S seconds (30 days)\n"
	       "  --interval=S        seconds between polls (5)\n"
	       "  --code-ttl=S        device codes live S seconds (600)\n"
	       "  --token-ttl-max=S   longest life of what is minted (0: any)\n"
	       "  --fault=NAME[=V]    set a switch, or several\n"
	       "  --quiet             no line per request\n"
	       "  --help, --version\n\n"
	       "Prints \"READY http://ADDRESS:PORT\" when it listens.\n\n"
	       "Switches (also at run time: POST /_sandbox/fault):\n");
	fault_print_kinds();
}

static int
main_usage(const char *what, const char *value)
{
	fprintf(stderr, "tokenbroker-sandbox: %s%s%s\n", what,
	    value ? ": " : "", value ? value : "");
	fprintf(stderr, "Try --help.\n");
	return -1;
}

/* Only where nobody else can reach it: it knows no real passwords. */
static int
main_set_address(struct main_args *args, const char *text)
{
	struct in_addr in;
	struct in6_addr in6;

	if ((inet_pton(AF_INET, text, &in) == 1 &&
		ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET) ||
	    (inet_pton(AF_INET6, text, &in6) == 1 &&
		IN6_IS_ADDR_LOOPBACK(&in6))) {
		args->address = text;
		return 0;
	}
	return main_usage("not a loopback address", text);
}

static int
main_set_number(const char *text, int64_t max, int64_t *out)
{
	if (util_parse_number(text, max, out) == 0)
		return 0;
	return main_usage("not a number in range", text);
}

static int
main_add_fault(struct main_args *args, const char *text)
{
	if (args->n_faults == MAIN_FAULTS_MAX)
		return main_usage("too many faults", NULL);
	args->faults[args->n_faults++] = text;
	return 0;
}

enum {
	OPT_PORT = 256,
	OPT_BIND,
	OPT_ACCESS_TTL,
	OPT_REFRESH_TTL,
	OPT_INTERVAL,
	OPT_CODE_TTL,
	OPT_TOKEN_TTL_MAX,
	OPT_FAULT,
	OPT_QUIET,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option main_options[] = {
	{ "port", required_argument, NULL, OPT_PORT },
	{ "bind", required_argument, NULL, OPT_BIND },
	{ "access-ttl", required_argument, NULL, OPT_ACCESS_TTL },
	{ "refresh-ttl", required_argument, NULL, OPT_REFRESH_TTL },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "code-ttl", required_argument, NULL, OPT_CODE_TTL },
	{ "token-ttl-max", required_argument, NULL, OPT_TOKEN_TTL_MAX },
	{ "fault", required_argument, NULL, OPT_FAULT },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* 0: taken, 1: done already, -1: wrong and said so. */
static int
main_take_option(struct main_args *args, int opt)
{
	struct options *o = &args->options;

	switch (opt) {
	case OPT_PORT:
		return main_set_number(optarg, 65535, &args->port);
	case OPT_BIND:
		return main_set_address(args, optarg);
	case OPT_ACCESS_TTL:
		return main_set_number(optarg, MAIN_TTL_MAX, &o->access_ttl);
	case OPT_REFRESH_TTL:
		return main_set_number(optarg, MAIN_TTL_MAX, &o->refresh_ttl);
	case OPT_INTERVAL:
		return main_set_number(optarg, 3600, &o->interval);
	case OPT_CODE_TTL:
		return main_set_number(optarg, MAIN_TTL_MAX, &o->code_ttl);
	case OPT_TOKEN_TTL_MAX:
		return main_set_number(optarg, MAIN_TTL_MAX, &o->token_ttl_max);
	case OPT_FAULT:
		return main_add_fault(args, optarg);
	case OPT_QUIET:
		o->is_quiet = true;
		return 0;
	case OPT_HELP:
		main_print_help();
		return 1;
	case OPT_VERSION:
		printf("tokenbroker-sandbox %s\n", PACKAGE_VERSION);
		return 1;
	default: /* getopt has said what */
		return main_usage("unknown or incomplete option", NULL);
	}
}

static int
main_parse_args(struct main_args *args, int argc, char **argv)
{
	int opt, r;

	while ((opt = getopt_long(argc, argv, "", main_options, NULL)) != -1) {
		r = main_take_option(args, opt);
		if (r != 0)
			return r;
	}
	if (optind < argc)
		return main_usage("unexpected argument", argv[optind]);
	return 0;
}

static void
main_on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	(void)signal_number;
	(void)what;
	event_base_loopbreak(arg);
}

/* Replies that hang keep their descriptors, so take all there are. */
static void
main_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	signal(SIGPIPE, SIG_IGN);
}

static int
main_set_faults(struct world *world, const struct main_args *args)
{
	for (size_t i = 0; i < args->n_faults; i++) {
		char *why _cleanup_(util_free_text) =
		    fault_set_text(&world->faults, args->faults[i]);

		if (why)
			return main_usage("--fault", why);
	}
	return 0;
}

static int
main_serve(struct world *world, const struct main_args *args)
{
	struct event_base *base = event_base_new();
	struct event *term, *intr;
	struct server *server;

	if (!base)
		abort();
	term = evsignal_new(base, SIGTERM, main_on_signal, base);
	intr = evsignal_new(base, SIGINT, main_on_signal, base);
	if (!term || !intr)
		abort();
	event_add(term, NULL);
	event_add(intr, NULL);
	server = server_new(base, world, args->address, (uint16_t)args->port);
	if (server) {
		printf("READY %s\n", world->issuer);
		fflush(stdout);
		event_base_dispatch(base);
		server_free(server);
	} else {
		fprintf(stderr,
		    "tokenbroker-sandbox: cannot listen on %s "
		    "port %d: %s\n",
		    args->address, (int)args->port, strerror(errno));
	}
	event_free(term);
	event_free(intr);
	event_base_free(base);
	libevent_global_shutdown();
	return server ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	struct main_args args = {
		.options = {
			.access_ttl = 3600,
			.refresh_ttl = 30 * 24 * 3600,
			.code_ttl = 600,
			.interval = 5,
		},
		.address = "127.0.0.1",
	};
	struct world world;
	int r = main_parse_args(&args, argc, argv);

	if (r != 0)
		return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
	main_raise_limits();
	world_init(&world, &args.options);
	if (main_set_faults(&world, &args) < 0)
		r = EXIT_USAGE;
	else
		r = main_serve(&world, &args);
	world_clear(&world);
	return r;
}
