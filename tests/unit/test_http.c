/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/http on a real loop, against a server in a thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "tiny_server.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct loop *loop;
static struct http *http;
static struct tiny_server *server;
static struct strbuf trace = STRBUF_INIT;
static struct http_reply last; /* a copy; the body is moved out */
static struct tb_error last_err;
static int to_come;
static bool timed_out;
static char cert_path[] = "/tmp/test_http_cert.XXXXXX";

static void
on_done(void *arg, struct http_reply *reply, const struct tb_error *err)
{
	struct http_call **call = arg;

	*call = NULL;
	secret_clear(&last.body);
	if (err) {
		last_err = *err;
		strbuf_addf(&trace, "%s ", tb_error_name(err->code));
	} else {
		last = *reply;
		last.body = (struct secret)SECRET_INIT;
		secret_move(&last.body, &reply->body);
		strbuf_addf(&trace, "%d ", reply->status);
	}
	if (--to_come == 0)
		loop_stop(loop);
}

static void
on_too_late(void *arg)
{
	timed_out = true;
	loop_stop(loop);
}

static void
run(int calls)
{
	struct tb_error err = TB_ERROR_INIT;
	struct loop_timer guard;

	assert_int_equal(trace.len, 0);
	to_come = calls;
	timed_out = false;
	loop_timer_init(&guard, loop, on_too_late, NULL);
	loop_timer_set(&guard, 8000);
	assert_int_equal(loop_run(loop, &err), 0);
	loop_timer_stop(&guard);
	assert_false(timed_out);
}

static const char *
take_trace(void)
{
	static char copy[256];

	snprintf(copy, sizeof(copy), "%s", strbuf_str(&trace));
	strbuf_reset(&trace);
	return copy;
}

static struct http_request
request(const char *scheme, int port, const char *path)
{
	struct http_request req = HTTP_REQUEST_INIT;

	req.url = xasprintf("%s://127.0.0.1:%d%s", scheme, port, path);
	req.allow_loopback_http = true;
	return req;
}

static struct http_call *
start(struct http_request *req, struct http_call **slot)
{
	*slot = http_call_start(http, req, on_done, slot);
	return *slot;
}

/* One call against a server with one step; its trace. */
static const char *
once(const char *method, const struct tiny_server_step *step,
    int64_t timeout_ms, size_t cap)
{
	struct http_call *call;
	struct http_request req;

	server = tiny_server_start(step, 1, NULL);
	req = request("http", tiny_server_port(server), "/");
	req.method = method;
	req.timeout_ms = timeout_ms;
	req.body_cap = cap;
	start(&req, &call);
	run(1);
	assert_null(call);
	tiny_server_stop(STEAL(server));
	return take_trace();
}

static const char *
once_reply(const char *reply)
{
	struct tiny_server_step step = { reply, SERVER_CLOSE, 0 };

	return once("GET", &step, 0, 0);
}

static int
setup(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct http_env env = { .user_agent = "test/1" };

	loop = loop_new(&err);
	http = http_new(loop, &env, &err);
	return loop && http ? 0 : -1;
}

static int
teardown(void **state)
{
	tiny_server_stop(STEAL(server));
	http_free(http);
	loop_free(loop);
	secret_clear(&last.body);
	strbuf_clear(&trace);
	return 0;
}

