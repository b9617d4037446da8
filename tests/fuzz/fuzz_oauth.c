/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of a provider. Two bytes, then the body: the first selects the
 * parser, the second the status. Beside not crashing, what a parser promises
 * is checked: an error if and only if it says so, nothing taken on an error,
 * texts fit for a terminal.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/tb_error.h"
#include "lib/http.h"
#include "lib/jsonx.h"
#include "ops/oauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_error(int rc, const struct tb_error *err)
{
	must((rc == 0) == (err->code == TB_OK));
	for (const char *p = err->msg; *p; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void
fuzz_device(const struct http_reply *reply)
{
	struct oauth_code c _cleanup_(oauth_code_clear) = OAUTH_CODE_INIT;
	struct tb_error err = TB_ERROR_INIT;
	int rc = oauth_parse_device_reply(reply, &c, &err);

	check_error(rc, &err);
	must((rc == 0) == (c.user_code != NULL));
	if (rc == 0)
		must(secret_is_token(&c.device_code) && *c.user_code &&
		    c.expires_in_s > 0 && c.interval_s > 0 &&
		    strncmp(c.verification_uri, "javascript", 10) != 0);
}

static void
check_grant(bool granted, const struct oauth_grant *g)
{
	must(granted == !secret_is_empty(&g->access_token));
	must(granted || secret_is_empty(&g->refresh_token));
	must(g->expires_in >= 0 && g->refresh_expires_in >= 0);
}

static void
fuzz_poll(const struct http_reply *reply)
{
	struct oauth_grant g _cleanup_(oauth_grant_clear) = OAUTH_GRANT_INIT;
	struct tb_error err = TB_ERROR_INIT;
	enum oauth_poll p = oauth_parse_poll(reply, &g, &err);
	bool quiet = p == OAUTH_POLL_GRANTED || p == OAUTH_POLL_PENDING ||
	    p == OAUTH_POLL_SLOW_DOWN;

	check_error(quiet ? 0 : -1, &err);
	check_grant(p == OAUTH_POLL_GRANTED, &g);
	must(p != OAUTH_POLL_GRANTED || reply->status == 200);
}

static void
fuzz_refresh(const struct http_reply *reply)
{
	struct oauth_grant g _cleanup_(oauth_grant_clear) = OAUTH_GRANT_INIT;
	struct tb_error err = TB_ERROR_INIT;
	int rc = oauth_parse_refresh(reply, &g, &err);

	check_error(rc, &err);
	check_grant(rc == 0, &g);
	/* a server in trouble never costs a grant */
	must(reply->status < 500 || tb_error_is_transient(&err));
}

static void
fuzz_metadata(const struct http_reply *reply)
{
	struct oauth_metadata m _cleanup_(oauth_metadata_clear) = {
		.issuer = NULL };
	struct tb_error err = TB_ERROR_INIT;
	int rc = oauth_parse_metadata(reply, "https://idp.example", false, &m,
	    &err);

	check_error(rc, &err);
	must((rc == 0) == (m.issuer != NULL));
	must(!m.token_endpoint ||
	    strncasecmp(m.token_endpoint, "https://", 8) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 200, 400, 401, 403, 404, 429, 500,
		502, 503, 302, 204 };
	struct http_reply reply = { .status = 200 };
	struct tb_error err = TB_ERROR_INIT;

	if (size < 2)
		return 0;
	jsonx_init();
	reply.status = statuses[data[1] % ARRAY_SIZE(statuses)];
	secret_set(&reply.body, data + 2, size - 2);
	switch (data[0] % 5) {
	case 0:
		fuzz_device(&reply);
		break;
	case 1:
		fuzz_poll(&reply);
		break;
	case 2:
		fuzz_refresh(&reply);
		break;
	case 3:
		check_error(oauth_parse_revoke(&reply, &err), &err);
		break;
	case 4:
		fuzz_metadata(&reply);
		break;
	}
	secret_clear(&reply.body);
	return 0;
}
