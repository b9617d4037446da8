/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phrase - see the header.
 */
#include "ctl/phrase.h"

#include <inttypes.h>

#include "base/timefmt.h"
#include "base/util.h"

const char *
phrase_when(int64_t seconds, char *buf, size_t size)
{
	char d[PHRASE_SIZE];

	if (seconds == 0)
		snprintf(buf, size, "now");
	else if (seconds > 0)
		snprintf(buf, size, "in %s", timefmt_duration(seconds * 1000,
		    d, sizeof(d)));
	else
		snprintf(buf, size, "%s ago", timefmt_duration(-seconds * 1000,
		    d, sizeof(d)));
	return buf;
}

const char *
phrase_left(int64_t seconds, char *buf, size_t size)
{
	if (seconds < 0)
		snprintf(buf, size, "expired");
	else
		timefmt_duration(seconds * 1000, buf, size);
	return buf;
}

const char *
phrase_countdown(int64_t seconds, char *buf, size_t size)
{
	int64_t s = MAX2(seconds, 0);

	if (s >= 3600)
		snprintf(buf, size, "%" PRId64 ":%02d:%02d", s / 3600,
		    (int)(s / 60 % 60), (int)(s % 60));
	else
		snprintf(buf, size, "%d:%02d", (int)(s / 60), (int)(s % 60));
	return buf;
}

const char *
phrase_minutes(int64_t seconds, char *buf, size_t size)
{
	int64_t m = (seconds + 30) / 60;

	if (seconds < 60)
		snprintf(buf, size, "less than a minute");
	else
		snprintf(buf, size, "%" PRId64 " minute%s", m,
		    m == 1 ? "" : "s");
	return buf;
}