static void
test_get(void **state)
{
	struct tiny_server_step step = { "HTTP/1.1 100 Continue\r\n"
	    "Content-Type: text/early\r\nRetry-After: 9\r\n\r\n"
	    "HTTP/1.1 201 Created\r\n"
	    "Content-Type:  Application/JSON; charset=utf-8\r\n"
	    "Date: Sun, 22 Nov 2026 17:20:00 GMT\r\n"
	    "Content-Length: 7\r\n\r\n{\"a\":1}", SERVER_CLOSE, 0 };
	struct http_call *call;
	struct http_request req;
	struct secret token = SECRET_INIT;
	const char *seen;

	server = tiny_server_start(&step, 1, NULL);
	req = request("http", tiny_server_port(server), "/path?q=1");
	secret_set_str(&token, "s3cret");
	http_request_bearer(&req, "Bearer", &token);
	http_request_header(&req, "Accept", "application/json");
	http_request_header(&req, "X-Empty", "");
	assert_non_null(start(&req, &call));
	assert_null(req.url);
	run(1);
	assert_string_equal(take_trace(), "201 ");
	assert_string_equal(secret_reveal(&last.body), "{\"a\":1}");
	assert_string_equal(last.content_type, "application/json");
	assert_int_equal(last.date_s, 1795368000);
	assert_int_equal(last.retry_after_ms, 0);
	seen = tiny_server_request(server, 0);
	assert_memory_equal(seen, "GET /path?q=1 HTTP/1.1\r\n", 24);
	assert_non_null(strstr(seen, "\r\nAuthorization: Bearer s3cret\r\n"));
	assert_non_null(strstr(seen, "\r\nAccept: application/json\r\n"));
	assert_non_null(strstr(seen, "\r\nX-Empty:\r\n"));
	assert_non_null(strstr(seen, "\r\nUser-Agent: test/1\r\n"));
	assert_null(strcasestr(seen, "Content-Type"));
	assert_null(strcasestr(seen, "Content-Length"));
	assert_null(strcasestr(seen, "Encoding"));
	secret_clear(&token);
}

static void
test_methods_and_bodies(void **state)
{
	static const struct {
		const char *method, *type, *body;
		const char *head; /* expected line, or NULL */
		const char *not_in;
	} t[] = {
		{ "POST", "application/x-www-form-urlencoded", "a=1&b=%20",
		    "\r\nContent-Length: 9\r\n", "Expect" },
		{ "POST", NULL, "", "\r\nContent-Length: 0\r\n",
		    "Content-Type" },
		{ "PATCH", "application/json", "{}",
		    "\r\nContent-Type: application/json\r\n", "chunked" },
		{ "PUT", "text/plain", "x", "\r\nContent-Length: 1\r\n",
		    "Expect" },
		{ "DELETE", NULL, "", NULL, "Content-Length" },
		{ "DELETE", "application/json", "[1]",
		    "\r\nContent-Length: 3\r\n", "Expect" },
	};
	struct tiny_server_step step = { "HTTP/1.1 204 No\r\n\r\n",
	    SERVER_CLOSE, 0 };
	struct http_call *call;
	struct http_request req;
	const char *seen;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		server = tiny_server_start(&step, 1, NULL);
		req = request("http", tiny_server_port(server), "/x");
		req.method = t[i].method;
		req.content_type = t[i].type;
		secret_set_str(&req.body, t[i].body);
		start(&req, &call);
		run(1);
		assert_string_equal(take_trace(), "204 ");
		seen = tiny_server_request(server, 0);
		assert_memory_equal(seen, t[i].method, strlen(t[i].method));
		assert_string_equal(strstr(seen, "\r\n\r\n") + 4, t[i].body);
		if (t[i].head)
			assert_non_null(strstr(seen, t[i].head));
		assert_null(strcasestr(seen, t[i].not_in));
		tiny_server_stop(STEAL(server));
	}
}

/* A megabyte and more goes out at once: libcurl would ask first. */
static void
test_large_body(void **state)
{
	struct tiny_server_step step = { OK_REPLY, SERVER_CLOSE, 0 };
	struct http_request req;
	struct http_call *call;
	const char *seen;

	server = tiny_server_start(&step, 1, NULL);
	req = request("http", tiny_server_port(server), "/");
	req.method = "POST";
	req.content_type = "text/plain";
	memset(secret_alloc(&req.body, 1500000), 'b', 1500000);
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "200 ");
	seen = tiny_server_request(server, 0);
	assert_null(strstr(seen, "Expect"));
	assert_int_equal(strlen(strstr(seen, "\r\n\r\n") + 4), 1500000);
}

