/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credname - see the header. Strict, because systemd is the only one who is
 * meant: what it would never write is refused and not understood.
 */
#include "serve/credname.h"

#include <stdbool.h>
#include <string.h>

#include "serve/cgroup.h"

#define HEX_MAX 16 /* of a 64-bit number, not padded */

/* What is before the next slash; false: there is none. */
static bool
next_field(const char **at, const char *end, const char **s, size_t *len)
{
	const char *slash = memchr(*at, '/', (size_t)(end - *at));

	if (!slash)
		return false;
	*s = *at;
	*len = (size_t)(slash - *at);
	*at = slash + 1;
	return true;
}

static bool
is_hex(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!((s[i] >= '0' && s[i] <= '9') ||
			(s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return len >= 1 && len <= HEX_MAX;
}

/* A template has no processes, so none of its credentials are ever loaded. */
static bool
is_unit(const char *s, size_t len)
{
	const char *at = memchr(s, '@', len);

	return len < CREDNAME_UNIT_MAX && cgroup_is_unit_name(s, len) &&
	    at != s && (!at || at[1] != '.' ||
		memchr(at + 2, '.', (size_t)(s + len - (at + 2))));
}

/* As systemd has it: printable, no ':', and good as the name of a file. */
static bool
is_id(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] > '~' || s[i] == ':' || s[i] == '/')
			return false;
	return len >= 1 && len < CREDNAME_ID_MAX &&
	    !(len == 1 && s[0] == '.') &&
	    !(len == 2 && s[0] == '.' && s[1] == '.');
}

static void
set(char *to, const char *s, size_t len)
{
	memcpy(to, s, len);
	to[len] = '\0';
}

const char *
credname_parse(const char *addr, size_t len, struct credname *out)
{
	const char *at = addr + 1, *end = addr + len, *hex, *kind, *unit;
	size_t n_hex, n_kind, n_unit;

	out->unit[0] = out->id[0] = '\0';
	if (len < 2 || addr[0] != '\0')
		return "it does not say for which unit it asks";
	if (!next_field(&at, end, &hex, &n_hex) || !is_hex(hex, n_hex) ||
	    !next_field(&at, end, &kind, &n_kind))
		return "its address is not one of systemd's";
	if (n_kind != 4 || memcmp(kind, "unit", 4) != 0)
		return "it asks for something else than a unit's credential";
	if (!next_field(&at, end, &unit, &n_unit) || !is_unit(unit, n_unit))
		return "its address names no unit";
	if (!is_id(at, (size_t)(end - at)))
		return "its address names no credential";
	set(out->unit, unit, n_unit);
	set(out->id, at, (size_t)(end - at));
	return NULL;
}
