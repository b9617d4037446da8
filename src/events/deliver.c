/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deliver - see the header; and standard output.
 */
#include "events/deliver.h"

#include <errno.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "ctl/term.h"

#define TIME_CHARS 19 /* 2026-11-22T17:20:00 */
#define TYPE_WIDTH 15

static const char *
text(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

/* One line for people. */
static void
add_line(struct strbuf *b, const json_t *event, bool utf8)
{
	const char *next = text(event, "next");
	size_t at;

	strbuf_addf(b, "%.*sZ  ", TIME_CHARS, text(event, "timestamp"));
	at = b->len;
	term_add_clean(b, text(event, "type"), utf8);
	if (json_object_get(event, "reminder"))
		strbuf_adds(b, " (still)");
	while (b->len < at + TYPE_WIDTH + 2)
		strbuf_addc(b, ' ');
	term_add_clean(b, text(event, "text"), utf8);
	if (*next) {
		strbuf_addc(b, ' ');
		term_add_clean(b, next, utf8);
	}
	strbuf_addc(b, '\n');
}

static int
deliver_print(const struct deliver *d, const json_t *event,
    struct tb_error *err)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *json = NULL;
	struct term term;

	if (d->how == DELIVER_JSON) {
		json = json_dumps(event, JSON_COMPACT);
		strbuf_addf(&b, "%s\n", json ? json : "null");
	} else {
		term_init(&term, STDOUT_FILENO);
		add_line(&b, event, term.utf8);
	}
	if (fputs(strbuf_str(&b), stdout) < 0 || fflush(stdout) != 0)
		return tb_error_errno(err, TB_E_CANCELLED, errno,
		    "cannot write to standard output");
	return 0;
}

int
deliver(struct deliver *d, const json_t *event, struct tb_error *err)
{
	switch (d->how) {
	case DELIVER_TEXT:
	case DELIVER_JSON:
		break;
	case DELIVER_EXEC:
		return deliver_exec(d, event, err);
	case DELIVER_POST:
		return deliver_post(d, event, err);
	}
	return deliver_print(d, event, err);
}
