/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpl - see the header. A template is parsed once into pieces, text and
 * fields in turn; rendering cannot meet a syntax error any more.
 */
#include "ctl/tmpl.h"

#include <inttypes.h>

#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "ctl/quote.h"

enum field {
	FIELD_TEXT,
	FIELD_TOKEN,
	FIELD_EXPIRES_AT,
	FIELD_GENERATION,
	FIELD_NAME,
	FIELD_VAR,
};

struct piece {
	enum field field;
	char *text;  /* FIELD_TEXT: itself, FIELD_VAR: KEY, else a token */
	bool unix_time;
	bool quoted; /* a filter was given */
	enum quote quote;
	unsigned line;
};

struct tmpl {
	char *file;
	struct piece *pieces;
	size_t n_pieces;
	char *tokens[TMPL_TOKENS_MAX];
	size_t n_tokens;
};

struct tmpl *
tmpl_free(struct tmpl *t)
{
	size_t i;

	if (!t)
		return NULL;
	for (i = 0; i < t->n_pieces; i++)
		free(t->pieces[i].text);
	for (i = 0; i < t->n_tokens; i++)
		free(t->tokens[i]);
	free(t->pieces);
	free(t->file);
	free(t);
	return NULL;
}

size_t
tmpl_n_tokens(const struct tmpl *t)
{
	return t->n_tokens;
}

const char *
tmpl_token(const struct tmpl *t, size_t i)
{
	return t->tokens[i];
}

/* ------------------------------------------------------------------- parse */

static struct piece *
add_piece(struct tmpl *t, enum field field, const char *text, size_t len,
    unsigned line)
{
	struct piece *p;

	t->pieces = xreallocarray(t->pieces, t->n_pieces + 1, sizeof(*p));
	p = &t->pieces[t->n_pieces++];
	*p = (struct piece){ .field = field, .text = xstrndup(text, len),
		.line = line };
	return p;
}

static int
add_token(struct tmpl *t, const char *name, unsigned line,
    struct tb_error *err)
{
	size_t i;

	for (i = 0; i < t->n_tokens; i++)
		if (streq(t->tokens[i], name))
			return 0;
	if (t->n_tokens == TMPL_TOKENS_MAX)
		return tb_error_set(err, TB_E_BADREQ, "%.200s:%u: more than "
		    "%d tokens in one template", t->file, line,
		    TMPL_TOKENS_MAX);
	t->tokens[t->n_tokens++] = xstrdup(name);
	return 0;
}

/* The next word, cut off with a NUL; "" when there is none. */
static char *
next_word(char **at)
{
	char *s = *at + strspn(*at, " \t"), *end = s + strcspn(s, " \t");

	*at = *end ? end + 1 : end;
	*end = '\0';
	return s;
}

static bool
is_name(const char *s)
{
	return *s && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
	    "rstuvwxyz0123456789._@:/-")];
}

static int
find_field(const char *word, enum field *out)
{
	static const struct {
		const char *word;
		enum field field;
	} fields[] = {
		{ "token", FIELD_TOKEN }, { "expires_at", FIELD_EXPIRES_AT },
		{ "generation", FIELD_GENERATION }, { "name", FIELD_NAME },
		{ "var", FIELD_VAR }, { "open", FIELD_TEXT },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		if (streq(fields[i].word, word)) {
			*out = fields[i].field;
			return 0;
		}
	}
	return -1;
}

static int
bad(const struct tmpl *t, unsigned line, struct tb_error *err,
    const char *fmt, ...) _printf_(4, 5);

static int
bad(const struct tmpl *t, unsigned line, struct tb_error *err,
    const char *fmt, ...)
{
	char text[240];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return tb_error_set(err, TB_E_BADREQ, "%.120s:%u: %s", t->file, line,
	    text);
}

/* "| FILTER", of which p already is. */
static int
parse_filter(struct tmpl *t, struct piece *p, const char *filter,
    struct tb_error *err)
{
	if (p->field == FIELD_EXPIRES_AT && streq(filter, "unix")) {
		p->unix_time = true;
		return 0;
	}
	if (!quote_find(filter, &p->quote))
		return bad(t, p->line, err, "'%.30s' is no way to write a "
		    "value; there are %s", filter, quote_names());
	p->quoted = true;
	return 0;
}

/* What stands between the braces, in memory of our own. */
static int
parse_field(struct tmpl *t, char *inside, unsigned line, struct tb_error *err)
{
	char *bar = strchr(inside, '|'), *rest, *word, *name, *filter;
	struct piece *p;
	enum field field;

	if (bar)
		*bar = '\0';
	rest = inside;
	word = next_word(&rest);
	name = next_word(&rest);
	if (find_field(word, &field) < 0)
		return bad(t, line, err, "{{%.30s}} is not known; there are "
		    "token, expires_at, generation, name, var and open", word);
	if (*next_word(&rest))
		return bad(t, line, err, "{{%s ...}} takes one name", word);
	if (field == FIELD_TEXT) {
		if (*name || bar)
			return bad(t, line, err, "{{open}} stands alone");
		add_piece(t, field, "{{", 2, line);
		return 0;
	}
	if (*name ? !is_name(name) : field == FIELD_VAR)
		return bad(t, line, err, "{{%s ...}}: '%.60s' is no name",
		    word, name);
	p = add_piece(t, field, name, strlen(name), line);
	if (bar) {
		rest = bar + 1;
		filter = next_word(&rest);
		if (*next_word(&rest))
			return bad(t, line, err, "one way to write a value "
			    "stands behind the bar");
		if (parse_filter(t, p, filter, err) < 0)
			return -1;
	}
	return field == FIELD_VAR ? 0 : add_token(t, name, line, err);
}

