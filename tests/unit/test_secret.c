/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/secret: above all, that memory is wiped at the moment it is given back.
 * Linked with --wrap=free,munmap,mlock2, so that the test looks at the bytes
 * just then; built with optimization, because that is when a wipe gets lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/tb_error.h"

void __real_free(void *p);
void __wrap_free(void *p);
int __real_munmap(void *p, size_t n);
int __wrap_munmap(void *p, size_t n);
int __real_mlock2(const void *p, size_t n, unsigned flags);
int __wrap_mlock2(const void *p, size_t n, unsigned flags);

static void *watched;      /* the block whose free is looked at */
static size_t watched_len;
static int seen, dirty;
static bool no_mlock;

static int
count_dirty(const void *p, size_t n)
{
	const volatile unsigned char *b = p;
	int d = 0;
	size_t i;

	for (i = 0; i < n; i++)
		d += b[i] != 0;
	return d;
}

void
__wrap_free(void *p)
{
	if (p && p == watched) {
		watched = NULL;
		seen++;
		dirty += count_dirty(p, watched_len);
	}
	__real_free(p);
}

int
__wrap_munmap(void *p, size_t n)
{
	if (p && p == watched) {
		watched = NULL;
		seen++;
		dirty += count_dirty(p, n);
	}
	return __real_munmap(p, n);
}

int
__wrap_mlock2(const void *p, size_t n, unsigned flags)
{
	if (no_mlock) {
		errno = ENOMEM;
		return -1;
	}
	return __real_mlock2(p, n, flags);
}

static void
watch(void *p, size_t n)
{
	watched = p;
	watched_len = n;
	seen = dirty = 0;
}

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifdef ASAN
#include <sanitizer/asan_interface.h>
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#else
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define POISON(p, n) ((void)(p), (void)(n))
#endif

static const size_t sizes[] = { 0, 1, 7, 8, 9, 31, 32, 33, 4096, 65535, 65536,
	70000 };

/* Blocks of the arena stay mapped: they are looked at through the old
 * pointer. Larger ones are looked at in munmap. */
static void
test_cleared_is_wiped(void **state)
{
	size_t i, cap;
	unsigned char *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct secret s = SECRET_INIT;

		p = secret_alloc(&s, sizes[i]);
		cap = s.cap;
		assert_true(cap > sizes[i]);
		memset(p, 0xa5, cap); /* all of it, not only len */
		watch(p, cap);
		secret_clear(&s);
		assert_null(s.bytes);
		assert_int_equal(s.len, 0);
		if (cap > 65536) {
			assert_int_equal(seen, 1);
			assert_int_equal(dirty, 0);
			continue;
		}
		UNPOISON(p, cap);
		assert_int_equal(count_dirty(p, cap), 0);
		POISON(p, cap);
		/* ... and is used again */
		assert_ptr_equal(secret_alloc(&s, sizes[i]), p);
		secret_clear(&s);
	}
	watched = NULL;
}

static void
test_grown_out_of_is_wiped(void **state)
{
	struct secret s = SECRET_INIT;
	unsigned char *p;
	size_t cap, i;

	for (i = 0; i < 31; i++)
		secret_append(&s, "x", 1);
	p = s.bytes;
	cap = s.cap;
	secret_append(&s, "y", 1);
	assert_ptr_not_equal(s.bytes, p);
	UNPOISON(p, cap);
	assert_int_equal(count_dirty(p, cap), 0);
	POISON(p, cap);
	assert_string_equal(secret_reveal(&s),
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy");
	assert_int_equal(s.len, 32);
	secret_clear(&s);
}

static void
test_grow_large(void **state)
{
	struct secret s = SECRET_INIT;
	char piece[1000];
	size_t i;

	memset(piece, 'z', sizeof(piece));
	for (i = 0; i < 300; i++)
		secret_append(&s, piece, sizeof(piece));
	assert_int_equal(s.len, 300000);
	assert_int_equal(strlen(secret_reveal(&s)), 300000);
	assert_int_equal(strspn(secret_reveal(&s), "z"), 300000);
	/* of itself, which moves while it is read */
	secret_append(&s, secret_reveal(&s), s.len);
	assert_int_equal(strspn(secret_reveal(&s), "z"), 600000);
	secret_clear(&s);
}

static void
test_values(void **state)
{
	struct secret a = SECRET_INIT, b = SECRET_INIT, c = SECRET_INIT;

	assert_true(secret_is_empty(&a));
	assert_string_equal(secret_reveal(&a), "");
	assert_true(secret_equal(&a, &b));
	secret_set_str(&a, "token");
	secret_append_str(&a, "-1");
	assert_string_equal(secret_reveal(&a), "token-1");
	assert_false(secret_equal(&a, &b));
	secret_dup(&b, &a);
	assert_true(secret_equal(&a, &b));
	assert_ptr_not_equal(a.bytes, b.bytes);
	secret_set_str(&c, "token-2");
	assert_false(secret_equal(&a, &c));
	secret_set(&c, "token-1\0", 8);
	assert_false(secret_equal(&a, &c));
	secret_move(&c, &a);
	assert_true(secret_is_empty(&a));
	assert_string_equal(secret_reveal(&c), "token-1");
	/* part of itself */
	secret_set(&c, secret_reveal(&c) + 2, 3);
	assert_string_equal(secret_reveal(&c), "ken");
	secret_set_str(&c, "");
	assert_true(secret_is_empty(&c));
	secret_alloc(&c, 5);
	assert_int_equal(c.len, 5);
	assert_int_equal(count_dirty(c.bytes, 6), 0);
	secret_clear(&b);
	secret_clear(&c);
	secret_clear(&c);
}

static void
test_is_token(void **state)
{
	static const struct {
		const char *s;
		bool is;
	} t[] = {
		{ "", false }, { "a", true }, { "!~", true },
		{ "a b", false }, { "a\n", false }, { "\x7f", false },
		{ "caf\xc3\xa9", false }, { "eyJ.a-b_c=", true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct secret s = SECRET_INIT;

		secret_set_str(&s, t[i].s);
		assert_int_equal(secret_is_token(&s), t[i].is);
		secret_clear(&s);
	}
}

static void
test_has_prefix(void **state)
{
	struct secret s = SECRET_INIT;

	secret_set_str(&s, "M.V1.abc");
	assert_true(secret_has_prefix(&s, "M.V1."));
	assert_false(secret_has_prefix(&s, "M.V2."));
	assert_false(secret_has_prefix(&s, "M.V1.abc"));
	assert_false(secret_has_prefix(&s, "M.V1.abcd"));
	secret_clear(&s);
}

/* Many at once, of all sizes: no two share memory, freed ones come back. */
static void
test_many(void **state)
{
	struct secret s[400];
	size_t i, round;

	memset(s, 0, sizeof(s));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(s); i++)
			memset(secret_alloc(&s[i], i * 13 % 3000), (int)i,
			    i * 13 % 3000);
		for (i = 0; i < ARRAY_SIZE(s); i++) {
			size_t j, bad = 0;

			for (j = 0; j < s[i].len; j++)
				bad += s[i].bytes[j] != (unsigned char)i;
			assert_int_equal(bad, 0);
			assert_int_equal(s[i].bytes[s[i].len], 0);
		}
		for (i = round % 2; i < ARRAY_SIZE(s); i += 2)
			secret_clear(&s[i]);
	}
	for (i = 0; i < ARRAY_SIZE(s); i++)
		secret_clear(&s[i]);
}

