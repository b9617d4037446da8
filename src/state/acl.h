/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * acl - rules to verdict. Pure. A rule matches when principal, door and token
 * all match: keys are AND, the values of one key OR. File order, first match
 * decides, no match denies. The verdict carries its rule, so that audit and
 * explain can quote file:line.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/principal.h"

struct tb_error;

enum acl_door { ACL_DOOR_API = 1, ACL_DOOR_CREDENTIAL = 2, ACL_DOOR_ADMIN = 4 };
const char *acl_door_name(enum acl_door door);

/* One [client NAME]; filled by conf; immutable. Empty list: not a condition. */
struct acl_rule {
	char *name;
	char *where; /* "/etc/tokenbroker/conf.d/50.conf:12" */
	char **units;       /* globs (fnmatch), e.g. "ingest-*.service" */
	uid_t *users;       /* resolved when the configuration is loaded */
	gid_t *groups;
	char **user_names, **group_names; /* as written, parallel, for dump */
	char **selinux;     /* globs */
	char **tokens;      /* globs */
	size_t n_units, n_users, n_groups, n_selinux, n_tokens;
	int container;      /* -1: both, 0: no, 1: only containers */
	unsigned doors;     /* mask, 0: api and credential */
	bool deny;
	enum principal_strength min_identity; /* for units: STRONG by default */
	/* rate: at most `rate_count` releases in `rate_period_s`; 0: none */
	uint32_t rate_count;
	int64_t rate_period_s;
	/* credential door: ID=TOKEN pairs */
	char **credential_ids, **credential_tokens;
	size_t n_credentials;
};
void acl_rule_free(struct acl_rule *r);

struct acl_verdict {
	bool allow;
	const struct acl_rule *rule; /* NULL: no rule matched (default deny) */
	/* a static text: "no rule matches", "identity too weak", ... */
	const char *reason;
};

/* A unit= rule that would match but for the strength of the unit denies with
 * "unit identity is weak" only when no later rule allows. A container never
 * matches unit=. At the credential door unit= decides alone: user= and group=
 * of such a rule are not looked at, and without unit= only a deny rule
 * counts. */
struct acl_verdict acl_check(struct acl_rule *const *rules, size_t n_rules,
    const struct principal *who, enum acl_door door, const char *token);

/* The token that a unit means by a credential of this name: that of the first
 * pair ID=TOKEN in a rule for it, else the one of the same name. Whether it
 * may have that token is another question. */
const char *acl_credential_token(struct acl_rule *const *rules,
    size_t n_rules, const struct principal *who, const char *id);

/* At load: a rule no principal of this host can reach because an earlier one
 * covers it (same or wider conditions on every key) is TB_E_CONFIG naming
 * both file:lines. */
int acl_check_shadowed(struct acl_rule *const *rules, size_t n_rules,
    struct tb_error *err);
