/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quote, tmpl, words: values in the words of other formats, templates, and
 * command lines without a shell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "ctl/quote.h"
#include "ctl/tmpl.h"
#include "ctl/words.h"

#define EVIL "a\"b'c\\d$e`f"

static const struct {
	const char *filter; /* NULL: none */
	const char *value, *written; /* NULL: refused */
} quotes[] = {
	{ NULL, "abc-._~+/=9", "abc-._~+/=9" },
	{ NULL, "a b", NULL }, { NULL, "a\"b", NULL }, { NULL, "a$b", NULL },
	{ NULL, "a\nb", NULL }, { NULL, "a;b", NULL }, { NULL, "a#b", NULL },
	{ "raw", EVIL, EVIL }, { "raw", "a\nb", NULL }, { "raw", "\x7f", NULL },
	{ "raw", "\xc3\xa4", "\xc3\xa4" }, { "raw", "\xc3", NULL },
	{ "raw", "\xc0\xaf", NULL }, { "raw", "\xed\xa0\x80", NULL },
	{ "json", EVIL, "\"a\\\"b'c\\\\d$e`f\"" },
	{ "json", "a\nb\x7f", "\"a\\u000ab\\u007f\"" },
	{ "json", "\xc2\x85\xe2\x80\xa8", "\"\\u0085\\u2028\"" },
	{ "json", "\xf4\x90\x80\x80", NULL },
	{ "toml", EVIL, "\"a\\\"b'c\\\\d$e`f\"" },
	{ "toml", "a\r", "\"a\\u000d\"" },
	{ "yaml", "a: b #\"", "\"a: b #\\\"\"" },
	{ "yaml", "", "\"\"" },
	{ "grafana", "${HOME}$$", "\"$${HOME}$$$$\"" },
	{ "sh", EVIL, "'a\"b'\\''c\\d$e`f'" },
	{ "sh", "''", "''\\'''\\'''" }, { "sh", "a\nb", "'a\nb'" },
	{ "env", EVIL, "\"a\\\"b'c\\\\d\\$e\\`f\"" },
	{ "env", "apiv1_x==", "apiv1_x==" }, { "env", "~x", "\"~x\"" },
	{ "env", "", "\"\"" }, { "env", "a\nb", NULL },
	{ "url", "a/b ?&=%\xc3", "a%2Fb%20%3F%26%3D%25%C3" },
	{ "ini", "ab==", "ab==" }, { "ini", "a;b", NULL }, { "ini", "a#b", NULL },
	{ "ini", " a", NULL }, { "ini", "a%b", NULL }, { "ini", "[a", NULL },
	{ "header", "a b\"", "a b\"" }, { "header", "a\r\nX: y", NULL },
	{ "header", " a", NULL }, { "header", "\xc3\xa4", NULL },
	{ "curl", EVIL, "\"a\\\"b'c\\\\d$e`f\"" }, { "curl", "a\nb", NULL },
	{ "netrc", "ab==$", "ab==$" }, { "netrc", "a b", NULL },
	{ "netrc", "#a", NULL }, { "netrc", "", NULL },
	{ "base64", "a\nb", "YQpi" },
};

static void
values_cannot_break_out(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(quotes); i++) {
		struct secret v _cleanup_(secret_clear) = SECRET_INIT;
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		struct tb_error err = TB_ERROR_INIT;
		enum quote q = QUOTE_PLAIN;
		int r;

		if (quotes[i].filter)
			assert_true(quote_find(quotes[i].filter, &q));
		secret_set_str(&v, quotes[i].value);
		secret_set_str(&out, "=");
		r = quote_add(q, &v, &out, &err);
		if (!quotes[i].written) {
			assert_int_equal(r, -1);
			assert_string_equal(secret_reveal(&out), "=");
			continue;
		}
		if (r < 0)
			fail_msg("%zu: %s", i, err.msg);
		assert_string_equal(secret_reveal(&out) + 1,
		    quotes[i].written);
	}
}

