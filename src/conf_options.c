/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_options - the one table of what may be written. Parsing, defaults,
 * --dump, --list-options and the reload check all read it; tests/lint holds
 * the manual page and the example against it. To add a key: a row here, a
 * field in the module's struct, a paragraph in tokenbroker.conf(5).
 */
#include "conf_int.h"

const char *const conf_section_names[CONF_N_SECTIONS] = {
	[CONF_BROKER] = "broker",
	[CONF_LOGIN] = "login",
	[CONF_BACKEND] = "backend",
	[CONF_TOKEN] = "token",
	[CONF_CLIENT] = "client",
};

#define END { NULL, 0 }

static const struct conf_word audit_words[] = {
	{ "strict", true }, { "relaxed", false }, END };
static const struct conf_word level_words[] = {
	{ "error", 0 }, { "warning", 0 }, { "info", 0 }, { "debug", 0 }, END };
static const struct conf_word preset_words[] = {
	{ "generic", 0 }, { "keycloak", 0 }, { "entra", 0 }, { "auth0", 0 },
	END };
static const struct conf_word auth_words[] = {
	{ "none", IDP_AUTH_NONE },
	{ "client_secret_basic", IDP_AUTH_CLIENT_SECRET_BASIC },
	{ "client_secret_post", IDP_AUTH_CLIENT_SECRET_POST },
	{ "private_key_jwt", IDP_AUTH_PRIVATE_KEY_JWT },
	{ "tls_client_auth", IDP_AUTH_TLS },
	END };
static const struct conf_word alg_words[] = {
	{ "RS256", 0 }, { "ES256", 0 }, END };
static const struct conf_word identity_words[] = {
	{ "verified", false }, { "unverified", true }, END };
static const struct conf_word expiration_words[] = {
	{ "omit", 0 }, { "datetime", 0 }, END };
static const struct conf_word driver_words[] = {
	{ "import", 0 }, { "http", 0 }, { "influxctl", 0 }, END };
static const struct conf_word influxctl_words[] = {
	{ "token_file", 0 }, { "mgmt_token", 0 }, { "cache", 0 },
	{ "own", 0 }, END };
static const struct conf_word method_words[] = {
	{ "GET", 0 }, { "POST", 0 }, { "PUT", 0 }, { "PATCH", 0 },
	{ "DELETE", 0 }, END };
static const struct conf_word kind_words[] = {
	{ "database", BACKEND_KIND_DATABASE },
	{ "management", BACKEND_KIND_MANAGEMENT },
	{ "access", BACKEND_KIND_ACCESS },
	{ "custom", BACKEND_KIND_CUSTOM },
	END };
static const struct conf_word probe_words[] = {
	{ "auto", true }, { "none", false }, END };
static const struct conf_word per_words[] = {
	{ "token", false }, { "holder", true }, END };
static const struct conf_word loss_words[] = {
	{ "serve", TOKEN_LOSS_SERVE }, { "withhold", TOKEN_LOSS_WITHHOLD },
	{ "revoke", TOKEN_LOSS_REVOKE },
	END };
static const struct conf_word superseded_words[] = {
	{ "never", false }, { "when_moved", true }, END };
static const struct conf_word change_words[] = {
	{ "mint", false }, { "update", true }, END };
static const struct conf_word container_words[] = {
	{ "any", -1 }, { "yes", 1 }, { "no", 0 }, END };
static const struct conf_word door_words[] = {
	{ "api", ACL_DOOR_API }, { "credential", ACL_DOOR_CREDENTIAL }, END };
static const struct conf_word action_words[] = {
	{ "allow", false }, { "deny", true }, END };
static const struct conf_word orphan_words[] = {
	{ "report", false }, { "revoke", true }, END };
static const struct conf_word strength_words[] = {
	{ "strong", PRINCIPAL_STRONG }, { "weak", PRINCIPAL_WEAK }, END };

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define BROKER(key, type, field, def, ...) \
	{ CONF_BROKER, key, type, offsetof(struct conf, field), 0, def, \
	    __VA_ARGS__ }
#define LOGIN(key, type, field, def, ...) \
	{ CONF_LOGIN, key, type, offsetof(struct idp_conf, field), 0, def, \
	    __VA_ARGS__ }
#define BACKEND(key, type, field, def, ...) \
	{ CONF_BACKEND, key, type, offsetof(struct backend_conf, field), 0, \
	    def, __VA_ARGS__ }
