/* SPDX-License-Identifier: Apache-2.0 */
/*
 * denylog - see the header. A fixed table of hashes, emptied every minute: who
 * makes up names fills it, and is then told about in one line.
 */
#include "serve/denylog.h"

#include <stdbool.h>

#include "base/log.h"
#include "base/principal.h"
#include "base/util.h"

#define MINUTE_MS 60000
#define LINES_MAX 64 /* a minute */
#define TOKEN_SHOWN_MAX 128

struct denylog {
	int64_t ends_ms; /* of this minute */
	unsigned n;
	bool told;
	uint64_t seen[LINES_MAX];
};

struct denylog *
denylog_new(void)
{
	return xnew(struct denylog);
}

void
denylog_free(struct denylog *d)
{
	free(d);
}

static uint64_t
hash(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h;
}

/* A peer writes the name: what cannot be one is not repeated. */
static const char *
shown(const char *token)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._@:";
	size_t n = strspn(token, plain);

	return n && n <= TOKEN_SHOWN_MAX && !token[n] ? token : "(no name)";
}

/* Is this one to be written? */
static bool
is_new(struct denylog *d, uint64_t key, const char *door, int64_t now_ms)
{
	unsigned i;

	if (now_ms >= d->ends_ms) {
		d->ends_ms = now_ms + MINUTE_MS;
		d->n = 0;
		d->told = false;
	}
	for (i = 0; i < d->n; i++)
		if (d->seen[i] == key)
			return false;
	if (d->n < LINES_MAX) {
		d->seen[d->n++] = key;
		return true;
	}
	if (!d->told)
		log_info(door, "further denials of this minute are in the "
		    "audit log only");
	d->told = true;
	return false;
}

void
denylog_line(struct denylog *d, const char *door,
    const struct principal *who, const char *token, const char *reason,
    const char *where, int64_t now_ms)
{
	char whom[400];
	uint64_t key = hash(hash(UINT64_C(14695981039346656037) + who->uid,
	    token), reason);

	if (!is_new(d, key, door, now_ms))
		return;
	log_info(door, "denied%s%s%s to %s: %s%s%s", token ? " token '" : "",
	    token ? shown(token) : "", token ? "'" : "",
	    principal_describe(who, whom, sizeof(whom)), reason,
	    where ? " at " : "", where ? where : "");
}
