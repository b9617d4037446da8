/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * broker_world - a broker on fake time, fake network and fake disk, for the
 * tests of broker/: real configuration, real operations, real backends.
 */
#include "broker/broker.h"
#include "broker/broker_int.h"
#include "conf.h"
#include "fake_http.h"
#include "fake_loop.h"
#include "fake_now.h"
#include "fake_state.h"

struct world {
	struct loop *loop;
	struct http *http;
	struct seal *seal;
	struct broker *broker;
	struct conf *conf;
};

/* What a waiter was told. */
struct heard {
	struct broker_waiter *waiter;
	int answers;
	uint64_t generation;
	char value[128];
	struct tb_error err;
};

/* Two backends: `prod` (clustered, paid by login ops) and `paid` (clustered,
 * paid by the imported token `mgmt`); tokens `db`, `db2`, `mgmt`, `access`. */
extern const char world_conf[];
/* A grant with refresh token rt1 and access token at1; NULL expires: already
 * stale. */
#define WORLD_GRANT(access_expires) \
	"{\"v\":1,\"issuer\":\"https://idp.test\",\"client_id\":\"cli\"," \
	"\"origins\":\"https://idp.test\",\"refresh_token\":\"rt1\"," \
	"\"access_token\":\"at1\",\"access_expires_at\":" #access_expires "}"
#define WORLD_LATER 1795999999 /* more than six days after the fake now */

/* Fails the test when the configuration does not load. */
struct conf *world_load(const char *text);
/* world_conf with more in [token db], and in front of all. Owned by the
 * caller. */
char *world_conf_db(const char *keys, const char *broker);
/* Reloads with that, or with any, up to where the outside has to answer. */
void world_reload_db(struct world *w, const char *keys, const char *broker);
void world_reload(struct world *w, const char *text);
/* The new configuration, which is w's then, and nothing after it. */
void world_reconfigure(struct world *w, struct conf *next);
void world_start(struct world *w, const char *text);
void world_stop(struct world *w);
/* The usual fixture, by world_conf: grant is sealed at the start, or NULL. */
int world_setup(void **state, const char *grant);
int world_teardown(void **state);
/* Stops without a word, as SIGKILL does; records stay; starts again. */
void world_crash(struct world *w);
/* Stops in an orderly way, and starts again. */
void world_restart(struct world *w);
/* The run (systemd's invocation) of any unit with this id is over; static
 * text, NULL: of none. */
void world_run_is_over(const char *run);

void world_ask(struct world *w, const char *token, struct heard *h);
void world_watch(struct world *w, const char *token, uint64_t newer_than,
    struct heard *h);
void heard_clear(struct heard *h);

/* Scripts: a token made by the service, a refresh. */
void world_push_mint(const char *id, const char *value);
void world_push_refresh(const char *access, const char *refresh);
/* The sample of this name and labels; INT64_MIN when there is none. */
int64_t world_sample(struct world *w, const char *name);
/* How many requests so far have METHOD and url_part. */
size_t world_count(const char *method, const char *url_part);
