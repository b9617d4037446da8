/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/http_request: what we think of URLs, and requests as values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "lib/http.h"

#define CHAR "bad URL: it holds a character that must be percent-encoded"
#define SCHEME "bad URL: it does not begin with https://"
#define HOST "bad URL: its host is not a host name or address"
#define PORT "bad URL: its port is not a port number"
#define USER "bad URL: it holds a user name"

static const struct {
	const char *url, *origin;
	const char *wrong; /* by http_url_check with loopback allowed */
} urls[] = {
	{ "https://a.example", "https://a.example", NULL },
	{ "https://a.example/", "https://a.example", NULL },
	{ "HTTPS://A.Example:443/x", "https://a.example", NULL },
	{ "https://a.example:8443?x=1", "https://a.example:8443", NULL },
	{ "https://a.example#f", "https://a.example", NULL },
	{ "https://a.example:/x", "https://a.example", NULL },
	{ "https://a.example:0443/", "https://a.example", NULL },
	{ "https://a_b.example./", "https://a_b.example.", NULL },
	{ "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example",
	    NULL },
	{ "https://192.0.2.1:444/", "https://192.0.2.1:444", NULL },
	{ "https://[2001:DB8::1]/", "https://[2001:db8::1]", NULL },
	{ "https://[::1]:8443/x:y", "https://[::1]:8443", NULL },
	{ "https://a.example/p@q:9", "https://a.example", NULL },
	{ "https://a.example:65535", "https://a.example:65535", NULL },
	{ "http://localhost:80/x", "http://localhost", NULL },
	{ "http://127.0.0.1:8080/", "http://127.0.0.1:8080", NULL },
	{ "http://127.255.255.254/", "http://127.255.255.254", NULL },
	{ "http://[::1]:9/", "http://[::1]:9", NULL },
	{ "http://LocalHost/", "http://localhost", NULL },
	{ "http://a.example/", "http://a.example",
	    "http://a.example: only https is allowed" },
	{ "http://localhost.evil.example/", "http://localhost.evil.example",
	    "http://localhost.evil.example: only https is allowed" },
	{ "http://127.0.0.1.evil.example/", "http://127.0.0.1.evil.example",
	    "http://127.0.0.1.evil.example: only https is allowed" },
	{ "http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]",
	    "http://[::ffff:127.0.0.1]: only https is allowed" },
	{ "http://0.0.0.0/", "http://0.0.0.0",
	    "http://0.0.0.0: only https is allowed" },
	{ "http://126.0.0.1/", "http://126.0.0.1",
	    "http://126.0.0.1: only https is allowed" },
	{ "http://128.0.0.1/", "http://128.0.0.1",
	    "http://128.0.0.1: only https is allowed" },
	/* what other readers take for an address */
	{ "http://127.1/", NULL, HOST },
	{ "http://2130706433/", NULL, HOST },
	{ "http://0x7f.0.0.1/", NULL, HOST },
	{ "https://0x7f000001/", NULL, HOST },
	{ "https://a.0x7f", NULL, HOST },
	{ "https://127.0.0.01/", NULL, HOST },
	{ "https://1.2.3.4.5/", NULL, HOST },
	{ "https://a@b.example/", NULL, USER },
	{ "https://a:b@c.example/", NULL, USER },
	{ "https://a.example:0/", NULL, PORT },
	{ "https://a.example:65536/", NULL, PORT },
	{ "https://a.example:1x/", NULL, PORT },
	{ "https://a.example:-1/", NULL, PORT },
	{ "https://a.example:+1/", NULL, PORT },
	{ "https://a.example:000443/", NULL, PORT },
	{ "https://a:1:2/", NULL, HOST },
	{ "https:///x", NULL, HOST },
	{ "https://:443/", NULL, HOST },
	{ "https://.a.example/", NULL, HOST },
	{ "https://a..example/", NULL, HOST },
	{ "https://-a.example/", NULL, HOST },
	{ "https://a%2eexample/", NULL, HOST },
	{ "https://[::1/", NULL, HOST },
	{ "https://::1/", NULL, HOST },
	{ "https://[]/", NULL, HOST },
	{ "https://[fe80::1%25eth0]/", NULL, HOST },
	{ "https://[::1]x/", NULL, HOST },
	{ "https://[v1.x]/", NULL, HOST },
	{ "https://a.example\\@evil.example/", NULL, CHAR },
	{ "https://a.example/ x", NULL, CHAR },
	{ "https://a.example/\r\nX: y", NULL, CHAR },
	{ "https://b\xc3\xbc" "cher.example/", NULL, CHAR },
	{ "https:/a.example/", NULL, SCHEME },
	{ "//a.example/", NULL, SCHEME },
	{ "a.example", NULL, SCHEME },
	{ "ftp://a.example/", NULL, SCHEME },
	{ "file:///etc/passwd", NULL, SCHEME },
	{ "", NULL, SCHEME },
	{ NULL, NULL, "there is no URL" },
};

