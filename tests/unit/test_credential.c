/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credential door: who is believed, what it gives, and that whatever else
 * happens sends more than 1 MiB (promise P7). The client is this process; what
 * the kernel would say of it is what the test says: peer_attest is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/now.h"
#include "base/principal.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve/filler.h"
#include "serve/peer.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "serve_world.h"

#define MIB (1 << 20)

/* ---------------------------------------------------------- what is believed */

static struct {
	const char *unit;
	uid_t uid;
	bool container, hidden;
	enum peer_result result;
	enum principal_strength strength;
} peer;

enum peer_result __real_peer_attest(struct peer_table *t, int fd,
    struct peer **out, struct tb_error *err);
enum peer_result __wrap_peer_attest(struct peer_table *t, int fd,
    struct peer **out, struct tb_error *err);

enum peer_result
__wrap_peer_attest(struct peer_table *t, int fd, struct peer **out,
    struct tb_error *err)
{
	*out = NULL;
	if (peer.result != PEER_OK) {
		tb_error_set(err, TB_E_DENIED, "the test says so");
		return peer.result;
	}
	*out = xnew(struct peer);
	**out = (struct peer){ .refs = 1, .pidfd = -1,
		.who = PRINCIPAL_INIT };
	(*out)->who.uid = peer.uid;
	(*out)->who.gid = peer.uid;
	(*out)->who.pid = 77;
	(*out)->who.unit = xstrdup0(peer.unit);
	(*out)->who.container = peer.container;
	(*out)->who.unit_hidden = peer.hidden;
	(*out)->who.strength = peer.unit ? peer.strength : PRINCIPAL_UNKNOWN;
	return PEER_OK;
}

/* Nobody: uid 0 in u.service, strong. */
static int
setup(void **state)
{
	static char *units[] = { (char *)(uintptr_t)"u*.service" };
	struct world *w;
	struct acl_rule *r;

	world_setup(state);
	w = *state;
	peer.unit = "u.service";
	peer.uid = 0;
	peer.container = peer.hidden = false;
	peer.result = PEER_OK;
	peer.strength = PRINCIPAL_STRONG;
	r = world_rule(w, 998, "t*", false);
	r->units = units;
	r->n_units = 1;
	fake_broker_set(w->broker, "t1", "the-value-1", 1,
	    now_real_s() + 7200);
	fake_audit_take();
	log_set_level(LOG_L_ERROR);
	return 0;
}

/* ------------------------------------------------------------------ systemd */

static int
connected(struct world *w, const char *what)
{
	static unsigned n;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), len;

	len = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "%x%08x/%s",
	    ++n, (unsigned)getpid(), what);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
		(size_t)len)), 0);
	memset(sun.sun_path, 0, sizeof(sun.sun_path));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/credential.sock",
	    w->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static int
client(struct world *w, const char *what)
{
	int fd = connected(w, what);

	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fake_evloop_run();
	return fd;
}

/* What the service finds in its file; NULL: the unit fails. Closes fd. */
static const char *
outcome(int fd)
{
	static char data[MIB + 1];
	size_t n = 0;
	ssize_t r;

	for (;;) {
		fake_evloop_run();
		r = recv(fd, data + n, sizeof(data) - n, 0);
		if (r < 0 && errno == EAGAIN)
			fail_msg("no end after %zu bytes", n);
		if (r <= 0)
			break;
		n += (size_t)r;
		if (n > MIB)
			break;
	}
	close(fd);
	fake_evloop_run();
	if (n > MIB || r < 0)
		return NULL;
	data[n] = '\0';
	return data;
}

static const char *
ask(struct world *w, const char *what)
{
	return outcome(client(w, what));
}

