/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret - see the header. The memory comes from an arena of our own: chunks
 * from mmap(2), locked, left out of core dumps, and zero in a forked child.
 * Blocks are powers of two from 32 bytes to 64 KiB; larger ones get a mapping
 * each. A chunk is never given back, so the arena is as large as the most that
 * was ever needed at once. Which blocks are free is kept outside of them: a
 * freed block is all zero.
 *
 * Not thread-safe, by design: secrets belong to the loop thread. The writer
 * thread gets sealed bytes only.
 */
#include "base/secret.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/tb_error.h"

#if defined(__SANITIZE_ADDRESS__)
#define SECRET_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SECRET_ASAN 1
#endif
#endif

#ifdef SECRET_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define MIN_SHIFT 5  /* 32 bytes */
#define MAX_SHIFT 16 /* 64 KiB */
#define N_CLASSES (MAX_SHIFT - MIN_SHIFT + 1)
#define CHUNK ((size_t)128 << 10)
#define PAGE ((size_t)4096)

static struct {
	unsigned char *next, *end; /* what is left of the newest chunk */
	struct {
		unsigned char **block;
		size_t n, cap;
	} free[N_CLASSES];
	bool must_lock; /* secret_memory_init was asked: say when it fails */
	bool said_unlocked;
} arena;

static size_t
round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Each page as it is first written: what was never used need not be in memory,
 * and a command that needs one page does not wait for thirty-two. */
static bool
lock_pages(const void *p, size_t size)
{
	if (mlock2(p, size, MLOCK_ONFAULT) == 0)
		return true;
	/* not known here (valgrind), in glibc's words or the kernel's */
	return (errno == EINVAL || errno == ENOSYS) && mlock(p, size) == 0;
}

/* Locked when that is possible: *locked tells. */
static unsigned char *
map_pages(size_t size, bool *locked)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	madvise(p, size, MADV_DONTDUMP);
	madvise(p, size, MADV_WIPEONFORK);
	*locked = lock_pages(p, size);
	return p;
}

static unsigned char *
map_pages_noted(size_t size)
{
	bool locked;
	unsigned char *p = map_pages(size, &locked);

	if (!locked && arena.must_lock && !arena.said_unlocked) {
		arena.said_unlocked = true;
		log_warn("secret", "more memory for secrets could not be locked "
		    "and may be swapped out: raise LimitMEMLOCK");
	}
	return p;
}

/* The class of blocks that hold n bytes. */
static unsigned
class_of(size_t n)
{
	unsigned c = 0;

	while (((size_t)1 << (MIN_SHIFT + c)) < n)
		c++;
	return c;
}

static void
push_free(unsigned c, unsigned char *block)
{
	if (arena.free[c].n == arena.free[c].cap) {
		arena.free[c].cap = arena.free[c].cap ? 2 * arena.free[c].cap :
		    16;
		arena.free[c].block = xreallocarray(arena.free[c].block,
		    arena.free[c].cap, sizeof(arena.free[c].block[0]));
	}
	arena.free[c].block[arena.free[c].n++] = block;
	ASAN_POISON_MEMORY_REGION(block, (size_t)1 << (MIN_SHIFT + c));
}

/* A new chunk; what was left of the old one goes to the free lists. */
static void
use_chunk(unsigned char *p, size_t size)
{
	unsigned c = N_CLASSES;
	size_t n;

	while (c-- > 0) {
		n = (size_t)1 << (MIN_SHIFT + c);
		while ((size_t)(arena.end - arena.next) >= n) {
			push_free(c, arena.next);
			arena.next += n;
		}
	}
	arena.next = p;
	arena.end = p + size;
}

/* At least n zero bytes; *cap is what one really gets. */
static unsigned char *
arena_alloc(size_t n, size_t *cap)
{
	unsigned c;
	unsigned char *p;

	if (n > (size_t)1 << MAX_SHIFT) {
		*cap = round_up(n, PAGE);
		return map_pages_noted(*cap);
	}
	c = class_of(n);
	*cap = (size_t)1 << (MIN_SHIFT + c);
	if (arena.free[c].n) {
		p = arena.free[c].block[--arena.free[c].n];
		ASAN_UNPOISON_MEMORY_REGION(p, *cap);
		return p;
	}
	if ((size_t)(arena.end - arena.next) < *cap)
		use_chunk(map_pages_noted(CHUNK), CHUNK);
	p = arena.next;
	arena.next += *cap;
	return p;
}

static void
arena_free(unsigned char *p, size_t cap)
{
	explicit_bzero(p, cap);
	if (cap > (size_t)1 << MAX_SHIFT)
		munmap(p, cap); /* which also unlocks */
	else
		push_free(class_of(cap), p);
}

