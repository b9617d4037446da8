/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault - see the header. A value leaves by release_start() and nowhere else;
 * the rest of this file is what readers ask around a read, as their sources
 * have it:
 *
 *	vault, consul-template  sys/internal/ui/mounts/PATH, to learn whether
 *	                        "data" belongs into the path; auth/token/...
 *	vault status            sys/seal-status, then sys/leader
 *	hvac, Ansible           auth/token/lookup-self, LIST as a method
 *	Telegraf 1.37, 1.38     auth/approle/login, they know no other way
 *
 * What a real Vault answers is kept where a reader looks at it. 403 is for a
 * token that is denied and for one that does not exist, as Vault does it to a
 * client without a policy: 404 would be a second answer, and one whose text
 * Vault's own library throws away.
 */
#include "serve/vault.h"

#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "broker/broker.h"
#include "lib/jsonx.h"
#include "serve/api.h"
#include "serve/release.h"
#include "serve/serve_int.h"
#include "serve/session.h"

#define MOUNTS "/v1/sys/internal/ui/mounts/"
#define PATH_MAX_LEN 1024
#define POLICY "tokenbroker"
/* Vault's own default, 32 days. The token is a word and has no end; but 0 is
 * "over now" to Vault Agent, which then logs in again every second. */
#define LOGIN_TTL (768 * 3600)

static bool
wants_list(const struct request *rq)
{
	struct http1_view v = route_query(rq, "list");

	return rq->h->method == HTTP1_LIST ||
	    (v.s && (http1_is(v, "true") || http1_is(v, "1")));
}

/* The members around "data" or "auth", for what is no value. Both are taken;
 * NULL: it is null. */
static void
reply(struct session *s, json_t *data, json_t *auth)
{
	json_t *o = json_object();
	char id[17];

	json_object_set_new(o, "request_id",
	    json_string(session_request_id(s, id)));
	json_object_set_new(o, "lease_id", json_string(""));
	json_object_set_new(o, "renewable", json_false());
	json_object_set_new(o, "lease_duration", json_integer(0));
	json_object_set_new(o, "data", data ? data : json_null());
	json_object_set_new(o, "wrap_info", json_null());
	json_object_set_new(o, "warnings", json_null());
	json_object_set_new(o, "auth", auth ? auth : json_null());
	session_reply_json(s, 200, o);
}

static void
no_such_thing(struct session *s, const char *detail)
{
	session_refuse(s, PROBLEM_UNKNOWN, detail);
}

/* ------------------------------------------------------------------ reading */

static void
read_token(struct session *s, const struct request *rq, enum render_form form)
{
	struct release_ask ask = {
		.token = rq->name,
		.wait_s = -1,
		.form = form,
		.delivery = "vault",
	};

	release_start(s, &ask);
}

/* ?version=N: 0 is the newest; there is no other than that, since an older
 * generation is not released any more. -1: it is not a number. */
static int64_t
wanted_version(const struct request *rq)
{
	struct http1_view v = route_query(rq, "version");

	return v.s ? http1_number(v, INT64_MAX) : 0;
}

static void
vault_read_v2(struct session *s, const struct request *rq)
{
	struct broker *broker = session_serve(s)->broker;
	int64_t version = wanted_version(rq);
	char own[BROKER_NAME_SIZE];
	struct broker_view view;

	if (wants_list(rq))
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "the list is at the mount, not below");
	else if (version < 0)
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "version is the number of a generation");
	else if (version > 0 && session_verdict(s, rq->name).allow &&
	    (!broker_get(broker, broker_name_for(broker, rq->name,
		session_who(s), own), 0, &view) ||
		view.generation != (uint64_t)version))
		no_such_thing(s, "only the newest generation is released; ask "
		    "without a version");
	else
		read_token(s, rq, RENDER_VAULT_V2);
}

static void
vault_read_v1(struct session *s, const struct request *rq)
{
	if (wants_list(rq))
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "the list is at the mount, not below");
	else
		read_token(s, rq, RENDER_VAULT_V1);
}

static void
list_tokens(struct session *s)
{
	json_t *keys = api_allowed_tokens(s), *data;

	if (json_array_size(keys) == 0) {
		json_decref(keys);
		no_such_thing(s, "no rule allows you any token");
		return;
	}
	data = json_object();
	json_object_set_new(data, "keys", keys);
	reply(s, data, NULL);
}

static void
vault_list(struct session *s, const struct request *rq)
{
	if (wants_list(rq))
		list_tokens(s);
	else
		no_such_thing(s, "this is a mount; a token's name is missing");
}

static json_t *
time_text(int64_t epoch_s)
{
	char text[TIMEFMT_SIZE];

	return json_string(timefmt_rfc3339(epoch_s, text, sizeof(text)));
}

