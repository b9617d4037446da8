/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jsonx - jansson with typed getters that name the path in the error.
 * Duplicate keys and a depth over 32 are refused; memory is wiped on free
 * (jsonx_init, once, before anything else uses jansson). Strings are borrowed
 * while the root lives. Not for the hot path.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"

struct tb_error;

void jsonx_init(void);

static inline void
jsonx_unrefp(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(jsonx_unrefp)

/* An object or array; anything else, trailing text or invalid UTF-8 is
 * TB_E_PROTO with the place ("line 1 column 17"), never with content. */
json_t *jsonx_parse(const char *text, size_t len, struct tb_error *err);
json_t *jsonx_parse_secret(const struct secret *text, struct tb_error *err);
json_t *jsonx_parse_object(const struct secret *text, struct tb_error *err);

/* Required members of an object: -1 with "member 'x' is missing" or "... must
 * be a string". NUL inside a string is refused. */
int jsonx_str(const json_t *obj, const char *key, const char **out,
    struct tb_error *err);
int jsonx_secret(const json_t *obj, const char *key, struct secret *out,
    struct tb_error *err);
/* A number, or a string that is one entirely ("600"): RFC 8628 in the wild. */
int jsonx_int(const json_t *obj, const char *key, int64_t *out,
    struct tb_error *err);

/* Optional members: absent or null leaves *out as it is and returns 0. */
int jsonx_opt_str(const json_t *obj, const char *key, const char **out,
    struct tb_error *err);
int jsonx_opt_secret(const json_t *obj, const char *key, struct secret *out,
    struct tb_error *err);
int jsonx_opt_int(const json_t *obj, const char *key, int64_t *out,
    struct tb_error *err);
int jsonx_opt_bool(const json_t *obj, const char *key, bool *out,
    struct tb_error *err);

/* As jsonx_opt_str into an owned string, which absent or null sets to NULL. */
int jsonx_opt_copy(const json_t *obj, const char *key, char **out,
    struct tb_error *err);
/* A member, left out when value is NULL. */
void jsonx_put_str(json_t *obj, const char *key, const char *value);

/* RFC 6901 JSON pointer ("/data/0/token"); NULL when there is nothing. */
json_t *jsonx_pointer(json_t *root, const char *pointer);

/* Compact text, as a secret. */
void jsonx_dump(const json_t *j, struct secret *out);
