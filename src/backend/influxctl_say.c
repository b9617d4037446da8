/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxctl_say - one question to the helper: which words influxctl gets, and
 * which files are in its HOME. The login is in a file and nowhere else; a word
 * that an answer of the service could have chosen never looks like an option.
 *
 * An unknown key of a profile is an error since influxctl 2.0.1, so the profile
 * holds what the documentation names and nothing else; client_secret, which
 * 2.9.8 removed, is not among it.
 */
#include "backend/influxctl_int.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "backend/answer.h"
#include "backend/check.h"
#include "backend/influxctl.h"
#include "backend/template.h"
#include "base/timefmt.h"
#include "lib/jsonx.h"

#define SOCKET_PATH "/run/tokenbroker-influxctl/helper.sock"
#define MIN_VERSION "2.10.0"
#define VERSION_ARGS "version"
#define MINT_ARGS "management create --format json --expires-at {expires_at} " \
	"--description {description}"
#define LIST_ARGS "management list --format json"
#define REVOKE_ARGS "management revoke --force {id}"
#define TOKEN_PREFIX "M.V1."
#define PROFILE_PATH ".config/influxctl/config.toml"
/* Of both neither path nor layout is published. */
#define TOKEN_FILE_PATH "token.json"
#define CACHE_PATH ".cache/influxctl/default.json"
#define TOKEN_CONTENT "{\"access_token\":\"{token}\"," \
	"\"token_type\":\"Bearer\",\"expiry\":\"{expires_at}\"}"
#define TIMEOUT_MS (60 * 1000)
/* The helper's own work around a run: the version, its queue. */
#define HELPER_MS (30 * 1000)
/* What the helper accepts; its output as JSON may be some times as long. */
#define ANSWER_CAP ((size_t)32 << 20)
/* The helper puts the path of HOME here. */
#define HOME_WORD "@HOME@"
#define TOKEN_WORD "@TOKEN@"
/* When the end of a login is not known. */
#define UNKNOWN_LIFE_S 3600

static const char *
or_default(const char *value, const char *def)
{
	return value ? value : def;
}

enum influxctl_login
influxctl_login(const struct backend_conf *c)
{
	const char *word = c->influxctl.login;

	if (!word)
		return c->management_token ? INFLUXCTL_MGMT_TOKEN :
					     INFLUXCTL_TOKEN_FILE;
	if (streq(word, "mgmt_token"))
		return INFLUXCTL_MGMT_TOKEN;
	if (streq(word, "cache"))
		return INFLUXCTL_CACHE;
	return streq(word, "own") ? INFLUXCTL_OWN : INFLUXCTL_TOKEN_FILE;
}

const char *
influxctl_token_prefix(const struct backend_conf *c)
{
	return or_default(c->influxctl.token_prefix, TOKEN_PREFIX);
}

static const char *
token_path(const struct backend_conf *c)
{
	return or_default(c->influxctl.token_path,
	    influxctl_login(c) == INFLUXCTL_CACHE ? CACHE_PATH :
						    TOKEN_FILE_PATH);
}

/* ---------------------------------------------------------------- profile */

/* The content of a basic string of TOML, or of a JSON string: for what is
 * here the same. */
static void
add_escaped(struct secret *out, const char *s, size_t len)
{
	char code[8];

	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)s[i];

		if (ch == '"' || ch == '\\')
			secret_append_str(out, "\\");
		if (ch < ' ' || ch == 0x7f) {
			snprintf(code, sizeof(code), "\\u%04x", ch);
			secret_append_str(out, code);
		} else {
			secret_append(out, &s[i], 1);
		}
	}
}

static void
add_key(struct secret *out, const char *key, const char *value)
{
	if (!value)
		return;
	secret_append_str(out, key);
	secret_append_str(out, " = \"");
	add_escaped(out, value, strlen(value));
	secret_append_str(out, "\"\n");
}