/* What is known of the secret without its value. NULL: it has none now. */
static json_t *
describe(const struct broker_view *view)
{
	json_t *o = json_object(), *versions = json_object(), *one, *custom;
	int64_t version = view ? (int64_t)view->generation : 0;
	char key[24];

	if (view) {
		one = json_object();
		json_object_set_new(one, "created_time",
		    time_text(view->minted_at));
		json_object_set_new(one, "deletion_time", json_string(""));
		json_object_set_new(one, "destroyed", json_false());
		snprintf(key, sizeof(key), "%" PRIu64, view->generation);
		json_object_set_new(versions, key, one);
		custom = json_object();
		json_object_set_new(custom, "expires_at",
		    time_text(view->expires_at));
		json_object_set_new(o, "custom_metadata", custom);
		json_object_set_new(o, "created_time",
		    time_text(view->minted_at));
		json_object_set_new(o, "updated_time",
		    time_text(view->minted_at));
	} else {
		json_object_set_new(o, "custom_metadata", json_null());
		json_object_set_new(o, "created_time", time_text(0));
		json_object_set_new(o, "updated_time", time_text(0));
	}
	json_object_set_new(o, "cas_required", json_false());
	json_object_set_new(o, "delete_version_after", json_string("0s"));
	json_object_set_new(o, "max_versions", json_integer(1));
	json_object_set_new(o, "oldest_version", json_integer(version));
	json_object_set_new(o, "current_version", json_integer(version));
	json_object_set_new(o, "versions", versions);
	return o;
}

static void
vault_metadata(struct session *s, const struct request *rq)
{
	struct broker *broker = session_serve(s)->broker;
	struct acl_verdict v = session_verdict(s, rq->name);
	char own[BROKER_NAME_SIZE];
	struct broker_view view;
	bool ready;

	if (!v.allow) {
		release_deny(s, rq->name, &v);
	} else if (wants_list(rq)) {
		no_such_thing(s, "this is a token, and nothing is below it");
	} else {
		ready = broker_get(broker, broker_name_for(broker, rq->name,
		    session_who(s), own), 0, &view);
		reply(s, describe(ready ? &view : NULL), NULL);
	}
}

/* --------------------------------------------------------------- logging in */

static json_t *
policies(void)
{
	json_t *list = json_array();

	json_array_append_new(list, json_string(POLICY));
	return list;
}

/* Whatever came with it, it changes nothing: the token that is given for it
 * is a word, and no request is looked at for one. */
static void
vault_login(struct session *s, const struct request *rq)
{
	json_t *auth = json_object();

	json_object_set_new(auth, "client_token", json_string(POLICY));
	json_object_set_new(auth, "accessor", json_string(""));
	json_object_set_new(auth, "policies", policies());
	json_object_set_new(auth, "token_policies", policies());
	json_object_set_new(auth, "metadata", json_null());
	json_object_set_new(auth, "lease_duration",
	    json_integer(LOGIN_TTL));
	json_object_set_new(auth, "renewable", json_false());
	json_object_set_new(auth, "entity_id", json_string(""));
	json_object_set_new(auth, "token_type", json_string("service"));
	json_object_set_new(auth, "orphan", json_true());
	reply(s, NULL, auth);
}

static void
vault_lookup_self(struct session *s, const struct request *rq)
{
	json_t *o = json_object();
	char name[32];

	snprintf(name, sizeof(name), "uid-%u", (unsigned)session_who(s)->uid);
	json_object_set_new(o, "display_name", json_string(name));
	json_object_set_new(o, "id", json_string(POLICY));
	json_object_set_new(o, "accessor", json_string(""));
	json_object_set_new(o, "policies", policies());
	json_object_set_new(o, "path", json_string("auth/token/create"));
	json_object_set_new(o, "type", json_string("service"));
	json_object_set_new(o, "creation_time", json_integer(0));
	json_object_set_new(o, "creation_ttl",
	    json_integer(LOGIN_TTL));
	json_object_set_new(o, "explicit_max_ttl", json_integer(0));
	json_object_set_new(o, "expire_time", json_null());
	json_object_set_new(o, "num_uses", json_integer(0));
	json_object_set_new(o, "ttl", json_integer(LOGIN_TTL));
	json_object_set_new(o, "renewable", json_false());
	json_object_set_new(o, "orphan", json_true());
	json_object_set_new(o, "meta", json_null());
	json_object_set_new(o, "entity_id", json_string(""));
	reply(s, o, NULL);
}

/* --------------------------------------------------------------- the system */

/* The part of a path that is the mount: what is in front of "data" or
 * "metadata", else all but the last segment; the same for every name. */
