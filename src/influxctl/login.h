/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * login - influxctl's own login, by a human at a terminal, into the home that
 * the daemon's runs with influxctl_login = own use.
 */
struct helper;
struct tb_error;

/* args: behind "influxctl"; NULL-terminated. Becomes influxctl: returns only
 * with an error. */
int login_exec(const struct helper *h, const char *name, char *const *args,
    struct tb_error *err);