/* Nothing has come yet. */
static bool
waits(int fd)
{
	char byte;

	fake_evloop_run();
	return recv(fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Refused: more than 1 MiB, and nothing of it is left. */
static void
must_fail(struct world *w, int fd)
{
	const char *got = outcome(fd);

	if (got)
		fail_msg("the unit starts with '%s'", got);
	assert_int_equal(filler_set_count(w->serve->fillers), 0);
	assert_int_equal(session_set_count(w->serve->sessions), 0);
}

/* -------------------------------------------------------------------- tests */

static void
gives_the_value(void **state)
{
	static char *ids[] = { (char *)(uintptr_t)"influx" };
	static char *tokens[] = { (char *)(uintptr_t)"t1" };
	struct world *w = *state;

	/* by the token's own name, and by the rule's for it */
	assert_string_equal(ask(w, "unit/u.service/t1"), "the-value-1");
	assert_string_equal(fake_audit_take(),
	    "authorised t1/1 c:1 by static\nsent t1/1 by static\n");
	must_fail(w, client(w, "unit/u.service/influx"));
	w->rules[0].credential_ids = ids;
	w->rules[0].credential_tokens = tokens;
	w->rules[0].n_credentials = 1;
	assert_string_equal(ask(w, "unit/u.service/influx"), "the-value-1");
	assert_string_equal(ask(w, "unit/u.service/influx"), "the-value-1");
}

static void
believes_only_root_in_the_unit(void **state)
{
	static const struct {
		const char *unit;
		uid_t uid;
		bool container, hidden, given;
	} cases[] = {
		{ "u.service", 0, false, false, true },
		{ "u.service", 1, false, false, false },
		{ "u.service", 0, true, false, false },
		{ "v.service", 0, false, false, false },
		{ "u.servic", 0, false, false, false },
		{ "session-1.scope", 0, false, false, false },
		{ "user@0.service", 0, false, false, false },
		{ "init.scope", 0, false, false, true },
		{ "init.scope", 1, false, false, false },
		{ NULL, 0, false, false, false },
		{ NULL, 0, false, true, true },
		{ NULL, 1, false, true, false },
		{ NULL, 0, true, true, false },
	};
	struct world *w = *state;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		peer.unit = cases[i].unit;
		peer.uid = cases[i].uid;
		peer.container = cases[i].container;
		peer.hidden = cases[i].hidden;
		fd = client(w, "unit/u.service/t1");
		if (cases[i].given)
			assert_string_equal(outcome(fd), "the-value-1");
		else
			must_fail(w, fd);
		assert_int_equal(strstr(fake_audit_take(), "authorised") !=
		    NULL, cases[i].given);
	}
	/* without a pidfd the unit is weak, and is compared nevertheless */
	peer.strength = PRINCIPAL_WEAK;
	peer.uid = 0;
	peer.container = peer.hidden = false;
	peer.unit = "u.service";
	assert_string_equal(ask(w, "unit/u.service/t1"), "the-value-1");
	peer.unit = "v.service";
	must_fail(w, client(w, "unit/u.service/t1"));
}

static void
wants_a_name_of_systemds(void **state)
{
	struct world *w = *state;

	must_fail(w, client(w, "cryptsetup/u.service"));
	must_fail(w, client(w, "unit/u.service/t1/x"));
	must_fail(w, world_connect(w, "credential"));
	assert_non_null(strstr(fake_audit_take(), "does not say for which"));
}

static void
refusals_fail_the_unit(void **state)
{
	static char long_value[(64 << 10) + 2];
	struct world *w = *state;
	int64_t end = now_real_s() + 7200;

	peer.unit = "u2.service";
	must_fail(w, client(w, "unit/u2.service/no-such"));
	must_fail(w, client(w, "unit/u2.service/with space"));
	world_rule(w, 0, "t1", true);
	peer.unit = "v.service";
	must_fail(w, client(w, "unit/v.service/t1"));
	peer.unit = "u.service";
	/* the disk refuses */
	fake_audit_strict(w->audit, true);
	fake_audit_fail();
	must_fail(w, client(w, "unit/u.service/t1"));
	fake_audit_strict(w->audit, false);
	w->rules[0].rate_count = 1;
	w->rules[0].rate_period_s = 60;
	assert_string_equal(ask(w, "unit/u.service/t1"), "the-value-1");
	must_fail(w, client(w, "unit/u.service/t1"));
	/* another unit has a rate of its own */
	peer.unit = "u3.service";
	assert_string_equal(ask(w, "unit/u3.service/t1"), "the-value-1");
	w->rules[0].rate_count = 0;
	memset(long_value, 'x', sizeof(long_value) - 1);
	fake_broker_set(w->broker, "t1", long_value, 2, end);
	fake_audit_take();
	must_fail(w, client(w, "unit/u3.service/t1"));
	assert_non_null(strstr(fake_audit_take(), "withheld t1/2"));
	long_value[64 << 10] = '\0';
	fake_broker_set(w->broker, "t1", long_value, 3, end);
	assert_string_equal(ask(w, "unit/u3.service/t1"), long_value);
}

static void
waits_for_a_first_value(void **state)
{
	struct world *w = *state;
	int64_t end = now_real_s() + 7200;
	int fd = client(w, "unit/u.service/t2"), other;

	assert_true(waits(fd));
	fake_evloop_advance(40000);
	assert_true(waits(fd));
	fake_broker_set(w->broker, "t2", "the-value-2", 1, end);
	assert_string_equal(outcome(fd), "the-value-2");
	/* its time is bounded */
	fake_broker_unset(w->broker, "t2");
	fd = client(w, "unit/u.service/t2");
	fake_evloop_advance(44000);
	assert_true(waits(fd));
	fake_evloop_advance(1100);
	must_fail(w, fd);
	assert_int_equal(fake_broker_waiters(w->broker), 0);
	/* a human is needed: nothing is to be waited for */
	fd = client(w, "unit/u.service/t2");
	fake_broker_fail(w->broker, "t2", TB_E_LOGIN, "log in", 0);
	must_fail(w, fd);
	/* who goes away leaves nothing behind */
	fd = client(w, "unit/u.service/t2");
	other = client(w, "unit/u.service/t2");
	assert_int_equal(fake_broker_waiters(w->broker), 2);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_waiters(w->broker), 1);
	close(other);
	fake_evloop_run();
	assert_int_equal(session_set_count(w->serve->sessions), 0);
	assert_int_equal(filler_set_count(w->serve->fillers), 0);
}

