/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See health.h. Anybody may ask, so it is cheap.
 */
#include "serve/health.h"

#include "base/tb_error.h"
#include "broker/broker.h"
#include "serve/serve_int.h"
#include "serve/session.h"

void
health_answer(struct session *s, const struct request *rq, bool tells_why)
{
	struct http1_view live = route_query(rq, "live");
	struct serve *serve = session_serve(s);
	struct tb_error err = TB_ERROR_INIT;
	char *human _cleanup_free_ = NULL;
	json_t *o;

	if (live.s && !http1_is(live, "1")) {
		session_refuse(s, PROBLEM_BAD_REQUEST, "live can only be 1");
	} else if (!live.s && serve->stopping) {
		session_refuse(s, PROBLEM_STOPPING, "the broker is stopping");
	} else if (!live.s && broker_health(serve->broker, &err) < 0) {
		session_refuse(s, PROBLEM_DISK, tells_why ? err.msg :
		    "nothing can be put on record");
	} else {
		o = json_object();
		json_object_set_new(o, "ok", json_true());
		/* the daemon is well; whoever only checks it is not woken */
		human = tells_why ? broker_human_needed(serve->broker) : NULL;
		if (human)
			json_object_set_new(o, "human_needed",
			    json_string(human));
		session_reply_json(s, 200, o);
	}
}
