/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is a line of the audit log, what is none and why, and what stands in
 * it; the filters, which look at nothing else; and the files they come from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/files.h"
#include "audit/filter.h"
#include "audit/reader.h"
#include "audit/scan.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

#define H "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LINE(members) "{\"seq\":17," members ",\"hash\":\"" H "\"}"

/* From memory that ends with the line. */
static const char *
scan_text(const char *text, struct scan *s)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	const char *wrong;

	memcpy(copy, text, len);
	wrong = scan_line(copy, len, s);
	free(copy);
	return wrong;
}

static void
test_good(void **state)
{
	static const char line[] = LINE("\"event\":\"sent\",\"uid\":0,"
	    "\"unit\":\"a\\\"b\\u00e9\\ud83d\\ude00\",\"container\":true,"
	    "\"odd\":false,\"count\":999999999999999999");
	_cleanup_free_ char *unit = NULL;
	struct scan s;

	(void)state;
	assert_null(scan_line(line, sizeof(line) - 1, &s));
	assert_int_equal(s.seq, 17);
	assert_int_equal(s.n, 8);
	assert_memory_equal(s.hash, H, SCAN_HEX);
	assert_memory_equal(line + s.body_len, ",\"hash\"", 7);
	assert_true(scan_is(&s, SCAN_EVENT, "sent"));
	assert_false(scan_is(&s, SCAN_EVENT, "sen"));
	assert_false(scan_is(&s, SCAN_TOKEN, ""));
	assert_true(scan_has(&s, SCAN_UID));
	assert_true(scan_has(&s, SCAN_CONTAINER));
	assert_int_equal(scan_number(&s, SCAN_COUNT), 999999999999999999);
	assert_int_equal(scan_number(&s, SCAN_EVENT), 0);
	assert_null(scan_string(&s, SCAN_UID));
	unit = scan_dup(&s, SCAN_UNIT);
	assert_string_equal(unit, "a\"b\xc3\xa9\xf0\x9f\x98\x80");
	assert_null(scan_dup(&s, SCAN_TOKEN));
}

static void
test_bad(void **state)
{
	static const struct { const char *line, *wrong; } bad[] = {
		{ "", "no JSON object" },
		{ "{}", "no JSON object" },
		{ "[" LINE("\"a\":1") "]", "no JSON object" },
		{ LINE("\"a\":1") " ", "behind the object" },
		{ LINE("\"a\":1") "}", "behind the object" },
		{ LINE("\"a\":1") LINE("\"a\":1"), "behind the object" },
		{ LINE("\"a\": 1"), "no string" },
		{ LINE("\"a\" :1"), "without a value" },
		{ LINE(" \"a\":1"), "without a name" },
		{ LINE("a:1"), "without a name" },
		{ LINE("\"a\":1,"), "without a name" },
		{ LINE("\"\":1"), "odd member name" },
		{ LINE("\"\\u0061\":1"), "odd member name" },
		{ LINE("\"a\":1,\"a\":2"), "twice" },
		{ LINE("\"uid\":1,\"uid\":1"), "twice" },
		{ LINE("\"seq\":18"), "twice" },
		{ LINE("\"hash\":\"" H "\""), "twice" },
		{ LINE("\"a\":01"), "leading zero" },
		{ LINE("\"a\":1.5"), "comma" },
		{ LINE("\"a\":1e3"), "comma" },
		{ LINE("\"a\":-1"), "no string" },
		{ LINE("\"a\":1000000000000000000"), "too large" },
		{ LINE("\"a\":null"), "no string" },
		{ LINE("\"a\":{}"), "no string" },
		{ LINE("\"a\":[]"), "no string" },
		{ LINE("\"a\":tru"), "no string" },
		{ LINE("\"a\":truex"), "comma" },
		{ LINE("\"a\":\"\t\""), "control" },
		{ LINE("\"a\":\"\\x\""), "escape" },
		{ LINE("\"a\":\"\\u12\""), "escape" },
		{ LINE("\"a\":\"\\u0000\""), "escape" },
		{ LINE("\"a\":\"\\ud800\""), "escape" },
		{ LINE("\"a\":\"\\ud800\\u0041\""), "escape" },
		{ LINE("\"a\":\"\\udc00\""), "escape" },
		{ LINE("\"a\":\"\x80\""), "UTF-8" },
		{ LINE("\"a\":\"\xc0\xaf\""), "UTF-8" },
		{ LINE("\"a\":\"\xed\xa0\x80\""), "UTF-8" },
		{ LINE("\"a\":\"\xf4\x90\x80\x80\""), "UTF-8" },
		{ LINE("\"a\":\"\xe2\x82\""), "UTF-8" },
		{ LINE("\"abcdefgh"), "without" },
		{ "{\"seq\":0,\"a\":1,\"hash\":\"" H "\"}", "is 0" },
		{ "{\"seq\":\"1\",\"a\":1,\"hash\":\"" H "\"}", "first member" },
		{ "{\"a\":1,\"seq\":17,\"hash\":\"" H "\"}", "first member" },
		{ "{\"seq\":17,\"hash\":\"" H "\",\"a\":1}", "last member" },
		{ "{\"seq\":17,\"a\":1,\"b\":\"" H "xxx\"}", "last member" },
		{ "{\"seq\":17,\"a\":1,\"hash\":\"0" H "\"}", "last member" },
		{ "{\"seq\":17,\"a\":1,\"hash\":\"G123456789abcdef0123456789ab"
		    "cdef0123456789abcdef0123456789abcdef\"}", "last member" },
		{ "{\"seq\":17,\"a\":1,\"hash\":\"A123456789abcdef0123456789ab"
		    "cdef0123456789abcdef0123456789abcdef\"}", "last member" },
	};
	struct scan s;
	const char *wrong;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		wrong = scan_text(bad[i].line, &s);
		if (!wrong || !strstr(wrong, bad[i].wrong))
			fail_msg("%s: %s", bad[i].line,
			    wrong ? wrong : "taken");
	}
}

