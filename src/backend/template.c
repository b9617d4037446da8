/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template - one pass over the text: literal bytes are copied, placeholders
 * replaced. The output is never scanned again, so a value that looks like a
 * placeholder stays what it is.
 */
#include "backend/template.h"

#include <string.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"

/* in_string: what the text before it says, if it is JSON. */
typedef void template_encode_fn(struct strbuf *out, const char *value,
    bool in_string);

/* The length of the word when a placeholder begins at s, else 0. */
static size_t
template_word_at(const char *s)
{
	size_t n;

	if (*s != '{')
		return 0;
	n = strspn(s + 1, "abcdefghijklmnopqrstuvwxyz_"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	return s[1 + n] == '}' ? n : 0;
}

static const struct template_var *
template_find(const struct template_var *vars, size_t n_vars,
    const char *word, size_t len)
{
	for (size_t i = 0; i < n_vars; i++) {
		if (strlen(vars[i].word) == len &&
		    memcmp(vars[i].word, word, len) == 0)
			return &vars[i];
	}
	return NULL;
}

int
template_check(const char *text, const struct template_var *vars,
    size_t n_vars, struct tb_error *err)
{
	for (const char *s = strchr(text, '{'); s; s = strchr(s + 1, '{')) {
		size_t n = template_word_at(s);
		const struct template_var *v;

		if (!n)
			continue;
		v = template_find(vars, n_vars, s + 1, n);
		if (!v)
			return tb_error_set(err, TB_E_CONFIG,
			    "unknown placeholder {%.*s}",
			    (int)MIN2(n, 64), s + 1);
		if (!v->value)
			return tb_error_set(err, TB_E_CONFIG,
			    "placeholder {%s} has no value here", v->word);
	}
	return 0;
}

bool
template_uses(const char *text, const char *word)
{
	struct template_var var = { word, NULL };

	for (const char *s = text; s && (s = strchr(s, '{')); s++) {
		size_t n = template_word_at(s);

		if (n && template_find(&var, 1, s + 1, n))
			return true;
	}
	return false;
}

/* The next byte of JSON: is what follows it in a string? */
static bool
template_follow(const char *text, const char *s, bool in_string)
{
	size_t escapes = 0;

	if (*s != '"')
		return in_string;
	while (in_string && s > text && *--s == '\\')
		escapes++;
	return escapes % 2 ? in_string : !in_string;
}

static void
template_render(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars,
    template_encode_fn *encode)
{
	const char *begin = text;
	bool in_string = false;

	while (*text) {
		size_t n = template_word_at(text);
		const struct template_var *v = n ?
		    template_find(vars, n_vars, text + 1, n) :
		    NULL;

		if (v && v->value) {
			encode(out, v->value, in_string);
			text += n + 2;
		} else {
			in_string = template_follow(begin, text, in_string);
			strbuf_addc(out, *text++);
		}
	}
}

/* JSON has no leading zeros, and its readers no more than so many digits. */
static bool
template_is_number(const char *value)
{
	size_t n;

	value += *value == '-';
	n = strspn(value, "0123456789");
	return n >= 1 && n <= 15 && !value[n] && (n == 1 || *value != '0');
}

static void
template_encode_json(struct strbuf *out, const char *value, bool in_string)
{
	struct strbuf quoted _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (!in_string && template_is_number(value)) {
		strbuf_adds(out, value);
		return;
	}
	strbuf_add_json(&quoted, value);
	if (in_string)
		strbuf_add(out, strbuf_str(&quoted) + 1, quoted.len - 2);
	else
		strbuf_adds(out, strbuf_str(&quoted));
}

static void
template_encode_url(struct strbuf *out, const char *value, bool in_string)
{
	strbuf_add_percent(out, value);
}

void
template_url(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars)
{
	template_render(out, text, vars, n_vars, template_encode_url);
}

void
template_json(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars)
{
	template_render(out, text, vars, n_vars, template_encode_json);
}

static void
template_encode_text(struct strbuf *out, const char *value, bool in_string)
{
	strbuf_adds(out, value);
}

void
template_text(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars)
{
	template_render(out, text, vars, n_vars, template_encode_text);
}
