/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe - does a value of a database work yet? A probe is a read, and the
 * question is whether the service knows the value, not what it may do.
 */
#include "backend/backend_int.h"

#include "base/util.h"

static bool
probe_may_read(const struct backend_recipe *r)
{
	for (size_t i = 0; i < r->n_permissions; i++) {
		if (streq(r->permissions[i].action, "read"))
			return true;
	}
	return false;
}

const char *
backend_probe_database(const struct backend_recipe *r)
{
	const char *found = NULL;

	for (size_t i = 0; r && i < r->n_permissions; i++) {
		if (streq(r->permissions[i].resource, "*"))
			continue;
		if (streq(r->permissions[i].action, "read"))
			return r->permissions[i].resource;
		if (!found)
			found = r->permissions[i].resource;
	}
	return found;
}

enum backend_next
backend_probed_database(struct backend_run *run, const struct http_reply *reply)
{
	const struct backend_recipe *r = run->recipe;

	backend_probed(run, reply);
	if (reply->status == 403 && r && r->n_permissions && !probe_may_read(r))
		run->probe = BACKEND_PROBE_YES;
	return BACKEND_DONE;
}
