/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tokenbrokerctl draws: ctl/qr, ctl/phrase, ctl/term's cleaning,
 * ctl/table and ctl/login_screen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ctl/login_screen.h"
#include "ctl/phrase.h"
#include "ctl/qr.h"
#include "ctl/table.h"

static unsigned char modules[] = { /* other bits than 0 are the library's */
	1, 0, 1,
	0, 3, 2,
	1, 1, 0,
};
static const struct qr small = { 3, modules };

static const char *
draw(struct strbuf *b, const struct qr_look *look)
{
	size_t i;

	strbuf_reset(b);
	for (i = 0; i < qr_lines(&small, look); i++) {
		qr_add_line(b, &small, look, i);
		strbuf_addc(b, '\n');
	}
	return strbuf_str(b);
}

/* Without colour the light is the ink. */
static void
qr_golden(void **state)
{
	static const struct {
		struct qr_look look;
		size_t columns;
		const char *text;
	} t[] = {
		{ { QR_ASCII, false, 0 }, 6,
		    "  ##  \n##  ##\n    ##\n" },
		{ { QR_ASCII, false, 1 }, 10,
		    "##########\n##  ##  ##\n####  ####\n##    ####\n"
		    "##########\n" },
		{ { QR_HALF_BLOCKS, false, 1 }, 5,
		    "█▀█▀█\n█▀ ██\n▀▀▀▀▀\n" },
		{ { QR_HALF_BLOCKS, false, 0 }, 3, "▄▀▄\n  ▀\n" },
		{ { QR_HALF_BLOCKS, true, 0 }, 3,
		    "\033[30;47;107m▀▄▀\033[0m\n"
		    "\033[30;47;107m▀▀ \033[0m\n" },
	};
	struct strbuf b = STRBUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(qr_columns(&small, &t[i].look), t[i].columns);
		assert_string_equal(draw(&b, &t[i].look), t[i].text);
	}
	strbuf_clear(&b);
}

static void
qr_is_encoded(void **state)
{
	struct qr q = QR_INIT;
	char *long_text = xcalloc(4000, 1);

	assert_true(qr_encode("https://sso.example.com/device", &q));
	assert_int_equal(q.width, 25);
	assert_int_equal(q.modules[0] & 1, 1); /* a finder's corner */
	memset(long_text, 'x', 3999);
	assert_false(qr_encode(long_text, &q));
	assert_null(q.modules);
	free(long_text);
}

static void
times_as_people_say_them(void **state)
{
	typedef const char *phrase_fn(int64_t, char *, size_t);
	static const struct {
		phrase_fn *fn;
		int64_t s;
		const char *text;
	} t[] = {
		{ phrase_when, 0, "now" }, { phrase_when, 90, "in 1m 30s" },
		{ phrase_when, 183600, "in 2d 3h" },
		{ phrase_when, -120, "2m ago" },
		{ phrase_left, 5, "5s" }, { phrase_left, 0, "0s" },
		{ phrase_left, -1, "expired" },
		{ phrase_countdown, 872, "14:32" },
		{ phrase_countdown, 9, "0:09" },
		{ phrase_countdown, -3, "0:00" },
		{ phrase_countdown, 3723, "1:02:03" },
		{ phrase_minutes, 900, "15 minutes" },
		{ phrase_minutes, 871, "15 minutes" },
		{ phrase_minutes, 89, "1 minute" },
		{ phrase_minutes, 60, "1 minute" },
		{ phrase_minutes, 59, "less than a minute" },
	};
	char buf[PHRASE_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(t[i].fn(t[i].s, buf, sizeof(buf)),
		    t[i].text);
}

static void
text_cannot_move_the_cursor(void **state)
{
	static const struct {
		const char *in;
		bool utf8;
		const char *out;
	} t[] = {
		{ "plain", false, "plain" },
		{ "J\u00fcrgen \u65e5", true, "J\u00fcrgen \u65e5" },
		{ "J\u00fcrgen", false, "J?rgen" },
		{ "a\033[2Jb\nc\td\r", true, "a?[2Jb c d?" },
		{ "\xc2\x9b" "2J \u202e\u200b\u2066 \ufeff", true, "?2J ??? ?" },
		{ "\xff\xc3 \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80", true,
		    "?? ?? ??? ????" },
		{ "cut \xe6\x97", true, "cut ??" },
	};
	struct strbuf b = STRBUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		strbuf_reset(&b);
		term_add_clean(&b, t[i].in, t[i].utf8);
		assert_string_equal(strbuf_str(&b), t[i].out);
	}
	strbuf_clear(&b);
	assert_int_equal(term_width("J\u00fcrgen"), 6);
}

static void
the_locale_is_told_without_loading_it(void **state)
{
	assert_true(term_is_utf8("", NULL, "en_US.UTF-8"));
	assert_true(term_is_utf8(NULL, "C.utf8", "C"));
	assert_false(term_is_utf8("C", "C.UTF-8", "C.UTF-8"));
	assert_false(term_is_utf8(NULL, NULL, NULL));
	assert_false(term_is_utf8(NULL, NULL, "de_DE@euro"));
}

static void
only_yes_is_yes(void **state)
{
	assert_true(term_answer_is_yes("y\n"));
	assert_true(term_answer_is_yes("YES\r\n"));
	assert_false(term_answer_is_yes("\n"));
	assert_false(term_answer_is_yes("ye\n"));
	assert_false(term_answer_is_yes("n\n"));
	assert_false(term_answer_is_yes("yess\n"));
}

