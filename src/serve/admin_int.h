/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * admin_int - what admin.c (the table and what only looks), admin_login.c
 * (device logins), admin_job.c (logout, rotate, revoke, import, adopt, rekey),
 * admin_audit.c, admin_events.c and admin_explain.c share.
 */
#include "serve/session.h"

route_fn admin_start_login, admin_confirm_login, admin_get_login;
route_fn admin_logout, admin_rotate, admin_revoke, admin_import;
route_fn admin_reconcile;
route_fn admin_audit, admin_checkpoint;
route_fn admin_adopt, admin_rekey;
route_fn admin_explain;
route_fn admin_events;

/* "An operator did this", for the audit log; what is a static text. */
void admin_note(struct session *s, const char *what, const char *token,
    const char *login);
/* Refuses with 404 when there is no such thing. */
bool admin_has_login(struct session *s, const char *name);
bool admin_has_token(struct session *s, const char *name);
bool admin_has_backend(struct session *s, const char *name);
