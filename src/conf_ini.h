/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conf_ini - an INI file into headings and pairs, with line numbers.
 *
 * inih splits the lines; this reader stands in front of it, counts, and
 * refuses with file:line what inih would misread in silence: an indented
 * line, a line over 199 bytes, a heading over 49 characters, ' ;' in a value,
 * text behind a heading, a line without '='. Knows no key and no section.
 */
#include <stdio.h>

struct tb_error;

#define CONF_INI_MAX_LINE 199
#define CONF_INI_MAX_HEADING 49

/* Both return 0, or -1 with err set, which ends the reading. Strings are
 * borrowed for the call. A heading comes when its line is read, even if the
 * section is empty. */
struct conf_ini_sink {
	int (*heading)(void *arg, int line, const char *heading,
	    struct tb_error *err);
	int (*pair)(void *arg, int line, const char *key, const char *value,
	    struct tb_error *err);
};

/* file is the name for messages. Errors of the reader itself begin with
 * "FILE:LINE: ". */
int conf_ini_read(FILE *in, const char *file,
    const struct conf_ini_sink *sink, void *arg, struct tb_error *err);
