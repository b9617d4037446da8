/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * oauth_access - type "oauth": releases the login's own short-lived access
 * token. Nothing is called: minting is a copy of the bearer.
 */
#include "backend/backend.h"

extern const struct backend_ops oauth_access_ops;
