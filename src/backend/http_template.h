/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * http_template - type "http": any API that mints by one request, described by
 * the configuration. Also what makes management tokens for the influxdb types
 * with management_driver = http.
 *
 * Defaults: methods POST, GET, DELETE, GET for mint, list, revoke, probe; the
 * token at /token, its id at /id; list items with /id, /description, and
 * created, revoked and expires times under both usual spellings.
 */
#include "backend/backend.h"

extern const struct backend_ops http_template_ops;

/* For a type that hands one of its kinds over to the templates. */
unsigned http_template_caps(const struct backend_conf *c);
/* For values made by hand: how to look for them and to end them. */
int http_template_check_imported(const struct backend_conf *c,
    struct tb_error *err);
int http_template_check(const struct backend_conf *c, struct tb_error *err);
const char *http_template_keys(const struct backend_run *run, int status);
enum backend_next http_template_step(struct backend_run *run,
    const struct http_reply *reply, struct http_request *request,
    struct tb_error *err);
