/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import - no public endpoint makes InfluxDB's management tokens; the Admin UI
 * shows one once, and an operator hands it over. The daemon stores, releases
 * and watches it like any other, but cannot make the next one.
 */
#include "backend/import.h"

#include "backend/check.h"

static unsigned
import_caps(const struct backend_conf *c, const struct backend_recipe *r)
{
	return BACKEND_NO_MINT;
}

static int
import_check(const struct backend_conf *c, struct tb_error *err)
{
	if (c->login || c->management_token)
		return tb_error_set(err, TB_E_CONFIG,
		    "type import calls nobody: it takes neither login nor "
		    "management_token");
	return 0;
}

static int
import_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err)
{
	switch (r->kind) {
	case BACKEND_KIND_DATABASE:
	case BACKEND_KIND_CUSTOM:
		return check_permissions(r, err);
	case BACKEND_KIND_MANAGEMENT:
		if (check_no_permissions(r, "kind = management", err) < 0)
			return -1;
		return check_full_access(r,
		    "kind = management is all-powerful", err);
	case BACKEND_KIND_ACCESS:
		break;
	}
	return tb_error_set(err, TB_E_CONFIG,
	    "an access token cannot be imported: type oauth releases it");
}

enum backend_next
import_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	tb_error_set(err, TB_E_BADREQ,
	    "backend '%s' makes no tokens of this kind: import one",
	    run->conf->name);
	return BACKEND_FAILED;
}

const struct backend_ops import_ops = {
	.type = "import",
	.caps = import_caps,
	.check = import_check,
	.check_recipe = import_check_recipe,
	.step = import_step,
};
