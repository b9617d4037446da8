/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render - see the header. One kept text per token and form, replaced when the
 * serial of the broker's view changes.
 *
 *	HTTP/1.1 200 OK
 *	Content-Type ... {"token":"...",...,"expires_in":
 *	    604800,"request_id":"0123456789abcdef"}            patched in place
 *
 * The number is padded with spaces (JSON allows them), so every answer of a
 * generation has the same Content-Length. All of it lies in one piece, for one
 * plain send(2); a client of HTTP/1.0, or one that closes, gets another status
 * line in front of the same bytes.
 */
#include "serve/render.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/secret.h"
#include "base/strbuf.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "broker/broker.h"
#include "serve/http1.h"

#define BUCKETS 256
#define SECONDS_WIDTH 10
#define PATCH_LEN (SECONDS_WIDTH + 15 + RENDER_REQUEST_ID + 3)

struct kept_text {
	uint64_t serial;
	int64_t expires_at; /* a clock that was set changes it */
	struct secret text;
	size_t body_at; /* behind the status line */
	char *patch;    /* where the seconds and the request id go */
};

struct kept {
	struct kept *next;
	char *token;
	struct kept_text texts[RENDER_N_KEPT];
};

struct render {
	struct kept *buckets[BUCKETS];
};

struct render *
render_new(void)
{
	return xnew(struct render);
}

static unsigned
bucket_of(const char *token)
{
	uint32_t h = 2166136261u;

	for (; *token; token++)
		h = (h ^ (unsigned char)*token) * 16777619u;
	return h % BUCKETS;
}

static void
kept_free(struct kept *k)
{
	size_t i;

	for (i = 0; i < RENDER_N_KEPT; i++)
		secret_clear(&k->texts[i].text);
	free(k->token);
	free(k);
}

void
render_forget_all(struct render *r)
{
	struct kept *k;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		while ((k = r->buckets[i])) {
			r->buckets[i] = k->next;
			kept_free(k);
		}
	}
}

void
render_forget(struct render *r, const char *token)
{
	struct kept **link = &r->buckets[bucket_of(token)], *k;

	for (; (k = *link); link = &k->next) {
		if (streq(k->token, token)) {
			*link = k->next;
			kept_free(k);
			return;
		}
	}
}

void
render_free(struct render *r)
{
	if (!r)
		return;
	render_forget_all(r);
	free(r);
}

static struct kept *
kept_of(struct render *r, const char *token)
{
	struct kept **bucket = &r->buckets[bucket_of(token)], *k;

	for (k = *bucket; k; k = k->next)
		if (streq(k->token, token))
			return k;
	k = xnew(struct kept);
	k->token = xstrdup(token);
	k->next = *bucket;
	*bucket = k;
	return k;
}

/* A JSON string of a value: token-shaped ones (printable ASCII) need at most a
 * backslash in front of a quote or a backslash. */
void
render_add_value(struct secret *out, const struct secret *value)
{
	const char *s = secret_reveal(value), *stop;

	while (*s) {
		stop = s + strcspn(s, "\"\\");
		secret_append(out, s, (size_t)(stop - s));
		if (!*stop)
			break;
		secret_append(out, "\\", 1);
		secret_append(out, stop, 1);
		s = stop + 1;
	}
}

/* The members that all forms have in common, behind the value. */
static void
add_members(struct strbuf *out, const struct broker_view *view,
    const char *expires_at)
{
	strbuf_addf(out, "\",\"token_type\":\"Bearer\",\"expires_at\":\"%s\","
	    "\"generation\":%" PRIu64 ",\"token_id\":", expires_at,
	    view->generation);
	strbuf_add_json(out, view->token_id);
}

/* deletion_time stays empty: to some readers a secret that has one is deleted,
 * whenever that will be. */
static void
add_version(struct strbuf *out, const struct broker_view *view,
    const char *expires_at)
{
	char when[TIMEFMT_SIZE];

	strbuf_addf(out, "},\"metadata\":{\"created_time\":\"%s\","
	    "\"custom_metadata\":{\"expires_at\":\"%s\"},"
	    "\"deletion_time\":\"\",\"destroyed\":false,\"version\":%" PRIu64,
	    timefmt_rfc3339(view->minted_at, when, sizeof(when)), expires_at,
	    view->generation);
}

/* What stands in front of the value, and (in tail) behind it, up to what is
 * patched. */
static const char *
make_frame(enum render_form form, const struct broker_view *view,
    struct strbuf *tail)
{
	static const char *const open[RENDER_N_KEPT] = {
		[RENDER_JSON] = "{\"token\":\"",
		[RENDER_VAULT_V2] = "{\"data\":{\"data\":{\"token\":\"",
		[RENDER_VAULT_V1] = "{\"data\":{\"token\":\"",
	};
	char expires_at[TIMEFMT_SIZE];

