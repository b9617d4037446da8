/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address of a peer at the credential door. What is taken must be what
 * systemd would write: put together again from its parts, it is the input.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "serve/cgroup.h"
#include "serve/credname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[CREDNAME_UNIT_MAX + CREDNAME_ID_MAX + 32];
	struct credname name;
	size_t hex;
	int n;

	if (credname_parse((const char *)data, size, &name)) {
		assert(!*name.unit && !*name.id);
		return 0;
	}
	assert(cgroup_is_unit_name(name.unit, strlen(name.unit)));
	assert(!strchr(name.id, '/') && *name.id);
	hex = strspn((const char *)data + 1, "0123456789abcdef");
	assert(hex >= 1 && hex <= 16);
	n = snprintf(again, sizeof(again), "%.*s/unit/%s/%s", (int)hex,
	    (const char *)data + 1, name.unit, name.id);
	assert((size_t)n + 1 == size && data[0] == 0 &&
	    memcmp(again, data + 1, size - 1) == 0);
	return 0;
}
