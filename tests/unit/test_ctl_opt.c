/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl/opt: options of a command, and the words that were meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "ctl/opt.h"

enum { FLAG, TEXT, FOR, COUNT, LIST, N };
static const struct opt_spec specs[N] = {
	{ "json", 'j', OPT_FLAG, NULL, "" },
	{ "output", 'o', OPT_TEXT, "FILE", "" },
	{ "min-valid", 0, OPT_DURATION, "DURATION", "" },
	{ "generation", 'g', OPT_NUMBER, "N", "" },
	{ "anchor", 'a', OPT_LIST, "FILE", "" },
};

static int
parse(char *const *argv, bool split, struct opt_result *r,
    struct tb_error *err)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	*err = (struct tb_error)TB_ERROR_INIT;
	return opt_parse(specs, N, argc, argv, 0, split, r, err);
}

#define ARGV(...) ((char *[]){ __VA_ARGS__, NULL })

static void
all_forms_are_read(void **state)
{
	struct opt_result r;
	struct tb_error err;

	assert_int_equal(parse(ARGV("a", "--json", "--output=x=y", "b",
	    "--min-valid", "1m30s", "-g7", "-"), false, &r, &err), 0);
	assert_true(r.value[FLAG].set);
	assert_string_equal(r.value[TEXT].text, "x=y");
	assert_int_equal(r.value[FOR].number, 90000);
	assert_int_equal(r.value[COUNT].number, 7);
	assert_int_equal(r.n_args, 3);
	assert_string_equal(r.arg[1], "b");
	assert_string_equal(r.arg[2], "-");

	assert_int_equal(parse(ARGV("-jo", "file", "-jj"), false, &r, &err), 0);
	assert_true(r.value[FLAG].set);
	assert_string_equal(r.value[TEXT].text, "file");
	assert_int_equal(parse(ARGV("--output", "--json"), false, &r, &err), 0);
	assert_string_equal(r.value[TEXT].text, "--json");
	assert_false(r.value[FLAG].set);
}

static void
two_dashes_end_the_options(void **state)
{
	struct opt_result r;
	struct tb_error err;

	assert_int_equal(parse(ARGV("A=b", "--", "cmd", "--json"), true, &r,
	    &err), 0);
	assert_int_equal(r.n_args, 1);
	assert_int_equal(r.rest, 2);
	assert_false(r.value[FLAG].set);
	assert_int_equal(parse(ARGV("A=b"), true, &r, &err), 0);
	assert_int_equal(r.rest, 1);
	assert_int_equal(parse(ARGV("--", "--json"), false, &r, &err), 0);
	assert_int_equal(r.n_args, 1);
	assert_string_equal(r.arg[0], "--json");
}

static void
errors_say_what(void **state)
{
	static const struct {
		char *argv[4];
		const char *text;
	} t[] = {
		{ { "--jso" }, "unknown option '--jso'; did you mean "
		    "'--json'?" },
		{ { "--frobnicate" }, "unknown option '--frobnicate'" },
		{ { "-x" }, "unknown option '-x'" },
		{ { "-jx" }, "unknown option '-x'" },
		{ { "--json=yes" }, "--json takes no value" },
		{ { "--output" }, "--output needs a value: FILE" },
		{ { "-o" }, "--output needs a value: FILE" },
		{ { "-oa", "-ob" }, "--output is given twice" },
		{ { "--min-valid", "soon" }, "--min-valid: 'soon' is no "
		    "duration; write for example 90s, 5m, 6h or 7d" },
		{ { "-g", "-1" }, "--generation: '-1' is no number" },
		{ { "-g", "" }, "--generation: '' is no number" },
		{ { "-g", "1x" }, "--generation: '1x' is no number" },
		{ { "-g", "9999999999999999999" }, "--generation: "
		    "'9999999999999999999' is no number" },
	};
	struct opt_result r;
	struct tb_error err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(parse(t[i].argv, false, &r, &err), -1);
		assert_int_equal(err.code, TB_E_BADREQ);
		assert_string_equal(err.msg, t[i].text);
	}
}

static void
too_many_arguments_are_refused(void **state)
{
	char *argv[OPT_ARGS_MAX + 2] = { NULL };
	struct opt_result r;
	struct tb_error err;
	size_t i;

	for (i = 0; i < OPT_ARGS_MAX; i++)
		argv[i] = "a";
	assert_int_equal(parse(argv, false, &r, &err), 0);
	argv[i] = "a";
	assert_int_equal(parse(argv, false, &r, &err), -1);
	assert_string_equal(err.msg, "more than 256 arguments");
}

static void
a_list_is_kept_in_order(void **state)
{
	char *argv[2 * OPT_LIST_MAX + 3] = { NULL };
	struct opt_result r;
	struct tb_error err;
	size_t i;

	assert_int_equal(parse(ARGV("--anchor", "x", "-ay", "z",
	    "--anchor=x"), false, &r, &err), 0);
	assert_true(r.value[LIST].set);
	assert_int_equal(r.n_list, 3);
	assert_string_equal(r.list[0], "x");
	assert_string_equal(r.list[1], "y");
	assert_string_equal(r.list[2], "x");
	assert_int_equal(r.n_args, 1);
	for (i = 0; i <= OPT_LIST_MAX; i++)
		argv[i] = "-ax";
	assert_int_equal(parse(argv, false, &r, &err), -1);
	assert_string_equal(err.msg, "--anchor is given more than 64 times");
}

static void
the_nearest_word_is_found(void **state)
{
	static const char *const words[] = { "login", "logout", "get", "list",
		"status", NULL };
	static const struct {
		const char *word, *near;
	} t[] = {
		{ "statsu", "status" }, { "logi", "login" }, { "gte", NULL },
		{ "gt", "get" }, { "lst", "list" }, { "xyz", NULL },
		{ "", NULL }, { "logotu", "logout" },
		{ "a-word-that-is-much-longer-than-any", NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		const char *near = opt_nearest(t[i].word, words);

		if (!streq(near, t[i].near))
			fail_msg("%s: %s", t[i].word, near ? near : "none");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_forms_are_read),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(errors_say_what),
		cmocka_unit_test(too_many_arguments_are_refused),
		cmocka_unit_test(a_list_is_kept_in_order),
		cmocka_unit_test(the_nearest_word_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
