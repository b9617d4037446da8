/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/route.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox/control.h"
#include "sandbox/grafana.h"
#include "sandbox/idp.h"
#include "sandbox/influx2.h"
#include "sandbox/influx3.h"
#include "sandbox/mgmt.h"
#include "sandbox/page.h"
#include "sandbox/probe.h"
#include "sandbox/request.h"
#include "sandbox/swap.h"
#include "sandbox/token.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define DEDICATED "/api/v0/accounts/*/clusters/*/tokens"
#define CLUSTERED "/api/v0/tokens"
#define AUTHORIZATIONS "/api/v2/authorizations"
#define SERVICE_ACCOUNT "/api/serviceaccounts/*/tokens"
#define MANAGEMENT "/api/v0/management-tokens"

static const struct route route_table[] = {
	{ "GET", "/", "home", ROUTE_OAUTH, page_home, false },
	{ "GET", "/.well-known/openid-configuration", "discovery", ROUTE_OAUTH,
	    idp_discovery, false },
	{ "GET", "/.well-known/oauth-authorization-server", "discovery",
	    ROUTE_OAUTH, idp_discovery, false },
	{ "GET", "/jwks", "jwks", ROUTE_OAUTH, idp_jwks, false },
	{ "POST", "/device_authorization", "device", ROUTE_OAUTH, idp_device,
	    false },
	{ "GET", "/device", "page", ROUTE_OAUTH, page_show, false },
	{ "POST", "/device", "decide", ROUTE_OAUTH, page_decide, false },
	{ "POST", "/token", "token_other", ROUTE_OAUTH, token_endpoint, false },
	{ "GET", "/userinfo", "userinfo", ROUTE_OAUTH, idp_userinfo, false },
	{ "POST", "/userinfo", "userinfo", ROUTE_OAUTH, idp_userinfo, false },
	{ "POST", "/revoke", "oauth_revoke", ROUTE_OAUTH, idp_revoke, false },
	{ "POST", "/introspect", "introspect", ROUTE_OAUTH, swap_introspect,
	    false },
	{ "GET", "/audience/*", "audience", ROUTE_OAUTH, swap_audience,
	    false },

	{ "POST", CLUSTERED, "mint", ROUTE_API, mgmt_create, true },
	{ "GET", CLUSTERED, "list", ROUTE_API, mgmt_list, false },
	{ "GET", CLUSTERED "/*", "get", ROUTE_API, mgmt_get, false },
	{ "PATCH", CLUSTERED "/*", "patch", ROUTE_API, mgmt_patch, false },
	{ "DELETE", CLUSTERED "/*", "revoke", ROUTE_API, mgmt_delete, false },
	{ "POST", DEDICATED, "mint", ROUTE_API, mgmt_create, true },
	{ "GET", DEDICATED, "list", ROUTE_API, mgmt_list, false },
	{ "GET", DEDICATED "/*", "get", ROUTE_API, mgmt_get, false },
	{ "PATCH", DEDICATED "/*", "patch", ROUTE_API, mgmt_patch, false },
	{ "DELETE", DEDICATED "/*", "revoke", ROUTE_API, mgmt_delete, false },
	{ "POST", MANAGEMENT, "mgmt_mint", ROUTE_API, mgmt_create_management,
	    true },
	{ "GET", MANAGEMENT, "mgmt_list", ROUTE_API, mgmt_list_management,
	    false },
	{ "DELETE", MANAGEMENT "/*", "mgmt_revoke", ROUTE_API,
	    mgmt_delete_management, false },

	{ "POST", AUTHORIZATIONS, "v2_mint", ROUTE_API, influx2_create, true },
	{ "GET", AUTHORIZATIONS, "v2_list", ROUTE_API, influx2_list, false },
	{ "GET", AUTHORIZATIONS "/*", "v2_get", ROUTE_API, influx2_get,
	    false },
	{ "PATCH", AUTHORIZATIONS "/*", "v2_patch", ROUTE_API, influx2_patch,
	    false },
	{ "DELETE", AUTHORIZATIONS "/*", "v2_delete", ROUTE_API,
	    influx2_delete, false },
	{ "GET", "/api/v2/orgs", "v2_orgs", ROUTE_API, influx2_orgs, false },
	{ "GET", "/api/v2/buckets", "v2_buckets", ROUTE_API, influx2_buckets,
	    false },
	{ "GET", "/api/v2/users", "v2_users", ROUTE_API, influx2_users,
	    false },
	{ "POST", "/api/v2/users", "v2_create_user", ROUTE_API,
	    influx2_create_user, false },
	{ "GET", "/api/v2/resources", "v2_resources", ROUTE_API,
	    influx2_resources, false },

	{ "POST", "/api/v3/configure/token/admin", "v3_operator", ROUTE_API,
	    influx3_create_operator, false },
	{ "POST", "/api/v3/configure/token/admin/regenerate", "v3_regenerate",
	    ROUTE_API, influx3_regenerate, true },
	{ "POST", "/api/v3/configure/token/named_admin", "v3_mint_admin",
	    ROUTE_API, influx3_create_admin, true },
	{ "POST", "/api/v3/enterprise/configure/token", "v3_mint", ROUTE_API,
	    influx3_create_resource, true },
	{ "DELETE", "/api/v3/configure/token", "v3_delete", ROUTE_API,
	    influx3_delete, false },
	{ "GET", "/api/v3/query_sql", "v3_list", ROUTE_API, influx3_query,
	    false },
	{ "GET", "/api/v3/auth/oauth/config", "v3_oauth_config", ROUTE_API,
	    influx3_oauth_config, false },
	{ "GET", "/health", "v3_health", ROUTE_API, influx3_health, false },

	{ "POST", SERVICE_ACCOUNT, "grafana_mint", ROUTE_API, grafana_create,
	    true },
	{ "GET", SERVICE_ACCOUNT, "grafana_list", ROUTE_API, grafana_list,
	    false },
	{ "DELETE", SERVICE_ACCOUNT "/*", "grafana_delete", ROUTE_API,
	    grafana_delete, false },
	{ "GET", "/api/search", "grafana_search", ROUTE_API, grafana_search,
	    false },

	{ "GET", "/health/auth", "probe", ROUTE_API, probe_health, false },
	{ "GET", "/api/v3/query", "query", ROUTE_API, probe_query, false },
	{ "POST", "/api/v3/write_lp", "write", ROUTE_API, probe_write, false },

	{ "GET", "/_sandbox/state", "control", ROUTE_CONTROL, control_state,
	    false },
	{ "GET", "/_sandbox/log", "control", ROUTE_CONTROL, control_log,
	    false },
	{ "GET", "/_sandbox/fault", "control", ROUTE_CONTROL,
	    control_list_faults, false },
	{ "POST", "/_sandbox/fault", "control", ROUTE_CONTROL,
	    control_set_fault, false },
	{ "DELETE", "/_sandbox/fault", "control", ROUTE_CONTROL,
	    control_clear_faults, false },
	{ "POST", "/_sandbox/approve", "control", ROUTE_CONTROL,
	    control_approve, false },
	{ "POST", "/_sandbox/deny", "control", ROUTE_CONTROL, control_deny,
	    false },
	{ "POST", "/_sandbox/revoke", "control", ROUTE_CONTROL, control_revoke,
	    false },
	{ "POST", "/_sandbox/parent", "control", ROUTE_CONTROL,
	    control_make_parent, false },
	{ "POST", "/_sandbox/rotate_keys", "control", ROUTE_CONTROL,
	    control_rotate_keys, false },
};

