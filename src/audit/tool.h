/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tool - what the commands of tokenbroker-audit have in common: their table,
 * opening a log, and telling what is wrong. `tokenbrokerctl audit` runs this
 * program, so it speaks in that name.
 */
#include "audit/anchor.h"
#include "audit/filter.h"
#include "audit/keys.h"
#include "audit/verify.h"
#include "audit/walk.h"
#include "ctl/opt.h"
#include "ctl/term.h"

struct tb_error;

#define TOOL_LOG_DIR LOCALSTATEDIR "/log/tokenbroker"

enum tool_exit {
	TOOL_OK = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_UNKNOWN = 3, /* verify: cannot be told */
};

struct tool_args {
	const struct opt_value *opt; /* as the command's opts */
	const char *const *arg;
	size_t n_args;
	const struct opt_result *all; /* for repeated options */
};

struct tool_command {
	const char *name, *synopsis, *summary, *help;
	const struct opt_spec *opts;
	size_t n_opts, min_args, max_args;
	int (*fn)(const struct tool_args *args); /* an exit status */
};

extern const struct tool_command cmd_verify, cmd_show, cmd_export, cmd_follow,
    cmd_checkpoint, cmd_who, cmd_login, cmd_report;

/* "tokenbrokerctl: audit verify: ..." on stderr, one line, cleaned. */
void tool_complain(const char *fmt, ...) _printf_(1, 2);
/* Complains; the status for it. */
int tool_fail(const struct tb_error *err);
void tool_set_command(const char *name);

/* A log that is being read, with what it is held against. */
struct tool_log {
	struct files files;
	struct keys *keys;
	struct anchors *anchors; /* NULL: none are asked for */
	struct verify *verify;
	char *key_path; /* NULL: there is no key */
	bool key_beside; /* in the directory of the log */
};

#define TOOL_LOG_INIT { .keys = NULL }

/* dir, or (n_paths > 0) exactly these files. key: NULL: audit.pub beside the
 * log, if it is there. anchors are taken. */
int tool_log_open(struct tool_log *log, const char *dir,
    const char *const *paths, size_t n_paths, const char *key,
    struct anchors *anchors, struct tb_error *err);
void tool_log_clear(struct tool_log *log);
/* From the files of a repeated --anchor. NULL: err says which and why. */
struct anchors *tool_anchors(const struct opt_result *all,
    struct tb_error *err);
/* After a command other than verify: a word about a broken log, on stderr.
 * How many places there are. */
uint64_t tool_log_warn(const struct tool_log *log);

/* ----------------------------------------------------- options in common */

#define TOOL_OPT_LOG_DIR \
	{ "log-dir", 0, OPT_TEXT, "DIR", "where the log is (default: " \
	    TOOL_LOG_DIR ")" }
#define TOOL_OPT_KEY \
	{ "key", 0, OPT_TEXT, "FILE", "public keys (default: audit.pub " \
	    "beside the log)" }

/* The options of a filter, in this order. */
enum { TOOL_UNIT, TOOL_USER, TOOL_UID, TOOL_TOKEN, TOOL_LOGIN, TOOL_VERDICT,
	TOOL_EVENT, TOOL_SINCE, TOOL_UNTIL, TOOL_REQUEST_ID, TOOL_GENERATION,
	TOOL_N_FILTER };
#define TOOL_OPTS_FILTER \
	{ "unit", 0, OPT_TEXT, "PATTERN", "of this systemd unit" }, \
	{ "user", 0, OPT_TEXT, "USER", "of this user" }, \
	{ "uid", 0, OPT_NUMBER, "UID", "the same by number" }, \
	{ "token", 0, OPT_TEXT, "PATTERN", "about this token" }, \
	{ "login", 0, OPT_TEXT, "NAME", "about this login, or paid by it" }, \
	{ "verdict", 0, OPT_TEXT, "WORD", "allow or deny" }, \
	{ "event", 0, OPT_TEXT, "EVENT", "authorised, minted, ..." }, \
	{ "since", 0, OPT_TEXT, "TIME", "not older than this" }, \
	{ "until", 0, OPT_TEXT, "TIME", "not newer than this" }, \
	{ "request-id", 0, OPT_TEXT, "ID", "of this request" }, \
	{ "generation", 0, OPT_NUMBER, "N", "about this generation" }

/* opt: at the first of them. */
int tool_filter(const struct opt_value *opt, struct filter *out,
    struct tb_error *err);
/* --format: its place among words (ends with NULL), 0 when not given. */
int tool_format(const struct opt_value *opt, const char *const *words,
    int *out, struct tb_error *err);
