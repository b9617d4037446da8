/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/loop on real time, in steps of a few milliseconds. Linked with
 * --wrap=timerfd_create,timerfd_settime,read,clock_gettime: to count how often
 * the kernel is asked, and to set a clock, or to sleep, without doing either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/loop.h"

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *set,
    struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *set,
    struct itimerspec *old);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __wrap_read(int fd, void *buf, size_t n);
int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

/* In place of the timerfd on CLOCK_REALTIME: an event is a clock step. */
static int clock_fd = -1;
static bool clock_cancelled;
static int clock_armed, settimes;
static int64_t slept_s;

int
__wrap_timerfd_create(int clock, int flags)
{
	if (clock != CLOCK_REALTIME)
		return __real_timerfd_create(clock, flags);
	assert_int_equal(flags, TFD_CLOEXEC | TFD_NONBLOCK);
	clock_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return clock_fd;
}

int
__wrap_timerfd_settime(int fd, int flags, const struct itimerspec *set,
    struct itimerspec *old)
{
	if (fd == clock_fd) {
		assert_int_equal(flags,
		    TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
		clock_armed++;
		return 0;
	}
	settimes++;
	return __real_timerfd_settime(fd, flags, set, old);
}

ssize_t
__wrap_read(int fd, void *buf, size_t n)
{
	ssize_t r = __real_read(fd, buf, n);

	if (fd == clock_fd && clock_cancelled) {
		clock_cancelled = false;
		errno = ECANCELED;
		return -1;
	}
	return r;
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = __real_clock_gettime(clock, ts);

	/* A loop's timerfd does not know of it, but its times look so. */
	if (clock == CLOCK_MONOTONIC)
		ts->tv_sec -= slept_s;
	return r;
}

static struct loop *loop;
static struct strbuf trace = STRBUF_INIT;
static struct tb_error err;

static void
note(void *arg)
{
	strbuf_adds(&trace, arg);
}

static void
stop(void *arg)
{
	loop_stop(loop);
}

/* Turns the loop for so long. */
static const char *
run_ms(int64_t ms)
{
	static char copy[512];
	struct loop_timer end;

	strbuf_reset(&trace);
	loop_timer_init(&end, loop, stop, NULL);
	loop_timer_set(&end, ms);
	assert_int_equal(loop_run(loop, &err), 0);
	loop_timer_stop(&end);
	snprintf(copy, sizeof(copy), "%s", strbuf_str(&trace));
	return copy;
}

static int
setup(void **state)
{
	loop = loop_new(&err);
	strbuf_reset(&trace);
	settimes = 0;
	slept_s = 0;
	return loop ? 0 : -1;
}

static int
teardown(void **state)
{
	loop_free(loop);
	strbuf_clear(&trace);
	return 0;
}

static void
test_timers(void **state)
{
	struct loop_timer a, b, c, d;
	int64_t start = now_boot_ms();

	loop_timer_init(&a, loop, note, (void *)"a");
	loop_timer_init(&b, loop, note, (void *)"b");
	loop_timer_init(&c, loop, note, (void *)"c");
	loop_timer_init(&d, loop, note, (void *)"d");
	loop_timer_set(&a, 30);
	loop_timer_set(&b, 10);
	loop_timer_set(&c, 20);
	loop_timer_set(&d, 5);
	loop_timer_set(&b, 40); /* moved */
	loop_timer_stop(&c);
	loop_timer_stop(&c);
	assert_true(loop_timer_is_set(&a));
	assert_false(loop_timer_is_set(&c));
	assert_string_equal(run_ms(60), "dab");
	assert_in_range(now_boot_ms() - start, 60, 1000);
	assert_false(loop_timer_is_set(&a));
	loop_timer_set(&a, -5);
	loop_timer_set(&b, 0);
	loop_timer_set(&c, INT64_MAX);
	assert_string_equal(run_ms(20), "ab");
	assert_true(loop_timer_is_set(&c));
}

/* Never early: the deadline has passed by the clock when it fires. */
static int64_t due_at;
static int early;

static void
check_due(void *arg)
{
	early += now_boot_ms() < due_at;
	stop(NULL);
}

static void
test_never_early(void **state)
{
	struct loop_timer t;
	int i;

	loop_timer_init(&t, loop, check_due, NULL);
	for (i = 0; i < 20; i++) {
		loop_timer_set(&t, i % 4);
		due_at = t.at_ms;
		assert_int_equal(loop_run(loop, &err), 0);
	}
	assert_int_equal(early, 0);
}

/* The kernel is asked only when the earliest deadline becomes earlier. */
static void
test_lazy_arming(void **state)
{
	struct loop_timer t[100];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		loop_timer_init(&t[i], loop, note, (void *)"x");
		loop_timer_set(&t[i], 1000 + (int64_t)i);
	}
	assert_int_equal(settimes, 1);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		loop_timer_set(&t[i], 2000);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		loop_timer_stop(&t[i]);
	assert_int_equal(settimes, 1);
	loop_timer_set(&t[0], 500);
	assert_int_equal(settimes, 2);
	loop_timer_set(&t[1], 0); /* the next turn needs no timer */
	assert_int_equal(settimes, 2);
	loop_timer_stop(&t[0]);
	assert_string_equal(run_ms(10), "x");
}

