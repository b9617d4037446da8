/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holder - see the header.
 */
#include "broker/holder.h"

#include "base/principal.h"
#include "base/util.h"

#define UNIT "unit:"

/* Units of systemd are called by letters, digits and `:-_.\@`. A control group
 * that somebody else made can have any name, and then it is no unit here: its
 * uid counts. */
static bool
is_unit_name(const char *unit)
{
	size_t n = strlen(unit);

	for (size_t i = 0; i < n; i++)
		if (unit[i] <= ' ' || unit[i] > '~')
			return false;
	return n > 0 && n < HOLDER_NAME_SIZE - sizeof(UNIT);
}

/* Numbered from one on at each boot, so that the same name is another user's
 * tomorrow; and one user has as many as there are terminals. */
static bool
is_login_session(const char *unit)
{
	size_t n = strlen(unit);

	return strncmp(unit, "session-", 8) == 0 && n > 8 + 6 &&
	    streq(unit + n - 6, ".scope");
}

static bool
has_unit(const struct principal *p)
{
	return !p->container && p->unit && is_unit_name(p->unit) &&
	    !is_login_session(p->unit) &&
	    (p->strength == PRINCIPAL_STRONG || p->uid == 0);
}

const char *
holder_name(const struct principal *p, char buf[HOLDER_NAME_SIZE])
{
	if (has_unit(p))
		snprintf(buf, HOLDER_NAME_SIZE, UNIT "%s", p->unit);
	else
		snprintf(buf, HOLDER_NAME_SIZE, "%s:%lu",
		    p->container ? "container" : "uid",
		    (unsigned long)p->uid);
	return buf;
}

const char *
holder_unit(const char *name)
{
	size_t n = sizeof(UNIT) - 1;

	return strncmp(name, UNIT, n) == 0 ? name + n : NULL;
}
