/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * quota - so many an hour: a bucket that refills evenly. Of the broker, for all
 * mints, and of a token.
 */
#include <stdint.h>

struct tb_error;

struct quota {
	double credit;
	int64_t at_ms; /* boot time */
};

/* Full. */
void quota_init(struct quota *q, unsigned per_hour);
/* Takes one; TB_E_LIMIT with retry_after_ms when there is none. whose stands
 * behind the key in the text, such as " of [token db]". */
int quota_take(struct quota *q, unsigned per_hour, const char *whose,
    struct tb_error *err);
/* Gives it back. */
void quota_return(struct quota *q);
