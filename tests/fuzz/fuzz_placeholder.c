/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_placeholder - templates of requests (backend/template.h) and the values
 * that go into them, from whoever. The input is a template, a NUL, a value.
 * A template that is JSON with a harmless value in it is JSON of the same
 * shape with any value; in a URL a value adds nothing that means something.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/template.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "lib/jsonx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_placeholder: %s\n", what);
	abort();
}

/* Duplicate members are not judged here, so jansson as it comes. */
static json_t *
render(const char *text, const char *value)
{
	const struct template_var var = { "id", value };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;

	template_json(&out, text, &var, 1);
	return json_loadb(strbuf_str(&out), out.len, 0, NULL);
}

/* Is there a placeholder in a member's name? Two may become one by it. */
static bool
has_named(const json_t *j)
{
	const char *key;
	json_t *member;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)j, key, member) {
		if (strstr(key, "sample") || has_named(member))
			return true;
	}
	json_array_foreach(j, i, member) {
		if (has_named(member))
			return true;
	}
	return false;
}

static bool
same_shape(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(a) != json_is_object(b) ||
	    json_is_array(a) != json_is_array(b) ||
	    json_object_size(a) != json_object_size(b) ||
	    json_array_size(a) != json_array_size(b))
		return false;
	json_object_foreach((json_t *)(uintptr_t)a, key, member) {
		if (!same_shape(member, json_object_get(b, key)))
			return false;
	}
	json_array_foreach(a, i, member) {
		if (!same_shape(member, json_array_get(b, i)))
			return false;
	}
	return true;
}

static void
check_json(const char *text, const char *value)
{
	json_t *harmless _cleanup_json_ = render(text, "sample");
	json_t *any _cleanup_json_ = NULL;

	/* \\u takes four bytes of what follows; a number beside digits of the
	 * template's is another number */
	if (!harmless || strstr(text, "\\u") ||
	    !value[strspn(value, "-0123456789")])
		return;
	any = render(text, value);
	must(any, "no JSON any more");
	must(has_named(harmless) || same_shape(harmless, any),
	    "another shape");
}

static void
check_url(const char *text, const char *value)
{
	const struct template_var var = { "id", value };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf alone _cleanup_(strbuf_clear) = STRBUF_INIT;

	template_url(&alone, "{id}", &var, 1);
	must(!strpbrk(strbuf_str(&alone), "/?#&=+:@;,\"'<>\\{} \t\r\n"),
	    "a byte with a meaning");
	for (const char *p = strbuf_str(&alone); *p; p++)
		must(*p > ' ' && *p <= '~', "a byte that no URL has");
	template_url(&out, text, &var, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text _cleanup_free_ = xstrndup((const char *)data, size);
	size_t n = strlen(text);
	char *value _cleanup_free_ = n + 1 < size ?
	    xstrndup((const char *)data + n + 1, size - n - 1) : xstrdup("");
	static bool ready;

	if (!ready)
		jsonx_init();
	ready = true;
	check_json(text, value);
	check_url(text, value);
	return 0;
}