#define TOKEN(key, type, field, def, ...) \
	{ CONF_TOKEN, key, type, offsetof(struct token_conf, field), 0, def, \
	    __VA_ARGS__ }
#define CLIENT(key, type, field, def, ...) \
	{ CONF_CLIENT, key, type, offsetof(struct acl_rule, field), 0, def, \
	    __VA_ARGS__ }
#define CLIENT_LIST(key, type, field, n_field, flags, help) \
	{ CONF_CLIENT, key, type, offsetof(struct acl_rule, field), \
	    offsetof(struct acl_rule, n_field), NULL, flags, NULL, 0, 0, help }

const struct conf_option conf_options[] = {
	/* What is wired at start needs a restart; what is looked up when it is
	 * used does not. */
	BROKER("state_dir", CONF_T_PATH, state_dir, "/var/lib/tokenbroker",
	    CONF_RESTART, NULL, 0, 0, "sealed records"),
	BROKER("run_dir", CONF_T_PATH, run_dir, "/run/tokenbroker",
	    CONF_RESTART, NULL, 0, 0, "the sockets"),
	BROKER("log_dir", CONF_T_PATH, log_dir, "/var/log/tokenbroker",
	    CONF_RESTART, NULL, 0, 0, "the audit log"),
	BROKER("admin_group", CONF_T_NAME, admin_group, "tokenbroker-admin",
	    CONF_RESTART, NULL, 0, 0, "operators on the admin door"),
	BROKER("auditor_group", CONF_T_NAME, auditor_group,
	    "tokenbroker-auditor", CONF_RESTART, NULL, 0, 0,
	    "readers on the admin door"),
	BROKER("master_key_file", CONF_T_PATH, master_key_path, NULL,
	    CONF_RESTART, NULL, 0, 0, "what the records are sealed with"),
	BROKER("audit", CONF_T_FLAG, audit_strict, "strict", CONF_RESTART,
	    audit_words, 0, 0, "is a release on disk before it happens"),
	BROKER("audit_max_size", CONF_T_SIZE, audit_max_size, "64M",
	    CONF_RESTART, NULL, 4096, INT64_C(1) << 40,
	    "a larger audit.jsonl is rotated"),
	BROKER("audit_keep_files", CONF_T_COUNT, audit_keep_files, "0",
	    CONF_RESTART, NULL, 0, 1000000, "older files that stay; 0: all"),
	BROKER("audit_journal", CONF_T_BOOL, audit_journal, "no",
	    CONF_RESTART, NULL, 0, 0, "mirror the audit log to the journal"),
	BROKER("log_level", CONF_T_WORD, log_level, "info", 0, level_words, 0,
	    0, "what is logged"),
	BROKER("settle_time", CONF_T_DURATION, settle_time_ms, "10m", 0, NULL,
	    SECOND, DAY, "how long an uncertain mint is looked for"),
	BROKER("max_lifetime", CONF_T_DURATION, max_lifetime_ms, "90d", 0,
	    NULL, SECOND, 3660 * DAY, "no token lives longer"),
	BROKER("min_lifetime", CONF_T_DURATION, min_lifetime_ms, "1s", 0,
	    NULL, SECOND, 3660 * DAY, "lower bound of every token's lifetime"),
	BROKER("cold_wait", CONF_T_DURATION, cold_wait_ms, "20s", 0, NULL, 0,
	    10 * MINUTE, "how long a request waits for a first mint"),
	/* a unit has 90 s to start by default, and the disk needs some */
	BROKER("credential_wait", CONF_T_DURATION, credential_wait_ms, "45s",
	    0, NULL, SECOND, MINUTE, "how long a starting unit waits for it"),
	BROKER("max_connections", CONF_T_COUNT, max_connections, "10240",
	    CONF_RESTART, NULL, 8, 1000000, "on all doors together"),
	BROKER("max_connections_per_uid", CONF_T_COUNT,
	    max_connections_per_uid, "2048", CONF_RESTART, NULL, 1, 1000000,
	    "of one user"),
	BROKER("mints_per_hour", CONF_T_COUNT, mints_per_hour, "60", 0, NULL,
	    1, 1000000, "over all tokens"),
	BROKER("ca_file", CONF_T_PATH, ca_file, NULL, CONF_RESTART, NULL, 0, 0,
	    "trusted authorities instead of the system's"),
	BROKER("proxy", CONF_T_TEXT, proxy, NULL, CONF_RESTART, NULL, 0, 0,
	    "for every outgoing connection"),
	BROKER("metrics_file", CONF_T_PATH, metrics_file, NULL, 0, NULL, 0, 0,
	    "numbers for node_exporter or Telegraf"),
	BROKER("metrics_interval", CONF_T_DURATION, metrics_interval_ms, "15s",
	    0, NULL, SECOND, HOUR, "how often it is written"),

	LOGIN("preset", CONF_T_WORD, preset, "generic", 0, preset_words, 0, 0,
	    "defaults of a known provider"),
	LOGIN("issuer", CONF_T_URL, issuer, NULL, 0, NULL, 0, 0,
	    "the provider, as its id tokens name it"),
	LOGIN("client_id", CONF_T_TEXT, client_id, NULL, 0, NULL, 0, 0,
	    "our registration there"),
	LOGIN("influxdb3_url", CONF_T_URL, influxdb3_url, NULL, 0, NULL, 0, 0,
	    "an InfluxDB 3 server that says them"),
	LOGIN("client_auth", CONF_T_CHOICE, auth, "none", 0, auth_words, 0, 0,
	    "how we prove to be that client"),
	LOGIN("client_secret_file", CONF_T_PATH, client_secret_path, NULL, 0,
	    NULL, 0, 0, "file with the client secret"),
	LOGIN("client_secret_credential", CONF_T_CREDENTIAL,
	    client_secret_path, NULL, 0, NULL, 0, 0,
	    "systemd credential with the client secret"),
	LOGIN("client_key_file", CONF_T_PATH, client_key_path, NULL, 0, NULL,
	    0, 0, "PEM key for private_key_jwt"),
	LOGIN("client_key_credential", CONF_T_CREDENTIAL, client_key_path,
	    NULL, 0, NULL, 0, 0, "systemd credential with that key"),
	LOGIN("client_key_id", CONF_T_TEXT, client_key_id, NULL, 0, NULL, 0, 0,
	    "its kid"),
	LOGIN("assertion_alg", CONF_T_WORD, assertion_alg, NULL, 0, alg_words,
	    0, 0, "signature of private_key_jwt"),
	LOGIN("assertion_audience", CONF_T_TEXT, assertion_audience, NULL, 0,
	    NULL, 0, 0, "aud of private_key_jwt"),
	LOGIN("scopes", CONF_T_WORDS, scopes, "openid offline_access", 0, NULL,
	    0, 0, "what is asked for"),
	LOGIN("audience", CONF_T_AUDIENCE, params, NULL, 0, NULL, 0, 0,
	    "parameter audience"),
	LOGIN("resource", CONF_T_RESOURCES, params, NULL, 0, NULL, 0, 0,
	    "parameters resource (RFC 8707)"),
	LOGIN("parameters", CONF_T_PARAMETERS, params, NULL, 0, NULL, 0, 0,
	    "more parameters"),
	LOGIN("discovery", CONF_T_BOOL, discovery, "yes", 0, NULL, 0, 0,
	    "ask the provider for its endpoints"),
	LOGIN("device_endpoint", CONF_T_URL, device_endpoint, NULL, 0, NULL, 0,
	    0, "instead of the discovered one"),
	LOGIN("token_endpoint", CONF_T_URL, token_endpoint, NULL, 0, NULL, 0,
	    0, "instead of the discovered one"),
	LOGIN("revocation_endpoint", CONF_T_URL, revocation_endpoint, NULL, 0,
	    NULL, 0, 0, "instead of the discovered one"),
	LOGIN("introspection_endpoint", CONF_T_URL, introspection_endpoint,
	    NULL, 0, NULL, 0, 0, "instead of the discovered one"),
	LOGIN("jwks_uri", CONF_T_URL, jwks_uri, NULL, 0, NULL, 0, 0,
	    "instead of the discovered one"),
	LOGIN("ca_file", CONF_T_PATH, ca_file, NULL, 0, NULL, 0, 0,
	    "trusted authorities for this provider"),
	LOGIN("tls_cert_file", CONF_T_PATH, tls_cert_file, NULL, 0, NULL, 0, 0,
	    "client certificate"),
	LOGIN("tls_key_file", CONF_T_PATH, tls_key_file, NULL, 0, NULL, 0, 0,
	    "its key"),
	LOGIN("allow_insecure_loopback", CONF_T_BOOL, allow_insecure_loopback,
	    "no", 0, NULL, 0, 0, "http to this machine, for tests"),
	LOGIN("identity", CONF_T_FLAG, identity_unverified, "verified", 0,
	    identity_words, 0, 0, "is a verified id token wanted"),
	LOGIN("identity_claim", CONF_T_TEXT, identity_claim, "sub", 0, NULL, 0,
	    0, "what names the human"),
	LOGIN("leeway", CONF_T_SECONDS, leeway_s, "60s", 0, NULL, 0,
	    10 * MINUTE, "clock difference allowed in signed times"),
	LOGIN("timeout", CONF_T_DURATION, timeout_ms, "30s", 0, NULL, SECOND,
	    5 * MINUTE, "of one request"),

	BACKEND("type", CONF_T_TYPE, ops, NULL, CONF_REQUIRED, NULL, 0, 0,
	    "which service"),
	BACKEND("login", CONF_T_NAME, login, NULL, 0, NULL, 0, 0,
	    "the login that pays"),
	BACKEND("management_token", CONF_T_NAME, management_token, NULL, 0,
	    NULL, 0, 0, "or the token that pays"),
	BACKEND("base_url", CONF_T_TEXT, base_url, NULL, 0, NULL, 0, 0,
	    "where the service is"),
	BACKEND("account_id", CONF_T_TEXT, account_id, NULL, 0, NULL, 0, 0,
	    "for paths"),
	BACKEND("cluster_id", CONF_T_TEXT, cluster_id, NULL, 0, NULL, 0, 0,
	    "for paths"),
	BACKEND("org", CONF_T_TEXT, org, NULL, 0, NULL, 0, 0,
	    "organization, name or id"),
	BACKEND("owner", CONF_T_TEXT, owner, NULL, 0, NULL, 0, 0,
	    "user that its tokens belong to"),
	BACKEND("create_owner", CONF_T_BOOL, create_owner, NULL, 0, NULL, 0,
	    0, "make that user if it is not there"),
	/* its default is that of the types that need one: conf_check.c */
	BACKEND("expiry_grace", CONF_T_DURATION, expiry_grace_ms, NULL, 0,
	    NULL, SECOND, 30 * DAY, "from inactive to deleted"),
	BACKEND("tokens_path", CONF_T_TEXT, tokens_path, NULL, 0, NULL, 0, 0,
	    "path of the token collection"),
	BACKEND("auth_scheme", CONF_T_TEXT, auth_scheme, NULL, 0, NULL, 0, 0,
	    "word in front of the payer's token"),
	BACKEND("auth_header", CONF_T_TEXT, auth_header, NULL, 0, NULL, 0, 0,
	    "header for the payer's token"),
	BACKEND("expiration_type", CONF_T_WORD, expiration_type, "omit", 0,
	    expiration_words, 0, 0, "send expirationType"),
	BACKEND("audience", CONF_T_WORDS, audience, NULL, 0, NULL, 0, 0,
	    "token-exchange: for which services"),
	BACKEND("resource", CONF_T_WORDS, resource, NULL, 0, NULL, 0, 0,
	    "token-exchange: the same, by URI"),
	BACKEND("scopes", CONF_T_WORDS, scopes, NULL, 0, NULL, 0, 0,
	    "token-exchange: for which rights"),
	BACKEND("subject_token_type", CONF_T_TEXT, subject_token_type, NULL,
	    0, NULL, 0, 0, "token-exchange: what the login has"),
	BACKEND("requested_token_type", CONF_T_TEXT, requested_token_type,
	    NULL, 0, NULL, 0, 0, "token-exchange: what is wanted"),
	BACKEND("introspection", CONF_T_BOOL, introspection, NULL, 0, NULL,
	    0, 0, "token-exchange: probe at the provider"),
	BACKEND("management_driver", CONF_T_WORD, management_driver, "import",
	    0, driver_words, 0, 0, "how management tokens are made"),
	/* All have their defaults in backend/influxctl.c. */
	BACKEND("influxctl_socket", CONF_T_PATH, influxctl.socket, NULL, 0,
	    NULL, 0, 0, "where the helper listens"),
	BACKEND("influxctl_user", CONF_T_TEXT, influxctl.user, NULL, 0, NULL,
	    0, 0, "who the helper is, unless it is root"),
	BACKEND("influxctl_login", CONF_T_WORD, influxctl.login, NULL, 0,
	    influxctl_words, 0, 0, "how influxctl gets its login"),
	BACKEND("influxctl_min_version", CONF_T_TEXT, influxctl.min_version,
	    NULL, 0, NULL, 0, 0, "an older influxctl is not used"),
	BACKEND("influxctl_version_args", CONF_T_TEXT, influxctl.version_args,
	    NULL, 0, NULL, 0, 0, "influxctl: say the version"),
	BACKEND("influxctl_mint_args", CONF_T_TEXT, influxctl.mint_args, NULL,
	    0, NULL, 0, 0, "influxctl: make"),
	BACKEND("influxctl_list_args", CONF_T_TEXT, influxctl.list_args, NULL,
	    0, NULL, 0, 0, "influxctl: list"),
	BACKEND("influxctl_revoke_args", CONF_T_TEXT, influxctl.revoke_args,
	    NULL, 0, NULL, 0, 0, "influxctl: revoke"),
	BACKEND("influxctl_token_prefix", CONF_T_TEXT, influxctl.token_prefix,
	    NULL, 0, NULL, 0, 0, "what a value begins with"),
	BACKEND("influxctl_token_path", CONF_T_TEXT, influxctl.token_path,
	    NULL, 0, NULL, 0, 0, "file of the login, below influxctl's HOME"),
	BACKEND("influxctl_token_content", CONF_T_TEXT,
	    influxctl.token_content, NULL, 0, NULL, 0, 0, "what is in it"),
	BACKEND("influxctl_unauthorized", CONF_T_TEXT, influxctl.unauthorized,
	    NULL, 0, NULL, 0, 0, "words that tell of a refused login"),
	BACKEND("influxctl_timeout", CONF_T_DURATION, influxctl.timeout_ms,
	    NULL, 0, NULL, SECOND, 10 * MINUTE, "of one run"),
	BACKEND("influxctl_host", CONF_T_TEXT, influxctl.host, NULL, 0, NULL,
	    0, 0, "influxctl profile: host"),
	BACKEND("influxctl_port", CONF_T_TEXT, influxctl.port, NULL, 0, NULL,
	    0, 0, "influxctl profile: port"),
	BACKEND("influxctl_client_id", CONF_T_TEXT, influxctl.client_id, NULL,
	    0, NULL, 0, 0, "influxctl profile: client_id"),
	BACKEND("influxctl_scopes", CONF_T_TEXT, influxctl.scopes, NULL, 0,
	    NULL, 0, 0, "influxctl profile: scopes"),
	BACKEND("influxctl_audience", CONF_T_TEXT, influxctl.audience, NULL,
	    0, NULL, 0, 0, "influxctl profile: parameters, audience"),
	BACKEND("influxctl_device_url", CONF_T_TEXT, influxctl.device_url,
	    NULL, 0, NULL, 0, 0, "influxctl profile: device_url"),
	BACKEND("influxctl_token_url", CONF_T_TEXT, influxctl.token_url, NULL,
	    0, NULL, 0, 0, "influxctl profile: token_url"),
	/* Methods have their defaults in backend/http_template.c, where one
	 * without a URL is refused. */
	BACKEND("mint_method", CONF_T_WORD, mint.method, NULL, 0,
	    method_words, 0, 0, "http driver: make"),
	BACKEND("mint_url", CONF_T_TEXT, mint.url, NULL, 0, NULL, 0, 0,
	    "http driver: make"),
	BACKEND("mint_body", CONF_T_TEXT, mint.body, NULL, 0, NULL, 0, 0,
	    "http driver: make"),
	BACKEND("list_method", CONF_T_WORD, list.method, NULL, 0,
	    method_words, 0, 0, "http driver: list"),
	BACKEND("list_url", CONF_T_TEXT, list.url, NULL, 0, NULL, 0, 0,
	    "http driver: list"),
	BACKEND("list_body", CONF_T_TEXT, list.body, NULL, 0, NULL, 0, 0,
	    "http driver: list"),
	BACKEND("revoke_method", CONF_T_WORD, revoke.method, NULL, 0,
	    method_words, 0, 0, "http driver: revoke"),
	BACKEND("revoke_url", CONF_T_TEXT, revoke.url, NULL, 0, NULL, 0, 0,
	    "http driver: revoke"),
	BACKEND("revoke_body", CONF_T_TEXT, revoke.body, NULL, 0, NULL, 0, 0,
	    "http driver: revoke"),
	BACKEND("probe_method", CONF_T_WORD, probe.method, NULL, 0,
	    method_words, 0, 0, "http driver: probe"),
	BACKEND("probe_url", CONF_T_TEXT, probe_url, NULL, 0, NULL, 0, 0,
	    "asked with a new token until it works"),
	BACKEND("token_pointer", CONF_T_TEXT, token_pointer, NULL, 0, NULL, 0,
	    0, "http driver: JSON pointer to the value"),
	BACKEND("id_pointer", CONF_T_TEXT, id_pointer, NULL, 0, NULL, 0, 0,
	    "http driver: to the token's id"),
	BACKEND("expires_pointer", CONF_T_TEXT, expires_pointer, NULL, 0, NULL,
	    0, 0, "http driver: to its expiry"),
	BACKEND("list_pointer", CONF_T_TEXT, list_pointer, NULL, 0, NULL, 0, 0,
	    "http driver: to the array of a list"),
	BACKEND("list_id_pointer", CONF_T_TEXT, list_id_pointer, NULL, 0, NULL,
	    0, 0, "http driver: in an element, id"),
	BACKEND("list_description_pointer", CONF_T_TEXT,
	    list_description_pointer, NULL, 0, NULL, 0, 0,
	    "http driver: in an element, description"),
	BACKEND("list_revoked_pointer", CONF_T_TEXT, list_revoked_pointer,
	    NULL, 0, NULL, 0, 0, "http driver: in an element, revoked"),
	BACKEND("list_created_pointer", CONF_T_TEXT, list_created_pointer,
	    NULL, 0, NULL, 0, 0, "http driver: in an element, created"),
	BACKEND("list_expires_pointer", CONF_T_TEXT, list_expires_pointer,
	    NULL, 0, NULL, 0, 0, "http driver: in an element, expiry"),
	BACKEND("list_prefix_pointer", CONF_T_TEXT, list_prefix_pointer, NULL,
	    0, NULL, 0, 0, "http driver: in an element, the value's beginning"),
	BACKEND("ca_file", CONF_T_PATH, ca_file, NULL, 0, NULL, 0, 0,
	    "trusted authorities for this service"),
	BACKEND("tls_cert_file", CONF_T_PATH, tls_cert_file, NULL, 0, NULL, 0,
	    0, "client certificate"),
	BACKEND("tls_key_file", CONF_T_PATH, tls_key_file, NULL, 0, NULL, 0, 0,
	    "its key"),
	BACKEND("tls_insecure", CONF_T_BOOL, tls_insecure, "no", 0, NULL, 0, 0,
	    "do not verify the service"),
	BACKEND("allow_insecure_loopback", CONF_T_BOOL,
	    allow_insecure_loopback, "no", 0, NULL, 0, 0,
	    "http to this machine, for tests"),
	BACKEND("timeout", CONF_T_DURATION, timeout_ms, "30s", 0, NULL, SECOND,
	    5 * MINUTE, "of one request"),
	BACKEND("reconcile_interval", CONF_T_DURATION, reconcile_interval_ms,
	    "6h", 0, NULL, 0, 30 * DAY, "how often its tokens are looked at"),
	BACKEND("on_orphan", CONF_T_FLAG, revoke_orphans, "report", 0,
	    orphan_words, 0, 0, "a token of ours that nobody knows"),

	TOKEN("backend", CONF_T_BACKEND, backend, NULL, CONF_REQUIRED, NULL, 0,
	    0, "who makes it"),
	TOKEN("kind", CONF_T_CHOICE, recipe.kind, NULL, 0, kind_words, 0, 0,
	    "what it is"),
	TOKEN("permissions", CONF_T_PERMISSIONS, recipe, NULL, 0, NULL, 0, 0,
	    "what it may do"),
	TOKEN("audience", CONF_T_WORDS, recipe.audience, NULL, 0, NULL, 0, 0,
	    "token-exchange: for which services"),
	TOKEN("resource", CONF_T_WORDS, recipe.resource, NULL, 0, NULL, 0, 0,
	    "token-exchange: the same, by URI"),
	TOKEN("scopes", CONF_T_WORDS, recipe.scopes, NULL, 0, NULL, 0, 0,
	    "token-exchange: for which rights"),
	TOKEN("lifetime", CONF_T_DURATION, lifetime_ms, NULL, 0, NULL, SECOND,
	    3660 * DAY, "from mint to expiry"),
	TOKEN("renew_before", CONF_T_DURATION, renew_before_ms, NULL, 0, NULL, 1,
	    3660 * DAY, "how long before expiry the next is made"),
	TOKEN("description", CONF_T_TEXT, description, NULL, 0, NULL, 0, 0,
	    "shown by the service"),
	TOKEN("probe", CONF_T_FLAG, probe, "auto", 0, probe_words, 0, 0,
	    "is a new one tried first"),
	TOKEN("activate_after", CONF_T_DURATION, activate_after_ms, NULL, 0,
	    NULL, 0, DAY, "wait instead of a probe"),
	TOKEN("on_change", CONF_T_FLAG, update, "mint", 0, change_words, 0, 0,
	    "when its permissions are changed here"),
	TOKEN("announce_expiry", CONF_T_DISTANCES, announce_ms, "14d 3d 1d", 0,
	    NULL, SECOND, 3660 * DAY, "how long before an end without renewal"),
	TOKEN("on_grant_loss", CONF_T_CHOICE, on_grant_loss, "serve", 0,
	    loss_words, 0, 0, "when the login is lost"),
	TOKEN("revoke_superseded", CONF_T_FLAG, revoke_superseded, "never", 0,
	    superseded_words, 0, 0, "is an old generation ended early"),
	TOKEN("overlap", CONF_T_DURATION, overlap_ms, NULL, 0, NULL, 0,
	    3660 * DAY, "how long it is left at least"),
	TOKEN("hard_overlap", CONF_T_BOOL, hard_overlap, "no", 0, NULL, 0, 0,
	    "and no longer, whoever uses it"),
	TOKEN("per", CONF_T_FLAG, per_holder, "token", 0, per_words, 0, 0,
	    "one value for all, or one for each holder"),
	TOKEN("max_holders", CONF_T_COUNT, max_holders, "100", 0, NULL, 1,
	    10000, "how many holders may have one of their own"),
	TOKEN("leases", CONF_T_COUNT, leases, "0", 0, NULL, 0, 1000,
	    "how many runs may have one of their own at a time"),
	TOKEN("mints_per_hour", CONF_T_COUNT, mints_per_hour, "0", 0, NULL, 0,
	    100000, "quota of this token; 0: only that of [broker]"),
	TOKEN("allow_full_access", CONF_T_BOOL, recipe.allow_full_access, "no",
	    0, NULL, 0, 0, "an all-powerful token is meant"),

	CLIENT_LIST("unit", CONF_T_UNITS, units, n_units, 0, "systemd units"),
	CLIENT_LIST("user", CONF_T_USERS, users, n_users, 0, "users"),
	CLIENT_LIST("group", CONF_T_GROUPS, groups, n_groups, 0, "groups"),
	CLIENT_LIST("selinux", CONF_T_LABELS, selinux, n_selinux, 0,
	    "SELinux labels"),
	CLIENT("container", CONF_T_CHOICE, container, "any", 0,
	    container_words, 0, 0, "in a container"),
	CLIENT("door", CONF_T_DOORS, doors, "api credential", 0, door_words, 0,
	    0, "which sockets"),
	CLIENT_LIST("tokens", CONF_T_TOKENS, tokens, n_tokens, 0,
	    "which tokens"),
	CLIENT("credentials", CONF_T_CREDENTIALS, credential_ids, NULL, 0,
	    NULL, 0, 0, "credential names"),
	CLIENT("action", CONF_T_FLAG, deny, "allow", 0, action_words, 0, 0,
	    "what a match means"),
	CLIENT("rate", CONF_T_RATE, rate_count, NULL, 0, NULL, 0, 0,
	    "releases in a time"),
	CLIENT("min_identity", CONF_T_CHOICE, min_identity, "strong", 0,
	    strength_words, 0, 0, "how sure a unit must be"),
};

const size_t conf_n_options = ARRAY_SIZE(conf_options);
_Static_assert(ARRAY_SIZE(conf_options) <= CONF_OPTIONS_MAX,
    "struct conf_item has a line for each option");

int
conf_option_find(enum conf_section section, const char *key)
{
	for (size_t i = 0; i < conf_n_options; i++) {
		if (conf_options[i].section == section &&
		    strcmp(conf_options[i].key, key) == 0)
			return (int)i;
	}
	return -1;
}
