/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request - the part of lib/http.h that is not transport: requests as
 * values, and what we think of a URL. Apart from http.c so that a test with a
 * fake transport still uses these, the real ones.
 *
 * The URL reader is stricter than libcurl's, on purpose: what it accepts means
 * the same to both. No user information, no control characters or spaces, no
 * backslash, no numeric host that is not a dotted quad, ASCII host names only.
 */
#include "lib/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <strings.h>

#include "base/util.h"

#define URL_MAX 8192

struct url {
	bool tls;
	const char *host; /* with the brackets of IPv6 */
	size_t host_len;
	unsigned port;
};

void
http_request_header_secret(struct http_request *req, const char *name,
    struct secret *value)
{
	assert(req->n_headers < HTTP_MAX_HEADERS);
	req->headers[req->n_headers].name = name;
	secret_move(&req->headers[req->n_headers].value, value);
	req->n_headers++;
}

void
http_request_header(struct http_request *req, const char *name,
    const char *value)
{
	_cleanup_(secret_clear) struct secret copy = SECRET_INIT;

	secret_set_str(&copy, value);
	http_request_header_secret(req, name, &copy);
}

void
http_request_bearer(struct http_request *req, const char *scheme,
    const struct secret *token)
{
	_cleanup_(secret_clear) struct secret value = SECRET_INIT;

	secret_set_str(&value, scheme);
	secret_append_str(&value, " ");
	secret_append(&value, secret_reveal(token), token->len);
	http_request_header_secret(req, "Authorization", &value);
}

void
http_request_clear(struct http_request *req)
{
	size_t i;

	free(req->url);
	for (i = 0; i < req->n_headers; i++)
		secret_clear(&req->headers[i].value);
	secret_clear(&req->body);
	*req = (struct http_request)HTTP_REQUEST_INIT;
}

/* The port, or the scheme's; 0 when it is none. */
static unsigned
read_port(const char *s, size_t len, bool tls)
{
	unsigned port = 0;
	size_t i;

	if (len > 5)
		return 0;
	if (len == 0)
		return tls ? 443 : 80;
	for (i = 0; i < len; i++) {
		if (!isdigit((unsigned char)s[i]))
			return 0;
		port = port * 10 + (unsigned)(s[i] - '0');
	}
	return port <= 65535 ? port : 0;
}

/* Libraries read "2130706433", "0x7f.1" and "127.1" as addresses: where the
 * last label looks like a number, only a dotted quad is one to us. */
static bool
name_is_good(const char *s, size_t len)
{
	char name[256];
	const char *label;
	struct in_addr in;
	size_t i;

	if (len == 0 || len >= sizeof(name) || s[0] == '.' || s[0] == '-')
		return false;
	for (i = 0; i < len; i++) {
		if (!isascii(s[i]) || (!isalnum((unsigned char)s[i]) &&
		    s[i] != '.' && s[i] != '-' && s[i] != '_'))
			return false;
		if (s[i] == '.' && i + 1 < len && s[i + 1] == '.')
			return false;
	}
	memcpy(name, s, len);
	name[len] = '\0';
	if (name[len - 1] == '.')
		name[len - 1] = '\0';
	label = strrchr(name, '.');
	label = label ? label + 1 : name;
	if (isdigit((unsigned char)*label))
		return inet_pton(AF_INET, name, &in) == 1;
	return true;
}

static bool
host_is_good(const char *s, size_t len)
{
	char name[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (len == 0 || s[0] != '[')
		return name_is_good(s, len);
	if (len < 4 || s[len - 1] != ']' || len - 2 >= sizeof(name))
		return false;
	memcpy(name, s + 1, len - 2);
	name[len - 2] = '\0';
	return inet_pton(AF_INET6, name, &in6) == 1;
}

/* NULL, or what is wrong. */
static const char *
read_url(const char *s, struct url *url)
{
	const char *p, *colon;
	size_t len;

	for (p = s; *p; p++)
		if (!isascii(*p) || !isgraph((unsigned char)*p) || *p == '\\')
			return "it holds a character that must be percent-encoded";
	if (p - s > URL_MAX)
		return "it is too long";
	if (strncasecmp(s, "https://", 8) == 0)
		url->tls = true;
	else if (strncasecmp(s, "http://", 7) == 0)
		url->tls = false;
	else
		return "it does not begin with https://";
	url->host = s + (url->tls ? 8 : 7);
	len = strcspn(url->host, "/?#");
	if (memchr(url->host, '@', len))
		return "it holds a user name";
	colon = memrchr(url->host, ':', len);
	if (colon && memchr(colon, ']', len - (size_t)(colon - url->host)))
		colon = NULL; /* inside an IPv6 address */
	url->host_len = colon ? (size_t)(colon - url->host) : len;
	if (!host_is_good(url->host, url->host_len))
		return "its host is not a host name or address";
	if (colon)
		colon++;
	url->port = read_port(colon, colon ?
	    len - (size_t)(colon - url->host) : 0, url->tls);
	return url->port ? NULL : "its port is not a port number";
}

static bool
host_is_loopback(const struct url *url)
{
	_cleanup_free_ char *host = xstrndup(url->host, url->host_len);
	struct in_addr in;
	struct in6_addr in6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (host[0] == '[') {
		host[url->host_len - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, &in6) == 1 &&
		    IN6_IS_ADDR_LOOPBACK(&in6);
	}
	return inet_pton(AF_INET, host, &in) == 1 &&
	    ntohl(in.s_addr) >> 24 == 127;
}

char *
http_url_origin(const char *text)
{
	struct url url;
	char *origin, *p;

	if (!text || read_url(text, &url))
		return NULL;
	if (url.port == (url.tls ? 443u : 80u))
		origin = xasprintf("%s://%.*s", url.tls ? "https" : "http",
		    (int)url.host_len, url.host);
	else
		origin = xasprintf("%s://%.*s:%u", url.tls ? "https" : "http",
		    (int)url.host_len, url.host, url.port);
	for (p = origin; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return origin;
}

int
http_url_check(const char *text, bool allow_loopback_http, struct tb_error *err)
{
	_cleanup_free_ char *origin = NULL;
	struct url url;
	const char *wrong;

	if (!text)
		return tb_error_set(err, TB_E_PROTO, "there is no URL");
	wrong = read_url(text, &url);
	if (wrong)
		return tb_error_set(err, TB_E_PROTO, "bad URL: %s", wrong);
	if (url.tls)
		return 0;
	origin = http_url_origin(text);
	if (!host_is_loopback(&url))
		return tb_error_set(err, TB_E_PROTO,
		    "%.200s: only https is allowed", origin);
	if (!allow_loopback_http)
		return tb_error_set(err, TB_E_PROTO,
		    "%.200s: http to loopback needs "
		    "allow_insecure_loopback = yes", origin);
	return 0;
}
