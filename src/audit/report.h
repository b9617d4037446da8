/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * report - a generation and its holders, as text and as JSON: what `who` and
 * `login` share.
 */
#include "audit/holdings.h"
#include "audit/print.h"
#include "base/strbuf.h"

struct verify;

struct report {
	int64_t at; /* when "now" is */
	bool local;
	bool matched_only; /* text: say which holders were asked for */
	struct term term;
};

/* "db #7  live, expires ...", then a row per holder. indent: spaces. */
void report_add_text(const struct report *r, const struct held *g, int indent,
    struct strbuf *out);
/* The members of an object, without its braces. */
void report_add_json(const struct report *r, const struct held *g,
    struct strbuf *out);
/* `,"name":"text"`; nothing for NULL. */
void report_add_member(struct strbuf *out, const char *name,
    const char *text);
/* The same with a time; nothing for 0. */
void report_add_time(struct strbuf *out, const char *name, int64_t epoch_s);
/* `"log":{...}`: what the answer rests on. */
void report_add_log(const struct verify *v, struct strbuf *out);
/* text, cleaned for the terminal. */
void report_add_clean(const struct report *r, const char *text,
    struct strbuf *out);