static int64_t last_at;
static int fired, disorder;

static void
check_order(void *arg)
{
	const struct loop_timer *t = arg;

	fired++;
	disorder += t->at_ms < last_at;
	last_at = t->at_ms;
}

/* Thousands of changes in any order; then each fires once, in order. */
static void
test_heap(void **state)
{
	struct timespec nap = { 0, 45000000 };
	struct loop_timer t[64];
	uint32_t seed = 12345;
	size_t i, round;
	int want = 0;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		loop_timer_init(&t[i], loop, check_order, &t[i]);
	for (round = 0; round < 20000; round++) {
		seed = seed * 1664525 + 1013904223;
		i = seed >> 16 & 63;
		if (seed >> 30 < 2)
			loop_timer_stop(&t[i]);
		else
			loop_timer_set(&t[i], 1 + (seed >> 22 & 31));
	}
	for (i = 0; i < ARRAY_SIZE(t); i++)
		want += loop_timer_is_set(&t[i]);
	assert_true(want > 10);
	fired = disorder = 0;
	last_at = 0;
	nanosleep(&nap, NULL); /* all are due: their order is the heap's */
	run_ms(20);
	assert_int_equal(fired, want);
	assert_int_equal(disorder, 0);
}

static struct loop_timer ta, tb, tc;
static int again;

static void
stop_b_set_self(void *arg)
{
	note(arg);
	loop_timer_stop(&tb);
	if (again-- > 0)
		loop_timer_set(&ta, 0);
}

/* Both are due: the first one stops the second. One that sets itself with no
 * delay does not keep the loop from turning. */
static void
test_timer_stops_other(void **state)
{
	struct timespec nap = { 0, 5000000 };

	loop_timer_init(&ta, loop, stop_b_set_self, (void *)"a");
	loop_timer_init(&tb, loop, note, (void *)"b");
	loop_timer_init(&tc, loop, note, (void *)"c");
	again = 3;
	loop_timer_set(&ta, 1);
	loop_timer_set(&tb, 2);
	loop_timer_set(&tc, 3);
	nanosleep(&nap, NULL);
	assert_string_equal(run_ms(20), "acaaa");
	again = INT32_MAX;
	loop_timer_set(&ta, 0);
	assert_true(strlen(run_ms(20)) > 5);
	loop_timer_stop(&ta);
}

static struct loop_task pa, pb, pc;

static void
post_a_cancel_b(void *arg)
{
	note(arg);
	loop_task_post(&pa);
	loop_task_post(&pa);
	loop_task_cancel(&pb);
}

static void
test_tasks(void **state)
{
	loop_task_init(&pa, loop, note, (void *)"a");
	loop_task_init(&pb, loop, note, (void *)"b");
	loop_task_init(&pc, loop, post_a_cancel_b, (void *)"c");
	loop_task_post(&pc);
	loop_task_post(&pb);
	loop_task_post(&pb);
	assert_int_equal(trace.len, 0);
	assert_string_equal(run_ms(20), "ca");
	loop_task_post(&pa);
	loop_task_post(&pb);
	loop_task_post(&pc);
	loop_task_cancel(&pc); /* the last */
	loop_task_post(&pc);
	loop_task_cancel(&pa); /* the first */
	loop_task_cancel(&pa);
	assert_string_equal(run_ms(20), "bca");
	loop_task_post(&pa);
	loop_task_cancel(&pa);
	assert_string_equal(run_ms(2), "");
}

static int hops;
static struct loop_task hop;

static void
hop_again(void *arg)
{
	hops++;
	loop_task_post(&hop);
}

/* A task that posts itself for ever leaves room for timers. */
static void
test_tasks_do_not_starve(void **state)
{
	loop_task_init(&hop, loop, hop_again, NULL);
	loop_timer_init(&ta, loop, note, (void *)"t");
	loop_timer_set(&ta, 3);
	loop_task_post(&hop);
	hops = 0;
	assert_string_equal(run_ms(10), "t");
	assert_true(hops > 3);
	loop_task_cancel(&hop);
}

