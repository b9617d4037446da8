/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_dump - the table read the other way: what is in force, what can be
 * written, what a reload may change.
 */
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "conf_ini.h"
#include "conf_int.h"

static const char *const type_names[] = {
	[CONF_T_TEXT] = "text",
	[CONF_T_NAME] = "name",
	[CONF_T_PATH] = "path",
	[CONF_T_CREDENTIAL] = "credential",
	[CONF_T_URL] = "URL",
	[CONF_T_WORD] = "word",
	[CONF_T_WORDS] = "list",
	[CONF_T_BOOL] = "yes/no",
	[CONF_T_FLAG] = "word",
	[CONF_T_CHOICE] = "word",
	[CONF_T_COUNT] = "number",
	[CONF_T_SIZE] = "size",
	[CONF_T_DURATION] = "duration",
	[CONF_T_SECONDS] = "duration",
	[CONF_T_DISTANCES] = "list",
	[CONF_T_TYPE] = "word",
	[CONF_T_BACKEND] = "name",
	[CONF_T_UNITS] = "list",
	[CONF_T_LABELS] = "list",
	[CONF_T_TOKENS] = "list",
	[CONF_T_USERS] = "list",
	[CONF_T_GROUPS] = "list",
	[CONF_T_DOORS] = "list",
	[CONF_T_RATE] = "rate",
	[CONF_T_CREDENTIALS] = "list",
	[CONF_T_PERMISSIONS] = "list",
	[CONF_T_AUDIENCE] = "text",
	[CONF_T_RESOURCES] = "list",
	[CONF_T_PARAMETERS] = "list",
};

static void
dump_section(enum conf_section section, const char *name, const void *object,
    FILE *out)
{
	struct strbuf value _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (name)
		fprintf(out, "\n[%s %s]\n", conf_section_names[section], name);
	else
		fprintf(out, "[%s]\n", conf_section_names[section]);
	for (size_t i = 0; i < conf_n_options; i++) {
		const struct conf_option *o = &conf_options[i];
		bool tight;

		strbuf_reset(&value);
		if (o->section != section ||
		    !conf_value_print(o, object, &value))
			continue;
		/* A line that was just short enough without spaces, or a
		 * value that behind one would be a comment. */
		tight = strlen(o->key) + 3 + value.len > CONF_INI_MAX_LINE ||
		    *strbuf_str(&value) == ';';
		fprintf(out, tight ? "%s=%s\n" : "%s = %s\n", o->key,
		    strbuf_str(&value));
	}
}

void
conf_dump(const struct conf *c, FILE *out)
{
	dump_section(CONF_BROKER, NULL, c, out);
	for (size_t i = 0; i < c->n_logins; i++)
		dump_section(CONF_LOGIN, c->logins[i]->name, c->logins[i],
		    out);
	for (size_t i = 0; i < c->n_backends; i++)
		dump_section(CONF_BACKEND, c->backends[i]->name,
		    c->backends[i], out);
	for (size_t i = 0; i < c->n_tokens; i++)
		dump_section(CONF_TOKEN, c->tokens[i]->name, c->tokens[i],
		    out);
	for (size_t i = 0; i < c->n_rules; i++)
		dump_section(CONF_CLIENT, c->rules[i]->name, c->rules[i], out);
}

void
conf_list_options(FILE *out)
{
	for (size_t i = 0; i < conf_n_options; i++) {
		const struct conf_option *o = &conf_options[i];

		fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n",
		    conf_section_names[o->section], o->key,
		    type_names[o->type],
		    o->flags & CONF_REQUIRED ? "required" :
			o->def		     ? o->def :
					       "-",
		    o->flags & CONF_RESTART ? "restart" : "reload", o->help);
	}
}

int
conf_check_reloadable(const struct conf *a, const struct conf *b,
    struct tb_error *err)
{
	for (size_t i = 0; i < conf_n_options; i++) {
		const struct conf_option *o = &conf_options[i];
		struct strbuf was _cleanup_(strbuf_clear) = STRBUF_INIT;
		struct strbuf is _cleanup_(strbuf_clear) = STRBUF_INIT;

		if (!(o->flags & CONF_RESTART))
			continue;
		conf_value_print(o, a, &was);
		conf_value_print(o, b, &is);
		if (!streq(strbuf_str(&was), strbuf_str(&is)))
			return tb_error_set(err, TB_E_CONFIG,
			    "[%s]: %s changes from '%.80s' to '%.80s': that "
			    "takes a restart", conf_section_names[o->section],
			    o->key, strbuf_str(&was), strbuf_str(&is));
	}
	return 0;
}
