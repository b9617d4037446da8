/* SPDX-License-Identifier: Apache-2.0 */
#include "tiny_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define REQUESTS_MAX 16
#define REQUEST_SIZE ((size_t)2 << 20)

struct tiny_server {
	struct tiny_server_step *steps; /* a copy; the texts are not */
	size_t n_steps;
	SSL_CTX *tls;
	int fd, port;
	int stop[2]; /* a pipe: closed end means stop */
	pthread_t thread;
	pthread_mutex_t lock;
	size_t n_connections, n_requests;
	char *requests[REQUESTS_MAX];
};

struct peer {
	int fd;
	SSL *ssl;
};

/* False when the server stops first. */
static bool
wait_readable(struct tiny_server *s, int fd, int timeout_ms)
{
	struct pollfd p[2] = {
		{ .fd = s->stop[0], .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};

	poll(p, 2, timeout_ms);
	return !p[0].revents;
}

static ssize_t
peer_read(struct peer *p, char *buf, size_t n)
{
	return p->ssl ? SSL_read(p->ssl, buf, (int)n) : recv(p->fd, buf, n, 0);
}

static void
peer_write(struct peer *p, const char *s)
{
	size_t n = strlen(s);
	ssize_t done;

	while (n > 0) {
		done = p->ssl ? SSL_write(p->ssl, s, (int)n) :
		    send(p->fd, s, n, MSG_NOSIGNAL);
		if (done <= 0)
			return;
		s += done;
		n -= (size_t)done;
	}
}

static bool
is_complete(const char *request)
{
	const char *end = strstr(request, "\r\n\r\n");
	const char *length = strcasestr(request, "\r\nContent-Length:");

	if (!end)
		return false;
	return strlen(end + 4) >=
	    (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

/* The next request of a connection; false when there is none. */
static bool
read_request(struct tiny_server *s, struct peer *p)
{
	char *buf = xcalloc(REQUEST_SIZE, 1);
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && !is_complete(buf)) {
		n = 0;
		if ((p->ssl && SSL_pending(p->ssl)) ||
		    wait_readable(s, p->fd, 10000))
			n = peer_read(p, buf + len, REQUEST_SIZE - 1 - len);
		len += (size_t)MAX2(n, 0);
	}
	if (n <= 0) {
		free(buf);
		return false;
	}
	pthread_mutex_lock(&s->lock);
	assert(s->n_requests < REQUESTS_MAX);
	s->requests[s->n_requests++] = buf;
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* Closed over what was not read, the connection is reset, and the alert that
 * was sent may be lost with it. */
static void
hear_out(struct tiny_server *s, struct peer *p)
{
	char buf[512];

	shutdown(p->fd, SHUT_WR);
	while (wait_readable(s, p->fd, 10000) &&
	    recv(p->fd, buf, sizeof(buf), 0) > 0)
		continue;
}

static void
reset(struct peer *p)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (p->ssl)
		SSL_set_quiet_shutdown(p->ssl, 1);
}

static void
serve(struct tiny_server *s, struct peer *p, size_t *step)
{
	const struct tiny_server_step *now;

	for (; *step < s->n_steps; ) {
		now = &s->steps[*step];
		if (now->after == SERVER_DEAF) {
			(*step)++;
			wait_readable(s, -1, 10000);
			return;
		}
		if (p->ssl && !SSL_is_init_finished(p->ssl) &&
		    SSL_accept(p->ssl) != 1) {
			hear_out(s, p);
			return;
		}
		if (!read_request(s, p))
			return;
		(*step)++;
		if (now->after == SERVER_RESET) {
			reset(p);
			return;
		}
		if (now->delay_ms)
			wait_readable(s, -1, now->delay_ms);
		if (now->reply)
			peer_write(p, now->reply);
		if (now->after == SERVER_HANG)
			wait_readable(s, -1, 10000);
		if (now->after != SERVER_KEEP)
			return;
	}
}

static void *
server_main(void *arg)
{
	struct tiny_server *s = arg;
	struct peer p = { .fd = -1 };
	size_t step = 0;

	while (wait_readable(s, s->fd, -1)) {
		p.fd = accept(s->fd, NULL, NULL);
		if (p.fd < 0)
			continue;
		pthread_mutex_lock(&s->lock);
		s->n_connections++;
		pthread_mutex_unlock(&s->lock);
		if (s->tls) {
			p.ssl = SSL_new(s->tls);
			SSL_set_fd(p.ssl, p.fd);
		}
		serve(s, &p, &step);
		if (p.ssl) {
			SSL_shutdown(p.ssl);
			SSL_free(p.ssl);
		}
		close(p.fd);
	}
	return NULL;
}

static int
listen_any(int *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&in, &len) < 0)
		abort();
	*port = ntohs(in.sin_port);
	return fd;
}

static const char *client_ca;

void
tiny_server_want_client(const char *ca_pem)
{
	client_ca = ca_pem;
}

struct tiny_server *
tiny_server_start(const struct tiny_server_step *steps, size_t n,
    const char *cert_pem)
{
	struct tiny_server *s = xnew(struct tiny_server);

	s->steps = xcalloc(n, sizeof(*steps));
	memcpy(s->steps, steps, n * sizeof(*steps));
	s->n_steps = n;
	if (cert_pem) {
		s->tls = SSL_CTX_new(TLS_server_method());
		if (client_ca) {
			SSL_CTX_load_verify_locations(s->tls, client_ca, NULL);
			SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER |
			    SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		}
		if (SSL_CTX_use_certificate_file(s->tls, cert_pem,
		    SSL_FILETYPE_PEM) != 1 ||
		    SSL_CTX_use_PrivateKey_file(s->tls, cert_pem,
		    SSL_FILETYPE_PEM) != 1)
			abort();
	}
	s->fd = listen_any(&s->port);
	if (pipe(s->stop) < 0)
		abort();
	pthread_mutex_init(&s->lock, NULL);
	if (pthread_create(&s->thread, NULL, server_main, s) != 0)
		abort();
	return s;
}

int
tiny_server_port(const struct tiny_server *s)
{
	return s->port;
}

size_t
tiny_server_connections(struct tiny_server *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->n_connections;
	pthread_mutex_unlock(&s->lock);
	return n;
}

size_t
tiny_server_requests(struct tiny_server *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->n_requests;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const char *
tiny_server_request(struct tiny_server *s, size_t i)
{
	return i < tiny_server_requests(s) ? s->requests[i] : "";
}

void
tiny_server_stop(struct tiny_server *s)
{
	size_t i;

	if (!s)
		return;
	close(s->stop[1]);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->fd);
	SSL_CTX_free(s->tls);
	pthread_mutex_destroy(&s->lock);
	for (i = 0; i < s->n_requests; i++) {
		explicit_bzero(s->requests[i], strlen(s->requests[i]));
		free(s->requests[i]);
	}
	free(s->steps);
	free(s);
}

int
tiny_server_closed_port(void)
{
	int port;

	close(listen_any(&port));
	return port;
}

void
tiny_server_make_cert(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *san;
	FILE *f = fopen(path, "w");

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
	    "DNS:localhost,IP:127.0.0.1");
	X509_add_ext(x, san, -1);
	if (!f || !X509_sign(x, key, EVP_sha256()) ||
	    !PEM_write_X509(f, x) ||
	    !PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL))
		abort();
	fclose(f);
	X509_EXTENSION_free(san);
	X509_free(x);
	EVP_PKEY_free(key);
}