/* systemd does not ask again: what passes is waited out, and no more. */
static void
waits_out_what_passes(void **state)
{
	struct world *w = *state;
	int fd = client(w, "unit/u.service/t2");

	fake_broker_fail(w->broker, "t2", TB_E_TRANSIENT, "503", 16000);
	assert_true(waits(fd));
	assert_int_equal(fake_broker_waiters(w->broker), 0);
	fake_evloop_advance(16200);
	assert_int_equal(fake_broker_waiters(w->broker), 1);
	fake_broker_set(w->broker, "t2", "the-value-2", 1,
	    now_real_s() + 7200);
	assert_string_equal(outcome(fd), "the-value-2");
	/* the next attempt would be too late */
	fake_broker_unset(w->broker, "t2");
	fd = client(w, "unit/u.service/t2");
	fake_broker_fail(w->broker, "t2", TB_E_TRANSIENT, "503", 46000);
	must_fail(w, fd);
	/* it would not help */
	fd = client(w, "unit/u.service/t2");
	fake_broker_fail(w->broker, "t2", TB_E_UPSTREAM, "403", 1000);
	must_fail(w, fd);
	/* time is over between two attempts */
	fd = client(w, "unit/u.service/t2");
	fake_broker_fail(w->broker, "t2", TB_E_TRANSIENT, "503", 30000);
	fake_evloop_advance(30200);
	fake_broker_fail(w->broker, "t2", TB_E_TRANSIENT, "503", 10000);
	fake_evloop_advance(10200);
	assert_true(waits(fd));
	fake_evloop_advance(5000);
	must_fail(w, fd);
}

/* A reload between two attempts: nobody is asked for what is not there. */
static void
hears_that_the_token_went_away(void **state)
{
	struct world *w = *state;
	int fd = client(w, "unit/u.service/t2");

	fake_broker_fail(w->broker, "t2", TB_E_TRANSIENT, "503", 16000);
	assert_true(waits(fd));
	fake_broker_remove(w->broker, "t2");
	world_no_rules(w);
	fake_evloop_advance(16200);
	assert_int_equal(fake_broker_cold(w->broker), 1);
	must_fail(w, fd);
}

