/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_call - one transfer: what libcurl is told about it, what comes in, and
 * which of our errors its end is. Every option that is a policy of lib/http.h
 * is set in this file and nowhere else.
 *
 *  - A connection that was used before is not used for a request that changes
 *    something: libcurl repeats a request by itself when such a connection
 *    turns out to be dead, and that would redeem a refresh token twice behind
 *    our back.
 *  - A cancelled call must not wait for its resolver thread (QUICK_EXIT).
 *  - HTTP/1.1 only: one request a call, nothing to multiplex.
 *  - libcurl's list of header lines is ours: its nodes lie in the call, its
 *    texts are secrets.
 */
#include "lib/http_call.h"

#include <assert.h>
#include <ctype.h>
#include <strings.h>

#include "base/now.h"
#include "base/timefmt.h"
#include "base/util.h"

#define CONNECT_MAX_MS 10000
#define TIMEOUT_MS 30000
#define BODY_CAP ((size_t)1 << 20)
#define HEAD_CAP ((size_t)64 << 10)

/* What libcurl calls while a reply comes in. */

static int
on_sending(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct http_call *call = arg;

	call->sent = true;
	return CURL_PREREQFUNC_OK;
}

/* The value when the line is "name: value", trimmed into buf; else NULL. */
static const char *
header_value(const char *line, size_t len, const char *name, char *buf,
    size_t size)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	for (line += n + 1, len -= n + 1; len && (*line == ' ' ||
	    *line == '\t'); line++, len--)
		;
	while (len && isspace((unsigned char)line[len - 1]))
		len--;
	if (len >= size)
		return NULL;
	memcpy(buf, line, len);
	buf[len] = '\0';
	return buf;
}

static void
read_content_type(const char *value, char *out, size_t size)
{
	size_t n = strcspn(value, "; \t"), i;

	n = MIN2(n, size - 1);
	for (i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)value[i]);
	out[n] = '\0';
}

static void
read_header(struct http_call *call, const char *line, size_t len)
{
	char value[512];
	int64_t t;

	if (header_value(line, len, "Content-Type", value, sizeof(value)))
		read_content_type(value, call->reply.content_type,
		    sizeof(call->reply.content_type));
	else if (header_value(line, len, "Date", value, sizeof(value)) &&
	    timefmt_parse_http_date(value, &t))
		call->reply.date_s = t;
	else if (header_value(line, len, "Retry-After", value, sizeof(value))) {
		if (timefmt_parse_http_date(value, &t))
			call->retry_date_s = t;
		else if (value[0] && strspn(value, "0123456789") ==
		    strlen(value) && timefmt_parse_duration(value, &t))
			call->reply.retry_after_ms = t;
	}
}

/* Every line of every head: also those of 1xx replies before the real one, and
 * trailers after the body, which we do not believe. */
static size_t
on_head(char *line, size_t one, size_t len, void *arg)
{
	struct http_call *call = arg;

	call->head_len += len;
	if (call->head_len > HEAD_CAP) {
		call->head_too_large = true;
		return 0;
	}
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		call->head_done = false;
		call->reply.content_type[0] = '\0';
		call->reply.date_s = call->reply.retry_after_ms = 0;
		call->retry_date_s = 0;
	} else if (len <= 2 && (*line == '\r' || *line == '\n')) {
		call->head_done = true;
	} else if (!call->head_done) {
		read_header(call, line, len);
	}
	return len;
}

static size_t
on_body(char *bytes, size_t one, size_t len, void *arg)
{
	struct http_call *call = arg;

	if (len > call->body_cap - call->reply.body.len) {
		call->body_too_large = true;
		return 0;
	}
	secret_append(&call->reply.body, bytes, len);
	return len;
}

/* How a call ends. */

/* Of the service's making or of the configuration's: to try again as it is
 * would not help. */
