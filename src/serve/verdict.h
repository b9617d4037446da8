/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * verdict - what the rules say about one peer and the tokens that it asked for,
 * kept for the life of the peer or until the configuration changes. Only
 * permissions are kept: a refusal is computed each time, and costs the same
 * whether the token exists or not.
 */
#include <stdint.h>

#include "state/acl.h"

struct broker;
struct broker_view;
struct conf;
struct principal;

#define VERDICT_KEPT 4

struct verdict_cache {
	uint64_t conf_generation;
	unsigned n, next; /* filled; to be replaced next */
	struct verdict_kept {
		enum acl_door door;
		const char *token; /* borrowed from the configuration */
		struct acl_verdict v;
		uint64_t serial, same; /* see verdict_same */
		int64_t expires_at;
	} kept[VERDICT_KEPT];
};

struct verdict_env {
	const struct broker *broker;
	const struct conf *conf;
	uint64_t conf_generation; /* another one for every configuration */
};

/* *cache is made on the first permission (and freed by the caller). A token
 * that is not configured is denied, whatever the rules say. */
struct acl_verdict verdict_get(struct verdict_cache **cache,
    const struct verdict_env *env, const struct principal *who,
    enum acl_door door, const char *token);

/* After a permission: the number that struct audit_rec calls `same`, for a
 * release of what view shows. 0 for the first one: few peers ask twice.
 * *last: the newest number there is. */
uint64_t verdict_same(struct verdict_cache *c, enum acl_door door,
    const struct broker_view *view, uint64_t *last);
