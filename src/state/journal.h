/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * journal - the audit log's lines once more, in the system's journal: each
 * member of a line becomes a field (TOKENBROKER_EVENT=, TOKENBROKER_TOKEN=,
 * TOKENBROKER_SEQ=, ...), each kind of event has its MESSAGE_ID, and the
 * catalogue (systemd/tokenbroker.catalog) says what it means. It is a mirror
 * and no evidence: a datagram that the journal has no room for is dropped and
 * counted, nobody waits. Writer thread.
 *
 * Journal's native protocol, without libsystemd.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "state/audit.h"

struct journal;
struct tb_error;

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal *journal_new(const char *socket_path, struct tb_error *err);
void journal_free(struct journal *j);
/* Lines of the audit log, each with its newline. */
void journal_send(struct journal *j, const char *lines, size_t len);
uint64_t journal_dropped(const struct journal *j);

/* The datagram for one line without its newline; false: it is none of ours. */
bool journal_entry(const char *line, size_t len, struct strbuf *out);
/* 32 hex digits. */
const char *journal_message_id(enum audit_event event);
