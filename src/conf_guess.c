/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_guess - the word that was probably meant. Counts insertions, deletions,
 * replacements and swaps of neighbours (optimal string alignment), since a
 * swap is the commonest slip. Words too far away are not suggested: a wrong
 * hint is worse than none.
 */
#include "conf_int.h"

#define GUESS_MAX CONF_NAME_MAX

static unsigned
guess_distance(const char *a, size_t n, const char *b, size_t m)
{
	/* Three rows of the table: the swap looks two rows back. */
	unsigned rows[3][GUESS_MAX + 1];

	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *now = rows[i % 3];
		unsigned *above = rows[(i + 2) % 3];
		unsigned *two_up = rows[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

			best = MIN2(best, above[j] + 1);
			best = MIN2(best, now[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				best = MIN2(best, two_up[j - 2] + 1);
			now[j] = best;
		}
	}
	return rows[n % 3][m];
}

void
conf_guess_init(struct conf_guess *g, const char *wrong)
{
	size_t len = strlen(wrong);

	*g = (struct conf_guess){ .wrong = wrong };
	/* One more than is still near. */
	g->distance = len < 4 ? 2 : len < 9 ? 3 : 4;
}

void
conf_guess_try(struct conf_guess *g, const char *word)
{
	size_t n = strlen(g->wrong), m = strlen(word);
	unsigned distance;

	if (!n || n > GUESS_MAX || m > GUESS_MAX)
		return;
	distance = guess_distance(g->wrong, n, word, m);
	if (distance < g->distance && distance < n) {
		g->distance = distance;
		g->best = word;
	}
}

const char *
conf_guess_text(struct conf_guess *g)
{
	g->text[0] = '\0';
	if (g->best)
		snprintf(g->text, sizeof(g->text), " (did you mean '%s'?)",
		    g->best);
	return g->text;
}
