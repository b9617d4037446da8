/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_helper_call.h"

#include "lib/jsonx.h"
#include "lib/loop.h"

#define MAX 16

struct helper_call {
	struct loop_task task;
	helper_done_fn *done;
	void *arg;
};

static struct {
	char *answer; /* NULL: err */
	struct tb_error err;
} script[MAX];
static size_t n_script, taken;
static struct helper_request requests[MAX];
static json_t *questions[MAX];
static size_t n_asked;

void
fake_helper_push(const char *answer)
{
	script[n_script++].answer = xstrdup(answer);
}

void
fake_helper_push_error(enum tb_errc code, const char *msg)
{
	tb_error_set(&script[n_script++].err, code, "%s", msg);
}

size_t
fake_helper_asked(void)
{
	return n_asked;
}

json_t *
fake_helper_question(size_t i)
{
	return questions[i];
}

const struct helper_request *
fake_helper_request(size_t i)
{
	return &requests[i];
}

size_t
fake_helper_left(void)
{
	return n_script - taken;
}

void
fake_helper_reset(void)
{
	for (size_t i = 0; i < MAX; i++) {
		free(script[i].answer);
		json_decref(questions[i]);
		free((char *)(uintptr_t)requests[i].path);
	}
	memset(script, 0, sizeof(script));
	memset(questions, 0, sizeof(questions));
	memset(requests, 0, sizeof(requests));
	n_script = taken = n_asked = 0;
}

static void
deliver(void *arg)
{
	struct helper_call *c = arg;
	struct secret answer _cleanup_(secret_clear) = SECRET_INIT;
	size_t i = taken++;

	if (i >= n_script)
		abort(); /* a question that the test did not expect */
	if (script[i].answer)
		secret_set_str(&answer, script[i].answer);
	if (script[i].answer)
		c->done(c->arg, &answer, NULL);
	else
		c->done(c->arg, NULL, &script[i].err);
	free(c);
}

struct helper_call *
helper_call_start(struct loop *loop, struct helper_request *request,
    helper_done_fn *done, void *arg)
{
	struct helper_call *c = xnew(struct helper_call);
	struct tb_error err = TB_ERROR_INIT;

	if (n_asked == MAX)
		abort();
	questions[n_asked] = jsonx_parse_object(&request->text, &err);
	requests[n_asked] = (struct helper_request){
		.path = xstrdup(request->path),
		.uid = request->uid,
		.timeout_ms = request->timeout_ms,
		.answer_cap = request->answer_cap,
	};
	n_asked++;
	secret_clear(&request->text);
	c->done = done;
	c->arg = arg;
	loop_task_init(&c->task, loop, deliver, c);
	loop_task_post(&c->task);
	return c;
}

void
helper_call_cancel(struct helper_call **call)
{
	struct helper_call *c = STEAL(*call);

	if (!c)
		return;
	loop_task_cancel(&c->task);
	free(c);
}
