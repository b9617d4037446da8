/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers are kept in an array sorted by deadline (equal ones in the order they
 * were set), so that a test's sequence is the same each time it runs.
 */
#include "fake_loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "fake_now.h"

#define TURNS_MAX 10000
#define SIGNALS 65

struct loop_waker {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	bool woken;
	struct loop_waker *next;
};

struct loop {
	struct loop_timer **timers;
	size_t n_timers, timers_cap;
	struct loop_task *tasks, **tasks_end;
	struct loop_task *turn, **turn_end; /* those of the turn that runs */
	struct loop_waker *wakers;
	struct {
		loop_fn *fn;
		void *arg;
	} signals[SIGNALS], step;
	bool stop;
};

static struct loop *the_loop;
static pthread_mutex_t wake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake_cond = PTHREAD_COND_INITIALIZER;

struct loop *
loop_new(struct tb_error *err)
{
	struct loop *loop = xnew(struct loop);

	assert(!the_loop);
	loop->tasks_end = &loop->tasks;
	loop->turn_end = &loop->turn;
	the_loop = loop;
	return loop;
}

static void
forget_tasks(struct loop_task *t)
{
	struct loop_task *next;

	for (; t; t = next) {
		next = t->next;
		t->next = NULL;
		t->link = NULL;
	}
}

void
loop_free(struct loop *loop)
{
	size_t i;

	if (!loop)
		return;
	assert(loop == the_loop);
	assert(!loop->wakers);
	for (i = 0; i < loop->n_timers; i++)
		loop->timers[i]->slot = 0;
	free(loop->timers);
	forget_tasks(loop->tasks);
	forget_tasks(loop->turn);
	free(loop);
	the_loop = NULL;
}

struct event_base *
loop_base(struct loop *loop)
{
	return NULL;
}

void
loop_stop(struct loop *loop)
{
	loop->stop = true;
}

/* Timers. */

void
loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg)
{
	assert(loop && loop == the_loop);
	*t = (struct loop_timer){ .loop = loop, .fn = fn, .arg = arg };
}

static void
renumber(struct loop *loop, size_t from)
{
	for (; from < loop->n_timers; from++)
		loop->timers[from]->slot = from + 1;
}

void
loop_timer_stop(struct loop_timer *t)
{
	struct loop *loop = t->loop;
	size_t i;

	if (!t->slot)
		return;
	i = t->slot - 1;
	assert(i < loop->n_timers && loop->timers[i] == t);
	memmove(&loop->timers[i], &loop->timers[i + 1],
	    (loop->n_timers - i - 1) * sizeof(loop->timers[0]));
	loop->n_timers--;
	t->slot = 0;
	renumber(loop, i);
}

void
loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
	struct loop *loop = t->loop;
	size_t i;

	assert(loop && loop == the_loop);
	loop_timer_stop(t);
	t->at_ms = now_boot_ms() + (delay_ms > 0 ? delay_ms : 0);
	if (loop->n_timers == loop->timers_cap) {
		loop->timers_cap = loop->timers_cap ? 2 * loop->timers_cap : 16;
		loop->timers = xreallocarray(loop->timers, loop->timers_cap,
		    sizeof(loop->timers[0]));
	}
	for (i = loop->n_timers; i > 0; i--) {
		if (loop->timers[i - 1]->at_ms <= t->at_ms)
			break;
		loop->timers[i] = loop->timers[i - 1];
	}
	loop->timers[i] = t;
	loop->n_timers++;
	renumber(loop, i);
}

bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->slot != 0;
}

/* Tasks. */

void
loop_task_init(struct loop_task *t, struct loop *loop, loop_fn *fn, void *arg)
{
	assert(loop && loop == the_loop);
	*t = (struct loop_task){ .loop = loop, .fn = fn, .arg = arg };
}

void
loop_task_post(struct loop_task *t)
{
	struct loop *loop = t->loop;

	assert(loop && loop == the_loop);
	if (t->link)
		return;
	t->next = NULL;
	t->link = loop->tasks_end;
	*t->link = t;
	loop->tasks_end = &t->next;
}

void
loop_task_cancel(struct loop_task *t)
{
	struct loop *loop = t->loop;

	if (!t->link)
		return;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	else if (loop->tasks_end == &t->next)
		loop->tasks_end = t->link;
	else
		loop->turn_end = t->link;
	t->next = NULL;
	t->link = NULL;
}

/* Signals, clock, wakers. */

int
loop_on_signal(struct loop *loop, int signo, loop_fn *fn, void *arg,
    struct tb_error *err)
{
	assert(signo > 0 && signo < SIGNALS);
	loop->signals[signo].fn = fn;
	loop->signals[signo].arg = arg;
	return 0;
}

void
loop_on_clock_step(struct loop *loop, loop_fn *fn, void *arg)
{
	loop->step.fn = fn;
	loop->step.arg = arg;
}

void
fake_loop_signal(int signo)
{
	assert(the_loop && the_loop->signals[signo].fn);
	the_loop->signals[signo].fn(the_loop->signals[signo].arg);
}

void
fake_loop_clock_step(void)
{
	assert(the_loop && the_loop->step.fn);
	the_loop->step.fn(the_loop->step.arg);
}

