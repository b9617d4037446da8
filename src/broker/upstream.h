/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * upstream - operation: one backend call that is paid for: get the bearer, run
 * the steps, and once more with another bearer when the first was refused
 * with 401. For lists, revocations and probes; a mint has a write-ahead of
 * its own (broker/mint). Contract: lib/http.h.
 */
#include "broker/token.h"

struct upstream;

/* run is taken; verb and its inputs are set, conf, recipe and bearer are
 * filled in here. conf is referenced for the call's life. done: see
 * backend_done_fn; err also when no bearer could be had (run is empty then).
 */
struct upstream *upstream_start(const struct token_env *env,
    const struct conf *conf, const struct token_conf *tc,
    struct backend_run *run, backend_done_fn *done, void *arg);
void upstream_cancel(struct upstream **u);
