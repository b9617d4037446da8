/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unitfile - see the header. The grammar is that of systemd.syntax(7): ini
 * with continued lines, and a list begun anew by an empty assignment.
 * `systemctl cat` puts a comment with the path in front of each file.
 */
#include "ctl/unitfile.h"

#include <ctype.h>

#include "base/util.h"

/* NUL, 16 digits, "/unit/", "/": see unitfile_room(). */
#define ADDRESS_MAX 107
#define ADDRESS_OWN 24

struct reader {
	struct unitfile *u;
	const char *file;
	char *section;
	unsigned line;
	bool at_start; /* of a file, or behind an empty line */
};

/* The line without what surrounds it; *s is cut in place. */
static char *
trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static void
line_clear(struct unitfile_line *l)
{
	free(l->section);
	free(l->key);
	free(l->value);
}

void
unitfile_clear(struct unitfile *u)
{
	size_t i;

	for (i = 0; i < u->n; i++)
		line_clear(&u->lines[i]);
	for (i = 0; i < u->n_files; i++)
		free(u->files[i]);
	free(u->lines);
	free(u->files);
	*u = (struct unitfile)UNITFILE_INIT;
}

static bool
is_key(const struct unitfile_line *l, const char *section, const char *key)
{
	return strcmp(l->section, section) == 0 && strcmp(l->key, key) == 0;
}

static void
forget(struct unitfile *u, const char *section, const char *key)
{
	size_t i, kept = 0;

	for (i = 0; i < u->n; i++) {
		if (is_key(&u->lines[i], section, key))
			line_clear(&u->lines[i]);
		else
			u->lines[kept++] = u->lines[i];
	}
	u->n = kept;
}

static void
assign(struct reader *r, char *text, unsigned at)
{
	char *equals = strchr(text, '='), *key, *value;
	struct unitfile *u = r->u;

	if (!equals || !r->section)
		return;
	*equals = '\0';
	key = trim(text);
	value = trim(equals + 1);
	if (!*value) {
		forget(u, r->section, key);
		return;
	}
	u->lines = xreallocarray(u->lines, u->n + 1, sizeof(*u->lines));
	u->lines[u->n++] = (struct unitfile_line){
		.section = xstrdup(r->section), .key = xstrdup(key),
		.value = xstrdup(value), .file = r->file, .line = at };
}

static void
begin_file(struct reader *r, const char *path)
{
	struct unitfile *u = r->u;

	u->files = xreallocarray(u->files, u->n_files + 1, sizeof(*u->files));
	u->files[u->n_files] = xstrdup(path);
	r->file = u->files[u->n_files++];
	r->line = 0;
	free(r->section);
	r->section = NULL;
}

static void
read_line(struct reader *r, char *text, unsigned at)
{
	char *s = trim(text), *end;

	if (*s == '[') {
		end = strchr(s, ']');
		if (end)
			*end = '\0';
		free(r->section);
		r->section = xstrdup(s + 1);
	} else if (*s && *s != '#' && *s != ';') {
		assign(r, s, at);
	}
}

/* Takes lines off *text until one does not end in a backslash; comments
 * between them are left out. NULL: there is none left. */
static char *
next_line(struct reader *r, const char **text)
{
	char *line = NULL, *part, *joined;
	size_t len, end;
	bool more = true;

	while (more && **text) {
		len = strcspn(*text, "\n");
		part = xstrndup(*text, len);
		*text += len + ((*text)[len] != '\0');
		r->line++;
		if (line && (*part == '#' || *part == ';')) {
			free(part);
			continue;
		}
		end = strlen(part);
		more = end > 0 && part[end - 1] == '\\' &&
		    *part != '#' && *part != ';';
		if (more)
			part[end - 1] = ' ';
		joined = line ? xasprintf("%s%s", line, part) : part;
		if (line)
			free(part);
		free(line);
		line = joined;
	}
	return line;
}

void
unitfile_parse(struct unitfile *u, const char *text)
{
	struct reader r = { .u = u, .file = "", .at_start = true };
	unsigned at;
	char *line;

	for (;;) {
		at = r.line + 1;
		line = next_line(&r, &text);
		if (!line)
			break;
		if (r.at_start && strncmp(line, "# /", 3) == 0)
			begin_file(&r, line + 2);
		else
			read_line(&r, line, at);
		r.at_start = *line == '\0';
		free(line);
	}
	free(r.section);
}

const struct unitfile_line *
unitfile_next(const struct unitfile *u, const char *section, const char *key,
    const struct unitfile_line *after)
{
	size_t i = after ? (size_t)(after - u->lines) + 1 : 0;

	for (; i < u->n; i++)
		if (is_key(&u->lines[i], section, key))
			return &u->lines[i];
	return NULL;
}

const struct unitfile_line *
unitfile_get(const struct unitfile *u, const char *section, const char *key)
{
	const struct unitfile_line *l = NULL, *last = NULL;

	while ((l = unitfile_next(u, section, key, l)))
		last = l;
	return last;
}

