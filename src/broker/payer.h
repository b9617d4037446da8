/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * payer - operation: the bearer that pays for a backend's calls: a login's
 * access token, a management token that the broker holds, or none where the
 * backend needs none. Contract: lib/http.h.
 */
#include "base/secret.h"
#include "broker/token.h"

struct payer;

/* bearer is borrowed, empty when none is needed. */
typedef void payer_done_fn(void *arg, const struct secret *bearer,
    int64_t expires_at, const struct tb_error *err);

struct payer *payer_start(const struct token_env *env,
    const struct backend_conf *backend, int64_t min_valid_s,
    payer_done_fn *done, void *arg);
void payer_cancel(struct payer **p);

/* For struct backend_run: asks the provider of the backend's login. */
int payer_as_client(void *broker, const struct backend_conf *backend,
    enum backend_endpoint at, struct secret *form,
    struct http_request *request, struct tb_error *err);

/* The service answered 401 to this bearer: the next payer_start gives another
 * one, where there is one. */
void payer_refused(const struct token_env *env,
    const struct backend_conf *backend, const struct secret *bearer);
/* ... and to the other one as well, or there was none. err is what is told: it
 * names who is needed, where that is a human. */
void payer_gave_up(const struct token_env *env,
    const struct backend_conf *backend, const struct secret *bearer,
    struct tb_error *err);
/* The service has taken what was paid with. */
void payer_worked(const struct token_env *env,
    const struct backend_conf *backend);
