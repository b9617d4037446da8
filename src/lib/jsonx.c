/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonx - see the header. Error texts name members and places, never content:
 * jansson's own texts quote what stands near the mistake.
 */
#include "lib/jsonx.h"

#include <math.h>

#include "base/tb_error.h"

#define DEPTH_MAX 32

void
jsonx_init(void)
{
	json_set_alloc_funcs(secret_lib_malloc, secret_lib_free);
}

/* Nesting, before jansson recurses: its own limit is 2,048. Where the text is
 * no JSON the count may be off; then parsing fails anyway. */
static bool
is_too_deep(const char *text, size_t len)
{
	bool in_string = false;
	int depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (in_string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				in_string = false;
			continue;
		}
		if (text[i] == '"')
			in_string = true;
		else if (text[i] == '[' || text[i] == '{')
			depth++;
		else if (text[i] == ']' || text[i] == '}')
			depth--;
		if (depth > DEPTH_MAX)
			return true;
	}
	return false;
}

json_t *
jsonx_parse(const char *text, size_t len, struct tb_error *err)
{
	json_error_t e;
	json_t *root;

	if (len == 0) {
		tb_error_set(err, TB_E_PROTO, "empty, where JSON is expected");
		return NULL;
	}
	if (is_too_deep(text, len)) {
		tb_error_set(err, TB_E_PROTO,
		    "JSON is nested deeper than %d levels", DEPTH_MAX);
		return NULL;
	}
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!root)
		tb_error_set(err, TB_E_PROTO, "%s at line %d column %d",
		    json_error_code(&e) == json_error_duplicate_key ?
		    "JSON with a duplicate member" : "not valid JSON",
		    e.line, e.column);
	return root;
}

json_t *
jsonx_parse_secret(const struct secret *text, struct tb_error *err)
{
	return jsonx_parse(secret_reveal(text), text->len, err);
}

json_t *
jsonx_parse_object(const struct secret *text, struct tb_error *err)
{
	json_t *root = jsonx_parse_secret(text, err);

	if (root && !json_is_object(root)) {
		json_decref(root);
		tb_error_set(err, TB_E_PROTO, "not a JSON object");
		return NULL;
	}
	return root;
}

/* The member, NULL when it is absent or null. */
static json_t *
member(const json_t *obj, const char *key)
{
	json_t *j = json_object_get(obj, key);

	return json_is_null(j) ? NULL : j;
}

static int
missing(const char *key, struct tb_error *err)
{
	return tb_error_set(err, TB_E_PROTO, "member '%s' is missing", key);
}

static int
wrong(const char *key, const char *what, struct tb_error *err)
{
	return tb_error_set(err, TB_E_PROTO, "member '%s' must be %s", key,
	    what);
}

int
jsonx_opt_str(const json_t *obj, const char *key, const char **out,
    struct tb_error *err)
{
	const json_t *j = member(obj, key);

	if (!j)
		return 0;
	if (!json_is_string(j))
		return wrong(key, "a string", err);
	if (strlen(json_string_value(j)) != json_string_length(j))
		return wrong(key, "a string without NUL", err);
	*out = json_string_value(j);
	return 0;
}

int
jsonx_str(const json_t *obj, const char *key, const char **out,
    struct tb_error *err)
{
	if (!member(obj, key))
		return missing(key, err);
	return jsonx_opt_str(obj, key, out, err);
}

int
jsonx_opt_secret(const json_t *obj, const char *key, struct secret *out,
    struct tb_error *err)
{
	const char *s = NULL;

	if (jsonx_opt_str(obj, key, &s, err) < 0)
		return -1;
	if (s)
		secret_set_str(out, s);
	return 0;
}

int
jsonx_secret(const json_t *obj, const char *key, struct secret *out,
    struct tb_error *err)
{
	if (!member(obj, key))
		return missing(key, err);
	return jsonx_opt_secret(obj, key, out, err);
}

static bool
whole_number(const char *s, int64_t *out)
{
	bool negative = *s == '-';
	int64_t v = 0;

	s += negative;
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s < '0' || *s > '9' ||
		    __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, *s - '0', &v))
			return false;
	/* Counted downwards, where there is room for the smallest one. */
	if (!negative && v == INT64_MIN)
		return false;
	*out = negative ? v : -v;
	return true;
}

/* A fraction is cut off: RFC 7519 allows one in times. Beyond 2^53 a double is
 * no whole number any more. */
static bool
number(const json_t *j, int64_t *out)
{
	double d;

	if (json_is_integer(j)) {
		*out = json_integer_value(j);
		return true;
	}
	if (json_is_string(j))
		return strlen(json_string_value(j)) == json_string_length(j) &&
		    whole_number(json_string_value(j), out);
	if (!json_is_real(j))
		return false;
	d = json_real_value(j);
	if (!isfinite(d) || fabs(d) > 9007199254740992.0)
		return false;
	*out = (int64_t)d;
	return true;
}

int
jsonx_opt_int(const json_t *obj, const char *key, int64_t *out,
    struct tb_error *err)
{
	const json_t *j = member(obj, key);

	if (j && !number(j, out))
		return wrong(key, "a number", err);
	return 0;
}

int
jsonx_int(const json_t *obj, const char *key, int64_t *out,
    struct tb_error *err)
{
	if (!member(obj, key))
		return missing(key, err);
	return jsonx_opt_int(obj, key, out, err);
}

int
jsonx_opt_bool(const json_t *obj, const char *key, bool *out,
    struct tb_error *err)
{
	const json_t *j = member(obj, key);

	if (!j)
		return 0;
	if (!json_is_boolean(j))
		return wrong(key, "true or false", err);
	*out = json_is_true(j);
	return 0;
}

/* One step of a pointer, up to the next '/' or the end, with ~0 and ~1. */
static char *
pointer_step(const char *s, size_t len)
{
	char *step = xcalloc(len + 1, 1), *p = step;
	size_t i;

	for (i = 0; i < len; i++) {
		if (s[i] != '~') {
			*p++ = s[i];
		} else if (i + 1 < len && (s[i + 1] == '0' || s[i + 1] == '1')) {
			*p++ = s[++i] == '0' ? '~' : '/';
		} else {
			free(step);
			return NULL;
		}
	}
	return step;
}

static json_t *
pointer_child(json_t *j, const char *step)
{
	int64_t i;

	if (json_is_object(j))
		return json_object_get(j, step);
	if (!json_is_array(j) || !whole_number(step, &i) || i < 0 ||
	    step[0] == '-' || (step[0] == '0' && step[1]))
		return NULL;
	return json_array_get(j, (size_t)i);
}

int
jsonx_opt_copy(const json_t *obj, const char *key, char **out,
    struct tb_error *err)
{
	const char *s = NULL;

	if (jsonx_opt_str(obj, key, &s, err) < 0)
		return -1;
	str_set(out, s);
	return 0;
}

void
jsonx_put_str(json_t *obj, const char *key, const char *value)
{
	if (value)
		json_object_set_new(obj, key, json_string(value));
}

json_t *
jsonx_pointer(json_t *root, const char *pointer)
{
	json_t *j = root;
	size_t len;

	while (j && *pointer) {
		_cleanup_free_ char *step = NULL;

		if (*pointer++ != '/')
			return NULL;
		len = strcspn(pointer, "/");
		step = pointer_step(pointer, len);
		j = step ? pointer_child(j, step) : NULL;
		pointer += len;
	}
	return j;
}

void
jsonx_dump(const json_t *j, struct secret *out)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	size_t len = json_dumpb(j, NULL, 0, flags);

	json_dumpb(j, (char *)secret_alloc(out, len), len, flags);
}
