/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * verify_world - a good log, keys and anchors, for tests of the verifier: each
 * spoils its copy, feeds it, and says what must be found where.
 */
#include "audit/anchor.h"
#include "audit/keys.h"
#include "audit/verify.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "log_maker.h"

#define N 100     /* lines of the log */
#define EVERY 20  /* lines 20, 40, ... 100 are checkpoints */
#define FILES_MAX 6

struct file {
	const char *name;
	uint64_t last_seq;
	size_t from, to; /* of the lines; 0: all */
};

struct world {
	EVP_PKEY *key, *other;
	char key_path[64], anchor_path[64];
	struct maker_log good;
	/* of the case */
	struct maker_log log;
	struct file file[FILES_MAX];
	size_t n_files;
	struct keys *keys;
	struct anchors *anchors;
	struct verify *verify;
	size_t torn;
};

/* Fixtures of the group, and of each test. */
int world_begin(void **state);
int world_end(void **state);
int world_set_up(void **state);
int world_tear_down(void **state);

/* Everything to the verifier, to the end. */
void world_feed(struct world *w);
/* This line was kept elsewhere. */
void world_anchor(struct world *w, const char *line);
/* Feeds. what: "KIND SEQ[-SEQ] @FILE:LINE[-LINE]" of each finding, joined by
 * "; ". */
void world_expect(struct world *w, enum verify_status status,
    const char *what);

#define WORLD_CASE(f) \
	cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)
