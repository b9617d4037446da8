/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * signer - where the audit log's signing key comes from: the sealed record
 * audit/signing-key. Found there, or made and stored, and handed to the writer
 * when it is durable and not before: a signature by a key that the next start
 * does not have would be worth nothing. Loop thread.
 */
#include "base/secret.h"

struct loop;
struct signer;
struct store;
struct writer;

#define SIGNER_RECORD_KIND "audit"
#define SIGNER_RECORD_NAME "signing-key"

/* found: the record's content, taken; empty when there is none. A content that
 * is no key is replaced. */
struct signer *signer_new(struct loop *loop, struct writer *writer,
    struct store *store, struct secret *found);
void signer_free(struct signer *s);
