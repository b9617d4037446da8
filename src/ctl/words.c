/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - see the header.
 */
#include "ctl/words.h"

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"

void
words_clear(struct words *w)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words)WORDS_INIT;
}

void
words_add(struct words *w, const char *word)
{
	w->v = xreallocarray(w->v, w->n + 2, sizeof(*w->v));
	w->v[w->n++] = xstrdup(word);
	w->v[w->n] = NULL;
}

/* One word from *s on. */
static int
take_word(const char **s, struct strbuf *word, struct tb_error *err)
{
	char quote = '\0', c;

	for (; (c = **s) && (quote || !strchr(" \t\n", c)); (*s)++) {
		if (c == quote) {
			quote = '\0';
		} else if (!quote && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == '\\' && quote != '\'' && (*s)[1]) {
			(*s)++;
			strbuf_addc(word, **s);
		} else {
			strbuf_addc(word, c);
		}
	}
	if (quote)
		return tb_error_set(err, TB_E_BADREQ, "a %c without its end",
		    quote);
	return 0;
}

int
words_split(const char *line, struct words *out, struct tb_error *err)
{
	struct strbuf word _cleanup_(strbuf_clear) = STRBUF_INIT;

	for (;;) {
		line += strspn(line, " \t\n");
		if (!*line)
			break;
		strbuf_reset(&word);
		if (take_word(&line, &word, err) < 0)
			return -1;
		words_add(out, strbuf_str(&word));
	}
	return out->n ? 0 : tb_error_set(err, TB_E_BADREQ, "no command");
}

/* Without the blanks at both ends. */
static char *
trimmed(const char *s, size_t n)
{
	while (n && strchr(" \t\r", *s)) {
		s++;
		n--;
	}
	while (n && strchr(" \t\r", s[n - 1]))
		n--;
	return xstrndup(s, n);
}

static int
take_option(const char *file, unsigned line, const char *text,
    struct words *out, struct tb_error *err)
{
	const char *equals = strchr(text, '=');
	_cleanup_free_ char *name = equals ? trimmed(text,
	    (size_t)(equals - text)) : NULL;
	_cleanup_free_ char *value = equals ? trimmed(equals + 1,
	    strlen(equals + 1)) : NULL;
	_cleanup_free_ char *word = NULL;

	if (!equals || !*name || *name == '-' || !*value)
		return tb_error_set(err, TB_E_BADREQ, "%.200s:%u: expected "
		    "'option = value', with the options' names as on the "
		    "command line but without --", file, line);
	if (streq(value, "no"))
		return 0;
	word = streq(value, "yes") ? xasprintf("--%s", name) :
	    xasprintf("--%s=%s", name, value);
	words_add(out, word);
	return 0;
}

int
words_from_options(const char *file, const char *text, struct words *out,
    struct tb_error *err)
{
	unsigned line = 1;
	size_t n;

	for (; *text; text += n + (text[n] == '\n'), line++) {
		n = strcspn(text, "\n");
		_cleanup_free_ char *s = trimmed(text, n);
		if (!*s || *s == '#' || *s == ';')
			continue;
		if (take_option(file, line, s, out, err) < 0)
			return -1;
	}
	return 0;
}
