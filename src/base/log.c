/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - see the header. A line is put together on the stack and leaves in one
 * write(2), so lines of two threads never mix and nothing is buffered when the
 * process dies. What cannot be written (a full pipe) is lost: a log must not
 * stop the daemon.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES 2048

static atomic_int max_level = LOG_L_INFO;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool journal;

/* The numbers of syslog, as sd-daemon(3) wants them. */
static const struct {
	const char *name;
	char priority;
} levels[] = {
	[LOG_L_ERROR] = { "error", '3' },
	[LOG_L_WARN] = { "warning", '4' },
	[LOG_L_INFO] = { "info", '6' },
	[LOG_L_DEBUG] = { "debug", '7' },
};

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

int
log_level_from_name(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++)
		if (streq(name, levels[i].name))
			return (int)i;
	return -1;
}

bool
log_enabled(enum log_level level)
{
	return (int)level <=
	    atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* JOURNAL_STREAM is inherited by whatever a shell in a unit starts: it counts
 * only when stderr is still that stream. */
static void
find_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	journal = env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}

/* No control character gets through, in ASCII or as a C1 one in UTF-8: what a
 * peer sent cannot begin a line, nor talk to a terminal. */
static void
clean(char *s)
{
	unsigned char *p = (unsigned char *)s;

	for (; *p; p++) {
		if (*p < 0x20 || *p == 0x7f) {
			*p = '?';
		} else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			*p++ = '?';
			*p = '?';
		}
	}
}

void
log_line(enum log_level level, const char *subsys, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	int n, m;
	va_list ap;

	if (!log_enabled(level))
		return;
	pthread_once(&journal_once, find_journal);
	if (journal)
		n = snprintf(line, 128, "<%c>%s: ", levels[level].priority,
		    subsys);
	else
		n = snprintf(line, 128, "%s: %s: ", levels[level].name, subsys);
	n = MIN2(n, 127);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	clean(line);
	if (m >= (int)sizeof(line) - n - 1)
		memcpy(line + sizeof(line) - 5, "...", 4);
	m = (int)strlen(line);
	line[m] = '\n';
	while (write(STDERR_FILENO, line, (size_t)m + 1) < 0 && errno == EINTR)
		;
	errno = saved;
}
