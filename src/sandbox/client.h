/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * client - who calls an OAuth endpoint: none, client_secret_basic and
 * client_secret_post (RFC 6749, 2.3).
 */
struct client;
struct reply;
struct request;

/*
 * Check that the request is a well-formed form and names a client that proves
 * itself. Returns the client, or NULL with the error in reply.
 */
const struct client *client_authenticate(
    const struct request *request, struct reply *reply);
