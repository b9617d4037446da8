/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quote - see the header. JSON, TOML and YAML share one form of string: with
 * control characters, DEL, and what YAML takes for line ends (U+0085, U+2028,
 * U+2029) as \uXXXX, a JSON string is a TOML basic string and a YAML
 * double-quoted scalar.
 */
#include "ctl/quote.h"

#include <ctype.h>

#include "base/b64.h"
#include "base/secret.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

static const struct {
	const char *name;
	enum quote quote;
} names[] = {
	{ "base64", QUOTE_BASE64 }, { "curl", QUOTE_CURL },
	{ "env", QUOTE_ENV }, { "grafana", QUOTE_GRAFANA },
	{ "header", QUOTE_HEADER }, { "ini", QUOTE_INI },
	{ "json", QUOTE_JSON }, { "netrc", QUOTE_NETRC },
	{ "raw", QUOTE_RAW }, { "sh", QUOTE_SH }, { "toml", QUOTE_TOML },
	{ "url", QUOTE_URL }, { "yaml", QUOTE_YAML },
};

bool
quote_find(const char *name, enum quote *out)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (streq(names[i].name, name)) {
			*out = names[i].quote;
			return true;
		}
	}
	return false;
}

const char *
quote_names(void)
{
	return "base64, curl, env, grafana, header, ini, json, netrc, raw, "
	    "sh, toml, url, yaml";
}

/* The length of the UTF-8 sequence at s, 0 when it is none (too long forms and
 * surrogates included). s ends with a NUL, which no sequence goes beyond. */
static size_t
utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
	    (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	size_t i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* Why bytes cannot be written that way, or NULL. */
static const char *
why_not(enum quote q, const char *s)
{
	size_t n = strlen(s);

	switch (q) {
	case QUOTE_PLAIN:
		if (s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
		    "uvwxyz0123456789-._~+/=")])
			return "it has characters that may mean something "
			    "there, so say how to write it, as in "
			    "{{token | json}}";
		return NULL;
	case QUOTE_INI:
		if (strpbrk(s, ";#\"'\\%$`") || *s == ' ' || *s == '[' ||
		    (n && s[n - 1] == ' '))
			return "it has characters that not every reader of "
			    "INI files takes as they are";
		return NULL;
	case QUOTE_NETRC:
		if (strpbrk(s, " \"\\") || *s == '#' || !*s)
			return "it is not one word of a netrc file";
		return NULL;
	case QUOTE_HEADER:
		if (*s == ' ' || (n && s[n - 1] == ' '))
			return "a header's value has no space at its ends";
		return NULL;
	case QUOTE_RAW:
	case QUOTE_BASE64:
	case QUOTE_CURL:
	case QUOTE_ENV:
	case QUOTE_GRAFANA:
	case QUOTE_JSON:
	case QUOTE_SH:
	case QUOTE_TOML:
	case QUOTE_URL:
	case QUOTE_YAML:
		break;
	}
	return NULL;
}

static int
check(enum quote q, const struct secret *value, struct tb_error *err)
{
	const char *text = secret_reveal(value), *why = why_not(q, text);
	bool any_byte = q == QUOTE_BASE64 || q == QUOTE_URL;
	bool has_escapes = q == QUOTE_JSON || q == QUOTE_TOML ||
	    q == QUOTE_YAML || q == QUOTE_GRAFANA;
	const unsigned char *s = (const unsigned char *)text;
	size_t n = 1;

	if (strlen(text) != value->len)
		return tb_error_set(err, TB_E_BADREQ, "it has a NUL byte");
	for (; !why && *s && !any_byte; s += n) {
		n = utf8_length(s);
		if (n == 0)
			why = "it is not UTF-8";
		else if (is_control(*s) && !has_escapes && q != QUOTE_SH)
			why = "it has a control character";
		else if (n > 1 && q == QUOTE_HEADER)
			why = "a header's value is ASCII";
		if (n == 0)
			break;
	}
	return why ? tb_error_set(err, TB_E_BADREQ, "%s", why) : 0;
}

