/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The offline verifier on logs whose lines were spoiled in every way: each case
 * says what is done to a good log, and what must be found, where; and who
 * signed what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify_world.h"

/* ----------------------------------------------------------- single breaks */

enum act {
	EDIT,        /* a byte in the middle of the line */
	EDIT_HASH,   /* only the hash */
	EDIT_REHASH, /* the line, and its hash is made to fit */
	DROP, DROP_3, DUPLICATE, DUPLICATE_LATER, MOVE_DOWN, MOVE_UP,
	SPOIL,       /* no JSON any more */
	RENUMBER, INSERT,
};

struct one {
	enum act act;
	size_t line; /* from 1 */
	const char *what;
};

/* "A.jsonl" is audit.jsonl. First, middle, last; and a checkpoint. */
static const struct one ones[] = {
	{ EDIT, 1, "edited 1 @A:1" },
	{ EDIT, 50, "edited 50 @A:50" },
	{ EDIT, 99, "edited 99 @A:99" },
	{ EDIT, 60, "edited 60 @A:60; bad_signature 60 @A:60" },
	{ EDIT, 100, "edited 100 @A:100; bad_signature 100 @A:100" },
	{ EDIT_HASH, 1, "hash_altered 1 @A:1" },
	{ EDIT_HASH, 50, "hash_altered 50 @A:50" },
	{ EDIT_HASH, 59, "hash_altered 59 @A:59" },
	{ EDIT_HASH, 60, "hash_altered 60 @A:60" },
	{ EDIT_HASH, 100, "edited 100 @A:100" },
	{ EDIT_REHASH, 1, "edited 2 @A:2" },
	{ EDIT_REHASH, 50, "edited 51 @A:51" },
	{ EDIT_REHASH, 59, "edited 60 @A:60; bad_signature 60 @A:60" },
	{ EDIT_REHASH, 100, "bad_signature 100 @A:100" },
	{ DROP, 2, "missing 2 @A:2" },
	{ DROP, 50, "missing 50 @A:50" },
	{ DROP, 60, "missing 60 @A:60" },
	{ DROP, 99, "missing 99 @A:99" },
	{ DROP_3, 50, "missing 50-52 @A:50" },
	{ DUPLICATE, 1, "duplicate 1 @A:2" },
	{ DUPLICATE, 50, "duplicate 50 @A:51" },
	{ DUPLICATE, 60, "duplicate 60 @A:61" },
	{ DUPLICATE, 100, "duplicate 100 @A:101" },
	{ DUPLICATE_LATER, 10, "duplicate 10 @A:101" },
	{ MOVE_DOWN, 50, "moved 50 @A:53" },
	{ MOVE_DOWN, 20, "moved 20 @A:23" },
	{ MOVE_UP, 50, "moved 47-49 @A:48-50" },
	{ MOVE_UP, 100, "moved 97-99 @A:98-100" },
	{ SPOIL, 50, "malformed 0 @A:50" },
	{ SPOIL, 60, "malformed 0 @A:60" },
	{ SPOIL, 100, "malformed 0 @A:100" },
	{ RENUMBER, 50, "missing 50-59 @A:50; moved 51-59 @A:51-59; "
	    "second 60 @A:60" },
	{ INSERT, 50, "edited 50 @A:50; second 50 @A:51" },
};

static void
spoil(struct maker_log *l, const struct one *one)
{
	size_t i = one->line - 1;
	char *hash;

	switch (one->act) {
	case EDIT:
		maker_replace(l, i, "\"time\":\"2026", "\"time\":\"2025");
		break;
	case EDIT_HASH:
		hash = l->line[i] + strlen(l->line[i]) - 10;
		*hash = *hash == 'a' ? 'b' : 'a';
		break;
	case EDIT_REHASH:
		maker_replace(l, i, "\"time\":\"2026", "\"time\":\"2025");
		maker_rehash(l, i);
		break;
	case DROP:
		maker_drop(l, i, 1);
		break;
	case DROP_3:
		maker_drop(l, i, 3);
		break;
	case DUPLICATE:
		maker_insert(l, i + 1, l->line[i]);
		break;
	case DUPLICATE_LATER:
		maker_insert(l, l->n, l->line[i]);
		break;
	case MOVE_DOWN:
		maker_move(l, i, i + 3);
		break;
	case MOVE_UP:
		maker_move(l, i, i - 3);
		break;
	case SPOIL:
		maker_replace(l, i, "\"time\":", "\"time\"=");
		break;
	case RENUMBER:
		maker_replace(l, i, "\"seq\":50", "\"seq\":60");
		break;
	case INSERT:
		maker_insert(l, i, l->line[i]);
		maker_replace(l, i, "\"uid\":", "\"uid\":9");
		break;
	}
}

