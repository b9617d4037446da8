/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influxdb_mgmt - types "influxdb-dedicated" and "influxdb-clustered":
 * database tokens by the Management HTTP API. Management tokens have no public
 * endpoint; management_driver says where they come from.
 */
#include "backend/backend.h"

extern const struct backend_ops influxdb_mgmt_dedicated_ops;
extern const struct backend_ops influxdb_mgmt_clustered_ops;
