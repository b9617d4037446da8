/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * self - a principal as JSON: what the kernel says of somebody.
 */
#include <jansson.h>

struct principal;

/* Owned by the caller. */
json_t *self_describe(const struct principal *who);
