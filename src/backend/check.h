/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * check - what several backend types ask of their configuration at load. All
 * return 0 or -1 with TB_E_CONFIG, naming the key, without file:line.
 */
#include <stddef.h>

struct backend_conf;
struct backend_recipe;
struct tb_error;
struct template_var;

/* Payer, base_url if set, TLS files, auth_scheme. */
int check_common(const struct backend_conf *c, struct tb_error *err);
/* A [token] of this kind holds all power: only with allow_full_access. */
int check_full_access(const struct backend_recipe *r, const char *what,
    struct tb_error *err);
/* Each action and resource; none at all is fine. */
int check_permissions(const struct backend_recipe *r, struct tb_error *err);
int check_no_permissions(const struct backend_recipe *r, const char *what,
    struct tb_error *err);

/* A URL template: absolute, or a path behind base_url. vars hold samples. */
int check_url(const struct backend_conf *c, const char *key, const char *url,
    const struct template_var *vars, size_t n_vars, struct tb_error *err);
/* A JSON pointer; NULL is fine. */
int check_pointer(const char *key, const char *pointer, struct tb_error *err);
