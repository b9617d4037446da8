/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "state/acl.h"

/* A rule as a test writes it: lists end with NULL or 0 (uids from 1). */
struct r {
	const char *units[4], *tokens[4], *selinux[4];
	const char *credentials[5]; /* id, token, ... */
	uid_t users[4];
	gid_t groups[4];
	int container; /* 0: no condition, 1: only, 2: none */
	unsigned doors;
	bool deny;
	enum principal_strength min;
};

static size_t
copy_list(char ***to, const char *const *from, size_t max)
{
	size_t n = 0;

	*to = xcalloc(max, sizeof(char *));
	for (; n < max && from[n]; n++)
		(*to)[n] = xstrdup(from[n]);
	return n;
}

static struct acl_rule *
rule_new(const struct r *r, int number)
{
	struct acl_rule *a = xnew(struct acl_rule);
	size_t i;

	a->name = xasprintf("r%d", number);
	a->where = xasprintf("t.conf:%d", number * 10);
	a->n_units = copy_list(&a->units, r->units, 4);
	a->n_tokens = copy_list(&a->tokens, r->tokens, 4);
	a->n_selinux = copy_list(&a->selinux, r->selinux, 4);
	a->users = xcalloc(4, sizeof(uid_t));
	a->groups = xcalloc(4, sizeof(gid_t));
	for (i = 0; i < 4 && r->users[i]; i++)
		a->users[a->n_users++] = r->users[i];
	for (i = 0; i < 4 && r->groups[i]; i++)
		a->groups[a->n_groups++] = r->groups[i];
	a->credential_ids = xcalloc(2, sizeof(char *));
	a->credential_tokens = xcalloc(2, sizeof(char *));
	for (i = 0; i < 2 && r->credentials[2 * i]; i++) {
		a->credential_ids[i] = xstrdup(r->credentials[2 * i]);
		a->credential_tokens[i] = xstrdup(r->credentials[2 * i + 1]);
		a->n_credentials++;
	}
	a->container = r->container == 0 ? -1 : r->container == 1;
	a->doors = r->doors;
	a->deny = r->deny;
	a->min_identity = r->min;
	return a;
}

#define RULES 6

static size_t
rules_new(const struct r *r, struct acl_rule **rules)
{
	static const struct r none;
	size_t n = 0;

	for (; n < RULES && memcmp(&r[n], &none, sizeof(none)) != 0; n++)
		rules[n] = rule_new(&r[n], (int)n + 1);
	return n;
}

static void
rules_free(struct acl_rule **rules, size_t n)
{
	while (n)
		acl_rule_free(rules[--n]);
}

/* ---------------------------------------------------------------- verdicts */

struct who {
	uid_t uid;
	gid_t gid, group;
	const char *unit;
	enum principal_strength strength;
	bool container;
	const char *selinux;
};

#define TELEGRAF { 998, 998, 50, "telegraf.service", PRINCIPAL_STRONG, \
	false, NULL }
#define WEAK { 998, 998, 50, "telegraf.service", PRINCIPAL_WEAK, false, NULL }
/* as the credential door has it: uid 0 for everybody */
#define SYSTEMD { 0, 0, 0, "t.service", PRINCIPAL_STRONG, false, NULL }
#define API ACL_DOOR_API
#define CRED ACL_DOOR_CREDENTIAL
#define ADMIN ACL_DOOR_ADMIN

