/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influxdb_v2_int - what the two files of the type share: influxdb_v2.c asks,
 * influxdb_v2_perm.c knows the words of permissions and what they send.
 */
#include <jansson.h>

#include "backend/backend.h"
#include "base/strbuf.h"

/* What has been found out for one mint. */
struct influxdb_v2_mint {
	char *org_id, *user_id;
	char **ids;   /* one per permission: of its bucket, else NULL */
	bool *copied; /* one per permission: its clone is in `clones` */
	size_t n;
	struct strbuf clones; /* JSON objects, each behind a comma */
	char **types; /* resource types the service has */
	size_t n_types;
	size_t at;    /* the permission that is asked for */
	bool from_cache, again;
};

/* 16 hexadecimal digits. A name of that form is taken for an id. */
bool influxdb_v2_is_id(const char *s);

bool influxdb_v2_is_bucket(const char *action);
bool influxdb_v2_is_clone(const char *action);
/* all-access or operator: which types there are must be asked. */
bool influxdb_v2_wants_types(const struct backend_recipe *r);

int influxdb_v2_check_permissions(const struct backend_recipe *r,
    struct tb_error *err);

/* The permissions of an authorization, to be copied. */
int influxdb_v2_add_clone(struct influxdb_v2_mint *m, json_t *permissions,
    struct tb_error *err);
/* The list of types in the answer. */
int influxdb_v2_set_types(struct influxdb_v2_mint *m, json_t *list,
    struct tb_error *err);
/* "[...]" */
void influxdb_v2_add_permissions(const struct influxdb_v2_mint *m,
    const struct backend_recipe *r, struct strbuf *body);
