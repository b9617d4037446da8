/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * state_fixture - what the tests of src/state share: a scratch directory with
 * "state" and "log" in it, a loop, a writer, counting of `done` calls, and a
 * verifier of the audit chain that shares no code with the writer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/tb_error.h"
#include "lib/loop.h"
#include "state/writer.h"

struct state_fixture {
	char dir[64], state_dir[80], log_dir[80];
	struct loop *loop;
	struct writer_env env; /* for the next start */
	struct writer *writer;
};

/* cmocka set-up and tear-down; *state is the fixture, writer running. */
int state_setup(void **state);
int state_teardown(void **state);
/* Stops and starts the writer on the same directories. */
void state_restart(struct state_fixture *f);
/* Stops it, or what is left of it when the disk is dead; state_restart goes
 * on from there. */
void state_stop(struct state_fixture *f);

/* done functions: state_done logs "NAME" or "NAME!" (failed) with NAME = arg
 * into state_done_log, separated by blanks. */
void state_done(void *arg, const struct tb_error *err);
extern char state_done_log[4096];
extern struct tb_error state_done_error; /* of the last one that failed */
/* Runs the loop until n more dones have run; false after some seconds. */
bool state_wait_done(struct state_fixture *f, unsigned n);
/* Puts a durable line and waits: all that was put before is written then. */
void state_barrier(struct state_fixture *f);

/* DIR/name as text, to be freed; NULL when there is none. */
char *state_read(const char *dir, const char *name);
void state_write(const char *dir, const char *name, const char *text);
void state_append(const char *dir, const char *name, const char *text);
/* The older audit files into another directory, and back. */
void state_move_older(struct state_fixture *f);
void state_move_back(struct state_fixture *f);
/* Entries of dir, sorted, separated by blanks, without . and ..; to be
 * freed. */
char *state_list(const char *dir);

void state_remove_tree(const char *dir);

/* A line {"event":"NAME"} with state_done for it. */
struct writer_item *state_put_line(struct state_fixture *f, const char *name,
    bool durable);
/* NULL: there is no such file. */
void state_assert_file(const char *dir, const char *name,
    const char *expected);
void state_assert_listing(const char *dir, const char *expected);
void state_assert_healthy(struct state_fixture *f);

/* All lines of the chain, condemned files first: checks every seq and hash.
 * Returns the count, fails the test on any flaw. With overlap, what follows
 * in a condemned file the line that the next one goes on from is skipped. */
unsigned state_verify_chain(const struct state_fixture *f, bool overlap);
/* Is the hash of the line at text (up to its newline) what follows from 64 hex
 * digits of the line before? */
bool state_follows(const char *before, const char *text);
/* How many lines of the chain contain text. */
unsigned state_count_lines(const struct state_fixture *f, const char *text);
