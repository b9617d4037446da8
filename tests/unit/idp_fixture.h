/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * idp_fixture - a provider for the tests of ops/: configuration, idp, loop and
 * http, all of it made by idp_fixture_setup and freed by the teardown, which
 * also checks that nothing is left running.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "ops/idp.h"

#define FIXTURE_ISSUER "https://idp.example/realms/r"
#define FIXTURE_DEVICE FIXTURE_ISSUER "/device"
#define FIXTURE_TOKEN FIXTURE_ISSUER "/token"
#define FIXTURE_REVOKE FIXTURE_ISSUER "/revoke"
#define FIXTURE_JWKS "https://keys.example/jwks"

struct idp_fixture {
	struct loop *loop;
	struct http *http;
	struct idp_conf conf; /* change it, then idp_fixture_remake */
	struct idp *idp;
};
extern struct idp_fixture fixture;

/* A public client, all endpoints explicit, discovery off. */
int idp_fixture_setup(void **state);
int idp_fixture_teardown(void **state);
/* The idp anew from fixture.conf. */
void idp_fixture_remake(void);

/* A file in the test's own temporary directory, removed at teardown. Owned by
 * the caller: the path. */
char *idp_fixture_file(const char *name, const char *text, unsigned mode);
