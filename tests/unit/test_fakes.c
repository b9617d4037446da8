/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fakes that other tests stand on: fake_now, fake_loop, fake_http.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "fake_http.h"
#include "fake_loop.h"
#include "fake_now.h"

static struct strbuf trace = STRBUF_INIT;
static struct loop *loop;
static struct http *http;

static void
note(void *arg)
{
	strbuf_addf(&trace, "%s@%lld ", (const char *)arg,
	    (long long)(now_boot_ms() - FAKE_NOW_BOOT_MS));
}

static int
setup(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct http_env env = { .user_agent = "test" };

	fake_now_reset();
	strbuf_reset(&trace);
	loop = loop_new(&err);
	http = http_new(loop, &env, &err);
	return 0;
}

static int
teardown(void **state)
{
	fake_http_reset();
	http_free(http);
	loop_free(loop);
	strbuf_clear(&trace);
	return 0;
}

static void
test_timers_in_order(void **state)
{
	struct loop_timer a, b, c, d;

	loop_timer_init(&a, loop, note, (void *)"a");
	loop_timer_init(&b, loop, note, (void *)"b");
	loop_timer_init(&c, loop, note, (void *)"c");
	loop_timer_init(&d, loop, note, (void *)"d");
	loop_timer_set(&a, 300);
	loop_timer_set(&b, 100);
	loop_timer_set(&c, 100);
	loop_timer_set(&d, 200);
	loop_timer_stop(&d);
	assert_false(loop_timer_is_set(&d));
	assert_int_equal(fake_loop_timers(), 3);
	assert_int_equal(fake_loop_next_ms(), 100);
	fake_loop_advance(250);
	assert_string_equal(strbuf_str(&trace), "b@100 c@100 ");
	assert_int_equal(now_boot_ms() - FAKE_NOW_BOOT_MS, 250);
	loop_timer_set(&a, 0);
	fake_loop_run_pending();
	assert_string_equal(strbuf_str(&trace), "b@100 c@100 a@250 ");
	assert_int_equal(fake_loop_next_ms(), -1);
	assert_int_equal(now_real_s(), FAKE_NOW_REAL_S);
	assert_int_equal(now_real_ms(), FAKE_NOW_REAL_S * 1000 + 250);
}

static struct loop_task task_a, task_b, task_c;

static void
cancel_b_post_a(void *arg)
{
	note(arg);
	loop_task_cancel(&task_b);
	loop_task_post(&task_a);
	loop_task_post(&task_a);
}

static void
test_tasks(void **state)
{
	loop_task_init(&task_a, loop, note, (void *)"a");
	loop_task_init(&task_b, loop, note, (void *)"b");
	loop_task_init(&task_c, loop, cancel_b_post_a, (void *)"c");
	loop_task_post(&task_c);
	loop_task_post(&task_b);
	assert_int_equal(fake_loop_tasks(), 2);
	fake_loop_turn();
	assert_string_equal(strbuf_str(&trace), "c@0 ");
	assert_int_equal(fake_loop_tasks(), 1);
	fake_loop_run_pending();
	assert_string_equal(strbuf_str(&trace), "c@0 a@0 ");
}

static void *
wake_thread(void *arg)
{
	loop_wake(arg);
	return NULL;
}

static void
test_wake_signal_step(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct loop_waker *w = loop_waker_new(loop, note, (void *)"w", &err);
	pthread_t thread;

	assert_false(fake_loop_wait_wake(1));
	pthread_create(&thread, NULL, wake_thread, w);
	assert_true(fake_loop_wait_wake(5000));
	pthread_join(thread, NULL);
	loop_waker_free(w);
	loop_on_signal(loop, SIGHUP, note, (void *)"hup", &err);
	loop_on_clock_step(loop, note, (void *)"step");
	fake_loop_signal(SIGHUP);
	fake_loop_clock_step();
	assert_string_equal(strbuf_str(&trace), "w@0 hup@0 step@0 ");
}

static void
stop(void *arg)
{
	note(arg);
	loop_stop(loop);
}

static void
test_loop_run_jumps(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct loop_timer a, b;

	loop_timer_init(&a, loop, note, (void *)"a");
	loop_timer_init(&b, loop, stop, (void *)"stop");
	loop_timer_set(&a, 60000);
	loop_timer_set(&b, 3600000);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_string_equal(strbuf_str(&trace), "a@60000 stop@3600000 ");
	assert_int_equal(loop_run(loop, &err), 0); /* nothing left to wait for */
}

