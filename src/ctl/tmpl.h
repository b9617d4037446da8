/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tmpl - templates of files that tokens are written into. Pure. The syntax has
 * no loops, no conditions and executes nothing:
 *
 *	{{token}}              the value of the token that is watched
 *	{{token NAME}}         of another one
 *	{{expires_at}}         RFC 3339; {{expires_at NAME | unix}}: seconds
 *	{{generation}}         a number
 *	{{name}}               the token's name
 *	{{var KEY}}            what --set KEY=VALUE says
 *	{{... | json}}         written as that format wants it, see quote.h
 *	{{open}}               two opening braces
 *	{{# text }}            nothing; with its line, where it stands alone
 *
 * A value without a filter must consist of characters that mean nothing
 * anywhere; all that is not understood is an error with file and line.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

struct tb_error;
struct tmpl;

#define TMPL_CAP ((size_t)64 << 10)
#define TMPL_TOKENS_MAX 16

/* file: for errors, copied. text is copied. */
struct tmpl *tmpl_parse(const char *file, const char *text,
    struct tb_error *err);
struct tmpl *tmpl_free(struct tmpl *t);

static inline void
tmpl_freep(struct tmpl **t)
{
	tmpl_free(*t);
}

/* The tokens that it names, each once; "" is the one that is watched. */
size_t tmpl_n_tokens(const struct tmpl *t);
const char *tmpl_token(const struct tmpl *t, size_t i);

struct tmpl_value {
	const char *name;
	const struct secret *value;
	int64_t expires_at; /* seconds since the epoch */
	int64_t generation;
};

struct tmpl_source {
	const char *own; /* the token that is watched, or NULL */
	const struct tmpl_value *values;
	size_t n_values; /* all that it names are there */
	const char *const *vars; /* "KEY=VALUE" */
	size_t n_vars;
};

/* Whether vars has all that it asks for: to be told at the start. */
int tmpl_check_vars(const struct tmpl *t, const char *const *vars,
    size_t n_vars, struct tb_error *err);
int tmpl_render(const struct tmpl *t, const struct tmpl_source *source,
    struct secret *out, struct tb_error *err);
