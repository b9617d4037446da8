/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * status_screen - one screen that answers: does it work, when is a human needed
 * next, what is wrong. Pure: text for a given terminal and time, from the
 * daemon's answer.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "ctl/jval.h"
#include "ctl/term.h"

/* A human is needed now; something is red. */
struct status_verdict {
	bool human, bad;
};

struct status_verdict status_screen(struct strbuf *out, const struct json_t *o,
    int64_t now, const struct term *term);