static char *
with_name(const char *what)
{
	struct strbuf b = STRBUF_INIT;

	for (; *what; what++)
		if (what[0] == '@' && what[1] == 'A') {
			strbuf_adds(&b, "@audit.jsonl");
			what++;
		} else {
			strbuf_addc(&b, *what);
		}
	return strbuf_steal(&b);
}

static void
test_single_breaks(void **state)
{
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ones); i++) {
		_cleanup_free_ char *what = with_name(ones[i].what);

		world_tear_down(state);
		world_set_up(state);
		spoil(&w->log, &ones[i]);
		world_expect(w, VERIFY_BROKEN, what);
	}
}

static void
test_good(void **state)
{
	struct world *w = *state;
	const struct verify_sum *s;

	world_expect(w, VERIFY_GOOD, "");
	s = verify_sum(w->verify);
	assert_int_equal(s->lines, N);
	assert_int_equal(s->good, 5);
	assert_int_equal(s->checkpoints, 5);
	assert_int_equal(s->signed_seq, 100);
	assert_int_equal(s->first_seq, 1);
	assert_int_equal(s->last_seq, 100);
	assert_false(s->first_unchecked);
}

/* Two breaks far from each other: one does not hide the other. */
static void
test_goes_on(void **state)
{
	struct world *w = *state;

	maker_replace(&w->log, 89, "\"uid\":", "\"uid\":1");
	maker_drop(&w->log, 49, 2);
	maker_replace(&w->log, 9, "\"uid\":", "\"uid\":1");
	world_expect(w, VERIFY_BROKEN, "edited 10 @audit.jsonl:10; missing 50-51 "
	    "@audit.jsonl:50; edited 90 @audit.jsonl:88");
	assert_int_equal(verify_sum(w->verify)->good, 5);
}

static void
test_ranges(void **state)
{
	struct world *w = *state;
	size_t i;

	for (i = 30; i < 35; i++)
		maker_replace(&w->log, i, "\"uid\":", "\"uid\":1");
	world_expect(w, VERIFY_BROKEN, "edited 31-35 @audit.jsonl:31-35");
}

static void
test_form(void **state)
{
	static const struct { const char *what, *with; } forms[] = {
		{ "\"uid\":", "\"uid\":1,\"uid\":" },
		{ "\"}", "\"}x" },
		{ "\"}", "\"} " },
		{ "\"}", "\" }" },
		{ "{\"seq\"", " {\"seq\"" },
		{ "\"seq\":50", "\"seq\":050" },
		{ "\"token\":\"db\"", "\"token\":\"d\xff\"" },
		{ "\"token\":\"db\"", "\"token\":[1]" },
		{ "\"token\":\"db\"", "\"token\":null" },
		{ "\"token\":\"db\"", "\"token\":-1" },
		{ "\"token\":\"db\"", "\"token\":\"\\u0000\"" },
		{ "\"token\":\"db\"", "\"token\":\"\\ud800\"" },
		{ "\"token\":\"db\"", "\"token\":\"a\tb\"" },
		{ ",\"hash\":", ",\"hasg\":" },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		world_tear_down(state);
		world_set_up(state);
		maker_replace(&w->log, 49, forms[i].what, forms[i].with);
		world_expect(w, VERIFY_BROKEN, "malformed 0 @audit.jsonl:50");
	}
}

/* ------------------------------------------------------- who signed what */

/* All hashes made anew behind an edited line: only signatures tell. */
static void
test_written_anew(void **state)
{
	struct world *w = *state;

	maker_replace(&w->log, 49, "\"uid\":", "\"uid\":1");
	maker_rechain(&w->log, 49, NULL);
	world_expect(w, VERIFY_BROKEN, "bad_signature 60-100 @audit.jsonl:60-100");
	assert_int_equal(verify_sum(w->verify)->signed_seq, 40);
}

