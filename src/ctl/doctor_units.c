/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_units - the units that load a credential from our socket. They are
 * found by searching the directories that units live in, since systemd has no
 * list of them; what each says then comes from systemd itself.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/doctor.h"
#include "ctl/unitfile.h"

#define UNIT_CAP ((size_t)1 << 20)
#define AFTER_ROUNDS 16
#define SHOW_MAX 100
#define SOCKET_UNIT "tokenbroker-credential.socket"
#define SERVICE_UNIT "tokenbrokerd.service"

static const char area[] = "units";

/* ------------------------------------------------------- judging one unit */

struct judged {
	struct doctor *d;
	const char *name;
	const struct unitfile *u;
	size_t n_findings; /* that are not good */
};

static void
complain(struct judged *j, enum finding_level level,
    const struct unitfile_line *at, char *todo, const char *what)
{
	j->n_findings++;
	if (at)
		doctor_add_take(j->d, level, area, todo, "%s (%s:%u): %s",
		    j->name, at->file, at->line, what);
	else
		doctor_add_take(j->d, level, area, todo, "%s: %s", j->name,
		    what);
}

/* foo@.service stands for instances that have a name of their own. */
static bool
is_template(const char *name)
{
	const char *at = strchr(name, '@');

	return at && at[1] == '.';
}

static void
judge_name(struct judged *j, const struct unitfile_line *at, const char *id)
{
	int room = unitfile_room(j->name, id);
	_cleanup_free_ char *what = NULL;

	if (room < 0)
		what = xasprintf("its name and \"%s\" are together %d "
		    "characters too long for the address that systemd "
		    "connects from: the start fails with 243 and the broker "
		    "never hears of it", id, -room);
	else if (is_template(j->name) && room < 32)
		what = xasprintf("the names of its instances must not be "
		    "longer than %d characters, or their start fails with 243 "
		    "and the broker never hears of it", room);
	if (what)
		complain(j, room < 0 ? FINDING_FAIL : FINDING_WARN, at,
		    xstrdup("choose a shorter credential id (rules can map "
		    "it: credentials = ID=TOKEN) or unit name"), what);
}

static void
judge_empty(struct judged *j, const struct unitfile_line *at, const char *id)
{
	const struct unitfile_line *start = unitfile_get(j->u, "Service",
	    "ExecStart");
	char *wrapped;

	if (unitfile_on_empty(j->u, id) == UNITFILE_EMPTY_FAILS)
		return;
	wrapped = unitfile_wrap(id, start ? start->value : NULL);
	complain(j, FINDING_WARN, at, xasprintf("ExecStart=%s", wrapped ?
	    wrapped : "(a wrapper, see tokenbrokerctl unit)"),
	    unitfile_on_empty(j->u, id) == UNITFILE_EMPTY_UNNOTICED ?
	    "it would start with an empty credential if the daemon were "
	    "killed while it answers" : "ExecStartPre= gets a copy of its own "
	    "(systemd 252): the command itself would start with an empty "
	    "credential if the daemon were killed while it answers");
	free(wrapped);
}

/* Is there a word that, as a pattern, fits the name? */
static bool
words_match(const char *words, const char *name)
{
	_cleanup_free_ char *copy = xstrdup(words);
	char *save = NULL, *w;

	for (w = strtok_r(copy, " \t", &save); w;
	    w = strtok_r(NULL, " \t", &save))
		if (fnmatch(w, name, 0) == 0)
			return true;
	return false;
}

/* Is there a pair ID=TOKEN? */
static bool
maps_credential(const char *pairs, const char *id)
{
	_cleanup_free_ char *copy = xstrdup(pairs);
	char *save = NULL, *w;
	size_t n = strlen(id);

	for (w = strtok_r(copy, " \t", &save); w;
	    w = strtok_r(NULL, " \t", &save))
		if (strncmp(w, id, n) == 0 && w[n] == '=')
			return true;
	return false;
}

