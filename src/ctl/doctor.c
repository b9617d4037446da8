/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor - see the header. What all areas share.
 */
#include "ctl/doctor.h"

#include "base/tb_error.h"
#include "ctl/program.h"

#define SYSTEMCTL_CAP ((size_t)4 << 20)
#define ARGS_MAX 200

static void
add(struct doctor *d, enum finding_level level, const char *area, char *todo,
    char *text)
{
	d->findings = xreallocarray(d->findings, d->n + 1,
	    sizeof(*d->findings));
	d->findings[d->n++] = (struct finding){ .level = level, .area = area,
		.text = text, .todo = todo };
}

void
doctor_add(struct doctor *d, enum finding_level level, const char *area,
    const char *todo, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, level, area, xstrdup0(todo), xvasprintf(fmt, ap));
	va_end(ap);
}

void
doctor_add_take(struct doctor *d, enum finding_level level, const char *area,
    char *todo, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, level, area, todo, xvasprintf(fmt, ap));
	va_end(ap);
}

size_t
doctor_count(const struct doctor *d, enum finding_level level)
{
	size_t i, n = 0;

	for (i = 0; i < d->n; i++)
		n += d->findings[i].level == level;
	return n;
}

char *
doctor_property(const char *text, const char *key)
{
	size_t n = strlen(key), len;

	for (; *text; text += len + (text[len] != '\0')) {
		len = strcspn(text, "\n");
		if (len > n && text[n] == '=' && memcmp(text, key, n) == 0)
			return xstrndup(text + n + 1, len - n - 1);
	}
	return NULL;
}

char *
doctor_systemctl(const char *const *argv)
{
	const char *all[ARGS_MAX + 3] = { "systemctl", "--no-pager" };
	struct tb_error ignored = TB_ERROR_INIT;
	char *text = NULL;
	int status;
	size_t n;

	for (n = 0; argv[n] && n < ARGS_MAX; n++)
		all[n + 2] = argv[n];
	if (program_read(all, false, SYSTEMCTL_CAP, &text, &status,
	    &ignored) < 0)
		return NULL;
	if (status != 0) {
		free(text);
		return NULL;
	}
	return text;
}

bool
doctor_has_line(const struct strbuf *lines, const char *line)
{
	const char *s = strbuf_str(lines);
	size_t n = strlen(line), len;

	for (; *s; s += len + (s[len] != '\0')) {
		len = strcspn(s, "\n");
		if (len == n && memcmp(s, line, n) == 0)
			return true;
	}
	return false;
}

void
doctor_add_after(const char *text, struct strbuf *out)
{
	static const char key[] = "After=";
	size_t len, n;
	const char *s;
	char *word;

	for (; *text; text += len + (text[len] != '\0')) {
		len = strcspn(text, "\n");
		if (strncmp(text, key, sizeof(key) - 1) != 0)
			continue;
		for (s = text + sizeof(key) - 1; s < text + len; s += n) {
			s += strspn(s, " ");
			n = strcspn(s, " \n");
			word = xstrndup(s, n);
			if (n && !doctor_has_line(out, word))
				strbuf_addf(out, "%s\n", word);
			free(word);
		}
	}
}