static void
route_clear_segments(struct request *request)
{
	for (size_t i = 0; i < REQUEST_SEGMENTS; i++)
		util_replace(&request->segment[i], NULL);
}

/* Match a path, and keep what the stars stand for. */
static bool
route_matches(const char *pattern, struct request *request)
{
	const char *path = request->path;
	size_t n = 0;

	while (*pattern) {
		if (*pattern == '*') {
			size_t len = strcspn(path, "/");

			if (len == 0 || n == REQUEST_SEGMENTS)
				break;
			util_replace(&request->segment[n++],
			    util_format("%.*s", (int)len, path));
			pattern++;
			path += len;
		} else if (*pattern++ != *path++) {
			route_clear_segments(request);
			return false;
		}
	}
	if (*pattern || *path) {
		route_clear_segments(request);
		return false;
	}
	return true;
}

const struct route *
route_find(struct request *request, struct reply *reply)
{
	char *allow _cleanup_(util_free_text) = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(route_table); i++) {
		const struct route *route = &route_table[i];

		if (!route_matches(route->pattern, request))
			continue;
		if (strcmp(route->method, request->method) == 0)
			return route;
		util_replace(
		    &allow, allow ? util_format("%s, %s", allow, route->method)
				  : util_copy(route->method));
		route_clear_segments(request);
	}
	if (allow) {
		reply_api_error(reply, 405, "method not allowed");
		reply_header(reply, "Allow", allow);
	} else {
		reply_api_error(reply, 404, "no such path");
	}
	return NULL;
}

const char *
route_count_name(const struct route *route, const struct request *request)
{
	if (route->handle == token_endpoint)
		return token_count_name(request);
	return route->name;
}

void
route_init_counters(struct world *world)
{
	static const char *const more[] = { "token_device_code",
		"token_refresh_token", "token_exchange" };

	for (size_t i = 0; i < ARRAY_SIZE(route_table); i++) {
		if (route_table[i].style == ROUTE_CONTROL)
			continue;
		json_object_set_new(
		    world->requests, route_table[i].name, json_integer(0));
		json_object_set_new(
		    world->done, route_table[i].name, json_integer(0));
	}
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		json_object_set_new(world->requests, more[i], json_integer(0));
		json_object_set_new(world->done, more[i], json_integer(0));
	}
}
