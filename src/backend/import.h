/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * import - type "import": a human made the value somewhere and gave it to us.
 * Nothing is called. Also what management tokens of the influxdb types are
 * with management_driver = import.
 */
#include "backend/backend.h"

extern const struct backend_ops import_ops;

/* The only answer to any verb. */
enum backend_next import_step(struct backend_run *run,
    const struct http_reply *reply, struct http_request *request,
    struct tb_error *err);