static void
nul_is_refused_everywhere(void **state)
{
	char names[128], *name, *rest = names;

	snprintf(names, sizeof(names), "%s", quote_names());
	while ((name = strtok_r(rest, ", ", &rest))) {
		struct secret v _cleanup_(secret_clear) = SECRET_INIT;
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		struct tb_error err = TB_ERROR_INIT;
		enum quote q;

		assert_true(quote_find(name, &q));
		secret_set(&v, "a\0b", 3);
		assert_int_equal(quote_add(q, &v, &out, &err), -1);
		assert_true(secret_is_empty(&out));
	}
}

/* ---------------------------------------------------------------- templates */

static const char *const vars[] = { "host=h.example", "odd=a b" };

static int
render(const char *text, struct secret *out, struct tb_error *err)
{
	struct secret one _cleanup_(secret_clear) = SECRET_INIT;
	struct secret two _cleanup_(secret_clear) = SECRET_INIT;
	struct tmpl_value values[2] = { { "one", &one, 1700000000, 3 },
		{ "two", &two, 1800000000, 12 } };
	const struct tmpl_source source = { "one", values, 2, vars, 2 };
	struct tmpl *t _cleanup_(tmpl_freep) = NULL;

	secret_set_str(&one, "apiv1_one");
	secret_set_str(&two, "t\"w\"o");
	*err = (struct tb_error)TB_ERROR_INIT;
	t = tmpl_parse("f", text, err);
	return t ? tmpl_render(t, &source, out, err) : -1;
}

static const struct {
	const char *text, *out;
} good[] = {
	{ "", "" }, { "a}}b{c", "a}}b{c" }, { "{{token}}", "apiv1_one" },
	{ "x={{ token }}\n", "x=apiv1_one\n" },
	{ "{{token one}}|{{token two|json}}", "apiv1_one|\"t\\\"w\\\"o\"" },
	{ "{{\ttoken  two |  sh }}", "'t\"w\"o'" },
	{ "{{expires_at}}", "2023-11-14T22:13:20Z" },
	{ "{{expires_at two | unix}}", "1800000000" },
	{ "{{expires_at | json}}", "\"2023-11-14T22:13:20Z\"" },
	{ "{{generation}},{{generation two}}", "3,12" },
	{ "{{name}} {{name two | json}}", "one \"two\"" },
	{ "{{var host}}{{var odd | url}}", "h.examplea%20b" },
	{ "{{open}}token}}", "{{token}}" },
	{ "{{# a comment | with }\n", NULL },
	{ "{{# alone }}\nb\n{{#c}}\n", "b\n" },
	{ "a {{# not alone }}\nb", "a \nb" },
};

static const struct {
	const char *text, *words;
} wrong[] = {
	{ "a\n{{token", "f:2: '{{' without '}}'" },
	{ "{{token\n}}", "f:1: '{{' without '}}'" },
	{ "{{token }x}}", "f:1: '{{' without '}}'" },
	{ "{{}}", "f:1: {{}} is not known" },
	{ "\n\n{{tokn}}", "f:3: {{tokn}} is not known" },
	{ "{{exec rm}}", "f:1: {{exec}} is not known" },
	{ "{{token a b}}", "f:1: {{token ...}} takes one name" },
	{ "{{token a$b}}", "'a$b' is no name" },
	{ "{{token $(id)}}", "is no name" },
	{ "{{var}}", "is no name" },
	{ "{{token | shell}}", "f:1: 'shell' is no way to write a value" },
	{ "{{token |}}", "'' is no way" },
	{ "{{token | json sh}}", "one way to write" },
	{ "{{token | json | sh}}", "one way to write" },
	{ "{{token | unix}}", "'unix' is no way" },
	{ "{{open x}}", "{{open}} stands alone" },
	{ "{{# x }}\n{{var nothing}}", "f:2: it needs --set nothing=VALUE" },
	{ "\n{{token two}}", "f:2: the token cannot be written here: it has "
	    "characters" },
	{ "{{token two | ini}}", "f:1: the token cannot be written here" },
	{ "{{var odd}}", "f:1: the odd cannot be written here" },
	{ "{{token three}}", "f:1: no value of token 'three'" },
};

