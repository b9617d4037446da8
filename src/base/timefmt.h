/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * timefmt - durations ("90d", "1h30m", "45", "500ms") and RFC 3339 times.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Units ms, s, m, h, d, w; a bare number is seconds. Overflow, negative and
 * trailing text are refused. The unit given in *ms is milliseconds. */
bool timefmt_parse_duration(const char *s, int64_t *ms);

/* "2d 3h", "45s", "500ms": at most the two largest units. */
const char *timefmt_duration(int64_t ms, char *buf, size_t size);

/* RFC 3339 with fraction and offset or Z, lower case t and z too; to whole
 * seconds since the epoch. */
bool timefmt_parse_rfc3339(const char *s, int64_t *epoch_s);

/* 2026-11-22T17:20:00Z */
const char *timefmt_rfc3339(int64_t epoch_s, char *buf, size_t size);
#define TIMEFMT_SIZE 40

/* Retry-After and Date: an IMF-fixdate of RFC 9110, seconds since epoch. */
bool timefmt_parse_http_date(const char *s, int64_t *epoch_s);
