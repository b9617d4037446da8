/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unitfile: the grammar of unit files as `systemctl cat` prints them, and what
 * is judged of a consumer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/util.h"
#include "ctl/unitfile.h"

#define SOCKET "/run/tokenbroker/credential.sock"

static const char text[] =
    "# /lib/systemd/system/a.service\n"
    "[Unit]\n"
    "Description=not a path: # /x\n"
    "After=x.target y.target\n"
    "# /this/is/a/comment\n"
    "\n"
    "[Service]\n"
    "ExecStart=/bin/one \\\n"
    "# between\n"
    "  two \\\n"
    "  three\n"
    "  Type = exec \n"
    "LoadCredential=a:/x\n"
    "; LoadCredential=b:/x\n"
    "\n"
    "# /etc/systemd/system/a.service.d/10.conf\n"
    "[Unit]\n"
    "After=z.target\n"
    "[Service]\n"
    "ExecStart=\n"
    "ExecStart=/bin/four\n"
    "LoadCredential=c:" SOCKET;

static void
test_parse(void **state)
{
	struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;
	const struct unitfile_line *l;

	unitfile_parse(&u, text);
	l = unitfile_get(&u, "Service", "Type");
	assert_string_equal(l->value, "exec");
	assert_string_equal(l->file, "/lib/systemd/system/a.service");
	assert_int_equal(l->line, 11);
	l = unitfile_get(&u, "Service", "ExecStart");
	assert_string_equal(l->value, "/bin/four");
	assert_string_equal(l->file,
	    "/etc/systemd/system/a.service.d/10.conf");
	assert_int_equal(l->line, 5);
	assert_ptr_equal(unitfile_next(&u, "Service", "ExecStart", NULL), l);
	assert_null(unitfile_next(&u, "Service", "ExecStart", l));
	l = unitfile_next(&u, "Service", "LoadCredential", NULL);
	assert_string_equal(l->value, "a:/x");
	l = unitfile_next(&u, "Service", "LoadCredential", l);
	assert_string_equal(l->value, "c:" SOCKET);
	assert_null(unitfile_next(&u, "Service", "LoadCredential", l));
	assert_null(unitfile_get(&u, "Install", "WantedBy"));
	assert_true(unitfile_has_word(&u, "Unit", "After", "y.target"));
	assert_true(unitfile_has_word(&u, "Unit", "After", "z.target"));
	assert_false(unitfile_has_word(&u, "Unit", "After", "z"));
	assert_false(unitfile_has_word(&u, "Unit", "After", "target"));
}

static void
test_continued(void **state)
{
	struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;

	unitfile_parse(&u, "# /a\n[S]\nK=1 \\\n# c\n 2 \\\n;c\n3\nL=4\\");
	assert_string_equal(unitfile_get(&u, "S", "K")->value, "1   2  3");
	assert_string_equal(unitfile_get(&u, "S", "L")->value, "4");
	assert_int_equal(unitfile_get(&u, "S", "L")->line, 7);
}

static void
test_nonsense(void **state)
{
	static const char *const texts[] = { "", "\n\n", "[", "[]", "=", "[S]\n=",
		"K=V", "\\", "\\\n", "[S\nK=V", "# /", "[S]\nK", "[S]\nK=\\\n" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;

		unitfile_parse(&u, texts[i]);
		assert_null(unitfile_get(&u, "Service", "K"));
	}
}

static void
test_credential(void **state)
{
	char id[UNITFILE_ID_MAX];

	assert_true(unitfile_credential("influx:" SOCKET, SOCKET, id));
	assert_string_equal(id, "influx");
	assert_false(unitfile_credential("influx:/x", SOCKET, id));
	assert_false(unitfile_credential("influx", SOCKET, id));
	assert_false(unitfile_credential("influx:" SOCKET "x", SOCKET, id));
}

static void
test_room(void **state)
{
	static const struct {
		size_t unit, id;
		int room;
	} rows[] = { { 79, 4, 0 }, { 80, 4, -1 }, { 14, 4, 65 }, { 0, 83, 0 } };
	char unit[128], id[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(unit, 'u', sizeof(unit));
		memset(id, 'i', sizeof(id));
		unit[rows[i].unit] = id[rows[i].id] = '\0';
		assert_int_equal(unitfile_room(unit, id), rows[i].room);
	}
}

