/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - see the header. Everybody may connect; the access rules decide about
 * every token by itself.
 */
#include "serve/api.h"

#include "base/b64.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "lib/jsonx.h"
#include "serve/bundle.h"
#include "serve/health.h"
#include "serve/lease.h"
#include "serve/release.h"
#include "serve/self.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "serve/vault.h"
#include "state/audit.h"

#define WATCH_MAX_S 3600
#define SHA256_LEN 32

/* ---------------------------------------------------------------- one token */

/* text/plain only when it is asked for by name, and before JSON is. */
static bool
wants_text(const struct request *rq)
{
	struct http1_view rest = http1_field(rq->h, rq->buf, "accept"), item;
	const char *semicolon;

	while (rest.s && http1_next_item(&rest, &item)) {
		semicolon = memchr(item.s, ';', item.len);
		if (semicolon)
			item.len = (size_t)(semicolon - item.s);
		while (item.len && item.s[item.len - 1] == ' ')
			item.len--;
		if (http1_is(item, "text/plain"))
			return true;
		if (http1_is(item, "application/json"))
			return false;
	}
	return false;
}

/* If-None-Match: "17", the highest where several are given; 0: none that is
 * one of ours. */
static uint64_t
known_generation(const struct request *rq)
{
	struct http1_view rest = http1_field(rq->h, rq->buf, "if-none-match");
	struct http1_view item;
	int64_t n, known = 0;

	while (rest.s && http1_next_item(&rest, &item)) {
		if (item.len > 2 && memcmp(item.s, "W/", 2) == 0) {
			item.s += 2;
			item.len -= 2;
		}
		if (item.len < 3 || item.s[0] != '"' ||
		    item.s[item.len - 1] != '"')
			continue;
		item.s++;
		item.len -= 2;
		n = http1_number(item, INT64_MAX);
		known = MAX2(known, n);
	}
	return (uint64_t)known;
}

/* What the client says it will do with the value: words that we know. */
static const char *
delivery(const struct request *rq)
{
	static const char *const words[] = { "memfd", "environment", "file",
		"stdout" };
	struct http1_view v = http1_field(rq->h, rq->buf,
	    "x-tokenbroker-delivery");
	size_t i;

	for (i = 0; v.s && i < ARRAY_SIZE(words); i++)
		if (http1_is(v, words[i]))
			return words[i];
	return v.s ? "other" : NULL;
}

bool
api_parse_ask(struct session *s, const struct request *rq,
    struct release_ask *ask)
{
	struct http1_view min_valid = route_query(rq, "min_valid");

	*ask = (struct release_ask){
		.token = rq->name,
		.wait_s = route_wait_s(rq, WATCH_MAX_S),
		.known = known_generation(rq),
		.form = wants_text(rq) ? RENDER_TEXT : RENDER_JSON,
		.delivery = delivery(rq),
	};
	if (min_valid.s)
		ask->min_valid_s = http1_number(min_valid, INT32_MAX);
	if (ask->min_valid_s >= 0)
		return true;
	session_refuse(s, PROBLEM_BAD_REQUEST,
	    "min_valid is a number of seconds");
	return false;
}

static void
api_get_token(struct session *s, const struct request *rq)
{
	struct release_ask ask;

	if (api_parse_ask(s, rq, &ask))
		release_start(s, &ask);
}

/* --------------------------------------------------------------- all tokens */

struct api_list {
	struct session *session;
	json_t *names;
};

static void
list_token(void *arg, const char *name)
{
	struct api_list *list = arg;

	if (session_verdict(list->session, name).allow)
		json_array_append_new(list->names, json_string(name));
}

json_t *
api_allowed_tokens(struct session *s)
{
	struct api_list list = { .session = s, .names = json_array() };

	broker_each_token(session_serve(s)->broker, list_token, &list);
	return list.names;
}

static void
api_list_tokens(struct session *s, const struct request *rq)
{
	json_t *o = json_object();

	json_object_set_new(o, "tokens", api_allowed_tokens(s));
	session_reply_json(s, 200, o);
}

/* ----------------------------------------------------------------- rejected */

