/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxdb_v2 - see the header. What is special here:
 *
 *  - Permissions go by ids, so a mint may begin with questions: the
 *    organization, the owner, each bucket, what is to be copied. They make no
 *    token (run->harmless), and their answers are kept in run->scratch.
 *  - Ids found by name are remembered for a few minutes. When the service
 *    then says 400 or 404, they are forgotten and asked for once more.
 *  - A token never ends by itself: BACKEND_NO_EXPIRY. PATCH makes it inactive,
 *    DELETE takes it away.
 *  - OSS lists and shows values in clear: of such answers only the members
 *    that are wanted are copied, the rest is wiped with the answer.
 */
#include "backend/influxdb_v2.h"

#include <string.h>

#include "backend/answer.h"
#include "backend/backend_int.h"
#include "backend/check.h"
#include "backend/influxdb_v2_int.h"
#include "backend/names.h"
#include "backend/template.h"
#include "lib/jsonx.h"

#define V2_AUTHORIZATIONS "/api/v2/authorizations"
/* Any live token may list the buckets it may read, be they none. */
#define V2_PROBE_PATH "/api/v2/buckets?limit=1"

/* run->step: what the answer that is waited for is about. */
enum v2_step { V2_FIRST, V2_ORG, V2_OWNER, V2_NEW_OWNER, V2_BUCKET, V2_CLONE,
	V2_TYPES, V2_MINT };

static const struct answer_spec v2_spec = {
	.token = "/token",
	.id = "/id",
	.id_required = true,
	.list = "/authorizations",
	.list_id = "/id",
	.list_description = "/description",
	.list_created = { "/createdAt", NULL },
	.may_lack_descriptions = true,
};

/* One that may be read, if there is one, since a probe reads. */
static const char *
v2_bucket(const struct backend_recipe *r)
{
	const char *found = NULL;

	for (size_t i = 0; r && i < r->n_permissions; i++) {
		if (streq(r->permissions[i].action, "read-bucket"))
			return r->permissions[i].resource;
		if (!found && influxdb_v2_is_bucket(r->permissions[i].action))
			found = r->permissions[i].resource;
	}
	return found;
}

static unsigned
v2_caps(const struct backend_conf *c, const struct backend_recipe *r)
{
	unsigned caps = BACKEND_CAN_LIST | BACKEND_CAN_REVOKE |
	    BACKEND_CAN_DISABLE | BACKEND_CAN_GET | BACKEND_NO_EXPIRY |
	    BACKEND_NEEDS_PAYER;

	if (!r || !c->probe_url || !template_uses(c->probe_url, "bucket") ||
	    v2_bucket(r))
		caps |= BACKEND_CAN_PROBE;
	return caps;
}

/* --------------------------------------------------------------- at load */

static int
v2_check(const struct backend_conf *c, struct tb_error *err)
{
	const struct template_var vars[] = { { "bucket", "sample" } };

	if (c->login)
		return tb_error_set(err, TB_E_CONFIG, "login: type "
		    "influxdb-v2 knows no login; a parent token pays: "
		    "management_token names a [token] of a backend of type "
		    "import");
	if (!c->management_token)
		return tb_error_set(err, TB_E_CONFIG, "management_token is "
		    "missing: a parent token pays, a [token] of a backend of "
		    "type import");
	if (!c->base_url)
		return tb_error_set(err, TB_E_CONFIG, "base_url is missing, "
		    "such as http://localhost:8086 or that of the region");
	if (!c->org)
		return tb_error_set(err, TB_E_CONFIG, "org is missing: the "
		    "organization's name or id");
	if (c->create_owner && !c->owner)
		return tb_error_set(err, TB_E_CONFIG, "create_owner wants "
		    "owner, the name of the user to create");
	if (c->create_owner && influxdb_v2_is_id(c->owner))
		return tb_error_set(err, TB_E_CONFIG, "create_owner: owner is "
		    "an id, and only a user of a given name can be created");
	if (check_common(c, err) < 0)
		return -1;
	return c->probe_url ? check_url(c, "probe_url", c->probe_url, vars,
	    ARRAY_SIZE(vars), err) : 0;
}

