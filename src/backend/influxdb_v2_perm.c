/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxdb_v2_perm - permissions in the words of `influx auth create`, and
 * what each becomes:
 *
 *   read-TYPE, write-TYPE     all of that type in the organization
 *   read-bucket, write-bucket one bucket, by id; a name has been looked up
 *   clone                     a copy of what another authorization may do
 *   all-access                everything in the organization
 *   operator                  everything, in every organization
 *
 * Two types are not of an organization: orgs, where we mean this one and no
 * other, and users, who are the service's.
 */
#include "backend/influxdb_v2_int.h"

#include <ctype.h>
#include <string.h>

#include "backend/check.h"
#include "lib/jsonx.h"

/* Each is a request at every mint. */
#define V2_LOOKUPS_MAX 20
#define V2_TYPES_MAX 100
#define V2_CLONED_MAX 1000

static const char *const v2_types[] = { "annotations", "authorizations",
	"buckets", "checks", "dashboards", "dbrp", "documents", "flows",
	"functions", "instance", "labels", "notebooks",
	"notificationEndpoints", "notificationRules", "orgs", "remotes",
	"replications", "scrapers", "secrets", "sources", "subscriptions",
	"tasks", "telegrafs", "users", "variables", "views" };

bool
influxdb_v2_is_id(const char *s)
{
	return s && strlen(s) == 16 && strspn(s, "0123456789abcdef") == 16;
}

bool
influxdb_v2_is_bucket(const char *action)
{
	return streq(action, "read-bucket") || streq(action, "write-bucket");
}

bool
influxdb_v2_is_clone(const char *action)
{
	return streq(action, "clone");
}

static bool
v2_is_everything(const char *action)
{
	return streq(action, "all-access") || streq(action, "operator");
}

bool
influxdb_v2_wants_types(const struct backend_recipe *r)
{
	return r->n_permissions == 1 &&
	    v2_is_everything(r->permissions[0].action);
}

/* "read-buckets": the part behind the dash, if it is a type. */
static const char *
v2_type_of(const char *action)
{
	const char *type = strchr(action, '-');
	size_t verb = type ? (size_t)(type - action) : 0;

	if (!(verb == 4 && strncmp(action, "read", 4) == 0) &&
	    !(verb == 5 && strncmp(action, "write", 5) == 0))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(v2_types); i++) {
		if (streq(v2_types[i], type + 1))
			return v2_types[i];
	}
	return NULL;
}

/* ---------------------------------------------------------------- at load */

static int
v2_check_bucket(const char *action, const char *name, struct tb_error *err)
{
	if (!name)
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions: %s wants the name or the id of a bucket "
		    "behind it, such as %s metrics; all buckets are %ss",
		    action, action, action);
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions: a bucket's name holds a control "
			    "character");
	}
	return 0;
}

static int
v2_check_clone(const struct backend_recipe *r, const char *id,
    struct tb_error *err)
{
	if (!influxdb_v2_is_id(id))
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions: clone wants the id of an authorization "
		    "behind it, 16 hexadecimal digits");
	return check_full_access(r, "permissions: clone copies whatever that "
	    "authorization may do, which is not to be seen here", err);
}

static int
v2_check_one(const struct backend_recipe *r, const char *action,
    const char *resource, struct tb_error *err)
{
	if (influxdb_v2_is_bucket(action))
		return v2_check_bucket(action, resource, err);
	if (influxdb_v2_is_clone(action))
		return v2_check_clone(r, resource, err);
	if (resource)
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions: '%.20s:%.60s': with type influxdb-v2 it is "
		    "read-bucket NAME or write-bucket NAME, in two words",
		    action, resource);
	if (v2_is_everything(action)) {
		if (r->n_permissions > 1)
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions: %s stands alone, since it holds "
			    "every other", action);
		return check_full_access(r, streq(action, "operator") ?
		    "permissions: operator is all power in every organization" :
		    "permissions: all-access is all power in the organization",
		    err);
	}
	if (!v2_type_of(action))
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions: '%.60s' is unknown: read-TYPE or write-TYPE "
		    "is wanted (read-buckets; tokenbroker.conf(5) has the "
		    "types), read-bucket NAME, write-bucket NAME, clone ID, "
		    "all-access or operator", action);
	return 0;
}

int
influxdb_v2_check_permissions(const struct backend_recipe *r,
    struct tb_error *err)
{
	size_t lookups = 0;

	if (!r->n_permissions)
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions are missing, such as write-bucket metrics");
	for (size_t i = 0; i < r->n_permissions; i++) {
		const char *action = r->permissions[i].action;
		const char *resource = r->permissions[i].resource;

		if (v2_check_one(r, action, resource, err) < 0)
			return -1;
		lookups += influxdb_v2_is_clone(action) ||
		    (influxdb_v2_is_bucket(action) &&
			!influxdb_v2_is_id(resource));
	}
	if (lookups > V2_LOOKUPS_MAX)
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions: %zu names are more than the %d that are "
		    "looked up for a token: give ids of buckets instead",
		    lookups, V2_LOOKUPS_MAX);
	return 0;
}

/* ------------------------------------------------------------- from replies */

/* A word of the service's that goes into our next request. */
static bool
v2_is_word(const char *s)
{
	size_t len = s ? strlen(s) : 0;

	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)s[i]))
			return false;
	}
	return len > 0 && len <= 64;
}