/* Cut anywhere, it is none, and nothing behind it is read. */
static void
test_every_prefix(void **state)
{
	static const char line[] = LINE("\"event\":\"sent\",\"unit\":\"a\\u00e9"
	    "\xc3\xa9\",\"container\":true,\"uid\":12");
	struct scan s;
	char *copy;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(line) - 1; n++) {
		copy = malloc(n ? n : 1);
		memcpy(copy, line, n);
		assert_non_null(scan_line(copy, n, &s));
		free(copy);
	}
	assert_null(scan_line(line, n, &s));
}

/* A byte that does not belong there is seen wherever it stands in a word. */
static void
test_every_offset(void **state)
{
	static const unsigned char bad[] = { 0x01, 0x1f, 0x80, 0xff };
	char line[256];
	struct scan s;
	size_t at, i;

	(void)state;
	for (at = 0; at < 20; at++)
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			snprintf(line, sizeof(line), "%s",
			    LINE("\"a\":\"xxxxxxxxxxxxxxxxxxxx\""));
			strstr(line, "xxx")[at] = (char)bad[i];
			assert_non_null(scan_text(line, &s));
		}
}

static void
test_too_many(void **state)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct scan s;
	int i;

	(void)state;
	strbuf_adds(&b, "{\"seq\":1");
	for (i = 0; i < SCAN_MEMBERS_MAX - 2; i++)
		strbuf_addf(&b, ",\"m%d\":1", i);
	strbuf_adds(&b, ",\"hash\":\"" H "\"}");
	assert_null(scan_line(b.s, b.len, &s));
	strbuf_reset(&b);
	strbuf_adds(&b, "{\"seq\":1");
	for (i = 0; i < SCAN_MEMBERS_MAX - 1; i++)
		strbuf_addf(&b, ",\"m%d\":1", i);
	strbuf_adds(&b, ",\"hash\":\"" H "\"}");
	assert_string_equal(scan_line(b.s, b.len, &s), "too many members");
}

/* ------------------------------------------------------------------- filter */