static void
test_redirect_and_status(void **state)
{
	assert_string_equal(once_reply("HTTP/1.1 302 Found\r\n"
	    "Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
	    "302 ");
	assert_string_equal(once_reply("HTTP/1.1 503 Busy\r\n"
	    "Content-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>"), "503 ");
	assert_string_equal(last.content_type, "text/html");
	assert_string_equal(once_reply("HTTP/1.1 401 No\r\n"
	    "WWW-Authenticate: Basic realm=x\r\n\r\nbody to the end"), "401 ");
	assert_string_equal(secret_reveal(&last.body), "body to the end");
	assert_string_equal(once_reply("HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n2\r\nde\r\n0\r\nContent-Type: evil/type\r\n\r\n"),
	    "200 ");
	assert_string_equal(secret_reveal(&last.body), "abcde");
	assert_string_equal(last.content_type, "text/plain");
}

static void
test_retry_after(void **state)
{
	static const struct {
		const char *headers;
		int64_t ms;
	} t[] = {
		{ "Retry-After: 120\r\n", 120000 },
		{ "retry-after:\t0\r\n", 0 },
		{ "Date: Sun, 22 Nov 2026 17:20:00 GMT\r\n"
		  "Retry-After: Sun, 22 Nov 2026 17:21:30 GMT\r\n", 90000 },
		{ "Retry-After: Sun, 22 Nov 2026 17:21:30 GMT\r\n"
		  "Date: Sun, 22 Nov 2026 17:20:00 GMT\r\n", 90000 },
		{ "Date: Sun, 22 Nov 2026 17:20:00 GMT\r\n"
		  "Retry-After: Sun, 22 Nov 2026 17:19:00 GMT\r\n", 0 },
		{ "Retry-After: -5\r\n", 0 },
		{ "Retry-After: 1h\r\n", 0 },
		{ "Retry-After: 99999999999999999999999\r\n", 0 },
		{ "Retry-After:\r\n", 0 },
		{ "Retry-After: soon\r\n", 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_free_ char *reply = xasprintf("HTTP/1.1 429 Slow\r\n"
		    "%sContent-Length: 0\r\n\r\n", t[i].headers);

		assert_string_equal(once_reply(reply), "429 ");
		assert_int_equal(last.retry_after_ms, t[i].ms);
	}
}

/* Without a Date of the service, our clock is what there is. */
static void
test_retry_after_by_our_clock(void **state)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	time_t at = (time_t)now_real_s() + 100;
	struct tm tm;
	_cleanup_free_ char *reply = NULL;

	gmtime_r(&at, &tm);
	reply = xasprintf("HTTP/1.1 503 Busy\r\nRetry-After: %s, %02d %s %d "
	    "%02d:%02d:%02d GMT\r\nContent-Length: 0\r\n\r\n",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
	    1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
	assert_string_equal(once_reply(reply), "503 ");
	assert_in_range(last.retry_after_ms, 90000, 100000);
}

static void
test_caps(void **state)
{
	struct tiny_server_step declared = { "HTTP/1.1 200 OK\r\n"
	    "Content-Length: 11\r\n\r\n0123456789a", SERVER_CLOSE, 0 };
	struct tiny_server_step chunked = { "HTTP/1.1 200 OK\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n"
	    "8\r\n01234567\r\n3\r\n89a\r\n0\r\n\r\n", SERVER_CLOSE, 0 };
	struct tiny_server_step slow = { "HTTP/1.1 200 OK\r\n"
	    "Content-Length: 11\r\n\r\n", SERVER_HANG, 0 };
	struct tiny_server_step head = { NULL, SERVER_CLOSE, 0 };
	struct strbuf big = STRBUF_INIT;

	assert_string_equal(once("GET", &declared, 0, 11), "200 ");
	assert_string_equal(once("GET", &declared, 0, 10), "proto ");
	assert_non_null(strstr(last_err.msg,
	    ": the body is larger than 10 bytes"));
	assert_string_equal(once("GET", &chunked, 0, 11), "200 ");
	assert_string_equal(once("GET", &chunked, 0, 10), "proto ");
	assert_non_null(strstr(last_err.msg,
	    ": the body is larger than 10 bytes"));
	/* refused when it is announced, not when it has arrived */
	assert_string_equal(once("GET", &slow, 2000, 10), "proto ");
	strbuf_adds(&big, "HTTP/1.1 200 OK\r\n");
	while (big.len < 70000)
		strbuf_adds(&big, "X-Filler: 0123456789012345678901234567\r\n");
	strbuf_adds(&big, "\r\n");
	head.reply = strbuf_str(&big);
	assert_string_equal(once("GET", &head, 0, 0), "proto ");
	assert_non_null(strstr(last_err.msg,
	    ": the head of the reply is larger than 65536 bytes"));
	strbuf_clear(&big);
}

/* Whatever was sent may have been processed: TRANSIENT, never UNREACHED. */
static void
test_lost_replies(void **state)
{
	static const struct {
		struct tiny_server_step step;
		const char *result;
	} t[] = {
		{ { NULL, SERVER_CLOSE, 0 }, "transient " },
		{ { NULL, SERVER_HANG, 0 }, "transient " },
		{ { "HTTP/1.1 200 OK\r\nContent-Le", SERVER_HANG, 0 },
		    "transient " },
		{ { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
		    SERVER_CLOSE, 0 }, "transient " },
		{ { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
		    SERVER_HANG, 0 }, "transient " },
		{ { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "9\r\nhalf", SERVER_CLOSE, 0 }, "transient " },
		{ { "no http at all\r\n\r\n", SERVER_CLOSE, 0 }, "proto " },
		{ { "HTTP/1.1 200 OK\r\nContent-Length: zork\r\n\r\n",
		    SERVER_CLOSE, 0 }, "proto " },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_string_equal(once("POST", &t[i].step, 100, 0),
		    t[i].result);
		if (t[i].step.after == SERVER_HANG)
			assert_non_null(strstr(last_err.msg,
			    ": no complete reply in time"));
		assert_null(strstr(last_err.msg, "zork"));
		assert_null(strstr(last_err.msg, "no http at all"));
	}
}

static void
test_unreached(void **state)
{
	struct tiny_server_step deaf = { NULL, SERVER_DEAF, 0 };
	struct http_call *call;
	struct http_request req;

	req = request("http", tiny_server_closed_port(), "/");
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "unreached ");
	assert_memory_equal(last_err.msg, "http://127.0.0.1:", 17);

	free(req.url);
	req = (struct http_request)HTTP_REQUEST_INIT;
	req.url = xstrdup("https://no-such-host.invalid/");
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "unreached ");
	assert_memory_equal(last_err.msg, "https://no-such-host.invalid: ",
	    30);

	server = tiny_server_start(&deaf, 1, cert_path);
	req = request("https", tiny_server_port(server), "/");
	req.timeout_ms = 80;
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "unreached ");
	assert_non_null(strstr(last_err.msg, ": no connection in time"));
}