static const struct {
	const char *what;
	struct r rules[RULES];
	struct who who;
	enum acl_door door;
	const char *token;
	bool allow;
	int rule; /* number, 0: none */
	const char *reason;
} verdicts[] = {
	{ "no rules", { { .deny = false } }, TELEGRAF, API, "t", false, 0,
	    "no rule matches" },
	{ "unit and token", { { .units = { "telegraf.service" },
	    .tokens = { "telegraf-*" } } }, TELEGRAF, API, "telegraf-write",
	    true, 1, "allowed by rule" },
	{ "another token", { { .units = { "telegraf.service" },
	    .tokens = { "telegraf-*" } } }, TELEGRAF, API, "grafana",
	    false, 0, "no rule matches" },
	{ "second token glob", { { .users = { 998 },
	    .tokens = { "a", "b*" } } }, TELEGRAF, API, "b7", true, 1,
	    "allowed by rule" },
	{ "no token condition", { { .users = { 998 } } }, TELEGRAF, API,
	    "anything", true, 1, "allowed by rule" },
	{ "keys are AND", { { .users = { 1000 },
	    .units = { "telegraf.service" } } }, TELEGRAF, API, "t", false, 0,
	    "no rule matches" },
	{ "values are OR", { { .users = { 1000, 998 } } }, TELEGRAF, API,
	    "t", true, 1, "allowed by rule" },
	{ "supplementary group", { { .groups = { 7, 50 } } }, TELEGRAF, API,
	    "t", true, 1, "allowed by rule" },
	{ "primary group", { { .groups = { 998 } } }, TELEGRAF, API, "t",
	    true, 1, "allowed by rule" },
	{ "not in group", { { .groups = { 51 } } }, TELEGRAF, API, "t",
	    false, 0, "no rule matches" },
	{ "user and group", { { .users = { 998 }, .groups = { 51 } } },
	    TELEGRAF, API, "t", false, 0, "no rule matches" },
	{ "unit glob", { { .units = { "ingest@*.service" },
	    .tokens = { "*" } } }, { 5, 5, 5, "ingest@a.service",
	    PRINCIPAL_STRONG, false, NULL }, API, "t", true, 1,
	    "allowed by rule" },
	{ "glob is anchored", { { .units = { "graf" } } }, TELEGRAF, API,
	    "t", false, 0, "no rule matches" },
	{ "backslash is literal", { { .units = { "a\\x2db*.service" } } },
	    { 5, 5, 5, "a\\x2dbc.service", PRINCIPAL_STRONG, false, NULL },
	    API, "t", true, 1, "allowed by rule" },
	{ "slash is nothing special", { { .tokens = { "a*c" },
	    .users = { 998 } } }, TELEGRAF, API, "a/b/c", true, 1,
	    "allowed by rule" },
	{ "leading dot is nothing special", { { .tokens = { "*" },
	    .users = { 998 } } }, TELEGRAF, API, ".x", true, 1,
	    "allowed by rule" },
	{ "case matters", { { .tokens = { "T" }, .users = { 998 } } },
	    TELEGRAF, API, "t", false, 0, "no rule matches" },
	{ "no unit known", { { .units = { "*" } } }, { 998, 998, 50, NULL,
	    PRINCIPAL_UNKNOWN, false, NULL }, API, "t", false, 0,
	    "no rule matches" },

	{ "usual doors: credential", { { .units = { "t.service" } } },
	    SYSTEMD, CRED, "t", true, 1, "allowed by rule" },
	{ "usual doors: not admin", { { .users = { 998 } } }, TELEGRAF,
	    ADMIN, "t", false, 0, "no rule matches" },
	{ "one door", { { .users = { 998 }, .doors = CRED } }, TELEGRAF, API,
	    "t", false, 0, "no rule matches" },
	{ "two doors", { { .users = { 998 }, .doors = CRED | ADMIN } },
	    TELEGRAF, ADMIN, "t", true, 1, "allowed by rule" },

	{ "first match: deny", { { .tokens = { "secret" }, .deny = true },
	    { .users = { 998 } } }, TELEGRAF, API, "secret", false, 1,
	    "denied by rule" },
	{ "deny of another token", { { .tokens = { "secret" },
	    .deny = true }, { .users = { 998 } } }, TELEGRAF, API, "t", true,
	    2, "allowed by rule" },
	{ "first match: allow", { { .users = { 998 } }, { .users = { 998 },
	    .tokens = { "x" }, .deny = true } }, TELEGRAF, API, "x", true, 1,
	    "allowed by rule" },
	{ "order of the file", { { .users = { 1 } }, { .users = { 2 } },
	    { .users = { 998 } } }, TELEGRAF, API, "x", true, 3,
	    "allowed by rule" },

	{ "weak unit", { { .units = { "telegraf.service" },
	    .min = PRINCIPAL_STRONG } }, WEAK, API, "t", false, 1,
	    "unit identity is weak" },
	{ "weak unit, strength not set", { { .units = { "telegraf.*" } } },
	    WEAK, API, "t", false, 1, "unit identity is weak" },
	{ "weak is enough", { { .units = { "telegraf.service" },
	    .min = PRINCIPAL_WEAK } }, WEAK, API, "t", true, 1,
	    "allowed by rule" },
	{ "weak unit, later rule by user", { { .units = { "tele*" } },
	    { .users = { 998 } } }, WEAK, API, "t", true, 2,
	    "allowed by rule" },
	{ "weak unit, later rule denies", { { .units = { "tele*" } },
	    { .users = { 998 }, .deny = true } }, WEAK, API, "t", false, 1,
	    "unit identity is weak" },
	{ "weak unit, denied before allowed", { { .units = { "tele*" } },
	    { .users = { 998 }, .deny = true }, { .groups = { 998 } } },
	    WEAK, API, "t", false, 1, "unit identity is weak" },
	{ "two weak rules: the first is named", { { .units = { "tele*" } },
	    { .units = { "*" } } }, WEAK, API, "t", false, 1,
	    "unit identity is weak" },
	{ "weak unit of another name", { { .units = { "grafana*" } } }, WEAK,
	    API, "t", false, 0, "no rule matches" },
	{ "deny catches the weak too", { { .units = { "tele*" },
	    .deny = true }, { .users = { 998 } } }, WEAK, API, "t", false, 1,
	    "denied by rule" },
	{ "no unit condition, no strength", { { .users = { 998 },
	    .min = PRINCIPAL_STRONG } }, WEAK, API, "t", true, 1,
	    "allowed by rule" },
	{ "credential door rests on root", { { .units = { "t.service" } } },
	    { 0, 0, 0, "t.service", PRINCIPAL_WEAK, false, NULL }, CRED, "t",
	    true, 1, "allowed by rule" },
	{ "credential door, not root", { { .units = { "t.service" } } },
	    { 5, 5, 5, "t.service", PRINCIPAL_WEAK, false, NULL }, CRED, "t",
	    false, 1, "unit identity is weak" },
	{ "api door, root", { { .units = { "t.service" } } },
	    { 0, 0, 0, "t.service", PRINCIPAL_WEAK, false, NULL }, API, "t",
	    false, 1, "unit identity is weak" },

	{ "credential door: the unit has no user yet",
	    { { .units = { "t.service" }, .users = { 998 },
	    .groups = { 50 } } }, SYSTEMD, CRED, "t", true, 1,
	    "allowed by rule" },
	{ "credential door: of that unit only", { { .units = { "u.service" },
	    .users = { 998 } } }, SYSTEMD, CRED, "t", false, 0,
	    "no rule matches" },
	{ "api door: the same rule wants the user",
	    { { .units = { "t.service" }, .users = { 998 } } }, SYSTEMD, API,
	    "t", false, 0, "no rule matches" },
	{ "credential door: a group is no unit", { { .groups = { 12 } } },
	    { 0, 0, 12, "t.service", PRINCIPAL_STRONG, false, NULL }, CRED,
	    "t", false, 0, "no rule matches" },
	{ "credential door: anybody is no unit", { { .tokens = { "*" } } },
	    SYSTEMD, CRED, "t", false, 0, "no rule matches" },
	{ "credential door: denied to everybody", { { .tokens = { "t" },
	    .deny = true }, { .units = { "t.service" } } }, SYSTEMD, CRED,
	    "t", false, 1, "denied by rule" },
	{ "credential door: denied to another user", { { .users = { 998 },
	    .deny = true }, { .units = { "t.service" } } }, SYSTEMD, CRED,
	    "t", true, 2, "allowed by rule" },
	{ "credential door: denied to unit and user, in doubt denied",
	    { { .units = { "t.service" }, .users = { 998 }, .deny = true },
	    { .units = { "t.service" } } }, SYSTEMD, CRED, "t", false, 1,
	    "denied by rule" },

	{ "container is no unit", { { .units = { "*" } } }, { 998, 998, 50,
	    "docker-1.scope", PRINCIPAL_STRONG, true, NULL }, API, "t",
	    false, 0, "no rule matches" },
	{ "container is no unit, even asked for", { { .units = { "*" },
	    .container = 1 } }, { 998, 998, 50, "docker-1.scope",
	    PRINCIPAL_STRONG, true, NULL }, API, "t", false, 0,
	    "no rule matches" },
	{ "container by user", { { .users = { 998 } } }, { 998, 998, 50,
	    NULL, PRINCIPAL_UNKNOWN, true, NULL }, API, "t", true, 1,
	    "allowed by rule" },
	{ "no containers", { { .users = { 998 }, .container = 2 } }, { 998,
	    998, 50, NULL, PRINCIPAL_UNKNOWN, true, NULL }, API, "t", false,
	    0, "no rule matches" },
	{ "only containers: one", { { .users = { 998 }, .container = 1 } },
	    { 998, 998, 50, NULL, PRINCIPAL_UNKNOWN, true, NULL }, API, "t",
	    true, 1, "allowed by rule" },
	{ "only containers: none", { { .users = { 998 }, .container = 1 } },
	    TELEGRAF, API, "t", false, 0, "no rule matches" },

	{ "selinux", { { .selinux = { "*:telegraf_t:*" } } }, { 1, 1, 1,
	    NULL, PRINCIPAL_UNKNOWN, false, "system_u:r:telegraf_t:s0" },
	    API, "t", true, 1, "allowed by rule" },
	{ "selinux, another", { { .selinux = { "*:telegraf_t:*" } } }, { 1,
	    1, 1, NULL, PRINCIPAL_UNKNOWN, false, "system_u:r:cron_t:s0" },
	    API, "t", false, 0, "no rule matches" },
	{ "selinux, no label", { { .selinux = { "*" } } }, TELEGRAF, API,
	    "t", false, 0, "no rule matches" },

	{ "credential names its token", { { .units = { "tele*" },
	    .credentials = { "influx", "t" } } }, TELEGRAF, CRED, "t", true,
	    1, "allowed by rule" },
	{ "credential is not all tokens", { { .units = { "tele*" },
	    .credentials = { "influx", "t" } } }, TELEGRAF, CRED, "u", false,
	    0, "no rule matches" },
	{ "credential is for its door", { { .units = { "tele*" },
	    .credentials = { "influx", "t" } } }, TELEGRAF, API, "t", false,
	    0, "no rule matches" },
	{ "credential and tokens", { { .units = { "tele*" },
	    .credentials = { "influx", "t" }, .tokens = { "u" } } },
	    TELEGRAF, API, "u", true, 1, "allowed by rule" },
	{ "credential's token is no glob", { { .units = { "tele*" },
	    .credentials = { "influx", "*" } } }, TELEGRAF, CRED, "t", false,
	    0, "no rule matches" },
};