	timefmt_rfc3339(view->expires_at, expires_at, sizeof(expires_at));
	add_members(tail, view, expires_at);
	if (form == RENDER_JSON) {
		strbuf_adds(tail, ",\"expires_in\":");
		return open[form];
	}
	if (form == RENDER_VAULT_V2)
		add_version(tail, view, expires_at);
	strbuf_addf(tail, "%s},\"auth\":null,\"lease_id\":\"\","
	    "\"renewable\":false,\"warnings\":null,\"wrap_info\":null,"
	    "\"lease_duration\":", form == RENDER_VAULT_V2 ? "}" : "");
	return open[form];
}

static void
kept_make(struct kept_text *k, const struct broker_view *view,
    enum render_form form)
{
	struct strbuf tail _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf head _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct secret value _cleanup_(secret_clear) = SECRET_INIT;
	const char *open = make_frame(form, view, &tail);
	char line[HTTP1_STATUS_LINE_MAX];
	unsigned char *p;

	render_add_value(&value, view->value);
	k->body_at = http1_status_line(line, 200, 1, true);
	strbuf_add(&head, line, k->body_at);
	strbuf_addf(&head, "Content-Type: application/json\r\n"
	    "Cache-Control: no-store\r\nETag: \"%" PRIu64 "\"\r\n"
	    "Content-Length: %zu\r\n\r\n%s", view->generation,
	    strlen(open) + value.len + tail.len + PATCH_LEN, open);
	p = secret_alloc(&k->text, head.len + value.len + tail.len + PATCH_LEN);
	memcpy(p, head.s, head.len);
	p += head.len;
	memcpy(p, secret_reveal(&value), value.len);
	p += value.len;
	memcpy(p, tail.s, tail.len);
	k->patch = (char *)p + tail.len;
	k->serial = view->serial;
	k->expires_at = view->expires_at;
}

static int64_t
seconds_left(const struct broker_view *view, int64_t now_s)
{
	int64_t left = view->expires_at - now_s;

	return left < 0 ? 0 : MIN2(left, INT64_C(9999999999));
}

/* By hand: this is the only formatting on the hot path. */
static void
make_patch(char *out, int64_t seconds, const char *request_id)
{
	static const char name[] = ",\"request_id\":\"";
	char *p = out + SECONDS_WIDTH;

	memset(out, ' ', SECONDS_WIDTH);
	do {
		*--p = (char)('0' + seconds % 10);
		seconds /= 10;
	} while (seconds);
	p = out + SECONDS_WIDTH;
	memcpy(p, name, sizeof(name) - 1);
	p += sizeof(name) - 1;
	memcpy(p, request_id, RENDER_REQUEST_ID);
	memcpy(p + RENDER_REQUEST_ID, "\"}\n", 3);
}

static void
set_part(struct render_reply *out, const char *s, size_t len)
{
	out->iov[out->n_iov++] = (struct iovec){ (void *)(uintptr_t)s, len };
	out->len += len;
}

static void
render_kept(struct render *r, const struct broker_view *view,
    enum render_form form, const struct render_how *how,
    struct render_reply *out)
{
	struct kept_text *k = &kept_of(r, view->name)->texts[form];
	int64_t seconds = seconds_left(view, how->now_s);
	const char *text;
	size_t skip = 0;

	if (k->serial != view->serial || k->expires_at != view->expires_at ||
	    secret_is_empty(&k->text))
		kept_make(k, view, form);
	if (form != RENDER_JSON)
		seconds = MIN2(seconds, RENDER_LEASE_MAX_S);
	make_patch(k->patch, seconds, how->request_id);
	if (how->minor != 1 || !how->keep_alive) {
		set_part(out, out->head, http1_status_line(out->head, 200,
		    how->minor, how->keep_alive));
		skip = k->body_at;
	}
	text = secret_reveal(&k->text);
	set_part(out, text + skip, k->text.len - skip);
}

static void
render_text(const struct broker_view *view, const struct render_how *how,
    struct render_reply *out)
{
	size_t n = http1_status_line(out->head, 200, how->minor,
	    how->keep_alive);

	n += (size_t)snprintf(out->head + n, sizeof(out->head) - n,
	    "Content-Type: text/plain\r\nCache-Control: no-store\r\n"
	    "ETag: \"%" PRIu64 "\"\r\nX-Request-Id: %s\r\n"
	    "Content-Length: %zu\r\n\r\n", view->generation, how->request_id,
	    view->value->len);
	set_part(out, out->head, n);
	set_part(out, secret_reveal(view->value), view->value->len);
}

void
render_value(struct render *r, const struct broker_view *view,
    enum render_form form, const struct render_how *how,
    struct render_reply *out)
{
	out->n_iov = 0;
	out->len = 0;
	if (form == RENDER_TEXT)
		render_text(view, how, out);
	else
		render_kept(r, view, form, how, out);
}