int
secret_memory_init(size_t bytes, struct tb_error *err)
{
	size_t size = round_up(MAX2(bytes, CHUNK), PAGE);
	struct rlimit limit = { 0, 0 };
	bool locked;
	unsigned char *p = map_pages(size, &locked);
	int e = errno;

	if (!locked) {
		munmap(p, size);
		getrlimit(RLIMIT_MEMLOCK, &limit);
		return tb_error_errno(err, TB_E_LIMIT, e,
		    "cannot lock %zu KiB of memory for secrets (the limit is "
		    "%llu KiB): set LimitMEMLOCK=%zuK in the unit, or "
		    "ulimit -l", size >> 10,
		    (unsigned long long)limit.rlim_cur >> 10,
		    (2 * size) >> 10);
	}
	use_chunk(p, size);
	arena.must_lock = true;
	return 0;
}

unsigned char *
secret_alloc(struct secret *s, size_t len)
{
	secret_clear(s);
	if (len >= SIZE_MAX / 2)
		abort();
	s->bytes = arena_alloc(len + 1, &s->cap);
	s->len = len;
	return s->bytes;
}

void
secret_set(struct secret *s, const void *bytes, size_t len)
{
	struct secret fresh = SECRET_INIT;

	/* Copied before s is cleared: bytes may be part of s. */
	secret_alloc(&fresh, len);
	if (len)
		memcpy(fresh.bytes, bytes, len);
	secret_move(s, &fresh);
}

void
secret_set_str(struct secret *s, const char *str)
{
	secret_set(s, str, strlen(str));
}

/* In place where it fits; else to a block at least twice as large, so that
 * growing byte by byte copies each byte about once. */
void
secret_append(struct secret *s, const void *bytes, size_t len)
{
	struct secret fresh = SECRET_INIT;

	if (len >= SIZE_MAX / 2 - s->len)
		abort();
	if (s->len + len + 1 > s->cap) {
		fresh.bytes = arena_alloc(MAX2(s->len + len + 1, 2 * s->cap),
		    &fresh.cap);
		if (s->len)
			memcpy(fresh.bytes, s->bytes, s->len);
		fresh.len = s->len;
		if (len)
			memcpy(fresh.bytes + fresh.len, bytes, len);
		fresh.len += len;
		secret_move(s, &fresh);
		return;
	}
	if (len)
		memmove(s->bytes + s->len, bytes, len);
	s->len += len;
	s->bytes[s->len] = '\0';
}

void
secret_append_str(struct secret *s, const char *str)
{
	secret_append(s, str, strlen(str));
}

void
secret_clear(struct secret *s)
{
	if (s->bytes)
		arena_free(s->bytes, s->cap);
	*s = (struct secret)SECRET_INIT;
}

void
secret_move(struct secret *to, struct secret *from)
{
	struct secret moved = *from;

	*from = (struct secret)SECRET_INIT;
	secret_clear(to);
	*to = moved;
}

void
secret_dup(struct secret *to, const struct secret *from)
{
	secret_set(to, secret_reveal(from), from->len);
}

bool
secret_equal(const struct secret *a, const struct secret *b)
{
	volatile unsigned char diff = 0;
	size_t i;

	if (a->len != b->len)
		return false;
	for (i = 0; i < a->len; i++)
		diff = (unsigned char)(diff | (a->bytes[i] ^ b->bytes[i]));
	return diff == 0;
}

bool
secret_is_empty(const struct secret *s)
{
	return s->len == 0;
}

const char *
secret_reveal(const struct secret *s)
{
	return s->bytes ? (const char *)s->bytes : "";
}

bool
secret_is_token(const struct secret *s)
{
	size_t i;

	for (i = 0; i < s->len; i++)
		if (s->bytes[i] < 0x21 || s->bytes[i] > 0x7e)
			return false;
	return s->len > 0;
}

bool
secret_has_prefix(const struct secret *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return n < s->len && memcmp(s->bytes, prefix, n) == 0;
}

/* The allocator for libraries. malloc_usable_size is what there is to wipe:
 * a library may have used all of it. */

void *
secret_lib_malloc(size_t size)
{
	return malloc(size);
}

void *
secret_lib_calloc(size_t n, size_t size)
{
	return calloc(n, size);
}

void *
secret_lib_realloc(void *p, size_t size)
{
	size_t old;
	void *fresh;

	if (!p)
		return malloc(size);
	old = malloc_usable_size(p);
	fresh = malloc(size);
	if (!fresh)
		return NULL;
	memcpy(fresh, p, MIN2(old, size));
	secret_lib_free(p);
	return fresh;
}

char *
secret_lib_strdup(const char *s)
{
	return strdup(s);
}

void
secret_lib_free(void *p)
{
	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}
