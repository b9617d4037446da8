/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influxctl - management tokens of the influxdb types with management_driver =
 * influxctl. No interface to them is published but that program, so each step
 * is a question to tokenbroker-influxctl(8), which runs it.
 *
 * Emulated, never run: what is not published is a key, with the default here.
 */
#include "backend/backend.h"

#define INFLUXCTL_USER "tokenbroker-influxctl"

unsigned influxctl_caps(const struct backend_conf *c);
int influxctl_check(const struct backend_conf *c, bool dedicated,
    struct tb_error *err);
/* Does influxctl log in by itself, so that nobody here pays? */
bool influxctl_is_own(const struct backend_conf *c);
/* Mint, list and revoke; the probe is the type's. */
enum backend_next influxctl_step(struct backend_run *run,
    const struct http_reply *reply, struct http_request *request,
    struct tb_error *err);
