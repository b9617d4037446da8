/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - see the header. libevent waits and says which descriptor is ready;
 * the rest is ours, because libevent's timers run on CLOCK_MONOTONIC, which
 * stands still while the machine sleeps, and because a task must run on the
 * next turn and not at the end of this one.
 *
 * Timers are a binary heap under one timerfd. The timerfd is armed anew only
 * when the earliest deadline becomes earlier than what it is armed for; a
 * stopped timer costs at most one needless wake-up. Timers that are due are
 * first moved out of the heap to `due`, then called: what a callback sets
 * waits for the next turn, and what it stops is struck from the list.
 *
 * Descriptors of ours that are only signals (timerfd, eventfd) are watched
 * edge-triggered, so they need not be read.
 */
#include "lib/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/log.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/loop_heap.h"

#define NOT_ARMED INT64_MAX
#define DELAY_MAX_MS (INT64_MAX / 4)
/* A slot at or above this is a place in `due`, not in the heap. */
#define DUE_SLOT (SIZE_MAX / 2)
/* CLOCK_BOOTTIME may run ahead of CLOCK_MONOTONIC by this much more between
 * two looks at them without a suspend: we may be preempted in between. */
#define SUSPEND_MIN_MS 1000

struct loop_signal {
	struct event *event;
	int signo;
	loop_fn *fn;
	void *arg;
	struct loop_signal *next;
};

struct loop_waker {
	struct loop *loop;
	struct event *event;
	int fd;
	atomic_bool woken;
	loop_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct event *turn; /* a zero time-out: the next turn */
	struct event *timer_event, *clock_event;
	int timer_fd, clock_fd;

	struct loop_heap heap;
	struct loop_timer **due;
	size_t n_due, due_cap;
	int64_t armed_ms; /* what timer_fd is armed for */
	bool in_timers;

	struct loop_task *tasks, **tasks_end;     /* for the next turn */
	struct loop_task *running, **running_end; /* of this turn */

	struct loop_signal *signals;
	size_t n_wakers;
	loop_fn *step_fn;
	void *step_arg;
	int64_t asleep_ms; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC */
	bool stop;
};

/* Turns and timers. */

static void
want_turn(struct loop *loop)
{
	static const struct timeval at_once = { 0, 0 };

	if (!evtimer_pending(loop->turn, NULL))
		evtimer_add(loop->turn, &at_once);
}

/* Makes sure that we wake up for the earliest timer. */
static void
arm(struct loop *loop)
{
	struct itimerspec when = { .it_value = { 0, 0 } };
	const struct loop_timer *first = loop_heap_first(&loop->heap);
	int64_t at;

	if (!first || first->at_ms >= loop->armed_ms)
		return;
	at = first->at_ms;
	if (at <= now_boot_ms()) {
		want_turn(loop);
		return;
	}
	when.it_value.tv_sec = at / 1000;
	when.it_value.tv_nsec = at % 1000 * 1000000;
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		abort(); /* only a bad argument can do that */
	loop->armed_ms = at;
}

static void
run_due_timers(struct loop *loop)
{
	int64_t now = now_boot_ms();
	struct loop_timer *t;
	size_t i;

	if (loop->due_cap < loop->heap.n) {
		loop->due_cap = loop->heap.cap;
		loop->due = xreallocarray(loop->due, loop->due_cap,
		    sizeof(loop->due[0]));
	}
	while ((t = loop_heap_first(&loop->heap)) && t->at_ms <= now) {
		loop_heap_remove(&loop->heap, t);
		t->slot = DUE_SLOT + loop->n_due;
		loop->due[loop->n_due++] = t;
	}
	loop->in_timers = true;
	for (i = 0; i < loop->n_due; i++) {
		t = loop->due[i];
		if (!t)
			continue;
		loop->due[i] = NULL;
		t->slot = 0;
		t->fn(t->arg);
	}
	loop->n_due = 0;
	loop->in_timers = false;
	arm(loop);
}

void
loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg)
{
	*t = (struct loop_timer){ .loop = loop, .fn = fn, .arg = arg };
}