static int
v2_check_recipe(const struct backend_conf *c, const struct backend_recipe *r,
    struct tb_error *err)
{
	if (r->kind != BACKEND_KIND_DATABASE)
		return tb_error_set(err, TB_E_CONFIG, "kind: a backend of type "
		    "influxdb-v2 has kind = database; what a token may do is "
		    "said by permissions, all-access among them");
	return influxdb_v2_check_permissions(r, err);
}

/* --------------------------------------------------------------- questions */

static void
v2_mint_clear(struct influxdb_v2_mint *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->ids[i]);
	for (size_t i = 0; i < m->n_types; i++)
		free(m->types[i]);
	free(m->ids);
	free(m->copied);
	free(m->types);
	free(m->org_id);
	free(m->user_id);
	strbuf_clear(&m->clones);
}

static void
v2_mint_free(void *scratch)
{
	v2_mint_clear(scratch);
	free(scratch);
}

static void
v2_mint_begin(struct influxdb_v2_mint *m, const struct backend_recipe *r)
{
	bool again = m->again;

	v2_mint_clear(m);
	*m = (struct influxdb_v2_mint){ .again = again };
	m->n = r->n_permissions;
	m->ids = (char **)xcalloc(m->n, sizeof(*m->ids));
	m->copied = (bool *)xcalloc(m->n, sizeof(*m->copied));
}

/* An id that needs no question: it is one, or was heard lately. */
static char *
v2_known(struct backend_run *run, const char *kind, const char *name)
{
	struct influxdb_v2_mint *m = run->scratch;
	const char *id;

	if (influxdb_v2_is_id(name))
		return xstrdup(name);
	id = names_get(run->conf->names, kind, name, run->now_s);
	m->from_cache |= id != NULL;
	return xstrdup0(id);
}

/* "path" and, percent-encoded, "value". */
static enum backend_next
v2_ask(struct backend_run *run, enum v2_step step, const char *path,
    const char *value, struct http_request *request)
{
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&url, run->conf->base_url);
	strbuf_adds(&url, path);
	strbuf_add_percent(&url, value);
	backend_prepare(run, "GET", &url, request);
	run->step = step;
	run->harmless = true;
	return BACKEND_SEND;
}

static enum backend_next
v2_ask_bucket(struct backend_run *run, const char *name,
    struct http_request *request)
{
	const struct influxdb_v2_mint *m = run->scratch;
	char *path _cleanup_free_ = xasprintf("/api/v2/buckets?orgID=%s&name=",
	    m->org_id);

	return v2_ask(run, V2_BUCKET, path, name, request);
}

static void
v2_send_json(struct backend_run *run, const char *method, const char *path,
    const char *body, struct http_request *request)
{
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&url, run->conf->base_url);
	strbuf_adds(&url, path);
	backend_prepare(run, method, &url, request);
	request->content_type = "application/json";
	secret_set_str(&request->body, body);
}

static enum backend_next
v2_send_owner(struct backend_run *run, struct http_request *request)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&body, "{\"name\":");
	strbuf_add_json(&body, run->conf->owner);
	strbuf_adds(&body, ",\"status\":\"active\"}");
	v2_send_json(run, "POST", "/api/v2/users", strbuf_str(&body), request);
	run->step = V2_NEW_OWNER;
	run->harmless = true; /* a user, no token */
	return BACKEND_SEND;
}

static enum backend_next
v2_send_mint(struct backend_run *run, struct http_request *request)
{
	const struct influxdb_v2_mint *m = run->scratch;
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_addf(&body, "{\"orgID\":\"%s\"", m->org_id);
	if (m->user_id)
		strbuf_addf(&body, ",\"userID\":\"%s\"", m->user_id);
	strbuf_adds(&body, ",\"status\":\"active\",\"description\":");
	strbuf_add_json(&body, run->description);
	strbuf_adds(&body, ",\"permissions\":");
	influxdb_v2_add_permissions(m, run->recipe, &body);
	strbuf_addc(&body, '}');
	v2_send_json(run, "POST", V2_AUTHORIZATIONS, strbuf_str(&body),
	    request);
	run->step = V2_MINT;
	run->harmless = false;
	return BACKEND_SEND;
}