static void
test_bad_requests(void **state)
{
	static const struct {
		const char *url;
		bool loopback;
		const char *msg;
	} t[] = {
		{ "http://192.0.2.1/", true,
		    "http://192.0.2.1: only https is allowed" },
		{ "http://127.0.0.1:1/", false, "http://127.0.0.1:1: http to "
		    "loopback needs allow_insecure_loopback = yes" },
		{ "file:///etc/passwd", true,
		    "bad URL: it does not begin with https://" },
		{ "", true, "bad URL: it does not begin with https://" },
		{ NULL, true, "there is no URL" },
	};
	struct http_call *call;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct http_request req = HTTP_REQUEST_INIT;

		req.url = xstrdup0(t[i].url);
		req.allow_loopback_http = t[i].loopback;
		start(&req, &call);
		assert_non_null(call);
		assert_int_equal(trace.len, 0);
		run(1);
		assert_string_equal(take_trace(), "proto ");
		assert_string_equal(last_err.msg, t[i].msg);
	}
}

static void
test_header_injection(void **state)
{
	struct http_request req = request("http", 1, "/");
	struct http_call *call;

	http_request_header(&req, "X-A", "a\r\nX-B: b");
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "badreq ");
	assert_string_equal(last_err.msg,
	    "header X-A holds a control character");
}

