/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influxdb3 - type "influxdb3": InfluxDB 3 Core, Enterprise and Cloud by the
 * HTTP API under /api/v3/configure. kind = management makes named admin
 * tokens (all three products), kind = database resource tokens (Enterprise and
 * Cloud). Sources: the published API descriptions, and the server's source of
 * Core for what they leave out.
 */
#include "backend/backend.h"

extern const struct backend_ops influxdb3_ops;
