/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conf_int - what the conf*.c files share and nobody else includes.
 *
 * conf_options.c  the table: which keys there are
 * conf_value.c    one value: text into a field and back
 * conf_list.c     the same for fields that are lists
 * conf_ini.c      lines of a file into headings and pairs (inih)
 * conf.c          files into a struct conf_build, and the life of the result
 * conf_check.c    defaults, and whether one section makes sense by itself
 * conf_cross.c    references between sections
 * conf_dump.c     the way back: --dump, --list-options, reload
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "conf.h"

struct strbuf;

enum conf_section {
	CONF_BROKER,
	CONF_LOGIN,
	CONF_BACKEND,
	CONF_TOKEN,
	CONF_CLIENT,
};
#define CONF_N_SECTIONS 5

extern const char *const conf_section_names[CONF_N_SECTIONS];

enum conf_type {
	CONF_T_TEXT,        /* char *: the value as it stands */
	CONF_T_NAME,        /* char *: name of a section */
	CONF_T_PATH,        /* char *: absolute */
	CONF_T_CREDENTIAL,  /* char *: file in $CREDENTIALS_DIRECTORY */
	CONF_T_URL,         /* char *: checked in conf_check */
	CONF_T_WORD,        /* char *: one of words */
	CONF_T_WORDS,       /* char *: words, single spaces between */
	CONF_T_BOOL,        /* bool: yes, no */
	CONF_T_FLAG,        /* bool: one of two words */
	CONF_T_CHOICE,      /* int or enum: one of words */
	CONF_T_COUNT,       /* unsigned: min to max */
	CONF_T_SIZE,        /* uint64_t, bytes: min to max */
	CONF_T_DURATION,    /* int64_t, milliseconds: min to max */
	CONF_T_SECONDS,     /* int64_t, whole seconds: min to max in ms */
	CONF_T_DISTANCES,   /* struct token_conf: durations, or none */
	CONF_T_TYPE,        /* const struct backend_ops * */
	CONF_T_BACKEND,     /* const struct backend_conf *, after conf_cross */
	CONF_T_UNITS,       /* char ** and count: globs */
	CONF_T_LABELS,      /* char ** and count: globs */
	CONF_T_TOKENS,      /* char ** and count: globs */
	CONF_T_USERS,       /* struct acl_rule */
	CONF_T_GROUPS,      /* struct acl_rule */
	CONF_T_DOORS,       /* unsigned, mask */
	CONF_T_RATE,        /* struct acl_rule */
	CONF_T_CREDENTIALS, /* struct acl_rule: ID=TOKEN */
	CONF_T_PERMISSIONS, /* struct backend_recipe: ACTION:RESOURCE */
	CONF_T_AUDIENCE,    /* struct idp_conf: one parameter */
	CONF_T_RESOURCES,   /* struct idp_conf: parameters "resource" */
	CONF_T_PARAMETERS,  /* struct idp_conf: NAME=VALUE */
};

enum {
	CONF_RESTART = 1 << 0,  /* a reload that changes it is refused */
	CONF_REQUIRED = 1 << 1,
};

struct conf_word {
	const char *word;
	int value;
};

struct conf_option {
	enum conf_section section;
	const char *key;
	enum conf_type type;
	size_t offset;  /* in the section's struct */
	size_t count;   /* lists: where their length is */
	const char *def; /* as it would be written; NULL: none */
	unsigned flags;
	const struct conf_word *words;
	int64_t min, max;
	const char *help;
};

extern const struct conf_option conf_options[];
extern const size_t conf_n_options;
#define CONF_OPTIONS_MAX 192

/* Index in conf_options, or -1. */
int conf_option_find(enum conf_section section, const char *key);

struct conf_place {
	const char *file; /* borrowed */
	int line;
};

/* One section as it was found; lives while a configuration is loaded. */
struct conf_item {
	enum conf_section section;
	char *name;           /* NULL for [broker] */
	struct conf_place at; /* of the heading */
	void *object;         /* struct idp_conf, ...: belongs to the conf */
	char *backend_name;   /* CONF_T_BACKEND, until it is resolved */
	int lines[CONF_OPTIONS_MAX]; /* by option: where it is set; 0: not */
};

struct conf_build {
	struct conf *conf;
	char **files; /* names for conf_place */
	size_t n_files;
	struct conf_item **items; /* in the order of the files */
	size_t n_items;
};

/* "FILE:LINE: [login ops]: text". The line is that of the key when the item
 * has it, else (or key NULL) of the heading. Always -1. */
int conf_error(const struct conf_item *item, const char *key,
    struct tb_error *err, const char *fmt, ...) _printf_(4, 5);
/* Puts the same in front of what err says. */
int conf_error_wrap(const struct conf_item *item, const char *key,
    struct tb_error *err);
bool conf_is_set(const struct conf_item *item, const char *key);
struct conf_item *conf_item_find(const struct conf_build *b,
    enum conf_section section, const char *name);

/* [A-Za-z0-9._-]{1,64} */
bool conf_is_name(const char *s);
#define CONF_NAME_MAX 64

/* object is the section's struct. The error has no file:line. */
int conf_value_set(const struct conf_option *o, struct conf_item *item,
    const char *text, struct tb_error *err);
/* False when there is nothing to write. */
bool conf_value_print(const struct conf_option *o, const void *object,
    struct strbuf *out);
/* A duration in one unit, such that reading it gives the same. */
void conf_value_duration(struct strbuf *out, int64_t ms);

/* The list types, for conf_value.c. */
int conf_list_set(const struct conf_option *o, void *object,
    const char *text, struct tb_error *err);
bool conf_list_print(const struct conf_option *o, const void *object,
    struct strbuf *out);

/* Defaults, required keys, and each section by itself. */
int conf_check(struct conf_build *b, struct tb_error *err);
/* References, then what needs more than one section. */
int conf_cross(struct conf_build *b, struct tb_error *err);

/* "did you mean": of the words shown, the one nearest to what was written. */
struct conf_guess {
	const char *wrong, *best; /* borrowed */
	unsigned distance;
	char text[CONF_NAME_MAX + 24];
};
void conf_guess_init(struct conf_guess *g, const char *wrong);
void conf_guess_try(struct conf_guess *g, const char *word);
/* " (did you mean 'x'?)" or "". */
const char *conf_guess_text(struct conf_guess *g);
