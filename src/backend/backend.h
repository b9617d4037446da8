/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * backend - services that mint tokens, behind one table. A type is one file
 * with one struct backend_ops: pure steps that turn the last reply into the
 * next request or the result. backend_call drives the steps over lib/http.
 *
 * A new service is one file, one row in backend.c, one test, one manual
 * section. A step never waits, never logs, never stores; it sees the payer's
 * bearer only to put it into a request.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/secret.h"
#include "base/tb_error.h"
#include "lib/http.h"

struct backend_call;
struct backend_conf;
struct backend_run;
struct loop;
struct names;

enum backend_kind {
	BACKEND_KIND_DATABASE,   /* least privilege: data access */
	BACKEND_KIND_MANAGEMENT, /* all-powerful */
	BACKEND_KIND_ACCESS,     /* an access token of the login's provider:
	                          * its own (oauth), or one it was exchanged for */
	BACKEND_KIND_CUSTOM,     /* whatever an http template mints */
};

/* A request template of the http driver; strings owned, NULL: not offered. */
struct backend_template {
	char *method; /* POST, GET, DELETE, PUT, PATCH; NULL: by verb */
	char *url;    /* {id}, {account_id}, {cluster_id}: percent-encoded in;
	               * "/..." is behind base_url */
	char *body;   /* {description}, {expires_at}, {lifetime_s}, ...: JSON */
	              /* string content; NULL: no body */
};

/* How influxctl is asked, by way of the helper that may run it. NULL: the
 * default, which is in backend/influxctl.c with what is known of it. */
struct backend_influxctl {
	char *socket;
	char *user; /* whose helper it is ... */
	uid_t uid;  /* ... by number, looked up at load */
	char *login; /* "token_file", "mgmt_token", "cache", "own" */
	char *min_version; /* "none": not looked at */
	char *version_args, *mint_args, *list_args, *revoke_args;
	char *token_prefix;
	char *token_path, *token_content; /* of token_file and cache */
	char *unauthorized; /* words that tell of a refused login */
	char *host, *port;
	char *client_id, *scopes, *device_url, *token_url, *audience;
	int64_t timeout_ms;
};

/* Filled by conf ([backend NAME]); immutable. */
struct backend_conf {
	char *name;
	char *where; /* "file:line" of the section, for messages */
	const struct backend_ops *ops; /* by type */
	char *login;            /* payer: a login's access token ... */
	char *management_token; /* ... or a [token] the broker holds */
	char *base_url;
	char *account_id, *cluster_id;
	char *org;   /* influxdb-v2: name or id */
	char *owner; /* influxdb-v2: user name or id; NULL: the payer's */
	bool create_owner;
	int64_t expiry_grace_ms; /* inactive for so long, then deleted */
	char *tokens_path; /* template, default by type */
	char *auth_scheme; /* "Bearer"; "none": the token alone */
	char *auth_header; /* NULL: Authorization */
	char *expiration_type; /* "omit" (default) or "datetime" */
	/* token-exchange: what the tokens are for, where a token does not say
	 * it; the types as a word (jwt) or a URI, NULL: by the default */
	char *audience, *resource, *scopes; /* words */
	char *subject_token_type, *requested_token_type;
	bool introspection; /* probe by RFC 7662 */
	char *management_driver; /* "import" (default), "http", "influxctl" */
	struct backend_influxctl influxctl;
	struct backend_template mint, list, revoke, probe; /* http driver */
	char *token_pointer, *id_pointer, *expires_pointer; /* RFC 6901 */
	char *list_pointer, *list_id_pointer, *list_description_pointer;
	char *list_revoked_pointer, *list_created_pointer;
	char *list_expires_pointer;
	char *list_prefix_pointer;
	char *probe_url;    /* database tokens: {database}; NULL: none */
	char *ca_file, *tls_cert_file, *tls_key_file;
	bool tls_insecure;
	bool allow_insecure_loopback;
	int64_t timeout_ms;
	int64_t reconcile_interval_ms; /* 0: only when an operator asks */
	bool revoke_orphans;           /* else they are only told */
	/* What the service said lately, no configuration: it may change, and
	 * a reload begins anew. NULL: nothing is remembered. */
	struct names *names;
};
void backend_conf_free(struct backend_conf *c);

