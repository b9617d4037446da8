/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * helper - runs tokenbroker-audit, which does what needs libcrypto: this
 * program starts without it. Next to ourselves in a build directory, else
 * where it is installed.
 */
#include "base/strbuf.h"

struct tb_error;

/* argv[0] is filled in, argv ends with NULL. Takes our place; returns only
 * with an error. */
int helper_exec(const char **argv, struct tb_error *err);
/* What it writes to standard output. -1 with TB_E_CANCELLED: it has told
 * itself what went wrong; *status is its exit status. */
int helper_read(const char **argv, struct strbuf *out, int *status,
    struct tb_error *err);
