/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login_screen - see the header. With a QR code the text stands beside it, so
 * that both fit on 80x24: the code of a usual address is 33 modules wide, 37
 * columns and 19 lines with the smaller margin. The address is never broken
 * and never beside the code, since people mark and copy whole lines.
 */
#include "ctl/login_screen.h"

#include "ctl/qr.h"

#define BESIDE_MIN 34 /* columns of text beside a code */
#define OTHER_LINES 5 /* heading, address, countdown, the shell's own line */

/* "W D J B - M J H T" */
static void
login_screen_spaced(struct strbuf *b, const char *code)
{
	struct strbuf clean _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *s;

	/* Codes are of a small alphabet (RFC 8628, 6.1): bytes will do. */
	term_add_clean(&clean, code, false);
	for (s = strbuf_str(&clean); *s; s++) {
		if (s != strbuf_str(&clean))
			strbuf_addc(b, ' ');
		strbuf_addc(b, *s);
	}
}

static void
add_wrapped(struct strbuf *b, const char *text, size_t width)
{
	size_t line = 0, n;

	while (*text) {
		n = strcspn(text, " ");
		if (line && line + 1 + n > width) {
			strbuf_addc(b, '\n');
			line = 0;
		} else if (line) {
			strbuf_addc(b, ' ');
			line++;
		}
		strbuf_add(b, text, n);
		line += n;
		text += n + (text[n] == ' ');
	}
	strbuf_addc(b, '\n');
}

/* All but heading and address, in lines of at most width columns. */
static void
add_advice(struct strbuf *b, const struct login_prompt *p, bool scan,
    const struct term *t, size_t width)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_addf(&text, "%sthe page must show this code%s:",
	    scan ? "Scan this, or open the address; " : "There, ",
	    p->uri_complete ? "" : " or ask for it");
	add_wrapped(b, strbuf_str(&text), width);
	strbuf_addf(b, "\n  %s", term_on(t, TERM_BOLD));
	login_screen_spaced(b, p->user_code);
	strbuf_addf(b, "%s\n\n", term_off(t));
	strbuf_reset(&text);
	strbuf_adds(&text, "Compare it. Approve only if it is the same, and "
	    "only if you know who started this login on host ");
	term_add_clean(&text, p->host, t->utf8);
	strbuf_adds(&text, ": the host will act in the name of whoever "
	    "approves.");
	add_wrapped(b, strbuf_str(&text), width);
}

static void
add_head(struct strbuf *b, const struct login_prompt *p, const struct term *t)
{
	strbuf_adds(b, "This host, ");
	term_add_clean(b, p->host, t->utf8);
	strbuf_adds(b, ", asks for login '");
	term_add_clean(b, p->login, t->utf8);
	strbuf_addf(b, "'. On any device, open\n  %s",
	    term_on(t, TERM_BOLD));
	term_add_clean(b, p->uri_complete ? p->uri_complete : p->uri, t->utf8);
	strbuf_addf(b, "%s\n", term_off(t));
}

/* One line of the text per line of the code, then what is left of either. */
static void
add_beside(struct strbuf *b, const struct qr *qr, const struct qr_look *look,
    const char *text)
{
	size_t lines = qr_lines(qr, look), i, skip, n, text_lines = 0;
	const char *p;

	for (p = text; *p; p++)
		text_lines += *p == '\n';
	skip = lines > text_lines ? (lines - text_lines) / 2 : 0;
	for (i = 0; i < lines || *text; i++) {
		if (i < lines)
			qr_add_line(b, qr, look, i);
		else
			strbuf_addf(b, "%*s", (int)qr_columns(qr, look), "");
		if (i >= skip && *text) {
			n = strcspn(text, "\n");
			if (n)
				strbuf_adds(b, "  ");
			strbuf_add(b, text, n);
			text += n + (text[n] == '\n');
		}
		strbuf_addc(b, '\n');
	}
}

/* The largest form that fits; false: none does. */
static bool
choose_look(const struct qr *qr, bool big, const struct term *t,
    struct qr_look *look)
{
	static const int margins[] = { 4, 2 };
	size_t i;

	*look = (struct qr_look){ .colour = t->colour,
		.style = t->utf8 ? QR_HALF_BLOCKS : QR_ASCII };
	for (i = 0; i < ARRAY_SIZE(margins); i++) {
		look->quiet = margins[i];
		if (qr_columns(qr, look) <= t->columns &&
		    qr_lines(qr, look) + OTHER_LINES <= t->rows)
			return true;
	}
	return big && qr_columns(qr, look) <= t->columns;
}

void
login_screen_prompt(struct strbuf *b, const struct login_prompt *p,
    const struct qr *qr, bool big, const struct term *t)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct qr_look look;
	bool scan = qr && choose_look(qr, big, t, &look);
	size_t left = t->columns, i;

	if (scan)
		left -= qr_columns(qr, &look);
	add_head(b, p, t);
	if (scan && left >= BESIDE_MIN + 2) {
		add_advice(&text, p, true, t, MIN2(left - 2, 60u));
		add_beside(b, qr, &look, strbuf_str(&text));
		return;
	}
	for (i = 0; scan && i < qr_lines(qr, &look); i++) {
		qr_add_line(b, qr, &look, i);
		strbuf_addc(b, '\n');
	}
	add_advice(b, p, scan, t, MIN2(t->columns - 1, 76u));
	if (qr && !scan)
		strbuf_addf(b, "(The screen is too small for the QR code%s.)"
		    "\n", big ? "" : "; --qr draws it");
}

void
login_screen_claims(struct strbuf *b, const struct json_t *claims,
    const struct term *t)
{
	static const char *const first[] = { "name", "email",
		"preferred_username", "sub", "iss" };
	const char *value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(first); i++) {
		value = jval_str(claims, first[i]);
		if (!value)
			continue;
		strbuf_addf(b, "  %-18s  %s", first[i],
		    term_on(t, TERM_BOLD));
		term_add_clean(b, value, t->utf8);
		strbuf_addf(b, "%s\n", term_off(t));
	}
}

const char *
login_screen_human(const struct json_t *claims)
{
	static const char *const best[] = { "email", "preferred_username",
		"name", "sub" };
	const char *value = NULL;
	size_t i;

	for (i = 0; !value && i < ARRAY_SIZE(best); i++)
		value = jval_str(claims, best[i]);
	return value;
}
