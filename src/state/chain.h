/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * chain - the hash chain of the audit log: what makes one line depend on all
 * lines before it. Pure: text in, text out.
 *
 * A line is what audit wrote, `{"time":...}`, with `"seq":N` spliced in front
 * and `"hash":"H"` at the back. H is the SHA-256, in lower-case hex, of the
 * 64 hex digits of the line before (64 zeros before the first one) followed
 * by this line's bytes up to and without `,"hash"`. So `sha256sum` is enough
 * to check a log by hand.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct chain_hasher;
struct tb_error;

/* An end of the chain. A value. */
struct chain_pos {
	uint64_t seq;  /* of the last line; 0: none yet */
	char hash[65]; /* its hash */
};

extern const struct chain_pos chain_start;

/* The algorithm is fetched once; one hasher belongs to one thread. */
struct chain_hasher *chain_hasher_new(struct tb_error *err);
void chain_hasher_free(struct chain_hasher *h);

/* Appends the next line with its newline to out and moves pos. text is a
 * JSON object with at least one member. */
void chain_append(struct chain_hasher *h, struct chain_pos *pos,
    const char *text, size_t len, struct strbuf *out);

/* The position that a line (without newline) stands for, read from its first
 * and last member; false when it is not a line of ours. Checks no hash. */
bool chain_parse(const char *line, size_t len, struct chain_pos *pos);