/* VmFlags of the mapping that holds p: "lo" locked, "dd" not dumped,
 * "wf" wiped on fork. */
static bool
mapping_has_flag(const void *p, const char *flag)
{
	char line[512];
	unsigned long from, to;
	bool inside = false, has = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)p >= from &&
			    (unsigned long)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			has = strstr(line, flag) != NULL;
	}
	fclose(f);
	return has;
}

static void
test_init_locks(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct secret s = SECRET_INIT;

	no_mlock = true;
	assert_int_equal(secret_memory_init(1 << 20, &err), -1);
	no_mlock = false;
	assert_int_equal(err.code, TB_E_LIMIT);
	assert_memory_equal(err.msg,
	    "cannot lock 1024 KiB of memory for secrets (the limit is ", 57);
	assert_non_null(strstr(err.msg, "): set LimitMEMLOCK=2048K in the unit,"
	    " or ulimit -l: Cannot allocate memory"));
	assert_int_equal(secret_memory_init(1 << 20, &err), 0);
	secret_alloc(&s, 40000);
	/* A sanitizer makes mlock a no-op; the two others are ours alone. */
#ifndef ASAN
	assert_true(mapping_has_flag(s.bytes, " lo"));
#endif
	assert_true(mapping_has_flag(s.bytes, " dd"));
	assert_true(mapping_has_flag(s.bytes, " wf"));
	/* afterwards a lack of locked memory is no failure */
	no_mlock = true;
	secret_alloc(&s, 200000);
	no_mlock = false;
	secret_clear(&s);
}

static void
test_fork_sees_zeroes(void **state)
{
	struct secret s = SECRET_INIT;
	int status;
	pid_t pid;

	secret_set_str(&s, "visible");
	pid = fork();
	if (pid == 0)
		_exit(count_dirty(s.bytes, s.cap) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(secret_reveal(&s), "visible");
	secret_clear(&s);
}

static void
test_lib_free_is_wiped(void **state)
{
	size_t i, n;
	unsigned char *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = secret_lib_malloc(sizes[i]);
		assert_non_null(p);
		n = malloc_usable_size(p);
		memset(p, 0x5a, sizes[i]);
		watch(p, n);
		secret_lib_free(p);
		assert_int_equal(seen, 1);
		assert_int_equal(dirty, 0);
	}
	secret_lib_free(NULL);
}

static void
test_lib_realloc_is_wiped(void **state)
{
	unsigned char *p = secret_lib_malloc(20), *q;
	char *s;

	memset(p, 0x5a, 20);
	watch(p, malloc_usable_size(p));
	q = secret_lib_realloc(p, 5000);
	assert_int_equal(seen, 1);
	assert_int_equal(dirty, 0);
	assert_int_equal(count_dirty(q, 20), 20);
	memset(q, 0x5a, 5000);
	watch(q, malloc_usable_size(q));
	p = secret_lib_realloc(q, 10);
	assert_int_equal(seen, 1);
	assert_int_equal(dirty, 0);
	assert_int_equal(count_dirty(p, 10), 10);
	secret_lib_free(p);
	p = secret_lib_realloc(NULL, 10);
	assert_non_null(p);
	secret_lib_free(p);
	p = secret_lib_calloc(10, 10);
	assert_int_equal(count_dirty(p, 100), 0);
	secret_lib_free(p);
	s = secret_lib_strdup("text");
	assert_string_equal(s, "text");
	secret_lib_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_is_token),
		cmocka_unit_test(test_cleared_is_wiped),
		cmocka_unit_test(test_grown_out_of_is_wiped),
		cmocka_unit_test(test_grow_large),
		cmocka_unit_test(test_has_prefix),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_init_locks),
		cmocka_unit_test(test_fork_sees_zeroes),
		cmocka_unit_test(test_lib_free_is_wiped),
		cmocka_unit_test(test_lib_realloc_is_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
