/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth_access - for services that take the human's access token itself. It
 * has the human's whole power and cannot be revoked one by one, so a recipe
 * must say allow_full_access.
 */
#include "backend/oauth_access.h"

#include "backend/check.h"

static unsigned
oauth_access_caps(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	return BACKEND_NEEDS_PAYER | BACKEND_VALUE_IS_BEARER;
}

static int
oauth_access_check(const struct backend_conf *c, struct tb_error *err)
{
	if (c->management_token || !c->login)
		return tb_error_set(err, TB_E_CONFIG,
		    "type oauth releases a login's own token: it takes login, "
		    "and no management_token");
	return 0;
}

static int
oauth_access_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err)
{
	if (r->kind != BACKEND_KIND_ACCESS)
		return tb_error_set(err, TB_E_CONFIG,
		    "a backend of type oauth has only kind = access");
	if (check_no_permissions(r, "kind = access", err) < 0)
		return -1;
	return check_full_access(r,
	    "an access token has the whole power of its human", err);
}

static enum backend_next
oauth_access_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	if (!secret_is_token(&run->bearer)) {
		tb_error_set(err, TB_E_PROTO,
		    "the login's access token cannot be used as one");
		return BACKEND_FAILED;
	}
	secret_dup(&run->token, &run->bearer);
	run->minted_expires_at = run->bearer_expires_at;
	return BACKEND_DONE;
}

const struct backend_ops oauth_access_ops = {
	.type = "oauth",
	.kind = BACKEND_KIND_ACCESS,
	.caps = oauth_access_caps,
	.check = oauth_access_check,
	.check_recipe = oauth_access_check_recipe,
	.step = oauth_access_step,
};