/* What is still to be asked about one permission; true: a request is due. */
static bool
v2_ask_about(struct backend_run *run, size_t i, struct http_request *request)
{
	struct influxdb_v2_mint *m = run->scratch;
	const char *action = run->recipe->permissions[i].action;
	const char *resource = run->recipe->permissions[i].resource;

	m->at = i;
	if (influxdb_v2_is_bucket(action) && !m->ids[i]) {
		m->ids[i] = v2_known(run, "bucket", resource);
		if (m->ids[i])
			return false;
		v2_ask_bucket(run, resource, request);
		return true;
	}
	if (influxdb_v2_is_clone(action) && !m->copied[i]) {
		v2_ask(run, V2_CLONE, V2_AUTHORIZATIONS "/", resource,
		    request);
		return true;
	}
	return false;
}

/* The next question, or, with all answered, the mint. */
static enum backend_next
v2_mint_next(struct backend_run *run, struct http_request *request)
{
	struct influxdb_v2_mint *m = run->scratch;
	const struct backend_conf *c = run->conf;

	if (!m->org_id && !(m->org_id = v2_known(run, "org", c->org)))
		return v2_ask(run, V2_ORG, "/api/v2/orgs?org=", c->org,
		    request);
	if (c->owner && !m->user_id &&
	    !(m->user_id = v2_known(run, "user", c->owner)))
		return v2_ask(run, V2_OWNER, "/api/v2/users?name=", c->owner,
		    request);
	for (size_t i = 0; i < m->n; i++) {
		if (v2_ask_about(run, i, request))
			return BACKEND_SEND;
	}
	if (influxdb_v2_wants_types(run->recipe) && !m->n_types)
		return v2_ask(run, V2_TYPES, "/api/v2/resources", "", request);
	return v2_send_mint(run, request);
}

/* ----------------------------------------------------------------- answers */

static void
v2_learn(struct backend_run *run, const char *kind, const char *name,
    const char *id, char **out)
{
	str_set(out, id);
	names_put(run->conf->names, kind, name, id, run->now_s);
}

/* The id of the element of that name; NULL: there is none. A service that
 * overlooks our filter must not choose for us. */
static const char *
v2_find(json_t *root, const char *list, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(root, list), i, one) {
		const char *id = json_string_value(json_object_get(one, "id"));

		if (streq(json_string_value(json_object_get(one, "name")),
			name) && influxdb_v2_is_id(id))
			return id;
	}
	return NULL;
}

/* There is no such thing: the payer may not see it, or it is not there. */
static enum backend_next
v2_nothing(struct backend_run *run, const char *key, const char *name,
    struct tb_error *err)
{
	tb_error_set(err, TB_E_UPSTREAM, "mint: the service shows the payer "
	    "no %s '%.80s': is it there, and may the parent token read it?",
	    key, name);
	return BACKEND_FAILED;
}

static enum backend_next
v2_named(struct backend_run *run, json_t *root, struct http_request *request,
    struct tb_error *err)
{
	struct influxdb_v2_mint *m = run->scratch;
	const struct backend_conf *c = run->conf;
	const char *name = c->org, *id;

	if (run->step == V2_ORG) {
		id = v2_find(root, "orgs", name);
		if (!id)
			return v2_nothing(run, "organization", name, err);
		v2_learn(run, "org", name, id, &m->org_id);
	} else if (run->step == V2_OWNER) {
		id = v2_find(root, "users", c->owner);
		if (!id && c->create_owner)
			return v2_send_owner(run, request);
		if (!id)
			return v2_nothing(run, "user", c->owner, err);
		v2_learn(run, "user", c->owner, id, &m->user_id);
	} else {
		name = run->recipe->permissions[m->at].resource;
		id = v2_find(root, "buckets", name);
		if (!id)
			return v2_nothing(run, "bucket", name, err);
		v2_learn(run, "bucket", name, id, &m->ids[m->at]);
	}
	return v2_mint_next(run, request);
}

