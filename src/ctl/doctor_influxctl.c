/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_influxctl - where a backend has management_driver = influxctl: is the
 * helper's socket there, and something for it to run?
 */
#include <errno.h>
#include <sys/stat.h>

#include "ctl/doctor.h"
#include "ctl/unitfile.h"

static const char area[] = "influxctl";

static const char *const programs[] = { "/usr/bin/influxctl",
	"/usr/local/bin/influxctl" };

static void
look_at_socket(struct doctor *d, const char *section)
{
	const struct unitfile_line *l = unitfile_get(d->conf, section,
	    "influxctl_socket");
	const char *path = l ? l->value :
	    "/run/tokenbroker-influxctl/helper.sock";
	struct stat st;

	if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		doctor_add(d, FINDING_OK, area, NULL, "[%s]: %s is there",
		    section, path);
	else
		doctor_add(d, FINDING_FAIL, area, "systemctl enable --now "
		    "tokenbroker-influxctl.socket", "[%s]: %s, where the "
		    "helper would listen: %s", section, path,
		    errno == ENOENT ? "it is not there" : "it is no socket "
		    "that can be seen");
}

static void
look_at_program(struct doctor *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (access(programs[i], X_OK) == 0)
			return;
	}
	doctor_add(d, FINDING_WARN, area, "install influxctl, or name it in "
	    "the unit (ExecStart=, --influxctl)", "there is neither %s nor %s",
	    programs[0], programs[1]);
}

void
doctor_influxctl(struct doctor *d)
{
	bool any = false;

	for (size_t i = 0; d->conf && i < d->conf->n; i++) {
		const struct unitfile_line *l = &d->conf->lines[i];

		if (!streq(l->key, "management_driver") ||
		    !streq(l->value, "influxctl"))
			continue;
		errno = 0;
		look_at_socket(d, l->section);
		any = true;
	}
	if (any)
		look_at_program(d);
}