static int
parse_rejected(const struct request *rq, uint64_t *generation,
    unsigned char sha256[SHA256_LEN], struct tb_error *err)
{
	json_t *o _cleanup_json_ = route_json(rq, err);
	const char *hex;
	int64_t n;

	if (!o || jsonx_int(o, "generation", &n, err) < 0 ||
	    jsonx_str(o, "sha256", &hex, err) < 0)
		return -1;
	if (n < 1 || strlen(hex) != 2 * SHA256_LEN ||
	    !hex_decode(hex, sha256, SHA256_LEN))
		return tb_error_set(err, TB_E_PROTO, "generation is a number "
		    "from 1, sha256 is 64 hexadecimal digits");
	*generation = (uint64_t)n;
	return 0;
}

static void
note_rejected(struct session *s, const char *token,
    const struct acl_verdict *v, uint64_t generation)
{
	char id[17];
	struct audit_rec rec = {
		.event = AUDIT_REJECTED,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.rule = v->rule,
		.token = token,
		.generation = generation,
		.request_id = session_request_id(s, id),
		.reason = "told by a holder",
	};

	audit_note(session_serve(s)->audit, &rec);
}

static void
api_rejected(struct session *s, const struct request *rq)
{
	struct acl_verdict v = session_verdict(s, rq->name);
	struct tb_error err = TB_ERROR_INIT;
	struct broker *broker = session_serve(s)->broker;
	unsigned char sha256[SHA256_LEN];
	char own[BROKER_NAME_SIZE];
	const char *name = rq->name;
	uint64_t generation = 0;
	json_t *o;
	char id[17];

	if (v.allow)
		name = broker_name_for(broker, rq->name, session_who(s), own);
	if (!v.allow) {
		release_deny(s, rq->name, &v);
	} else if (parse_rejected(rq, &generation, sha256, &err) < 0) {
		session_refuse(s, PROBLEM_BAD_REQUEST, err.msg);
	} else if (!broker_rejected(broker, name, generation,
		       sha256, session_who(s))) {
		session_refuse(s, PROBLEM_GENERATION, "this generation is not "
		    "known, or its value has another SHA-256");
	} else {
		note_rejected(s, name, &v, generation);
		o = json_object();
		json_object_set_new(o, "request_id",
		    json_string(session_request_id(s, id)));
		session_reply_json(s, 202, o);
	}
}

/* --------------------------------------------------------------------- self */

static void
api_self(struct session *s, const struct request *rq)
{
	json_t *o = json_object();

	json_object_set_new(o, "principal", self_describe(session_who(s)));
	json_object_set_new(o, "tokens", api_allowed_tokens(s));
	session_reply_json(s, 200, o);
}

static void
api_health(struct session *s, const struct request *rq)
{
	health_answer(s, rq, false);
}

static const struct route api_routes[] = {
	{ HTTP1_GET, "health", ROUTE_ANYBODY, ROUTE_NO_BODY, api_health,
	    { "live" } },
	{ HTTP1_GET, "tokens/{name}", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    api_get_token, { "min_valid" } },
	{ HTTP1_GET, "tokens", ROUTE_ANYBODY, ROUTE_NO_BODY, api_list_tokens,
	    { NULL } },
	{ HTTP1_GET, "secrets", ROUTE_ANYBODY, ROUTE_NO_BODY, bundle_start,
	    { "tokens" } },
	{ HTTP1_POST, "tokens/{name}/rejected", ROUTE_ANYBODY,
	    ROUTE_MUST_BODY, api_rejected, { NULL } },
	{ HTTP1_POST, "tokens/{name}/lease", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    lease_take, { "resume" } },
	{ HTTP1_GET, "tokens/{name}/lease", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    lease_get, { "min_valid" } },
	{ HTTP1_DELETE, "tokens/{name}/lease", ROUTE_ANYBODY, ROUTE_NO_BODY,
	    lease_end, { NULL } },
	{ HTTP1_GET, "self", ROUTE_ANYBODY, ROUTE_NO_BODY, api_self,
	    { NULL } },
};

const struct door api_door = {
	.id = ACL_DOOR_API,
	.socket = "api.sock",
	.mode = 0666,
	.routes = api_routes,
	.n_routes = ARRAY_SIZE(api_routes),
	.vault_routes = vault_routes,
	.n_vault_routes = &vault_n_routes,
};
