/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * status - small helpers to build the JSON that auditors read. An absent
 * value is an absent member; times are RFC 3339.
 */
#include <jansson.h>
#include <stdint.h>

void status_str(json_t *o, const char *key, const char *value);
void status_time(json_t *o, const char *key, int64_t epoch_s);
void status_int(json_t *o, const char *key, int64_t value);
