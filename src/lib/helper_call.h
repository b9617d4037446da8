/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * helper_call - one question to a helper process on a Unix socket: connect,
 * send a JSON text, end our direction (which ends the question), read the
 * JSON answer until the helper closes. One call is one object; the contract is
 * that of lib/http.h.
 *
 * The helper is believed only if the kernel says that it is root, the uid that
 * is named, or we ourselves. Root, because what connects to a socket that
 * systemd listens on is told the credentials of systemd.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/secret.h"
#include "base/tb_error.h"

struct helper_call;
struct loop;

struct helper_request {
	const char *path;   /* borrowed until _start returns */
	uid_t uid;          /* who else than root and we may answer */
	struct secret text; /* taken */
	int64_t timeout_ms; /* total */
	size_t answer_cap;
};

/* answer or err, never both. err is TB_E_UNREACHED when the helper cannot have
 * begun (it begins at the end of the question), TB_E_TRANSIENT when it may
 * have, TB_E_PROTO for an answer over its cap. The answer may be moved. */
typedef void helper_done_fn(void *arg, struct secret *answer,
    const struct tb_error *err);

struct helper_call *helper_call_start(struct loop *loop,
    struct helper_request *request, helper_done_fn *done, void *arg);
void helper_call_cancel(struct helper_call **call); /* *call may be NULL */
