/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strbuf - see the header. Grows by doubling; JSON and percent escapes are
 * here because both are on paths that must not need a library.
 */
#include "base/strbuf.h"

/* Room for n more bytes and the NUL. */
static void
reserve(struct strbuf *b, size_t n)
{
	size_t need = b->len + n + 1;

	if (n >= SIZE_MAX / 4 || b->len >= SIZE_MAX / 4)
		abort();
	if (need <= b->cap)
		return;
	b->cap = MAX2(need, MAX2(2 * b->cap, (size_t)64));
	b->s = xreallocarray(b->s, b->cap, 1);
}

void
strbuf_add(struct strbuf *b, const char *bytes, size_t len)
{
	reserve(b, len);
	if (len)
		memcpy(b->s + b->len, bytes, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void
strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void
strbuf_addc(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void
strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	reserve(b, 64);
	va_start(ap, fmt);
	n = vsnprintf(b->s + b->len, b->cap - b->len, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	if ((size_t)n >= b->cap - b->len) {
		reserve(b, (size_t)n);
		va_start(ap, fmt);
		vsnprintf(b->s + b->len, b->cap - b->len, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

/* How many bytes the UTF-8 character at s has; 0 when it is none (RFC 3629:
 * no overlong form, no surrogate, nothing over U+10FFFF). */
static size_t
utf8_length(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	for (i = 1; i < n; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return n;
}

/* What stands for c inside a JSON string; NULL: c itself. */
static const char *
json_escape(unsigned char c, char buf[8])
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	default:
		break;
	}
	if (c >= 0x20 && c != 0x7f)
		return NULL;
	snprintf(buf, 8, "\\u%04x", c);
	return buf;
}

void
strbuf_add_json(struct strbuf *b, const char *s)
{
	const unsigned char *p = (const unsigned char *)s, *plain = p;
	const char *other;
	char buf[8];
	size_t n;

	if (!s) {
		strbuf_adds(b, "null");
		return;
	}
	strbuf_addc(b, '"');
	while (*p) {
		n = utf8_length(p);
		other = n == 0 ? "\xef\xbf\xbd" :
		    n == 1 ? json_escape(*p, buf) : NULL;
		if (!other) {
			p += n;
			continue;
		}
		strbuf_add(b, (const char *)plain, (size_t)(p - plain));
		strbuf_adds(b, other);
		plain = ++p;
	}
	strbuf_add(b, (const char *)plain, (size_t)(p - plain));
	strbuf_addc(b, '"');
}

void
strbuf_add_percent(struct strbuf *b, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	char code[3] = { '%', 0, 0 };
	size_t n;

	for (;;) {
		n = strspn(s, plain);
		strbuf_add(b, s, n);
		s += n;
		if (!*s)
			return;
		code[1] = hex[(unsigned char)*s >> 4];
		code[2] = hex[(unsigned char)*s & 15];
		strbuf_add(b, code, 3);
		s++;
	}
}

void
strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	if (b->s)
		b->s[0] = '\0';
}

void
strbuf_clear(struct strbuf *b)
{
	free(b->s);
	*b = (struct strbuf)STRBUF_INIT;
}

const char *
strbuf_str(const struct strbuf *b)
{
	return b->s ? b->s : "";
}

char *
strbuf_steal(struct strbuf *b)
{
	char *s = b->s ? b->s : xstrdup("");

	*b = (struct strbuf)STRBUF_INIT;
	return s;
}
