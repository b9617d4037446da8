/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_list - the values that are lists of words: who a rule names, what a
 * token may do, what else goes to a provider. Users and groups become numbers
 * here, once, so that a rule costs no look-up later.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "conf_int.h"

#define LIST(object, o) \
	((char ***)(void *)((char *)(object) + (o)->offset))
#define LIST_COUNT(object, o) \
	((size_t *)(void *)((char *)(object) + (o)->count))
#define LIST_C(object, o) \
	((char ***)(void *)(uintptr_t)((const char *)(object) + (o)->offset))
#define LIST_COUNT_C(object, o) \
	((const size_t *)(const void *)((const char *)(object) + (o)->count))

/* Calls fn for each word of a value. */
typedef int list_fn(const struct conf_option *o, void *object, char *word,
    struct tb_error *err);

static int
each_word(const struct conf_option *o, void *object, const char *text,
    list_fn *fn, struct tb_error *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *save = NULL;

	for (char *w = strtok_r(copy, " \t", &save); w;
	     w = strtok_r(NULL, " \t", &save)) {
		if (*w == '#')
			return tb_error_set(err, TB_E_CONFIG,
			    "'%.60s': write a comment on a line of its own",
			    w);
		if (fn(o, object, w, err) < 0)
			return -1;
	}
	return 0;
}

static void
list_add(char ***list, size_t n, const char *word)
{
	*list = xreallocarray(*list, n + 1, sizeof(**list));
	(*list)[n] = xstrdup(word);
}

/* ----------------------------------------------------------------- globs */

static int
add_glob(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	size_t *n = LIST_COUNT(object, o);

	list_add(LIST(object, o), *n, word);
	++*n;
	return 0;
}

static int
add_unit(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	if (!strpbrk(word, ".*"))
		return tb_error_set(err, TB_E_CONFIG,
		    "no unit is called '%.60s': write %.60s.service", word,
		    word);
	return add_glob(o, object, word, err);
}

static int
add_token(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	if (word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "abcdefghijklmnopqrstuvwxyz0123456789._-*?[]!")])
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s' matches no token: names are letters, digits, "
		    "'.', '_', '-', patterns have '*', '?', '[...]'", word);
	return add_glob(o, object, word, err);
}

/* --------------------------------------------------------- users, groups */

/* A uid or gid in digits; the kernel's -1 means "none" and is none. */
static bool
parse_id(const char *word, uint32_t *id)
{
	unsigned long v;

	if (word[strspn(word, "0123456789")] || strlen(word) > 10)
		return false;
	errno = 0;
	v = strtoul(word, NULL, 10);
	*id = (uint32_t)v;
	return !errno && v < UINT32_MAX;
}

static int
add_user(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct acl_rule *r = object;
	const struct passwd *pw;
	uint32_t uid;

	if (!parse_id(word, &uid)) {
		pw = getpwnam(word);
		if (!pw)
			return tb_error_set(err, TB_E_CONFIG,
			    "there is no user '%.60s' on this host", word);
		uid = pw->pw_uid;
	}
	list_add(&r->user_names, r->n_users, word);
	r->users = xreallocarray(r->users, r->n_users + 1,
	    sizeof(*r->users));
	r->users[r->n_users++] = uid;
	return 0;
}

static int
add_group(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct acl_rule *r = object;
	const struct group *gr;
	uint32_t gid;

	if (!parse_id(word, &gid)) {
		gr = getgrnam(word);
		if (!gr)
			return tb_error_set(err, TB_E_CONFIG,
			    "there is no group '%.60s' on this host", word);
		gid = gr->gr_gid;
	}
	list_add(&r->group_names, r->n_groups, word);
	r->groups = xreallocarray(r->groups, r->n_groups + 1,
	    sizeof(*r->groups));
	r->groups[r->n_groups++] = gid;
	return 0;
}

/* ------------------------------------------------------------- a rule's */

static int
add_door(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct acl_rule *r = object;

	for (const struct conf_word *w = o->words; w->word; w++) {
		if (strcmp(w->word, word) == 0) {
			r->doors |= (unsigned)w->value;
			return 0;
		}
	}
	return tb_error_set(err, TB_E_CONFIG,
	    strcmp(word, "admin") == 0 ?
		"'%.60s' releases no token: rules are for api and credential" :
		"'%.60s' is none of api, credential", word);
}

static int
set_rate(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	struct acl_rule *r = object;
	const char *slash = strchr(text, '/');
	size_t digits = strspn(text, "0123456789");
	int64_t ms;
	unsigned long n = digits && digits < 10 ? strtoul(text, NULL, 10) : 0;

	if (!slash || slash != text + digits || n < 1 ||
	    !timefmt_parse_duration(slash + 1, &ms) || ms < 1000 ||
	    ms % 1000 || ms > INT64_C(86400000))
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s' is not a rate: write 6/1h, with a time from 1s "
		    "to 1d", text);
	r->rate_count = (uint32_t)n;
	r->rate_period_s = ms / 1000;
	return 0;
}

