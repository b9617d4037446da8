/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * loop - the event loop: one libevent base, timers on CLOCK_BOOTTIME, tasks
 * for the next turn, signals, and notice of clock steps.
 *
 * Timers and tasks are embedded in their owner: no allocation, O(log n) to
 * set, and the kernel is asked to re-arm only when the earliest deadline gets
 * earlier. A stopped timer or task never calls. All of it belongs to the loop
 * thread, save loop_wake.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct loop;
struct tb_error;

typedef void loop_fn(void *arg);

struct loop_timer {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	int64_t at_ms; /* now_boot_ms() it fires at */
	size_t slot;   /* 1-based place in the heap, 0 = not set */
};

struct loop_task {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	struct loop_task *next, **link; /* link != NULL: queued */
};

/* Also makes SIGPIPE ignored in the whole process. */
struct loop *loop_new(struct tb_error *err);
/* Timers and tasks still set are forgotten; wakers must be gone. NULL is
 * fine. */
void loop_free(struct loop *loop);
int loop_run(struct loop *loop, struct tb_error *err);
void loop_stop(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn,
    void *arg);
/* Fires once, delay_ms from now (0: next turn). Setting again moves it. */
void loop_timer_set(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);

void loop_task_init(struct loop_task *t, struct loop *loop, loop_fn *fn,
    void *arg);
/* Calls fn once from the top of the loop; posting twice is once. */
void loop_task_post(struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

/* fn runs on the loop thread. One handler per signal: a second one is refused
 * (TB_E_BADREQ). */
int loop_on_signal(struct loop *loop, int signo, loop_fn *fn, void *arg,
    struct tb_error *err);

/* fn runs when the wall clock was set (TFD_TIMER_CANCEL_ON_SET) or the
 * machine came back from suspend: deadlines kept as wall time are stale. */
void loop_on_clock_step(struct loop *loop, loop_fn *fn, void *arg);

/* From any thread: fn(arg) on the loop thread soon, coalesced. One waker per
 * loop_waker object; freed by loop_waker_free on the loop thread. */
struct loop_waker;
struct loop_waker *loop_waker_new(struct loop *loop, loop_fn *fn, void *arg,
    struct tb_error *err);
void loop_wake(struct loop_waker *w);
void loop_waker_free(struct loop_waker *w);
