/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * filter - which lines are asked for. All that is set must hold; a line that
 * lacks what is asked for does not match.
 */
#include <stdbool.h>
#include <stdint.h>

#include "audit/scan.h"

struct tb_error;

struct filter {
	const char *unit, *token; /* patterns of fnmatch(3) */
	const char *login, *verdict, *event, *request_id;
	int64_t uid;        /* -1: any */
	int64_t generation; /* -1: any */
	int64_t since, until; /* seconds since the epoch; 0: no bound */
};

#define FILTER_INIT { .uid = -1, .generation = -1 }

bool filter_matches(const struct filter *f, const struct scan *s);

/* fnmatch; a pattern that is a name without a dot also matches NAME.service. */
bool filter_unit(const char *pattern, const char *unit);
/* fnmatch on a member's text (a unit's as above); no pattern matches all. */
bool filter_text(const char *pattern, const struct scan *s,
    enum scan_name name);
/* The time of a line, or of another member; 0: none. */
int64_t filter_time(const struct scan *s, enum scan_name name);

/* A name of this host, or a number. */
int filter_parse_user(const char *text, int64_t *uid, struct tb_error *err);
/* 2026-11-22T17:20:00Z, 2026-11-22, or a duration before now ("2h"). */
int filter_parse_time(const char *option, const char *text, int64_t now,
    int64_t *out, struct tb_error *err);
