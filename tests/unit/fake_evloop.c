/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake_evloop.h. Nothing waits in real time: descriptors are looked at as
 * they are, so the other end must have written before.
 */
#include "fake_evloop.h"

#include <assert.h>
#include <event2/event.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "fake_now.h"

#define ROUNDS_MAX 10000
#define STEP_MS 100

struct loop {
	struct event_base *base;
	struct loop_timer *timers[256];
	size_t n_timers;
	struct loop_task *tasks, **tasks_end;
	bool stop;
};

struct loop_waker {
	loop_fn *fn;
	void *arg;
};

static struct loop *the_loop;

struct loop *
loop_new(struct tb_error *err)
{
	struct loop *loop = xnew(struct loop);

	assert(!the_loop);
	loop->base = event_base_new();
	assert(loop->base);
	loop->tasks_end = &loop->tasks;
	the_loop = loop;
	return loop;
}

void
loop_free(struct loop *loop)
{
	if (!loop)
		return;
	event_base_free(loop->base);
	free(loop);
	the_loop = NULL;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

void
loop_stop(struct loop *loop)
{
	loop->stop = true;
}

int
loop_run(struct loop *loop, struct tb_error *err)
{
	fake_evloop_run();
	return 0;
}

void
loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn,
    void *arg)
{
	*t = (struct loop_timer){ .loop = loop, .fn = fn, .arg = arg };
}

void
loop_timer_stop(struct loop_timer *t)
{
	struct loop *loop = t->loop;

	if (!t->slot)
		return;
	loop->timers[t->slot - 1] = loop->timers[--loop->n_timers];
	loop->timers[t->slot - 1]->slot = t->slot;
	t->slot = 0;
}

void
loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
	struct loop *loop = t->loop;

	loop_timer_stop(t);
	assert(loop->n_timers < ARRAY_SIZE(loop->timers));
	t->at_ms = now_boot_ms() + delay_ms;
	loop->timers[loop->n_timers++] = t;
	t->slot = loop->n_timers;
}

bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->slot != 0;
}

void
loop_task_init(struct loop_task *t, struct loop *loop, loop_fn *fn, void *arg)
{
	*t = (struct loop_task){ .loop = loop, .fn = fn, .arg = arg };
}

void
loop_task_post(struct loop_task *t)
{
	struct loop *loop = t->loop;

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
	if (!t->link)
		return;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	else
		t->loop->tasks_end = t->link;
	t->link = NULL;
}

int
loop_on_signal(struct loop *loop, int signo, loop_fn *fn, void *arg,
    struct tb_error *err)
{
	return 0;
}

void
loop_on_clock_step(struct loop *loop, loop_fn *fn, void *arg)
{
}

struct loop_waker *
loop_waker_new(struct loop *loop, loop_fn *fn, void *arg,
    struct tb_error *err)
{
	struct loop_waker *w = xnew(struct loop_waker);

	w->fn = fn;
	w->arg = arg;
	return w;
}

void
loop_wake(struct loop_waker *w)
{
	w->fn(w->arg);
}

void
loop_waker_free(struct loop_waker *w)
{
	free(w);
}

static bool
run_tasks(struct loop *loop)
{
	struct loop_task *t = loop->tasks;

	if (!t)
		return false;
	loop_task_cancel(t);
	t->fn(t->arg);
	return true;
}

static bool
run_timers(struct loop *loop)
{
	struct loop_timer *first = NULL;
	size_t i;

	for (i = 0; i < loop->n_timers; i++)
		if (loop->timers[i]->at_ms <= now_boot_ms() &&
		    (!first || loop->timers[i]->at_ms < first->at_ms))
			first = loop->timers[i];
	if (!first)
		return false;
	loop_timer_stop(first);
	first->fn(first->arg);
	return true;
}

/* Descriptors never say that they are done: a few looks without a task or a
 * timer in between are taken for the end. */
void
fake_evloop_run(void)
{
	int rounds, quiet = 0;

	for (rounds = 0; quiet < 4; rounds++) {
		assert(rounds < ROUNDS_MAX);
		event_base_loop(the_loop->base, EVLOOP_NONBLOCK);
		if (run_tasks(the_loop) || run_timers(the_loop))
			quiet = 0;
		else
			quiet++;
	}
}

void
fake_evloop_advance(int64_t ms)
{
	fake_evloop_run();
	while (ms > 0) {
		fake_now_advance(MIN2(ms, STEP_MS));
		ms -= STEP_MS;
		fake_evloop_run();
	}
}
