/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * advice - which keys decide an answer that a service has refused with.
 */
struct backend_run;
struct tb_error;

/* Behind what err says: "; look at account_id of [backend prod] (FILE:LINE)".
 * Nothing where no key decides it. */
void advice_add(const struct backend_run *run, int status,
    struct tb_error *err);
