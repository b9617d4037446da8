/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan - see the header. The inner loop looks at eight bytes at a time while
 * they are plain, which is nearly always.
 */
#include "audit/scan.h"

#include <endian.h>

#include "base/strbuf.h"

#define HEAD "{\"seq\":"
#define TAIL ",\"hash\":\""
#define TAIL_BYTES (sizeof(TAIL) - 1 + SCAN_HEX + 2)
/* 18 digits: they fit into 63 bits, whatever they are. */
#define DIGITS_MAX 18

#define NAME(id, text) [id] = { text, sizeof(text) - 1 }
static const struct { const char *text; size_t len; } names[SCAN_NAMES] = {
	NAME(SCAN_SEQ, "seq"), NAME(SCAN_TIME, "time"),
	NAME(SCAN_BOOT, "boot"), NAME(SCAN_EVENT, "event"),
	NAME(SCAN_DOOR, "door"), NAME(SCAN_UID, "uid"), NAME(SCAN_GID, "gid"),
	NAME(SCAN_UNIT, "unit"), NAME(SCAN_INVOCATION, "invocation"),
	NAME(SCAN_STRENGTH, "strength"), NAME(SCAN_CONTAINER, "container"),
	NAME(SCAN_PID, "pid"), NAME(SCAN_RULE, "rule"),
	NAME(SCAN_VERDICT, "verdict"), NAME(SCAN_TOKEN, "token"),
	NAME(SCAN_GENERATION, "generation"), NAME(SCAN_TOKEN_ID, "token_id"),
	NAME(SCAN_FINGERPRINT, "fingerprint"), NAME(SCAN_BACKEND, "backend"),
	NAME(SCAN_LOGIN, "login"), NAME(SCAN_HUMAN, "human"),
	NAME(SCAN_EXPIRES_AT, "expires_at"),
	NAME(SCAN_REQUEST_ID, "request_id"), NAME(SCAN_NONCE, "nonce"),
	NAME(SCAN_COUNT, "count"), NAME(SCAN_SINCE, "since"),
	NAME(SCAN_UNTIL, "until"), NAME(SCAN_DELIVERY, "delivery"),
	NAME(SCAN_REASON, "reason"), NAME(SCAN_FILE, "file"),
	NAME(SCAN_LAST_HASH, "last_hash"),
	NAME(SCAN_RECORDS, "records"), NAME(SCAN_KEY, "key"),
	NAME(SCAN_SIGNATURE, "signature"),
	NAME(SCAN_PUBLIC_KEY, "public_key"), NAME(SCAN_HASH, "hash"),
};

struct cursor {
	const unsigned char *p, *end;
};

const char *
scan_name_text(enum scan_name name)
{
	return names[name].text;
}

/* Beginning behind the one that was found last: they come in this order. */
static int
find_name(const char *s, size_t len, int *hint)
{
	int i, at = *hint;

	for (i = 0; i < SCAN_NAMES; i++, at++) {
		if (at >= SCAN_NAMES)
			at = 0;
		if (names[at].len == len &&
		    memcmp(names[at].text, s, len) == 0) {
			*hint = at + 1;
			return at;
		}
	}
	return -1;
}

/* ---------------------------------------------------------------- strings */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define ANY_BELOW(w, byte) (((w) - EACH(byte)) & ~(w) & EACH(0x80))
#define ANY_IS(w, byte) ANY_BELOW((w) ^ EACH(byte), 1)

/* Behind what is neither control, quote, backslash nor beyond ASCII; at the
 * end of the line maybe a little in front of that. A borrow can only make a
 * byte behind the first hit look like one. */
static const unsigned char *
skip_plain(const unsigned char *p, const unsigned char *end)
{
	uint64_t w, hit;

	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		w = le64toh(w);
		hit = (w & EACH(0x80)) | ANY_BELOW(w, 0x20) |
		    ANY_IS(w, '"') | ANY_IS(w, '\\');
		if (hit)
			return p + __builtin_ctzll(hit) / 8;
	}
	return p;
}

/* The length of the UTF-8 sequence at p, 0 when it is none (RFC 3629). */
static size_t
utf8_length(const unsigned char *p, const unsigned char *end)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 :
	    p[0] < 0xf5 ? 4 : 0, i;
	unsigned cp;

	if (n == 0 || (size_t)(end - p) < n)
		return 0;
	cp = p[0] & (0xffu >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	return cp < least[n] || cp > 0x10ffff ||
	    (cp >= 0xd800 && cp <= 0xdfff) ? 0 : n;
}

