/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup - see the header.
 */
#include "serve/cgroup.h"

#include <string.h>

#include "base/util.h"

/* The path of a line "ID:CONTROLLERS:PATH" of this hierarchy. */
static bool
line_path(const char *line, size_t len, const char *head, const char **path,
    size_t *path_len)
{
	const char *colon = memchr(line, ':', len);
	size_t n = strlen(head), rest;

	if (!colon)
		return false;
	rest = len - (size_t)(colon + 1 - line);
	if (rest <= n || memcmp(colon + 1, head, n) != 0 ||
	    colon[1 + n] != ':')
		return false;
	*path = colon + 2 + n;
	*path_len = rest - n - 1;
	return true;
}

static bool
find_path(const char *text, size_t len, bool unified, struct cgroup_path *out)
{
	const char *end = text + len, *eol, *path;
	size_t n;

	for (; text < end; text = eol + (eol < end)) {
		eol = memchr(text, '\n', (size_t)(end - text));
		if (!eol)
			eol = end;
		if (unified && (eol - text < 2 || memcmp(text, "0:", 2) != 0))
			continue;
		if (!line_path(text, (size_t)(eol - text),
			unified ? "" : "name=systemd", &path, &n))
			continue;
		if (n < 2 || n >= sizeof(out->path) || path[0] != '/' ||
		    memchr(path, '\0', n))
			return false;
		memcpy(out->path, path, n);
		out->path[n] = '\0';
		out->unified = unified;
		return true;
	}
	return false;
}

bool
cgroup_parse(const char *text, size_t len, struct cgroup_path *out)
{
	return find_path(text, len, true, out) ||
	    find_path(text, len, false, out);
}

static bool
has_suffix(const char *s, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && memcmp(s + len - n, suffix, n) == 0;
}

bool
cgroup_is_unit_name(const char *s, size_t len)
{
	static const char *const kinds[] = { ".service", ".scope", ".socket",
		".mount", ".swap" };
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
	size_t i;

	for (i = 0; i < len; i++)
		if (!s[i] || !strchr(chars, s[i]))
			return false;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (has_suffix(s, len, kinds[i]))
			return true;
	return false;
}

bool
cgroup_unit(const char *path, char out[CGROUP_UNIT_MAX])
{
	size_t n;

	if (strstr(path, "/../") || has_suffix(path, strlen(path), "/..") ||
	    streq(path, "/.."))
		return false;
	while (*path == '/') {
		n = strcspn(++path, "/");
		if (has_suffix(path, n, ".slice")) {
			path += n;
			continue;
		}
		/* memory.service lives in _memory.service: systemd keeps
		 * clear of the names of cgroup's own files */
		if (n && *path == '_') {
			path++;
			n--;
		}
		if (n >= CGROUP_UNIT_MAX || !cgroup_is_unit_name(path, n))
			return false;
		memcpy(out, path, n);
		out[n] = '\0';
		return true;
	}
	return false;
}
