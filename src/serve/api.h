/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * api - the door for local automation: which tokens may I have, give me one,
 * this one was refused, who am I.
 */
#include "serve/route.h"

extern const struct door api_door;
