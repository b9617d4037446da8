/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b64 - see the header. Decoding goes by value and not by a table of 256, the
 * inputs are short; that no two texts decode to the same bytes is what the
 * JOSE code rests on.
 */
#include "base/b64.h"

#include "base/secret.h"
#include "base/util.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static char
digit(unsigned v, const char *last)
{
	return v < 62 ? alphabet[v] : last[v - 62];
}

/* Without padding and NUL: (4 * len + 2) / 3 characters. */
static size_t
encode(const unsigned char *in, size_t len, char *out, const char *last)
{
	size_t i, n = 0;
	unsigned v;

	for (i = 0; i + 2 < len; i += 3) {
		v = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 |
		    in[i + 2];
		out[n++] = digit(v >> 18, last);
		out[n++] = digit(v >> 12 & 63, last);
		out[n++] = digit(v >> 6 & 63, last);
		out[n++] = digit(v & 63, last);
	}
	if (i < len) {
		v = (unsigned)in[i] << 16;
		if (i + 1 < len)
			v |= (unsigned)in[i + 1] << 8;
		out[n++] = digit(v >> 18, last);
		out[n++] = digit(v >> 12 & 63, last);
		if (i + 1 < len)
			out[n++] = digit(v >> 6 & 63, last);
	}
	return n;
}

char *
b64url_encode(const void *bytes, size_t len)
{
	char *out = xcalloc(len / 3 + 1, 5);

	encode(bytes, len, out, "-_");
	return out;
}

static int
value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool
b64url_decode(const char *s, size_t len, unsigned char **out, size_t *out_len)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	size_t i, n = 0;
	unsigned v = 0, bits = 0;
	int d;

	if (len % 4 == 1)
		return false;
	bytes = xcalloc(len / 4 + 1, 4);
	for (i = 0; i < len; i++) {
		d = value(s[i]);
		if (d < 0)
			return false;
		v = (v << 6 | (unsigned)d) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[n++] = (unsigned char)(v >> bits);
		}
	}
	if (v & ((1u << bits) - 1))
		return false; /* bits that belong to no byte */
	bytes[n] = '\0';
	*out = STEAL(bytes);
	*out_len = n;
	return true;
}

void
b64_encode_secret(const struct secret *in, struct secret *out)
{
	struct secret text = SECRET_INIT;
	char *p = (char *)secret_alloc(&text, (in->len + 2) / 3 * 4);
	size_t n = encode((const unsigned char *)secret_reveal(in), in->len, p,
	    "+/");

	while (n < text.len)
		p[n++] = '=';
	secret_move(out, &text);
}

char *
hex_encode(const void *bytes, size_t len, char *buf)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	size_t i;

	for (i = 0; i < len; i++) {
		buf[2 * i] = digits[p[i] >> 4];
		buf[2 * i + 1] = digits[p[i] & 15];
	}
	buf[2 * len] = '\0';
	return buf;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
hex_decode(const char *s, void *out, size_t n)
{
	unsigned char *p = out;
	int high, low;
	size_t i;

	for (i = 0; i < n; i++) {
		high = hex_value(s[2 * i]);
		low = high < 0 ? -1 : hex_value(s[2 * i + 1]);
		if (low < 0)
			return false;
		p[i] = (unsigned char)(high << 4 | low);
	}
	return s[2 * n] == '\0';
}
