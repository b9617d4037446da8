/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * inventory - the daemon's list of tokens with all that it knows of them, and
 * how holders are put on a screen of 80 columns. For `tokens`, and for
 * `revoke`, which says whom it hits.
 */
#include "base/strbuf.h"
#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/term.h"

/* The answer as it came, and read. */
enum ctl_exit inventory_ask(struct ctl *ctl, struct reply *raw,
    struct json_t **out);
/* NULL: complained. */
const struct json_t *inventory_must_have(const struct ctl *ctl,
    const struct json_t *answer, const char *name, enum ctl_exit *e);

/* A line for each; now: epoch seconds. */
void inventory_add_holders(struct strbuf *b, const struct json_t *generation,
    int64_t now, bool utf8);
