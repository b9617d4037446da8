/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * files - which files make up an audit log, in their order: audit-SEQ.jsonl by
 * SEQ, then audit.jsonl, to which the daemon writes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tb_error;

#define FILES_CURRENT "audit.jsonl"
#define FILES_TORN "audit.jsonl.torn"
#define FILES_KEYS "audit.pub"

struct log_file {
	char *path;        /* "-": standard input */
	uint64_t last_seq; /* from its name: its last line that counts; 0: the
	                    * name does not say */
	int fd;            /* -1: opened when it is its turn */
};

struct files {
	char *dir; /* NULL: a list of files was given */
	struct log_file *file;
	size_t n;
	bool has_current;
	off_t torn_bytes; /* of FILES_TORN; 0: is not there */
};

/* Those in dir. audit.jsonl is opened before the others are listed, so that a
 * rotation in between cannot make a line go missing. */
int files_list(struct files *f, const char *dir, struct tb_error *err);
/* Exactly these. */
void files_set(struct files *f, const char *const *paths, size_t n);
void files_clear(struct files *f);

/* A descriptor that stays the files', or -1. */
int files_open(struct files *f, size_t i, struct tb_error *err);
void files_close(struct files *f, size_t i);

/* The SEQ of a name like audit-00000000000000000017.jsonl, or 0. */
uint64_t files_name_seq(const char *name);
/* "cannot read PATH: ...", and for a permission who may. */
int files_fail(const char *path, int errnum, struct tb_error *err);