static void
test_filter(void **state)
{
	static const char line[] = LINE("\"time\":\"2026-11-22T17:20:00.123Z\","
	    "\"event\":\"sent\",\"uid\":997,\"unit\":\"a@1.service\","
	    "\"verdict\":\"allow\",\"token\":\"db-write\",\"generation\":7,"
	    "\"login\":\"ops\",\"request_id\":\"00aa\"");
	const int64_t t = 1795368000;
	static const struct filter yes[] = {
		FILTER_INIT,
		{ .unit = "a@*.service", .uid = 997, .generation = 7,
		    .token = "db-*", .login = "ops", .verdict = "allow",
		    .event = "sent", .request_id = "00aa" },
		{ .uid = -1, .generation = -1, .since = t, .until = t },
	};
	static const struct filter no[] = {
		{ .uid = 996, .generation = -1 },
		{ .uid = -1, .generation = 8 },
		{ .uid = -1, .generation = -1, .unit = "a@*" ".socket" },
		{ .uid = -1, .generation = -1, .token = "db" },
		{ .uid = -1, .generation = -1, .login = "op" },
		{ .uid = -1, .generation = -1, .verdict = "deny" },
		{ .uid = -1, .generation = -1, .event = "authorised" },
		{ .uid = -1, .generation = -1, .request_id = "00ab" },
		{ .uid = -1, .generation = -1, .since = t + 1 },
		{ .uid = -1, .generation = -1, .until = t - 1 },
	};
	struct scan s, bare;
	size_t i;

	(void)state;
	assert_null(scan_line(line, sizeof(line) - 1, &s));
	assert_null(scan_line(LINE("\"a\":1"), sizeof(LINE("\"a\":1")) - 1,
	    &bare));
	for (i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(filter_matches(&yes[i], &s));
	for (i = 0; i < ARRAY_SIZE(no); i++) {
		assert_false(filter_matches(&no[i], &s));
		assert_false(filter_matches(&no[i], &bare));
	}
}

static void
test_units(void **state)
{
	(void)state;
	assert_true(filter_unit("a.service", "a.service"));
	assert_true(filter_unit("a", "a.service"));
	assert_true(filter_unit("a@1", "a@1.service"));
	assert_true(filter_unit("a*", "ab.socket"));
	assert_false(filter_unit("a", "ab.service"));
	assert_false(filter_unit("a", "a.socket"));
	assert_false(filter_unit("a*b", "acb.service"));
	assert_false(filter_unit("a.b", "a.b.service"));
}

static void
test_times_and_users(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	int64_t t, uid;

	(void)state;
	assert_int_equal(filter_parse_time("since", "2026-11-22T17:20:00Z", 9,
	    &t, &err), 0);
	assert_int_equal(t, 1795368000);
	assert_int_equal(filter_parse_time("since", "2026-11-22", 9, &t,
	    &err), 0);
	assert_int_equal(t, 1795305600);
	assert_int_equal(filter_parse_time("since", "2h", 10000, &t, &err), 0);
	assert_int_equal(t, 2800);
	assert_int_equal(filter_parse_time("since", "yesterday", 9, &t, &err),
	    -1);
	assert_non_null(strstr(err.msg, "--since: 'yesterday'"));
	assert_int_equal(filter_parse_user("997", &uid, &err), 0);
	assert_int_equal(uid, 997);
	assert_int_equal(filter_parse_user("root", &uid, &err), 0);
	assert_int_equal(uid, 0);
	assert_int_equal(filter_parse_user("no such", &uid, &err), -1);
}

/* ------------------------------------------------------------------- reader */

static void
test_reader(void **state)
{
	FILE *f = tmpfile();
	const char *line;
	struct reader r;
	size_t len, i;

	(void)state;
	fputs("one\n\ntwo\n", f);
	for (i = 0; i < 3000000; i++)
		fputc('x', f);
	fputs("\nthree\nrest", f);
	fflush(f);
	rewind(f);
	reader_init(&r, fileno(f));
	assert_int_equal(reader_next(&r, &line, &len), READER_LINE);
	assert_int_equal(len, 3);
	assert_memory_equal(line, "one", 3);
	assert_int_equal(reader_next(&r, &line, &len), READER_LINE);
	assert_int_equal(len, 0);
	assert_int_equal(reader_next(&r, &line, &len), READER_LINE);
	assert_int_equal(reader_next(&r, &line, &len), READER_LONG);
	assert_int_equal(reader_next(&r, &line, &len), READER_LINE);
	assert_memory_equal(line, "three", 5);
	assert_int_equal(reader_next(&r, &line, &len), READER_END);
	assert_int_equal(reader_rest(&r), 4);
	/* it grows, after what was no line yet was written anew */
	reader_unread(&r);
	fseek(f, -4, SEEK_END);
	fputs("REST\n", f);
	fflush(f);
	lseek(fileno(f), -5, SEEK_END);
	assert_int_equal(reader_next(&r, &line, &len), READER_LINE);
	assert_memory_equal(line, "REST", 4);
	assert_int_equal(reader_rest(&r), 0);
	reader_clear(&r);
	fclose(f);
}

/* -------------------------------------------------------------------- files */

static void
put(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
test_files(void **state)
{
	static const char *const names[] = {
		"audit-00000000000000000100.jsonl",
		"audit-00000000000000000020.jsonl", "audit.jsonl",
		"audit.jsonl.torn", "audit.jsonl.new", "audit-20.jsonl",
		"audit-0000000000000000030x.jsonl", "audit.pub" };
	char dir[] = "/tmp/tb-files-XXXXXX";
	_cleanup_free_ char *command = NULL, *from = NULL, *to = NULL;
	struct tb_error err = TB_ERROR_INIT;
	struct files f;
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(files_list(&f, dir, &err), -1);
	assert_non_null(strstr(err.msg, "there is no audit log in"));
	files_clear(&f);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		put(dir, names[i], "text\n");
	assert_int_equal(files_list(&f, dir, &err), 0);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.file[0].last_seq, 20);
	assert_int_equal(f.file[1].last_seq, 100);
	assert_int_equal(f.file[2].last_seq, 0);
	assert_true(f.has_current);
	assert_int_equal(f.torn_bytes, 5);
	assert_true(files_open(&f, 2, &err) >= 0);
	files_clear(&f);
	/* in the middle of a rotation one file has two names: read it once,
	 * as the older one, whose name says where it ends */
	from = xasprintf("%s/audit.jsonl", dir);
	to = xasprintf("%s/audit-00000000000000000120.jsonl", dir);
	assert_int_equal(link(from, to), 0);
	assert_int_equal(files_list(&f, dir, &err), 0);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.file[2].last_seq, 120);
	assert_true(f.has_current);
	files_clear(&f);
	unlink(from);
	assert_int_equal(files_list(&f, dir, &err), 0);
	assert_false(f.has_current);
	files_clear(&f);
	command = xasprintf("rm -r %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(files_list(&f, dir, &err), -1);
	assert_non_null(strstr(err.msg, "No such file"));
	files_clear(&f);
	assert_int_equal(files_name_seq("audit-99999999999999999999.jsonl"),
	    0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_every_offset),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_times_and_users),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
