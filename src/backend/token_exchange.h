/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token_exchange - type "token-exchange" (RFC 8693): the login's provider turns
 * the login's access token into one for another audience, with less power.
 * Nothing but the provider is called, as the client that logged in.
 */
#include "backend/backend.h"

extern const struct backend_ops token_exchange_ops;