/* A comment takes its line with it when nothing else is on that. */
static const char *
skip_comment(const char *text, const char *open, const char *close)
{
	bool alone = open == text || open[-1] == '\n';

	close += 2;
	return alone && *close == '\n' ? close + 1 : close;
}

static int
parse_all(struct tmpl *t, const char *text, struct tb_error *err)
{
	const char *s = text, *open, *close, *p;
	unsigned line = 1;

	for (;; s = *open == '{' ? close : open) {
		open = strstr(s, "{{");
		if (!open)
			open = s + strlen(s);
		if (open > s)
			add_piece(t, FIELD_TEXT, s, (size_t)(open - s), line);
		for (p = s; p < open; p++)
			line += *p == '\n';
		if (!*open)
			return 0;
		close = open + 2 + strcspn(open + 2, "}\n");
		if (close[0] != '}' || close[1] != '}')
			return bad(t, line, err, "'{{' without '}}' on the "
			    "same line; two opening braces are written "
			    "{{open}}");
		if (open[2] == '#') {
			p = skip_comment(text, open, close);
			line += p[-1] == '\n';
			close = p;
			continue;
		}
		_cleanup_free_ char *inside = xstrndup(open + 2,
		    (size_t)(close - open) - 2);
		if (parse_field(t, inside, line, err) < 0)
			return -1;
		close += 2;
	}
}

struct tmpl *
tmpl_parse(const char *file, const char *text, struct tb_error *err)
{
	struct tmpl *t = xnew(struct tmpl);

	t->file = xstrdup(file);
	if (parse_all(t, text, err) < 0)
		return tmpl_free(t);
	return t;
}

/* ------------------------------------------------------------------ render */

static const char *
find_var(const char *key, const char *const *vars, size_t n)
{
	size_t i, len = strlen(key);

	for (i = 0; i < n; i++)
		if (strncmp(vars[i], key, len) == 0 && vars[i][len] == '=')
			return vars[i] + len + 1;
	return NULL;
}

int
tmpl_check_vars(const struct tmpl *t, const char *const *vars, size_t n_vars,
    struct tb_error *err)
{
	size_t i;

	for (i = 0; i < t->n_pieces; i++)
		if (t->pieces[i].field == FIELD_VAR &&
		    !find_var(t->pieces[i].text, vars, n_vars))
			return bad(t, t->pieces[i].line, err, "it needs "
			    "--set %.60s=VALUE", t->pieces[i].text);
	return 0;
}

static const struct tmpl_value *
find_value(const struct tmpl_source *source, const char *name)
{
	size_t i;

	if (!*name)
		name = source->own;
	for (i = 0; i < source->n_values; i++)
		if (streq(source->values[i].name, name))
			return &source->values[i];
	return NULL;
}

/* What is not a token's value, as text. */
static void
add_plain(const struct piece *p, const struct tmpl_value *v,
    const struct tmpl_source *source, struct secret *out)
{
	char text[TIMEFMT_SIZE];

	if (p->field == FIELD_VAR) {
		secret_set_str(out, find_var(p->text, source->vars,
		    source->n_vars));
	} else if (p->field == FIELD_NAME) {
		secret_set_str(out, v->name);
	} else if (p->field == FIELD_GENERATION || p->unix_time) {
		snprintf(text, sizeof(text), "%" PRId64, p->unix_time ?
		    v->expires_at : v->generation);
		secret_set_str(out, text);
	} else {
		secret_set_str(out, timefmt_rfc3339(v->expires_at, text,
		    sizeof(text)));
	}
}

static int
render_piece(const struct tmpl *t, const struct piece *p,
    const struct tmpl_source *source, struct secret *out,
    struct tb_error *err)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	const struct tmpl_value *v = NULL;
	/* our own times and numbers are harmless as they are */
	enum quote q = p->quoted ? p->quote : p->field == FIELD_TOKEN ||
	    p->field == FIELD_VAR ? QUOTE_PLAIN : QUOTE_RAW;

	if (p->field == FIELD_TEXT) {
		secret_append_str(out, p->text);
		return 0;
	}
	if (p->field != FIELD_VAR) {
		v = find_value(source, p->text);
		if (!v)
			return bad(t, p->line, err, "no value of token "
			    "'%.60s'", p->text);
	}
	if (p->field != FIELD_TOKEN)
		add_plain(p, v, source, &plain);
	if (quote_add(q, p->field == FIELD_TOKEN ? v->value : &plain, out,
	    err) == 0)
		return 0;
	return tb_error_wrap(err, "%.120s:%u: the %s cannot be written here",
	    t->file, p->line, p->field == FIELD_VAR ? p->text :
	    p->field == FIELD_TOKEN ? "token" : "text");
}

int
tmpl_render(const struct tmpl *t, const struct tmpl_source *source,
    struct secret *out, struct tb_error *err)
{
	size_t i;

	secret_clear(out);
	if (tmpl_check_vars(t, source->vars, source->n_vars, err) < 0)
		return -1;
	for (i = 0; i < t->n_pieces; i++) {
		if (render_piece(t, &t->pieces[i], source, out, err) < 0) {
			secret_clear(out);
			return -1;
		}
	}
	return 0;
}
