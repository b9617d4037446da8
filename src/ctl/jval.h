/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jval - reads what the daemon says in JSON, forgivingly: an absent member or
 * one of another type is a default, so that this program and a daemon of a
 * neighbouring version understand each other. Every function takes NULL for
 * "there is none". Values and strings are borrowed from the root.
 *
 * jansson is behind it and is loaded when the first text is parsed: linked, it
 * costs each start 7 % of /bin/true, and `get` and `run` read no JSON. So no
 * other file here includes its header.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/secret.h"

struct json_t;
struct tb_error;

/* Any value; -1 (NULL) with TB_E_PROTO for no JSON, TB_E_IO when the library
 * is not there. What is freed is wiped. */
struct json_t *jval_parse(const struct secret *text, struct tb_error *err);
struct json_t *jval_parse_text(const char *text, size_t len,
    struct tb_error *err);
void jval_free(struct json_t *root);

static inline void
jval_freep(struct json_t **root)
{
	jval_free(*root);
}
#define _cleanup_jval_ _cleanup_(jval_freep)

const struct json_t *jval_get(const struct json_t *o, const char *key);
bool jval_is_object(const struct json_t *v);
const char *jval_text(const struct json_t *v); /* a string, or NULL */

const char *jval_str(const struct json_t *o, const char *key);
int64_t jval_int(const struct json_t *o, const char *key, int64_t otherwise);
/* Exactly true, exactly false. */
bool jval_is_true(const struct json_t *o, const char *key);
bool jval_is_false(const struct json_t *o, const char *key);
/* RFC 3339 or a number; 0: none. */
int64_t jval_time(const struct json_t *o, const char *key);

/* The array under key, or the value itself when it is one; NULL: none. */
const struct json_t *jval_list(const struct json_t *o, const char *key);
size_t jval_size(const struct json_t *list);
const struct json_t *jval_at(const struct json_t *list, size_t i);
/* An array's element as a name: a string, or an object with "name". */
const char *jval_name(const struct json_t *element);

/* Every member that is text, a number or a boolean, as text. */
typedef void jval_member_fn(void *arg, const char *key, const char *text);
void jval_each(const struct json_t *o, jval_member_fn *fn, void *arg);

/* On one line, with a line end. */
void jval_print(const struct json_t *v, FILE *out);
