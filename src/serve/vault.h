/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * vault - what programs that read secrets from HashiCorp Vault or OpenBao find
 * on the api door, under /v1/: a KV engine that is read-only and holds a secret
 * for every token. Mount path and namespace are the client's to choose.
 *
 * Who asks is what the kernel says, here as everywhere: X-Vault-Token is not
 * looked at, and whoever wants to log in first may do so with anything.
 */
#include "serve/route.h"

extern const struct route vault_routes[];
extern const size_t vault_n_routes;