static void
templates_are_rendered(void **state)
{
	struct tb_error err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		int r = render(good[i].text, &out, &err);

		if (!good[i].out) {
			assert_int_equal(r, -1);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", good[i].text, err.msg);
		assert_string_equal(secret_reveal(&out), good[i].out);
	}
}

static void
errors_say_where(void **state)
{
	struct tb_error err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;

		assert_int_equal(render(wrong[i].text, &out, &err), -1);
		assert_true(secret_is_empty(&out));
		if (!strstr(err.msg, wrong[i].words))
			fail_msg("%s: %s", wrong[i].text, err.msg);
		assert_null(strstr(err.msg, "t\"w\"o"));
	}
}

static void
tokens_are_named_once(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct tmpl *t _cleanup_(tmpl_freep) = tmpl_parse("f",
	    "{{token b}}{{token}}{{expires_at b}}{{generation c}}{{var x}}",
	    &err);
	struct strbuf many _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;

	assert_int_equal(tmpl_n_tokens(t), 3);
	assert_string_equal(tmpl_token(t, 0), "b");
	assert_string_equal(tmpl_token(t, 1), "");
	assert_string_equal(tmpl_token(t, 2), "c");
	for (i = 0; i <= TMPL_TOKENS_MAX; i++)
		strbuf_addf(&many, "{{token t%zu}}\n", i);
	assert_null(tmpl_parse("f", strbuf_str(&many), &err));
	assert_string_equal(err.msg, "f:17: more than 16 tokens in one "
	    "template");
}

/* -------------------------------------------------------------------- words */

static const struct {
	const char *line;
	const char *words[5]; /* NULL: an error */
} lines[] = {
	{ "a b", { "a", "b" } }, { "  a\t b  ", { "a", "b" } },
	{ "'a b' \"c d\"", { "a b", "c d" } }, { "a'b'\"c\"", { "abc" } },
	{ "a\\ b \\$c", { "a b", "$c" } }, { "'\\' \"\\\"\"", { "\\", "\"" } },
	{ "'' x", { "", "x" } }, { "$HOME `id` $(id) ; & > *",
	    { "$HOME", "`id`", "$(id)", ";", "&" } },
	{ "'a", { NULL } }, { "\"a", { NULL } }, { "", { NULL } },
	{ "  ", { NULL } },
};

static void
commands_are_split_without_a_shell(void **state)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		struct words w _cleanup_(words_clear) = WORDS_INIT;
		struct tb_error err = TB_ERROR_INIT;

		if (!lines[i].words[0]) {
			assert_int_equal(words_split(lines[i].line, &w, &err),
			    -1);
			continue;
		}
		assert_int_equal(words_split(lines[i].line, &w, &err), 0);
		for (j = 0; j < 5 && lines[i].words[j]; j++)
			assert_string_equal(w.v[j], lines[i].words[j]);
		assert_true(j == 5 || j == w.n);
	}
}

static void
options_are_read_from_a_file(void **state)
{
	struct words w _cleanup_(words_clear) = WORDS_INIT;
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(words_from_options("f", "# c\n\n; d\n write = /a b \r\n"
	    "once=yes\nremove-on-exit = no\nexec = x --y=z", &w, &err), 0);
	assert_int_equal(w.n, 3);
	assert_string_equal(w.v[0], "--write=/a b");
	assert_string_equal(w.v[1], "--once");
	assert_string_equal(w.v[2], "--exec=x --y=z");
	assert_int_equal(words_from_options("f", "a = b\nonce\n", &w, &err),
	    -1);
	assert_non_null(strstr(err.msg, "f:2: expected 'option = value'"));
	assert_int_equal(words_from_options("f", "--a = b", &w, &err), -1);
	assert_int_equal(words_from_options("f", "a =", &w, &err), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_cannot_break_out),
		cmocka_unit_test(nul_is_refused_everywhere),
		cmocka_unit_test(templates_are_rendered),
		cmocka_unit_test(errors_say_where),
		cmocka_unit_test(tokens_are_named_once),
		cmocka_unit_test(commands_are_split_without_a_shell),
		cmocka_unit_test(options_are_read_from_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
