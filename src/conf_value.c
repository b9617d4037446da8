/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_value - one value, from text to field and back, by the type in the
 * table. What is printed reads back to the same field.
 *
 * Errors quote what was written, save in a path: somebody who takes
 * client_secret_file for client_secret has written the secret itself there.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "conf_int.h"

#define FIELD(object, o, type) \
	((type *)(void *)((char *)(object) + (o)->offset))
#define FIELD_C(object, o, type) \
	((const type *)(const void *)((const char *)(object) + (o)->offset))

/* Where systemd puts credentials; what --check by hand falls back to. */
#define CREDENTIALS "/run/credentials/tokenbrokerd.service"

static const struct {
	const char *text;
	int64_t ms;
} duration_units[] = {
	{ "d", INT64_C(86400000) },
	{ "h", INT64_C(3600000) },
	{ "m", INT64_C(60000) },
	{ "s", INT64_C(1000) },
	{ "ms", INT64_C(1) },
};

static const struct {
	char unit;
	uint64_t bytes;
} size_units[] = {
	{ 'G', UINT64_C(1) << 30 },
	{ 'M', UINT64_C(1) << 20 },
	{ 'K', UINT64_C(1) << 10 },
};

bool
conf_is_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return n >= 1 && n <= CONF_NAME_MAX && !s[n];
}

void
conf_value_duration(struct strbuf *out, int64_t ms)
{
	size_t i = 0;

	while (ms % duration_units[i].ms)
		i++;
	if (!ms)
		strbuf_adds(out, "0s");
	else
		strbuf_addf(out, "%" PRId64 "%s", ms / duration_units[i].ms,
		    duration_units[i].text);
}

/* ----------------------------------------------------------------- words */

static int
set_word_error(const struct conf_option *o, const char *text,
    struct tb_error *err)
{
	struct strbuf names _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct conf_guess guess;

	conf_guess_init(&guess, text);
	for (const struct conf_word *w = o->words; w->word; w++) {
		strbuf_addf(&names, "%s%s", w == o->words ? "" : ", ",
		    w->word);
		conf_guess_try(&guess, w->word);
	}
	return tb_error_set(err, TB_E_CONFIG, "'%.60s' is none of %s%s", text,
	    strbuf_str(&names), conf_guess_text(&guess));
}

static const struct conf_word *
find_word(const struct conf_option *o, const char *text, struct tb_error *err)
{
	for (const struct conf_word *w = o->words; w->word; w++) {
		if (strcmp(w->word, text) == 0)
			return w;
	}
	set_word_error(o, text, err);
	return NULL;
}

static const char *
word_of(const struct conf_option *o, int value)
{
	for (const struct conf_word *w = o->words; w->word; w++) {
		if (w->value == value)
			return w->word;
	}
	return NULL;
}

static int
set_word(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	const struct conf_word *w = find_word(o, text, err);

	if (!w)
		return -1;
	if (o->type == CONF_T_FLAG)
		*FIELD(object, o, bool) = w->value;
	else if (o->type == CONF_T_CHOICE)
		*FIELD(object, o, int) = w->value;
	else
		str_set(FIELD(object, o, char *), text);
	return 0;
}

static int
set_type(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	const struct backend_ops *ops = backend_find(text);
	_cleanup_free_ char *names = xstrdup(backend_type_names());
	struct conf_guess guess;
	char *save = NULL;

	*FIELD(object, o, const struct backend_ops *) = ops;
	if (ops)
		return 0;
	tb_error_set(err, TB_E_CONFIG, "%s", names);
	conf_guess_init(&guess, text);
	for (char *w = strtok_r(names, ", ", &save); w;
	     w = strtok_r(NULL, ", ", &save))
		conf_guess_try(&guess, w);
	return tb_error_wrap(err, "there is no type '%.60s'%s; the types are",
	    text, conf_guess_text(&guess));
}

/* --------------------------------------------------------------- numbers */

static int
set_count(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || text[strspn(text, "0123456789")] ||
	    v < (unsigned long)o->min || v > (unsigned long)o->max)
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s' is not a number from %" PRId64 " to %" PRId64,
		    text, o->min, o->max);
	*FIELD(object, o, unsigned) = (unsigned)v;
	return 0;
}

