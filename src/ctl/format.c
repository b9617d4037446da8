/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format - see the header. The two JSON forms are those of
 *
 *	credential_process   AWS SDKs: Version, AccessKeyId, SecretAccessKey,
 *	                     Expiration. Those who sign with a key pair get the
 *	                     token as its secret half.
 *	exec-credential      client.authentication.k8s.io: kubectl wants the
 *	                     version back that it says in KUBERNETES_EXEC_INFO.
 */
#include "ctl/format.h"

#include <ctype.h>

#include "base/secret.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/jval.h"
#include "ctl/quote.h"

#define K8S "client.authentication.k8s.io/"

static const char *const words[] = {
	[FORMAT_RAW] = "raw",
	[FORMAT_JSON] = "json",
	[FORMAT_ENV] = "env",
	[FORMAT_HEADER] = "header",
	[FORMAT_CREDENTIAL_PROCESS] = "credential_process",
	[FORMAT_EXEC_CREDENTIAL] = "exec-credential",
};

int
format_find(const char *word, enum format *out, struct tb_error *err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (streq(words[i], word)) {
			*out = (enum format)i;
			return 0;
		}
	}
	return tb_error_set(err, TB_E_BADREQ, "--format: '%.40s' is none of "
	    "raw, json, env, header, credential_process, exec-credential",
	    word);
}

bool
format_is_bare(enum format f)
{
	return f == FORMAT_RAW || f == FORMAT_ENV || f == FORMAT_HEADER;
}

/* "telegraf-write" becomes TELEGRAF_WRITE. */
static char *
variable_name(const struct format_ask *a)
{
	char *name = xasprintf("%s%s", isdigit((unsigned char)a->token[0]) ?
	    "_" : "", a->token), *p;

	if (a->name) {
		str_set(&name, a->name);
		return name;
	}
	for (p = name; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper(
		    (unsigned char)*p) : '_';
	return name;
}

static bool
is_variable(const char *s)
{
	if (isdigit((unsigned char)*s) || !*s)
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

static bool
is_http_word(const char *s)
{
	if (!*s)
		return false;
	while (isalnum((unsigned char)*s) || (*s && strchr("-_.!#$%&'*+^`|~",
	    *s)))
		s++;
	return !*s;
}

/* The version that kubectl wants, "v1" when nobody says. */
static int
k8s_version(const char *info, const char **version, struct tb_error *err)
{
	struct json_t *o _cleanup_jval_ = info && *info ?
	    jval_parse_text(info, strlen(info), err) : NULL;
	const char *asked = jval_str(o, "apiVersion");

	*version = "v1";
	if (err->code)
		return tb_error_wrap(err, "KUBERNETES_EXEC_INFO");
	if (!asked || streq(asked, K8S "v1"))
		return 0;
	*version = "v1beta1";
	if (streq(asked, K8S "v1beta1"))
		return 0;
	return tb_error_set(err, TB_E_BADREQ, "KUBERNETES_EXEC_INFO asks for "
	    "'%.80s'; there are " K8S "v1 and v1beta1", asked);
}

int
format_check(const struct format_ask *a, struct tb_error *err)
{
	const char *version;

	if (a->scheme && a->format != FORMAT_HEADER)
		return tb_error_set(err, TB_E_BADREQ, "--scheme is for "
		    "--format header");
	if (a->name && (a->format == FORMAT_RAW || a->format == FORMAT_JSON ||
	    a->format == FORMAT_EXEC_CREDENTIAL))
		return tb_error_set(err, TB_E_BADREQ, "--name is for --format "
		    "env, header and credential_process");
	if (a->format == FORMAT_ENV && a->name && !is_variable(a->name))
		return tb_error_set(err, TB_E_BADREQ, "--name: '%.60s' is no "
		    "name of a variable", a->name);
	if (a->format == FORMAT_HEADER && ((a->name && !is_http_word(
	    a->name)) || (a->scheme && *a->scheme && !is_http_word(
	    a->scheme))))
		return tb_error_set(err, TB_E_BADREQ, "--name and --scheme "
		    "are one word each");
	if (a->format == FORMAT_EXEC_CREDENTIAL)
		return k8s_version(a->exec_info, &version, err);
	return 0;
}

static int
add_env(const struct format_ask *a, const struct secret *value,
    struct secret *out, struct tb_error *err)
{
	_cleanup_free_ char *name = variable_name(a);

	secret_append_str(out, name);
	secret_append_str(out, "=");
	return quote_add(QUOTE_ENV, value, out, err);
}

static int
add_header(const struct format_ask *a, const struct secret *value,
    struct secret *out, struct tb_error *err)
{
	const char *scheme = a->scheme ? a->scheme : a->name ? "" : "Bearer";

	secret_append_str(out, a->name ? a->name : "Authorization");
	secret_append_str(out, ": ");
	secret_append_str(out, scheme);
	secret_append_str(out, *scheme ? " " : "");
	return quote_add(QUOTE_HEADER, value, out, err);
}

static void
add_time(const char *member, int64_t expires_at, struct secret *out)
{
	char when[TIMEFMT_SIZE];

	if (!expires_at)
		return;
	secret_append_str(out, member);
	secret_append_str(out, timefmt_rfc3339(expires_at, when,
	    sizeof(when)));
	secret_append_str(out, "\"");
}

static int
add_credential_process(const struct format_ask *a, const struct secret *value,
    int64_t expires_at, struct secret *out, struct tb_error *err)
{
	struct strbuf id _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_add_json(&id, a->name ? a->name : a->token);
	secret_append_str(out, "{\"Version\":1,\"AccessKeyId\":");
	secret_append_str(out, strbuf_str(&id));
	secret_append_str(out, ",\"SecretAccessKey\":");
	if (quote_add(QUOTE_JSON, value, out, err) < 0)
		return -1;
	add_time(",\"Expiration\":\"", expires_at, out);
	secret_append_str(out, "}");
	return 0;
}

static int
add_exec_credential(const struct format_ask *a, const struct secret *value,
    int64_t expires_at, struct secret *out, struct tb_error *err)
{
	const char *version;

	if (k8s_version(a->exec_info, &version, err) < 0)
		return -1;
	secret_append_str(out, "{\"apiVersion\":\"" K8S);
	secret_append_str(out, version);
	secret_append_str(out, "\",\"kind\":\"ExecCredential\","
	    "\"status\":{\"token\":");
	if (quote_add(QUOTE_JSON, value, out, err) < 0)
		return -1;
	add_time(",\"expirationTimestamp\":\"", expires_at, out);
	secret_append_str(out, "}}");
	return 0;
}

int
format_value(const struct format_ask *a, const struct secret *value,
    int64_t expires_at, struct secret *out, struct tb_error *err)
{
	secret_clear(out);
	switch (a->format) {
	case FORMAT_ENV:
		return add_env(a, value, out, err);
	case FORMAT_HEADER:
		return add_header(a, value, out, err);
	case FORMAT_CREDENTIAL_PROCESS:
		return add_credential_process(a, value, expires_at, out, err);
	case FORMAT_EXEC_CREDENTIAL:
		return add_exec_credential(a, value, expires_at, out, err);
	case FORMAT_RAW:
	case FORMAT_JSON:
		break;
	}
	secret_dup(out, value);
	return 0;
}
