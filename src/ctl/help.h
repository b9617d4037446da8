/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * help - what both command lines print alike (tokenbrokerctl and the
 * tokenbroker-audit that it runs): options from their table, the head of a
 * command's help, and the last word on standard output.
 */
#include "ctl/opt.h"

/* One line per option, folded at 80 columns. */
void help_options(const struct opt_spec *opts, size_t n);
/* Usage, summary and paragraphs; program may be two words, text NULL. */
void help_command(const char *program, const char *name, const char *synopsis,
    const char *summary, const char *text);
/* Nobody shall take a full disk for success: status, or 1 when it was 0 and
 * the output is not complete, which is told in who's name. */
int help_flush(const char *who, int status);
