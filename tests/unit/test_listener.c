/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: bound or handed over, and how many may come through them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "fake_evloop.h"
#include "serve/listener.h"
#include "serve_world.h"

/* ------------------------------------------------------------------- limits */

static void
limits_connections(void **state)
{
	struct world *w = *state;
	int fds[4], i;
	struct answer a;

	w->conf.max_connections_per_uid = 3;
	for (i = 0; i < 4; i++)
		fds[i] = world_connect(w, "api");
	a = world_read(w, fds[3]);
	answer_must_be(&a, 503, "unavailable.limit");
	assert_string_equal(answer_field(&a, "Retry-After"), "1");
	assert_true(world_is_closed(w, fds[3]));
	/* one goes, one may come */
	close(fds[0]);
	fake_evloop_run();
	a = world_once(w, "api", "GET self", NULL, NULL);
	assert_int_equal(a.status, 200);
	w->conf.max_connections = 2;
	a = world_once(w, "api", "GET self", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.limit");
	for (i = 1; i < 4; i++)
		close(fds[i]);
}

/* Lowers the limit so far that no further descriptor can be had. */
static void
answers_with_a_full_table(void **state)
{
	struct world *w = *state;
	struct rlimit old, low;
	int held[64], n = 0, fd, i, other;
	struct answer a;

	other = world_connect(w, "api");
	assert_int_equal(world_ask(w, other, "GET self", NULL, NULL).status,
	    200);
	fd = world_connect(w, "api");
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 64 && (held[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.limit");
	/* who is in already is served */
	assert_int_equal(world_ask(w, other, "GET self", NULL, NULL).status,
	    200);
	for (i = 0; i < n; i++)
		close(held[i]);
	setrlimit(RLIMIT_NOFILE, &old);
	a = world_once(w, "api", "GET self", NULL, NULL);
	assert_int_equal(a.status, 200);
	close(fd);
	close(other);
}

/* --------------------------------------------------------------- the sockets */

static void
binds_its_sockets(void **state)
{
	struct world *w = *state;
	char path[128];
	struct stat st;
	struct tb_error err = TB_ERROR_INIT;
	socklen_t len = sizeof(int);
	int fd, on = 0;

	snprintf(path, sizeof(path), "%s/api.sock", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	snprintf(path, sizeof(path), "%s/credential.sock", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/api.sock", w->dir);
	/* somebody listens */
	assert_int_equal(listener_bind(path, 0666, &err), -1);
	assert_non_null(strstr(err.msg, "in use"));
	serve_free(w->serve);
	w->serve = NULL;
	assert_int_equal(stat(path, &st), -1);
	/* one that a crash left is replaced, anything else is not */
	fd = listener_bind(path, 0666, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(stat(path, &st), 0);
	fd = listener_bind(path, 0666, &err);
	assert_true(fd >= 0);
	/* who connects in this moment is known, too */
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &len),
	    0);
	assert_int_equal(on, 1);
	close(fd);
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(listener_bind(path, 0666, &err), -1);
	assert_non_null(strstr(err.msg, "is not a socket"));
	unlink(path);
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(listener_bind(path, 0666, &err), -1);
	assert_non_null(strstr(err.msg, "too long"));
}

static int
hand_over(struct world *w, int fd, const char *name, struct tb_error *err)
{
	struct serve_env env = { .loop = w->loop, .broker = w->broker,
		.audit = w->audit };
	struct serve *s;
	char pid[16];

	assert_int_equal(dup2(fd, 3), 3);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", name, 1);
	s = serve_new(&env, &w->conf, err);
	if (s)
		serve_free(s);
	/* taken or not, it is closed by now: keep its place */
	assert_int_equal(fcntl(3, F_GETFD), -1);
	assert_int_equal(dup2(2, 3), 3);
	return s ? 0 : -1;
}

static void
takes_sockets_by_name(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/x.sock", w->dir);
	fd = listener_bind(path, 0666, &err);
	assert_int_equal(hand_over(w, fd, "api", &err), 0);
	assert_int_equal(hand_over(w, fd, "credential", &err), 0);
	assert_int_equal(hand_over(w, fd, "backdoor", &err), -1);
	assert_non_null(strstr(err.msg, "must be api, credential or admin"));
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(hand_over(w, fd, "api", &err), -1);
	assert_non_null(strstr(err.msg, "not a listening AF_UNIX"));
	close(fd);
	unlink(path);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(limits_connections),
		T(answers_with_a_full_table),
		T(binds_its_sockets),
		T(takes_sockets_by_name),
	};

	/* for takes_sockets_by_name: nobody else may use it */
	if (dup2(2, 3) != 3)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
