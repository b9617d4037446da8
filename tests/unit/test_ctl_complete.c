/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete: what a command line can go on with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/util.h"
#include "ctl/complete.h"

static const struct opt_spec common[] = {
	{ "run-dir", 0, OPT_TEXT, "DIR", "where" },
	{ "help", 'h', OPT_FLAG, NULL, "this text" },
};
static const struct opt_spec get[] = {
	{ "format", 'f', OPT_TEXT, "raw|json", "how" },
	{ "wait", 0, OPT_DURATION, "DURATION", "so long" },
	{ "no-newline", 'n', OPT_FLAG, NULL, "none" },
	{ "token", 0, OPT_TEXT, "TOKEN", "which" },
	{ "file", 0, OPT_TEXT, "FILE", "where" },
};
static const struct complete_row rows[] = {
	{ "get", "Print", get, ARRAY_SIZE(get), COMPLETE_TOKENS, false, false },
	{ "run", "Run", get, 2, COMPLETE_VARIABLES, true, false },
	{ "login", "Log in", NULL, 0, COMPLETE_LOGINS, false, false },
	{ "reload", "Reload", NULL, 0, COMPLETE_NOTHING, false, false },
	{ "verify", "Look", NULL, 0, COMPLETE_FILES, false, false },
	{ "audit", "Read", NULL, 0, COMPLETE_NOTHING, false, true },
};

static void
names(enum complete_what what, const char *run_dir, const char *before,
    const char *word, struct strbuf *out)
{
	complete_add(out, before, what == COMPLETE_TOKENS ? "db-write" :
	    "ops", run_dir ? run_dir : "", word);
	complete_add(out, before, "bad\nname", "", word);
	complete_add(out, before, "other", "", word);
}

static const struct {
	const char *words[8];
	const char *out;
} cases[] = {
	{ { "" }, "get\tPrint\nrun\tRun\nlogin\tLog in\nreload\tReload\n"
	    "verify\tLook\naudit\tRead\n" },
	{ { "re" }, "reload\tReload\n" },
	{ { "-" }, "--run-dir\twhere\n--help\tthis text\n" },
	{ { "get", "" }, "db-write\t\nother\t\n" },
	{ { "get", "d" }, "db-write\t\n" },
	{ { "get", "x" }, "" },
	{ { "get", "--n" }, "--no-newline\tnone\n" },
	{ { "get", "-" }, "--format\thow\n--wait\tso long\n--no-newline\tnone\n"
	    "--token\twhich\n--file\twhere\n--run-dir\twhere\n"
	    "--help\tthis text\n" },
	{ { "get", "--format", "" }, "raw\t\njson\t\n" },
	{ { "get", "-f", "j" }, "json\t\n" },
	{ { "get", "--format=j" }, "--format=json\t\n" },
	{ { "get", "--format=" }, "--format=raw\t\n--format=json\t\n" },
	{ { "get", "--no-newline=" }, "" },
	{ { "get", "--wait", "" }, "" },
	{ { "get", "--wait", "5", "d" }, "db-write\t\n" },
	{ { "get", "--wait=5", "d" }, "db-write\t\n" },
	{ { "get", "--token", "o" }, "other\t\n" },
	{ { "get", "--file", "x" }, ":files\n" },
	{ { "get", "--", "-" }, "" },
	{ { "get", "--", "d" }, "db-write\t\n" },
	{ { "--run-dir", "/r", "get", "d" }, "db-write\t/r\n" },
	{ { "--run-dir=/q", "get", "d" }, "db-write\t/q\n" },
	{ { "get", "--run-dir", "/r", "d" }, "db-write\t/r\n" },
	{ { "--run-dir", "" }, ":files\n" },
	{ { "run", "T" }, "" },
	{ { "run", "T=" }, "T=db-write\t\nT=other\t\n" },
	{ { "run", "A=x", "T=d" }, "T=db-write\t\n" },
	{ { "run", "A=x", "--", "" }, ":commands\n" },
	{ { "run", "A=x", "--", "sh", "-" }, ":files\n" },
	{ { "login", "" }, "ops\t\nother\t\n" },
	{ { "reload", "" }, "" },
	{ { "verify", "" }, ":files\n" },
	{ { "nothing", "" }, "" },
};

static void
each_line_goes_on(void **state)
{
	const struct complete c = { rows, ARRAY_SIZE(rows), common,
		ARRAY_SIZE(common), names };
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;

		for (n = 0; n < 8 && cases[i].words[n]; n++)
			;
		assert_int_equal(complete_words(&c, cases[i].words, n, &out),
		    0);
		if (!streq(strbuf_str(&out), cases[i].out))
			fail_msg("%zu: '%s'", i, strbuf_str(&out));
	}
}

static void
another_program_completes_its_own(void **state)
{
	const struct complete c = { rows, ARRAY_SIZE(rows), common,
		ARRAY_SIZE(common), NULL };
	const char *const words[] = { "--run-dir", "/r", "audit", "ver" };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;

	assert_int_equal(complete_words(&c, words, 4, &out), 3);
	assert_int_equal(complete_words(&c, words, 0, &out), 0);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_goes_on),
		cmocka_unit_test(another_program_completes_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
