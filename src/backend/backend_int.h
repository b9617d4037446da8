/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * backend_int - what the types share: the head of a request and the verdict on
 * a reply. For src/backend only.
 */
#include "backend/backend.h"

struct answer_spec;
struct strbuf;

/* Method, URL (emptied) and the headers all have. The payer's bearer, or for
 * a probe the probed value itself, becomes Authorization. method: literal. */
void backend_prepare(const struct backend_run *run, const char *method,
    struct strbuf *url, struct http_request *request);

/* An unhappy reply: sets err, unauthorized, uncertain. BACKEND_FAILED. */
enum backend_next backend_refused(struct backend_run *run,
    const struct http_reply *reply, struct tb_error *err);
/* A reply of success whose content cannot be used; err is set already. */
enum backend_next backend_unusable(struct backend_run *run,
    struct tb_error *err);
/* Generous: nobody documents pages or a limit. */
#define BACKEND_LIST_CAP ((size_t)16 << 20)

/* Others' words for our log: one line of plain ASCII, cut, and without the
 * long words that a token could be (services like to quote what they refuse).
 */
void backend_clean(struct strbuf *out, const char *text);

/* A verb that this type does not offer. */
enum backend_next backend_cannot(const struct backend_run *run,
    struct tb_error *err);
/* The answer to a list, where 200 is the one good status. */
enum backend_next backend_listed(struct backend_run *run,
    const struct http_reply *reply, const struct answer_spec *spec,
    struct tb_error *err);
/* The answer to the question for one: 404 says that it is not there. */
enum backend_next backend_got(struct backend_run *run,
    const struct http_reply *reply, const struct answer_spec *spec,
    struct tb_error *err);
/* Complete verdicts, where the status says it all. */
enum backend_next backend_revoked(struct backend_run *run,
    const struct http_reply *reply, struct tb_error *err);
enum backend_next backend_probed(struct backend_run *run,
    const struct http_reply *reply);
/* The database that a probe asks for: one that may be read, since a probe
 * reads; "*" is none. NULL: there is none. */
const char *backend_probe_database(const struct backend_recipe *r);
/* backend_probed for a database token. One that may not read is told so with
 * 403 where the service knows it, and with 401 where it does not yet. */
enum backend_next backend_probed_database(struct backend_run *run,
    const struct http_reply *reply);

/* A form (moved) to an endpoint of the login's provider, as its client. */
int backend_to_provider(struct backend_run *run, enum backend_endpoint at,
    struct secret *form, struct http_request *request, struct tb_error *err);

/* "mint", "list", "revoke", "probe", "disable", "get", "update" */
const char *backend_verb_name(enum backend_verb verb);
