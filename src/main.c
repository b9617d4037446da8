/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenbrokerd - builds everything bottom-up, runs the loop, tears everything
 * down top-down. Decides nothing. Exit status: 0, 1 (the machine failed us),
 * 2 (usage), 78 (configuration: systemd must not restart us).
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/now.h"
#include "base/secret.h"
#include "base/sysd.h"
#include "base/tb_error.h"
#include "broker/broker.h"
#include "conf.h"
#include "lib/http.h"
#include "lib/jsonx.h"
#include "lib/loop.h"
#include "lib/seal.h"
#include "serve/peer_proc.h"
#include "serve/serve.h"
#include "state/audit.h"
#include "state/journal.h"
#include "state/writer.h"

/* For "%zu thing%s". */
#define COUNTED(n) (n), (n) == 1 ? "" : "s"
#define EXIT_CONFIG 78
#define SECRET_MEMORY (512 * 1024)
#define MASTER_KEY_CAP 4096
/* How long a stop waits for answers to leave. */
#define DRAIN_MS 500
#define STATUS_MS 10000

struct app {
	const char *conf_path;
	struct conf *conf;
	struct loop *loop;
	struct writer *writer;
	struct seal *seal;
	struct audit *audit;
	struct http *http;
	struct broker *broker;
	struct serve *serve;
	struct loop_timer watchdog, drained, status;
	char *refused; /* why the last reload was; NULL: it was not */
	bool stopping;
};

enum app_mode { APP_RUN, APP_CHECK, APP_DUMP, APP_LIST_OPTIONS };

static void
usage(FILE *out)
{
	fprintf(out,
	    "usage: tokenbrokerd [-c FILE] [--check | --dump | --list-options]\n"
	    "\n"
	    "  -c, --config FILE  configuration (default %s)\n"
	    "      --check        read the configuration, say whether it is good\n"
	    "      --dump         print the effective configuration\n"
	    "      --list-options print every option there is\n"
	    "  -h, --help         this text\n"
	    "  -V, --version      the version\n"
	    "\n"
	    "See tokenbrokerd(8) and tokenbroker.conf(5).\n",
	    CONF_DEFAULT_PATH);
}

/* -1: go on, else the exit status. */
static int
parse_args(struct app *a, int argc, char **argv, enum app_mode *mode)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 1 },
		{ "dump", no_argument, NULL, 2 },
		{ "list-options", no_argument, NULL, 3 },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	a->conf_path = CONF_DEFAULT_PATH;
	*mode = APP_RUN;
	while ((c = getopt_long(argc, argv, "c:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->conf_path = optarg;
			break;
		case 1:
			*mode = APP_CHECK;
			break;
		case 2:
			*mode = APP_DUMP;
			break;
		case 3:
			*mode = APP_LIST_OPTIONS;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			printf("tokenbrokerd %s\n", PACKAGE_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "tokenbrokerd: unexpected argument '%s'\n",
		    argv[optind]);
		return 2;
	}
	return -1;
}

/* No core, no ptrace by others of our uid, no secret in swap. */
static int
harden(struct tb_error *err)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot forbid core dumps");
	return secret_memory_init(SECRET_MEMORY, err);
}

/* A thousand clients at once are more than the usual soft limit allows. Where
 * it cannot be raised the doors live with what there is. */
static void
raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* The key as it is now in its place; NULL and err. */
static struct seal *
read_master_key(const struct app *a, struct tb_error *err)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	const char *path = a->conf->master_key_path;
	struct seal *seal = NULL;

	if (fs_check_private(path, 077, err) < 0 ||
	    fs_read_secret(path, MASTER_KEY_CAP, &key, err) < 0)
		tb_error_wrap(err, "master key");
	else if (!(seal = seal_new(&key, err)))
		tb_error_wrap(err, "master key %s", path);
	if (!seal)
		err->code = TB_E_CONFIG;
	return seal;
}

static int
open_master_key(struct app *a, struct tb_error *err)
{
	if (!a->conf->master_key_path)
		return tb_error_set(err, TB_E_CONFIG, "there is no master key, "
		    "so nothing could be kept sealed; if there was one, put "
		    "it back, for what %s holds opens with no other; else "
		    "make one: 'tokenbrokerctl init-key --credential' where "
		    "the unit has LoadCredentialEncrypted=master-key (ours "
		    "has), or 'tokenbrokerctl init-key' and master_key_file "
		    "in %s", a->conf->state_dir, a->conf_path);
	a->seal = read_master_key(a, err);
	return a->seal ? 0 : -1;
}

