/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl_shadow - finds a rule that can never decide anything, because an
 * earlier one matches wherever it would. Such a rule is a mistake that looks
 * like a permission (or, worse, like a refusal).
 *
 * It says so only when it is certain: a key is covered when the earlier rule
 * does not have it, or when each of the later rule's values is within one of
 * the earlier rule's. Two earlier rules that cover a third only together, or
 * two globs that need thought, are let pass.
 */
#include "state/acl.h"

#include <fnmatch.h>

#include "base/tb_error.h"
#include "base/util.h"

#define GLOB_SPECIAL "*?["

/* Whatever `narrow` matches, `wide` matches too. */
static bool
glob_covers(const char *wide, const char *narrow)
{
	size_t plain = strcspn(wide, GLOB_SPECIAL);

	if (streq(wide, narrow) || streq(wide, "*"))
		return true;
	if (!strpbrk(narrow, GLOB_SPECIAL))
		return fnmatch(wide, narrow, FNM_NOESCAPE) == 0;
	/* "abc*" and "abcd*", "abc?e" */
	return streq(wide + plain, "*") &&
	    strcspn(narrow, GLOB_SPECIAL) >= plain &&
	    strncmp(wide, narrow, plain) == 0;
}

static bool
globs_cover(char *const *wide, size_t n_wide, char *const *narrow,
    size_t n_narrow)
{
	size_t i, j;

	for (i = 0; i < n_narrow; i++) {
		for (j = 0; j < n_wide; j++)
			if (glob_covers(wide[j], narrow[i]))
				break;
		if (j == n_wide)
			return false;
	}
	return true;
}

/* A key of globs: absent covers all, and only absent covers absent. */
static bool
key_covers(char *const *wide, size_t n_wide, char *const *narrow,
    size_t n_narrow)
{
	if (n_wide == 0)
		return true;
	return n_narrow > 0 && globs_cover(wide, n_wide, narrow, n_narrow);
}

static bool
users_cover(const struct acl_rule *a, const struct acl_rule *b)
{
	size_t i, j;

	if (a->n_users == 0)
		return true;
	for (i = 0; i < b->n_users; i++) {
		for (j = 0; j < a->n_users; j++)
			if (a->users[j] == b->users[i])
				break;
		if (j == a->n_users)
			return false;
	}
	return b->n_users > 0;
}

static bool
groups_cover(const struct acl_rule *a, const struct acl_rule *b)
{
	size_t i, j;

	if (a->n_groups == 0)
		return true;
	for (i = 0; i < b->n_groups; i++) {
		for (j = 0; j < a->n_groups; j++)
			if (a->groups[j] == b->groups[i])
				break;
		if (j == a->n_groups)
			return false;
	}
	return b->n_groups > 0;
}

/* A unit is never a container, whether the rule says so or not. */
static bool
container_covers(const struct acl_rule *a, const struct acl_rule *b)
{
	return a->container < 0 || a->container == b->container ||
	    (a->container == 0 && b->n_units > 0);
}

/* An allow rule for units that asks for strong ones leaves the weak ones to
 * the rules behind it. */
static bool
strength_covers(const struct acl_rule *a, const struct acl_rule *b)
{
	if (a->n_units == 0 || a->deny || a->min_identity == PRINCIPAL_WEAK)
		return true;
	return !b->deny && b->min_identity != PRINCIPAL_WEAK;
}

/* The pairs ID=TOKEN of a rule count even when another one decides: the
 * credential door finds the token's name by them. */
static bool
credentials_cover(const struct acl_rule *a, const struct acl_rule *b)
{
	size_t i, j;

	for (i = 0; i < b->n_credentials; i++) {
		for (j = 0; j < a->n_credentials; j++)
			if (streq(a->credential_ids[j],
				b->credential_ids[i]) &&
			    streq(a->credential_tokens[j],
				b->credential_tokens[i]))
				break;
		if (j == a->n_credentials)
			return false;
	}
	return true;
}

static bool
tokens_cover(const struct acl_rule *a, const struct acl_rule *b)
{
	static const char *const all[] = { "*" };

	if (!credentials_cover(a, b))
		return false;
	/* there always is a token, so "*" is as good as no condition */
	if (globs_cover(a->tokens, a->n_tokens, (char *const *)all, 1))
		return true;
	/* named by credentials alone: what it matches is in a's pairs */
	if (b->n_tokens == 0 && b->n_credentials > 0)
		return true;
	if (a->n_tokens == 0)
		return a->n_credentials == 0;
	return key_covers(a->tokens, a->n_tokens, b->tokens, b->n_tokens);
}

static bool
is_for_door(const struct acl_rule *r, enum acl_door door)
{
	return (r->doors ? r->doors : ACL_DOOR_API | ACL_DOOR_CREDENTIAL) &
	    (unsigned)door;
}

/* Where the person is looked at. */
static bool
persons_cover(const struct acl_rule *a, const struct acl_rule *b)
{
	return strength_covers(a, b) && users_cover(a, b) && groups_cover(a, b);
}

/* At the credential door it is not, where there is unit=; and without that a
 * rule allows nothing, so it covers nothing and there is nothing to cover. */
static bool
credential_persons_cover(const struct acl_rule *a, const struct acl_rule *b)
{
	if (a->n_units > 0)
		return true;
	return a->deny && (b->n_units > 0 ? a->n_users + a->n_groups == 0 :
	    users_cover(a, b) && groups_cover(a, b));
}

/* Can it match anybody at this door? */
static bool
is_of_use_at(const struct acl_rule *r, enum acl_door door)
{
	size_t i;

	if (!is_for_door(r, door))
		return false;
	if (door != ACL_DOOR_CREDENTIAL || r->n_units > 0)
		return true;
	for (i = 0; i < r->n_users && r->users[i] != 0; i++)
		;
	return r->deny && (r->n_users == 0 || i < r->n_users);
}

static bool
covers_at(const struct acl_rule *a, const struct acl_rule *b,
    enum acl_door door)
{
	if (!is_of_use_at(b, door))
		return true;
	return is_for_door(a, door) && (door == ACL_DOOR_CREDENTIAL ?
	    credential_persons_cover(a, b) : persons_cover(a, b));
}

static bool
rule_covers(const struct acl_rule *a, const struct acl_rule *b)
{
	return covers_at(a, b, ACL_DOOR_API) &&
	    covers_at(a, b, ACL_DOOR_CREDENTIAL) &&
	    covers_at(a, b, ACL_DOOR_ADMIN) && container_covers(a, b) &&
	    key_covers(a->units, a->n_units, b->units, b->n_units) &&
	    key_covers(a->selinux, a->n_selinux, b->selinux, b->n_selinux) &&
	    tokens_cover(a, b);
}

int
acl_check_shadowed(struct acl_rule *const *rules, size_t n_rules,
    struct tb_error *err)
{
	size_t i, j;

	for (j = 1; j < n_rules; j++)
		for (i = 0; i < j; i++)
			if (rule_covers(rules[i], rules[j]))
				return tb_error_set(err, TB_E_CONFIG,
				    "%s: [client %s] can never match: "
				    "[client %s] at %s covers it",
				    rules[j]->where, rules[j]->name,
				    rules[i]->name, rules[i]->where);
	return 0;
}
