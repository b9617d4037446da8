/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template and a value, cut apart at the first NUL. Whatever the template: a
 * rendering holds the value as its filter writes it, or there is an error; a
 * quoted value does not end before its last quote.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "ctl/quote.h"
#include "ctl/tmpl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every quote and backslash inside is behind a backslash, and no line ends. */
static void
holds_together(const char *s, size_t n)
{
	size_t i;

	assert(n >= 2 && s[0] == '"' && s[n - 1] == '"');
	for (i = 1; i < n - 1; i++) {
		assert((unsigned char)s[i] >= 0x20 && s[i] != '"');
		if (s[i] == '\\')
			i++;
	}
	assert(i == n - 1);
}

static void
try_quotes(const struct secret *value)
{
	static const enum quote all[] = { QUOTE_JSON, QUOTE_TOML, QUOTE_YAML,
		QUOTE_GRAFANA, QUOTE_CURL };
	struct secret out = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		secret_clear(&out);
		if (quote_add(all[i], value, &out, &err) == 0)
			holds_together(secret_reveal(&out), out.len);
	}
	secret_clear(&out);
	if (quote_add(QUOTE_HEADER, value, &out, &err) == 0)
		assert(!strpbrk(secret_reveal(&out), "\r\n"));
	secret_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const vars[] = { "a=x", "b=y z" };
	size_t n = strnlen((const char *)data, size);
	struct secret value = SECRET_INIT, out = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	char *text = strndup((const char *)data, n);
	struct tmpl_value v = { "t", &value, 1700000000, 1 };
	const struct tmpl_source source = { "t", &v, 1, vars, 2 };
	struct tmpl *t;

	if (n < size)
		secret_set(&value, data + n + 1, size - n - 1);
	try_quotes(&value);
	t = tmpl_parse("f", text, &err);
	if (!t)
		assert(strncmp(err.msg, "f:", 2) == 0);
	else if (tmpl_render(t, &source, &out, &err) == 0 &&
	    !strstr(text, "{{"))
		assert(strcmp(secret_reveal(&out), text) == 0);
	tmpl_free(t);
	secret_clear(&out);
	secret_clear(&value);
	free(text);
	return 0;
}
