/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * util - the dozen lines every file wants: scoped clean-up, moves, and
 * allocation that cannot fail.
 *
 * Out of memory aborts: what a peer can make us allocate is capped before the
 * allocation, so this is never remote, and it removes half of the branches.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN2(a, b) ((a) < (b) ? (a) : (b))
#define MAX2(a, b) ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* The value of pointer p, which is left NULL: ownership moves. */
#define STEAL(p) \
	({ \
		__typeof__(p) *steal_p_ = &(p); \
		__typeof__(p) steal_v_ = *steal_p_; \
		*steal_p_ = NULL; \
		steal_v_; \
	})

static inline void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

#define xnew(type) ((type *)xcalloc(1, sizeof(type)))

/* Never for memory that holds a secret: the old block is not wiped. */
static inline void *
xreallocarray(void *old, size_t n, size_t size)
{
	void *p = reallocarray(old, n ? n : 1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

static inline char *
xstrdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		abort();
	return p;
}

static inline char *
xstrndup(const char *s, size_t n)
{
	char *p = strndup(s, n);

	if (!p)
		abort();
	return p;
}

/* NULL stays NULL. */
static inline char *
xstrdup0(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static inline char *
xvasprintf(const char *fmt, va_list ap) _printf_(1, 0);

static inline char *
xvasprintf(const char *fmt, va_list ap)
{
	char *p;

	if (vasprintf(&p, fmt, ap) < 0)
		abort();
	return p;
}

static inline char *
xasprintf(const char *fmt, ...) _printf_(1, 2);

static inline char *
xasprintf(const char *fmt, ...)
{
	char *p;
	va_list ap;

	va_start(ap, fmt);
	p = xvasprintf(fmt, ap);
	va_end(ap);
	return p;
}

/* Equal, where NULL equals only NULL. */
static inline bool
streq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Replaces an owned string by a copy of another (or by NULL). */
static inline void
str_set(char **p, const char *s)
{
	char *copy = xstrdup0(s);

	free(*p);
	*p = copy;
}

static inline void
freep(void *p)
{
	free(*(void **)p);
}

static inline void
closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void
fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
