/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * denials - refusals, counted. The first one of its kind in a minute is worth
 * a line of its own; those like it are only counted, and the count is worth
 * one line at the end of the minute. Pure: it never writes.
 *
 * Alike is who, through which door, under which rule, for which token and for
 * which reason: the text of the line itself, without time and request. The
 * number of kinds is bounded, per uid and in all; what does not fit is counted
 * per uid, and beyond that in one sum. So the lines a minute can make are
 * bounded by a constant, whoever asks for whatever how often.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

#define DENIALS_KINDS 256
#define DENIALS_KINDS_PER_UID 16
#define DENIALS_UIDS 256

struct denials;

struct denials *denials_new(void);
void denials_free(struct denials *d);

/* text[0..len) is the kind. True: the first of its kind, write it now. */
bool denials_add(struct denials *d, uid_t uid, const char *text, size_t len,
    size_t split);

/* One call per count that is not written yet, then everything is forgotten.
 * text is NULL for the sum of a uid (other_uids: of all others), otherwise
 * what was added, `split` where it was. */
typedef void denials_flush_fn(void *arg, const char *text, size_t len,
    size_t split, uid_t uid, bool other_uids, uint64_t count);
void denials_flush(struct denials *d, denials_flush_fn *fn, void *arg);
