/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The offline verifier on logs of several files, on cut ones, and against
 * checkpoints that were kept elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify_world.h"

/* ------------------------------------------------------------------ anchors */

static void
test_anchor(void **state)
{
	struct world *w = *state;

	world_anchor(w, w->good.line[59]);
	world_anchor(w, w->good.line[99]);
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->anchors_found, 2);
}

/* A cut end looks like a shorter log. */
static void
test_cut_end(void **state)
{
	struct world *w = *state;

	w->file[0].to = 45;
	world_expect(w, VERIFY_GOOD, "");
	world_tear_down(state);
	world_set_up(state);
	world_anchor(w, w->good.line[59]);
	w->file[0].to = 45;
	world_expect(w, VERIFY_BROKEN, "anchor_cut 45 @audit.jsonl:45");
}

/* Edited and signed anew with the very key, as root can. */
static void
test_anchor_and_the_real_key(void **state)
{
	struct world *w = *state;

	maker_replace(&w->log, 49, "\"uid\":", "\"uid\":1");
	maker_rechain(&w->log, 49, w->key);
	world_expect(w, VERIFY_GOOD, "");
	verify_free(w->verify);
	world_anchor(w, w->good.line[79]);
	world_expect(w, VERIFY_BROKEN, "anchor_differs 80 @audit.jsonl:80");
}

static void
test_anchor_dropped(void **state)
{
	struct world *w = *state;

	world_anchor(w, w->good.line[59]);
	maker_drop(&w->log, 59, 1);
	world_expect(w, VERIFY_BROKEN, "missing 60 @audit.jsonl:60; "
	    "anchor_missing 60 @audit.jsonl:0");
}

static void
test_anchor_older(void **state)
{
	struct world *w = *state;

	world_anchor(w, w->good.line[19]);
	w->file[0].from = 40;
	world_expect(w, VERIFY_UNKNOWN, "");
	assert_int_equal(verify_sum(w->verify)->anchors_older, 1);
}

/* The line in front of the first one is an anchor: it can be checked. */
static void
test_anchor_before_the_first(void **state)
{
	struct world *w = *state;

	world_anchor(w, w->good.line[39]);
	w->file[0].from = 40;
	maker_replace(&w->log, 40, "\"uid\":", "\"uid\":1");
	world_expect(w, VERIFY_BROKEN, "edited 41 @audit.jsonl:1");
}

static void
test_bad_anchor(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;
	struct anchors *a = anchors_new();
	FILE *f = fopen(w->anchor_path, "we");

	fprintf(f, "%s\n%s\n", w->good.line[19], w->good.line[20]);
	fclose(f);
	assert_int_equal(anchors_load(a, w->anchor_path, &err), -1);
	assert_int_equal(err.code, TB_E_BADREQ);
	assert_non_null(strstr(err.msg, ":2: no checkpoint line"));
	anchors_free(a);
}

/* -------------------------------------------------------------------- files */

static void
split(struct world *w)
{
	w->file[0] = (struct file){ "a40", 40, 0, 40 };
	w->file[1] = (struct file){ "a80", 80, 40, 80 };
	w->file[2] = (struct file){ "audit.jsonl", 0, 80, N };
	w->n_files = 3;
}

static void
test_files(void **state)
{
	struct world *w = *state;

	split(w);
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->files, 3);
}

static void
test_file_dropped(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[1] = w->file[2];
	w->n_files = 2;
	world_expect(w, VERIFY_BROKEN, "file_missing 41-80 @audit.jsonl:1");
}

static void
test_first_file_gone(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[0] = w->file[1];
	w->file[1] = w->file[2];
	w->n_files = 2;
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->first_seq, 41);
	assert_true(verify_sum(w->verify)->first_unchecked);
}

static void
test_file_cut(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[1].to = 70;
	world_expect(w, VERIFY_BROKEN, "cut 71-80 @a80:30");
}

static void
test_file_cut_and_next_begins_late(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[1].to = 70;
	w->file[2].from = 85;
	world_expect(w, VERIFY_BROKEN, "cut 71-80 @a80:30; file_missing 81-85 "
	    "@audit.jsonl:1");
}

static void
test_last_file_cut(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[1].to = 70;
	w->n_files = 2;
	world_expect(w, VERIFY_BROKEN, "cut 71-80 @a80:30");
}

static void
test_files_swapped(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[0].from = 40;
	w->file[0].to = 80;
	w->file[1].from = 0;
	w->file[1].to = 40;
	world_expect(w, VERIFY_BROKEN, "moved 1-40 @a80:1-40");
}

static void
test_file_twice(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[2] = w->file[1];
	w->file[2].name = "copy";
	w->file[3] = (struct file){ "audit.jsonl", 0, 80, N };
	w->n_files = 4;
	world_expect(w, VERIFY_BROKEN, "duplicate 41-80 @copy:1-40");
}

/* A condemned file that could not be cut repeats the beginning of the next
 * one, and may end anyhow. */
