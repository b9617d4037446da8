/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * question - what the daemon asks for: words for influxctl and files for its
 * HOME. The daemon is trusted to ask, but a question that could reach outside
 * the home, or be of any size, is refused all the same.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "influxctl/version.h"

struct tb_error;

#define QUESTION_CAP ((size_t)256 << 10)
#define QUESTION_NAME_MAX 64

struct question {
	json_t *root; /* what the pointers below are into */
	const char *name; /* of the profile: letters, digits, "_-." */
	bool kept;        /* its home stays from run to run */
	json_t *files;    /* checked: [{path, text, expand}] */
	json_t *args, *version_args; /* checked: strings; the latter may be
	                              * NULL: any version */
	struct version min_version;
	int64_t timeout_ms;
};

/* text is taken. */
int question_parse(struct secret *text, struct question *out,
    struct tb_error *err);
void question_clear(struct question *q);
