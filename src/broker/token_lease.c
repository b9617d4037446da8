/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token that is leased (broker_lease.c) is asked about itself.
 */
#include "base/now.h"
#include "broker/token_int.h"

bool
token_name_is_lease(const char *name)
{
	const char *of = strchr(name, TOKEN_OF);

	return of && strncmp(of, TOKEN_LEASE, strlen(TOKEN_LEASE)) == 0;
}

bool
token_is_lease(const struct token *t)
{
	return token_name_is_lease(t->tc->name);
}

bool
token_is_leased(const struct token *t)
{
	return t->leased;
}

void
token_set_leased(struct token *t, bool leased)
{
	t->leased = leased;
	t->asked_ms = now_boot_ms();
}

bool
token_is_vacant(const struct token *t)
{
	return !t->leased && !t->mint && !t->fresh && !token_has_value(t);
}

int64_t
token_unasked_ms(const struct token *t)
{
	return now_boot_ms() - t->asked_ms;
}
