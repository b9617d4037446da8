/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_broker - broker/broker.h without logins, services or a disk: tokens are
 * what the test says, waiters are answered when it says so, on the next turn
 * of the loop. Link it instead of src/broker.
 */
#include <stdbool.h>
#include <stdint.h>

#include "broker/broker.h"

struct loop;

/* The only one; freed by broker_free. */
struct broker *fake_broker_new(struct loop *loop);

/* A configured token without a value. */
void fake_broker_add(struct broker *b, const char *name);
/* Its new value; whoever waits for it is told. */
void fake_broker_set(struct broker *b, const char *name, const char *value,
    uint64_t generation, int64_t expires_at);
/* The same value; the clock was set, and its end is another by it. */
void fake_broker_shift(struct broker *b, const char *name,
    int64_t expires_at);
/* It has none any more / it is not configured any more. */
void fake_broker_unset(struct broker *b, const char *name);
void fake_broker_remove(struct broker *b, const char *name);
/* All who wait for it are told this. */
void fake_broker_fail(struct broker *b, const char *name, enum tb_errc code,
    const char *msg, int64_t retry_after_ms);
unsigned fake_broker_waiters(const struct broker *b);
/* How often somebody came to an empty token: each would start a mint. */
unsigned fake_broker_cold(const struct broker *b);

/* What broker_rejected answers, and what it was last asked. */
void fake_broker_accept(struct broker *b, bool accept);
uint64_t fake_broker_rejected_generation(const struct broker *b);

/* The login that is under way, or NULL; its request as "NAME EXPECT REPIN". */
const char *fake_broker_login(const struct broker *b);
void fake_broker_news(struct broker *b, const struct broker_login_news *news);
/* -1: not asked */
int fake_broker_confirmed(const struct broker *b);
unsigned fake_broker_cancelled(const struct broker *b);
/* The next broker_login_start fails so. */
void fake_broker_refuse_login(struct broker *b, const char *msg);

/* Leases are called t1@lease:NUMBER:uid:UID; a new one is number 1. Taking one
 * is a job without an end ("lease t1 0"). TB_OK: not refused any more. */
void fake_broker_refuse_lease(struct broker *b, enum tb_errc code,
    const char *msg);
/* The last job as text ("revoke t1 3"), and its end. False: nobody waits. */
const char *fake_broker_job(const struct broker *b);
bool fake_broker_job_end(struct broker *b, json_t *detail /* taken */,
    const struct tb_error *err);

uint64_t fake_broker_released(const struct broker *b, const char *name,
    unsigned door, enum broker_outcome outcome);

/* How often broker_hold was told, and the last as "t1 7 uid=1000 door=0 memfd".
 * last may be NULL. */
unsigned fake_broker_holds(const struct broker *b, const char **last);
/* fn is called by each. */
void fake_broker_on_hold(struct broker *b, void (*fn)(void));

/* What broker_status says of the disk. */
void fake_broker_disk(struct broker *b, bool ok);
