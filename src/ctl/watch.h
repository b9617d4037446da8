/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * watch - keeps what a consumer reads (a file, a key) equal to the newest
 * generation of a token, and tells the consumer. Runs as the consumer's own
 * user, so the daemon's rules, records and holders are about him; the daemon
 * itself never writes into anybody's directories.
 */
#include "ctl/ask.h"
#include "ctl/keyring.h"
#include "ctl/sink.h"
#include "ctl/tmpl.h"
#include "ctl/words.h"

struct watch_conf {
	const char *own;         /* the token named on the command line, NULL */
	const char *tmpl_file;   /* NULL: the bare value */
	struct tmpl *tmpl;
	const char *const *vars; /* of --set */
	size_t n_vars;
	struct sink sink;        /* sink.path NULL: no file */
	struct keyring keyring;  /* keyring.key NULL: none */
	struct words canary, exec;
	const char *reload_unit; /* or NULL */
	char *signal_unit, *signal_name; /* or NULL */
	char *pid_file;          /* or NULL */
	int pid_signal;
	int64_t exec_limit_ms, grace_ms;
	bool once, remove_on_exit;
};

#define WATCH_CONF_INIT { .sink = SINK_INIT, .canary = WORDS_INIT, \
	.exec = WORDS_INIT, .exec_limit_ms = 30000, .grace_ms = 60000 }

void watch_conf_clear(struct watch_conf *conf);

/* The template again, as at the start and on SIGHUP. */
int watch_read_template(struct watch_conf *conf, struct tb_error *err);

/* Until SIGTERM or SIGINT, or once. */
enum ctl_exit watch_run(struct ctl *ctl, struct watch_conf *conf);