void
loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
	struct loop *loop = t->loop;

	loop_timer_stop(t);
	delay_ms = MIN2(MAX2(delay_ms, 0), DELAY_MAX_MS);
	t->at_ms = now_boot_ms() + delay_ms;
	loop_heap_add(&loop->heap, t);
	if (!loop->in_timers)
		arm(loop);
}

void
loop_timer_stop(struct loop_timer *t)
{
	if (!t->slot)
		return;
	if (t->slot >= DUE_SLOT) {
		t->loop->due[t->slot - DUE_SLOT] = NULL;
		t->slot = 0;
	} else {
		loop_heap_remove(&t->loop->heap, t);
	}
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
	want_turn(loop);
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
		loop->running_end = t->link;
	t->next = NULL;
	t->link = NULL;
}

/* Those queued before this turn: what they post waits for the next one, so
 * that tasks that post each other do not keep sockets waiting. */
static void
run_tasks(struct loop *loop)
{
	struct loop_task *t;

	if (!loop->tasks)
		return;
	loop->running = loop->tasks;
	loop->running->link = &loop->running;
	loop->running_end = loop->tasks_end;
	loop->tasks = NULL;
	loop->tasks_end = &loop->tasks;
	while ((t = loop->running)) {
		loop_task_cancel(t);
		t->fn(t->arg);
	}
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	run_tasks(loop);
	run_due_timers(loop);
}

/* Clocks. */

static int64_t
slept_ms(void)
{
	struct timespec boot, mono;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return ((int64_t)boot.tv_sec - mono.tv_sec) * 1000 +
	    (boot.tv_nsec - mono.tv_nsec) / 1000000;
}

static void
clock_stepped(struct loop *loop)
{
	if (loop->step_fn)
		loop->step_fn(loop->step_arg);
}

static bool
was_suspended(struct loop *loop)
{
	int64_t asleep = slept_ms();
	bool more = asleep - loop->asleep_ms >= SUSPEND_MIN_MS;

	if (more)
		loop->asleep_ms = asleep;
	return more;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	loop->armed_ms = NOT_ARMED;
	if (was_suspended(loop))
		clock_stepped(loop);
	run_due_timers(loop);
}

/* Armed for the end of time: it fires only by being cancelled. True when the
 * clock was set since it was armed last. */
static bool
arm_clock(struct loop *loop)
{
	struct itimerspec never = { .it_value = { .tv_sec = INT64_MAX } };

	return timerfd_settime(loop->clock_fd,
	    TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 &&
	    errno == ECANCELED;
}

static void
on_clock(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t count;
	bool stepped;

	stepped = read(loop->clock_fd, &count, sizeof(count)) < 0 &&
	    errno == ECANCELED;
	if (arm_clock(loop) || stepped || was_suspended(loop))
		clock_stepped(loop);
}

void
loop_on_clock_step(struct loop *loop, loop_fn *fn, void *arg)
{
	loop->step_fn = fn;
	loop->step_arg = arg;
}

/* Signals. */

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	s->fn(s->arg);
}

int
loop_on_signal(struct loop *loop, int signo, loop_fn *fn, void *arg,
    struct tb_error *err)
{
	struct loop_signal *s;

	for (s = loop->signals; s; s = s->next)
		if (s->signo == signo)
			return tb_error_set(err, TB_E_BADREQ,
			    "signal %d has a handler already", signo);
	s = xnew(struct loop_signal);
	s->signo = signo;
	s->fn = fn;
	s->arg = arg;
	s->event = evsignal_new(loop->base, signo, on_signal, s);
	if (!s->event || evsignal_add(s->event, NULL) < 0) {
		if (s->event)
			event_free(s->event);
		free(s);
		return tb_error_set(err, TB_E_IO, "cannot handle signal %d",
		    signo);
	}
	s->next = loop->signals;
	loop->signals = s;
	return 0;
}

/* Wakers. */

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop_waker *w = arg;

	/* Before the call: who wakes us during it wakes us again. */
	atomic_store(&w->woken, false);
	w->fn(w->arg);
}

