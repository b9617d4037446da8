/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor - everything between this host, systemd, the daemon and its
 * consumers, one line per finding, worst last.
 */
#include "ctl/command.h"
#include "ctl/doctor.h"
#include "ctl/term.h"
#include "ctl/unitfile.h"

#define TEXT_COLUMN 18

enum { DOCTOR_JSON, DOCTOR_QUIET, N_DOCTOR };
static const struct opt_spec doctor_opts[N_DOCTOR] = {
	{ "json", 0, OPT_FLAG, NULL, "as JSON" },
	{ "quiet", 'q', OPT_FLAG, NULL, "only what is not good" },
};

static const struct {
	const char *name, *mark;
	enum term_colour colour;
} levels[] = {
	[FINDING_OK] = { "ok", "ok  ", TERM_GREEN },
	[FINDING_WARN] = { "warn", "warn", TERM_YELLOW },
	[FINDING_FAIL] = { "fail", "FAIL", TERM_RED },
	[FINDING_UNSEEN] = { "unseen", "?   ", TERM_DIM },
};

static void
print_json(const struct doctor *d)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct finding *f;
	size_t i;

	strbuf_addf(&b, "{\"ok\":%s,\"findings\":[",
	    doctor_count(d, FINDING_FAIL) ? "false" : "true");
	for (i = 0; i < d->n; i++) {
		f = &d->findings[i];
		strbuf_addf(&b, "%s{\"level\":\"%s\",\"area\":\"%s\","
		    "\"text\":", i ? "," : "", levels[f->level].name, f->area);
		strbuf_add_json(&b, f->text);
		strbuf_adds(&b, ",\"todo\":");
		strbuf_add_json(&b, f->todo);
		strbuf_addc(&b, '}');
	}
	strbuf_adds(&b, "]}\n");
	fputs(strbuf_str(&b), stdout);
}

/* With its line end; on a terminal within its columns. */
static void
add_text(struct strbuf *b, const char *text, const struct term *t,
    unsigned column)
{
	struct strbuf clean _cleanup_(strbuf_clear) = STRBUF_INIT;

	term_add_clean(&clean, text, t->utf8);
	if (t->is_terminal)
		term_add_folded(b, strbuf_str(&clean), t->columns, column,
		    column);
	else
		strbuf_adds(b, strbuf_str(&clean));
	strbuf_addc(b, '\n');
}

static void
print_level(const struct doctor *d, enum finding_level level,
    const struct term *t)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct finding *f;
	size_t i;

	for (i = 0; i < d->n; i++) {
		f = &d->findings[i];
		if (f->level != level)
			continue;
		strbuf_addf(&b, "%s%s%s  %-12s", term_on(t,
		    levels[level].colour), levels[level].mark, term_off(t),
		    f->area);
		add_text(&b, f->text, t, TEXT_COLUMN);
		if (f->todo) {
			strbuf_addf(&b, "%-*s-> ", TEXT_COLUMN, "");
			add_text(&b, f->todo, t, TEXT_COLUMN + 3);
		}
	}
	fputs(strbuf_str(&b), stdout);
}

static void
print_screen(const struct doctor *d, bool quiet)
{
	struct term t;

	term_init(&t, STDOUT_FILENO);
	if (!quiet)
		print_level(d, FINDING_OK, &t);
	print_level(d, FINDING_UNSEEN, &t);
	print_level(d, FINDING_WARN, &t);
	print_level(d, FINDING_FAIL, &t);
	if (!quiet)
		printf("\n%zu ok, %zu not seen, %zu to think about, %zu to "
		    "mend\n", doctor_count(d, FINDING_OK),
		    doctor_count(d, FINDING_UNSEEN),
		    doctor_count(d, FINDING_WARN),
		    doctor_count(d, FINDING_FAIL));
}

static void
clear(struct doctor *d)
{
	size_t i;

	for (i = 0; i < d->n; i++) {
		free(d->findings[i].text);
		free(d->findings[i].todo);
	}
	free(d->findings);
	free(d->state_dir);
	free(d->log_dir);
	free(d->admin_group);
	free(d->auditor_group);
	free(d->key_file);
	if (d->conf)
		unitfile_clear(d->conf);
	free(d->conf);
}

static enum ctl_exit
do_doctor(struct ctl *ctl, const struct args *args)
{
	struct doctor d = { .ctl = ctl,
		.state_dir = xstrdup(LOCALSTATEDIR "/lib/tokenbroker"),
		.log_dir = xstrdup(LOCALSTATEDIR "/log/tokenbroker"),
		.admin_group = xstrdup("tokenbroker-admin"),
		.auditor_group = xstrdup("tokenbroker-auditor") };
	enum ctl_exit e;

	doctor_conf(&d);
	doctor_host(&d);
	doctor_service(&d);
	doctor_daemon(&d);
	doctor_files(&d);
	doctor_influxctl(&d);
	doctor_units(&d);
	if (args->opt[DOCTOR_JSON].set)
		print_json(&d);
	else
		print_screen(&d, args->opt[DOCTOR_QUIET].set);
	e = doctor_count(&d, FINDING_FAIL) ? CTL_FAILED : CTL_OK;
	clear(&d);
	return e;
}

const struct command cmd_doctor = {
	.name = "doctor", .synopsis = "[--json] [--quiet]",
	.summary = "Look at the wiring from end to end, and say what to do",
	.help = "Run as root it sees everything. Exit status 0: nothing is "
	    "broken; 1: something is.",
	.opts = doctor_opts, .n_opts = N_DOCTOR, .fn = do_doctor,
};
