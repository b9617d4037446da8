/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tokenbroker-events keeps: the cursor, and what lasts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "events/book.h"
#include "lib/jsonx.h"

static char dir[] = "/tmp/tb-book-XXXXXX";
static char *path;

static int
setup(void **state)
{
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/cursor", dir);
	return 0;
}

static int
teardown(void **state)
{
	unlink(path);
	assert_int_equal(rmdir(dir), 0); /* nothing is left beside it */
	free(path);
	return 0;
}

static json_t *
event(const char *text)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *o = jsonx_parse(text, strlen(text), &err);

	assert_non_null(o);
	return o;
}

static void
open_book(struct book *b)
{
	struct tb_error err = TB_ERROR_INIT;

	if (book_open(b, path, &err) < 0)
		fail_msg("%s", err.msg);
}

static void
save_book(struct book *b)
{
	struct tb_error err = TB_ERROR_INIT;

	if (book_save(b, &err) < 0)
		fail_msg("%s", err.msg);
}

#define BEGIN "{\"id\":\"a\",\"type\":\"human_needed\",\"timestamp\":\"T\"," \
	"\"text\":\"it is so\",\"next\":\"do\",\"condition\":\"c/ops\"," \
	"\"cursor\":\"5\"}"
#define END "{\"id\":\"b\",\"type\":\"login_granted\",\"text\":\"done\"," \
	"\"ends\":\"c/ops\"}"

static void
keeps_the_cursor(void **state)
{
	struct book b;
	struct stat st;

	open_book(&b);
	assert_null(b.cursor);
	save_book(&b); /* nothing to keep */
	assert_int_equal(access(path, F_OK), -1);
	book_set_cursor(&b, "17");
	save_book(&b);
	book_clear(&b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	open_book(&b);
	assert_string_equal(b.cursor, "17");
	/* the same is no reason to write */
	assert_int_equal(unlink(path), 0);
	book_set_cursor(&b, "17");
	save_book(&b);
	assert_int_equal(access(path, F_OK), -1);
	book_clear(&b);
}

static void
keeps_what_lasts(void **state)
{
	json_t *begin _cleanup_json_ = event(BEGIN);
	json_t *end _cleanup_json_ = event(END), *o;
	struct book b;

	open_book(&b);
	assert_int_equal(book_next_s(&b, 1000), -1);
	assert_null(book_note(&b, end, 1000, 60)); /* nothing has begun */
	assert_null(book_note(&b, begin, 1000, 60));
	assert_int_equal(book_next_s(&b, 1000), 60);
	assert_null(book_remind(&b, 1059, 60));
	book_set_cursor(&b, "5");
	save_book(&b);
	book_clear(&b);
	/* over a restart */
	open_book(&b);
	o = book_remind(&b, 1060, 60);
	assert_string_equal(json_string_value(json_object_get(o, "id")),
	    "a-r1");
	assert_int_equal(json_integer_value(json_object_get(o, "reminder")),
	    1);
	assert_string_equal(json_string_value(json_object_get(o, "began")),
	    "T");
	assert_null(json_object_get(o, "cursor"));
	json_decref(o);
	assert_null(book_remind(&b, 1060, 60));
	assert_int_equal(book_next_s(&b, 1060), 60);
	assert_int_equal(book_next_s(&b, 5000), 0);
	/* told again: not another one, nor later */
	assert_null(book_note(&b, begin, 1100, 60));
	o = book_remind(&b, 1120, 60);
	assert_string_equal(json_string_value(json_object_get(o, "id")),
	    "a-r2");
	json_decref(o);
	o = book_note(&b, end, 1200, 60);
	assert_string_equal(json_string_value(json_object_get(o, "type")),
	    "over");
	assert_string_equal(json_string_value(json_object_get(o, "over")),
	    "human_needed");
	assert_string_equal(json_string_value(json_object_get(o, "text")),
	    "Over: done");
	assert_string_equal(json_string_value(json_object_get(o,
	    "condition")), "c/ops");
	json_decref(o);
	assert_null(book_note(&b, end, 1200, 60));
	assert_int_equal(book_next_s(&b, 1200), -1);
	book_clear(&b);
}

/* A token that was revoked, or is in no configuration any more, is renewed by
 * nobody. */
static void
ends_with_what_it_is_about(void **state)
{
	json_t *begin _cleanup_json_ = event("{\"id\":\"e\",\"type\":"
	    "\"expiring\",\"condition\":\"expiring/t\",\"timestamp\":\"T\","
	    "\"expires_at\":\"1970-01-02T00:00:00Z\"}"), *o;
	struct book b;

	open_book(&b);
	assert_null(book_note(&b, begin, 1000, 60));
	o = book_remind(&b, 2 * 86400 - 1, 60);
	assert_int_equal(json_integer_value(json_object_get(o, "reminder")),
	    1);
	json_decref(o);
	o = book_remind(&b, 2 * 86400 + 60, 60);
	assert_string_equal(json_string_value(json_object_get(o, "over")),
	    "expiring");
	assert_null(json_object_get(o, "reminder"));
	json_decref(o);
	assert_null(book_remind(&b, 3 * 86400, 60));
	assert_int_equal(book_next_s(&b, 3 * 86400), -1);
	book_clear(&b);
}

static void
does_not_begin_anew(void **state)
{
	static const char *const bad[] = { "", "{", "{}", "{\"cursor\":7}",
		"{\"cursor\":\"7\",\"open\":[]}" };
	struct tb_error err;
	struct book b;
	size_t i;
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		f = fopen(path, "we");
		assert_non_null(f);
		fputs(bad[i], f);
		fclose(f);
		err = (struct tb_error)TB_ERROR_INIT;
		assert_int_equal(book_open(&b, path, &err), -1);
		assert_non_null(strstr(err.msg, "is no cursor file"));
		book_clear(&b);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(keeps_the_cursor),
		T(keeps_what_lasts),
		T(ends_with_what_it_is_about),
		T(does_not_begin_anew),
	};

	jsonx_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
