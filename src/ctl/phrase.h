/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * phrase - times as people say them. Pure; each returns buf.
 */
#include <stddef.h>
#include <stdint.h>

#define PHRASE_SIZE 64

/* "in 2d 3h", "now", "5m ago" for a time that many seconds from now. */
const char *phrase_when(int64_t seconds, char *buf, size_t size);
/* "2d 3h", "0s" and "expired": what is left. */
const char *phrase_left(int64_t seconds, char *buf, size_t size);
/* "14:32", "1:02:03": a clock that runs down. */
const char *phrase_countdown(int64_t seconds, char *buf, size_t size);
/* "15 minutes", "1 minute", "less than a minute". */
const char *phrase_minutes(int64_t seconds, char *buf, size_t size);
