/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * anchor - checkpoint lines that were kept elsewhere. Whoever rewrites a log
 * and signs it again cannot rewrite these: each must be in the log, byte for
 * byte.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct anchors;
struct tb_error;

struct anchor {
	uint64_t seq;
	char *line;
	size_t len;
	char *where; /* "FILE:LINE" */
	bool found, differs;
};

struct anchors *anchors_new(void);
void anchors_free(struct anchors *a);

/* Checkpoint lines from a file, "-" for standard input; empty lines and those
 * that begin with "#" are skipped. TB_E_BADREQ for anything else. */
int anchors_load(struct anchors *a, const char *path, struct tb_error *err);
size_t anchors_count(const struct anchors *a);
struct anchor *anchors_at(struct anchors *a, size_t i); /* by seq */
/* The first one with this number, or NULL; others follow it. */
struct anchor *anchors_find(struct anchors *a, uint64_t seq);
/* Of the anchor's line. */
const char *anchor_hash(const struct anchor *a);
