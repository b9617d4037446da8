/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term - see the header.
 */
#include "ctl/term.h"

#include <errno.h>
#include <signal.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/tb_error.h"

bool
term_is_utf8(const char *lc_all, const char *lc_ctype, const char *lang)
{
	const char *s = lc_all && *lc_all ? lc_all : lc_ctype && *lc_ctype ?
	    lc_ctype : lang ? lang : "";

	return strcasestr(s, "utf-8") || strcasestr(s, "utf8");
}

void
term_init(struct term *t, int fd)
{
	struct winsize w = { 0, 0, 0, 0 };
	const char *name = getenv("TERM"), *no_colour = getenv("NO_COLOR");

	t->is_terminal = isatty(fd) == 1;
	t->moves = t->is_terminal && name && *name &&
	    strcmp(name, "dumb") != 0;
	t->colour = t->moves && (!no_colour || !*no_colour);
	t->utf8 = term_is_utf8(getenv("LC_ALL"), getenv("LC_CTYPE"),
	    getenv("LANG"));
	if (t->is_terminal && ioctl(fd, TIOCGWINSZ, &w) < 0)
		w.ws_col = 0;
	t->columns = w.ws_col ? w.ws_col : 80;
	t->rows = w.ws_row ? w.ws_row : 24;
}

/* One code point at s, strictly; *n bytes. 0xFFFD with *n = 1 for anything
 * that is not UTF-8. */
static unsigned
next_code_point(const unsigned char *s, size_t *n)
{
	static const unsigned least[] = { 0, 0x80, 0x800, 0x10000 };
	unsigned more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : 1, cp, i;

	*n = 1;
	if (s[0] < 0x80)
		return s[0];
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0xfffd;
	cp = s[0] & (0x3fu >> more);
	for (i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0xfffd;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	if (cp < least[more] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0xfffd;
	*n = more + 1;
	return cp;
}

/* Control characters, and those that reorder or hide text. */
static bool
is_harmful(unsigned cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xad ||
	    cp == 0x61c || (cp >= 0x200b && cp <= 0x200f) ||
	    (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x206f) ||
	    cp == 0xfeff || cp == 0xfffd || (cp >= 0xe0000 && cp <= 0xe0fff);
}

void
term_add_clean(struct strbuf *b, const char *s, bool utf8)
{
	unsigned cp;
	size_t n;

	for (; *s; s += n) {
		cp = next_code_point((const unsigned char *)s, &n);
		if (cp == '\n' || cp == '\t')
			strbuf_addc(b, ' ');
		else if (is_harmful(cp) || (cp >= 0x80 && !utf8))
			strbuf_addc(b, '?');
		else
			strbuf_add(b, s, n);
	}
}

void
term_add_folded(struct strbuf *b, const char *text, unsigned columns,
    unsigned used, unsigned indent)
{
	size_t at = used, n, width;
	char *word;

	for (; *text; text += n + strspn(text + n, " ")) {
		n = strcspn(text, " ");
		word = xstrndup(text, n);
		width = term_width(word);
		if (at > used && at + 1 + width > columns) {
			strbuf_addf(b, "\n%*s", (int)indent, "");
			at = used = indent;
		} else if (at > used) {
			strbuf_addc(b, ' ');
			at++;
		}
		strbuf_adds(b, word);
		at += width;
		free(word);
	}
}

size_t
term_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

const char *
term_on(const struct term *t, enum term_colour c)
{
	static const char *const codes[] = { "", "\033[1m", "\033[2m",
		"\033[32m", "\033[33m", "\033[31m" };

	return t->colour ? codes[c] : "";
}

const char *
term_off(const struct term *t)
{
	return t->colour ? "\033[0m" : "";
}

bool
term_can_ask(void)
{
	return isatty(STDIN_FILENO) == 1;
}

bool
term_answer_is_yes(const char *line)
{
	size_t n = strcspn(line, "\r\n");

	return (n == 1 && strncasecmp(line, "y", n) == 0) ||
	    (n == 3 && strncasecmp(line, "yes", n) == 0);
}

bool
term_ask(const char *question)
{
	char line[16];

	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin)) {
		fputc('\n', stderr);
		return false;
	}
	return term_answer_is_yes(line);
}

static int
read_all(size_t cap, bool one_line, struct secret *out, struct tb_error *err)
{
	struct secret piece _cleanup_(secret_clear) = SECRET_INIT;
	unsigned char *buf = secret_alloc(&piece, 4096);
	ssize_t n;

	secret_clear(out);
	for (;;) {
		n = read(STDIN_FILENO, buf, piece.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot read standard input");
		if (n == 0)
			return 0;
		if (out->len + (size_t)n > cap)
			return tb_error_set(err, TB_E_LIMIT, "standard input "
			    "holds more than %zu KiB", cap >> 10);
		secret_append(out, buf, (size_t)n);
		if (one_line && buf[n - 1] == '\n')
			return 0;
	}
}

static void
drop_line_end(struct secret *s)
{
	struct secret cut _cleanup_(secret_clear) = SECRET_INIT;
	const char *p = secret_reveal(s);
	size_t n = s->len;

	if (n && p[n - 1] == '\n')
		n--;
	if (n && n < s->len && p[n - 1] == '\r')
		n--;
	secret_set(&cut, p, n);
	secret_move(s, &cut);
}

/* Who is ended in the middle of this leaves a terminal without echo behind, so
 * signals wait until it is on again, and Ctrl-C ends the line. */
static int
read_without_echo(const char *prompt, size_t cap, struct secret *out,
    struct tb_error *err)
{
	struct termios was, quiet;
	sigset_t stops, before;
	int r;

	if (tcgetattr(STDIN_FILENO, &was) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot turn the terminal's echo off");
	quiet = was;
	quiet.c_lflag &= (tcflag_t)~(ECHO | ISIG);
	quiet.c_cc[VEOL] = quiet.c_cc[VINTR];
	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGHUP);
	sigprocmask(SIG_BLOCK, &stops, &before);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fprintf(stderr, "%s", prompt);
	fflush(stderr);
	r = read_all(cap, true, out, err);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	fputc('\n', stderr);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (r == 0 && out->len &&
	    secret_reveal(out)[out->len - 1] == (char)was.c_cc[VINTR])
		return tb_error_set(err, TB_E_CANCELLED, "interrupted");
	return r;
}

int
term_read_secret(const char *prompt, size_t cap, struct secret *out,
    struct tb_error *err)
{
	int r = term_can_ask() ? read_without_echo(prompt, cap, out, err) :
	    read_all(cap, false, out, err);

	if (r == 0)
		drop_line_end(out);
	return r;
}
