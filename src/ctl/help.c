/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See help.h.
 */
#include "ctl/help.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS 79
#define LEFT 26 /* of an option and its value */
#define RIGHT (COLUMNS - LEFT - 4)

/* text, continued in the same column where a line is full. */
static void
print_folded(const char *text)
{
	size_t len = strlen(text), cut;

	while (len > RIGHT) {
		for (cut = RIGHT; cut > 0 && text[cut] != ' '; cut--)
			;
		if (cut == 0)
			break; /* one long word */
		printf("%.*s\n  %*s  ", (int)cut, text, LEFT, "");
		text += cut + 1;
		len -= cut + 1;
	}
	printf("%s\n", text);
}

void
help_options(const struct opt_spec *opts, size_t n)
{
	char left[96], letter[8];
	size_t i;

	for (i = 0; i < n; i++) {
		letter[0] = '\0';
		if (opts[i].letter)
			snprintf(letter, sizeof(letter), "-%c,",
			    opts[i].letter);
		snprintf(left, sizeof(left), "%-3s --%s%s%s", letter,
		    opts[i].name, opts[i].arg ? " " : "",
		    opts[i].arg ? opts[i].arg : "");
		if (strlen(left) > LEFT)
			printf("  %s\n  %*s  ", left, LEFT, "");
		else
			printf("  %-*s  ", LEFT, left);
		print_folded(opts[i].help);
	}
}

void
help_command(const char *program, const char *name, const char *synopsis,
    const char *summary, const char *text)
{
	printf("usage: %s %s%s%s\n\n%s.\n", program, name,
	    *synopsis ? " " : "", synopsis, summary);
	if (text)
		printf("\n%s\n", text);
	printf("\n");
}

int
help_flush(const char *who, int status)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || status != 0)
		return status;
	fprintf(stderr, "%s: cannot write to standard output: %s\n", who,
	    strerror(errno));
	return 1;
}
