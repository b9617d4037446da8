/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jval - see the header. Of jansson's header, types and the macros that look
 * into a value are used as they are; what it has in the library is called
 * through a table that is filled on first use. Its inline functions that call
 * the library (json_decref) must not be used: they would link it.
 */
#include "ctl/jval.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <jansson.h>

#include "base/tb_error.h"
#include "base/timefmt.h"

#define LIBRARY "libjansson.so.4"

#define FUNCTIONS(X) \
	X(json_array_get) \
	X(json_array_size) \
	X(json_delete) \
	X(json_dumpf) \
	X(json_integer_value) \
	X(json_loadb) \
	X(json_object_get) \
	X(json_object_iter) \
	X(json_object_iter_key) \
	X(json_object_iter_next) \
	X(json_object_iter_value) \
	X(json_set_alloc_funcs) \
	X(json_string_value)

#define MEMBER(f) __typeof__(f) *f;
static struct {
	bool ready;
	FUNCTIONS(MEMBER)
} lib;

static bool
load_function(void *so, const char *name, void *slot)
{
	void *p = dlsym(so, name);

	memcpy(slot, &p, sizeof(p));
	return p != NULL;
}

#define LOAD(f) && load_function(so, #f, &lib.f)

/* Never unloaded: values live as long as they like. */
static bool
load_library(void)
{
	void *so;

	if (lib.ready)
		return true;
	so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		return false;
	lib.ready = true FUNCTIONS(LOAD);
	if (lib.ready)
		lib.json_set_alloc_funcs(secret_lib_malloc, secret_lib_free);
	return lib.ready;
}

struct json_t *
jval_parse_text(const char *text, size_t len, struct tb_error *err)
{
	json_error_t e;
	json_t *j;

	if (!load_library()) {
		tb_error_set(err, TB_E_IO, "cannot load " LIBRARY ", which "
		    "is needed to read the answer");
		return NULL;
	}
	j = lib.json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		tb_error_set(err, TB_E_PROTO, "the answer is no JSON (line "
		    "%d, column %d)", e.line, e.column);
	return j;
}

struct json_t *
jval_parse(const struct secret *text, struct tb_error *err)
{
	return jval_parse_text(secret_reveal(text), text->len, err);
}

/* Roots are ours alone: nothing here counts references up. */
void
jval_free(struct json_t *root)
{
	if (root)
		lib.json_delete(root);
}

const struct json_t *
jval_get(const struct json_t *o, const char *key)
{
	return json_is_object(o) ? lib.json_object_get(o, key) : NULL;
}

bool
jval_is_object(const struct json_t *v)
{
	return json_is_object(v);
}

const char *
jval_text(const struct json_t *v)
{
	return json_is_string(v) ? lib.json_string_value(v) : NULL;
}

const char *
jval_str(const struct json_t *o, const char *key)
{
	return jval_text(jval_get(o, key));
}

int64_t
jval_int(const struct json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = jval_get(o, key);

	return json_is_integer(v) ? (int64_t)lib.json_integer_value(v) :
	    otherwise;
}

bool
jval_is_true(const struct json_t *o, const char *key)
{
	const json_t *v = jval_get(o, key);

	return json_is_true(v);
}

bool
jval_is_false(const struct json_t *o, const char *key)
{
	const json_t *v = jval_get(o, key);

	return json_is_false(v);
}

int64_t
jval_time(const struct json_t *o, const char *key)
{
	const char *s = jval_str(o, key);
	int64_t t;

	if (s)
		return timefmt_parse_rfc3339(s, &t) ? t : 0;
	return jval_int(o, key, 0);
}

const struct json_t *
jval_list(const struct json_t *o, const char *key)
{
	const json_t *v = json_is_array(o) ? o : jval_get(o, key);

	return json_is_array(v) ? v : NULL;
}

size_t
jval_size(const struct json_t *list)
{
	return json_is_array(list) ? lib.json_array_size(list) : 0;
}

const struct json_t *
jval_at(const struct json_t *list, size_t i)
{
	return i < jval_size(list) ? lib.json_array_get(list, i) : NULL;
}

const char *
jval_name(const struct json_t *element)
{
	const char *s = jval_text(element);

	return s ? s : jval_str(element, "name");
}

void
jval_each(const struct json_t *o, jval_member_fn *fn, void *arg)
{
	json_t *all = (json_t *)(uintptr_t)o; /* read only: jansson's habit */
	const json_t *v;
	const char *key;
	char number[24];
	void *i;

	if (!json_is_object(o))
		return;
	for (i = lib.json_object_iter(all); i;
	    i = lib.json_object_iter_next(all, i)) {
		key = lib.json_object_iter_key(i);
		v = lib.json_object_iter_value(i);
		snprintf(number, sizeof(number), "%" PRId64,
		    jval_int(o, key, 0));
		if (json_is_string(v))
			fn(arg, key, jval_text(v));
		else if (json_is_integer(v))
			fn(arg, key, number);
		else if (json_is_boolean(v))
			fn(arg, key, json_is_true(v) ? "yes" : "no");
	}
}

void
jval_print(const struct json_t *v, FILE *out)
{
	lib.json_dumpf(v, out, JSON_COMPACT | JSON_ENCODE_ANY);
	fputc('\n', out);
}