static void
asks_the_rules_again(void **state)
{
	struct world *w = *state;
	int fd = client(w, "unit/u.service/t2");

	world_no_rules(w);
	fake_broker_set(w->broker, "t2", "the-value-2", 1,
	    now_real_s() + 7200);
	must_fail(w, fd);
	assert_non_null(strstr(fake_audit_take(), "denied t2"));
}

static void
record_comes_first(void **state)
{
	struct world *w = *state;
	int fd;

	fake_audit_strict(w->audit, true);
	fake_audit_hold(true);
	fd = client(w, "unit/u.service/t1");
	assert_true(waits(fd));
	fake_audit_hold(false);
	assert_string_equal(outcome(fd), "the-value-1");
	/* a disk that hangs */
	fake_audit_hold(true);
	fd = client(w, "unit/u.service/t1");
	fake_evloop_advance(29000);
	assert_true(waits(fd));
	fake_evloop_advance(2000);
	must_fail(w, fd);
	fake_audit_hold(false);
}

static void
stopping_fails_the_unit(void **state)
{
	struct world *w = *state;
	int fd = client(w, "unit/u.service/t2"), held;

	fake_audit_strict(w->audit, true);
	fake_audit_hold(true);
	held = client(w, "unit/u.service/t1");
	serve_stop_accepting(w->serve);
	assert_null(outcome(fd));
	/* that one is a matter of milliseconds */
	assert_true(waits(held));
	fake_audit_hold(false);
	assert_string_equal(outcome(held), "the-value-1");
}

static void
turned_away_is_refused_too(void **state)
{
	struct world *w = *state;
	int fd, first;

	peer.result = PEER_BUSY;
	must_fail(w, client(w, "unit/u.service/t1"));
	peer.result = PEER_GONE;
	must_fail(w, client(w, "unit/u.service/t1"));
	peer.result = PEER_FAILED;
	must_fail(w, client(w, "unit/u.service/t1"));
	peer.result = PEER_OK;
	/* what all connections together may be does not bind systemd */
	w->conf.max_connections = 0;
	assert_string_equal(ask(w, "unit/u.service/t1"), "the-value-1");
	w->conf.max_connections_per_uid = 1;
	first = client(w, "unit/u.service/t2");
	assert_true(waits(first));
	fd = client(w, "unit/u.service/t1");
	assert_null(outcome(fd));
	close(first);
	fake_evloop_run();
}

/* systemd never writes. */
static void
bytes_fail_the_unit(void **state)
{
	struct world *w = *state;
	int fd = connected(w, "unit/u.service/t2");

	fake_evloop_run();
	world_write(fd, "GET / HTTP/1.1\r\n");
	must_fail(w, fd);
	assert_int_equal(fake_broker_waiters(w->broker), 0);
}

/* Refusals wait for root as long as it takes; for others not. */
static void
stalled_readers(void **state)
{
	struct world *w = *state;
	int root, others[80];
	size_t i;

	peer.unit = "v.service";
	root = client(w, "unit/u.service/t1");
	peer.uid = 1;
	for (i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = client(w, "unit/u.service/t1");
	assert_int_equal(filler_set_count(w->serve->fillers), 65);
	fake_evloop_advance(11000);
	assert_int_equal(filler_set_count(w->serve->fillers), 1);
	fake_evloop_advance(3600000);
	must_fail(w, root);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		close(others[i]);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(gives_the_value),
		T(believes_only_root_in_the_unit),
		T(wants_a_name_of_systemds),
		T(refusals_fail_the_unit),
		T(waits_for_a_first_value),
		T(waits_out_what_passes),
		T(hears_that_the_token_went_away),
		T(asks_the_rules_again),
		T(record_comes_first),
		T(stopping_fails_the_unit),
		T(turned_away_is_refused_too),
		T(bytes_fail_the_unit),
		T(stalled_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
