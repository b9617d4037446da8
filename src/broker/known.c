/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See known.h. A sorted array: it is filled once and asked once per item of a
 * list, which may have many thousands.
 */
#include "broker/known.h"

struct known_value *
known_add(struct known *k, const char *nonce, const char *id)
{
	struct known_value *v;

	if (!nonce || strlen(nonce) != INTENT_NONCE_LEN)
		return NULL;
	if (k->n % 64 == 0)
		k->v = xreallocarray(k->v, k->n + 64, sizeof(*k->v));
	v = &k->v[k->n++];
	*v = (struct known_value){ .id = xstrdup0(id) };
	memcpy(v->nonce, nonce, sizeof(v->nonce));
	return v;
}

static int
known_cmp(const void *a, const void *b)
{
	return strcmp(((const struct known_value *)a)->nonce,
	    ((const struct known_value *)b)->nonce);
}

void
known_sort(struct known *k)
{
	if (k->n)
		qsort(k->v, k->n, sizeof(*k->v), known_cmp);
}

struct known_value *
known_find(const struct known *k, const char *nonce)
{
	size_t low = 0, high = k->n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (strcmp(k->v[mid].nonce, nonce) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < k->n && streq(k->v[low].nonce, nonce) ? &k->v[low] : NULL;
}

void
known_clear(struct known *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->v[i].id);
	free(k->v);
	*k = (struct known){ NULL, 0 };
}