static void
test_verdicts(void **state)
{
	struct acl_rule *rules[RULES];
	struct acl_verdict v;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(verdicts); i++) {
		const struct who *w = &verdicts[i].who;
		gid_t group = w->group;
		struct principal who = { .uid = w->uid, .gid = w->gid,
			.groups = &group, .n_groups = 1,
			.unit = (char *)w->unit, .strength = w->strength,
			.container = w->container,
			.selinux = (char *)w->selinux };

		n = rules_new(verdicts[i].rules, rules);
		v = acl_check(rules, n, &who, verdicts[i].door,
		    verdicts[i].token);
		if (v.allow != verdicts[i].allow ||
		    v.rule != (verdicts[i].rule ?
			rules[verdicts[i].rule - 1] : NULL) ||
		    !streq(v.reason, verdicts[i].reason))
			fail_msg("%s: %s by %s (%s)", verdicts[i].what,
			    v.allow ? "allow" : "deny",
			    v.rule ? v.rule->name : "none", v.reason);
		rules_free(rules, n);
	}
}

/* ------------------------------------------------------------------ shadow */

static const struct {
	const char *what;
	struct r first, second;
	bool shadowed;
} shadows[] = {
	{ "the same", { .users = { 5 } }, { .users = { 5 } }, true },
	{ "deny after allow", { .users = { 5 } }, { .users = { 5 },
	    .deny = true }, true },
	{ "wider user", { .users = { 5, 6 } }, { .users = { 6 } }, true },
	{ "narrower user", { .users = { 5 } }, { .users = { 5, 6 } }, false },
	{ "any user", { .tokens = { "*" } }, { .users = { 5 } }, true },
	{ "then any user", { .users = { 5 } }, { .tokens = { "t" } }, false },
	{ "wider group", { .groups = { 5, 6 } }, { .groups = { 6 } }, true },
	{ "another group", { .groups = { 5 } }, { .groups = { 6 } }, false },
	{ "group, then none", { .groups = { 5 } }, { .users = { 6 } },
	    false },
	{ "group and user", { .groups = { 5 } }, { .groups = { 5 },
	    .users = { 1 } }, true },

	{ "literal in a glob", { .tokens = { "t-*" } }, { .tokens = { "t-1" },
	    .users = { 1 } }, true },
	{ "literal out of a glob", { .tokens = { "t-*" } },
	    { .tokens = { "u-1" } }, false },
	{ "one of two out", { .tokens = { "t-*" } },
	    { .tokens = { "t-1", "u" } }, false },
	{ "each in its own", { .tokens = { "t-*", "u" } },
	    { .tokens = { "t-1", "u" } }, true },
	{ "prefix in a prefix", { .tokens = { "t*" } },
	    { .tokens = { "t-*" } }, true },
	{ "prefix around a prefix", { .tokens = { "t-*" } },
	    { .tokens = { "t*" } }, false },
	{ "star", { .tokens = { "*" } }, { .tokens = { "a?[b]" } }, true },
	{ "no tokens is all", { .users = { 1 } }, { .users = { 1 },
	    .tokens = { "*" } }, true },
	{ "a star does not say it is all", { .users = { 1 },
	    .tokens = { "t" } }, { .users = { 1 } }, false },
	{ "suffix globs need thought", { .tokens = { "*-w" } },
	    { .tokens = { "a*-w" } }, false },

	{ "unit in a glob", { .units = { "a*" } }, { .units = { "ab.service" },
	    .users = { 1 } }, true },
	{ "unit with a backslash", { .units = { "a\\x2d*" } },
	    { .units = { "a\\x2db" } }, true },
	{ "strong leaves the weak", { .units = { "a" } },
	    { .units = { "a" }, .min = PRINCIPAL_WEAK }, false },
	{ "weak covers the strong", { .units = { "a" },
	    .min = PRINCIPAL_WEAK }, { .units = { "a" } }, true },
	{ "strong leaves the weak to a deny", { .units = { "a" } },
	    { .units = { "a" }, .deny = true }, false },
	{ "deny takes the weak too", { .units = { "a" }, .deny = true },
	    { .units = { "a" }, .min = PRINCIPAL_WEAK }, true },
	{ "no unit", { .users = { 1 } }, { .users = { 1 },
	    .units = { "a" }, .doors = API }, true },
	{ "no unit, but the other door", { .users = { 1 } }, { .users = { 1 },
	    .units = { "a" } }, false },
	{ "user of a unit, at the other door any", { .users = { 1 },
	    .units = { "a" }, .doors = CRED }, { .users = { 2 },
	    .units = { "a" }, .doors = CRED }, true },
	{ "user of a unit, at both doors", { .users = { 1 },
	    .units = { "a" } }, { .users = { 2 }, .units = { "a" } }, false },
	{ "denied to everybody, then a unit", { .tokens = { "*" },
	    .deny = true }, { .units = { "a" } }, true },
	{ "denied to a user, then a unit", { .users = { 5 }, .deny = true,
	    .doors = CRED }, { .units = { "a" }, .doors = CRED }, false },
	{ "everybody, then nobody", { .tokens = { "*" } },
	    { .tokens = { "*" }, .deny = true }, false },
	{ "unit, then user", { .units = { "a" } }, { .users = { 1 } },
	    false },

	{ "usual doors", { .users = { 1 } }, { .users = { 1 }, .doors = API },
	    true },
	{ "another door", { .users = { 1 } }, { .users = { 1 },
	    .doors = ADMIN }, false },
	{ "one door of two", { .units = { "a" }, .doors = API },
	    { .units = { "a" } }, false },
	{ "the one door of two that counts", { .users = { 1 }, .doors = API },
	    { .users = { 1 } }, true },

	{ "only containers", { .users = { 1 }, .container = 1 },
	    { .users = { 1 } }, false },
	{ "both, then containers", { .users = { 1 } }, { .users = { 1 },
	    .container = 1 }, true },
	{ "no containers, then units", { .container = 2 },
	    { .units = { "a" }, .doors = API }, true },
	{ "no containers, then users", { .container = 2 },
	    { .users = { 1 } }, false },

	{ "selinux", { .selinux = { "a*" } }, { .selinux = { "ab" } }, true },
	{ "no label", { .selinux = { "a*" } }, { .users = { 1 } }, false },

	{ "its pairs still count", { .users = { 1 } }, { .users = { 1 },
	    .credentials = { "id", "t" } }, false },
	{ "the same pairs", { .users = { 1 }, .credentials = { "id", "t" } },
	    { .users = { 1 }, .credentials = { "id", "t" } }, true },
	{ "pairs are not all tokens", { .users = { 1 },
	    .credentials = { "id", "t" } }, { .users = { 1 } }, false },
	{ "pairs are not tokens", { .users = { 1 },
	    .credentials = { "id", "t" } }, { .users = { 1 },
	    .tokens = { "t" } }, false },
};

