/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole connection: whatever bytes come over the socket, through the reader,
 * the route table, rules, audit and the answers of both doors. Only the broker
 * and the disk are not real.
 *
 * The first byte of the input says which door (1), how strict the audit is
 * (2), and whether the client closes its side (4) or all (8) at the end. Then
 * come the bytes to send; a 0xFF lets the daemon work on what it has so far.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "conf.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "fake_now.h"
#include "lib/jsonx.h"
#include "serve/admin.h"
#include "serve/api.h"
#include "serve/denylog.h"
#include "serve/peer.h"
#include "serve/rate.h"
#include "serve/render.h"
#include "serve/serve_int.h"
#include "serve/session.h"

#define INPUT_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct serve serve;

static int
reload(void *arg, struct tb_error *err)
{
	serve_reconfigure(&serve, serve.conf);
	return 0;
}

static void
make_conf(struct conf *conf)
{
	static struct token_conf t1 = { .name = (char *)(uintptr_t)"t1" };
	static struct token_conf *tokens[] = { &t1 };
	static struct idp_conf ops = { .name = (char *)(uintptr_t)"ops" };
	static struct idp_conf *logins[] = { &ops };
	static uid_t users[1];
	static struct acl_rule rule = {
		.name = (char *)(uintptr_t)"fuzz",
		.where = (char *)(uintptr_t)"fuzz:1",
		.container = -1,
		.users = users,
		.n_users = 1,
	};
	static struct acl_rule *rules[] = { &rule };

	users[0] = getuid();
	*conf = (struct conf){ .cold_wait_ms = 1000, .max_connections = 9,
		.max_connections_per_uid = 9, .tokens = tokens, .n_tokens = 1,
		.logins = logins, .n_logins = 1, .rules = rules,
		.n_rules = 1 };
}

static void
start(void)
{
	static struct conf conf;
	struct tb_error err = TB_ERROR_INIT;

	jsonx_init();
	log_set_level(LOG_L_ERROR);
	fake_now_reset();
	make_conf(&conf);
	serve.loop = loop_new(&err);
	serve.broker = fake_broker_new(serve.loop);
	serve.audit = audit_new(serve.loop, NULL, false, &err);
	serve.reload = reload;
	serve.conf = &conf;
	serve.conf_generation = 1;
	serve.admin_gid = getgid();
	serve.auditor_gid = SERVE_NO_GROUP;
	serve.peers = peer_table_new();
	serve.render = render_new();
	serve.rate = rate_new();
	serve.denylog = denylog_new();
	serve.sessions = session_set_new(&serve);
	fake_broker_add(serve.broker, "t1");
	fake_broker_add(serve.broker, "cold");
}

/* What the daemon says begins like an answer. */
static void
read_answers(int fd)
{
	static char text[65536];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);

	assert(n <= 0 || (n >= 12 && memcmp(text, "HTTP/1.1 ", 9) == 0));
}

static void
send_pieces(int fd, const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size, *stop;
	size_t n;

	for (; data < end; data = stop + (stop < end)) {
		stop = memchr(data, 0xff, (size_t)(end - data));
		if (!stop)
			stop = end;
		n = (size_t)(stop - data);
		if (n && send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		fake_evloop_run();
		read_answers(fd);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *peer;
	int pair[2], on = 1;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	if (!serve.loop)
		start();
	serve.stopping = false;
	fake_audit_strict(serve.audit, data[0] & 2);
	fake_broker_set(serve.broker, "t1", "the-value", 1,
	    now_real_s() + 7200);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		pair) < 0 || setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on,
		sizeof(on)) < 0)
		abort();
	if (peer_attest(serve.peers, pair[0], &peer, &err) != PEER_OK)
		abort();
	session_start(serve.sessions, data[0] & 1 ? &admin_door : &api_door,
	    pair[0], peer);
	send_pieces(pair[1], data + 1, size - 1);
	if (data[0] & 4)
		shutdown(pair[1], SHUT_WR);
	if (data[0] & 8)
		session_set_hurry(serve.sessions, SESSION_STOPPING);
	fake_evloop_advance(300);
	read_answers(pair[1]);
	close(pair[1]);
	fake_evloop_advance(200);
	/* nothing of it is left */
	assert(session_set_count(serve.sessions) == 0);
	assert(fake_broker_waiters(serve.broker) == 0);
	assert(fake_audit_pending() == 0);
	assert(!fake_broker_login(serve.broker));
	fake_audit_take();
	return 0;
}