static struct loop_waker *waker;
static atomic_int to_wake;
static int woken;

static void *
wake_thread(void *arg)
{
	int i;

	for (i = 0; i < 1000; i++) {
		atomic_fetch_add(&to_wake, 1);
		loop_wake(waker);
	}
	return NULL;
}

static void
on_wake(void *arg)
{
	woken++;
	if (atomic_load(&to_wake) == 1000)
		loop_stop(loop);
}

/* Coalesced, and the last one is never lost. */
static void
test_wakers(void **state)
{
	pthread_t thread;
	int round;

	waker = loop_waker_new(loop, on_wake, NULL, &err);
	assert_non_null(waker);
	for (round = 0; round < 20; round++) {
		atomic_store(&to_wake, 0);
		woken = 0;
		pthread_create(&thread, NULL, wake_thread, NULL);
		loop_timer_init(&ta, loop, stop, NULL);
		loop_timer_set(&ta, 5000);
		assert_int_equal(loop_run(loop, &err), 0);
		assert_true(loop_timer_is_set(&ta));
		loop_timer_stop(&ta);
		pthread_join(thread, NULL);
		assert_in_range(woken, 1, 1000);
		run_ms(0); /* what the thread still wrote */
	}
	/* many before one turn are one call */
	woken = 0;
	atomic_store(&to_wake, 0);
	loop_wake(waker);
	loop_wake(waker);
	loop_wake(waker);
	run_ms(20);
	assert_int_equal(woken, 1);
	loop_waker_free(waker);
	loop_waker_free(NULL);
}

static void
wake_itself(void *arg)
{
	note(arg);
	if (trace.len < 3)
		loop_wake(waker);
}

/* Woken while the callback runs: it runs again. */
static void
test_waker_wakes_itself(void **state)
{
	waker = loop_waker_new(loop, wake_itself, (void *)"w", &err);
	strbuf_reset(&trace);
	loop_wake(waker);
	assert_string_equal(run_ms(20), "www");
	loop_waker_free(waker);
}

static void
test_signals(void **state)
{
	struct tb_error why = TB_ERROR_INIT;

	assert_int_equal(loop_on_signal(loop, SIGUSR1, note, (void *)"1",
	    &why), 0);
	assert_int_equal(loop_on_signal(loop, SIGUSR2, note, (void *)"2",
	    &why), 0);
	assert_int_equal(loop_on_signal(loop, SIGUSR1, note, (void *)"3",
	    &why), -1);
	assert_string_equal(why.msg, "signal 10 has a handler already");
	raise(SIGUSR1);
	assert_string_equal(run_ms(20), "1");
	raise(SIGUSR2);
	raise(SIGUSR1);
	assert_int_equal(strlen(run_ms(20)), 2);
	raise(SIGPIPE); /* ignored */
}

static void
test_clock_step(void **state)
{
	static const uint64_t one = 1;
	int armed = clock_armed;

	assert_true(armed > 0);
	loop_on_clock_step(loop, note, (void *)"step");
	clock_cancelled = true;
	assert_int_equal(write(clock_fd, &one, sizeof(one)), sizeof(one));
	assert_string_equal(run_ms(20), "step");
	assert_int_equal(clock_armed, armed + 1);
	/* readable without ECANCELED: it was not set */
	assert_int_equal(write(clock_fd, &one, sizeof(one)), sizeof(one));
	assert_string_equal(run_ms(20), "");
	slept_s = 3600;
	assert_string_equal(run_ms(20), "step");
	assert_string_equal(run_ms(20), "");
}

static void
test_stop_first(void **state)
{
	loop_task_init(&pa, loop, note, (void *)"a");
	loop_task_post(&pa);
	loop_stop(loop);
	strbuf_reset(&trace);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_int_equal(trace.len, 0);
	assert_string_equal(run_ms(20), "a");
	assert_non_null(loop_base(loop));
}

/* The owner of a timer or task may outlive the loop. */
static void
test_free_forgets(void **state)
{
	loop_timer_init(&ta, loop, note, (void *)"a");
	loop_task_init(&pa, loop, note, (void *)"a");
	loop_timer_set(&ta, 1000);
	loop_task_post(&pa);
	loop_free(STEAL(loop));
	assert_false(loop_timer_is_set(&ta));
	loop_timer_stop(&ta);
	loop_task_cancel(&pa);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_timers),
		T(test_never_early),
		T(test_lazy_arming),
		T(test_heap),
		T(test_timer_stops_other),
		T(test_tasks),
		T(test_tasks_do_not_starve),
		T(test_wakers),
		T(test_waker_wakes_itself),
		T(test_signals),
		T(test_clock_step),
		T(test_stop_first),
		T(test_free_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