static bool
gives_credential(const struct unitfile *conf, const char *section,
    const char *id)
{
	const struct unitfile_line *map = unitfile_get(conf, section,
	    "credentials"), *tokens = unitfile_get(conf, section, "tokens");

	return (map && maps_credential(map->value, id)) ||
	    (tokens && words_match(tokens->value, id));
}

/* Is there any rule by which this unit could get it? The daemon judges; this
 * finds the forgotten one. */
static bool
has_rule(const struct unitfile *conf, const char *unit, const char *id)
{
	const struct unitfile_line *l, *door;
	size_t i;

	for (i = 0; i < conf->n; i++) {
		l = &conf->lines[i];
		if (strncmp(l->section, "client ", 7) != 0 ||
		    strcmp(l->key, "unit") != 0 ||
		    !words_match(l->value, unit))
			continue;
		door = unitfile_get(conf, l->section, "door");
		if ((!door || words_match(door->value, "credential")) &&
		    gives_credential(conf, l->section, id))
			return true;
	}
	return false;
}

static void
judge_rule(struct judged *j, const struct unitfile_line *at, const char *id)
{
	_cleanup_free_ char *what = NULL;

	if (!j->d->conf || is_template(j->name) ||
	    has_rule(j->d->conf, j->name, id))
		return;
	what = xasprintf("no [client] rule with unit= gives it \"%s\"", id);
	complain(j, FINDING_FAIL, at, xasprintf("tokenbrokerctl unit %s "
	    "--credential %s prints one", j->name, id), what);
}

/* How long the daemon itself waits before it refuses; -1: not known. */
static int64_t
own_wait_ms(const struct doctor *d)
{
	const struct unitfile_line *l = d->conf ? unitfile_get(d->conf,
	    "broker", "credential_wait") : NULL;
	int64_t ms;

	return l && timefmt_parse_duration(l->value, &ms) ? ms : -1;
}

static void
judge_time(struct judged *j)
{
	const struct unitfile_line *type = unitfile_get(j->u, "Service",
	    "Type"), *time = unitfile_get(j->u, "Service", "TimeoutStartSec");
	int64_t wait = own_wait_ms(j->d), ms;

	if (!time)
		time = unitfile_get(j->u, "Service", "TimeoutSec");
	ms = time ? unitfile_time_ms(time->value) : -1;
	if (!time)
		complain(j, FINDING_WARN, NULL, xstrdup("TimeoutStartSec=60s"),
		    type && strcmp(type->value, "oneshot") == 0 ?
		    "without TimeoutStartSec= a oneshot waits for ever" :
		    "without TimeoutStartSec= it waits 90 s for a credential "
		    "that does not come");
	else if (ms > 0 && wait > 0 && ms <= wait)
		complain(j, FINDING_WARN, time, xstrdup("a longer "
		    "TimeoutStartSec=, or a shorter credential_wait in "
		    "tokenbroker.conf"), "it gives up before the daemon "
		    "does, so that a time-out takes the place of a reason");
	if (!type || strcmp(type->value, "simple") == 0)
		complain(j, FINDING_WARN, type, xstrdup("Type=exec"),
		    "with Type=simple its start succeeds before the "
		    "credential is there, and TimeoutStartSec= does not count "
		    "while systemd waits for it");
}

/* The line by which it stands in front of something that our service waits
 * for, or of our service. */
static const struct unitfile_line *
find_before(const struct judged *j, const struct strbuf *behind)
{
	const struct unitfile_line *l = NULL;
	char *save, *w;

	while ((l = unitfile_next(j->u, "Unit", "Before", l))) {
		_cleanup_free_ char *words = xstrdup(l->value);

		for (w = strtok_r(words, " \t", &save); w;
		    w = strtok_r(NULL, " \t", &save))
			if (strcmp(w, SERVICE_UNIT) == 0 ||
			    doctor_has_line(behind, w))
				return l;
	}
	return NULL;
}

