/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * book - how far we are and which conditions last, in memory and, when asked,
 * in a file that is replaced at once and durably: after a crash it says what
 * it said before or what it says now.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct tb_error;

struct book {
	char *path; /* NULL: not kept */
	char *cursor; /* NULL: none yet */
	json_t *open; /* condition: { event, count, next (boot-independent) } */
	bool dirty;
	int lock; /* of PATH.lock, while it is open; -1: none */
};

/* path NULL: in memory only. A missing file is a new book; one that cannot be
 * read is an error, and not a reason to begin anew; and so is one that another
 * process goes by. */
int book_open(struct book *b, const char *path, struct tb_error *err);
void book_clear(struct book *b);

void book_set_cursor(struct book *b, const char *cursor);
/* Keeps what began, forgets what is over. An event that is over gives what
 * is to be told then ("over"), owned; else NULL. */
json_t *book_note(struct book *b, const json_t *event, int64_t now_s,
    int64_t remind_s);
/* What is due: a reminder, owned, and its time is moved; NULL: nothing. */
json_t *book_remind(struct book *b, int64_t now_s, int64_t remind_s);
/* Seconds until something may be due; -1: nothing will. */
int64_t book_next_s(const struct book *b, int64_t now_s);
/* Nothing to do when nothing has changed. */
int book_save(struct book *b, struct tb_error *err);
