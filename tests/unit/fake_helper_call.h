/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_helper_call - lib/helper_call.h without a socket: a script of answers,
 * and a record of what was asked. Link it instead of src/lib/helper_call.c,
 * with fake_loop.c.
 */
#include <jansson.h>
#include <stddef.h>

#include "lib/helper_call.h"

/* The answer of the oldest question without one. */
void fake_helper_push(const char *answer);
void fake_helper_push_error(enum tb_errc code, const char *msg);

size_t fake_helper_asked(void);
/* The i-th question, parsed; borrowed. */
json_t *fake_helper_question(size_t i);
const struct helper_request *fake_helper_request(size_t i);
size_t fake_helper_left(void); /* scripted and not taken */
void fake_helper_reset(void);
