/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * template - {word} in configured URLs and JSON bodies. A placeholder is a
 * brace, letters and underscores, a brace; every other brace is
 * literal, since JSON is full of them. Values are encoded for the place they
 * go to and are never looked at again, so none can inject anything.
 *
 * In JSON the place is inside a string or outside of one, as the text before it
 * says: inside, the value is content of it; outside, it is a value of its own,
 * a number if it looks like one and else a string.
 */
#include <stdbool.h>
#include <stddef.h>

struct strbuf;
struct tb_error;

struct template_var {
	const char *word;
	const char *value; /* NULL: a known word without a value here */
};

/* At load: is every placeholder known, and has it a value? TB_E_CONFIG names
 * the one that is not. */
int template_check(const char *text, const struct template_var *vars,
    size_t n_vars, struct tb_error *err);
bool template_uses(const char *text, const char *word);

/* Values percent-encoded. */
void template_url(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars);
/* Values as a part of JSON. */
void template_json(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars);
/* Values as they are: for text that nobody parses. */
void template_text(struct strbuf *out, const char *text,
    const struct template_var *vars, size_t n_vars);
