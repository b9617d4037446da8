/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell - see the header.
 */
#include "events/tell.h"

#include <poll.h>

#include "base/now.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "ctl/term.h"

volatile sig_atomic_t tell_stopped;
static sigset_t wait_mask;

void
tell(const char *fmt, ...)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	strbuf_adds(&b, "tokenbrokerctl: events: ");
	term_add_clean(&b, text, true);
	strbuf_addc(&b, '\n');
	free(text);
	fflush(stdout);
	fputs(strbuf_str(&b), stderr);
}

static void
on_signal(int sig)
{
	(void)sig;
	tell_stopped = 1;
}

/* A terminal that is closed is an end like the others: a command that runs is
 * of another process group, and would be left with nobody to end it. */
void
tell_catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal }, was;
	sigset_t block;
	size_t i;

	sigemptyset(&block);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&block, signals[i]);
	sigprocmask(SIG_BLOCK, &block, &wait_mask);
	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		sigdelset(&wait_mask, signals[i]);
		if (signals[i] != SIGHUP || sigaction(SIGHUP, NULL, &was) < 0 ||
		    was.sa_handler != SIG_IGN) /* nohup */
			sigaction(signals[i], &sa, NULL);
	}
}

const sigset_t *
tell_wait_mask(void)
{
	return &wait_mask;
}

bool
tell_sleep(int64_t ms)
{
	int64_t end = now_boot_ms() + ms, left;
	struct timespec t;

	while (!tell_stopped && (left = end - now_boot_ms()) > 0) {
		t = (struct timespec){ .tv_sec = left / 1000,
			.tv_nsec = left % 1000 * 1000000 };
		ppoll(NULL, 0, &t, &wait_mask);
	}
	return !tell_stopped;
}
