/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the doors tell of those who are given something.
 */
#include "broker/broker_int.h"

void
broker_hold(struct broker *b, const struct broker_view *view,
    const struct principal *who, unsigned door, const char *delivery)
{
	struct token *t = broker_token(b, view->name);

	if (t)
		token_hold(t, view->generation, who, door, delivery);
}

void
broker_stop(struct broker *b)
{
	for (size_t i = 0; b && i < b->n_tokens; i++)
		token_held_flush(b->tokens[i]);
	for (size_t i = 0; b && i < b->n_parked_tokens; i++) {
		if (b->parked_tokens[i])
			token_held_flush(b->parked_tokens[i]);
	}
}
