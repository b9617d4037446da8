/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inventory - see the header.
 */
#include "ctl/inventory.h"

#include <inttypes.h>

#include "base/tb_error.h"
#include "ctl/jval.h"
#include "ctl/phrase.h"

#define INDENT 5
#define HOLDER_WIDTH 28
#define DOORS_WIDTH 14
#define WHEN_WIDTH 11

enum ctl_exit
inventory_ask(struct ctl *ctl, struct reply *raw, struct json_t **out)
{
	static const struct ask a = { .door = ASK_ADMIN,
		.path = "/api/v1/tokens" };
	struct tb_error err = TB_ERROR_INIT;
	enum ctl_exit e = ask(ctl, &a, raw);

	if (e != CTL_OK)
		return e;
	*out = jval_parse(&raw->body, &err);
	return *out ? CTL_OK : ctl_fail(ctl, &err);
}

/* Of the answer's list; NULL: there is none of this name. */
static const struct json_t *
inventory_token(const struct json_t *answer, const char *name)
{
	const struct json_t *list = jval_list(answer, "tokens"), *one;

	for (size_t i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		if (streq(jval_name(one), name))
			return one;
	}
	return NULL;
}

const struct json_t *
inventory_must_have(const struct ctl *ctl, const struct json_t *answer,
    const char *name, enum ctl_exit *e)
{
	const struct json_t *one = inventory_token(answer, name);

	if (!one) {
		ctl_complain(ctl, "there is no token '%.60s' in the "
		    "configuration", name);
		*e = CTL_DENIED;
	}
	return one;
}

/* ----------------------------------------------------------------- holders */

static void
add_padded(struct strbuf *b, const char *text, size_t width, bool utf8)
{
	struct strbuf clean _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t w;

	term_add_clean(&clean, text, utf8);
	w = term_width(strbuf_str(&clean));
	strbuf_addf(b, "%s%*s", strbuf_str(&clean), w < width ?
	    (int)(width - w) : 0, "");
}

static void
add_doors(struct strbuf *b, const struct json_t *doors)
{
	for (size_t i = 0; i < jval_size(doors); i++) {
		const char *name = jval_text(jval_at(doors, i));

		strbuf_addf(b, "%s%s", i ? "+" : "", name ? name : "?");
	}
}

/* What is worth to know: "static, has #3". */
static void
add_note(struct strbuf *b, const struct json_t *h)
{
	const char *keeps = jval_str(h, "keeps_it");
	int64_t newer = jval_int(h, "has_newer", 0);

	if (jval_is_true(h, "over")) {
		strbuf_adds(b, "ended");
		return;
	}
	if (streq(keeps, "run"))
		strbuf_adds(b, "static");
	else if (streq(keeps, "kept"))
		strbuf_adds(b, "kept");
	if (newer)
		strbuf_addf(b, "%shas #%" PRId64, b->len ? ", " : "", newer);
}

static void
add_holder(struct strbuf *b, const struct json_t *h, int64_t now, bool utf8)
{
	struct strbuf doors _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf note _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *name = jval_str(h, "holder");
	int64_t last = jval_time(h, "last");
	char when[PHRASE_SIZE] = "";

	if (!name)
		return;
	strbuf_addf(b, "%*s", INDENT, "");
	add_padded(b, name, HOLDER_WIDTH, utf8);
	if (term_width(name) > HOLDER_WIDTH)
		strbuf_addf(b, "\n%*s", INDENT + HOLDER_WIDTH, "");
	add_doors(&doors, jval_list(jval_get(h, "doors"), "doors"));
	add_note(&note, h);
	if (last)
		phrase_when(MIN2(last - now, 0), when, sizeof(when));
	strbuf_addf(b, "  ");
	add_padded(b, strbuf_str(&doors), DOORS_WIDTH, utf8);
	strbuf_addf(b, "  ");
	add_padded(b, when, note.len ? WHEN_WIDTH : 0, utf8);
	if (note.len) {
		strbuf_addf(b, "  ");
		term_add_clean(b, strbuf_str(&note), utf8);
	}
	strbuf_addc(b, '\n');
}

void
inventory_add_holders(struct strbuf *b, const struct json_t *generation,
    int64_t now, bool utf8)
{
	const struct json_t *list = jval_list(jval_get(generation, "holders"),
	    "holders");
	int64_t more = jval_int(generation, "more_holders", 0);

	for (size_t i = 0; i < jval_size(list); i++)
		add_holder(b, jval_at(list, i), now, utf8);
	if (more)
		strbuf_addf(b, "%*sand others, %" PRId64 " time%s: more than "
		    "are kept in mind\n", INDENT, "", more,
		    more == 1 ? "" : "s");
	if (jval_is_true(generation, "holders_unsure"))
		strbuf_addf(b, "%*sperhaps others: not all is known from "
		    "before a crash\n", INDENT, "");
	else if (list && jval_size(list) == 0 && !more)
		strbuf_addf(b, "%*snobody has it\n", INDENT, "");
}
