/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * credential - the door for systemd's LoadCredential=: it connects for a unit
 * that starts, says which by its address, and reads to the end. What it gets
 * is the bare value, or a refusal that fails the unit (filler.h); there is no
 * third way to close such a connection.
 */
#include "serve/route.h"

extern const struct door credential_door;