/* In one unit, such that reading it gives the same. */
static void
print_size(struct strbuf *out, uint64_t v)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(size_units); i++) {
		if (v && v % size_units[i].bytes == 0) {
			strbuf_addf(out, "%" PRIu64 "%c",
			    v / size_units[i].bytes, size_units[i].unit);
			return;
		}
	}
	strbuf_addf(out, "%" PRIu64, v);
}

static int
size_error(const struct conf_option *o, const char *text, struct tb_error *err)
{
	struct strbuf range _cleanup_(strbuf_clear) = STRBUF_INIT;

	print_size(&range, (uint64_t)o->min);
	strbuf_adds(&range, " to ");
	print_size(&range, (uint64_t)o->max);
	return tb_error_set(err, TB_E_CONFIG, "'%.60s' is not a size of %s: "
	    "write 512K, 64M or 1G", text, strbuf_str(&range));
}

static int
set_size(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	size_t digits = strspn(text, "0123456789"), i;
	uint64_t v, unit = 1;

	for (i = 0; i < ARRAY_SIZE(size_units); i++) {
		if (text[digits] == size_units[i].unit)
			unit = size_units[i].bytes;
	}
	errno = 0;
	v = strtoull(text, NULL, 10);
	if (digits == 0 || errno || text[digits + (unit > 1)] ||
	    v > (uint64_t)o->max / unit || v * unit < (uint64_t)o->min)
		return size_error(o, text, err);
	*FIELD(object, o, uint64_t) = v * unit;
	return 0;
}

static int
set_duration(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	struct strbuf range _cleanup_(strbuf_clear) = STRBUF_INIT;
	int64_t ms;

	if (!timefmt_parse_duration(text, &ms))
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s' is not a duration: write 90s, 10m, 6h or 7d",
		    text);
	if (ms < o->min || ms > o->max) {
		conf_value_duration(&range, o->min);
		strbuf_adds(&range, " to ");
		conf_value_duration(&range, o->max);
		return tb_error_set(err, TB_E_CONFIG,
		    "%.60s is outside of %s", text, strbuf_str(&range));
	}
	if (o->type == CONF_T_SECONDS && ms % 1000)
		return tb_error_set(err, TB_E_CONFIG,
		    "%.60s has a part of a second", text);
	*FIELD(object, o, int64_t) = o->type == CONF_T_SECONDS ? ms / 1000 :
								  ms;
	return 0;
}

/* ----------------------------------------------------------------- texts */

static int
set_bool(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	bool yes = strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "no") != 0)
		return tb_error_set(err, TB_E_CONFIG,
		    "'%.60s' is neither yes nor no", text);
	*FIELD(object, o, bool) = yes;
	return 0;
}

static int
set_path(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	if (*text != '/')
		return tb_error_set(err, TB_E_CONFIG,
		    "an absolute path is wanted (what is written is not shown "
		    "here, it could be a secret)");
	str_set(FIELD(object, o, char *), text);
	return 0;
}

static int
set_credential(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char **field = FIELD(object, o, char *);

	if (!conf_is_name(text) || *text == '.')
		return tb_error_set(err, TB_E_CONFIG,
		    "the name of a systemd credential is wanted (what is "
		    "written is not shown here, it could be a secret)");
	free(*field);
	*field = xasprintf("%s/%s", dir ? dir : CREDENTIALS, text);
	return 0;
}

static int
set_text(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	str_set(FIELD(object, o, char *), text);
	return 0;
}

static int
name_error(const char *text, struct tb_error *err)
{
	return tb_error_set(err, TB_E_CONFIG,
	    "'%.60s' is not a name: 1 to %d letters, digits, '.', '_', '-'",
	    text, CONF_NAME_MAX);
}

static int
set_name(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	if (!conf_is_name(text))
		return name_error(text, err);
	return set_text(o, object, text, err);
}

static int
set_words(const struct conf_option *o, void *object, const char *text,
    struct tb_error *err)
{
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *copy = xstrdup(text);
	char **field = FIELD(object, o, char *);
	char *save = NULL;

	for (char *w = strtok_r(copy, " \t", &save); w;
	     w = strtok_r(NULL, " \t", &save))
		strbuf_addf(&out, "%s%s", out.len ? " " : "", w);
	free(*field);
	*field = strbuf_steal(&out);
	return 0;
}

/* ----------------------------------------------------------------- print */