static size_t
mount_len(const char *path)
{
	static const char *const parts[] = { "/data", "/metadata" };
	const char *p, *slash = strrchr(path, '/');
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		n = strlen(parts[i]);
		p = strstr(path, parts[i]);
		if (p && p != path && (p[n] == '/' || p[n] == '\0'))
			return (size_t)(p - path);
	}
	return slash && slash != path ? (size_t)(slash - path) : strlen(path);
}

static void
vault_mount(struct session *s, const struct request *rq)
{
	struct http1_view v = http1_path(rq->h, rq->buf);
	_cleanup_free_ char *mount = NULL;
	json_t *o, *options;
	char path[PATH_MAX_LEN];

	v.s += sizeof(MOUNTS) - 1;
	v.len -= sizeof(MOUNTS) - 1;
	while (v.len && v.s[v.len - 1] == '/')
		v.len--;
	if (http1_decode(v, true, path, sizeof(path)) < 0) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "the path is too long or holds a forbidden character");
		return;
	}
	mount = xasprintf("%.*s/", (int)mount_len(path), path);
	options = json_object();
	json_object_set_new(options, "version", json_string("2"));
	o = json_object();
	json_object_set_new(o, "path", json_string(mount));
	json_object_set_new(o, "type", json_string("kv"));
	json_object_set_new(o, "description",
	    json_string("tokens of tokenbroker, read-only"));
	json_object_set_new(o, "options", options);
	reply(s, o, NULL);
}

/* Sealed is what one cannot read from. */
static void
vault_health(struct session *s, const struct request *rq)
{
	struct serve *serve = session_serve(s);
	struct tb_error err = TB_ERROR_INIT;
	json_t *o = json_object();

	json_object_set_new(o, "initialized", json_true());
	json_object_set_new(o, "sealed", json_boolean(serve->stopping ||
	    broker_health(serve->broker, &err) < 0));
	json_object_set_new(o, "standby", json_false());
	json_object_set_new(o, "server_time_utc", json_integer(now_real_s()));
	json_object_set_new(o, "type", json_string("tokenbroker"));
	json_object_set_new(o, "version", json_string(serve->version));
	session_reply_json(s, 200, o);
}

/* What the command "status" asks after that, and without which it fails. */
static void
vault_leader(struct session *s, const struct request *rq)
{
	json_t *o = json_object();

	json_object_set_new(o, "ha_enabled", json_false());
	json_object_set_new(o, "is_self", json_false());
	json_object_set_new(o, "leader_address", json_string(""));
	json_object_set_new(o, "leader_cluster_address", json_string(""));
	session_reply_json(s, 200, o);
}

const struct route vault_routes[] = {
	{ HTTP1_GET, "sys/internal/ui/mounts/{path}", ROUTE_ANYBODY,
	    ROUTE_NO_BODY, vault_mount, { NULL } },
	{ HTTP1_GET, "sys/health", ROUTE_ANYBODY, ROUTE_NO_BODY, vault_health,
	    { NULL } },
	{ HTTP1_GET, "sys/seal-status", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    vault_health, { NULL } },
	{ HTTP1_GET, "sys/leader", ROUTE_ANYBODY, ROUTE_NO_BODY, vault_leader,
	    { NULL } },
	{ HTTP1_GET, "auth/token/lookup-self", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    vault_lookup_self, { NULL } },
	{ HTTP1_POST, "auth/token/renew-self", ROUTE_ANYBODY, ROUTE_MAY_BODY,
	    vault_login, { NULL } },
	{ HTTP1_PUT, "auth/token/renew-self", ROUTE_ANYBODY, ROUTE_MAY_BODY,
	    vault_login, { NULL } },
	{ HTTP1_POST, "auth/{mount}/login", ROUTE_ANYBODY, ROUTE_MAY_BODY,
	    vault_login, { NULL } },
	{ HTTP1_PUT, "auth/{mount}/login", ROUTE_ANYBODY, ROUTE_MAY_BODY,
	    vault_login, { NULL } },
	{ HTTP1_GET, "{mount}/data/{name}", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    vault_read_v2, { "version" } },
	{ HTTP1_GET, "{mount}/metadata/{name}", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    vault_metadata, { "list" } },
	{ HTTP1_GET, "{mount}/metadata", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    vault_list, { "list" } },
	{ HTTP1_GET, "{mount}/{name}", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    vault_read_v1, { "list" } },
	{ HTTP1_GET, "{mount}", ROUTE_ANYBODY, ROUTE_NO_BODY, vault_list,
	    { "list" } },
};

const size_t vault_n_routes = ARRAY_SIZE(vault_routes);
