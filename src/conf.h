/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conf - /etc/tokenbroker/tokenbroker.conf and conf.d/ next to it, into one
 * immutable struct conf. The only file that knows every module's option
 * struct. One table (conf_options) says section, key, type, default, reload
 * and help: parsing, defaults, --check, --dump and the documentation check
 * come from it. Unknown section, key or bad value is TB_E_CONFIG with
 * file:line and, where close, the spelling meant.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "broker/token_conf.h"
#include "ops/idp.h"
#include "state/acl.h"

struct tb_error;

struct conf {
	unsigned refs; /* private */

	/* [broker] */
	char *state_dir, *run_dir, *log_dir;
	char *admin_group, *auditor_group;
	char *master_key_path; /* of master_key_file, or the credential
	                        * "master-key" when $CREDENTIALS_DIRECTORY has
	                        * it; NULL: none */
	bool audit_strict;
	bool audit_journal;
	uint64_t audit_max_size;   /* bytes */
	unsigned audit_keep_files; /* 0: all */
	char *log_level;
	int64_t settle_time_ms;
	int64_t max_lifetime_ms, min_lifetime_ms;
	int64_t cold_wait_ms, credential_wait_ms;
	unsigned max_connections, max_connections_per_uid;
	unsigned mints_per_hour; /* over all tokens */
	char *ca_file, *proxy;
	char *metrics_file; /* NULL: none */
	int64_t metrics_interval_ms;

	struct idp_conf **logins;
	size_t n_logins;
	struct backend_conf **backends;
	size_t n_backends;
	struct token_conf **tokens;
	size_t n_tokens;
	struct acl_rule **rules; /* file order */
	size_t n_rules;

	/* made by conf_token_of */
	struct token_conf **copies;
	size_t n_copies;

	/* Worth changing, and no reason to refuse it: "FILE:LINE: ..." */
	char **warnings;
	size_t n_warnings;
};

/* path: the main file; PATH's directory + "/conf.d/" holds the drop-ins, read
 * in byte order of their names, "*.conf" only. NULL and err when anything is
 * wrong. $TOKENBROKER_RUN_DIR replaces run_dir. */
struct conf *conf_load(const char *path, struct tb_error *err);

/* Counted: what is in flight at a reload ends with the configuration that it
 * began with. conf_load gives the first reference. NULL is fine. */
const struct conf *conf_ref(const struct conf *c);
void conf_unref(const struct conf *c);

/* Writes the effective configuration, defaults included, in a form that
 * conf_load reads back to the same. No secret is in it: only paths are. */
void conf_dump(const struct conf *c, FILE *out);
/* One line per option "section key type default reload help", tabs between:
 * default is "-" when there is none and "required" when one must be given,
 * reload is "reload" or "restart". For the lint that holds the manual page
 * against the table. */
void conf_list_options(FILE *out);

const struct token_conf *conf_token(const struct conf *c, const char *name);

/* The recipe under another name, for one holder's value; it is the same
 * whenever it is asked for, and lives as long as the configuration. */
const struct token_conf *conf_token_of(const struct conf *c,
    const struct token_conf *recipe, const char *name);

/* TB_E_CONFIG naming the key when a change from a to b needs a restart. */
int conf_check_reloadable(const struct conf *a, const struct conf *b,
    struct tb_error *err);

#define CONF_DEFAULT_PATH SYSCONFDIR "/tokenbroker/tokenbroker.conf"
