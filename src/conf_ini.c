/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_ini - see the header. inih takes its lines from ini_next_line(), one
 * per call, and has done with a line when it asks for the next, so the count
 * in struct ini is that of the line its handler is called for.
 *
 * inih reports neither empty sections nor the line of a pair, goes on after
 * an error, and has four traps (an indented line becomes another value of the
 * key before, and the others in the header). All of that is decided here, on
 * the raw line, before inih sees it.
 */
#include "conf_ini.h"

#include <errno.h>
#include <ini.h>

#include "base/tb_error.h"
#include "base/util.h"

struct ini {
	FILE *in;
	const char *file;
	int line;
	char *text; /* of getline(3) */
	size_t size;
	const struct conf_ini_sink *sink;
	void *arg;
	struct tb_error *err;
	bool failed;
};

static void
ini_fail(struct ini *ini, const char *what)
{
	ini->failed = true;
	tb_error_set(ini->err, TB_E_CONFIG, "%s:%d: %s", ini->file, ini->line,
	    what);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
trim_end(char *s)
{
	size_t n = strlen(s);

	while (n && is_blank(s[n - 1]))
		n--;
	s[n] = '\0';
}

/* "[login ops]": the heading is given on from here, since inih is silent about
 * a section without pairs. */
static void
ini_heading(struct ini *ini, const char *line)
{
	size_t n = strcspn(line, "]");
	_cleanup_free_ char *heading = xstrndup(line + 1, n ? n - 1 : 0);

	if (line[n] != ']')
		ini_fail(ini, "a section heading ends with ']'");
	else if (line[n + 1 + strspn(line + n + 1, " \t")])
		ini_fail(ini, "text behind a section heading: it would be "
		    "lost; put it on a line of its own");
	else if (strlen(heading) > CONF_INI_MAX_HEADING)
		ini_fail(ini, "the section heading has more than 49 "
		    "characters: use a shorter name");
	else if (strchr(heading, ';'))
		ini_fail(ini, "';' in a section heading");
	else {
		trim_end(heading);
		ini->failed = ini->sink->heading(ini->arg, ini->line, heading,
				  ini->err) < 0;
	}
}

static void
ini_pair(struct ini *ini, const char *line)
{
	size_t n = strcspn(line, "=:");

	if (line[n] == ':')
		ini_fail(ini, "':' where '=' is wanted: write key = value");
	else if (line[n] != '=')
		ini_fail(ini, "no '=' in the line: write key = value");
	for (const char *p = strchr(line, ';'); p; p = strchr(p + 1, ';')) {
		if (!ini->failed && p > line && is_blank(p[-1]))
			ini_fail(ini, "' ;' would cut the value off: write a "
			    "comment on a line of its own");
	}
}

/* Without its line end. False: there is a NUL or another control character. */
static bool
ini_chop(char *s, size_t n)
{
	if (n && s[n - 1] == '\n')
		n--;
	if (n && s[n - 1] == '\r')
		n--;
	s[n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') ||
		    s[i] == 0x7f)
			return false;
	}
	return true;
}

static void
ini_check_line(struct ini *ini, const char *s)
{
	size_t indent = strspn(s, " \t");

	if (strlen(s) > CONF_INI_MAX_LINE)
		ini_fail(ini, "the line has more than 199 bytes, and the rest "
		    "would be read as another line");
	else if (!s[indent] || s[indent] == '#' || s[indent] == ';')
		return; /* empty, comment */
	else if (indent)
		ini_fail(ini, "the line is indented, and would be read as part "
		    "of the line before: remove the space in front");
	else if (*s == '[')
		ini_heading(ini, s);
	else
		ini_pair(ini, s);
}

/* For inih: the next line in str, or NULL at the end. */
static char *
ini_next_line(char *str, int num, void *arg)
{
	struct ini *ini = arg;
	const char *s;
	ssize_t n;

	if (ini->failed)
		return NULL;
	errno = 0;
	n = getline(&ini->text, &ini->size, ini->in);
	if (n < 0) {
		if (ferror(ini->in)) {
			ini->failed = true;
			tb_error_errno(ini->err, TB_E_IO, errno, "%s",
			    ini->file);
		}
		return NULL;
	}
	ini->line++;
	if (!ini_chop(ini->text, (size_t)n)) {
		ini_fail(ini, "a control character in the line");
		return NULL;
	}
	s = ini->text;
	if (ini->line == 1 && strncmp(s, "\xef\xbb\xbf", 3) == 0)
		s += 3; /* byte order mark */
	ini_check_line(ini, s);
	if (ini->failed)
		return NULL;
	if (strlen(s) >= (size_t)num) { /* an inih built with a shorter line */
		ini_fail(ini, "the line is too long for this build of inih");
		return NULL;
	}
	memcpy(str, s, strlen(s) + 1);
	return str;
}

/* For inih: nonzero is success. */
static int
ini_on_pair(void *arg, const char *section, const char *key,
    const char *value)
{
	struct ini *ini = arg;

	ini->failed = ini->sink->pair(ini->arg, ini->line, key, value,
			  ini->err) < 0;
	return !ini->failed;
}

int
conf_ini_read(FILE *in, const char *file, const struct conf_ini_sink *sink,
    void *arg, struct tb_error *err)
{
	struct ini ini = { .in = in, .file = file, .sink = sink, .arg = arg,
		.err = err };
	int line = ini_parse_stream(ini_next_line, &ini, ini_on_pair, &ini);

	free(ini.text);
	if (ini.failed)
		return -1;
	if (line) /* the reader let something through that inih refuses */
		return tb_error_set(err, TB_E_CONFIG,
		    "%s:%d: write [section] or key = value", file,
		    line > 0 ? line : ini.line);
	return 0;
}
