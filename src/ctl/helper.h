/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * helper - runs the programs that do what needs libcrypto or libcurl: this
 * one starts without them. Next to ourselves in a build directory, else
 * where it is installed.
 */
#include "base/strbuf.h"

struct tb_error;

#define HELPER_AUDIT "tokenbroker-audit"
#define HELPER_EVENTS "tokenbroker-events"

/* argv[0] is filled in, argv ends with NULL. Takes our place; returns only
 * with an error. */
int helper_exec(const char *program, const char **argv,
    struct tb_error *err);
/* What tokenbroker-audit writes to standard output. -1 with TB_E_CANCELLED: it has told
 * itself what went wrong; *status is its exit status. */
int helper_read(const char **argv, struct strbuf *out, int *status,
    struct tb_error *err);