/* A GET may use a kept connection. A POST may not: libcurl would send it again
 * by itself when the server closes without a word. */
static void
test_no_hidden_repeat(void **state)
{
	struct tiny_server_step steps[] = {
		{ OK_REPLY, SERVER_KEEP, 0 },
		{ OK_REPLY, SERVER_KEEP, 0 },
		{ NULL, SERVER_CLOSE, 0 },
		{ OK_REPLY, SERVER_CLOSE, 0 },
	};
	struct http_call *call;
	struct http_request req;
	int i, port;

	server = tiny_server_start(steps, ARRAY_SIZE(steps), NULL);
	port = tiny_server_port(server);
	for (i = 0; i < 2; i++) {
		req = request("http", port, "/get");
		start(&req, &call);
		run(1);
		assert_string_equal(take_trace(), "200 ");
	}
	assert_int_equal(tiny_server_connections(server), 1);
	req = request("http", port, "/post");
	req.method = "POST";
	req.timeout_ms = 150;
	start(&req, &call);
	run(1);
	/* The one-connection server is still with the first: never heard. */
	assert_string_equal(take_trace(), "transient ");
	assert_int_equal(tiny_server_requests(server), 2);
}

static struct http_call *victims[3];

static void
on_done_cancel_others(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct http_call **call = arg;

	*call = NULL;
	http_call_cancel(&victims[0]);
	http_call_cancel(&victims[1]);
	http_call_cancel(&victims[2]);
	on_done(arg, reply, err);
}

/* From a callback: one that is in flight, one that ended in the same turn and
 * was not told yet, one that never began. */
static void
test_cancel(void **state)
{
	struct tiny_server_step hang = { NULL, SERVER_HANG, 0 };
	struct http_call *call, *more;
	struct http_request req;

	server = tiny_server_start(&hang, 1, NULL);
	req = request("http", tiny_server_port(server), "/hang");
	start(&req, &victims[0]);
	req = request("gopher", 1, "/");
	call = http_call_start(http, &req, on_done_cancel_others, &call);
	req = request("gopher", 2, "/");
	start(&req, &victims[1]);
	req = request("http", tiny_server_port(server), "/later");
	start(&req, &victims[2]);
	run(1);
	assert_string_equal(take_trace(), "proto ");
	assert_null(victims[0]);
	assert_null(victims[1]);

	req = request("http", tiny_server_closed_port(), "/");
	start(&req, &more);
	http_call_cancel(&more);
	http_call_cancel(&more);
	req = request("gopher", 3, "/");
	start(&req, &more);
	run(1);
	assert_string_equal(take_trace(), "proto ");
}

static int chain;

static void
on_done_start_next(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct http_call **call = arg;
	struct http_request req;

	on_done(arg, reply, err);
	if (chain-- > 0) {
		req = request("gopher", chain, "/");
		*call = http_call_start(http, &req, on_done_start_next, call);
	}
}

static void
test_start_from_done(void **state)
{
	struct http_request req = request("gopher", 9, "/");
	struct http_call *call;

	chain = 3;
	call = http_call_start(http, &req, on_done_start_next, &call);
	run(4);
	assert_string_equal(take_trace(), "proto proto proto proto ");
}

