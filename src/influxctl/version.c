/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version - see the header. How `influxctl version` words its answer is not
 * published, so this looks for the numbers and for nothing else. A number that
 * is part of a longer word (go1.22.3) or of four (an address) is none.
 */
#include "influxctl/version.h"

#include <ctype.h>
#include <string.h>

static const char *
read_part(const char *s, const char *end, unsigned *out)
{
	unsigned n = 0, digits = 0;

	for (; s < end && isdigit((unsigned char)*s) && digits < 6; s++) {
		n = 10 * n + (unsigned)(*s - '0');
		digits++;
	}
	*out = n;
	return digits ? s : NULL;
}

/* Behind the third number; NULL: there are no three at s. */
static const char *
read_version(const char *s, const char *end, struct version *out)
{
	for (unsigned i = 0; i < 3; i++) {
		if (i > 0 && (s == end || *s++ != '.'))
			return NULL;
		s = read_part(s, end, &out->part[i]);
		if (!s)
			return NULL;
	}
	return s;
}

bool
version_parse(const char *text, struct version *out)
{
	const char *end = text + strlen(text);

	return read_version(text, end, out) == end;
}

bool
version_is_older(const struct version *a, const struct version *b)
{
	for (unsigned i = 0; i < 3; i++) {
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i];
	}
	return false;
}

static bool
ends_word(const char *s, const char *end)
{
	if (s == end)
		return true;
	if (*s == '.')
		return s + 1 == end || !isdigit((unsigned char)s[1]);
	return !isalnum((unsigned char)*s);
}

bool
version_find(const char *text, size_t len, struct version *out)
{
	const char *end = text + len;
	bool found = false;
	char before = ' ';

	for (const char *s = text; s < end; before = *s++) {
		struct version v;
		const char *number = s + (*s == 'v'), *behind;

		if (isalnum((unsigned char)before) || before == '.')
			continue;
		behind = read_version(number, end, &v);
		if (!behind || !ends_word(behind, end))
			continue;
		if (!found || version_is_older(&v, out))
			*out = v;
		found = true;
	}
	return found;
}
