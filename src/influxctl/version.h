/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * version - which influxctl this is, from whatever it prints when asked.
 */
#include <stdbool.h>
#include <stddef.h>

struct version {
	unsigned part[3];
};

/* "2.10.0", and nothing behind it. */
bool version_parse(const char *text, struct version *out);
/* The lowest version that stands in a text as a word of its own ("2.11.0",
 * "v2.11.0-rc1"), since the only others that one sees there are of newer
 * releases to be had. False: there is none. */
bool version_find(const char *text, size_t len, struct version *out);
bool version_is_older(const struct version *a, const struct version *b);