/* What one token recipe wants of a backend; part of struct token_conf. */
struct backend_recipe {
	enum backend_kind kind;
	struct {
		char *action;   /* "read" or "write"; influxdb-v2:
				 * "read-buckets", "clone", ... */
		char *resource; /* database, or "*"; NULL: the action
				 * is a word that says it all */
	} *permissions;
	size_t n_permissions;
	char *audience, *resource, *scopes; /* words; NULL: the backend's */
	bool allow_full_access;
};
void backend_recipe_clear(struct backend_recipe *r);

enum backend_verb {
	BACKEND_MINT,
	BACKEND_LIST,   /* for settling: what is alive upstream */
	BACKEND_REVOKE,
	BACKEND_PROBE,  /* does this value work yet? */
	BACKEND_DISABLE, /* it stops working, and could be enabled again */
	BACKEND_GET,    /* one by its id: is it there, is it alive? */
	BACKEND_UPDATE, /* it may do now what the recipe says */
};
enum {
	BACKEND_CAN_LIST = 1 << 0,
	BACKEND_CAN_REVOKE = 1 << 1,
	BACKEND_CAN_PROBE = 1 << 2,
	BACKEND_NEEDS_PAYER = 1 << 3, /* a bearer is needed for its calls */
	BACKEND_NO_MINT = 1 << 4,     /* values come by import only */
	BACKEND_VALUE_IS_BEARER = 1 << 5, /* oauth: releases the bearer itself */
	BACKEND_CAN_DISABLE = 1 << 6,
	BACKEND_CAN_GET = 1 << 10,
	BACKEND_CAN_UPDATE = 1 << 11,
	/* Its tokens live until they are revoked: whoever holds one must end
	 * it there, and nothing is ever over by itself. */
	BACKEND_NO_EXPIRY = 1 << 7,
	/* It revokes what it is shown: run->value, and no id is needed. */
	BACKEND_REVOKES_VALUE = 1 << 8,
	/* It calls the payer's own provider, as the client that logged in
	 * there: run->as_client. Its payer is a login. */
	BACKEND_AS_CLIENT = 1 << 9,
};

/* Endpoints of a login's provider. */
enum backend_endpoint { BACKEND_AT_TOKEN, BACKEND_AT_REVOCATION,
	BACKEND_AT_INTROSPECTION };
/* Makes request a POST of form (moved) to that endpoint of the provider of
 * conf's login, authenticated as its client. -1: it has no such endpoint, or
 * must not be sent anything. */
typedef int backend_as_client_fn(void *arg, const struct backend_conf *conf,
    enum backend_endpoint at, struct secret *form,
    struct http_request *request, struct tb_error *err);

enum backend_next {
	BACKEND_SEND,   /* *request is filled: send it, then step again */
	BACKEND_ASK,    /* the same, of a helper: url is the path of its
	                 * socket, body the JSON text; the answer is the body
	                 * of a reply with status 200 */
	BACKEND_DONE,   /* run holds the result */
	BACKEND_FAILED, /* err is set; run->uncertain says what may exist */
};

enum backend_probe { BACKEND_PROBE_YES, BACKEND_PROBE_NOT_YET,
	BACKEND_PROBE_UNCLEAR };

struct backend_listed {
	char *id, *description;
	char *prefix; /* the first characters of the value; NULL: not shown */
	int64_t created_at, expires_at; /* epoch seconds, 0 = not said */
	bool dead;    /* revoked or expired */
	bool revoked; /* the service says so: it will never work again */
};

