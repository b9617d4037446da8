/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redraw - see the header. A frame goes out in one write and clears only what
 * is behind its lines, so nothing flickers. It is shown on the terminal's other
 * screen: what was typed before is there again in the end.
 */
#include "ctl/redraw.h"

#include <poll.h>

#include "base/now.h"
#include "base/util.h"

#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"
/* other screen, no cursor, long lines are cut and do not wrap */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

volatile sig_atomic_t redraw_stopped;

static void
on_signal(int sig)
{
	(void)sig;
	redraw_stopped = 1;
}

/* text as one frame of so many rows: from the top, each line's rest cleared,
 * what is too much left out and counted. Pure. */
static void
redraw_frame(struct strbuf *out, const char *text, unsigned rows)
{
	unsigned n = 0, more = 0;
	const char *p, *eol;

	for (p = text; (eol = strchr(p, '\n')); p = eol + 1)
		n++;
	if (n >= rows) {
		more = n - rows + 2; /* its own line, and none to scroll */
		n = rows - 2;
	}
	strbuf_adds(out, HOME);
	for (p = text; n > 0 && (eol = strchr(p, '\n')); p = eol + 1, n--) {
		strbuf_add(out, p, (size_t)(eol - p));
		strbuf_adds(out, CLEAR_LINE "\n");
	}
	if (more)
		strbuf_addf(out, "(%u more lines)" CLEAR_LINE "\n", more);
	strbuf_adds(out, CLEAR_BELOW);
}

void
redraw_begin(struct redraw *r, const struct term *term)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct termios keys;

	*r = (struct redraw){ .term = term };
	r->in_place = term->moves && term->rows > 3;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	if (!r->in_place)
		return;
	r->has_keys = tcgetattr(STDIN_FILENO, &r->was) == 0;
	if (r->has_keys) {
		keys = r->was;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals stay */
		keys.c_cc[VMIN] = 1;
		keys.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	}
	fputs(ENTER, stdout);
}

void
redraw_show(struct redraw *r, const char *text)
{
	struct strbuf frame _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (!r->in_place) {
		printf("%s%s", r->shown ? "\n" : "", text);
	} else {
		redraw_frame(&frame, text, r->term->rows);
		fputs(strbuf_str(&frame), stdout);
	}
	r->shown = true;
	if (fflush(stdout) != 0)
		redraw_stopped = 1; /* nobody reads any more */
}

bool
redraw_wait(struct redraw *r, int64_t ms)
{
	struct pollfd p = { .fd = r->has_keys ? STDIN_FILENO : -1,
		.events = POLLIN };
	int64_t end = now_boot_ms() + ms, left;
	char key;

	while (!redraw_stopped && (left = end - now_boot_ms()) > 0) {
		if (poll(&p, 1, (int)left) <= 0 || !p.revents)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1)
			p.fd = -1; /* no more keys: time and signals stay */
		else if (key == 'q' || key == 'Q')
			redraw_stopped = 1;
	}
	return !redraw_stopped;
}

void
redraw_end(struct redraw *r, const char *text)
{
	if (!r->in_place)
		return;
	fputs(LEAVE, stdout);
	if (r->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &r->was);
	fputs(text, stdout);
	fflush(stdout);
}
