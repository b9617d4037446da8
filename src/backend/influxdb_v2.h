/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influxdb_v2 - type "influxdb-v2": InfluxDB Cloud Serverless, Cloud (TSM) and
 * OSS v2 by /api/v2/authorizations. Its tokens have no expiry and there is no
 * login: a parent token pays, and the broker ends what it made.
 */
#include "backend/backend.h"

extern const struct backend_ops influxdb_v2_ops;