bool
unitfile_has_word(const struct unitfile *u, const char *section,
    const char *key, const char *word)
{
	const struct unitfile_line *l = NULL;
	size_t n = strlen(word);
	const char *s;

	while ((l = unitfile_next(u, section, key, l)))
		for (s = l->value; *s; s += strspn(s, " \t")) {
			if (strcspn(s, " \t") == n && memcmp(s, word, n) == 0)
				return true;
			s += strcspn(s, " \t");
		}
	return false;
}

/* ------------------------------------------------------------- consumers */

bool
unitfile_credential(const char *value, const char *socket,
    char id[UNITFILE_ID_MAX])
{
	const char *colon = strchr(value, ':');

	if (!colon || strcmp(colon + 1, socket) != 0)
		return false;
	snprintf(id, UNITFILE_ID_MAX, "%.*s", (int)(colon - value), value);
	return true;
}

int
unitfile_room(const char *unit, const char *id)
{
	return ADDRESS_MAX - ADDRESS_OWN - (int)strlen(unit) -
	    (int)strlen(id);
}

/* Is the file of this credential tested for being there and not empty? */
static bool
tests_size(const char *command, const char *id)
{
	_cleanup_free_ char *file = xasprintf("/%s", id);
	const char *s = strstr(command, "CREDENTIALS_DIRECTORY");
	size_t n = strlen(file);

	if (!s || !strstr(command, " -s "))
		return false;
	while ((s = strstr(s, file)) && (isalnum((unsigned char)s[n]) ||
	    (s[n] && strchr("._-", s[n]))))
		s++;
	return s != NULL;
}

static bool
every_start_tests(const struct unitfile *u, const char *id)
{
	const struct unitfile_line *l = NULL;
	size_t n = 0;

	while ((l = unitfile_next(u, "Service", "ExecStart", l))) {
		if (!tests_size(l->value, id))
			return false;
		n++;
	}
	return n > 0;
}

enum unitfile_empty
unitfile_on_empty(const struct unitfile *u, const char *id)
{
	static const char *const before[] = { "ExecStartPre",
		"ExecCondition" };
	const struct unitfile_line *l = NULL;
	size_t i;

	if (every_start_tests(u, id))
		return UNITFILE_EMPTY_FAILS;
	for (i = 0; i < ARRAY_SIZE(before); i++)
		while ((l = unitfile_next(u, "Service", before[i], l)))
			if (tests_size(l->value, id))
				return UNITFILE_EMPTY_CHECKED_BEFORE;
	return UNITFILE_EMPTY_UNNOTICED;
}

int64_t
unitfile_time_ms(const char *value)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "msec", 1 }, { "", 1000 }, { "s", 1000 },
		{ "sec", 1000 }, { "second", 1000 }, { "seconds", 1000 },
		{ "m", 60000 }, { "min", 60000 }, { "minute", 60000 },
		{ "minutes", 60000 }, { "h", 3600000 }, { "hr", 3600000 },
		{ "hour", 3600000 }, { "hours", 3600000 } };
	int64_t sum = 0;
	size_t n, i;
	char *end;
	long part;

	for (value += strspn(value, " "); *value; value += strspn(value, " ")) {
		part = strtol(value, &end, 10);
		if (end == value || part < 0 || part > 1000000)
			return -1;
		value = end + strspn(end, " ");
		n = strspn(value, "abcdefghijklmnopqrstuvwxyz");
		for (i = 0; i < ARRAY_SIZE(units); i++)
			if (strlen(units[i].name) == n &&
			    memcmp(units[i].name, value, n) == 0)
				break;
		if (i == ARRAY_SIZE(units))
			return -1;
		sum += part * units[i].ms;
		value += n;
	}
	return sum > 0 ? sum : -1; /* 0 is infinity, too */
}

char *
unitfile_wrap(const char *id, const char *command)
{
	size_t n = command ? strspn(command, "-+!") : 0;

	/* "@" gives another argv[0], ":" turns "$$" off: for people */
	if (command && strchr("@:", command[n]))
		return NULL;
	return xasprintf("%.*s/bin/sh -c 'test -s \"$$CREDENTIALS_DIRECTORY/%s"
	    "\" && exec \"$$@\"' sh %s", (int)n, command ? command : "", id,
	    command ? command + n : "COMMAND ARGUMENT...");
}

char *
unitfile_service_name(const char *name)
{
	static const char suffix[] = ".service";
	size_t len = strlen(name), n = sizeof(suffix) - 1;
	const char *dot = strrchr(name, '.');

	if (len == 0 || len > 255 || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789:_.\\@-") != len)
		return NULL;
	if (len > n && strcmp(name + len - n, suffix) == 0)
		return xstrdup(name);
	if (dot && (strcmp(dot, ".socket") == 0 || strcmp(dot, ".timer") == 0 ||
	    strcmp(dot, ".target") == 0 || strcmp(dot, ".path") == 0 ||
	    strcmp(dot, ".slice") == 0 || strcmp(dot, ".scope") == 0 ||
	    strcmp(dot, ".mount") == 0 || strcmp(dot, ".device") == 0 ||
	    strcmp(dot, ".swap") == 0))
		return NULL;
	return xasprintf("%s%s", name, suffix);
}
