/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self - see the header.
 */
#include "serve/self.h"

#include "base/principal.h"

json_t *
self_describe(const struct principal *who)
{
	json_t *o = json_object(), *groups = json_array();
	size_t i;

	json_object_set_new(o, "uid", json_integer(who->uid));
	json_object_set_new(o, "gid", json_integer(who->gid));
	for (i = 0; i < who->n_groups; i++)
		json_array_append_new(groups, json_integer(who->groups[i]));
	json_object_set_new(o, "groups", groups);
	json_object_set_new(o, "pid", json_integer(who->pid));
	if (who->unit)
		json_object_set_new(o, "unit", json_string(who->unit));
	json_object_set_new(o, "identity",
	    json_string(principal_strength_name(who->strength)));
	json_object_set_new(o, "container", json_boolean(who->container));
	if (who->selinux)
		json_object_set_new(o, "selinux", json_string(who->selinux));
	return o;
}