/* The answer to what was asked before the mint, which has a 2xx. */
static enum backend_next
v2_answered(struct backend_run *run, json_t *root,
    struct http_request *request, struct tb_error *err)
{
	struct influxdb_v2_mint *m = run->scratch;
	const char *id;

	switch ((enum v2_step)run->step) {
	case V2_NEW_OWNER:
		id = json_string_value(json_object_get(root, "id"));
		if (!influxdb_v2_is_id(id)) {
			tb_error_set(err, TB_E_PROTO,
			    "the new user has no usable id");
			return backend_unusable(run, err);
		}
		v2_learn(run, "user", run->conf->owner, id, &m->user_id);
		break;
	case V2_CLONE:
		if (influxdb_v2_add_clone(m, json_object_get(root,
			"permissions"), err) < 0)
			return backend_unusable(run, err);
		m->copied[m->at] = true;
		break;
	case V2_TYPES:
		if (influxdb_v2_set_types(m, root, err) < 0)
			return backend_unusable(run, err);
		break;
	case V2_FIRST:
	case V2_ORG:
	case V2_OWNER:
	case V2_BUCKET:
	case V2_MINT:
		return v2_named(run, root, request, err);
	}
	return v2_mint_next(run, request);
}

/* OSS says 404 where the cloud lists nothing. */
static enum backend_next
v2_question_refused(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	const struct influxdb_v2_mint *m = run->scratch;
	const struct backend_conf *c = run->conf;

	if (reply->status != 404 || run->step == V2_TYPES ||
	    run->step == V2_NEW_OWNER)
		return backend_refused(run, reply, err);
	if (run->step == V2_ORG)
		return v2_nothing(run, "organization", c->org, err);
	if (run->step == V2_OWNER)
		return c->create_owner ? v2_send_owner(run, request) :
		    v2_nothing(run, "user", c->owner, err);
	return v2_nothing(run, run->step == V2_CLONE ? "authorization" :
	    "bucket", run->recipe->permissions[m->at].resource, err);
}

static enum backend_next
v2_minted(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	struct influxdb_v2_mint *m = run->scratch;

	if ((reply->status == 400 || reply->status == 404) && m->from_cache &&
	    !m->again) {
		names_forget(run->conf->names);
		m->again = true;
		v2_mint_begin(m, run->recipe);
		return v2_mint_next(run, request);
	}
	if (reply->status != 201 && reply->status != 200)
		return backend_refused(run, reply, err);
	if (answer_minted(run, reply, &v2_spec, err) < 0)
		return backend_unusable(run, err);
	return BACKEND_DONE;
}

static enum backend_next
v2_mint(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	json_t *root _cleanup_json_ = NULL;

	if (!reply) {
		if (!run->scratch)
			run->scratch = xnew(struct influxdb_v2_mint);
		run->scratch_free = v2_mint_free;
		v2_mint_begin(run->scratch, run->recipe);
		return v2_mint_next(run, request);
	}
	if (run->step == V2_MINT)
		return v2_minted(run, reply, request, err);
	if (reply->status != 200 && reply->status != 201)
		return v2_question_refused(run, reply, request, err);
	root = jsonx_parse_secret(&reply->body, err);
	if (!root)
		return backend_unusable(run, err);
	return v2_answered(run, root, request, err);
}

/* ----------------------------------------------- list, get, disable, revoke */

static enum backend_next
v2_send_list(struct backend_run *run, const char *path, const char *value,
    struct http_request *request)
{
	v2_ask(run, V2_FIRST, path, value, request);
	request->body_cap = BACKEND_LIST_CAP;
	return BACKEND_SEND;
}

