/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - a backend that cannot work is refused at load, with the key that is
 * wrong, and not at the first mint in the middle of a night.
 */
#include "backend/check.h"

#include <string.h>
#include <strings.h>

#include "backend/answer.h"
#include "backend/backend.h"
#include "backend/template.h"
#include "base/strbuf.h"

#define CHECK_DATABASE_MAX 64 /* characters, not bytes */

static int
check_payer(const struct backend_conf *c, struct tb_error *err)
{
	if (c->login && c->management_token)
		return tb_error_set(err, TB_E_CONFIG,
		    "login and management_token are both set: only one of them "
		    "can pay for the calls");
	if (!c->login && !c->management_token &&
	    (c->ops->caps(c, NULL) & BACKEND_NEEDS_PAYER))
		return tb_error_set(err, TB_E_CONFIG,
		    "login or management_token is wanted: who pays for the "
		    "calls?");
	return 0;
}

static int
check_base_url(const struct backend_conf *c, struct tb_error *err)
{
	if (!c->base_url)
		return 0;
	if (strpbrk(c->base_url, "?#{}@"))
		return tb_error_set(err, TB_E_CONFIG,
		    "base_url must have no user, query, fragment or "
		    "placeholder");
	if (!*c->base_url || c->base_url[strlen(c->base_url) - 1] == '/')
		return tb_error_set(err, TB_E_CONFIG,
		    "base_url must not end with a slash");
	if (http_url_check(c->base_url, c->allow_insecure_loopback, err) < 0) {
		err->code = TB_E_CONFIG;
		return tb_error_wrap(err, "base_url");
	}
	return 0;
}

/* Goes into a header: a token of RFC 9110. */
static int
check_auth_scheme(const char *scheme, struct tb_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	if (scheme && (!*scheme || scheme[strspn(scheme, allowed)]))
		return tb_error_set(err, TB_E_CONFIG,
		    "auth_scheme must be one word (\"none\" sends the token "
		    "alone)");
	return 0;
}

/* What the request says by itself, and the length of what follows, is not to
 * be said twice. */
static int
check_auth_header(const char *name, struct tb_error *err)
{
	static const char *const taken[] = { "Host", "Content-Length",
		"Content-Type", "Transfer-Encoding", "Connection", "Accept",
		"Expect" };

	if (!name)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		if (strcasecmp(name, taken[i]) == 0)
			return tb_error_set(err, TB_E_CONFIG,
			    "auth_header: %s is the request's own", taken[i]);
	}
	if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789-_")])
		return tb_error_set(err, TB_E_CONFIG,
		    "auth_header must be the name of a header, such as "
		    "PRIVATE-TOKEN");
	return 0;
}

/* Both go into paths, where "." and ".." would change the path. */
static int
check_path_value(const char *key, const char *value, struct tb_error *err)
{
	if (value && !answer_is_id(value))
		return tb_error_set(err, TB_E_CONFIG,
		    "%s must have 1 to 256 printable characters without "
		    "spaces", key);
	return 0;
}

int
check_common(const struct backend_conf *c, struct tb_error *err)
{
	if (check_payer(c, err) < 0 || check_base_url(c, err) < 0 ||
	    check_auth_scheme(c->auth_scheme, err) < 0 ||
	    check_auth_header(c->auth_header, err) < 0 ||
	    check_path_value("account_id", c->account_id, err) < 0 ||
	    check_path_value("cluster_id", c->cluster_id, err) < 0)
		return -1;
	if (!c->tls_cert_file != !c->tls_key_file)
		return tb_error_set(err, TB_E_CONFIG,
		    "tls_cert_file and tls_key_file are wanted together");
	return 0;
}

int
check_full_access(const struct backend_recipe *r, const char *what,
    struct tb_error *err)
{
	if (r->allow_full_access)
		return 0;
	return tb_error_set(err, TB_E_CONFIG,
	    "%s: add allow_full_access = yes to the token if that is meant",
	    what);
}

static int
check_resource(const char *resource, struct tb_error *err)
{
	size_t characters = 0;

	for (const char *p = resource; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions: a database name holds a control "
			    "character");
		characters += ((unsigned char)*p & 0xc0) != 0x80;
	}
	if (characters < 1 || characters > CHECK_DATABASE_MAX)
		return tb_error_set(err, TB_E_CONFIG,
		    "permissions: a database name has 1 to %d characters",
		    CHECK_DATABASE_MAX);
	return 0;
}

int
check_permissions(const struct backend_recipe *r, struct tb_error *err)
{
	for (size_t i = 0; i < r->n_permissions; i++) {
		const char *action = r->permissions[i].action;
		const char *resource = r->permissions[i].resource;

		if (!resource)
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions: '%.60s' is a word of type "
			    "influxdb-v2; here read:DATABASE or "
			    "write:DATABASE is wanted", action);
		if (!streq(action, "read") && !streq(action, "write"))
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions: '%s' is neither read nor write",
			    action ? action : "");
		if (check_resource(resource, err) < 0)
			return -1;
		if (streq(resource, "*") &&
		    check_full_access(r,
			"permissions: '*' reaches every database", err) < 0)
			return -1;
	}
	return 0;
}

int
check_no_permissions(const struct backend_recipe *r, const char *what,
    struct tb_error *err)
{
	if (!r->n_permissions)
		return 0;
	return tb_error_set(err, TB_E_CONFIG,
	    "permissions have no meaning for %s", what);
}

/* A value in the host would choose who gets the bearer. */
static bool
check_host_is_fixed(const char *url)
{
	const char *host = strstr(url, "://");
	size_t len;

	if (*url == '/')
		return true;
	if (!host)
		return false;
	len = (size_t)(host - url) + 3;
	len += strcspn(url + len, "/?#");
	return !memchr(url, '{', len);
}

int
check_url(const struct backend_conf *c, const char *key, const char *url,
    const struct template_var *vars, size_t n_vars, struct tb_error *err)
{
	struct strbuf full _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (*url == '/' && !c->base_url)
		return tb_error_set(err, TB_E_CONFIG,
		    "%s is a path, so base_url is wanted", key);
	if (!check_host_is_fixed(url))
		return tb_error_set(err, TB_E_CONFIG,
		    "%s must be a path or a URL without a placeholder in its "
		    "host", key);
	if (template_check(url, vars, n_vars, err) < 0)
		return tb_error_wrap(err, "%s", key);
	if (*url == '/')
		strbuf_adds(&full, c->base_url);
	template_url(&full, url, vars, n_vars);
	if (http_url_check(strbuf_str(&full), c->allow_insecure_loopback,
		err) < 0) {
		err->code = TB_E_CONFIG;
		return tb_error_wrap(err, "%s", key);
	}
	return 0;
}

int
check_pointer(const char *key, const char *pointer, struct tb_error *err)
{
	if (!pointer || !*pointer)
		return 0;
	if (*pointer != '/')
		return tb_error_set(err, TB_E_CONFIG,
		    "%s must be a JSON pointer, such as /data/token", key);
	for (const char *p = strchr(pointer, '~'); p; p = strchr(p + 1, '~')) {
		if (p[1] != '0' && p[1] != '1')
			return tb_error_set(err, TB_E_CONFIG,
			    "%s: after '~' a JSON pointer has 0 or 1", key);
	}
	return 0;
}