/* ------------------------------------------------------------ reload */

/* After a change of the master key the new one may be in its place by now;
 * and whoever put a wrong one there should hear of it before the next start. */
static void
app_look_at_key(struct app *a)
{
	struct tb_error err = TB_ERROR_INIT;
	struct seal *seal = read_master_key(a, &err);

	if (!seal)
		log_warn("main", "%s; the next start would fail", err.msg);
	else if (!broker_key_is_configured(a->broker, seal_key_id(seal)))
		log_warn("main", "%s holds key %s, but the records are sealed "
		    "with %s; see: tokenbrokerctl status",
		    a->conf->master_key_path, seal_key_id(seal),
		    seal_key_id(a->seal));
	seal_free(seal);
}

/* What is not wrong and should be looked at; the text names file and line. */
static void
app_warn(const struct conf *c)
{
	for (size_t i = 0; i < c->n_warnings; i++)
		log_warn("conf", "%s", c->warnings[i]);
}

static loop_fn app_on_status;

static int
app_reload(void *arg, struct tb_error *err)
{
	struct app *a = arg;
	struct conf *next;

	sysd_notify_reloading();
	free(STEAL(a->refused));
	next = conf_load(a->conf_path, err);
	if (next && broker_reconfigure(a->broker, next, err) < 0) {
		conf_unref(next);
		next = NULL;
	}
	if (!next) {
		log_error("conf", "reload refused, nothing was changed: %s",
		    err->msg);
		a->refused = xstrdup(err->msg);
		sysd_notify("READY=1");
		app_on_status(a);
		return -1;
	}
	serve_reconfigure(a->serve, next);
	log_set_level((enum log_level)log_level_from_name(next->log_level));
	conf_unref(a->conf);
	a->conf = next;
	app_look_at_key(a);
	app_warn(next);
	log_info("conf", "reloaded %s: %zu login%s, %zu backend%s, %zu "
	    "token%s, %zu rule%s", a->conf_path, COUNTED(next->n_logins),
	    COUNTED(next->n_backends), COUNTED(next->n_tokens),
	    COUNTED(next->n_rules));
	sysd_notify("READY=1");
	app_on_status(a);
	return 0;
}

static void
app_on_hup(void *arg)
{
	struct tb_error err = TB_ERROR_INIT;

	/* nobody asked over the door: the log is all there is */
	(void)app_reload(arg, &err);
}

/* -------------------------------------------------------------- stop */

static void
app_on_drained(void *arg)
{
	struct app *a = arg;

	loop_stop(a->loop);
}

static void
app_on_term(void *arg)
{
	struct app *a = arg;

	if (a->stopping) {
		loop_stop(a->loop);
		return;
	}
	a->stopping = true;
	log_info("main", "stopping");
	sysd_notify("STOPPING=1");
	serve_stop_accepting(a->serve);
	loop_timer_set(&a->drained, DRAIN_MS);
}

/* ------------------------------------------------------------ systemd */

static void
app_on_watchdog(void *arg)
{
	struct app *a = arg;

	sysd_notify("WATCHDOG=1");
	loop_timer_set(&a->watchdog, sysd_watchdog_ms());
}

static void
app_on_status(void *arg)
{
	struct app *a = arg;
	char *line _cleanup_free_ = broker_status_line(a->broker);

	sysd_notify("STATUS=%s%s%s", line, a->refused ?
	    "; the last reload was refused: " : "",
	    a->refused ? a->refused : "");
	loop_timer_set(&a->status, STATUS_MS);
}

/* ------------------------------------------------------ up and down */

static int
app_start_core(struct app *a, struct tb_error *err)
{
	struct writer_env wenv = {
		.state_dir = a->conf->state_dir,
		.log_dir = a->conf->log_dir,
		.audit_max_size = a->conf->audit_max_size,
		.audit_keep_files = a->conf->audit_keep_files,
		.journal = a->conf->audit_journal ? JOURNAL_SOCKET : NULL,
	};
	struct http_env henv = {
		.ca_file = a->conf->ca_file,
		.proxy = a->conf->proxy,
		.user_agent = "tokenbrokerd/" PACKAGE_VERSION,
	};
	struct broker_env benv;

	a->loop = loop_new(err);
	if (!a->loop || open_master_key(a, err) < 0)
		return -1;
	a->writer = writer_start(a->loop, &wenv, err);
	if (!a->writer)
		return -1;
	a->audit = audit_new(a->loop, a->writer, a->conf->audit_strict, err);
	if (!a->audit)
		return -1;
	a->http = http_new(a->loop, &henv, err);
	if (!a->http)
		return -1;
	benv = (struct broker_env){
		.loop = a->loop,
		.http = a->http,
		.writer = a->writer,
		.seal = a->seal,
		.audit = a->audit,
		.unit_is_over = peer_proc_run_is_over,
	};
	a->broker = broker_new(&benv, a->conf, err);
	return a->broker ? 0 : -1;
}