static int
hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* uXXXX at p; -1 when it is none. */
static long
hex4(const unsigned char *p, const unsigned char *end)
{
	long v = 0;
	int i, d;

	if (end - p < 5 || p[0] != 'u')
		return -1;
	for (i = 1; i < 5; i++) {
		d = hex_value(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* What stands behind a backslash at p: its length and the code point; 0 when
 * it is no escape. U+0000 is none: no text of ours holds it. */
static size_t
escape_length(const unsigned char *p, const unsigned char *end, long *cp)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *simple;
	long low;

	if (p >= end)
		return 0;
	simple = *p ? strchr(from, *p) : NULL;
	if (simple) {
		*cp = to[simple - from];
		return 1;
	}
	*cp = hex4(p, end);
	if (*cp <= 0 || (*cp >= 0xdc00 && *cp <= 0xdfff))
		return 0;
	if (*cp < 0xd800 || *cp > 0xdbff)
		return 5;
	if (end - p < 11 || p[5] != '\\')
		return 0;
	low = hex4(p + 6, end);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
	return 11;
}

/* c->p stands behind the opening quote; afterwards behind the closing one. */
static const char *
read_string(struct cursor *c, const char **text, size_t *len, bool *escaped)
{
	const unsigned char *start = c->p, *p = start, *end = c->end;
	size_t n;
	long cp;

	*escaped = false;
	while ((p = skip_plain(p, end)) < end && *p != '"') {
		n = 1;
		if (*p == '\\') {
			n = escape_length(p + 1, end, &cp);
			if (n++ == 0)
				return "a string with a bad escape";
			*escaped = true;
		} else if (*p >= 0x80) {
			n = utf8_length(p, end);
			if (n == 0)
				return "a string that is not UTF-8";
		} else if (*p < 0x20) {
			return "a control character in a string";
		}
		p += n;
	}
	if (p >= end)
		return "a string without an end";
	*text = (const char *)start;
	*len = (size_t)(p - start);
	c->p = p + 1;
	return NULL;
}

/* ---------------------------------------------------------------- members */

static const char *
read_number(struct cursor *c, struct scan_member *m)
{
	const unsigned char *p = c->p;

	while (p < c->end && *p >= '0' && *p <= '9')
		p++;
	m->kind = SCAN_NUMBER;
	m->value = (const char *)c->p;
	m->value_len = (size_t)(p - c->p);
	if (m->value_len > DIGITS_MAX)
		return "a number that is too large";
	if (m->value_len > 1 && *c->p == '0')
		return "a number with a leading zero";
	c->p = p;
	return NULL;
}

static bool
take_word(struct cursor *c, const char *word, struct scan_member *m)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	m->value = (const char *)c->p;
	m->value_len = n;
	c->p += n;
	return true;
}

static const char *
read_value(struct cursor *c, struct scan_member *m)
{
	unsigned char first = c->p < c->end ? *c->p : 0;

	m->escaped = false;
	if (first == '"') {
		c->p++;
		m->kind = SCAN_STRING;
		return read_string(c, &m->value, &m->value_len, &m->escaped);
	}
	if (first >= '0' && first <= '9')
		return read_number(c, m);
	m->kind = SCAN_TRUE;
	if (take_word(c, "true", m))
		return NULL;
	m->kind = SCAN_FALSE;
	if (take_word(c, "false", m))
		return NULL;
	return "a value that is no string, whole number, true or false";
}

static bool
same_name(const struct scan_member *a, const struct scan_member *b)
{
	return a->name_len == b->name_len &&
	    memcmp(a->name, b->name, a->name_len) == 0;
}

/* Notes where it is; false: it has been there before. */
static bool
take_name(struct scan *out, const struct scan_member *m, int *hint)
{
	int known = find_name(m->name, m->name_len, hint);
	size_t i;

	if (known >= 0) {
		if (out->at[known] >= 0)
			return false;
		out->at[known] = (int8_t)(m - out->member);
		return true;
	}
	for (i = 0; i < out->n; i++)
		if (same_name(&out->member[i], m))
			return false;
	return true;
}

static const char *
read_member(struct cursor *c, struct scan *out, int *hint)
{
	struct scan_member *m = &out->member[out->n];
	const char *wrong;
	size_t len;
	bool escaped;

	if (out->n == SCAN_MEMBERS_MAX)
		return "too many members";
	if (c->p >= c->end || *c->p++ != '"')
		return "a member without a name";
	wrong = read_string(c, &m->name, &len, &escaped);
	if (wrong)
		return wrong;
	if (escaped || len == 0 || len > UINT16_MAX)
		return "an odd member name";
	m->name_len = (uint16_t)len;
	if (!take_name(out, m, hint))
		return "a member that is there twice";
	if (c->p >= c->end || *c->p++ != ':')
		return "a member without a value";
	wrong = read_value(c, m);
	if (!wrong)
		out->n++;
	return wrong;
}

static uint64_t
number_of(const struct scan_member *m)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < m->value_len; i++)
		v = 10 * v + (uint64_t)(m->value[i] - '0');
	return v;
}