static void
test_condemned(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[0].to = 47;
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->ignored, 7);
	world_tear_down(state);
	world_set_up(state);
	split(w);
	w->file[0].to = 47;
	maker_insert(&w->log, 45, "rubbish");
	w->file[1] = (struct file){ "a80", 80, 41, 81 };
	maker_drop(&w->log, 45, 1);
	w->file[1] = (struct file){ "a80", 80, 40, 80 };
	world_expect(w, VERIFY_GOOD, "");
}

/* Only what is behind its last line does not count. */
static void
test_condemned_and_edited(void **state)
{
	struct world *w = *state;

	split(w);
	w->file[0].to = 47;
	maker_replace(&w->log, 38, "\"uid\":", "\"uid\":1");
	world_expect(w, VERIFY_BROKEN, "edited 39 @a40:39");
}

static void
test_torn(void **state)
{
	struct world *w = *state;

	w->torn = 17;
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->torn_bytes, 17);
}

static void
test_lost(void **state)
{
	struct world *w = *state;

	maker_add(&w->log, "\"event\":\"lost\",\"count\":12");
	maker_add(&w->log, "\"event\":\"disk_recovered\",\"count\":3");
	world_expect(w, VERIFY_GOOD, "");
	assert_int_equal(verify_sum(w->verify)->lost, 15);
}

/* The daemon has deleted old files and says how they ended. */
static void
test_first_file_removed(void **state)
{
	static const char name[] = "audit-00000000000000000040.jsonl";
	struct world *w = *state;
	_cleanup_free_ char *members = NULL;
	int edited;

	members = xasprintf("\"event\":\"files_removed\",\"file\":\"%s\","
	    "\"last_hash\":\"%.64s\"", name, w->good.line[39] +
	    strlen(w->good.line[39]) - 66);
	for (edited = 0; edited < 2; edited++) {
		world_tear_down(state);
		world_set_up(state);
		w->file[0].from = 40;
		maker_add(&w->log, members);
		if (edited)
			maker_replace(&w->log, 40, "\"uid\":", "\"uid\":1");
		world_expect(w, edited ? VERIFY_BROKEN : VERIFY_GOOD,
		    edited ? "edited 41 @audit.jsonl:1" : "");
		assert_false(verify_sum(w->verify)->first_unchecked);
	}
}

/* Every finding can be told, and none twice for one place. */
static void
test_texts(void **state)
{
	struct world *w = *state;
	const struct findings *f;
	size_t i;

	maker_replace(&w->log, 89, "\"uid\":", "\"uid\":1");
	maker_drop(&w->log, 49, 2);
	maker_insert(&w->log, 30, w->log.line[28]);
	world_anchor(w, w->good.line[99]);
	w->file[0].to = 95;
	world_feed(w);
	f = verify_findings(w->verify);
	assert_int_equal(f->n, 4);
	for (i = 0; i < f->n; i++) {
		struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

		finding_add_text(&f->list[i], &b);
		assert_non_null(strstr(b.s, "audit.jsonl:"));
		assert_non_null(strstr(b.s, ": seq "));
		strbuf_reset(&b);
		finding_add_json(&f->list[i], &b);
		assert_int_equal(b.s[b.len - 1], '}');
	}
}

/* Any number of breaks is counted, some are kept. */
static void
test_very_many(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;
	struct scan scan;
	size_t i;

	w->verify = verify_new(w->keys, NULL, &err);
	verify_file(w->verify, "audit.jsonl", 0);
	for (i = 0; i < 3000; i++) {
		verify_line(w->verify, "x", 1, &scan);
		verify_line(w->verify, w->log.line[i % 2],
		    strlen(w->log.line[i % 2]), &scan);
	}
	verify_end(w->verify);
	assert_int_equal(verify_findings(w->verify)->n, FINDINGS_MAX);
	assert_true(findings_count(verify_findings(w->verify)) > 5000);
	assert_int_equal(verify_status(w->verify), VERIFY_BROKEN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_CASE(test_anchor),
		WORLD_CASE(test_cut_end),
		WORLD_CASE(test_anchor_and_the_real_key),
		WORLD_CASE(test_anchor_dropped),
		WORLD_CASE(test_anchor_older),
		WORLD_CASE(test_anchor_before_the_first),
		WORLD_CASE(test_bad_anchor),
		WORLD_CASE(test_files),
		WORLD_CASE(test_file_dropped),
		WORLD_CASE(test_first_file_gone),
		WORLD_CASE(test_file_cut),
		WORLD_CASE(test_file_cut_and_next_begins_late),
		WORLD_CASE(test_last_file_cut),
		WORLD_CASE(test_files_swapped),
		WORLD_CASE(test_file_twice),
		WORLD_CASE(test_condemned),
		WORLD_CASE(test_condemned_and_edited),
		WORLD_CASE(test_torn),
		WORLD_CASE(test_lost),
		WORLD_CASE(test_first_file_removed),
		WORLD_CASE(test_texts),
		WORLD_CASE(test_very_many),
	};

	return cmocka_run_group_tests(tests, world_begin, world_end);
}
