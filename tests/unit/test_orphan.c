/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mark in a description, and the book of what a service lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "broker/intent.h"
#include "broker/orphan.h"
#include "fake_now.h"
#include "lib/jsonx.h"

#define NONCE "00112233445566778899aabbccddeeff"

/* ------------------------------------------------------------------- marks */

static void
test_marks_are_read_as_written(void **state)
{
	struct intent *i = intent_new(17, "prod", 1, 2);
	char *text = intent_description(i, "for (all) [x]",
	    "0123456789abcdef", "telegraf-write");
	struct intent_mark m;

	assert_true(intent_read_mark(text, &m));
	assert_string_equal(m.installation, "0123456789abcdef");
	assert_string_equal(m.token, "telegraf-write");
	assert_int_equal(m.generation, 17);
	assert_string_equal(m.nonce, i->nonce);
	free(text);
	intent_free(i);
}

static void
test_other_texts_are_no_marks(void **state)
{
	static const char *const bad[] = { "", "x", "[tokenbroker", "[tokenbroker ",
		"[tokenbroker h/0123456789abcdef db #1 " NONCE,
		"[tokenbroker h/0123456789abcdef db 1 " NONCE "]",
		"[tokenbroker h/0123456789abcdef db #1 " NONCE "0]",
		"[tokenbroker h/0123456789abcdef db #1 short]",
		"[tokenbroker h/0123456789abcde db #1 " NONCE "]",
		"[tokenbroker h/0123456789ABCDEF db #1 " NONCE "]",
		"[tokenbroker h/0123456789abcdef d\x1b[1m #1 " NONCE "]",
		"[tokenbroker h/0123456789abcdef  #1 " NONCE "]",
		"[tokenbroker h/0123456789abcdef db #-1 " NONCE "]",
		NONCE, "-" NONCE, "1-" NONCE, "db-1-" NONCE,
		"h-0123456789abcdef-1-" NONCE, "h-0123456789abcdef--1-" NONCE,
		"h-0123456789abcdef-db-" NONCE,
		"h-0123456789abcdefdb-1-" NONCE };
	struct intent_mark m;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (intent_read_mark(bad[i], &m))
			fail_msg("taken for a mark: %s", bad[i]);
	}
	/* what is left of it where a token has only a name */
	assert_true(intent_read_mark("x-tokenbroker-web-1-0123456789abcdef-"
	    "telegraf-write-17-" NONCE, &m));
	assert_string_equal(m.installation, "0123456789abcdef");
	assert_string_equal(m.token, "telegraf-write");
	assert_int_equal(m.generation, 17);
	assert_string_equal(m.nonce, NONCE);
	assert_true(intent_read_mark("0123456789abcdef-db-1-" NONCE, &m));
	assert_string_equal(m.token, "db");
	/* made by a version that wrote no installation */
	assert_true(intent_read_mark("[tokenbroker h db #1 " NONCE "]", &m));
	assert_string_equal(m.installation, "");
}

/* The book's record, and that it stays within bounds. */
static void
test_book(void **state)
{
	struct orphan_book b = { .n_orphans = 0 }, c = { .n_orphans = 0 };
	struct intent_mark mark = { .token = "db", .generation = 4,
		.nonce = NONCE };
	struct secret text = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	char id[32], nonce[33];

	for (int i = 0; i < ORPHANS_MAX + 10; i++) {
		snprintf(id, sizeof(id), "id-%d", i);
		if (!orphan_add(&b, id, &mark))
			b.n_untold++;
	}
	assert_int_equal(orphan_count(&b), ORPHANS_MAX + 10);
	for (int i = 0; i < RETIRED_MAX + 10; i++) {
		snprintf(nonce, sizeof(nonce), "%032x", (unsigned)i);
		orphan_retire(&b, nonce, i % 2 ? "x" : NULL);
	}
	assert_int_equal(b.n_retired, RETIRED_MAX);
	orphan_encode(&b, &text);
	assert_int_equal(orphan_decode(&text, &c, &err), 0);
	assert_int_equal(c.n_orphans, ORPHANS_MAX);
	assert_int_equal(c.n_retired, RETIRED_MAX);
	assert_string_equal(orphan_find(&c, "id-7")->mark.nonce, NONCE);
	assert_non_null(orphan_find_retired(&c, nonce, "x"));
	assert_null(orphan_find_retired(&c, nonce, "y"));
	assert_null(orphan_find_retired(&c, NONCE, "x"));
	secret_set_str(&text, "{\"v\":2}");
	assert_int_equal(orphan_decode(&text, &c, &err), -1);
	secret_clear(&text);
	orphan_clear(&b);
	orphan_clear(&c);
}

static int
setup(void **state)
{
	fake_now_reset();
	jsonx_init();
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks_are_read_as_written),
		cmocka_unit_test(test_other_texts_are_no_marks),
		cmocka_unit_test(test_book),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