/* One call in progress: inputs by the caller, then the step's own state, then
 * the result. */
struct backend_run {
	/* in */
	enum backend_verb verb;
	const struct backend_conf *conf;
	const struct backend_recipe *recipe;
	struct secret bearer;      /* of the payer; empty when none is needed */
	int64_t bearer_expires_at; /* epoch seconds, 0 = not known */
	char *description;         /* mint: never empty, holds the nonce */
	int64_t expires_at;        /* mint: epoch seconds, never 0 */
	int64_t now_s;
	char *token_id;            /* revoke, disable, get, update */
	struct secret value;       /* probe; revoke with REVOKES_VALUE */
	backend_as_client_fn *as_client; /* NULL: not offered */
	void *as_client_arg;
	/* the step's own */
	int step;
	bool harmless;   /* mint: what was sent last makes no token */
	void *scratch;   /* what earlier steps found out */
	void (*scratch_free)(void *);
	bool at_provider; /* the request is the login's: its TLS, its time-out */
	char *note;       /* worth a line at debug level, no secret in it */
	/* out */
	bool uncertain; /* mint failed, but a token may exist upstream */
	bool unauthorized; /* the payer's bearer was refused (401) */
	struct secret token;
	char *minted_id;
	int64_t minted_expires_at; /* 0: not said, expires_at holds */
	bool minted_endless; /* its service has set no end: we have to */
	struct backend_listed *listed; /* list; get: it, or none */
	size_t n_listed;
	enum backend_probe probe;
	/* probe: where it asked, without a query, and the status of the
	 * answer; 0: none came. For messages. */
	char *asked;
	int answered;
};
void backend_run_clear(struct backend_run *run);

struct backend_ops {
	const char *type; /* as in the configuration */
	const char *auth_scheme; /* its default; NULL: Bearer */
	enum backend_kind kind;  /* what it makes if a token does not say */
	/* Capabilities, which may depend on configuration and recipe. recipe
	 * may be NULL (the backend alone). */
	unsigned (*caps)(const struct backend_conf *,
	    const struct backend_recipe *);
	/* At load: is this backend complete? TB_E_CONFIG, without file:line
	 * (conf adds it). */
	int (*check)(const struct backend_conf *, struct tb_error *err);
	/* At load: can this backend mint that recipe? */
	int (*check_recipe)(const struct backend_conf *,
	    const struct backend_recipe *, struct tb_error *err);
	/* The keys of [backend NAME] that decide an answer with this status, as
	 * they end a sentence: "account_id and cluster_id". NULL: none does;
	 * the member may be NULL as well. */
	const char *(*keys)(const struct backend_run *run, int status);
	/* reply is NULL on the first step. request is initialised. */
	enum backend_next (*step)(struct backend_run *run,
	    const struct http_reply *reply, struct http_request *request,
	    struct tb_error *err);
};

/* NULL when there is no such type. */
const struct backend_ops *backend_find(const char *type);
/* "influxdb-clustered, influxdb-dedicated, ..." for messages. */
const char *backend_type_names(void);

/* Operation (contract: lib/http.h). run is taken (moved out of *run); done
 * gets it back, borrowed, its secrets may be moved. err NULL: BACKEND_DONE. */
typedef void backend_done_fn(void *arg, struct backend_run *run,
    const struct tb_error *err);
struct backend_call *backend_call_start(struct loop *loop, struct http *http,
    struct backend_run *run, backend_done_fn *done, void *arg);
void backend_call_cancel(struct backend_call **call);

/* For the steps: an error from an unhappy reply ("HTTP 403: text"), with
 * TB_E_BUSY for 429 and 503, TB_E_TRANSIENT for other 5xx, TB_E_UPSTREAM else; takes message from
 * {"code","message"} or {"error"} bodies, cleaned and cut. Always -1. */
int backend_reply_error(const struct http_reply *reply, const char *what,
    struct tb_error *err);
