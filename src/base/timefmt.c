/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timefmt - see the header. Own readers, because strptime(3) takes white
 * space, locales and half of an input, and mktime(3) the machine's time zone.
 * Days are counted with the usual formula for the proleptic Gregorian
 * calendar (eras of 400 years that begin in March).
 */
#include "base/timefmt.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const struct {
	const char *name;
	int64_t ms;
} units[] = {
	{ "w", INT64_C(604800000) },
	{ "d", INT64_C(86400000) },
	{ "h", INT64_C(3600000) },
	{ "m", INT64_C(60000) },
	{ "s", INT64_C(1000) },
	{ "ms", INT64_C(1) },
};

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char *const week[] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue",
	"Wed" }; /* from the day of the epoch */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *s; moves on. False when there are none or too many. */
static bool
read_number(const char **s, int64_t *out)
{
	int64_t v = 0;

	if (!is_digit(**s))
		return false;
	for (; is_digit(**s); (*s)++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, **s - '0', &v))
			return false;
	*out = v;
	return true;
}

/* The unit at *s, which must be a smaller one than the last: its index. */
static int
read_unit(const char **s, int last)
{
	size_t n = 0;
	int i;

	while ((*s)[n] >= 'a' && (*s)[n] <= 'z')
		n++;
	for (i = last + 1; i < (int)ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == n &&
		    memcmp(units[i].name, *s, n) == 0) {
			*s += n;
			return i;
		}
	return -1;
}

bool
timefmt_parse_duration(const char *s, int64_t *ms)
{
	int64_t n, total = 0;
	int unit = -1;

	do {
		if (!read_number(&s, &n))
			return false;
		if (*s == '\0' && unit < 0) { /* a bare number */
			if (__builtin_mul_overflow(n, 1000, &total))
				return false;
			break;
		}
		unit = read_unit(&s, unit);
		if (unit < 0 ||
		    __builtin_mul_overflow(n, units[unit].ms, &n) ||
		    __builtin_add_overflow(total, n, &total))
			return false;
		if (*s == ' ' && is_digit(s[1]))
			s++;
	} while (*s);
	*ms = total;
	return true;
}

const char *
timefmt_duration(int64_t ms, char *buf, size_t size)
{
	const char *sign = ms < 0 ? "-" : "";
	uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	uint64_t unit, next;
	size_t i;

	/* Weeks are read, not written: 14d says more than 2w. */
	for (i = 1; i + 1 < ARRAY_SIZE(units); i++)
		if (left >= (uint64_t)units[i].ms)
			break;
	unit = (uint64_t)units[i].ms;
	if (i + 1 < ARRAY_SIZE(units)) {
		next = left % unit / (uint64_t)units[i + 1].ms;
		if (next) {
			snprintf(buf, size, "%s%llu%s %llu%s", sign,
			    (unsigned long long)(left / unit), units[i].name,
			    (unsigned long long)next, units[i + 1].name);
			return buf;
		}
	}
	snprintf(buf, size, "%s%llu%s", sign,
	    (unsigned long long)(left / unit), left ? units[i].name : "s");
	return buf;
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_in_month(int64_t year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01. */
static int64_t
days_from_civil(int64_t y, int month, int day)
{
	int64_t era, year_of_era, day_of_year;

	y -= month <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	year_of_era = y - era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 -
	    year_of_era / 100 + day_of_year - 719468;
}

static void
civil_from_days(int64_t days, int64_t *y, int *month, int *day)
{
	int64_t era, day_of_era, year_of_era, day_of_year, m;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	day_of_era = days - era * 146097;
	year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
	    day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 -
	    year_of_era / 100);
	m = (5 * day_of_year + 2) / 153;
	*day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*y = year_of_era + era * 400 + (*month <= 2);
}

/* Exactly n digits, then the character `end` unless it is 0. */
static bool
read_field(const char **s, int n, char end, int *out)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (!is_digit(**s))
			return false;
		v = v * 10 + (**s - '0');
	}
	if (end && *(*s)++ != end)
		return false;
	*out = v;
	return true;
}

struct civil {
	int year, month, day, hour, min, sec;
};

/* A second of 60 is a leap second and counts as the next one. */
static bool
civil_to_epoch(const struct civil *c, int64_t *epoch_s)
{
	if (c->month < 1 || c->month > 12 || c->day < 1 ||
	    c->day > days_in_month(c->year, c->month) || c->hour > 23 ||
	    c->min > 59 || c->sec > 60)
		return false;
	*epoch_s = days_from_civil(c->year, c->month, c->day) * 86400 +
	    c->hour * 3600 + c->min * 60 + c->sec;
	return true;
}

bool
timefmt_parse_rfc3339(const char *s, int64_t *epoch_s)
{
	struct civil c;
	int64_t t;
	int hours, minutes, sign;

	if (!read_field(&s, 4, '-', &c.year) ||
	    !read_field(&s, 2, '-', &c.month) ||
	    !read_field(&s, 2, 0, &c.day) || (*s != 'T' && *s != 't'))
		return false;
	s++;
	if (!read_field(&s, 2, ':', &c.hour) ||
	    !read_field(&s, 2, ':', &c.min) || !read_field(&s, 2, 0, &c.sec) ||
	    !civil_to_epoch(&c, &t))
		return false;
	if (*s == '.') {
		if (!is_digit(*++s))
			return false;
		while (is_digit(*s))
			s++;
	}
	if (*s == 'Z' || *s == 'z') {
		s++;
	} else {
		sign = *s == '+' ? 1 : *s == '-' ? -1 : 0;
		s++;
		if (!sign || !read_field(&s, 2, ':', &hours) ||
		    !read_field(&s, 2, 0, &minutes) || hours > 23 ||
		    minutes > 59)
			return false;
		t -= sign * (hours * 3600 + minutes * 60);
	}
	if (*s)
		return false;
	*epoch_s = t;
	return true;
}

const char *
timefmt_rfc3339(int64_t epoch_s, char *buf, size_t size)
{
	int64_t days = epoch_s / 86400, rest = epoch_s % 86400, year;
	int month, day;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	civil_from_days(days, &year, &month, &day);
	snprintf(buf, size, "%04lld-%02d-%02dT%02d:%02d:%02dZ",
	    (long long)year, month, day, (int)(rest / 3600),
	    (int)(rest / 60 % 60), (int)(rest % 60));
	return buf;
}

bool
timefmt_parse_http_date(const char *s, int64_t *epoch_s)
{
	const char *start = s;
	struct civil c = { .month = 0 };
	int64_t t;
	size_t i;

	if (strlen(s) != 29 || memcmp(s + 3, ", ", 2) != 0)
		return false;
	s += 5;
	if (!read_field(&s, 2, ' ', &c.day))
		return false;
	for (i = 0; i < ARRAY_SIZE(months); i++)
		if (memcmp(s, months[i], 3) == 0)
			c.month = (int)i + 1;
	s += 3;
	if (*s++ != ' ' || !read_field(&s, 4, ' ', &c.year) ||
	    !read_field(&s, 2, ':', &c.hour) ||
	    !read_field(&s, 2, ':', &c.min) ||
	    !read_field(&s, 2, ' ', &c.sec) || strcmp(s, "GMT") != 0 ||
	    c.year < 1970 || !civil_to_epoch(&c, &t) ||
	    memcmp(start, week[t / 86400 % 7], 3) != 0)
		return false;
	*epoch_s = t;
	return true;
}
