/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "caught_stderr.h"

static int
setup(void **state)
{
	log_set_level(LOG_L_INFO);
	return caught_stderr_begin();
}

static int
teardown(void **state)
{
	caught_stderr_end();
	return 0;
}

static void
test_levels(void **state)
{
	log_error("a", "one %d", 1);
	log_warn("b", "two");
	log_info("c", "three");
	log_debug("d", "four");
	assert_string_equal(caught(),
	    "error: a: one 1\nwarning: b: two\ninfo: c: three\n");
	log_set_level(LOG_L_DEBUG);
	log_debug("d", "four");
	assert_string_equal(caught(), "debug: d: four\n");
	log_set_level(LOG_L_ERROR);
	log_warn("b", "two");
	assert_string_equal(caught(), "");
	assert_true(log_enabled(LOG_L_ERROR));
	assert_false(log_enabled(LOG_L_WARN));
	assert_int_equal(log_level_from_name("warning"), LOG_L_WARN);
	assert_int_equal(log_level_from_name("debug"), LOG_L_DEBUG);
	assert_int_equal(log_level_from_name("warn"), -1);
	assert_int_equal(log_level_from_name(""), -1);
}

static void
test_clean(void **state)
{
	errno = 77;
	log_info("x", "%s", "a\nerror: b\r\x1b[31m\t\x7f \xc2\x9b" "1m "
	    "caf\xc3\xa9 \xc2\xa9 \xc2");
	assert_int_equal(errno, 77);
	assert_string_equal(caught(), "info: x: a?error: b??[31m?? ??1m "
	    "caf\xc3\xa9 \xc2\xa9 \xc2\n");
}

static void
test_long(void **state)
{
	char text[5000];
	const char *out;
	size_t n;

	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("x", "%s", text);
	out = caught();
	n = strlen(out);
	assert_int_equal(n, 2047);
	assert_string_equal(out + n - 5, "y...\n");
	assert_ptr_equal(strchr(out, '\n'), out + n - 1);
	text[2036] = '\0'; /* the longest that fits */
	log_info("x", "%s", text);
	out = caught();
	assert_int_equal(strlen(out), 9 + 2036 + 1);
	assert_null(strstr(out, "..."));
	log_info(text, "end"); /* a silly name leaves room for the text */
	out = caught();
	assert_int_equal(strlen(out), 127 + 3 + 1);
}

static void *
chatter(void *arg)
{
	int i;

	for (i = 0; i < 200; i++)
		log_info("t", "%s%s%s%s", (char *)arg, (char *)arg, (char *)arg,
		    (char *)arg);
	return NULL;
}

/* Two threads: whole lines only. */
static void
test_threads(void **state)
{
	char a[] = "aaaaaaaaaa", b[] = "bbbbbbbbbb";
	pthread_t ta, tb;
	const char *s;
	int lines = 0;

	fcntl(caught_pipe[1], F_SETPIPE_SZ, 65536);
	pthread_create(&ta, NULL, chatter, a);
	pthread_create(&tb, NULL, chatter, b);
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	for (s = caught(); *s; s = strchr(s, '\n') + 1, lines++) {
		assert_memory_equal(s, "info: t: ", 9);
		assert_int_equal(strspn(s + 9, s[9] == 'a' ? "a" : "b"), 40);
	}
	assert_int_equal(lines, 400);
}

/* Whether stderr is the journal is looked up once: in a process of its own. */
static void
in_child(bool same_stream, const char *want)
{
	char env[64];
	struct stat st;
	int status;
	pid_t pid;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(env, sizeof(env), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino + !same_stream);
	pid = fork();
	if (pid == 0) {
		setenv("JOURNAL_STREAM", env, 1);
		execl("/proc/self/exe", "test_log", "--child", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(caught(), want);
}

static void
test_journal(void **state)
{
	in_child(true, "<3>a: e\n<4>a: w\n<6>a: i\n<7>a: d\n");
	in_child(false,
	    "error: a: e\nwarning: a: w\ninfo: a: i\ndebug: a: d\n");
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_levels),
		T(test_clean),
		T(test_long),
		T(test_threads),
		T(test_journal),
	};

	if (argc == 2 && strcmp(argv[1], "--child") == 0) {
		log_set_level(LOG_L_DEBUG);
		log_error("a", "e");
		log_warn("a", "w");
		log_info("a", "i");
		log_debug("a", "d");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