static void
judge_order(struct judged *j, const struct strbuf *behind)
{
	const struct unitfile_line *def = unitfile_get(j->u, "Unit",
	    "DefaultDependencies"), *before = find_before(j, behind);
	bool early = def && strcmp(def->value, "no") == 0;

	if (before || doctor_has_line(behind, j->name))
		complain(j, FINDING_FAIL, before, xstrdup("take that ordering "
		    "away; systemctl list-dependencies --after tokenbrokerd "
		    "shows what the daemon waits for"), SERVICE_UNIT " is "
		    "ordered after it: its start waits for the daemon, and "
		    "the daemon for it, until TimeoutStartSec= ends both");
	if (early && !unitfile_has_word(j->u, "Unit", "After", SOCKET_UNIT))
		complain(j, FINDING_FAIL, def, xstrdup("Wants=" SOCKET_UNIT
		    " and After=" SOCKET_UNIT), "with DefaultDependencies=no "
		    "it may start before our socket is there, which fails "
		    "with 243");
}

static void
judge_fallback(struct judged *j, const char *id)
{
	const struct unitfile_line *l = NULL;
	size_t n = strlen(id);

	while ((l = unitfile_next(j->u, "Service", "SetCredential", l)))
		if (strncmp(l->value, id, n) == 0 && l->value[n] == ':')
			complain(j, FINDING_WARN, l, xstrdup("remove it"),
			    "SetCredential= for the same id is used in place "
			    "of the token while our socket is not there");
}

void
doctor_judge_unit(struct doctor *d, const char *name,
    const struct unitfile *u, const struct strbuf *behind)
{
	_cleanup_free_ char *socket = xasprintf("%s/credential.sock",
	    d->ctl->run_dir);
	struct judged j = { .d = d, .name = name, .u = u };
	const struct unitfile_line *l = NULL;
	char id[UNITFILE_ID_MAX];
	size_t n = 0;

	while ((l = unitfile_next(u, "Service", "LoadCredential", l))) {
		if (!unitfile_credential(l->value, socket, id))
			continue;
		n++;
		judge_name(&j, l, id);
		judge_rule(&j, l, id);
		judge_empty(&j, l, id);
		judge_fallback(&j, id);
	}
	while ((l = unitfile_next(u, "Service", "LoadCredentialEncrypted", l)))
		if (unitfile_credential(l->value, socket, id))
			complain(&j, FINDING_FAIL, l, xstrdup(
			    "LoadCredential="), "LoadCredentialEncrypted= "
			    "from our socket always fails: the daemon does "
			    "not have the key of this host");
	if (n == 0 && j.n_findings == 0)
		return;
	judge_time(&j);
	judge_order(&j, behind);
	if (j.n_findings == 0)
		doctor_add(d, FINDING_OK, area, NULL, "%s: %zu credential%s",
		    name, n, n == 1 ? "" : "s");
}

/* ------------------------------------------------------- finding the units */

