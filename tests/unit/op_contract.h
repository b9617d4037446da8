/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * op_contract - the contract of lib/http.h as tests, the same for every
 * operation in ops/. A test file defines `op_contract` and puts
 * OP_CONTRACT_TESTS into its list; its done function calls op_probe_done.
 *
 * A "step" is the smallest thing that can happen: one turn of the loop, or the
 * way to the next timer. Cancelling is tried after every number of steps that
 * an undisturbed run takes.
 */
#include "idp_fixture.h"

#include "base/util.h"
#include "fake_http.h"
#include "fake_loop.h"

struct op_probe {
	void *op;
	unsigned done;
	enum tb_errc code;
	struct op_probe *kills; /* cancelled from this one's done */
};

struct op_contract {
	void (*start)(struct op_probe *p);
	void (*cancel)(struct op_probe *p);
	void (*script)(void); /* answers for one run that succeeds */
	void (*spoil)(void);  /* makes its URLs unusable */
};

static const struct op_contract op_contract;

/* The first line of every done function. */
static inline void
op_probe_done(struct op_probe *p, const struct tb_error *err)
{
	p->op = NULL;
	p->done++;
	p->code = err ? err->code : TB_OK;
	if (p->kills)
		op_contract.cancel(p->kills);
}

static inline void
op_step(void)
{
	fake_loop_turn();
	if (fake_loop_tasks() == 0 && fake_loop_next_ms() >= 0)
		fake_loop_advance(fake_loop_next_ms());
}

static inline void
op_expect_idle(void)
{
	assert_int_equal(fake_http_pending(), 0);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(fake_loop_tasks(), 0);
}

/* Everything as new; the idp too, which an earlier run may have taught. */
static inline void
op_again(void)
{
	op_expect_idle();
	fake_http_reset();
	idp_fixture_remake();
}

/* How many steps a whole run takes. */
static inline unsigned
op_count_steps(void)
{
	struct op_probe p = { .op = NULL };
	unsigned n;

	op_again();
	op_contract.script();
	op_contract.start(&p);
	for (n = 0; !p.done && n < 200; n++)
		op_step();
	assert_int_equal(p.done, 1);
	assert_int_equal(p.code, TB_OK);
	return n;
}

static inline void
test_contract_done_once_and_later(void **state)
{
	struct op_probe p = { .op = NULL };

	op_contract.script();
	op_contract.start(&p);
	assert_non_null(p.op);
	assert_int_equal(p.done, 0); /* never before start returned */
	for (int i = 0; i < 200; i++)
		op_step();
	assert_int_equal(p.done, 1);
	assert_int_equal(p.code, TB_OK);
	assert_null(p.op);
	op_expect_idle();
}

static inline void
test_contract_bad_url_comes_later(void **state)
{
	struct op_probe p = { .op = NULL };

	op_contract.spoil();
	op_contract.start(&p);
	assert_non_null(p.op);
	assert_int_equal(p.done, 0);
	for (int i = 0; i < 20; i++)
		op_step();
	assert_int_equal(p.done, 1);
	assert_int_not_equal(p.code, TB_OK);
	op_expect_idle();
}

static inline void
test_contract_cancel_after_every_step(void **state)
{
	unsigned steps = op_count_steps();

	for (unsigned k = 0; k < steps; k++) {
		struct op_probe p = { .op = NULL };

		op_again();
		op_contract.script();
		op_contract.start(&p);
		for (unsigned i = 0; i < k; i++)
			op_step();
		assert_non_null(p.op);
		op_contract.cancel(&p);
		assert_null(p.op);
		op_expect_idle();
		for (int i = 0; i < 20; i++)
			op_step();
		assert_int_equal(p.done, 0);
		op_contract.cancel(&p); /* NULL is fine */
	}
	op_again();
}

/* B is started k steps after A, and cancelled by A's done wherever it is. */
static inline void
test_contract_cancel_from_anothers_callback(void **state)
{
	unsigned steps = op_count_steps();

	for (unsigned k = 0; k < steps; k++) {
		struct op_probe b = { .op = NULL };
		struct op_probe a = { .op = NULL, .kills = &b };

		op_again();
		op_contract.script();
		op_contract.script();
		op_contract.start(&a);
		for (unsigned i = 0; i < k; i++)
			op_step();
		op_contract.start(&b);
		for (int i = 0; i < 200; i++)
			op_step();
		assert_int_equal(a.done, 1);
		assert_true(b.done <= 1);
		/* with a head start A is always first */
		if (k > 0)
			assert_int_equal(b.done, 0);
		assert_null(b.op);
	}
	op_again();
}

/* cancelled while its answer lies ready to be delivered */
static inline void
test_contract_cancel_with_the_answer_ready(void **state)
{
	struct op_probe p = { .op = NULL };

	fake_http_hold(true);
	op_contract.script();
	op_contract.start(&p);
	for (int i = 0; i < 5; i++)
		op_step();
	op_contract.cancel(&p);
	fake_http_hold(false);
	for (int i = 0; i < 20; i++)
		op_step();
	assert_int_equal(p.done, 0);
	op_again();
}

#define OP_TEST(f) cmocka_unit_test_setup_teardown(f, idp_fixture_setup, \
	idp_fixture_teardown)

#define OP_CONTRACT_TESTS \
	OP_TEST(test_contract_done_once_and_later), \
	OP_TEST(test_contract_bad_url_comes_later), \
	OP_TEST(test_contract_cancel_after_every_step), \
	OP_TEST(test_contract_cancel_from_anothers_callback), \
	OP_TEST(test_contract_cancel_with_the_answer_ready)