static void
add_tls(struct secret *out, const struct backend_conf *c)
{
	bool plain = c->base_url && strncmp(c->base_url, "http:", 5) == 0;

	if (!c->tls_insecure && !c->ca_file && !c->tls_cert_file && !plain)
		return;
	secret_append_str(out, "[profile.tls]\n");
	if (c->tls_insecure)
		secret_append_str(out, "insecure = true\n");
	if (plain)
		secret_append_str(out, "disable = true\n");
	add_key(out, "ca", c->ca_file);
	add_key(out, "cert", c->tls_cert_file);
	add_key(out, "key", c->tls_key_file);
}

static void
add_scopes(struct secret *out, const char *scopes)
{
	bool first = true;

	if (!scopes)
		return;
	secret_append_str(out, "scopes = [");
	for (const char *s = scopes; *(s += strspn(s, " \t"));) {
		size_t n = strcspn(s, " \t");

		secret_append_str(out, first ? "\"" : ", \"");
		add_escaped(out, s, n);
		secret_append_str(out, "\"");
		first = false;
		s += n;
	}
	secret_append_str(out, "]\n");
}

static void
add_oauth(struct secret *out, const struct backend_influxctl *i)
{
	if (!i->client_id)
		return;
	secret_append_str(out, "[profile.auth.oauth2]\n");
	add_key(out, "client_id", i->client_id);
	add_scopes(out, i->scopes);
	if (i->audience) {
		secret_append_str(out, "parameters = { audience = \"");
		add_escaped(out, i->audience, strlen(i->audience));
		secret_append_str(out, "\" }\n");
	}
	add_key(out, "token_url", i->token_url);
	add_key(out, "device_url", i->device_url);
}

/* host[:port] of base_url; owned. */
static char *
url_host(const char *url, char **port)
{
	const char *host = url ? strstr(url, "://") : NULL;
	const char *end, *colon;

	*port = NULL;
	if (!host)
		return NULL;
	host += 3;
	end = host + strcspn(host, "/");
	colon = memrchr(host, ':', (size_t)(end - host));
	if (colon && memchr(colon, ']', (size_t)(end - colon)))
		colon = NULL; /* in an IPv6 address */
	*port = colon ? xstrndup(colon + 1, (size_t)(end - colon) - 1) :
			xstrdup(strncmp(url, "http:", 5) ? "443" : "80");
	return xstrndup(host, (size_t)((colon ? colon : end) - host));
}

static void
add_profile(const struct backend_run *run, struct secret *out)
{
	const struct backend_conf *c = run->conf;
	bool dedicated = streq(c->ops->type, "influxdb-dedicated");
	char *port _cleanup_free_ = NULL;
	char *host _cleanup_free_ = dedicated ? NULL :
	    url_host(c->base_url, &port);

	secret_append_str(out, "[[profile]]\nname = \"default\"\n");
	add_key(out, "product", dedicated ? "dedicated" : "clustered");
	add_key(out, "host", or_default(c->influxctl.host, host));
	add_key(out, "port", or_default(c->influxctl.port, port));
	if (dedicated) {
		add_key(out, "account_id", c->account_id);
		add_key(out, "cluster_id", c->cluster_id);
	}
	if (influxctl_login(c) == INFLUXCTL_MGMT_TOKEN)
		add_key(out, "mgmt_token", secret_reveal(&run->bearer));
	add_tls(out, c);
	add_oauth(out, &c->influxctl);
	if (influxctl_login(c) == INFLUXCTL_TOKEN_FILE) {
		secret_append_str(out, "[profile.auth.token]\n"
		    "token_file = \"" HOME_WORD "/");
		add_escaped(out, token_path(c), strlen(token_path(c)));
		secret_append_str(out, "\"\n");
	}
}

/* ------------------------------------------------------------------ words */

struct influxctl_vars {
	struct template_var v[7];
	char expires_at[TIMEFMT_SIZE], epoch[24];
};