static void
tls_call(const char *host, const struct http_tls *tls)
{
	struct tiny_server_step step = { OK_REPLY, SERVER_CLOSE, 0 };
	struct http_request req = HTTP_REQUEST_INIT;
	struct http_call *call;

	server = tiny_server_start(&step, 1, cert_path);
	req.url = xasprintf("https://%s:%d/", host, tiny_server_port(server));
	req.tls = *tls;
	start(&req, &call);
	run(1);
	tiny_server_stop(STEAL(server));
}

static void
test_tls(void **state)
{
	struct http_tls tls = { .ca_file = NULL };

	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "unreached ");
	assert_non_null(strstr(last_err.msg, ": its certificate does not "
	    "verify against the system's CA certificates (see ca_file): "));

	tls.insecure = true;
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "200 ");

	tls.insecure = false;
	tls.ca_file = cert_path;
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "200 ");
	tls_call("localhost", &tls);
	assert_string_equal(take_trace(), "200 ");

	tls_call("127.0.0.2", &tls); /* nobody listens there */
	assert_string_equal(take_trace(), "unreached ");

	tls.ca_file = "/nonexistent/ca.pem";
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "unreached ");
	assert_memory_equal(last_err.msg,
	    "/nonexistent/ca.pem: cannot be used as ca_file: ", 48);

	tls.ca_file = cert_path;
	tls.cert_file = "/nonexistent/client.pem";
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "unreached ");
	assert_memory_equal(last_err.msg,
	    "/nonexistent/client.pem: cannot be used as client certificate: ",
	    63);
}

/* The alert comes after the handshake, as far as the client sees: what it is
 * about is said all the same, and nobody claims that nothing was sent. */
static void
test_tls_client_certificate(void **state)
{
	struct http_tls tls = { .ca_file = cert_path };
	char other[] = "/tmp/test_http_client.XXXXXX";
	int fd = mkstemp(other);

	assert_true(fd >= 0);
	close(fd);
	tiny_server_make_cert(other);
	tiny_server_want_client(cert_path);
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "transient ");
	assert_non_null(strstr(last_err.msg, ": it wants a client certificate "
	    "(TLS alert: certificate required): set tls_cert_file and "
	    "tls_key_file"));

	tls.cert_file = tls.key_file = other;
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "transient ");
	assert_non_null(strstr(last_err.msg, ": it refuses the client "
	    "certificate /tmp/test_http_client."));
	assert_non_null(strstr(last_err.msg, "look at tls_cert_file, and at "
	    "the CA"));

	tls.cert_file = tls.key_file = cert_path;
	tls_call("127.0.0.1", &tls);
	assert_string_equal(take_trace(), "200 ");
	tiny_server_want_client(NULL);
	unlink(other);
}

/* Closed over what it has not read, a service loses its own alert. */
static void
test_tls_reset(void **state)
{
	struct tiny_server_step step = { NULL, SERVER_RESET, 0 };
	struct http_request req = HTTP_REQUEST_INIT;
	struct http_call *call;

	server = tiny_server_start(&step, 1, cert_path);
	req.url = xasprintf("https://127.0.0.1:%d/",
	    tiny_server_port(server));
	req.tls.ca_file = cert_path;
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "transient ");
	assert_non_null(strstr(last_err.msg, ": the connection broke before a "
	    "reply ("));
	assert_non_null(strstr(last_err.msg, "); if it wants a client "
	    "certificate, see tls_cert_file"));
}

/* Plain HTTP where TLS is expected: the handshake fails, nothing was sent. */
static void
test_tls_against_plain(void **state)
{
	struct tiny_server_step step = { OK_REPLY, SERVER_CLOSE, 0 };
	struct http_request req;
	struct http_call *call;

	server = tiny_server_start(&step, 1, NULL);
	req = request("https", tiny_server_port(server), "/");
	req.timeout_ms = 150;
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "unreached ");
}