static int
app_start_doors(struct app *a, struct tb_error *err)
{
	struct serve_env env = {
		.loop = a->loop,
		.broker = a->broker,
		.audit = a->audit,
		.writer = a->writer,
		.version = PACKAGE_VERSION,
		.reload = app_reload,
		.reload_arg = a,
	};

	a->serve = serve_new(&env, a->conf, err);
	if (!a->serve)
		return -1;
	loop_timer_init(&a->watchdog, a->loop, app_on_watchdog, a);
	loop_timer_init(&a->drained, a->loop, app_on_drained, a);
	loop_timer_init(&a->status, a->loop, app_on_status, a);
	if (loop_on_signal(a->loop, SIGTERM, app_on_term, a, err) < 0 ||
	    loop_on_signal(a->loop, SIGINT, app_on_term, a, err) < 0 ||
	    loop_on_signal(a->loop, SIGHUP, app_on_hup, a, err) < 0)
		return -1;
	if (sysd_watchdog_ms() > 0)
		loop_timer_set(&a->watchdog, 0);
	loop_timer_set(&a->status, 0);
	return 0;
}

static void
app_audit(struct app *a, enum audit_event event)
{
	struct audit_rec rec = { .event = event };

	audit_durable(a->audit, &rec, NULL, NULL);
}

static void
app_stop(struct app *a)
{
	serve_free(a->serve);
	broker_stop(a->broker);
	broker_free(a->broker);
	http_free(a->http);
	if (a->audit) {
		app_audit(a, AUDIT_STOPPED);
		audit_free(a->audit);
	}
	if (a->writer)
		writer_stop(a->writer);
	seal_free(a->seal);
	loop_free(a->loop);
	conf_unref(a->conf);
	free(a->refused);
}

static int
app_run(struct app *a, struct tb_error *err)
{
	raise_descriptor_limit();
	if (harden(err) < 0 || app_start_core(a, err) < 0)
		return -1;
	app_audit(a, AUDIT_STARTED);
	if (app_start_doors(a, err) < 0)
		return -1;
	log_info("main", "tokenbrokerd %s: %zu login%s, %zu token%s, %zu rule%s, "
	    "audit %s, key %s", PACKAGE_VERSION, COUNTED(a->conf->n_logins),
	    COUNTED(a->conf->n_tokens), COUNTED(a->conf->n_rules),
	    a->conf->audit_strict ? "strict" : "relaxed",
	    seal_key_id(a->seal));
	sysd_notify("READY=1");
	return loop_run(a->loop, err);
}

int
main(int argc, char **argv)
{
	struct app a = { .conf_path = NULL };
	struct tb_error err = TB_ERROR_INIT;
	enum app_mode mode;
	int status = parse_args(&a, argc, argv, &mode);

	if (status >= 0)
		return status;
	if (mode == APP_LIST_OPTIONS) {
		conf_list_options(stdout);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	jsonx_init();
	a.conf = conf_load(a.conf_path, &err);
	if (!a.conf) {
		fprintf(stderr, "tokenbrokerd: %s\n", err.msg);
		return EXIT_CONFIG;
	}
	if (mode == APP_CHECK) {
		for (size_t i = 0; i < a.conf->n_warnings; i++)
			fprintf(stderr, "tokenbrokerd: warning: %s\n",
			    a.conf->warnings[i]);
		printf("%s: good: %zu login%s, %zu backend%s, %zu token%s, "
		    "%zu rule%s\n", a.conf_path, COUNTED(a.conf->n_logins),
		    COUNTED(a.conf->n_backends), COUNTED(a.conf->n_tokens),
		    COUNTED(a.conf->n_rules));
	} else if (mode == APP_DUMP) {
		conf_dump(a.conf, stdout);
	} else {
		log_set_level((enum log_level)log_level_from_name(
		    a.conf->log_level));
		app_warn(a.conf);
		if (app_run(&a, &err) < 0) {
			log_error("main", "%s", err.msg);
			status = err.code == TB_E_CONFIG ? EXIT_CONFIG : 1;
		}
	}
	app_stop(&a);
	return status < 0 ? 0 : status;
}
