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

/* Where a line that has room for n is cut: at a blank, and not between
 * brackets. 0: nowhere. */
static size_t
find_cut(const char *line, size_t n)
{
	size_t i, cut = 0;
	int depth = 0;

	for (i = 0; i <= n; i++) {
		depth += (line[i] == '[') - (line[i] == ']');
		if (line[i] == ' ' && depth == 0)
			cut = i;
	}
	return cut > strspn(line, " ") ? cut : 0;
}

/* The lines of text; `used` columns of the first are taken, and what does not
 * fit is continued behind `indent` blanks. */
static void
print_lines(const char *text, size_t used, int indent)
{
	size_t len, cut;

	for (;; text++, used = 0) {
		for (;; text += cut + 1, used = (size_t)indent) {
			len = strcspn(text, "\n");
			cut = used + len > COLUMNS && used < COLUMNS ?
			    find_cut(text, COLUMNS - used) : 0;
			if (!cut)
				break;
			printf("%.*s\n%*s", (int)cut, text, indent, "");
		}
		printf("%.*s\n", (int)len, text);
		text += len;
		if (!*text)
			break;
	}
}

void
help_command(const char *program, const char *name, const char *synopsis,
    const char *summary, const char *text)
{
	int n = printf("usage: %s %s%s", program, name,
	    *synopsis ? " " : "");

	print_lines(synopsis, n > 0 ? (size_t)n : 0, 11);
	printf("\n%s.\n", summary);
	if (text) {
		printf("\n");
		print_lines(text, 0, 0);
	}
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