static int
add_credential(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct acl_rule *r = object;
	char *eq = strchr(word, '=');

	if (eq)
		*eq = '\0';
	if (!eq || !conf_is_name(word) || !conf_is_name(eq + 1))
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s': ID=TOKEN is wanted, the credential's name and "
		    "the token's", word);
	for (size_t i = 0; i < r->n_credentials; i++) {
		if (strcmp(r->credential_ids[i], word) == 0)
			return tb_error_set(err, TB_E_CONFIG,
			    "credential '%.60s' is there twice", word);
	}
	list_add(&r->credential_ids, r->n_credentials, word);
	list_add(&r->credential_tokens, r->n_credentials, eq + 1);
	r->n_credentials++;
	return 0;
}

/* ---------------------------------------------------------- permissions */

/* Words of their own, as `influx auth create` has them. */
static bool
permission_is_word(const char *word)
{
	return strncmp(word, "read-", 5) == 0 ||
	    strncmp(word, "write-", 6) == 0 || streq(word, "all-access") ||
	    streq(word, "operator") || streq(word, "clone");
}

/* "read-bucket NAME": the second word may be anything, colons included. */
static bool
permission_takes_word(const char *action)
{
	return streq(action, "read-bucket") || streq(action, "write-bucket") ||
	    streq(action, "clone");
}

/* What the words may be is for the backend to say. */
static int
add_permission(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct backend_recipe *r = &((struct token_conf *)object)->recipe;
	char *colon = strchr(word, ':');
	size_t n = r->n_permissions;
	bool plain = permission_is_word(word);

	if (n && !r->permissions[n - 1].resource &&
	    permission_takes_word(r->permissions[n - 1].action)) {
		r->permissions[n - 1].resource = xstrdup(word);
		return 0;
	}
	if (!plain && (!colon || colon == word || !colon[1]))
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s': read:DATABASE or write:DATABASE is wanted, or "
		    "with type influxdb-v2 a word such as read-buckets",
		    word);
	r->permissions = xreallocarray(r->permissions, n + 1,
	    sizeof(*r->permissions));
	r->permissions[n].action = xstrndup(word, plain ? strlen(word) :
	    (size_t)(colon - word));
	r->permissions[n].resource = plain ? NULL : xstrdup(colon + 1);
	r->n_permissions++;
	return 0;
}

/* ------------------------------------------------------------ parameters */

static void
param_add(struct idp_conf *c, const char *name, const char *value)
{
	c->params = xreallocarray(c->params, c->n_params + 1,
	    sizeof(*c->params));
	c->params[c->n_params].name = xstrdup(name);
	c->params[c->n_params].value = xstrdup(value);
	c->n_params++;
}

static int
add_resource(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	param_add(object, "resource", word);
	return 0;
}

/* The broker writes these itself; two of one kind are an error upstream, and
 * a secret has no business here. */
static bool
param_is_ours(const char *name)
{
	static const char *const ours[] = { "audience", "client_assertion",
		"client_assertion_type", "client_id", "client_secret",
		"device_code", "grant_type", "refresh_token", "resource",
		"scope", "token" };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (strcmp(ours[i], name) == 0)
			return true;
	}
	return false;
}

static int
add_parameter(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct idp_conf *c = object;
	char *eq = strchr(word, '=');

	if (!eq || eq == word || !eq[1])
		return tb_error_set(err, TB_E_CONFIG,
		    "NAME=VALUE is wanted, without spaces");
	*eq = '\0';
	if (param_is_ours(word))
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s' cannot be set here: it comes from a key of its "
		    "own or from the protocol", word);
	for (size_t i = 0; i < c->n_params; i++) {
		if (strcmp(c->params[i].name, word) == 0)
			return tb_error_set(err, TB_E_CONFIG,
			    "'%.60s' is there twice", word);
	}
	param_add(c, word, eq + 1);
	return 0;
}

/* ------------------------------------------------------------- distances */

/* Kept from the longest to the shortest, each once. */
static int
add_distance(const struct conf_option *o, void *object, char *word,
    struct tb_error *err)
{
	struct token_conf *t = object;
	size_t at = 0;
	int64_t ms;

	if (!timefmt_parse_duration(word, &ms) || ms < o->min || ms > o->max)
		return tb_error_set(err, TB_E_CONFIG, "'%.60s' is no distance: "
		    "write durations such as 14d 3d 1d, or none", word);
	while (at < t->n_announce && t->announce_ms[at] > ms)
		at++;
	if (at < t->n_announce && t->announce_ms[at] == ms)
		return 0;
	if (t->n_announce == ARRAY_SIZE(t->announce_ms))
		return tb_error_set(err, TB_E_CONFIG,
		    "no more than %zu distances", t->n_announce);
	memmove(&t->announce_ms[at + 1], &t->announce_ms[at],
	    (t->n_announce - at) * sizeof(t->announce_ms[0]));
	t->announce_ms[at] = ms;
	t->n_announce++;
	return 0;
}

/* "none" is a list without any. */
static int
set_distances(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	((struct token_conf *)object)->n_announce = 0;
	if (strcmp(text, "none") == 0)
		return 0;
	return each_word(o, object, text, add_distance, err);
}