/* What has no value for this verb stays NULL: template_check refuses it. */
static void
fill_vars(struct influxctl_vars *vars, const struct backend_run *run,
    enum backend_verb verb)
{
	const struct backend_conf *c = run->conf;
	bool mint = verb == BACKEND_MINT;
	struct template_var v[] = {
		{ "account_id", c->account_id },
		{ "cluster_id", c->cluster_id },
		{ "name", c->name },
		{ "id", verb == BACKEND_REVOKE ? run->token_id : NULL },
		{ "description", mint ? run->description : NULL },
		{ "expires_at", mint ? vars->expires_at : NULL },
		{ "expires_at_epoch", mint ? vars->epoch : NULL },
	};

	_Static_assert(sizeof(v) == sizeof(vars->v), "room for all words");
	memcpy(vars->v, v, sizeof(v));
	timefmt_rfc3339(run->expires_at, vars->expires_at,
	    sizeof(vars->expires_at));
	snprintf(vars->epoch, sizeof(vars->epoch), "%" PRId64,
	    run->expires_at);
}

static const char *
args_of(const struct backend_conf *c, enum backend_verb verb)
{
	switch (verb) {
	case BACKEND_MINT:
		return or_default(c->influxctl.mint_args, MINT_ARGS);
	case BACKEND_REVOKE:
		return or_default(c->influxctl.revoke_args, REVOKE_ARGS);
	case BACKEND_LIST:
	case BACKEND_PROBE:
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		break;
	}
	return or_default(c->influxctl.list_args, LIST_ARGS);
}

/* Words at blanks; a value is never split. */
static json_t *
make_args(const char *text, const struct influxctl_vars *vars)
{
	json_t *args = json_array();

	for (const char *s = text; *(s += strspn(s, " \t"));) {
		struct strbuf word _cleanup_(strbuf_clear) = STRBUF_INIT;
		size_t n = strcspn(s, " \t");
		char *part _cleanup_free_ = xstrndup(s, n);

		template_text(&word, part, vars->v, ARRAY_SIZE(vars->v));
		json_array_append_new(args, json_string(strbuf_str(&word)));
		s += n;
	}
	return args;
}

/* ------------------------------------------------------------------ files */

static void
add_file(json_t *files, const char *path, const struct secret *text,
    bool expand)
{
	json_array_append_new(files, json_pack("{s:s, s:s, s:b}", "path", path,
	    "text", secret_reveal(text), "expand", expand));
}

/* The configured content. The token takes the place of a word when all else
 * is there, so that no buffer but a secret ever holds it. */
static void
add_token_content(const struct backend_run *run, struct secret *out)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	char at[TIMEFMT_SIZE], epoch[24];
	int64_t end = run->bearer_expires_at ? run->bearer_expires_at :
					       run->now_s + UNKNOWN_LIFE_S;
	const struct template_var vars[] = {
		{ "token", TOKEN_WORD },
		{ "expires_at", timefmt_rfc3339(end, at, sizeof(at)) },
		{ "expires_at_epoch", epoch },
	};
	const char *s, *hole;

	snprintf(epoch, sizeof(epoch), "%" PRId64, end);
	template_json(&text, or_default(run->conf->influxctl.token_content,
	    TOKEN_CONTENT), vars, ARRAY_SIZE(vars));
	for (s = strbuf_str(&text); (hole = strstr(s, TOKEN_WORD));
	     s = hole + strlen(TOKEN_WORD)) {
		secret_append(out, s, (size_t)(hole - s));
		add_escaped(out, secret_reveal(&run->bearer),
		    run->bearer.len);
	}
	secret_append_str(out, s);
}

