/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_list - the record store/list: every record's file with the versions
 * it may have. It is how a start notices a record that is older than it was, is
 * gone, or is back.
 *
 *	tokenbroker records 1
 *	LOW HIGH STATE FILE        STATE: "live" or "dead"
 *
 * Its own version is above all in it. A record that is newer than the list is
 * right, so a put needs no list: one follows a second later, and at stop. A
 * file that is gone cannot tell: so a list goes ahead of each deletion, in
 * which the file is dead, that is, may be there or not. While a write is under
 * way LOW is what was durable before it.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "lib/seal.h"
#include "state/recfile.h"
#include "state/store_int.h"
#include "state/writer.h"

#define LIST_HEAD_LINE "tokenbroker records 1\n"
/* After a change; and after a list that could not be written. */
#define LIST_DELAY_MS 1000
#define LIST_AGAIN_MS 5000
/* The next list may be longer. */
#define LIST_GROWTH ((size_t)16 << 10)

static void
list_encode(const struct store *s, struct secret *out)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&b, LIST_HEAD_LINE);
	for (size_t i = 0; i < s->table.n; i++) {
		const struct store_entry *e = &s->table.e[i];

		strbuf_addf(&b, "%" PRIu64 " %" PRIu64 " %s %s\n", e->low,
		    e->high, e->dead ? "dead" : "live", e->file);
	}
	secret_set(out, b.s, b.len);
}

static int
list_parse_line(char *line, struct store_table *t, struct tb_error *err)
{
	char state[8];
	uint64_t low, high;
	struct store_entry *e;
	int at = 0;

	if (sscanf(line, "%" SCNu64 " %" SCNu64 " %7s %n", &low, &high, state,
		&at) != 3 || !line[at] || low > high)
		return tb_error_set(err, TB_E_PROTO,
		    "the list of records cannot be read");
	e = store_add(t, line + at);
	e->low = low;
	e->high = e->last = high;
	e->dead = streq(state, "dead");
	return 0;
}

int
store_list_decode(const struct secret *plain, struct store_table *t,
    struct tb_error *err)
{
	_cleanup_free_ char *text = xstrndup(secret_reveal(plain), plain->len);
	char *rest, *line;

	if (strncmp(text, LIST_HEAD_LINE, sizeof(LIST_HEAD_LINE) - 1) != 0)
		return tb_error_set(err, TB_E_CONFIG, "the list of records is "
		    "of a later version of tokenbroker");
	for (line = strtok_r(text + sizeof(LIST_HEAD_LINE) - 1, "\n", &rest);
	    line; line = strtok_r(NULL, "\n", &rest))
		if (list_parse_line(line, t, err) < 0)
			return -1;
	return 0;
}

void
store_list_written(struct store *s, const struct tb_error *err)
{
	if (!err)
		return;
	s->list_is_behind = true;
	loop_timer_set(&s->list_timer, LIST_AGAIN_MS);
}

void
store_list_put(struct store *s)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	struct writer_rec rec = { .kind = WRITER_RECORD, .is_list = true,
		.version = ++s->version, .seen = true };
	struct tb_error err = TB_ERROR_INIT;

	list_encode(s, &plain);
	if (seal_close(s->seal, STORE_KIND "/" STORE_LIST, rec.version, &plain,
		&rec.bytes, &rec.len, &err) < 0) {
		log_error("store", "the list of records: %s", err.msg);
		return;
	}
	rec.name = store_file_name(STORE_KIND, STORE_LIST);
	rec.room_for = xstrdup(rec.name);
	rec.room = rec.len + LIST_GROWTH;
	s->list_is_behind = false;
	writer_put(s->writer, &rec, NULL, NULL);
}

void
store_list_touch(struct store *s)
{
	s->list_is_behind = true;
	if (!loop_timer_is_set(&s->list_timer))
		loop_timer_set(&s->list_timer, LIST_DELAY_MS);
}

static void
list_on_timer(void *arg)
{
	struct store *s = arg;

	if (s->list_is_behind)
		store_list_put(s);
}

void
store_list_init(struct store *s)
{
	loop_timer_init(&s->list_timer, s->loop, list_on_timer, s);
}
