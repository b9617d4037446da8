/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * metrics - the daemon in numbers, for the admin door (OpenMetrics) and, with
 * metrics_file, as a file that node_exporter or Telegraf reads. The file is
 * made by the writer thread: no disk can hold up the loop.
 */
#include <stdbool.h>

struct metrics_file;
struct serve;
struct strbuf;

void metrics_text(struct serve *s, bool prometheus, struct strbuf *out);

struct metrics_file *metrics_file_new(struct serve *s);
/* By the present configuration. NULL is fine, here and below. */
void metrics_file_reconfigure(struct metrics_file *f);
void metrics_file_free(struct metrics_file *f);
