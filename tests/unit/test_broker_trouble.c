/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator is told when a service does not do what it should: one line
 * says what is wrong, where, and what to do next, and it is not said again
 * before it is something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker_world.h"

#define HOUR (60 * 60 * 1000)

/* ------------------------------------------------------------- the log */

static int log_pipe[2], real_stderr;

/* What was logged since the last call. */
static const char *
logged(void)
{
	static char buf[65536];
	ssize_t n;

	fflush(stderr);
	n = read(log_pipe[0], buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void
assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

static void
assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' is in: %s", part, text);
}

/* ---------------------------------------------------------- the scaffold */

static int
setup(void **state)
{
	if (pipe2(log_pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	real_stderr = dup(STDERR_FILENO);
	if (dup2(log_pipe[1], STDERR_FILENO) < 0)
		return -1;
	return world_setup(state, WORLD_GRANT(1795999999));
}

static int
teardown(void **state)
{
	int r = world_teardown(state);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(log_pipe[0]);
	close(log_pipe[1]);
	return r;
}

/* ------------------------------------------------------------- the tests */

static void
test_pauses_are_for_humans(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	const char *text;

	fake_http_push(&(struct fake_http_reply){ .status = 429,
	    .body = "{}", .retry_after_ms = HOUR });
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	text = logged();
	assert_has(text, "next attempt in 1h\n");
	assert_lacks(text, " ms");
	heard_clear(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pauses_are_for_humans,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