/* ... and signed anew with another key. */
static void
test_signed_anew(void **state)
{
	struct world *w = *state;

	maker_replace(&w->log, 49, "\"uid\":", "\"uid\":1");
	maker_rechain(&w->log, 49, w->other);
	world_expect(w, VERIFY_BROKEN, "unknown_key 60-100 @audit.jsonl:60-100");
}

/* Another key that says it is the old one. */
static void
test_signed_in_anothers_name(void **state)
{
	struct world *w = *state;
	char mine[17], old[17];

	maker_key_id(w->other, mine);
	maker_key_id(w->key, old);
	maker_rechain(&w->log, 99, w->other);
	maker_replace(&w->log, 99, mine, old);
	maker_rehash(&w->log, 99);
	world_expect(w, VERIFY_BROKEN, "bad_signature 100 @audit.jsonl:100");
}

static void
test_dropped_and_written_anew(void **state)
{
	struct world *w = *state;

	maker_drop(&w->log, 49, 1);
	maker_rehash(&w->log, 49); /* its number stays, its hash fits */
	world_expect(w, VERIFY_BROKEN, "rewritten 51 @audit.jsonl:50; edited 52 "
	    "@audit.jsonl:51");
}

static void
test_bad_checkpoint_form(void **state)
{
	struct world *w = *state;

	maker_replace(&w->log, 59, "\"signature\":\"", "\"signature\":\"AA");
	maker_rechain(&w->log, 59, NULL);
	world_feed(w);
	assert_int_equal(verify_findings(w->verify)->list[0].kind,
	    FINDING_BAD_CHECKPOINT);
}

static void
test_no_key(void **state)
{
	struct world *w = *state;

	keys_free(w->keys);
	w->keys = keys_new();
	world_expect(w, VERIFY_UNKNOWN, "");
	assert_int_equal(verify_sum(w->verify)->unchecked, 5);
}

static void
test_no_checkpoint(void **state)
{
	struct world *w = *state;

	w->file[0].to = 19;
	world_expect(w, VERIFY_UNKNOWN, "");
}

static void
test_empty(void **state)
{
	struct world *w = *state;

	maker_clear(&w->log);
	world_expect(w, VERIFY_UNKNOWN, "");
}

/* The old key vouches for the new one. */
static void
test_new_key(void **state)
{
	struct world *w = *state;

	maker_add_key(&w->log, w->other);
	maker_add_checkpoint(&w->log, w->key);
	maker_fill(&w->log, 110, 0, NULL);
	maker_add_checkpoint(&w->log, w->other);
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->good, 7);
}

/* A key that only announces itself is nobody's. */
static void
test_new_key_by_itself(void **state)
{
	struct world *w = *state;

	maker_add_key(&w->log, w->other);
	maker_fill(&w->log, 110, 0, NULL);
	maker_add_checkpoint(&w->log, w->other);
	world_expect(w, VERIFY_BROKEN, "unknown_key 111 @audit.jsonl:111");
}

/* A line that announces a key and was edited announces nothing. */
static void
test_new_key_edited(void **state)
{
	struct world *w = *state;

	maker_add_key(&w->log, w->other);
	maker_replace(&w->log, 100, "\"time\":\"2026", "\"time\":\"2025");
	maker_add_checkpoint(&w->log, w->key);
	maker_add_checkpoint(&w->log, w->other);
	world_expect(w, VERIFY_BROKEN, "edited 101 @audit.jsonl:101; unknown_key "
	    "103 @audit.jsonl:103");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_CASE(test_good),
		WORLD_CASE(test_single_breaks),
		WORLD_CASE(test_goes_on),
		WORLD_CASE(test_ranges),
		WORLD_CASE(test_form),
		WORLD_CASE(test_written_anew),
		WORLD_CASE(test_signed_anew),
		WORLD_CASE(test_signed_in_anothers_name),
		WORLD_CASE(test_dropped_and_written_anew),
		WORLD_CASE(test_bad_checkpoint_form),
		WORLD_CASE(test_no_key),
		WORLD_CASE(test_no_checkpoint),
		WORLD_CASE(test_empty),
		WORLD_CASE(test_new_key),
		WORLD_CASE(test_new_key_by_itself),
		WORLD_CASE(test_new_key_edited),
	};

	return cmocka_run_group_tests(tests, world_begin, world_end);
}
