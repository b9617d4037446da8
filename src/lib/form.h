/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * form - the body of an application/x-www-form-urlencoded request, built pair
 * by pair. The whole of it is a secret, since some pair of it usually is.
 */
struct secret;

/* Adds "name=value", both percent-encoded. */
void form_add(struct secret *form, const char *name, const char *value);
void form_add_secret(struct secret *form, const char *name,
    const struct secret *value);
/* RFC 3986 unreserved characters stay, all others become %XX. */
void form_percent_encode(const struct secret *in, struct secret *out);