static bool
mentions(int dirfd, const char *name, const char *what)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d/%s", dirfd,
	    name);
	_cleanup_free_ char *text = NULL;
	struct tb_error ignored = TB_ERROR_INIT;
	struct stat st;

	return fstatat(dirfd, name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
	    fs_read_text(path, UNIT_CAP, &text, &ignored) == 0 &&
	    strstr(text, what);
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static void
add_name(struct strbuf *found, const char *name, size_t len)
{
	_cleanup_free_ char *unit = xstrndup(name, len);

	if (!doctor_has_line(found, unit))
		strbuf_addf(found, "%s\n", unit);
}

/* dir/foo.service, and dir/foo.service.d with its .conf files when `unit` is
 * set to "foo.service". */
static void
search(struct doctor *d, const char *dir, const char *unit, const char *what,
    struct strbuf *found)
{
	DIR *list = opendir(dir);
	struct dirent *e;
	size_t n;

	if (!list && errno != ENOENT)
		doctor_add(d, FINDING_UNSEEN, area, NULL, "%s: %s", dir,
		    strerror(errno));
	while (list && (e = readdir(list))) {
		_cleanup_free_ char *sub = xasprintf("%s/%s", dir, e->d_name);

		n = strlen(e->d_name);
		if (unit) {
			if (ends_with(e->d_name, ".conf") &&
			    mentions(dirfd(list), e->d_name, what))
				add_name(found, unit, strlen(unit));
		} else if (ends_with(e->d_name, ".service.d")) {
			e->d_name[n - 2] = '\0';
			search(d, sub, e->d_name, what, found);
		} else if (ends_with(e->d_name, ".service") &&
		    mentions(dirfd(list), e->d_name, what)) {
			add_name(found, e->d_name, n);
		}
	}
	if (list)
		closedir(list);
}

/* The names of template instances that systemd has loaded. */
static void
add_instances(struct strbuf *found)
{
	_cleanup_free_ char *names = xstrdup(strbuf_str(found));
	char *save = NULL, *name, *line, *lines_save, *out, *pattern;

	for (name = strtok_r(names, "\n", &save); name;
	    name = strtok_r(NULL, "\n", &save)) {
		if (!is_template(name))
			continue;
		pattern = xasprintf("%.*s*.service",
		    (int)strcspn(name, "@") + 1, name);
		out = doctor_systemctl((const char *const[]){ "list-units",
		    "--all", "--plain", "--no-legend", "--full", pattern,
		    NULL });
		for (line = out ? strtok_r(out, "\n", &lines_save) : NULL;
		    line; line = strtok_r(NULL, "\n", &lines_save))
			add_name(found, line, strcspn(line, " "));
		free(out);
		free(pattern);
	}
}

/* All that is ordered before our service, however many steps away. */
static void
find_behind(struct strbuf *behind)
{
	struct strbuf next _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *argv[SHOW_MAX + 6] = { "show", "-p", "After", "--",
		SERVICE_UNIT };
	const char *from = "";
	char *save, *out, *names;
	size_t n, round, seen;

	for (round = 0; round < AFTER_ROUNDS; round++) {
		out = doctor_systemctl(argv);
		seen = behind->len;
		if (out)
			doctor_add_after(out, behind);
		free(out);
		if (behind->len == seen)
			return;
		/* those that this round has found are asked next */
		strbuf_reset(&next);
		strbuf_adds(&next, strbuf_str(behind) + seen);
		names = next.s;
		n = 4;
		for (from = strtok_r(names, "\n", &save); from &&
		    n < SHOW_MAX + 4; from = strtok_r(NULL, "\n", &save))
			argv[n++] = from;
		argv[n] = NULL;
	}
}

static void
judge_all(struct doctor *d, const struct strbuf *found)
{
	struct strbuf behind _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *names = xstrdup(strbuf_str(found));
	char *save = NULL, *name, *text;

	find_behind(&behind);
	for (name = strtok_r(names, "\n", &save); name;
	    name = strtok_r(NULL, "\n", &save)) {
		struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;

		text = doctor_systemctl((const char *const[]){ "cat", "--",
		    name, NULL });
		if (!text) {
			doctor_add(d, FINDING_UNSEEN, area, NULL, "%s: "
			    "systemctl cat does not show it", name);
			continue;
		}
		unitfile_parse(&u, text);
		free(text);
		doctor_judge_unit(d, name, &u, &behind);
	}
}

void
doctor_units(struct doctor *d)
{
	static const char *const dirs[] = { "/etc/systemd/system.control",
		"/run/systemd/system.control", "/run/systemd/transient",
		"/run/systemd/generator.early", "/etc/systemd/system",
		"/run/systemd/system", "/run/systemd/generator",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
		"/lib/systemd/system", "/run/systemd/generator.late" };
	struct strbuf found _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *socket = xasprintf("%s/credential.sock",
	    d->ctl->run_dir);
	size_t i;

	if (!d->has_systemd)
		return;
	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		search(d, dirs[i], NULL, socket, &found);
	add_instances(&found);
	if (found.len == 0)
		doctor_add(d, FINDING_OK, area, "tokenbrokerctl unit NAME "
		    "prints the lines", "no unit loads a credential from us");
	else
		judge_all(d, &found);
}