static enum backend_next
v2_listed(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	json_t *root _cleanup_json_ = NULL;
	const char *next;

	if (backend_listed(run, reply, &v2_spec, err) != BACKEND_DONE)
		return BACKEND_FAILED;
	root = jsonx_parse_secret(&reply->body, err);
	next = json_string_value(jsonx_pointer(root, "/links/next"));
	if (!next || !*next)
		return BACKEND_DONE;
	/* part of a list is no list, and a link must not lead elsewhere */
	if (!answer_is_id(next) || strncmp(next, V2_AUTHORIZATIONS "?",
		sizeof(V2_AUTHORIZATIONS)) != 0) {
		tb_error_set(err, TB_E_PROTO, "the list goes on at a link "
		    "that is not understood");
		return backend_unusable(run, err);
	}
	return v2_send_list(run, next, "", request);
}

static enum backend_next
v2_list(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	const char *org = run->conf->org;

	if (reply)
		return v2_listed(run, reply, request, err);
	return v2_send_list(run, influxdb_v2_is_id(org) ?
	    V2_AUTHORIZATIONS "?orgID=" : V2_AUTHORIZATIONS "?org=", org,
	    request);
}

static enum backend_next
v2_one(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	struct strbuf path _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (reply && run->verb == BACKEND_GET)
		return backend_got(run, reply, &v2_spec, err);
	if (reply)
		return backend_revoked(run, reply, err); /* 404: gone */
	if (!answer_is_id(run->token_id)) {
		tb_error_set(err, TB_E_BADREQ,
		    "%s: there is no usable token id",
		    backend_verb_name(run->verb));
		return BACKEND_FAILED;
	}
	strbuf_adds(&path, V2_AUTHORIZATIONS "/");
	strbuf_add_percent(&path, run->token_id);
	if (run->verb == BACKEND_DISABLE) {
		v2_send_json(run, "PATCH", strbuf_str(&path),
		    "{\"status\":\"inactive\"}", request);
		return BACKEND_SEND;
	}
	strbuf_adds(&url, run->conf->base_url);
	strbuf_adds(&url, strbuf_str(&path));
	backend_prepare(run, run->verb == BACKEND_GET ? "GET" : "DELETE",
	    &url, request);
	return BACKEND_SEND;
}

static enum backend_next
v2_probe(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request)
{
	const struct backend_conf *c = run->conf;
	const struct template_var vars[] = {
		{ "bucket", v2_bucket(run->recipe) },
	};
	const char *probe = c->probe_url ? c->probe_url : V2_PROBE_PATH;
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (reply)
		return backend_probed(run, reply);
	if (*probe == '/')
		strbuf_adds(&url, c->base_url);
	template_url(&url, probe, vars, ARRAY_SIZE(vars));
	backend_prepare(run, "GET", &url, request);
	return BACKEND_SEND;
}

static enum backend_next
v2_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	switch (run->verb) {
	case BACKEND_MINT:
		return v2_mint(run, reply, request, err);
	case BACKEND_LIST:
		return v2_list(run, reply, request, err);
	case BACKEND_REVOKE:
	case BACKEND_DISABLE:
	case BACKEND_GET:
		return v2_one(run, reply, request, err);
	case BACKEND_PROBE:
		return v2_probe(run, reply, request);
	case BACKEND_UPDATE: /* its permissions are as they were made */
		break;
	}
	return backend_cannot(run, err);
}

/* A service refuses to hand on what the payer may not do itself. */
static const char *
v2_keys(const struct backend_run *run, int status)
{
	if (run->verb == BACKEND_MINT && status != 404 && status != 405)
		return "permissions of the [token] (what pays needs them, and "
		    "write-authorizations, itself), or at org and owner";
	return "org and base_url";
}

const struct backend_ops influxdb_v2_ops = {
	.type = "influxdb-v2",
	.auth_scheme = "Token",
	.caps = v2_caps,
	.check = v2_check,
	.check_recipe = v2_check_recipe,
	.keys = v2_keys,
	.step = v2_step,
};