static bool
is_hash(const char *s)
{
	size_t i;

	for (i = 0; i < SCAN_HEX; i++)
		if (!((s[i] >= '0' && s[i] <= '9') ||
		    (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return true;
}

/* Where the members are is known; are the first and the last one right? */
static const char *
check_frame(const char *line, size_t len, struct scan *out)
{
	const struct scan_member *last = &out->member[out->n - 1];

	if (out->at[SCAN_SEQ] != 0 || out->member[0].kind != SCAN_NUMBER)
		return "\"seq\" is not its first member";
	out->seq = number_of(&out->member[0]);
	if (out->seq == 0)
		return "\"seq\" is 0; the first one is 1";
	if (out->at[SCAN_HASH] != (int)out->n - 1 ||
	    last->kind != SCAN_STRING || last->value_len != SCAN_HEX ||
	    !is_hash(last->value))
		return "\"hash\" with 64 hexadecimal digits is not its last "
		    "member";
	out->hash = last->value;
	out->body_len = len - TAIL_BYTES;
	if (memcmp(line + out->body_len, TAIL, sizeof(TAIL) - 1) != 0)
		return "\"hash\" is not written as it should be";
	return NULL;
}

const char *
scan_line(const char *line, size_t len, struct scan *out)
{
	struct cursor c = { (const unsigned char *)line + 1,
		(const unsigned char *)line + len };
	const char *wrong;
	int hint = 0;

	out->n = 0;
	memset(out->at, -1, sizeof(out->at));
	if (len > SCAN_LINE_MAX)
		return "longer than any line of the log";
	if (len < sizeof(HEAD) + TAIL_BYTES || line[0] != '{')
		return "no JSON object of the log";
	for (;;) {
		wrong = read_member(&c, out, &hint);
		if (wrong)
			return wrong;
		if (c.p >= c.end)
			return "cut off";
		if (*c.p == '}')
			break;
		if (*c.p++ != ',')
			return "no comma between two members";
	}
	if (c.p + 1 != c.end)
		return "something stands behind the object";
	return check_frame(line, len, out);
}

/* ------------------------------------------------------------------- look */

bool
scan_has(const struct scan *s, enum scan_name name)
{
	return s->at[name] >= 0;
}

const struct scan_member *
scan_string(const struct scan *s, enum scan_name name)
{
	const struct scan_member *m =
	    s->at[name] < 0 ? NULL : &s->member[s->at[name]];

	return m && m->kind == SCAN_STRING ? m : NULL;
}

uint64_t
scan_number(const struct scan *s, enum scan_name name)
{
	const struct scan_member *m =
	    s->at[name] < 0 ? NULL : &s->member[s->at[name]];

	return m && m->kind == SCAN_NUMBER ? number_of(m) : 0;
}

bool
scan_is(const struct scan *s, enum scan_name name, const char *text)
{
	const struct scan_member *m = scan_string(s, name);

	return m && m->value_len == strlen(text) &&
	    memcmp(m->value, text, m->value_len) == 0;
}

static void
add_code_point(struct strbuf *out, long cp)
{
	if (cp < 0x80) {
		strbuf_addc(out, (char)cp);
		return;
	}
	if (cp < 0x800) {
		strbuf_addc(out, (char)(0xc0 | cp >> 6));
	} else {
		if (cp < 0x10000) {
			strbuf_addc(out, (char)(0xe0 | cp >> 12));
		} else {
			strbuf_addc(out, (char)(0xf0 | cp >> 18));
			strbuf_addc(out, (char)(0x80 | (cp >> 12 & 0x3f)));
		}
		strbuf_addc(out, (char)(0x80 | (cp >> 6 & 0x3f)));
	}
	strbuf_addc(out, (char)(0x80 | (cp & 0x3f)));
}

void
scan_add_text(const struct scan_member *m, struct strbuf *out)
{
	const unsigned char *p = (const unsigned char *)m->value,
	    *end = p + m->value_len, *next;
	long cp;

	if (!m->escaped) {
		strbuf_add(out, m->value, m->value_len);
		return;
	}
	while (p < end) {
		next = memchr(p, '\\', (size_t)(end - p));
		if (!next)
			next = end;
		strbuf_add(out, (const char *)p, (size_t)(next - p));
		if (next == end)
			break;
		/* it was checked when the line was read */
		p = next + 1;
		p += escape_length(p, end, &cp);
		add_code_point(out, cp);
	}
}

char *
scan_dup(const struct scan *s, enum scan_name name)
{
	const struct scan_member *m = scan_string(s, name);
	struct strbuf b = STRBUF_INIT;

	if (!m)
		return NULL;
	scan_add_text(m, &b);
	return strbuf_steal(&b);
}