static void
tables_line_up_and_fit(void **state)
{
	static const char *const heading[] = { "NAME", "HUMAN", "DUE" };
	struct term t = { .is_terminal = true, .utf8 = true, .columns = 30,
		.rows = 24 };
	struct strbuf b = STRBUF_INIT;
	struct table table;

	table_init(&table, heading, 3, 1, true);
	table_row(&table);
	table_cell(&table, 0, TERM_PLAIN, "\u00f6ps");
	table_cell(&table, 1, TERM_GREEN, "somebody@example.com.invalid");
	table_cell(&table, 2, TERM_PLAIN, NULL);
	table_render(&table, &t, &b);
	assert_string_equal(strbuf_str(&b),
	    "NAME  HUMAN                DUE\n"
	    "\u00f6ps   somebody@example...  -\n");
	strbuf_reset(&b);
	t.columns = 80;
	t.colour = true;
	table_render(&table, &t, &b);
	assert_non_null(strstr(strbuf_str(&b),
	    "\033[32msomebody@example.com.invalid\033[0m  -\n"));
	table_clear(&table);
	strbuf_clear(&b);
}

/* ---------------------------------------------------------------- login */

static const struct login_prompt prompt = { .login = "ops", .host = "build7",
	.user_code = "WDJB-MJHT", .uri = "https://sso.example.com/device",
	.uri_complete = "https://sso.example.com/realms/influx/device?"
	    "user_code=WDJB-MJHT" };

/* The widest line, and how many there are. */
static size_t
measure(const char *s, size_t *lines)
{
	_cleanup_free_ char *copy = xstrdup(s);
	size_t widest = 0;
	char *line, *rest = copy;

	*lines = 0;
	while ((line = strsep(&rest, "\n")) && (*line || rest)) {
		widest = MAX2(widest, term_width(line));
		++*lines;
	}
	return widest;
}

static void
login_fits_80_by_24(void **state)
{
	const struct term t = { .is_terminal = true, .utf8 = true,
		.columns = 80, .rows = 24 };
	struct strbuf b = STRBUF_INIT;
	struct qr q = QR_INIT;
	size_t lines;

	assert_true(qr_encode(prompt.uri_complete, &q));
	login_screen_prompt(&b, &prompt, &q, false, &t);
	assert_in_range(measure(strbuf_str(&b), &lines), 60, 80);
	assert_in_range(lines, 20, 22);
	assert_non_null(strstr(strbuf_str(&b), "W D J B - M J H T"));
	assert_non_null(strstr(strbuf_str(&b), "host build7"));
	assert_non_null(strstr(strbuf_str(&b), "\u2588"));
	qr_clear(&q);
	strbuf_clear(&b);
}

static void
login_on_small_screens(void **state)
{
	static const struct {
		unsigned columns, rows;
		bool utf8, big;
		const char *ink; /* NULL: no code can be drawn */
	} t[] = {
		{ 80, 20, true, false, NULL },
		{ 80, 20, true, true, "\u2588" },
		{ 36, 50, true, true, NULL },
		{ 60, 50, true, false, "\u2588" },
		{ 80, 24, false, false, NULL },
		{ 80, 50, false, false, "####" },
	};
	struct strbuf b = STRBUF_INIT;
	struct qr q = QR_INIT;
	size_t i, lines;

	assert_true(qr_encode(prompt.uri_complete, &q));
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		const struct term term = { .is_terminal = true,
			.utf8 = t[i].utf8, .columns = t[i].columns,
			.rows = t[i].rows };

		strbuf_reset(&b);
		login_screen_prompt(&b, &prompt, &q, t[i].big, &term);
		assert_int_equal(!strstr(strbuf_str(&b),
		    "too small for the QR code"), t[i].ink != NULL);
		if (t[i].ink)
			assert_non_null(strstr(strbuf_str(&b), t[i].ink));
		/* Nothing is wider but the address, which stays whole. */
		assert_non_null(strstr(strbuf_str(&b), prompt.uri_complete));
		if (t[i].columns >= 80)
			assert_in_range(measure(strbuf_str(&b), &lines), 40,
			    80);
	}
	qr_clear(&q);
	strbuf_clear(&b);
}

static void
login_without_complete_address(void **state)
{
	const struct term t = { .columns = 80, .rows = 24 };
	struct login_prompt p = prompt;
	struct strbuf b = STRBUF_INIT;

	p.uri_complete = NULL;
	p.login = "o\033ps";
	login_screen_prompt(&b, &p, NULL, false, &t);
	assert_string_equal(strbuf_str(&b),
	    "This host, build7, asks for login 'o?ps'. On any device, open\n"
	    "  https://sso.example.com/device\n"
	    "There, the page must show this code or ask for it:\n"
	    "\n"
	    "  W D J B - M J H T\n"
	    "\n"
	    "Compare it. Approve only if it is the same, and only if you know "
	    "who started\n"
	    "this login on host build7: the host will act in the name of "
	    "whoever\napproves.\n");
	strbuf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qr_golden),
		cmocka_unit_test(qr_is_encoded),
		cmocka_unit_test(times_as_people_say_them),
		cmocka_unit_test(text_cannot_move_the_cursor),
		cmocka_unit_test(the_locale_is_told_without_loading_it),
		cmocka_unit_test(only_yes_is_yes),
		cmocka_unit_test(tables_line_up_and_fit),
		cmocka_unit_test(login_fits_80_by_24),
		cmocka_unit_test(login_on_small_screens),
		cmocka_unit_test(login_without_complete_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
