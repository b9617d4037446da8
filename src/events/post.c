/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A webhook per event, signed as Standard Webhooks says (standardwebhooks.com):
 *
 *	webhook-id: the event's id, the same at each attempt
 *	webhook-timestamp: seconds since the epoch, of this attempt
 *	webhook-signature: v1, and in base64 HMAC-SHA256(key, ID.TIMESTAMP.BODY)
 *
 * The rest is lib/http's policy: TLS verified, no redirects, no proxy from the
 * environment, a limit in time and size.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/fs.h"
#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "events/deliver.h"
#include "events/tell.h"
#include "lib/http.h"
#include "lib/loop.h"

#define KEY_HEAD "whsec_"
#define KEY_FILE_CAP 512
#define KEY_MIN 24
#define KEY_MAX 64
#define ANSWER_CAP ((size_t)64 << 10) /* nobody reads it */

int
post_read_key(const char *path, struct secret *key, struct tb_error *err)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	struct secret raw _cleanup_(secret_clear) = SECRET_INIT;
	size_t len, pad = 0, head = sizeof(KEY_HEAD) - 1;
	const char *s;
	int n = -1;

	if (fs_check_private(path, 0027, err) < 0 ||
	    fs_read_secret(path, KEY_FILE_CAP, &text, err) < 0)
		return -1;
	s = secret_reveal(&text);
	len = strcspn(s, "\r\n \t");
	if (len > head && len % 4 == head % 4 &&
	    strncmp(s, KEY_HEAD, head) == 0) {
		while (pad < 2 && s[len - 1 - pad] == '=')
			pad++;
		n = EVP_DecodeBlock(secret_alloc(&raw, len),
		    (const unsigned char *)s + head, (int)(len - head)) -
		    (int)pad;
	}
	if (n < KEY_MIN || n > KEY_MAX)
		return tb_error_set(err, TB_E_CONFIG, "%.200s holds no key: "
		    KEY_HEAD " and the base64 of %d to %d bytes is expected; "
		    "make one with: echo " KEY_HEAD "$(openssl rand -base64 "
		    "32)", path, KEY_MIN, KEY_MAX);
	secret_set(key, secret_reveal(&raw), (size_t)n);
	return 0;
}

/* "v1,BASE64" of "ID.TIMESTAMP.BODY", owned. */
static char *
post_sign(const struct secret *key, const char *id, int64_t timestamp,
    const char *body)
{
	_cleanup_free_ char *text = xasprintf("%s.%" PRId64 ".%s", id,
	    timestamp, body);
	unsigned char mac[EVP_MAX_MD_SIZE];
	char b64[2 * EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!HMAC(EVP_sha256(), secret_reveal(key), (int)key->len,
		(const unsigned char *)text, strlen(text), mac, &n))
		abort(); /* of memory only */
	EVP_EncodeBlock((unsigned char *)b64, mac, (int)n);
	return xasprintf("v1,%s", b64);
}

int
post_open(struct deliver *d, const char *ca_file, struct tb_error *err)
{
	struct http_env env = { .ca_file = ca_file,
		.user_agent = "tokenbroker-events/" PACKAGE_VERSION };

	if (http_url_check(d->url, true, err) < 0)
		return tb_error_wrap(err, "--post");
	d->loop = loop_new(err);
	if (!d->loop)
		return -1;
	d->http = http_new(d->loop, &env, err);
	return d->http ? 0 : -1;
}

void
post_close(struct deliver *d)
{
	http_free(d->http);
	loop_free(d->loop);
	secret_clear(&d->key);
}

struct post {
	struct loop *loop;
	struct loop_timer look; /* whether we were told to end */
	struct http_call *call;
	struct tb_error *err;
	int result;
};

#define LOOK_MS 200

static void
post_on_done(void *arg, struct http_reply *reply, const struct tb_error *err)
{
	struct post *p = arg;

	p->call = NULL;
	loop_stop(p->loop);
	if (err)
		*p->err = *err;
	else if (reply->status / 100 != 2)
		tb_error_set(p->err, TB_E_TRANSIENT, "the receiver answers "
		    "with HTTP %d", reply->status);
	p->err->retry_after_ms = err ? 0 : reply->retry_after_ms;
	p->result = p->err->code ? -1 : 0;
}

/* The loop knows no signal masks: they are let in for a moment. */
static void
post_on_look(void *arg)
{
	struct post *p = arg;
	sigset_t old;

	sigprocmask(SIG_SETMASK, tell_wait_mask(), &old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (!tell_stopped) {
		loop_timer_set(&p->look, LOOK_MS);
		return;
	}
	http_call_cancel(&p->call);
	p->result = tb_error_set(p->err, TB_E_CANCELLED, "interrupted");
	loop_stop(p->loop);
}

static void
set_headers(struct http_request *rq, const struct deliver *d,
    const json_t *event, const char *body)
{
	const char *id = json_string_value(json_object_get(event, "id"));
	int64_t now = now_real_s();
	_cleanup_free_ char *signature = NULL;
	char when[24];

	id = id ? id : "tb";
	snprintf(when, sizeof(when), "%" PRId64, now);
	http_request_header(rq, "webhook-id", id);
	http_request_header(rq, "webhook-timestamp", when);
	if (secret_is_empty(&d->key))
		return;
	signature = post_sign(&d->key, id, now, body);
	http_request_header(rq, "webhook-signature", signature);
}

int
deliver_post(struct deliver *d, const json_t *event, struct tb_error *err)
{
	_cleanup_free_ char *body = json_dumps(event, JSON_COMPACT);
	struct http_request rq = HTTP_REQUEST_INIT;
	struct post p = { .loop = d->loop, .err = err, .result = -1 };

	if (!body)
		return tb_error_set(err, TB_E_PROTO, "the event is no text");
	rq.method = "POST";
	rq.url = xstrdup(d->url);
	rq.content_type = "application/json";
	secret_set_str(&rq.body, body);
	rq.timeout_ms = d->timeout_ms;
	rq.body_cap = ANSWER_CAP;
	rq.allow_loopback_http = true;
	set_headers(&rq, d, event, body);
	loop_timer_init(&p.look, d->loop, post_on_look, &p);
	loop_timer_set(&p.look, LOOK_MS);
	p.call = http_call_start(d->http, &rq, post_on_done, &p);
	if (loop_run(d->loop, err) < 0)
		p.result = -1;
	http_call_cancel(&p.call);
	loop_timer_stop(&p.look);
	return p.result;
}
