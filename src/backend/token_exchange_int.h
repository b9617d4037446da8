/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token_exchange_int - what the two files of the type share: token_exchange.c
 * asks, token_exchange_conf.c knows what was configured.
 */
#include "backend/backend.h"

#define TOKEN_EXCHANGE_TYPE "urn:ietf:params:oauth:token-type:"

/* The recipe's own, else the backend's, else NULL; words. */
const char *token_exchange_audience(const struct backend_conf *c,
    const struct backend_recipe *r);
const char *token_exchange_resource(const struct backend_conf *c,
    const struct backend_recipe *r);
const char *token_exchange_scopes(const struct backend_conf *c,
    const struct backend_recipe *r);

/* The next of some words, and *s behind it; NULL at the end. Owned. */
char *token_exchange_word(const char **s);
bool token_exchange_has_word(const char *words, const char *word);
/* "jwt" is the RFC's own URI of that name. Owned. */
char *token_exchange_type_uri(const char *type);

int token_exchange_check(const struct backend_conf *c, struct tb_error *err);
int token_exchange_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err);
