/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl - see the header. Globs are fnmatch(3) without flags that know paths:
 * neither a unit nor a token has any '/', and a backslash is itself, because
 * unit names are full of them ("dev-disk-by\x2duuid.device").
 *
 * Where the strength of a unit is in doubt, the doubt is against the asker: an
 * allow rule does not match, a deny rule does.
 */
#include "state/acl.h"

#include <fnmatch.h>

#include "base/util.h"

const char *
acl_door_name(enum acl_door door)
{
	switch (door) {
	case ACL_DOOR_API:
		return "api";
	case ACL_DOOR_CREDENTIAL:
		return "credential";
	case ACL_DOOR_ADMIN:
		return "admin";
	}
	return "unknown";
}

static void
strv_free(char **v, size_t n)
{
	size_t i;

	for (i = 0; v && i < n; i++)
		free(v[i]);
	free(v);
}

void
acl_rule_free(struct acl_rule *r)
{
	if (!r)
		return;
	free(r->name);
	free(r->where);
	strv_free(r->units, r->n_units);
	strv_free(r->user_names, r->n_users);
	strv_free(r->group_names, r->n_groups);
	free(r->users);
	free(r->groups);
	strv_free(r->selinux, r->n_selinux);
	strv_free(r->tokens, r->n_tokens);
	strv_free(r->credential_ids, r->n_credentials);
	strv_free(r->credential_tokens, r->n_credentials);
	free(r);
}

static bool
glob_any(char *const *globs, size_t n, const char *s)
{
	size_t i;

	for (i = 0; s && i < n; i++)
		if (fnmatch(globs[i], s, FNM_NOESCAPE) == 0)
			return true;
	return false;
}

static bool
match_user(const struct acl_rule *r, const struct principal *who)
{
	size_t i;

	for (i = 0; i < r->n_users; i++)
		if (r->users[i] == who->uid)
			return true;
	return r->n_users == 0;
}

static bool
match_group(const struct acl_rule *r, const struct principal *who)
{
	size_t i;

	for (i = 0; i < r->n_groups; i++)
		if (principal_in_group(who, r->groups[i]))
			return true;
	return r->n_groups == 0;
}

/* A rule may name its tokens by globs, or by the credentials that it hands
 * out; the latter speak for the credential door only. Neither: any token. */
static bool
match_token(const struct acl_rule *r, enum acl_door door, const char *token)
{
	size_t i;

	if (r->n_tokens == 0 && r->n_credentials == 0)
		return true;
	if (glob_any(r->tokens, r->n_tokens, token))
		return true;
	if (door != ACL_DOOR_CREDENTIAL)
		return false;
	for (i = 0; i < r->n_credentials; i++)
		if (streq(r->credential_tokens[i], token))
			return true;
	return false;
}

static unsigned
rule_doors(const struct acl_rule *r)
{
	return r->doors ? r->doors : ACL_DOOR_API | ACL_DOOR_CREDENTIAL;
}

/* At the credential door systemd connects, as uid 0 and before the service has
 * a user of its own (with DynamicUser= there is none yet): who that will be is
 * for the unit to say. So unit= decides alone there, and an allow rule without
 * it has nothing to go by; a deny rule without it speaks of the connector. */
static bool
match_person(const struct acl_rule *r, const struct principal *who,
    enum acl_door door)
{
	if (door == ACL_DOOR_CREDENTIAL && r->n_units)
		return true;
	if (door == ACL_DOOR_CREDENTIAL && !r->deny)
		return false;
	return match_user(r, who) && match_group(r, who);
}

/* Everything but the token and the strength of the unit. */
static bool
rule_is_for(const struct acl_rule *r, const struct principal *who,
    enum acl_door door)
{
	if (!(rule_doors(r) & (unsigned)door))
		return false;
	if (r->container >= 0 && who->container != (r->container > 0))
		return false;
	if (r->n_units &&
	    (who->container || !glob_any(r->units, r->n_units, who->unit)))
		return false;
	if (r->n_selinux && !glob_any(r->selinux, r->n_selinux, who->selinux))
		return false;
	return match_person(r, who, door);
}

/* Everything but the strength of the unit. */
static bool
rule_matches(const struct acl_rule *r, const struct principal *who,
    enum acl_door door, const char *token)
{
	return rule_is_for(r, who, door) && match_token(r, door, token);
}

/* The credential door rests on uid 0: it is systemd itself that names the
 * unit there, and how /proc was read does not matter. */
static bool
unit_is_too_weak(const struct acl_rule *r, const struct principal *who,
    enum acl_door door)
{
	if (r->n_units == 0 || r->deny)
		return false;
	if (door == ACL_DOOR_CREDENTIAL && who->uid == 0)
		return false;
	return who->strength != PRINCIPAL_STRONG &&
	    r->min_identity != PRINCIPAL_WEAK;
}

struct acl_verdict
acl_check(struct acl_rule *const *rules, size_t n_rules,
    const struct principal *who, enum acl_door door, const char *token)
{
	struct acl_verdict v = { .reason = "no rule matches" };
	size_t i;

	for (i = 0; i < n_rules; i++) {
		if (!rule_matches(rules[i], who, door, token))
			continue;
		if (unit_is_too_weak(rules[i], who, door)) {
			if (!v.rule) {
				v.rule = rules[i];
				v.reason = "unit identity is weak";
			}
			continue;
		}
		/* the first refusal stands: a later deny only confirms it */
		if (rules[i]->deny && v.rule)
			return v;
		v.rule = rules[i];
		v.allow = !rules[i]->deny;
		v.reason = v.allow ? "allowed by rule" : "denied by rule";
		return v;
	}
	return v;
}

const char *
acl_credential_token(struct acl_rule *const *rules, size_t n_rules,
    const struct principal *who, const char *id)
{
	size_t i, j;

	for (i = 0; i < n_rules; i++)
		for (j = 0; j < rules[i]->n_credentials; j++)
			if (streq(rules[i]->credential_ids[j], id) &&
			    rule_is_for(rules[i], who, ACL_DOOR_CREDENTIAL))
				return rules[i]->credential_tokens[j];
	return id;
}
