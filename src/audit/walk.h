/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * walk - a whole log, line by line, verified on the way: who reads a log to
 * answer a question wants to know as well whether it can be believed.
 */
#include "audit/files.h"
#include "audit/scan.h"

struct tb_error;
struct verify;

/* Of a line that counts. line is without its newline. */
typedef void walk_fn(void *arg, const char *line, size_t len,
    const struct scan *scan);

/* fn may be NULL. The end of the last file is told to verify_rest, but
 * verify_end is the caller's. */
int walk_files(struct files *f, struct verify *v, walk_fn *fn, void *arg,
    struct tb_error *err);
