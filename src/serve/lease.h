/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * lease - a value of a run's own, on the api door. It lives as long as the
 * connection on which it was taken: when that ends, whatever for, the value is
 * revoked; only when the daemon ends it, there is time to come back.
 *
 *	POST   tokens/NAME/lease            take one: its number
 *	POST   tokens/NAME/lease?resume=N   come back to it
 *	GET    tokens/NAME/lease            its value, as that of a token
 *	DELETE tokens/NAME/lease            end it now, and hear how that went
 */
#include "serve/route.h"

route_fn lease_take, lease_get, lease_end;