/* Member by member: what is not published is not handed on. */
static int
v2_add_one_clone(struct strbuf *out, json_t *permission, struct tb_error *err)
{
	static const char *const members[] = { "id", "name", "orgID", "org" };
	const char *action = json_string_value(jsonx_pointer(permission,
	    "/action"));
	json_t *resource = json_object_get(permission, "resource");
	const char *type = json_string_value(json_object_get(resource,
	    "type"));

	if ((!streq(action, "read") && !streq(action, "write")) ||
	    !v2_is_word(type))
		return tb_error_set(err, TB_E_PROTO,
		    "a permission to be copied has no usable action or type");
	strbuf_addf(out, ",{\"action\":\"%s\",\"resource\":{\"type\":\"%s\"",
	    action, type);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *member = json_object_get(resource, members[i]);

		if (!member || json_is_null(member))
			continue;
		/* left out, it would be a wider permission */
		if (!json_is_string(member))
			return tb_error_set(err, TB_E_PROTO,
			    "a permission to be copied is not understood");
		strbuf_addf(out, ",\"%s\":", members[i]);
		strbuf_add_json(out, json_string_value(member));
	}
	strbuf_adds(out, "}}");
	return 0;
}

int
influxdb_v2_add_clone(struct influxdb_v2_mint *m, json_t *permissions,
    struct tb_error *err)
{
	json_t *one;
	size_t i;

	if (!json_array_size(permissions) ||
	    json_array_size(permissions) > V2_CLONED_MAX)
		return tb_error_set(err, TB_E_PROTO,
		    "the authorization to be copied has no usable "
		    "permissions");
	json_array_foreach(permissions, i, one) {
		if (v2_add_one_clone(&m->clones, one, err) < 0)
			return -1;
	}
	return 0;
}

int
influxdb_v2_set_types(struct influxdb_v2_mint *m, json_t *list,
    struct tb_error *err)
{
	json_t *one;
	size_t i;

	if (!json_array_size(list) || json_array_size(list) > V2_TYPES_MAX)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer holds no list of resource types");
	m->types = (char **)xcalloc(json_array_size(list),
	    sizeof(*m->types));
	json_array_foreach(list, i, one) {
		if (!v2_is_word(json_string_value(one)))
			return tb_error_set(err, TB_E_PROTO,
			    "the list of resource types is not understood");
		m->types[m->n_types++] = xstrdup(json_string_value(one));
	}
	return 0;
}

/* -------------------------------------------------------------- the request */

/* id and org_id: NULL leaves them out. */
static void
v2_add(struct strbuf *body, const char *action, const char *type,
    const char *id, const char *org_id)
{
	/* the first one has a comma, too: see the caller */
	strbuf_addf(body, ",{\"action\":\"%s\",\"resource\":{\"type\":\"%s\"",
	    action, type);
	if (id)
		strbuf_addf(body, ",\"id\":\"%s\"", id);
	if (org_id)
		strbuf_addf(body, ",\"orgID\":\"%s\"", org_id);
	strbuf_adds(body, "}}");
}

static void
v2_add_type(const struct influxdb_v2_mint *m, const char *action,
    const char *type, struct strbuf *body)
{
	if (streq(type, "orgs"))
		v2_add(body, action, type, m->org_id, NULL);
	else if (streq(type, "users"))
		v2_add(body, action, type, NULL, NULL);
	else
		v2_add(body, action, type, NULL, m->org_id);
}

/* As the command line has it: the organization itself to read, of the users
 * only the owner, and not the instance. */
static void
v2_add_all_access(const struct influxdb_v2_mint *m, struct strbuf *body)
{
	for (size_t i = 0; i < m->n_types; i++) {
		const char *type = m->types[i];
		bool users = streq(type, "users");

		if (streq(type, "instance") || (users && !m->user_id))
			continue;
		if (streq(type, "orgs")) {
			v2_add(body, "read", type, m->org_id, NULL);
			continue;
		}
		v2_add(body, "read", type, users ? m->user_id : NULL,
		    users ? NULL : m->org_id);
		v2_add(body, "write", type, users ? m->user_id : NULL,
		    users ? NULL : m->org_id);
	}
}

/* Not instance, which influx auth create --operator asks for: InfluxDB OSS
 * 2.7.12 gives that to sessions only and refuses the whole token (measured). */
static void
v2_add_operator(const struct influxdb_v2_mint *m, struct strbuf *body)
{
	for (size_t i = 0; i < m->n_types; i++) {
		if (streq(m->types[i], "instance"))
			continue;
		v2_add(body, "read", m->types[i], NULL, NULL);
		v2_add(body, "write", m->types[i], NULL, NULL);
	}
}

void
influxdb_v2_add_permissions(const struct influxdb_v2_mint *m,
    const struct backend_recipe *r, struct strbuf *body)
{
	struct strbuf list _cleanup_(strbuf_clear) = STRBUF_INIT;

	for (size_t i = 0; i < r->n_permissions; i++) {
		const char *action = r->permissions[i].action;
		const char *verb = strncmp(action, "read", 4) == 0 ? "read" :
								     "write";

		if (influxdb_v2_is_bucket(action))
			v2_add(&list, verb, "buckets", m->ids[i], m->org_id);
		else if (streq(action, "all-access"))
			v2_add_all_access(m, &list);
		else if (streq(action, "operator"))
			v2_add_operator(m, &list);
		else if (!influxdb_v2_is_clone(action))
			v2_add_type(m, verb, v2_type_of(action), &list);
	}
	strbuf_adds(&list, strbuf_str(&m->clones));
	strbuf_addc(body, '[');
	strbuf_adds(body, strbuf_str(&list) + (list.len > 0));
	strbuf_addc(body, ']');
}
