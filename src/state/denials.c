/* SPDX-License-Identifier: Apache-2.0 */
/*
 * denials - see the header. Linear search: the tables are small, and the text
 * is only compared when its hash and length agree. The hash need not resist
 * anybody: it saves comparisons, it decides nothing.
 */
#include "state/denials.h"

struct kind {
	uint64_t hash;
	uid_t uid;
	char *text;
	size_t len, split;
	uint64_t more; /* since the one that was written */
};

struct rest {
	uid_t uid;
	uint64_t count;
};

struct denials {
	struct kind kinds[DENIALS_KINDS];
	size_t n_kinds;
	struct rest rest[DENIALS_UIDS];
	size_t n_rest;
	uint64_t others;
};

struct denials *
denials_new(void)
{
	return xnew(struct denials);
}

static void
denials_clear(struct denials *d)
{
	while (d->n_kinds)
		free(d->kinds[--d->n_kinds].text);
	d->n_rest = 0;
	d->others = 0;
}

void
denials_free(struct denials *d)
{
	if (!d)
		return;
	denials_clear(d);
	free(d);
}

/* FNV-1a */
static uint64_t
hash_text(const char *s, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
	return h;
}

static void
count_rest(struct denials *d, uid_t uid)
{
	size_t i;

	for (i = 0; i < d->n_rest; i++)
		if (d->rest[i].uid == uid) {
			d->rest[i].count++;
			return;
		}
	if (d->n_rest == DENIALS_UIDS) {
		d->others++;
		return;
	}
	d->rest[d->n_rest].uid = uid;
	d->rest[d->n_rest++].count = 1;
}

bool
denials_add(struct denials *d, uid_t uid, const char *text, size_t len,
    size_t split)
{
	uint64_t hash = hash_text(text, len);
	size_t i, of_uid = 0;
	struct kind *k;

	for (i = 0; i < d->n_kinds; i++) {
		k = &d->kinds[i];
		of_uid += k->uid == uid;
		if (k->hash == hash && k->len == len && k->uid == uid &&
		    k->split == split && memcmp(k->text, text, len) == 0) {
			k->more++;
			return false;
		}
	}
	if (d->n_kinds == DENIALS_KINDS || of_uid == DENIALS_KINDS_PER_UID) {
		count_rest(d, uid);
		return false;
	}
	k = &d->kinds[d->n_kinds++];
	*k = (struct kind){ .hash = hash, .uid = uid, .len = len,
		.split = split, .text = xstrndup(text, len) };
	return true;
}

void
denials_flush(struct denials *d, denials_flush_fn *fn, void *arg)
{
	const struct kind *k;
	size_t i;

	for (i = 0; i < d->n_kinds; i++) {
		k = &d->kinds[i];
		if (k->more)
			fn(arg, k->text, k->len, k->split, k->uid, false,
			    k->more);
	}
	for (i = 0; i < d->n_rest; i++)
		fn(arg, NULL, 0, 0, d->rest[i].uid, false, d->rest[i].count);
	if (d->others)
		fn(arg, NULL, 0, 0, (uid_t)-1, true, d->others);
	denials_clear(d);
}