/* ------------------------------------------------------- whole values */

/* "*" is anybody, which is the same as no condition. */
static int
set_users(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	if (strcmp(text, "*") == 0)
		return 0;
	return each_word(o, object, text, add_user, err);
}

static int
set_audience(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	param_add(object, "audience", text);
	return 0;
}

int
conf_list_set(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	static list_fn *const each[] = {
		[CONF_T_UNITS] = add_unit,
		[CONF_T_LABELS] = add_glob,
		[CONF_T_TOKENS] = add_token,
		[CONF_T_GROUPS] = add_group,
		[CONF_T_DOORS] = add_door,
		[CONF_T_CREDENTIALS] = add_credential,
		[CONF_T_PERMISSIONS] = add_permission,
		[CONF_T_RESOURCES] = add_resource,
		[CONF_T_PARAMETERS] = add_parameter,
	};

	if (o->type == CONF_T_USERS)
		return set_users(o, object, text, err);
	if (o->type == CONF_T_DISTANCES)
		return set_distances(o, object, text, err);
	if (o->type == CONF_T_RATE)
		return set_rate(o, object, text, err);
	if (o->type == CONF_T_AUDIENCE)
		return set_audience(o, object, text, err);
	return each_word(o, object, text, each[o->type], err);
}

/* ----------------------------------------------------------------- print */

static void
print_word(struct strbuf *out, const char *word)
{
	strbuf_addf(out, "%s%s", out->len ? " " : "", word);
}

static void
print_list(struct strbuf *out, char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		print_word(out, list[i]);
}

/* A rule without any condition is one that says user = *. */
static void
print_users(struct strbuf *out, const struct acl_rule *r)
{
	print_list(out, r->user_names, r->n_users);
	if (!r->n_users && !r->n_units && !r->n_groups && !r->n_selinux &&
	    r->container < 0)
		strbuf_adds(out, "*");
}

static void
print_doors(struct strbuf *out, const struct conf_option *o,
    const struct acl_rule *r)
{
	for (const struct conf_word *w = o->words; w->word; w++) {
		if (r->doors & (unsigned)w->value)
			print_word(out, w->word);
	}
}

static void
print_rate(struct strbuf *out, const struct acl_rule *r)
{
	if (!r->rate_count)
		return;
	strbuf_addf(out, "%" PRIu32 "/", r->rate_count);
	conf_value_duration(out, r->rate_period_s * 1000);
}

static void
print_distances(struct strbuf *out, const struct token_conf *t)
{
	for (size_t i = 0; i < t->n_announce; i++) {
		strbuf_adds(out, i ? " " : "");
		conf_value_duration(out, t->announce_ms[i]);
	}
	if (!t->n_announce)
		strbuf_adds(out, "none");
}

static void
print_credentials(struct strbuf *out, const struct acl_rule *r)
{
	for (size_t i = 0; i < r->n_credentials; i++) {
		print_word(out, r->credential_ids[i]);
		strbuf_addf(out, "=%s", r->credential_tokens[i]);
	}
}

static void
print_permissions(struct strbuf *out, const struct backend_recipe *r)
{
	for (size_t i = 0; i < r->n_permissions; i++) {
		const char *action = r->permissions[i].action;

		print_word(out, action);
		if (r->permissions[i].resource)
			strbuf_addf(out, "%c%s", permission_takes_word(action) ?
			    ' ' : ':', r->permissions[i].resource);
	}
}

static void
print_params(struct strbuf *out, const struct conf_option *o,
    const struct idp_conf *c)
{
	for (size_t i = 0; i < c->n_params; i++) {
		const struct idp_param *p = &c->params[i];
		bool audience = streq(p->name, "audience");
		bool resource = streq(p->name, "resource");

		if ((o->type == CONF_T_AUDIENCE && audience) ||
		    (o->type == CONF_T_RESOURCES && resource)) {
			print_word(out, p->value);
		} else if (o->type == CONF_T_PARAMETERS && !audience &&
		    !resource) {
			print_word(out, p->name);
			strbuf_addf(out, "=%s", p->value);
		}
	}
}

bool
conf_list_print(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	struct strbuf words _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (o->type == CONF_T_USERS)
		print_users(&words, object);
	else if (o->type == CONF_T_DISTANCES)
		print_distances(&words, object);
	else if (o->type == CONF_T_DOORS)
		print_doors(&words, o, object);
	else if (o->type == CONF_T_RATE)
		print_rate(&words, object);
	else if (o->type == CONF_T_CREDENTIALS)
		print_credentials(&words, object);
	else if (o->type == CONF_T_PERMISSIONS)
		print_permissions(&words,
		    &((const struct token_conf *)object)->recipe);
	else if (o->section == CONF_LOGIN)
		print_params(&words, o, object);
	else if (o->type == CONF_T_GROUPS)
		print_list(&words,
		    ((const struct acl_rule *)object)->group_names,
		    ((const struct acl_rule *)object)->n_groups);
	else
		print_list(&words, *LIST_C(object, o),
		    *LIST_COUNT_C(object, o));
	strbuf_add(out, strbuf_str(&words), words.len);
	return words.len > 0;
}