static bool
is_for_good(CURLcode code)
{
	static const CURLcode codes[] = {
		CURLE_UNSUPPORTED_PROTOCOL,
		CURLE_URL_MALFORMAT,
		CURLE_WEIRD_SERVER_REPLY,
		CURLE_WRITE_ERROR,
		CURLE_FILESIZE_EXCEEDED,
		CURLE_PEER_FAILED_VERIFICATION,
		CURLE_SSL_CACERT_BADFILE,
		CURLE_SSL_CERTPROBLEM,
		CURLE_SSL_CIPHER,
		CURLE_SSL_ISSUER_ERROR,
		CURLE_SSL_INVALIDCERTSTATUS,
		CURLE_BAD_CONTENT_ENCODING,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

/* libcurl's own words are shown where they are about the connection; later
 * they may quote the reply. */
static const char *
curl_text(struct http_call *call, CURLcode code)
{
	unsigned char *p;

	if (call->sent || !call->curl_says[0])
		return curl_easy_strerror(code);
	for (p = (unsigned char *)call->curl_says; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	return call->curl_says;
}

/* What the service's TLS says about our certificate; NULL: nothing. With TLS
 * 1.3 its alert comes when we think that the handshake is over and the request
 * is on its way, so that libcurl calls it a failure to receive. The words are
 * OpenSSL's, and looked for only where no byte of a reply has come. */
static const char *
certificate_alert(const struct http_call *call, CURLcode code)
{
	static const char *const alerts[] = { "alert certificate required",
		"alert unknown ca", "alert bad certificate",
		"alert certificate expired", "alert certificate revoked",
		"alert certificate unknown", "alert unsupported certificate" };
	size_t i;

	if (call->head_len > 0 || (code != CURLE_RECV_ERROR &&
	    code != CURLE_SEND_ERROR && code != CURLE_SSL_CONNECT_ERROR))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(alerts); i++)
		if (strstr(call->curl_says, alerts[i]))
			return alerts[i] + strlen("alert ");
	return NULL;
}

/* Whether the request was read is not told by the alert: a service may ask for
 * a certificate after it has read it (post-handshake authentication, which
 * libcurl offers). So a request that has left us stays uncertain. */
static void
set_certificate_error(struct http_call *call, const char *alert,
    enum tb_errc class)
{
	if (!call->cert_file)
		tb_error_set(&call->err, class, "%.120s: it wants a client "
		    "certificate (TLS alert: %s): set tls_cert_file and "
		    "tls_key_file", call->origin, alert);
	else
		tb_error_set(&call->err, class, "%.90s: it refuses the client "
		    "certificate %.90s (TLS alert: %s): look at tls_cert_file, "
		    "and at the CA that the service takes clients of",
		    call->origin, call->cert_file, alert);
}

/* A service that closes over a request it has not read resets the connection,
 * and its alert may be lost with it. */
static bool
may_be_certificate(const struct http_call *call, CURLcode code)
{
	return call->sent && call->head_len == 0 &&
	    (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) &&
	    strncmp(call->origin, "https:", 6) == 0;
}

static void
call_set_error(struct http_call *call, CURLcode code)
{
	struct tb_error *err = &call->err;
	const char *text = curl_text(call, code);
	/* Before anything was sent even a bad certificate is an outage: nothing
	 * was spent or made, and it heals by itself when it is mended. */
	enum tb_errc class = !call->sent ? TB_E_UNREACHED :
	    is_for_good(code) ? TB_E_PROTO : TB_E_TRANSIENT;
	const char *alert = certificate_alert(call, code);

	if (alert)
		set_certificate_error(call, alert, class);
	else if (call->head_too_large)
		tb_error_set(err, TB_E_PROTO,
		    "%.160s: the head of the reply is larger than %zu bytes",
		    call->origin, HEAD_CAP);
	else if (call->body_too_large || code == CURLE_FILESIZE_EXCEEDED)
		tb_error_set(err, TB_E_PROTO,
		    "%.160s: the body is larger than %zu bytes", call->origin,
		    call->body_cap);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		tb_error_set(err, class,
		    "%.90s: its certificate does not verify against %.90s: "
		    "%.100s", call->origin, call->ca_file ? call->ca_file :
		    "the system's CA certificates (see ca_file)", text);
	else if (code == CURLE_SSL_CACERT_BADFILE)
		tb_error_set(err, class, "%.120s: cannot be used as ca_file: "
		    "%.120s", call->ca_file ? call->ca_file :
		    "the system's CA certificates", text);
	else if (code == CURLE_SSL_CERTPROBLEM)
		tb_error_set(err, class, "%.120s: cannot be used as client "
		    "certificate: %.120s", call->cert_file ? call->cert_file :
		    call->origin, text);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		tb_error_set(err, class, "%.160s: %s", call->origin, call->sent ?
		    "no complete reply in time" : "no connection in time");
	else if (may_be_certificate(call, code))
		tb_error_set(err, class, "%.120s: the connection broke before "
		    "a reply (%.60s); if it wants a client certificate%s, see "
		    "tls_cert_file", call->origin, text,
		    call->cert_file ? " of another CA" : "");
	else
		tb_error_set(err, class, "%.120s: %.160s", call->origin, text);
}

static void
call_unlink(struct http_call *call)
{
	if (!call->link)
		return;
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	call->next = NULL;
	call->link = NULL;
}

/* Tells the caller on a later turn. */
static void
call_finish(struct http_call *call)
{
	struct http_call **end = &call->http->finished;

	while (*end)
		end = &(*end)->next;
	call->link = end;
	*end = call;
	loop_task_post(&call->http->deliver);
}

static void
call_free(struct http_call *call)
{
	size_t i;

	if (call->easy) {
		curl_multi_remove_handle(call->http->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	call_unlink(call);
	for (i = 0; i < HTTP_CALL_LINES; i++)
		secret_clear(&call->line_text[i]);
	secret_clear(&call->body);
	secret_clear(&call->reply.body);
	free(call->origin);
	free(call->ca_file);
	free(call->cert_file);
	call->http->n_calls--;
	free(call);
}

void
http_call_ended(struct http_call *call, CURLcode code)
{
	CURL *easy = STEAL(call->easy);
	int64_t server_now;
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(call->http->multi, easy);
	curl_easy_cleanup(easy);
	call->reply.status = (int)status;
	if (call->retry_date_s) {
		/* By the service's clock, where it tells. */
		server_now = call->reply.date_s ? call->reply.date_s :
		    now_real_s();
		if (call->retry_date_s > server_now)
			call->reply.retry_after_ms =
			    (call->retry_date_s - server_now) * 1000;
	}
	if (code != CURLE_OK)
		call_set_error(call, code);
	call_finish(call);
}

static enum http_result
result_of(const struct http_call *call)
{
	if (call->err.code != TB_OK)
		return HTTP_RESULT_LOST;
	if (call->reply.status < 300)
		return HTTP_RESULT_2XX;
	if (call->reply.status < 400)
		return HTTP_RESULT_3XX;
	return call->reply.status < 500 ? HTTP_RESULT_4XX : HTTP_RESULT_5XX;
}

void
http_call_deliver(struct http_call *call)
{
	call->http->stats.results[result_of(call)]++;
	call_unlink(call);
	call->is_delivering = true;
	if (call->err.code == TB_OK)
		call->done(call->arg, &call->reply, NULL);
	else
		call->done(call->arg, NULL, &call->err);
	call_free(call);
}

void
http_call_cancel(struct http_call **callp)
{
	struct http_call *call = STEAL(*callp);

	if (!call)
		return;
	/* The first line of a done callback forgets the handle. */
	assert(!call->is_delivering);
	call_free(call);
}

/* How a call begins. */

static void
add_line(struct http_call *call, struct secret *text)
{
	size_t i = call->n_lines++;

	secret_move(&call->line_text[i], text);
	call->lines[i].data = (char *)secret_reveal(&call->line_text[i]);
	if (i > 0)
		call->lines[i - 1].next = &call->lines[i];
}

static void
add_plain_line(struct http_call *call, const char *name, const char *value)
{
	_cleanup_(secret_clear) struct secret text = SECRET_INIT;

	secret_set_str(&text, name);
	secret_append_str(&text, value);
	add_line(call, &text);
}

/* A value that could begin another header is refused, not sent. */
static int
add_lines(struct http_call *call, const struct http_request *req)
{
	const unsigned char *value;
	size_t i, j;

	for (i = 0; i < req->n_headers; i++) {
		_cleanup_(secret_clear) struct secret text = SECRET_INIT;

		value = (const unsigned char *)
		    secret_reveal(&req->headers[i].value);
		for (j = 0; j < req->headers[i].value.len; j++)
			if ((value[j] < 0x20 && value[j] != '\t') ||
			    value[j] == 0x7f)
				return tb_error_set(&call->err, TB_E_BADREQ,
				    "header %s holds a control character",
				    req->headers[i].name);
		secret_set_str(&text, req->headers[i].name);
		/* libcurl's way to say that a header is empty */
		secret_append_str(&text, j ? ": " : ";");
		secret_append(&text, value, j);
		add_line(call, &text);
	}
	/* Nothing after the colon: libcurl shall not add this one by itself. */
	add_plain_line(call, req->content_type ? "Content-Type: " :
	    "Content-Type:", req->content_type ? req->content_type : "");
	add_plain_line(call, "Expect:", "");
	return 0;
}

/* One option; the first failure of a call's options counts. */
#define SET(call, r, option, value) \
	do { \
		if (*(r) == CURLE_OK) \
			*(r) = curl_easy_setopt((call)->easy, option, value); \
	} while (0)

static void
set_policy(struct http_call *call, const struct http_request *req, CURLcode *r)
{
	bool tls = strncasecmp(req->url, "https:", 6) == 0;
	long total = (long)(req->timeout_ms > 0 ? req->timeout_ms : TIMEOUT_MS);

	SET(call, r, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
	SET(call, r, CURLOPT_FOLLOWLOCATION, 0L);
	SET(call, r, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(call, r, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(call, r, CURLOPT_NOSIGNAL, 1L);
	SET(call, r, CURLOPT_QUICK_EXIT, 1L);
	SET(call, r, CURLOPT_TIMEOUT_MS, total);
	SET(call, r, CURLOPT_CONNECTTIMEOUT_MS, MIN2(total, CONNECT_MAX_MS));
	SET(call, r, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->body_cap);
	/* "" is none, NULL would be the environment's. Plain http is for
	 * loopback only and never leaves the machine. */
	SET(call, r, CURLOPT_PROXY, tls && call->http->proxy ?
	    call->http->proxy : "");
	SET(call, r, CURLOPT_NOPROXY, "");
	SET(call, r, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	SET(call, r, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (strcmp(req->method, "GET") != 0) {
		SET(call, r, CURLOPT_FRESH_CONNECT, 1L);
		SET(call, r, CURLOPT_FORBID_REUSE, 1L);
	}
}

static void
set_tls(struct http_call *call, const struct http_tls *tls, CURLcode *r)
{
	SET(call, r, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(call, r, CURLOPT_SSL_VERIFYPEER, tls->insecure ? 0L : 1L);
	SET(call, r, CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
	if (call->ca_file) {
		/* Instead of the system's, not beside them. */
		SET(call, r, CURLOPT_CAINFO, call->ca_file);
		SET(call, r, CURLOPT_CAPATH, NULL);
	}
	if (tls->cert_file) {
		SET(call, r, CURLOPT_SSLCERT, tls->cert_file);
		SET(call, r, CURLOPT_SSLKEY, tls->key_file ? tls->key_file :
		    tls->cert_file);
	}
}

static void
set_request(struct http_call *call, const struct http_request *req, CURLcode *r)
{
	bool is_get = strcmp(req->method, "GET") == 0;

	SET(call, r, CURLOPT_URL, req->url);
	SET(call, r, CURLOPT_HTTPHEADER, call->lines);
	if (call->http->user_agent)
		SET(call, r, CURLOPT_USERAGENT, call->http->user_agent);
	if (req->content_type || (!is_get &&
	    strcmp(req->method, "DELETE") != 0)) {
		SET(call, r, CURLOPT_POSTFIELDS, secret_reveal(&call->body));
		SET(call, r, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)call->body.len);
	}
	if (!is_get || req->content_type)
		SET(call, r, CURLOPT_CUSTOMREQUEST, req->method);
	SET(call, r, CURLOPT_PREREQFUNCTION, on_sending);
	SET(call, r, CURLOPT_PREREQDATA, call);
	SET(call, r, CURLOPT_HEADERFUNCTION, on_head);
	SET(call, r, CURLOPT_HEADERDATA, call);
	SET(call, r, CURLOPT_WRITEFUNCTION, on_body);
	SET(call, r, CURLOPT_WRITEDATA, call);
	SET(call, r, CURLOPT_ERRORBUFFER, call->curl_says);
	SET(call, r, CURLOPT_PRIVATE, call);
}

/* On failure call->err says why. */
static int
call_begin(struct http_call *call, struct http_request *req)
{
	CURLcode r = CURLE_OK;
	CURLMcode mr;

	if (http_url_check(req->url, req->allow_loopback_http, &call->err) < 0)
		return -1;
	call->origin = http_url_origin(req->url);
	call->ca_file = xstrdup0(req->tls.ca_file ? req->tls.ca_file :
	    call->http->ca_file);
	call->cert_file = xstrdup0(req->tls.cert_file);
	call->body_cap = req->body_cap ? req->body_cap : BODY_CAP;
	if (add_lines(call, req) < 0)
		return -1;
	secret_move(&call->body, &req->body);
	call->easy = curl_easy_init();
	if (!call->easy)
		abort();
	set_policy(call, req, &r);
	set_tls(call, &req->tls, &r);
	set_request(call, req, &r);
	mr = r == CURLE_OK ?
	    curl_multi_add_handle(call->http->multi, call->easy) : CURLM_OK;
	if (r == CURLE_OK && mr == CURLM_OK)
		return 0;
	curl_easy_cleanup(STEAL(call->easy));
	return tb_error_set(&call->err, TB_E_PROTO, "%.160s: libcurl: %s",
	    call->origin, r != CURLE_OK ? curl_easy_strerror(r) :
	    curl_multi_strerror(mr));
}

struct http_call *
http_call_start(struct http *http, struct http_request *req,
    http_done_fn *done, void *arg)
{
	struct http_call *call = xnew(struct http_call);

	call->http = http;
	call->done = done;
	call->arg = arg;
	http->n_calls++;
	if (call_begin(call, req) < 0)
		call_finish(call);
	http_request_clear(req);
	return call;
}