static json_t *
make_files(const struct backend_run *run)
{
	enum influxctl_login login = influxctl_login(run->conf);
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	json_t *files = json_array();

	add_profile(run, &text);
	add_file(files, PROFILE_PATH, &text, login == INFLUXCTL_TOKEN_FILE);
	if (login == INFLUXCTL_TOKEN_FILE || login == INFLUXCTL_CACHE) {
		secret_clear(&text);
		add_token_content(run, &text);
		add_file(files, token_path(run->conf), &text, false);
	}
	return files;
}

/* ---------------------------------------------------------------- question */

int
influxctl_say(const struct backend_run *run, enum backend_verb verb,
    struct http_request *request, struct tb_error *err)
{
	const struct backend_conf *c = run->conf;
	const struct backend_influxctl *i = &c->influxctl;
	const char *oldest = or_default(i->min_version, MIN_VERSION);
	int64_t timeout_ms = i->timeout_ms ? i->timeout_ms : TIMEOUT_MS;
	const struct influxctl_vars none = { .v = { { "name", c->name } } };
	json_t *j _cleanup_json_ = json_object();
	struct influxctl_vars vars;

	/* an id is the service's word: it must not become an option */
	if (verb == BACKEND_REVOKE && (!answer_is_id(run->token_id) ||
	    *run->token_id == '-'))
		return tb_error_set(err, TB_E_BADREQ,
		    "revoke: there is no usable token id");
	fill_vars(&vars, run, verb);
	json_object_set_new(j, "name", json_string(c->name));
	json_object_set_new(j, "home", json_string(
	    influxctl_is_own(c) ? "kept" : "fresh"));
	json_object_set_new(j, "files", make_files(run));
	json_object_set_new(j, "args", make_args(args_of(c, verb), &vars));
	json_object_set_new(j, "timeout_ms", json_integer(timeout_ms));
	if (!streq(oldest, "none")) {
		json_object_set_new(j, "min_version", json_string(oldest));
		json_object_set_new(j, "version_args", make_args(
		    or_default(i->version_args, VERSION_ARGS), &none));
	}
	request->url = xstrdup(or_default(i->socket, SOCKET_PATH));
	jsonx_dump(j, &request->body);
	request->timeout_ms = timeout_ms + HELPER_MS;
	request->body_cap = ANSWER_CAP;
	return 0;
}

/* ----------------------------------------------------------------- at load */

static int
check_args(const struct backend_conf *c, enum backend_verb verb,
    const char *key, struct tb_error *err)
{
	char sample[] = "sample";
	struct backend_run run = { .verb = verb, .conf = c,
		.token_id = sample, .description = sample };
	struct influxctl_vars vars;

	fill_vars(&vars, &run, verb);
	if (template_check(args_of(c, verb), vars.v, ARRAY_SIZE(vars.v),
	    err) < 0)
		return tb_error_wrap(err, "%s", key);
	return 0;
}

static int
check_all_args(const struct backend_conf *c, struct tb_error *err)
{
	const char *mint = args_of(c, BACKEND_MINT);

	if (check_args(c, BACKEND_MINT, "influxctl_mint_args", err) < 0 ||
	    check_args(c, BACKEND_LIST, "influxctl_list_args", err) < 0 ||
	    check_args(c, BACKEND_REVOKE, "influxctl_revoke_args", err) < 0)
		return -1;
	if (!template_uses(mint, "description") ||
	    (!template_uses(mint, "expires_at") &&
	    !template_uses(mint, "expires_at_epoch")))
		return tb_error_set(err, TB_E_CONFIG, "influxctl_mint_args "
		    "must have {description}, by which a lost token is found, "
		    "and {expires_at} or {expires_at_epoch}");
	if (!template_uses(args_of(c, BACKEND_REVOKE), "id"))
		return tb_error_set(err, TB_E_CONFIG,
		    "influxctl_revoke_args must have {id}");
	return 0;
}