/* A JSON string that TOML and YAML read alike. */
static void
add_string(const char *text, bool doubled_dollar, struct secret *out)
{
	const unsigned char *s = (const unsigned char *)text;
	char u[8];
	size_t n;

	secret_append_str(out, "\"");
	for (; *s; s += n) {
		n = utf8_length(s);
		if (is_control(*s)) {
			snprintf(u, sizeof(u), "\\u%04x", *s);
			secret_append_str(out, u);
		} else if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0) {
			snprintf(u, sizeof(u), "\\u%04x", s[1]);
			secret_append_str(out, u);
		} else if (n == 3 && s[0] == 0xe2 && s[1] == 0x80 &&
		    (s[2] == 0xa8 || s[2] == 0xa9)) {
			secret_append_str(out, s[2] == 0xa8 ? "\\u2028" :
			    "\\u2029");
		} else {
			if (*s == '"' || *s == '\\')
				secret_append_str(out, "\\");
			if (*s == '$' && doubled_dollar)
				secret_append_str(out, "$");
			secret_append(out, s, n);
		}
	}
	secret_append_str(out, "\"");
}

/* "...", with a backslash in front of those of `special`. */
static void
add_backslashed(const char *s, const char *special, struct secret *out)
{
	size_t n;

	secret_append_str(out, "\"");
	for (; *s; s += n) {
		n = strcspn(s, special);
		if (n == 0) {
			secret_append_str(out, "\\");
			n = 1;
		}
		secret_append(out, s, n);
	}
	secret_append_str(out, "\"");
}

/* Bare where that is safe: not everything that reads such files knows quotes
 * (docker --env-file does not). */
static void
add_env(const char *s, struct secret *out)
{
	if (*s && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
	    "uvwxyz0123456789-._+/=")])
		secret_append_str(out, s);
	else
		add_backslashed(s, "\"\\$`", out);
}

static void
add_sh(const char *s, struct secret *out)
{
	size_t n;

	secret_append_str(out, "'");
	for (;; s += n + 1) {
		n = strcspn(s, "'");
		secret_append(out, s, n);
		if (!s[n])
			break;
		secret_append_str(out, "'\\''");
	}
	secret_append_str(out, "'");
}

static void
add_percent(const char *s, struct secret *out)
{
	char hex[4];

	for (; *s; s++) {
		snprintf(hex, sizeof(hex), "%%%02X", (unsigned char)*s);
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			secret_append(out, s, 1);
		else
			secret_append_str(out, hex);
	}
}

static void
add_base64(const struct secret *value, struct secret *out)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;

	b64_encode_secret(value, &text);
	secret_append(out, secret_reveal(&text), text.len);
}

int
quote_add(enum quote q, const struct secret *value, struct secret *out,
    struct tb_error *err)
{
	const char *s = secret_reveal(value);

	if (check(q, value, err) < 0)
		return -1;
	switch (q) {
	case QUOTE_PLAIN:
	case QUOTE_RAW:
	case QUOTE_HEADER:
	case QUOTE_INI:
	case QUOTE_NETRC:
		secret_append(out, s, value->len);
		break;
	case QUOTE_BASE64:
		add_base64(value, out);
		break;
	case QUOTE_CURL:
		add_backslashed(s, "\"\\", out);
		break;
	case QUOTE_ENV:
		add_env(s, out);
		break;
	case QUOTE_GRAFANA:
	case QUOTE_JSON:
	case QUOTE_TOML:
	case QUOTE_YAML:
		add_string(s, q == QUOTE_GRAFANA, out);
		break;
	case QUOTE_SH:
		add_sh(s, out);
		break;
	case QUOTE_URL:
		add_percent(s, out);
		break;
	}
	return 0;
}