static void
test_on_empty(void **state)
{
	static const char wrap[] = "ExecStart=/bin/sh -c 'test -s "
	    "\"$$CREDENTIALS_DIRECTORY/influx\" && exec \"$$@\"' sh /bin/x\n";
	static const struct {
		const char *text;
		enum unitfile_empty expect;
	} rows[] = {
		{ "ExecStart=/bin/x\n", UNITFILE_EMPTY_UNNOTICED },
		{ "", UNITFILE_EMPTY_UNNOTICED },
		{ wrap, UNITFILE_EMPTY_FAILS },
		{ "ExecStart=/bin/sh -c 'test -s ${CREDENTIALS_DIRECTORY}/"
		    "influx2 && exec x'\n", UNITFILE_EMPTY_UNNOTICED },
		{ "ExecStart=/bin/sh -c 'test -s ${CREDENTIALS_DIRECTORY}/"
		    "influx2 && test -s ${CREDENTIALS_DIRECTORY}/influx && "
		    "exec x'\n", UNITFILE_EMPTY_FAILS },
		{ "ExecStart=/bin/sh -c 'test -e $CREDENTIALS_DIRECTORY/"
		    "influx && exec x'\n", UNITFILE_EMPTY_UNNOTICED },
		{ "ExecStart=/bin/x\nExecStartPre=/usr/bin/test -s "
		    "${CREDENTIALS_DIRECTORY}/influx\n",
		    UNITFILE_EMPTY_CHECKED_BEFORE },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;
		_cleanup_free_ char *all = xasprintf("[Service]\n%s",
		    rows[i].text);

		unitfile_parse(&u, all);
		assert_int_equal(unitfile_on_empty(&u, "influx"),
		    rows[i].expect);
	}
	{ /* one of two commands does not look */
		struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;
		_cleanup_free_ char *all = xasprintf("[Service]\n%s"
		    "ExecStart=/bin/y\n", wrap);

		unitfile_parse(&u, all);
		assert_int_equal(unitfile_on_empty(&u, "influx"),
		    UNITFILE_EMPTY_UNNOTICED);
	}
}

static void
test_time(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "30", 30000 }, { "30s", 30000 }, { "1min 30s", 90000 },
		{ "5 min", 300000 }, { "500ms", 500 }, { "1h1m", 3660000 },
		{ "infinity", -1 }, { "0", -1 }, { "", -1 }, { "-5", -1 },
		{ "5 parsecs", -1 }, { "99999999999999999999", -1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(unitfile_time_ms(rows[i].text), rows[i].ms);
}

static void
test_wrap(void **state)
{
	static const struct {
		const char *command, *expect;
	} rows[] = {
		{ "/bin/x -a", "/bin/sh -c 'test -s \"$$CREDENTIALS_DIRECTORY"
		    "/i\" && exec \"$$@\"' sh /bin/x -a" },
		{ "-!/bin/x", "-!/bin/sh -c 'test -s \"$$CREDENTIALS_DIRECTORY"
		    "/i\" && exec \"$$@\"' sh /bin/x" },
		{ "@/bin/x y", NULL },
		{ "-:/bin/x", NULL },
	};
	struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *got = unitfile_wrap("i",
		    rows[i].command);

		if (rows[i].expect)
			assert_string_equal(got, rows[i].expect);
		else
			assert_null(got);
	}
	/* what we print is what we want */
	{
		_cleanup_free_ char *got = unitfile_wrap("i", NULL);
		_cleanup_free_ char *all = xasprintf(
		    "[Service]\nExecStart=%s\n", got);

		unitfile_parse(&u, all);
		assert_int_equal(unitfile_on_empty(&u, "i"),
		    UNITFILE_EMPTY_FAILS);
	}
}

static void
test_service_name(void **state)
{
	static const struct {
		const char *name, *expect;
	} rows[] = {
		{ "telegraf", "telegraf.service" },
		{ "telegraf.service", "telegraf.service" },
		{ "a@b\\x2fc.service", "a@b\\x2fc.service" },
		{ "a@", "a@.service" },
		{ "org.example.x", "org.example.x.service" },
		{ "x.socket", NULL }, { "x.timer", NULL }, { "", NULL },
		{ "a/b", NULL }, { "a b", NULL }, { "a\nb", NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *got = unitfile_service_name(rows[i].name);

		if (rows[i].expect)
			assert_string_equal(got, rows[i].expect);
		else
			assert_null(got);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_continued),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_credential),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_on_empty),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_service_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
