/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * settle - operation: find out what became of a mint whose reply was lost, and
 * revoke what it left behind (P2). Lists repeatedly over settle_time, because
 * a service may commit after our first look; a token is ours when its
 * description holds the exact nonce and it was not made before the intent.
 * Where the backend cannot list or revoke, the intent stays unsettled, which
 * is told, until the token it asked for has expired by itself.
 */
#include <jansson.h>

#include "broker/intent.h"
#include "broker/token.h"

struct settle;

/* Once, from the top of the loop: settled; the intent's record is deleted. */
typedef void settle_done_fn(void *arg, struct settle *s);

/* intent is taken. */
struct settle *settle_start(const struct token_env *env,
    const struct conf *conf, const struct token_conf *tc,
    struct intent *intent, settle_done_fn *done, void *arg);
/* After a reload: by the new configuration, where that still has the backend
 * the intent names; else by the one it began with, as long as that pays. */
void settle_set_conf(struct settle *s, const struct conf *conf,
    const struct token_conf *tc);
/* Leaves the record: settling goes on at the next start. */
void settle_cancel(struct settle **s);

/* Nobody can look, ever or at present: told, and alarmed. */
bool settle_is_unsettled(const struct settle *s);
/* Nobody can look: only its expiry ends it. */
bool settle_is_blind(const struct settle *s);
const char *settle_nonce(const struct settle *s);
json_t *settle_status(const struct settle *s);
