/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota - see the header.
 */
#include "broker/quota.h"

#include "base/now.h"
#include "base/tb_error.h"

#define HOUR_MS (3600 * INT64_C(1000))

void
quota_init(struct quota *q, unsigned per_hour)
{
	q->credit = per_hour;
	q->at_ms = now_boot_ms();
}

int
quota_take(struct quota *q, unsigned per_hour, const char *whose,
    struct tb_error *err)
{
	int64_t now = now_boot_ms();
	double per_ms = per_hour / (double)HOUR_MS;

	q->credit += (double)(now - q->at_ms) * per_ms;
	q->at_ms = now;
	if (q->credit > per_hour)
		q->credit = per_hour;
	if (q->credit < 1) {
		tb_error_set(err, TB_E_LIMIT, "more than mints_per_hour = %u%s "
		    "new tokens were asked for", per_hour, whose);
		err->retry_after_ms = (int64_t)((1 - q->credit) / per_ms);
		return -1;
	}
	q->credit -= 1;
	return 0;
}

void
quota_return(struct quota *q)
{
	q->credit += 1; /* too much is cut off at the next taking */
}
