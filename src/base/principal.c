/* SPDX-License-Identifier: Apache-2.0 */
/*
 * principal - see the header. A value with owned parts; copied when an object
 * outlives the connection it came with (a holder, an audit record).
 */
#include "base/principal.h"

#include "base/util.h"

void
principal_clear(struct principal *p)
{
	free(p->groups);
	free(p->unit);
	free(p->invocation);
	free(p->selinux);
	*p = (struct principal)PRINCIPAL_INIT;
}

void
principal_copy(struct principal *to, const struct principal *from)
{
	struct principal copy = *from;

	copy.groups = NULL;
	if (from->n_groups) {
		copy.groups = xcalloc(from->n_groups, sizeof(gid_t));
		memcpy(copy.groups, from->groups,
		    from->n_groups * sizeof(gid_t));
	}
	copy.unit = xstrdup0(from->unit);
	copy.invocation = xstrdup0(from->invocation);
	copy.selinux = xstrdup0(from->selinux);
	principal_clear(to);
	*to = copy;
}

bool
principal_in_group(const struct principal *p, gid_t gid)
{
	size_t i;

	if (p->gid == gid)
		return true;
	for (i = 0; i < p->n_groups; i++)
		if (p->groups[i] == gid)
			return true;
	return false;
}

const char *
principal_strength_name(enum principal_strength s)
{
	switch (s) {
	case PRINCIPAL_UNKNOWN:
		return "unknown";
	case PRINCIPAL_WEAK:
		return "weak";
	case PRINCIPAL_STRONG:
		return "strong";
	}
	return "unknown";
}

const char *
principal_describe(const struct principal *p, char *buf, size_t size)
{
	bool named = !p->container && p->unit;

	snprintf(buf, size, "uid=%lu%s%s%s pid=%ld%s", (unsigned long)p->uid,
	    named ? " unit=" : "", named ? p->unit : "",
	    p->container ? " container" : "", (long)p->pid,
	    named && p->strength == PRINCIPAL_WEAK ? " (weak)" : "");
	return buf;
}