static void
test_no_proxy_from_environment(void **state)
{
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	assert_string_equal(once_reply(OK_REPLY), "200 ");
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

/* Where `what`, each byte inverted, is in our writable memory; the number of
 * places. Huge mappings are those of a sanitizer. */
static int
count_in_memory(const char *what_inverted, size_t n)
{
	unsigned long from, to;
	char line[512], perms[8];
	_cleanup_(fclosep) FILE *maps = fopen("/proc/self/maps", "r");
	_cleanup_close_ int mem = open("/proc/self/mem", O_RDONLY);
	int found = 0;

	assert_true(maps && mem >= 0);
	while (fgets(line, sizeof(line), maps)) {
		unsigned char *copy;
		ssize_t got, i;
		size_t j;

		if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) != 3 ||
		    perms[1] != 'w' || to - from > (64 << 20))
			continue;
		copy = xcalloc(to - from, 1);
		got = pread(mem, copy, to - from, (off_t)from);
		for (i = 0; i < got; i++)
			copy[i] = (unsigned char)~copy[i];
		for (i = 0; i + (ssize_t)n <= got; i++) {
			for (j = 0; j < n && copy[i + (ssize_t)j] ==
			    (unsigned char)what_inverted[j]; j++)
				;
			found += j == n;
		}
		explicit_bzero(copy, to - from);
		free(copy);
	}
	return found;
}

/* The token of the request and that of the reply leave nothing behind, in our
 * memory or libcurl's. */
static void
test_nothing_left_in_memory(void **state)
{
	static const char sent[] = "\xac\xba\xb1\xab\xd2\xcb\xc9\xc6\xce\xc8";
	static const char got[] = "\xb8\xb0\xab\xd2\xc7\xcd\xc9\xce\xc6\xca";
	char plain[11] = "", reply[64];
	struct tiny_server_step step = { NULL, SERVER_CLOSE, 0 };
	struct http_request req;
	struct http_call *call;
	struct secret s = SECRET_INIT;
	size_t i;

	for (i = 0; i < 10; i++)
		plain[i] = (char)~got[i];
	snprintf(reply, sizeof(reply),
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n%s", plain);
	step.reply = reply;
	server = tiny_server_start(&step, 1, NULL);
	req = request("http", tiny_server_port(server), "/");
	req.method = "POST";
	req.content_type = "text/plain";
	for (i = 0; i < 10; i++)
		plain[i] = (char)~sent[i];
	secret_set_str(&s, plain);
	http_request_bearer(&req, "Bearer", &s);
	secret_dup(&req.body, &s);
	start(&req, &call);
	run(1);
	assert_string_equal(take_trace(), "200 ");
	/* Both are still there, so the search can find them. */
	assert_true(count_in_memory(got, 10) > 0);
	assert_true(count_in_memory(sent, 10) > 0);
	tiny_server_stop(STEAL(server));
	secret_clear(&s);
	secret_clear(&last.body);
	explicit_bzero(plain, sizeof(plain));
	explicit_bzero(reply, sizeof(reply));
	assert_int_equal(count_in_memory(sent, 10), 0);
	assert_int_equal(count_in_memory(got, 10), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_get),
		T(test_methods_and_bodies),
		T(test_large_body),
		T(test_redirect_and_status),
		T(test_retry_after),
		T(test_retry_after_by_our_clock),
		T(test_caps),
		T(test_lost_replies),
		T(test_unreached),
		T(test_bad_requests),
		T(test_header_injection),
		T(test_no_hidden_repeat),
		T(test_cancel),
		T(test_start_from_done),
		T(test_tls),
		T(test_tls_client_certificate),
		T(test_tls_reset),
		T(test_tls_against_plain),
		T(test_no_proxy_from_environment),
		T(test_nothing_left_in_memory),
	};
	int r, fd = mkstemp(cert_path);

	if (fd < 0)
		return 1;
	close(fd);
	tiny_server_make_cert(cert_path);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(cert_path);
	return r;
}
