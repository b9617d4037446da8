/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_world - see the header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify_world.h"

int
world_begin(void **state)
{
	struct world *w = xnew(struct world);

	*state = w;
	w->key = maker_key(1);
	w->other = maker_key(2);
	snprintf(w->key_path, sizeof(w->key_path), "/tmp/tb-key-%d",
	    (int)getpid());
	snprintf(w->anchor_path, sizeof(w->anchor_path), "/tmp/tb-anchor-%d",
	    (int)getpid());
	maker_write_key(w->key_path, w->key, false);
	maker_fill(&w->good, N, EVERY, w->key);
	return 0;
}

int
world_end(void **state)
{
	struct world *w = *state;

	unlink(w->key_path);
	unlink(w->anchor_path);
	maker_clear(&w->good);
	EVP_PKEY_free(w->key);
	EVP_PKEY_free(w->other);
	free(w);
	return 0;
}

int
world_set_up(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;

	maker_copy(&w->log, &w->good);
	w->keys = keys_new();
	assert_int_equal(keys_load(w->keys, w->key_path, &err), 0);
	w->file[0] = (struct file){ "audit.jsonl", 0, 0, 0 };
	w->n_files = 1;
	w->anchors = NULL;
	w->verify = NULL;
	w->torn = 0;
	return 0;
}

int
world_tear_down(void **state)
{
	struct world *w = *state;

	verify_free(w->verify);
	keys_free(w->keys);
	anchors_free(w->anchors);
	maker_clear(&w->log);
	return 0;
}

void
world_feed(struct world *w)
{
	struct tb_error err = TB_ERROR_INIT;
	struct scan scan;
	size_t i, j, to;

	w->verify = verify_new(w->keys, w->anchors, &err);
	assert_non_null(w->verify);
	for (i = 0; i < w->n_files; i++) {
		verify_file(w->verify, w->file[i].name, w->file[i].last_seq);
		to = w->file[i].to ? w->file[i].to : w->log.n;
		for (j = w->file[i].from; j < to; j++)
			verify_line(w->verify, w->log.line[j],
			    strlen(w->log.line[j]), &scan);
	}
	if (w->torn)
		verify_rest(w->verify, w->torn, true);
	verify_end(w->verify);
}

void
world_anchor(struct world *w, const char *line)
{
	struct tb_error err = TB_ERROR_INIT;
	FILE *f = fopen(w->anchor_path, "we");

	fprintf(f, "# kept elsewhere\n\n%s\n", line);
	fclose(f);
	if (!w->anchors)
		w->anchors = anchors_new();
	assert_int_equal(anchors_load(w->anchors, w->anchor_path, &err), 0);
}

/* "edited 3:3 5" for each that counts: kind, first seq, file line. */
static char *
found(const struct world *w)
{
	const struct findings *f = verify_findings(w->verify);
	struct strbuf b = STRBUF_INIT;
	size_t i;

	for (i = 0; i < f->n; i++) {
		if (f->list[i].gone)
			continue;
		strbuf_addf(&b, "%s%s %zu", b.len ? "; " : "",
		    finding_name(f->list[i].kind), (size_t)f->list[i].seq);
		if (f->list[i].seq_to != f->list[i].seq)
			strbuf_addf(&b, "-%zu", (size_t)f->list[i].seq_to);
		strbuf_addf(&b, " @%s:%zu", f->list[i].file,
		    (size_t)f->list[i].line);
		if (f->list[i].line_to != f->list[i].line)
			strbuf_addf(&b, "-%zu", (size_t)f->list[i].line_to);
	}
	return strbuf_steal(&b);
}

void
world_expect(struct world *w, enum verify_status status, const char *what)
{
	_cleanup_free_ char *text = NULL;

	world_feed(w);
	text = found(w);
	assert_string_equal(text, what);
	assert_int_equal(verify_status(w->verify), status);
}
