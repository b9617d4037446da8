/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * admin - the door for people who operate or watch the broker. Who may call
 * what stands in the table; no answer holds the value of a token.
 */
#include "serve/route.h"

extern const struct door admin_door;