static void
test_shadowed(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(shadows); i++) {
		struct acl_rule *rules[2] = {
			rule_new(&shadows[i].first, 1),
			rule_new(&shadows[i].second, 2),
		};

		r = acl_check_shadowed(rules, 2, &err);
		if (r != (shadows[i].shadowed ? -1 : 0))
			fail_msg("%s", shadows[i].what);
		rules_free(rules, 2);
	}
}

static void
test_shadow_names_both_places(void **state)
{
	static const struct r r[RULES] = { { .users = { 7 } },
		{ .users = { 5 } }, { .users = { 5 }, .tokens = { "x" } } };
	struct acl_rule *rules[RULES];
	struct tb_error err = TB_ERROR_INIT;
	size_t n = rules_new(r, rules);

	assert_int_equal(acl_check_shadowed(rules, n, &err), -1);
	assert_int_equal(err.code, TB_E_CONFIG);
	assert_string_equal(err.msg, "t.conf:30: [client r3] can never "
	    "match: [client r2] at t.conf:20 covers it");
	rules_free(rules, n);
	assert_int_equal(acl_check_shadowed(NULL, 0, &err), 0);
}

static void
test_credential_token(void **state)
{
	static const struct r r[RULES] = {
		{ .units = { "u.service" }, .credentials = { "influx", "x" } },
		{ .users = { 0 }, .credentials = { "influx", "y" } },
		{ .units = { "t.*" }, .credentials = { "influx", "t1" },
		    .doors = API },
		{ .units = { "t.*" }, .tokens = { "*" } },
		{ .units = { "t.*" }, .users = { 998 },
		    .credentials = { "influx", "t2" } },
	};
	struct principal who = { .unit = (char *)(uintptr_t)"t.service" };
	struct acl_rule *rules[RULES];
	size_t n = rules_new(r, rules);

	assert_string_equal(acl_credential_token(rules, n, &who, "influx"),
	    "t2");
	assert_string_equal(acl_credential_token(rules, n, &who, "other"),
	    "other");
	assert_string_equal(acl_credential_token(NULL, 0, &who, "t1"), "t1");
	rules_free(rules, n);
}

static void
test_door_names(void **state)
{
	assert_string_equal(acl_door_name(API), "api");
	assert_string_equal(acl_door_name(CRED), "credential");
	assert_string_equal(acl_door_name(ADMIN), "admin");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_shadowed),
		cmocka_unit_test(test_shadow_names_both_places),
		cmocka_unit_test(test_credential_token),
		cmocka_unit_test(test_door_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