static int
check_version(const char *v, struct tb_error *err)
{
	unsigned a, b, c;
	int n = 0;

	if (!v || streq(v, "none") || (strspn(v, "0123456789.") == strlen(v) &&
	    sscanf(v, "%5u.%5u.%5u%n", &a, &b, &c, &n) == 3 && !v[n]))
		return 0;
	return tb_error_set(err, TB_E_CONFIG, "influxctl_min_version must be "
	    "three numbers, such as " MIN_VERSION ", or none");
}

/* It is below HOME, and stays there. */
static int
check_token_path(const struct backend_conf *c, struct tb_error *err)
{
	const char *path = token_path(c);

	if (*path == '/' || !*path || path[strlen(path) - 1] == '/' ||
	    streq(path, "..") || strncmp(path, "../", 3) == 0 ||
	    strstr(path, "/../") || strstr(path, "//") ||
	    (strlen(path) > 3 && streq(path + strlen(path) - 3, "/..")))
		return tb_error_set(err, TB_E_CONFIG, "influxctl_token_path "
		    "must be a path below influxctl's HOME, such as "
		    TOKEN_FILE_PATH);
	return 0;
}

static int
check_login(const struct backend_conf *c, struct tb_error *err)
{
	static const struct template_var vars[] = {
		{ "token", "sample" },
		{ "expires_at", "sample" },
		{ "expires_at_epoch", "1" },
	};
	enum influxctl_login login = influxctl_login(c);
	const char *content = or_default(c->influxctl.token_content,
	    TOKEN_CONTENT);
	bool file = login == INFLUXCTL_TOKEN_FILE || login == INFLUXCTL_CACHE;

	if (!file && (c->influxctl.token_path || c->influxctl.token_content))
		return tb_error_set(err, TB_E_CONFIG, "influxctl_login: only "
		    "token_file and cache have a file for "
		    "influxctl_token_path and influxctl_token_content");
	if (template_check(content, vars, ARRAY_SIZE(vars), err) < 0)
		return tb_error_wrap(err, "influxctl_token_content");
	if (file && !template_uses(content, "token"))
		return tb_error_set(err, TB_E_CONFIG,
		    "influxctl_token_content must have {token}");
	return check_token_path(c, err);
}

int
influxctl_say_check(const struct backend_conf *c, bool dedicated,
    struct tb_error *err)
{
	const char *prefix = influxctl_token_prefix(c);

	if (!answer_is_id(prefix))
		return tb_error_set(err, TB_E_CONFIG, "influxctl_token_prefix "
		    "must be printable characters without spaces");
	if (!c->influxctl.client_id && (c->influxctl.scopes ||
	    c->influxctl.audience || c->influxctl.device_url ||
	    c->influxctl.token_url))
		return tb_error_set(err, TB_E_CONFIG, "influxctl_client_id is "
		    "missing: the other keys of that login are there");
	if (!dedicated && influxctl_is_own(c) && !c->influxctl.client_id)
		return tb_error_set(err, TB_E_CONFIG, "influxctl_client_id is "
		    "missing: for a cluster influxctl must be told where to "
		    "log in");
	if (check_version(c->influxctl.min_version, err) < 0 ||
	    check_all_args(c, err) < 0 || check_login(c, err) < 0)
		return -1;
	return check_pointer("token_pointer", c->token_pointer, err) < 0 ||
	    check_pointer("id_pointer", c->id_pointer, err) < 0 ||
	    check_pointer("expires_pointer", c->expires_pointer, err) < 0 ||
	    check_pointer("list_pointer", c->list_pointer, err) < 0 ||
	    check_pointer("list_id_pointer", c->list_id_pointer, err) < 0 ||
	    check_pointer("list_description_pointer",
		c->list_description_pointer, err) < 0 ||
	    check_pointer("list_prefix_pointer", c->list_prefix_pointer,
		err) < 0 ||
	    check_pointer("list_revoked_pointer", c->list_revoked_pointer,
		err) < 0 ||
	    check_pointer("list_created_pointer", c->list_created_pointer,
		err) < 0 ? -1 : 0;
}