static void
test_origin_and_check(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(urls); i++) {
		struct tb_error err = TB_ERROR_INIT;
		_cleanup_free_ char *origin = http_url_origin(urls[i].url);
		int r = http_url_check(urls[i].url, true, &err);

		if (!streq(origin, urls[i].origin))
			fail_msg("%s: origin %s", urls[i].url, origin);
		if (r != (urls[i].wrong ? -1 : 0) ||
		    (r < 0 && !streq(err.msg, urls[i].wrong)))
			fail_msg("%s: %s", urls[i].url, err.msg);
		if (r < 0)
			assert_int_equal(err.code, TB_E_PROTO);
	}
}

/* What we accept, libcurl sends to the same place. */
static void
test_as_libcurl(void **state)
{
	char *scheme, *host, *port, origin[300];
	CURLU *u = curl_url();
	bool plain;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(urls); i++) {
		if (!urls[i].origin)
			continue;
		assert_int_equal(curl_url_set(u, CURLUPART_URL, urls[i].url,
		    0), CURLUE_OK);
		curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
		curl_url_get(u, CURLUPART_HOST, &host, 0);
		curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
		plain = streq(port, streq(scheme, "https") ? "443" : "80");
		snprintf(origin, sizeof(origin), "%s://%s%s%s", scheme, host,
		    plain ? "" : ":", plain ? "" : port);
		if (strcasecmp(origin, urls[i].origin) != 0)
			fail_msg("%s: libcurl goes to %s", urls[i].url, origin);
		curl_free(scheme);
		curl_free(host);
		curl_free(port);
	}
	curl_url_cleanup(u);
}

static void
test_loopback_must_be_allowed(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(http_url_check("https://localhost/", false, &err), 0);
	assert_int_equal(http_url_check("http://localhost/", false, &err), -1);
	assert_string_equal(err.msg, "http://localhost: http to loopback needs "
	    "allow_insecure_loopback = yes");
}

static void
test_too_long(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	char url[9000] = "https://a.example/";
	char host[400] = "https://";

	memset(url + 18, 'x', 8200);
	assert_int_equal(http_url_check(url, false, &err), -1);
	assert_string_equal(err.msg, "bad URL: it is too long");
	url[8192] = '\0';
	assert_int_equal(http_url_check(url, false, &err), 0);
	memset(host + 8, 'h', 256);
	assert_int_equal(http_url_check(host, false, &err), -1);
	assert_string_equal(err.msg, HOST);
	host[8 + 255] = '\0';
	assert_int_equal(http_url_check(host, false, &err), 0);
}

static void
test_request(void **state)
{
	struct http_request req = HTTP_REQUEST_INIT;
	struct secret token = SECRET_INIT;

	req.url = xstrdup("https://a.example/");
	secret_set_str(&token, "abc");
	http_request_bearer(&req, "Token", &token);
	assert_string_equal(secret_reveal(&token), "abc"); /* borrowed */
	http_request_header(&req, "Accept", "text/plain");
	http_request_header_secret(&req, "X-Key", &token);
	assert_true(secret_is_empty(&token)); /* taken */
	assert_int_equal(req.n_headers, 3);
	assert_string_equal(req.headers[0].name, "Authorization");
	assert_string_equal(secret_reveal(&req.headers[0].value), "Token abc");
	assert_string_equal(secret_reveal(&req.headers[1].value), "text/plain");
	assert_string_equal(secret_reveal(&req.headers[2].value), "abc");
	secret_set_str(&req.body, "body");
	http_request_clear(&req);
	assert_null(req.url);
	assert_int_equal(req.n_headers, 0);
	assert_true(secret_is_empty(&req.body));
	assert_string_equal(req.method, "GET");
	http_request_clear(&req);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_origin_and_check),
		cmocka_unit_test(test_as_libcurl),
		cmocka_unit_test(test_loopback_must_be_allowed),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
