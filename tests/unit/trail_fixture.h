/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * trail_fixture - what the tests of state/trail share: a key, small files, and
 * checks that read the files and share no code with what wrote them: the chain
 * (state_fixture.c), and here the signatures.
 */
#include "state/checkpoint.h"
#include "state_fixture.h"

/* All lines of all files, in order, without those that a condemned file has
 * behind its end; to be freed. */
char *trail_read_all(struct state_fixture *f);
/* Checks the chain, every checkpoint's signature and count. Returns how many
 * checkpoints there are; *reasons (may be NULL): "started time ...", to be
 * freed. */
unsigned trail_verify(struct state_fixture *f, char **reasons);
void trail_assert_reasons(struct state_fixture *f, const char *expected);

struct checkpoint_key *trail_make_key(char c);
void trail_give_key(struct state_fixture *f, char c);
/* A durable line, waited for. */
void trail_put(struct state_fixture *f, const char *name);
/* Starts the writer anew with files of so many bytes, and a key. */
void trail_small_files(struct state_fixture *f, unsigned size, unsigned keep);
/* Older files. */
size_t trail_count_files(struct state_fixture *f);
