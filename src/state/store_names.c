/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_names - records, their names and their files, and the table of all of
 * them. It is kept sorted: there are thousands at most, and each change costs
 * a disk write anyway.
 */
#include "state/store_int.h"

#include "base/strbuf.h"

#define KIND_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"

char *
store_record_name(const char *kind, const char *name)
{
	return xasprintf("%s/%s", kind, name);
}

char *
store_file_name(const char *kind, const char *name)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&b, kind);
	strbuf_addc(&b, '.');
	strbuf_add_percent(&b, name);
	strbuf_adds(&b, STORE_SUFFIX);
	return strbuf_steal(&b);
}

bool
store_is_kind(const char *kind)
{
	return kind[0] && !kind[strspn(kind, KIND_CHARS)];
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The inverse of strbuf_add_percent; NULL when it is none or holds a NUL. */
static char *
percent_decode(const char *s, size_t len)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;
	int c;

	for (i = 0; i < len; i++) {
		if (s[i] != '%') {
			strbuf_addc(&b, s[i]);
			continue;
		}
		if (i + 2 >= len || hex_digit(s[i + 1]) < 0 ||
		    hex_digit(s[i + 2]) < 0)
			return NULL;
		c = hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]);
		if (c == 0)
			return NULL;
		strbuf_addc(&b, (char)c);
		i += 2;
	}
	return b.len ? strbuf_steal(&b) : NULL;
}

bool
store_parse_file(const char *file, char **kind_out, char **name_out)
{
	const char *dot = strchr(file, '.');
	size_t len = strlen(file), suffix = strlen(STORE_SUFFIX);
	_cleanup_free_ char *kind = NULL, *name = NULL, *again = NULL;

	if (len < suffix || strcmp(file + len - suffix, STORE_SUFFIX) != 0)
		return false;
	len -= suffix;
	if ((size_t)(dot - file) >= len)
		return false;
	kind = xstrndup(file, (size_t)(dot - file));
	name = percent_decode(dot + 1, len - strlen(kind) - 1);
	if (!name || !store_is_kind(kind))
		return false;
	again = store_file_name(kind, name);
	if (!streq(again, file))
		return false;
	*kind_out = STEAL(kind);
	*name_out = STEAL(name);
	return true;
}

bool
store_is_own_file(const char *file)
{
	return strncmp(file, STORE_KIND ".", sizeof(STORE_KIND)) == 0;
}

/* ------------------------------------------------------------------ table */

/* The place of file, or where it belongs. */
static size_t
table_search(const struct store_table *t, const char *file, bool *found)
{
	size_t low = 0, high = t->n, mid;
	int c;

	*found = false;
	while (low < high) {
		mid = low + (high - low) / 2;
		c = strcmp(t->e[mid].file, file);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct store_entry *
store_find(const struct store_table *t, const char *file)
{
	bool found;
	size_t at = table_search(t, file, &found);

	return found ? &t->e[at] : NULL;
}

struct store_entry *
store_add(struct store_table *t, const char *file)
{
	bool found;
	size_t at = table_search(t, file, &found);

	if (found)
		return &t->e[at];
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->e = xreallocarray(t->e, t->cap, sizeof(t->e[0]));
	}
	memmove(&t->e[at + 1], &t->e[at], (t->n - at) * sizeof(t->e[0]));
	t->n++;
	t->e[at] = (struct store_entry){ .file = xstrdup(file) };
	return &t->e[at];
}

void
store_remove(struct store_table *t, const char *file)
{
	bool found;
	size_t at = table_search(t, file, &found);

	if (!found)
		return;
	free(t->e[at].file);
	t->n--;
	memmove(&t->e[at], &t->e[at + 1], (t->n - at) * sizeof(t->e[0]));
}

void
store_table_clear(struct store_table *t)
{
	while (t->n)
		free(t->e[--t->n].file);
	free(t->e);
	*t = (struct store_table){ .e = NULL };
}
