/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/util.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void
util_free_text(char **text)
{
	free(*text);
	*text = NULL;
}

void
util_free_json(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

void *
util_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

char *
util_copy(const char *text)
{
	char *copy;

	if (!text)
		return NULL;
	copy = strdup(text);
	if (!copy)
		abort();
	return copy;
}

char *
util_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		abort();
	return text;
}

void
util_replace(char **slot, char *value)
{
	free(*slot);
	*slot = value;
}

int64_t
util_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
util_random(void *bytes, size_t len)
{
	if (RAND_bytes(bytes, (int)len) != 1)
		abort();
}

char *
util_random_text(size_t bytes)
{
	unsigned char raw[96];

	if (bytes > sizeof raw)
		abort();
	util_random(raw, bytes);
	return util_base64url(raw, bytes);
}

void
util_uuid(char uuid[UTIL_UUID])
{
	unsigned char b[16];

	util_random(b, sizeof b);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(uuid, UTIL_UUID,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
	    b[11], b[12], b[13], b[14], b[15]);
}

char *
util_base64url(const void *bytes, size_t len)
{
	char *text = util_alloc(4 * ((len + 2) / 3) + 1);
	int n = EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);

	while (n > 0 && text[n - 1] == '=')
		text[--n] = '\0';
	for (int i = 0; i < n; i++) {
		if (text[i] == '+')
			text[i] = '-';
		else if (text[i] == '/')
			text[i] = '_';
	}
	return text;
}

char *
util_hex(const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = bytes;
	char *text = util_alloc(2 * len + 1);

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[b[i] >> 4];
		text[2 * i + 1] = digits[b[i] & 15];
	}
	return text;
}

void
util_digest(const char *text, unsigned char digest[UTIL_DIGEST])
{
	if (EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) !=
	    1)
		abort();
}

/* A time as RFC 3339 in UTC with milliseconds. */
static char *
util_format_time(int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	return util_format("%s.%03dZ", text, (int)(ms % 1000));
}

json_t *
util_json_time(int64_t ms)
{
	char *text _cleanup_(util_free_text) = util_format_time(ms);

	return json_string(text);
}

/* Read exactly n digits, advance, and say whether they are in the range. */
static int
util_digits(const char **text, int n, int min, int max, int *out)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return -1;
		value = value * 10 + (**text - '0');
	}
	*out = value;
	return value < min || value > max ? -1 : 0;
}

static int
util_expect(const char **text, const char *set)
{
	if (!**text || !strchr(set, **text))
		return -1;
	(*text)++;
	return 0;
}

/* The part after the seconds: a fraction, and Z or an offset. */
static int
util_parse_zone(const char *p, int64_t *ms)
{
	int hours, minutes, sign, scale = 100;

	if (*p == '.') {
		if (*++p < '0' || *p > '9')
			return -1;
		for (; *p >= '0' && *p <= '9'; p++, scale /= 10)
			*ms += (int64_t)(*p - '0') * scale;
	}
	if (*p == 'Z' || *p == 'z')
		return p[1] ? -1 : 0;
	sign = *p == '-' ? 1 : -1;
	if (util_expect(&p, "+-") || util_digits(&p, 2, 0, 23, &hours) ||
	    util_expect(&p, ":") || util_digits(&p, 2, 0, 59, &minutes) || *p)
		return -1;
	*ms += sign * (int64_t)(hours * 60 + minutes) * 60000;
	return 0;
}

int
util_parse_time(const char *text, int64_t *ms_out)
{
	struct tm tm = { 0 };
	const char *p = text;
	int64_t ms;

	if (util_digits(&p, 4, 1970, 9999, &tm.tm_year) ||
	    util_expect(&p, "-") || util_digits(&p, 2, 1, 12, &tm.tm_mon) ||
	    util_expect(&p, "-") || util_digits(&p, 2, 1, 31, &tm.tm_mday) ||
	    util_expect(&p, "Tt ") || util_digits(&p, 2, 0, 23, &tm.tm_hour) ||
	    util_expect(&p, ":") || util_digits(&p, 2, 0, 59, &tm.tm_min) ||
	    util_expect(&p, ":") || util_digits(&p, 2, 0, 60, &tm.tm_sec))
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	ms = (int64_t)timegm(&tm) * 1000;
	if (util_parse_zone(p, &ms))
		return -1;
	*ms_out = ms;
	return 0;
}

int
util_parse_number(const char *text, int64_t max, int64_t *out)
{
	int64_t value = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
		if (value > max)
			return -1;
	}
	*out = value;
	return 0;
}
