/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply - see the header. The head is gathered in one buffer until its empty
 * line is there and is then read line by line; the body goes straight into
 * the secret. A head never holds a secret, so it is ordinary memory.
 */
#include "ctl/reply.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#include "base/tb_error.h"

void
reply_clear(struct reply *r)
{
	secret_clear(&r->body);
	free(r->head);
	*r = (struct reply)REPLY_INIT;
}

bool
reply_is_complete(const struct reply *r)
{
	return r->at == REPLY_DONE;
}

bool
reply_is_untouched(const struct reply *r)
{
	return r->at == REPLY_HEAD && r->head_used == 0;
}

/* Digits only, at most 15 of them. */
static bool
read_number(const char *s, int64_t *out)
{
	size_t i, n = strlen(s);
	int64_t v = 0;

	if (n == 0 || n > 15)
		return false;
	for (i = 0; i < n; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
		v = v * 10 + (s[i] - '0');
	}
	*out = v;
	return true;
}

/* "HTTP/1.1 200 OK" */
static int
read_status_line(struct reply *r, const char *line, struct tb_error *err)
{
	static const char version[] = "HTTP/1.1 ";
	const char *code = line + sizeof(version) - 1;

	if (strncmp(line, version, sizeof(version) - 1) != 0)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer is not HTTP/1.1");
	if (!isdigit((unsigned char)code[0]) ||
	    !isdigit((unsigned char)code[1]) ||
	    !isdigit((unsigned char)code[2]) ||
	    (code[3] != ' ' && code[3] != '\0'))
		return tb_error_set(err, TB_E_PROTO,
		    "the answer has no status of three digits");
	r->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 +
	    (code[2] - '0');
	if (r->status < 200 || r->status > 599)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer has the status %d, which is none of a final "
		    "answer", r->status);
	return 0;
}

static int
read_length(struct reply *r, const char *value, struct tb_error *err)
{
	if (r->length >= 0)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer has two lengths");
	if (!read_number(value, &r->length))
		return tb_error_set(err, TB_E_PROTO,
		    "the answer's length is not a number");
	if (r->length > (int64_t)REPLY_BODY_CAP)
		return tb_error_set(err, TB_E_LIMIT,
		    "the answer is larger than %zu MiB", REPLY_BODY_CAP >> 20);
	return 0;
}

static int
read_field(struct reply *r, const char *name, const char *value,
    struct tb_error *err)
{
	if (strcasecmp(name, "content-length") == 0)
		return read_length(r, value, err);
	if (strcasecmp(name, "transfer-encoding") == 0)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer comes in chunks, which tokenbrokerd never "
		    "sends");
	if (strcasecmp(name, "connection") == 0)
		r->closes = strcasecmp(value, "close") == 0;
	else if (strcasecmp(name, "retry-after") == 0)
		(void)read_number(value, &r->retry_after_s);
	else if (strcasecmp(name, "content-type") == 0)
		snprintf(r->type, sizeof(r->type), "%.*s",
		    (int)strcspn(value, " ;"), value);
	return 0;
}

static bool
is_field_name(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_!#$%&'*+.^`|~",
		    *s))
			return false;
	return true;
}

static int
read_field_line(struct reply *r, char *line, struct tb_error *err)
{
	char *colon = strchr(line, ':'), *value, *end;

	if (!colon)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer has a header line without a colon");
	*colon = '\0';
	if (!is_field_name(line))
		return tb_error_set(err, TB_E_PROTO,
		    "the answer has a malformed header name");
	value = colon + 1 + strspn(colon + 1, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return read_field(r, line, value, err);
}

/* The head is complete: n bytes that end with an empty line. */
static int
read_head(struct reply *r, size_t n, struct tb_error *err)
{
	char *line = r->head, *end;
	bool first = true;

	if (memchr(r->head, '\0', n))
		return tb_error_set(err, TB_E_PROTO,
		    "the answer's head holds a NUL byte");
	r->head[n - 2] = '\0'; /* the empty line goes */
	for (; *line; line = end + 2) {
		end = strstr(line, "\r\n");
		*end = '\0';
		if (strpbrk(line, "\r\n"))
			return tb_error_set(err, TB_E_PROTO,
			    "the answer's head has a bare line end");
		if (first ? read_status_line(r, line, err) < 0 :
		    read_field_line(r, line, err) < 0)
			return -1;
		first = false;
	}
	if (first)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer is not HTTP/1.1");
	if (r->status == 204 || r->status == 304)
		r->length = 0;
	if (r->length < 0)
		return tb_error_set(err, TB_E_PROTO,
		    "the answer does not say its length");
	r->at = r->length ? REPLY_BODY : REPLY_DONE;
	return 0;
}

/* Takes bytes up to the end of the head: how many, or -1. */
static ssize_t
feed_head(struct reply *r, const char *bytes, size_t n, struct tb_error *err)
{
	size_t i;

	if (!r->head)
		r->head = xcalloc(1, REPLY_HEAD_CAP);
	for (i = 0; i < n && r->at == REPLY_HEAD; i++) {
		if (r->head_used == REPLY_HEAD_CAP)
			return tb_error_set(err, TB_E_LIMIT,
			    "the answer's head is larger than %zu KiB",
			    REPLY_HEAD_CAP >> 10);
		r->head[r->head_used++] = bytes[i];
		/* Told at once, not after 16 KiB of something else. */
		if (r->head_used <= 5 && bytes[i] != "HTTP/"[r->head_used - 1])
			return tb_error_set(err, TB_E_PROTO,
			    "the answer is not HTTP/1.1");
		if (r->head_used >= 4 && memcmp(r->head + r->head_used - 4,
		    "\r\n\r\n", 4) == 0 && read_head(r, r->head_used, err) < 0)
			return -1;
	}
	return (ssize_t)i;
}

int
reply_feed(struct reply *r, const char *bytes, size_t n, struct tb_error *err)
{
	ssize_t used = 0;
	size_t want;

	if (r->at == REPLY_HEAD) {
		used = feed_head(r, bytes, n, err);
		if (used < 0)
			return -1;
	}
	bytes += used;
	n -= (size_t)used;
	if (r->at == REPLY_BODY && n) {
		want = MIN2(n, (size_t)r->length - r->body.len);
		secret_append(&r->body, bytes, want);
		n -= want;
		if (r->body.len == (size_t)r->length)
			r->at = REPLY_DONE;
	}
	if (n)
		return tb_error_set(err, TB_E_PROTO,
		    "there are bytes behind the answer");
	return 0;
}