struct loop_waker *
loop_waker_new(struct loop *loop, loop_fn *fn, void *arg, struct tb_error *err)
{
	struct loop_waker *w = xnew(struct loop_waker);

	assert(loop && loop == the_loop);
	w->loop = loop;
	w->fn = fn;
	w->arg = arg;
	w->next = loop->wakers;
	loop->wakers = w;
	return w;
}

void
loop_wake(struct loop_waker *w)
{
	pthread_mutex_lock(&wake_lock);
	w->woken = true;
	pthread_cond_broadcast(&wake_cond);
	pthread_mutex_unlock(&wake_lock);
}

void
loop_waker_free(struct loop_waker *w)
{
	struct loop_waker **p;

	if (!w)
		return;
	for (p = &w->loop->wakers; *p != w; p = &(*p)->next)
		assert(*p);
	*p = w->next;
	free(w);
}

/* The next woken one, no longer marked; NULL when there is none. */
static struct loop_waker *
take_woken(struct loop *loop)
{
	struct loop_waker *w;

	pthread_mutex_lock(&wake_lock);
	for (w = loop->wakers; w && !w->woken; w = w->next)
		;
	if (w)
		w->woken = false;
	pthread_mutex_unlock(&wake_lock);
	return w;
}

static bool
any_woken(const struct loop *loop)
{
	const struct loop_waker *w;

	for (w = loop->wakers; w; w = w->next)
		if (w->woken)
			return true;
	return false;
}

bool
fake_loop_wait_wake(int timeout_ms)
{
	struct timespec until;
	bool woken;
	int r = 0;

	assert(the_loop);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&wake_lock);
	while (!(woken = any_woken(the_loop)) && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&wake_cond, &wake_lock, &until);
	pthread_mutex_unlock(&wake_lock);
	if (woken)
		fake_loop_run_pending();
	return woken;
}

/* Running. */

static void
run_tasks(struct loop *loop)
{
	struct loop_task *t;

	assert(!loop->turn); /* a callback must not turn the loop */
	if (!loop->tasks)
		return;
	loop->turn = loop->tasks;
	loop->turn->link = &loop->turn;
	loop->turn_end = loop->tasks_end;
	loop->tasks = NULL;
	loop->tasks_end = &loop->tasks;
	while ((t = loop->turn)) {
		loop_task_cancel(t);
		t->fn(t->arg);
	}
}

static bool
timer_is_due(const struct loop *loop)
{
	return loop->n_timers && loop->timers[0]->at_ms <= now_boot_ms();
}

/* Those due now and set before: one that sets itself again with no delay
 * fires on the next turn. They are at the front, and what is set meanwhile
 * is sorted behind them. */
static void
run_timers(struct loop *loop)
{
	size_t due = 0;
	int64_t now = now_boot_ms();
	struct loop_timer *t;

	while (due < loop->n_timers && loop->timers[due]->at_ms <= now)
		due++;
	while (due-- > 0 && timer_is_due(loop)) {
		t = loop->timers[0];
		loop_timer_stop(t);
		t->fn(t->arg);
	}
}

void
fake_loop_turn(void)
{
	struct loop_waker *w;

	assert(the_loop);
	run_tasks(the_loop);
	while ((w = take_woken(the_loop)))
		w->fn(w->arg);
	run_timers(the_loop);
}

static bool
is_pending(struct loop *loop)
{
	bool woken;

	pthread_mutex_lock(&wake_lock);
	woken = any_woken(loop);
	pthread_mutex_unlock(&wake_lock);
	return loop->tasks || woken || timer_is_due(loop);
}

void
fake_loop_run_pending(void)
{
	int turns = 0;

	assert(the_loop);
	while (is_pending(the_loop)) {
		if (++turns > TURNS_MAX) {
			fprintf(stderr, "fake_loop: it never gets quiet\n");
			abort();
		}
		fake_loop_turn();
	}
}

void
fake_loop_advance(int64_t ms)
{
	int64_t end = now_boot_ms() + ms;
	int64_t next;

	fake_loop_run_pending();
	while ((next = fake_loop_next_ms()) >= 0 &&
	    now_boot_ms() + next <= end) {
		fake_now_advance(next);
		fake_loop_run_pending();
	}
	fake_now_advance(end - now_boot_ms());
}

int
loop_run(struct loop *loop, struct tb_error *err)
{
	int64_t next;

	for (;;) {
		while (is_pending(loop) && !loop->stop)
			fake_loop_turn();
		if (loop->stop)
			break;
		next = fake_loop_next_ms();
		if (next >= 0)
			fake_now_advance(next);
		else if (!loop->wakers || !fake_loop_wait_wake(10000))
			break;
	}
	loop->stop = false;
	return 0;
}

size_t
fake_loop_timers(void)
{
	return the_loop ? the_loop->n_timers : 0;
}

size_t
fake_loop_tasks(void)
{
	const struct loop_task *t;
	size_t n = 0;

	for (t = the_loop ? the_loop->tasks : NULL; t; t = t->next)
		n++;
	return n;
}

int64_t
fake_loop_next_ms(void)
{
	int64_t ms;

	if (!the_loop || !the_loop->n_timers)
		return -1;
	ms = the_loop->timers[0]->at_ms - now_boot_ms();
	return ms > 0 ? ms : 0;
}
