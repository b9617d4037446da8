/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - see the header.
 */
#include "audit/report.h"

#include <inttypes.h>

#include "audit/verify.h"
#include "base/timefmt.h"

#define HOLDER_WIDTH 28
#define TIME_WIDTH 17 /* to the minute: a row fits 80 columns */

void
report_add_clean(const struct report *r, const char *text, struct strbuf *out)
{
	term_add_clean(out, text ? text : "-", r->term.utf8);
}

static void
add_spaces(struct strbuf *out, int n)
{
	while (n-- > 0)
		strbuf_addc(out, ' ');
}

/* "telegraf.service (uid 997)" */
static void
add_principal(const struct report *r, const struct holder *one,
    struct strbuf *out)
{
	size_t start = out->len;

	if (one->container)
		strbuf_adds(out, "container ");
	else if (one->unit)
		report_add_clean(r, one->unit, out);
	if (one->unit && !one->container)
		strbuf_addc(out, ' ');
	strbuf_addf(out, one->unit || one->container ? "(uid %" PRIu32 ")" :
	    "uid %" PRIu32, one->uid);
	do {
		strbuf_addc(out, ' ');
	} while (out->len - start < HOLDER_WIDTH);
}

static void
add_when(const struct report *r, int64_t at, struct strbuf *out)
{
	char buf[PRINT_TIME_SIZE];

	print_time(at, r->local, buf);
	if (at > 0)
		strcpy(buf + TIME_WIDTH - 1, r->local ? "" : "Z");
	strbuf_addf(out, "%-*s ", TIME_WIDTH, buf);
}

static void
add_holder(const struct report *r, const struct holder *one, int indent,
    struct strbuf *out)
{
	add_spaces(out, indent - 2);
	strbuf_adds(out, r->matched_only && one->matched ? "* " : "  ");
	add_principal(r, one, out);
	add_when(r, one->first, out);
	add_when(r, one->last, out);
	strbuf_addf(out, "%5" PRIu64, one->releases);
	if (one->unconfirmed)
		strbuf_addf(out, " (%" PRIu64 " not confirmed)",
		    one->unconfirmed);
	if (one->delivery) {
		strbuf_addc(out, ' ');
		report_add_clean(r, one->delivery, out);
	}
	strbuf_addc(out, '\n');
}

static void
add_life(const struct report *r, const struct held *g, struct strbuf *out)
{
	enum held_state state = held_state(g, r->at);
	char when[PRINT_TIME_SIZE], left[64];

	strbuf_adds(out, held_state_name(state));
	if (state == HELD_REVOKED || state == HELD_FORGOTTEN)
		strbuf_addf(out, " %s", print_time(g->revoked, r->local,
		    when));
	if (state == HELD_FORGOTTEN)
		strbuf_adds(out, ", which its service cannot do");
	strbuf_addf(out, ", expires %s", g->expires ?
	    print_time(g->expires, r->local, when) : "at an unknown time");
	if (held_is_alive(state) && g->expires)
		strbuf_addf(out, " (in %s)", timefmt_duration(1000 *
		    (g->expires - r->at), left, sizeof(left)));
}

void
report_add_text(const struct report *r, const struct held *g, int indent,
    struct strbuf *out)
{
	char when[PRINT_TIME_SIZE];
	bool any = false;
	size_t i;

	add_spaces(out, indent);
	report_add_clean(r, g->token, out);
	strbuf_addf(out, " #%" PRIu64 "  ", g->generation);
	add_life(r, g, out);
	strbuf_addc(out, '\n');
	if (g->minted) {
		add_spaces(out, indent + 2);
		strbuf_addf(out, "%s %s", g->imported ? "imported" : "minted",
		    print_time(g->minted, r->local, when));
		if (g->login) {
			strbuf_adds(out, " on login ");
			report_add_clean(r, g->login, out);
		}
		strbuf_addc(out, '\n');
	}
	if (g->token_id) {
		add_spaces(out, indent + 2);
		strbuf_adds(out, "id ");
		report_add_clean(r, g->token_id, out);
		strbuf_addc(out, '\n');
	}
	for (i = 0; i < g->n_holders; i++) {
		if (g->holder[i]->releases == 0)
			continue;
		if (!any) {
			add_spaces(out, indent + 2);
			strbuf_addf(out, "%-*s%-*s %-*s TIMES TO\n", HOLDER_WIDTH,
			    "HOLDER", TIME_WIDTH, "FIRST", TIME_WIDTH,
			    "LAST");
		}
		any = true;
		add_holder(r, g->holder[i], indent + 2, out);
	}
	if (!any) {
		add_spaces(out, indent + 2);
		strbuf_adds(out, "released to nobody\n");
	}
}

/* ------------------------------------------------------------------- JSON */

void
report_add_member(struct strbuf *out, const char *name, const char *text)
{
	if (!text)
		return;
	strbuf_addf(out, ",\"%s\":", name);
	strbuf_add_json(out, text);
}

void
report_add_time(struct strbuf *out, const char *name, int64_t epoch_s)
{
	char buf[TIMEFMT_SIZE];

	if (epoch_s > 0)
		report_add_member(out, name, timefmt_rfc3339(epoch_s, buf,
		    sizeof(buf)));
}

static void
add_holder_json(const struct holder *one, struct strbuf *out)
{
	strbuf_addf(out, "{\"uid\":%" PRIu32 ",\"gid\":%" PRIu32, one->uid,
	    one->gid);
	report_add_member(out, "unit", one->unit);
	report_add_member(out, "strength", one->unit ? one->strength : NULL);
	if (one->container)
		strbuf_adds(out, ",\"container\":true");
	report_add_time(out, "first", one->first);
	report_add_time(out, "last", one->last);
	strbuf_addf(out, ",\"releases\":%" PRIu64 ",\"unconfirmed\":%" PRIu64,
	    one->releases, one->unconfirmed);
	report_add_member(out, "delivery", one->delivery);
	strbuf_addf(out, ",\"matched\":%s}", one->matched ? "true" : "false");
}

void
report_add_json(const struct report *r, const struct held *g,
    struct strbuf *out)
{
	const char *comma = "";
	size_t i;

	strbuf_adds(out, "\"token\":");
	strbuf_add_json(out, g->token);
	strbuf_addf(out, ",\"generation\":%" PRIu64, g->generation);
	report_add_member(out, "state", held_state_name(held_state(g, r->at)));
	report_add_member(out, "token_id", g->token_id);
	report_add_member(out, "fingerprint", g->fingerprint);
	report_add_member(out, "backend", g->backend);
	report_add_member(out, "login", g->login);
	report_add_member(out, "human", g->human);
	report_add_time(out, g->imported ? "imported_at" : "minted_at",
	    g->minted);
	report_add_time(out, "expires_at", g->expires);
	report_add_time(out, "revoked_at", g->revoked);
	strbuf_adds(out, ",\"holders\":[");
	for (i = 0; i < g->n_holders; i++) {
		if (g->holder[i]->releases == 0)
			continue;
		strbuf_adds(out, comma);
		add_holder_json(g->holder[i], out);
		comma = ",";
	}
	strbuf_addc(out, ']');
}

void
report_add_log(const struct verify *v, struct strbuf *out)
{
	const struct verify_sum *s = verify_sum(v);

	strbuf_addf(out, "\"log\":{\"first_seq\":%" PRIu64 ",\"last_seq\":%"
	    PRIu64 ",\"signed_seq\":%" PRIu64 ",\"broken\":%" PRIu64 "}",
	    s->first_seq, s->last_seq, s->signed_seq,
	    findings_count(verify_findings(v)));
}
