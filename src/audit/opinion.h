/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * opinion - what a verified log is worth, in words: what `verify` prints and
 * a report begins with. After verify_end.
 */
#include "audit/verify.h"

struct strbuf;
struct tool_log;

/* "good", "broken", "unknown" */
const char *opinion_name(enum verify_status status);
/* What the answer rests on and what it cannot say: sentences, each with a
 * line end. */
void opinion_add_notes(const struct tool_log *log, struct strbuf *out);
/* The answer: "good: 17 lines (seq 1 to 17) in 1 file, ...". */
void opinion_add_summary(const struct tool_log *log, struct strbuf *out);
