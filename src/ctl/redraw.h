/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * redraw - a screen that is shown again and again in its place, until the
 * person before it types q or Ctrl-C. Where there is no terminal that can do
 * this, one block of text follows the other.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "ctl/term.h"

struct redraw {
	const struct term *term;
	bool in_place;
	bool has_keys; /* standard input is a terminal, too */
	struct termios was;
	bool shown; /* something */
};

/* Set when it is time to end: for who waits elsewhere meanwhile. */
extern volatile sig_atomic_t redraw_stopped;

void redraw_begin(struct redraw *r, const struct term *term);
void redraw_show(struct redraw *r, const char *text);
/* False: it is time to end. */
bool redraw_wait(struct redraw *r, int64_t ms);
/* The terminal as it was, with the last screen left on it. */
void redraw_end(struct redraw *r, const char *text);

