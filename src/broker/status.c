/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See status.h.
 */
#include "broker/status.h"

#include "base/timefmt.h"

void
status_str(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(o, key, json_string(value));
}

void
status_time(json_t *o, const char *key, int64_t epoch_s)
{
	char buf[TIMEFMT_SIZE];

	if (epoch_s > 0)
		json_object_set_new(o, key, json_string(timefmt_rfc3339(epoch_s,
		    buf, sizeof(buf))));
}

void
status_int(json_t *o, const char *key, int64_t value)
{
	json_object_set_new(o, key, json_integer((json_int_t)value));
}
