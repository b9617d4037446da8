/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tell - what all of tokenbroker-events has in common: it speaks in the name of
 * `tokenbrokerctl events`, which runs it, and ends when it is told to.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

/* As tokenbrokerctl(1). */
enum tell_exit {
	TELL_OK = 0,
	TELL_FAILED = 1,
	TELL_USAGE = 2,
	TELL_DENIED = 4,
	TELL_NO_DAEMON = 6,
};

/* "tokenbrokerctl: events: ..." on stderr, one line, cleaned. */
void tell(const char *fmt, ...) _printf_(1, 2);

/* SIGINT and SIGTERM come while we wait, and never in between. */
void tell_catch_signals(void);
const sigset_t *tell_wait_mask(void);
extern volatile sig_atomic_t tell_stopped;

/* Sleeps; false: we were told to end. */
bool tell_sleep(int64_t ms);
