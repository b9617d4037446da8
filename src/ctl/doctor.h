/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * doctor - looks at the wiring between this host, systemd, the daemon and the
 * consumers, end to end, and says for each finding what to do. It changes
 * nothing. What it may not see it says, too: run as root it sees all.
 *
 * Each doctor_*.c is one area and adds findings; cmd_doctor.c calls them in
 * order and prints.
 */
#include "base/strbuf.h"
#include "ctl/ask.h"

struct unitfile;

enum finding_level {
	FINDING_OK,
	FINDING_WARN, /* works, and may fail one day */
	FINDING_FAIL,
	FINDING_UNSEEN, /* not for these eyes */
};

struct finding {
	enum finding_level level;
	const char *area;
	char *text;
	char *todo; /* NULL: nothing */
};

struct doctor {
	struct ctl *ctl;
	struct finding *findings;
	size_t n;
	/* As `tokenbrokerd --dump` tells, else the defaults. */
	char *state_dir, *log_dir, *admin_group, *auditor_group, *key_file;
	struct unitfile *conf; /* all of that dump, or NULL */
	bool has_systemd;      /* it is PID 1 */
	bool daemon_answers;
};

/* todo: what to do, or NULL. */
void doctor_add(struct doctor *d, enum finding_level level, const char *area,
    const char *todo, const char *fmt, ...) _printf_(5, 6);
/* As above; todo is taken. */
void doctor_add_take(struct doctor *d, enum finding_level level,
    const char *area, char *todo, const char *fmt, ...) _printf_(5, 6);
size_t doctor_count(const struct doctor *d, enum finding_level level);
/* One "KEY=VALUE" of `systemctl show`'s output, owned by the caller; NULL:
 * it is not there. Pure. */
char *doctor_property(const char *text, const char *key);
/* `systemctl ARG...`; NULL: it failed. Owned by the caller. */
char *doctor_systemctl(const char *const *argv);

void doctor_host(struct doctor *d);    /* kernel, control groups, clock */
void doctor_conf(struct doctor *d);    /* the daemon's view of its files */
void doctor_files(struct doctor *d);   /* sockets, directories, key, groups */
void doctor_influxctl(struct doctor *d); /* the helper, if one is wanted */
void doctor_service(struct doctor *d); /* our own units */
void doctor_daemon(struct doctor *d);  /* what it says of itself */
void doctor_units(struct doctor *d);   /* the consumers */

/* Of text of `systemctl show -p Id -p After UNIT...`: adds the units that
 * stand behind After= to `out`, one a line, if they are not there. Pure. */
void doctor_add_after(const char *text, struct strbuf *out);
bool doctor_has_line(const struct strbuf *lines, const char *line);
/* What the consumer of this name, with these files, does wrong. Pure but for
 * what is in d. behind: the units that our service is ordered after. */
void doctor_judge_unit(struct doctor *d, const char *name,
    const struct unitfile *u, const struct strbuf *behind);