static void
on_done(void *arg, struct http_reply *reply, const struct tb_error *err)
{
	struct http_call **call = arg;

	*call = NULL;
	if (err)
		strbuf_addf(&trace, "%s(%s)@%lld ", tb_error_name(err->code),
		    err->msg, (long long)(now_boot_ms() - FAKE_NOW_BOOT_MS));
	else
		strbuf_addf(&trace, "%d(%s)@%lld ", reply->status,
		    secret_reveal(&reply->body),
		    (long long)(now_boot_ms() - FAKE_NOW_BOOT_MS));
}

static void
start(struct http_call **call, const char *url, const char *body)
{
	struct http_request req = HTTP_REQUEST_INIT;
	struct secret s = SECRET_INIT;

	req.method = "POST";
	req.url = xstrdup(url);
	req.content_type = "text/plain";
	req.body_cap = 100;
	secret_set_str(&req.body, body);
	secret_set_str(&s, "abc");
	http_request_header(&req, "Accept", "application/json");
	http_request_bearer(&req, "Bearer", &s);
	secret_clear(&s);
	*call = http_call_start(http, &req, on_done, call);
	assert_null(req.url);
	assert_int_equal(req.n_headers, 0);
}

static void
test_http_script(void **state)
{
	struct http_call *a, *b, *c;
	const struct fake_http_request *r;

	fake_http_push_json_for("/b", 201, "for b");
	fake_http_push_json(200, "for any");
	fake_http_push_error(TB_E_UNREACHED, "gone");
	start(&a, "https://h.example/a", "body a");
	start(&b, "https://h.example/b", "body b");
	start(&c, "https://h.example/c", "body c");
	assert_int_equal(trace.len, 0);
	assert_int_equal(fake_http_pending(), 3);
	fake_loop_run_pending();
	assert_string_equal(strbuf_str(&trace),
	    "200(for any)@0 201(for b)@0 unreached(gone)@0 ");
	assert_int_equal(fake_http_pending(), 0);
	assert_int_equal(fake_http_scripted(), 0);
	assert_int_equal(fake_http_requests(), 3);
	r = fake_http_request(1);
	assert_string_equal(r->method, "POST");
	assert_string_equal(r->url, "https://h.example/b");
	assert_string_equal(r->body, "body b");
	assert_string_equal(r->content_type, "text/plain");
	assert_string_equal(fake_http_header(r, "authorization"), "Bearer abc");
	assert_string_equal(fake_http_header(r, "Accept"), "application/json");
	assert_null(fake_http_header(r, "Auth"));
	assert_true(r->done);
	assert_string_equal(fake_http_last()->body, "body c");
	assert_null(fake_http_request(3));
}

static void
test_http_late_slow_silent(void **state)
{
	struct fake_http_reply slow = { .body = "slow", .delay_ms = 700 };
	struct http_call *a, *b, *c, *d, *e;

	fake_http_push_silence("/a");
	start(&a, "https://h.example/a", "");
	start(&b, "https://h.example/b", "");
	fake_http_push(&slow);            /* b takes it now */
	start(&c, "https://h.example/c", "");
	start(&d, "http://h.example/d", ""); /* not https */
	fake_http_push(&(struct fake_http_reply){ .body_len = 101 });
	start(&e, "https://h.example/e", "");
	fake_http_push_json(200, "e");
	fake_loop_advance(1000);
	assert_string_equal(strbuf_str(&trace),
	    "proto(http://h.example: only https is allowed)@0 "
	    "proto(the body is larger than 100 bytes)@0 "
	    "200(e)@0 200(slow)@700 ");
	assert_non_null(a);
	strbuf_reset(&trace);
	fake_loop_advance(30000);
	assert_string_equal(strbuf_str(&trace),
	    "transient(timed out after 30000 ms)@30000 ");
}

static void
test_http_hold_cancel(void **state)
{
	struct http_call *a, *b, *c;

	fake_http_hold(true);
	fake_http_push_json(200, "1");
	fake_http_push_json(200, "2");
	start(&a, "https://h.example/a", "");
	start(&b, "https://h.example/b", "");
	start(&c, "https://h.example/c", "");
	fake_loop_run_pending();
	assert_int_equal(trace.len, 0);
	http_call_cancel(&a);
	assert_null(a);
	http_call_cancel(&a); /* NULL is fine */
	assert_int_equal(fake_http_cancelled(), 1);
	assert_true(fake_http_request(0)->cancelled);
	assert_true(fake_http_deliver());
	assert_false(fake_http_deliver());
	assert_string_equal(strbuf_str(&trace), "200(2)@0 ");
	fake_http_push_json(200, "3");
	fake_http_hold(false);
	fake_loop_run_pending();
	assert_string_equal(strbuf_str(&trace), "200(2)@0 200(3)@0 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_timers_in_order),
		T(test_tasks),
		T(test_wake_signal_step),
		T(test_loop_run_jumps),
		T(test_http_script),
		T(test_http_late_slow_silent),
		T(test_http_hold_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
