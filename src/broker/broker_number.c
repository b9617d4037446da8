/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker_number - the number of a generation is never given to another value of
 * the same token: clients tell values apart by it (ETag), and so does whoever
 * reads the audit log. While a token has a generation, that is where counting
 * goes on; once all are gone, nothing of the token would be left on disk. So
 * the highest number of what is gone, over all tokens, is kept in one record,
 * and a token that has nothing begins above it.
 */
#include "base/log.h"
#include "base/tb_error.h"
#include "broker/broker_int.h"
#include "lib/jsonx.h"
#include "state/store.h"

#define VERSION 1

void
broker_number_gone(struct broker *b, uint64_t number)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	json_t *o _cleanup_json_ = NULL;

	if (number <= b->highest_gone)
		return;
	b->highest_gone = number;
	o = json_pack("{s:i, s:I}", "v", VERSION, "highest",
	    (json_int_t)number);
	jsonx_dump(o, &plain);
	/* ahead of the deletion of the record that still says it */
	store_put(b->store, BROKER_NUMBER_KIND, "highest", &plain, NULL, NULL);
}

void
broker_number_restore(struct broker *b, struct secret *plain)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *o _cleanup_json_ = jsonx_parse_object(plain, &err);
	int64_t v = 0, highest = 0;

	if (!o || jsonx_int(o, "v", &v, &err) < 0 ||
	    jsonx_int(o, "highest", &highest, &err) < 0 || v != VERSION ||
	    highest < 0) {
		log_error("broker", "the highest number of a generation cannot "
		    "be read (%s): numbers of values that are gone may come "
		    "again", err.code ? err.msg : "unknown version");
		return;
	}
	b->highest_gone = MAX2(b->highest_gone, (uint64_t)highest);
}