struct loop_waker *
loop_waker_new(struct loop *loop, loop_fn *fn, void *arg, struct tb_error *err)
{
	struct loop_waker *w;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot make an eventfd");
		return NULL;
	}
	w = xnew(struct loop_waker);
	w->loop = loop;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->event = event_new(loop->base, fd, EV_READ | EV_PERSIST | EV_ET,
	    on_wake, w);
	if (!w->event || event_add(w->event, NULL) < 0) {
		tb_error_set(err, TB_E_IO, "cannot watch an eventfd");
		if (w->event)
			event_free(w->event);
		close(fd);
		free(w);
		return NULL;
	}
	loop->n_wakers++;
	return w;
}

void
loop_wake(struct loop_waker *w)
{
	static const uint64_t one = 1;

	if (atomic_exchange(&w->woken, true))
		return;
	while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
loop_waker_free(struct loop_waker *w)
{
	if (!w)
		return;
	w->loop->n_wakers--;
	event_free(w->event);
	close(w->fd);
	free(w);
}

/* The loop. */

static void
on_libevent_log(int severity, const char *msg)
{
	if (severity == EVENT_LOG_DEBUG || severity == EVENT_LOG_MSG)
		log_debug("loop", "libevent: %s", msg);
	else
		log_warn("loop", "libevent: %s", msg);
}

static struct event_base *
make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (!config)
		abort();
	event_set_log_callback(on_libevent_log);
	/* One thread: no locks. No EVENT_NOEPOLL from the environment. */
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV) == 0 &&
	    event_config_require_features(config, EV_FEATURE_ET) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

struct loop *
loop_new(struct tb_error *err)
{
	struct loop *loop = xnew(struct loop);

	signal(SIGPIPE, SIG_IGN);
	loop->armed_ms = NOT_ARMED;
	loop->tasks_end = &loop->tasks;
	loop->running_end = &loop->running;
	loop->asleep_ms = slept_ms();
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME,
	    TFD_CLOEXEC | TFD_NONBLOCK);
	loop->clock_fd = timerfd_create(CLOCK_REALTIME,
	    TFD_CLOEXEC | TFD_NONBLOCK);
	loop->base = make_base();
	if (loop->timer_fd < 0 || loop->clock_fd < 0 || !loop->base) {
		tb_error_errno(err, TB_E_IO, errno,
		    "cannot make the event loop");
		loop_free(loop);
		return NULL;
	}
	loop->turn = evtimer_new(loop->base, on_turn, loop);
	loop->timer_event = event_new(loop->base, loop->timer_fd,
	    EV_READ | EV_PERSIST | EV_ET, on_timer, loop);
	loop->clock_event = event_new(loop->base, loop->clock_fd,
	    EV_READ | EV_PERSIST, on_clock, loop);
	if (!loop->turn || !loop->timer_event || !loop->clock_event)
		abort();
	arm_clock(loop);
	if (event_add(loop->timer_event, NULL) < 0 ||
	    event_add(loop->clock_event, NULL) < 0) {
		tb_error_set(err, TB_E_IO, "cannot watch the loop's timers");
		loop_free(loop);
		return NULL;
	}
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

static void
free_event(struct event *event)
{
	if (event)
		event_free(event);
}

/* What is still set or queued is forgotten, so that its owner may stop it
 * later without harm. */
void
loop_free(struct loop *loop)
{
	struct loop_signal *s;

	if (!loop)
		return;
	assert(!loop->n_wakers && !loop->in_timers && !loop->running);
	loop_heap_clear(&loop->heap);
	forget_tasks(loop->tasks);
	while ((s = loop->signals)) {
		loop->signals = s->next;
		event_free(s->event);
		free(s);
	}
	free_event(loop->turn);
	free_event(loop->timer_event);
	free_event(loop->clock_event);
	if (loop->base)
		event_base_free(loop->base);
	closep(&loop->timer_fd);
	closep(&loop->clock_fd);
	free(loop->due);
	free(loop);
}

int
loop_run(struct loop *loop, struct tb_error *err)
{
	int r = 0;

	if (!loop->stop)
		r = event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
	loop->stop = false;
	if (r < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "the event loop failed");
	return 0;
}

/* Ends loop_run after the callback that runs, or the next one at once. */
void
loop_stop(struct loop *loop)
{
	loop->stop = true;
	event_base_loopbreak(loop->base);
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}
