/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See names.h. As many entries as a configuration names things: a plain array.
 */
#include "backend/names.h"

#include "base/util.h"

#define NAMES_KEEP_S 300

struct names_entry {
	char *kind, *name, *id;
	int64_t at_s;
};

struct names {
	struct names_entry *v;
	size_t n;
};

struct names *
names_new(void)
{
	return xnew(struct names);
}

void
names_forget(struct names *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n; i++) {
		free(n->v[i].kind);
		free(n->v[i].name);
		free(n->v[i].id);
	}
	free(STEAL(n->v));
	n->n = 0;
}

void
names_free(struct names *n)
{
	names_forget(n);
	free(n);
}

static struct names_entry *
names_find(const struct names *n, const char *kind, const char *name)
{
	for (size_t i = 0; n && i < n->n; i++) {
		if (streq(n->v[i].kind, kind) && streq(n->v[i].name, name))
			return &n->v[i];
	}
	return NULL;
}

const char *
names_get(const struct names *n, const char *kind, const char *name,
    int64_t now_s)
{
	const struct names_entry *e = names_find(n, kind, name);

	/* a clock that was set back makes it old, too */
	return e && now_s >= e->at_s && now_s - e->at_s < NAMES_KEEP_S ?
	    e->id : NULL;
}

void
names_put(struct names *n, const char *kind, const char *name, const char *id,
    int64_t now_s)
{
	struct names_entry *e = names_find(n, kind, name);

	if (!n)
		return;
	if (!e) {
		n->v = xreallocarray(n->v, n->n + 1, sizeof(*n->v));
		e = &n->v[n->n++];
		*e = (struct names_entry){ .kind = xstrdup(kind),
			.name = xstrdup(name) };
	}
	str_set(&e->id, id);
	e->at_s = now_s;
}