static bool
print_text(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	const char *text = *FIELD_C(object, o, char *);

	if (text)
		strbuf_adds(out, text);
	return text;
}

static bool
print_flag(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	strbuf_adds(out, word_of(o, *FIELD_C(object, o, bool)));
	return true;
}

static bool
print_choice(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	strbuf_adds(out, word_of(o, *FIELD_C(object, o, int)));
	return true;
}

static bool
print_bool(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	bool v = *FIELD_C(object, o, bool);

	if (!v && !o->def)
		return false; /* not set */
	strbuf_adds(out, v ? "yes" : "no");
	return true;
}

static bool
print_count(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	strbuf_addf(out, "%u", *FIELD_C(object, o, unsigned));
	return true;
}

static bool
print_bytes(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	print_size(out, *FIELD_C(object, o, uint64_t));
	return true;
}

static bool
print_duration(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	int64_t v = *FIELD_C(object, o, int64_t);

	if (!v && !o->def)
		return false; /* not set */
	conf_value_duration(out, o->type == CONF_T_SECONDS ? v * 1000 : v);
	return true;
}

static bool
print_type(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	strbuf_adds(out, (*FIELD_C(object, o, struct backend_ops *))->type);
	return true;
}

static bool
print_backend(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	strbuf_adds(out, (*FIELD_C(object, o, struct backend_conf *))->name);
	return true;
}

/* ----------------------------------------------------------------- types */

static const struct {
	int (*set)(const struct conf_option *o, void *object,
	    const char *text, struct tb_error *err);
	bool (*print)(const struct conf_option *o, const void *object,
	    struct strbuf *out);
} types[] = {
	[CONF_T_TEXT] = { set_text, print_text },
	[CONF_T_NAME] = { set_name, print_text },
	[CONF_T_PATH] = { set_path, print_text },
	/* printed as the path it became, by its neighbour in the table */
	[CONF_T_CREDENTIAL] = { set_credential, NULL },
	[CONF_T_URL] = { set_text, print_text },
	[CONF_T_WORD] = { set_word, print_text },
	[CONF_T_WORDS] = { set_words, print_text },
	[CONF_T_BOOL] = { set_bool, print_bool },
	[CONF_T_FLAG] = { set_word, print_flag },
	[CONF_T_CHOICE] = { set_word, print_choice },
	[CONF_T_COUNT] = { set_count, print_count },
	[CONF_T_SIZE] = { set_size, print_bytes },
	[CONF_T_DURATION] = { set_duration, print_duration },
	[CONF_T_SECONDS] = { set_duration, print_duration },
	[CONF_T_DISTANCES] = { conf_list_set, conf_list_print },
	[CONF_T_TYPE] = { set_type, print_type },
	[CONF_T_BACKEND] = { NULL, print_backend }, /* conf_cross sets it */
	[CONF_T_UNITS] = { conf_list_set, conf_list_print },
	[CONF_T_LABELS] = { conf_list_set, conf_list_print },
	[CONF_T_TOKENS] = { conf_list_set, conf_list_print },
	[CONF_T_USERS] = { conf_list_set, conf_list_print },
	[CONF_T_GROUPS] = { conf_list_set, conf_list_print },
	[CONF_T_DOORS] = { conf_list_set, conf_list_print },
	[CONF_T_RATE] = { conf_list_set, conf_list_print },
	[CONF_T_CREDENTIALS] = { conf_list_set, conf_list_print },
	[CONF_T_PERMISSIONS] = { conf_list_set, conf_list_print },
	[CONF_T_AUDIENCE] = { conf_list_set, conf_list_print },
	[CONF_T_RESOURCES] = { conf_list_set, conf_list_print },
	[CONF_T_PARAMETERS] = { conf_list_set, conf_list_print },
};

int
conf_value_set(const struct conf_option *o, struct conf_item *item,
    const char *text, struct tb_error *err)
{
	if (!*text)
		return tb_error_set(err, TB_E_CONFIG,
		    "there is no value: leave the line out for the default");
	if (o->type != CONF_T_BACKEND)
		return types[o->type].set(o, item->object, text, err);
	if (!conf_is_name(text))
		return name_error(text, err);
	str_set(&item->backend_name, text);
	return 0;
}

bool
conf_value_print(const struct conf_option *o, const void *object,
    struct strbuf *out)
{
	return types[o->type].print && types[o->type].print(o, object, out);
}
