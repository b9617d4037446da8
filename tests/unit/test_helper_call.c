/* SPDX-License-Identifier: Apache-2.0 */
/* lib/helper_call on a real loop, against a thread that plays the helper: what
 * counts is when an error may say that nothing can have begun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/util.h"
#include "lib/helper_call.h"
#include "lib/loop.h"

#define NOBODY 65534

enum play {
	ANSWERS,      /* in two pieces, when it has heard all */
	IS_SILENT,    /* hears all, says nothing, stays */
	HANGS_UP,     /* hears all, closes */
	TALKS,        /* more than anybody wants */
	NEVER_ACCEPTS,
};

static char dir[64], path[100];
static struct loop *loop;
static int listening;
static unsigned n_done;
static struct tb_error got_err;
static struct secret got;
static enum play play;
static size_t heard;

static void *
helper_thread(void *arg)
{
	static char chatter[4096];
	char bytes[4096];
	ssize_t n;
	int fd;

	if (play == NEVER_ACCEPTS)
		return NULL;
	fd = accept(listening, NULL, NULL);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		heard += (size_t)n;
	if (play == ANSWERS) {
		assert_int_equal(write(fd, "{\"a\"", 4), 4);
		usleep(1000);
		assert_int_equal(write(fd, ":1}", 3), 3);
	}
	while (play == TALKS && send(fd, chatter, sizeof(chatter),
	    MSG_NOSIGNAL) > 0)
		continue;
	if (play == IS_SILENT)
		n = read(fd, bytes, 1), usleep(200 * 1000);
	close(fd);
	return NULL;
}

static void
listen_as(uid_t uid)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memcpy(sun.sun_path, path, strlen(path) + 1);
	unlink(path);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listening, (struct sockaddr *)&sun, sizeof(sun)),
	    0);
	/* of this thread alone: whoever listens is whom a client sees */
	if (uid)
		assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
	assert_int_equal(listen(listening, 4), 0);
	if (uid)
		assert_int_equal(syscall(SYS_setresuid, -1, 0, -1), 0);
}

static void
on_done(void *arg, struct secret *answer, const struct tb_error *err)
{
	*(struct helper_call **)arg = NULL;
	n_done++;
	if (err)
		got_err = *err;
	else
		secret_move(&got, answer);
	loop_stop(loop);
}

static struct helper_call *
start(struct helper_call **call, size_t len, int64_t timeout_ms)
{
	struct helper_request r = {
		.path = path,
		.uid = (uid_t)-2,
		.timeout_ms = timeout_ms,
		.answer_cap = 10000,
	};

	memset(secret_alloc(&r.text, len), 'x', len);
	*call = helper_call_start(loop, &r, on_done, call);
	assert_true(secret_is_empty(&r.text)); /* taken */
	assert_int_equal(n_done, 0);
	return *call;
}

static void
run(enum play what, size_t len, int64_t timeout_ms)
{
	struct helper_call *call;
	struct tb_error err = TB_ERROR_INIT;
	pthread_t thread;

	play = what;
	n_done = 0;
	heard = 0;
	got_err = (struct tb_error)TB_ERROR_INIT;
	secret_clear(&got);
	listen_as(0);
	assert_int_equal(pthread_create(&thread, NULL, helper_thread, NULL), 0);
	start(&call, len, timeout_ms);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(n_done, 1);
	assert_null(call);
	pthread_join(thread, NULL);
	close(listening);
}

static void
test_ends(void **state)
{
	static const struct {
		enum play what;
		size_t len;
		int64_t timeout_ms;
		enum tb_errc code;
		const char *says;
	} rows[] = {
		{ ANSWERS, 3, 20000, TB_OK, NULL },
		{ ANSWERS, 3 << 20, 20000, TB_OK, NULL },
		{ IS_SILENT, 3, 50, TB_E_TRANSIENT, "no answer in time" },
		{ HANGS_UP, 3, 20000, TB_E_TRANSIENT, "without an answer" },
		{ TALKS, 3, 20000, TB_E_PROTO, "longer than 10000 bytes" },
		/* it has only a part of the question: it cannot begin */
		{ NEVER_ACCEPTS, 3 << 20, 50, TB_E_UNREACHED,
		    "does not take the question" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run(rows[i].what, rows[i].len, rows[i].timeout_ms);
		if (got_err.code != rows[i].code)
			fail_msg("row %zu: %s", i, got_err.msg);
		if (rows[i].says)
			assert_non_null(strstr(got_err.msg, rows[i].says));
		if (rows[i].code == TB_OK) {
			assert_string_equal(secret_reveal(&got), "{\"a\":1}");
			assert_int_equal(heard, rows[i].len);
		}
	}
}

static void
test_nobody_there(void **state)
{
	struct helper_call *call;
	struct tb_error err = TB_ERROR_INIT;

	for (unsigned i = 0; i < 2; i++) {
		n_done = 0;
		unlink(path);
		if (i == 1) { /* a socket that nobody listens on any more */
			listen_as(0);
			close(listening);
		}
		start(&call, 3, 1000);
		assert_int_equal(loop_run(loop, &err), 0);
		assert_int_equal(got_err.code, TB_E_UNREACHED);
		assert_non_null(strstr(got_err.msg,
		    "is tokenbroker-influxctl.socket started?"));
	}
}

/* Somebody else's socket hears nothing. */
static void
test_strangers(void **state)
{
	struct helper_call *call;
	struct tb_error err = TB_ERROR_INIT;
	char byte;
	int fd;

	if (geteuid() != 0)
		skip();
	n_done = 0;
	listen_as(NOBODY);
	start(&call, 3, 5000);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(got_err.code, TB_E_UNREACHED);
	assert_non_null(strstr(got_err.msg, "uid 65534"));
	fd = accept(listening, NULL, NULL);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	close(listening);
}

static void
stop_loop(void *arg)
{
	loop_stop(loop);
}

static void
test_cancel(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct loop_timer later;
	struct helper_call *call;

	loop_timer_init(&later, loop, stop_loop, NULL);
	n_done = 0;
	listen_as(0);
	for (int64_t after = 0; after < 2; after++) {
		start(&call, 3, 5000);
		if (after) { /* it waits for its answer */
			loop_timer_set(&later, 20);
			assert_int_equal(loop_run(loop, &err), 0);
		}
		helper_call_cancel(&call);
		assert_null(call);
		helper_call_cancel(&call);
		loop_timer_set(&later, 5);
		assert_int_equal(loop_run(loop, &err), 0);
		assert_int_equal(n_done, 0);
	}
	close(listening);
}

static int
setup(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	strcpy(dir, "/tmp/tbh-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	loop = loop_new(&err);
	return loop ? 0 : -1;
}

static int
teardown(void **state)
{
	secret_clear(&got);
	loop_free(loop);
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
