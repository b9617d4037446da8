/* SPDX-License-Identifier: Apache-2.0 */
/* Management tokens by influxctl: what is asked of the helper, byte by byte,
 * and what each of its answers means, above all whether a token may exist. */
#include "backend_fixture.h"
#include "base/strbuf.h"
#include "fake_helper_call.h"

#define ID "6f0c2f7e-0001-4000-8000-000000000001"
#define VALUE "M.V1.abcdefghijklmnopqrstuvwxyz"
#define LIST "[{\"id\":\"" ID "\",\"description\":\"x " FIX_DESCRIPTION \
	"\",\"created_at\":{\"seconds\":1795368000}}]"

static struct backend_recipe recipe = { .kind = BACKEND_KIND_MANAGEMENT,
	.allow_full_access = true };

static struct backend_conf
fix_influxctl(bool dedicated)
{
	struct backend_conf c = dedicated ? fix_dedicated() : fix_clustered();

	c.probe_url = NULL;
	c.management_driver = LIT("influxctl");
	c.influxctl.uid = 4711;
	return c;
}

/* A run that ended with this. */
static void
push_run(const char *out, const char *err, int status)
{
	json_t *j = json_pack("{s:b, s:i, s:i, s:b, s:b, s:s, s:s}", "ran", 1,
	    "exit", status, "signal", 0, "timed_out", 0, "too_long", 0,
	    "stdout", out, "stderr", err);
	char *text = json_dumps(j, 0);

	fake_helper_push(text);
	free(text);
	json_decref(j);
}

static void
push_list(const char *out)
{
	push_run(out, "", 0);
}

static const char *
file_text(size_t question, size_t i, const char *path)
{
	json_t *file = json_array_get(json_object_get(
	    fake_helper_question(question), "files"), i);

	assert_string_equal(json_string_value(json_object_get(file, "path")),
	    path);
	return json_string_value(json_object_get(file, "text"));
}

static void
assert_args(size_t question, const char *want)
{
	json_t *args = json_object_get(fake_helper_question(question), "args");
	struct strbuf got _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;
	json_t *arg;

	json_array_foreach(args, i, arg)
		strbuf_addf(&got, "%s%s", i ? "|" : "",
		    json_string_value(arg));
	assert_string_equal(strbuf_str(&got), want);
}

static int
setup(void **state)
{
	fake_helper_reset();
	return fix_setup(state);
}

static int
teardown(void **state)
{
	size_t left = fake_helper_left();

	fake_helper_reset();
	return fix_teardown(state) || left ? -1 : 0;
}

/* --------------------------------------------------------------- questions */

static void
test_mint_asks(void **state)
{
	struct backend_conf c = fix_influxctl(true);
	json_t *q;

	push_list("[]");
	push_run("{\"id\":\"" ID "\",\"token\":\"" VALUE "\","
	    "\"expires_at\":{\"seconds\":1795450000}}", "", 0);
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_secret(&fix.run.token, VALUE);
	assert_string_equal(fix.run.minted_id, ID);
	assert_int_equal(fix.run.minted_expires_at, 1795450000);
	assert_int_equal(fake_helper_asked(), 2);
	assert_args(0, "management|list|--format|json");
	assert_args(1, "management|create|--format|json|--expires-at|"
	    "2026-11-29T17:20:00Z|--description|" FIX_DESCRIPTION);
	q = fake_helper_question(1);
	assert_string_equal(json_string_value(json_object_get(q,
	    "min_version")), "2.10.0");
	assert_string_equal(json_string_value(json_object_get(q, "home")),
	    "fresh");
	assert_string_equal(json_string_value(json_object_get(q, "name")),
	    "prod");
	assert_int_equal(json_integer_value(json_object_get(q, "timeout_ms")),
	    60000);
	assert_string_equal(fake_helper_request(1)->path,
	    "/run/tokenbroker-influxctl/helper.sock");
	assert_int_equal(fake_helper_request(1)->uid, 4711);
	assert_true(fake_helper_request(1)->timeout_ms > 60000);
}

static void
test_profiles(void **state)
{
	struct backend_conf c = fix_influxctl(true);
	json_t *files;

	push_list("[]");
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_string_equal(file_text(0, 0, ".config/influxctl/config.toml"),
	    "[[profile]]\nname = \"default\"\nproduct = \"dedicated\"\n"
	    "account_id = \"acc/1\"\ncluster_id = \"clu-2\"\n"
	    "[profile.auth.token]\ntoken_file = \"@HOME@/token.json\"\n");
	assert_string_equal(file_text(0, 1, "token.json"),
	    "{\"access_token\":\"" FIX_BEARER "\",\"token_type\":\"Bearer\","
	    "\"expiry\":\"2026-11-22T18:20:00Z\"}");

	c = fix_influxctl(false);
	c.base_url = LIT("https://influx.example.com:8086");
	c.ca_file = LIT("/etc/\"ca\".pem");
	c.influxctl.client_id = LIT("cli");
	c.influxctl.scopes = LIT("openid  offline_access");
	c.influxctl.audience = LIT("a");
	c.influxctl.token_url = LIT("https://i/t");
	c.influxctl.device_url = LIT("https://i/d");
	push_list("[]");
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_string_equal(file_text(1, 0, ".config/influxctl/config.toml"),
	    "[[profile]]\nname = \"default\"\nproduct = \"clustered\"\n"
	    "host = \"influx.example.com\"\nport = \"8086\"\n"
	    "mgmt_token = \"" FIX_BEARER "\"\n"
	    "[profile.tls]\nca = \"/etc/\\\"ca\\\".pem\"\n"
	    "[profile.auth.oauth2]\nclient_id = \"cli\"\n"
	    "scopes = [\"openid\", \"offline_access\"]\n"
	    "parameters = { audience = \"a\" }\n"
	    "token_url = \"https://i/t\"\ndevice_url = \"https://i/d\"\n");
	files = json_object_get(fake_helper_question(1), "files");
	assert_int_equal(json_array_size(files), 1);
}

static void
test_cache_and_own(void **state)
{
	struct backend_conf c = fix_influxctl(true);
	struct backend_run run;
	json_t *q;

	c.influxctl.login = LIT("cache");
	c.influxctl.token_path = LIT("c/x.json");
	c.influxctl.token_content = LIT("\"{token} {token}\" {expires_at_epoch}");
	push_list("[]");
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_string_equal(file_text(0, 1, "c/x.json"),
	    "\"" FIX_BEARER " " FIX_BEARER "\" 1795371600");

	c = fix_influxctl(true);
	c.influxctl.login = LIT("own");
	c.login = NULL;
	run = fix_run(&c, &recipe, BACKEND_LIST);
	secret_clear(&run.bearer); /* nobody pays */
	push_list("[]");
	fix_call_run(&run);
	assert_int_equal(fix.err.code, TB_OK);
	q = fake_helper_question(1);
	assert_string_equal(json_string_value(json_object_get(q, "home")),
	    "kept");
	assert_int_equal(json_array_size(json_object_get(q, "files")), 1);
	assert_null(strstr(file_text(1, 0, ".config/influxctl/config.toml"),
	    "token"));
}

static void
test_configured_words(void **state)
{
	struct backend_conf c = fix_influxctl(true);
	json_t *q;

	c.influxctl.mint_args = LIT("  management  create --expire-at="
	    "{expires_at_epoch} {account_id}  -d {description} ");
	c.influxctl.min_version = LIT("none");
	c.influxctl.socket = LIT("/x/y");
	c.influxctl.timeout_ms = 7000;
	push_list("null");
	push_run("{\"id\":\"i\",\"token\":\"t\"}", "", 0);
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_args(1, "management|create|--expire-at=1795972800|acc/1|-d|"
	    FIX_DESCRIPTION);
	q = fake_helper_question(1);
	assert_null(json_object_get(q, "min_version"));
	assert_string_equal(fake_helper_request(1)->path, "/x/y");
	assert_int_equal(json_integer_value(json_object_get(q, "timeout_ms")),
	    7000);
}

/* An id comes from the service: it must not become an option. */
static void
test_revoke_bad_id(void **state)
{
	static const char *const ids[] = { NULL, "", "a b", "--config=/x" };
	struct backend_conf c = fix_influxctl(true);

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct backend_run run = fix_run(&c, &recipe, BACKEND_REVOKE);

		str_set(&run.token_id, ids[i]);
		fix_call_run(&run);
		assert_int_equal(fix.err.code, TB_E_BADREQ);
	}
	assert_int_equal(fake_helper_asked(), 0);
}

/* ------------------------------------------------------------- what is said */

static void
test_mint_outputs(void **state)
{
	/* id: said, or to be found in a list */
	static const struct {
		const char *out;
		bool id;
	} rows[] = {
		{ "{\"id\":\"" ID "\",\"token\":\"" VALUE "\"}", true },
		{ "[{\"id\":\"" ID "\",\"accessToken\":\"" VALUE "\"}]", true },
		{ "WARN 9.9.9 is there\n[notice] x\n{\"id\":\"" ID "\",\n"
		    "  \"token\":\"" VALUE "\"}\n[notice] {y}\n", true },
		{ "{\"token\":\"" VALUE "\"}", false },
		{ "please copy\nkeep it safe\n" VALUE "\n", false },
		{ "please copy\r\n\t" VALUE " \r\n\r\nA newer one is there", false },
		{ "| id | M.V1.abcd |\nM.V1.abcd\nM.V1. is a prefix\n" VALUE,
		    false },
		{ "{\"token_prefix\":\"M.V1.abcd\"}\n" VALUE "\n", false },
	};
	struct backend_conf c = fix_influxctl(true);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_helper_reset();
		push_list("[]");
		push_run(rows[i].out, "", 0);
		if (!rows[i].id)
			push_list(LIST);
		fix_call(&c, &recipe, BACKEND_MINT);
		if (fix.err.code)
			fail_msg("row %zu: %s", i, fix.err.msg);
		assert_secret(&fix.run.token, VALUE);
		assert_string_equal(fix.run.minted_id, ID);
		assert_int_equal(fix.run.n_listed, 0);
		assert_int_equal(fake_helper_left(), 0);
	}
}

static void
test_configured_pointers(void **state)
{
	struct backend_conf c = fix_influxctl(true);

	c.token_pointer = LIT("/data/secret");
	c.id_pointer = LIT("/data/no");
	c.expires_pointer = LIT("/data/end");
	c.list_pointer = LIT("/items");
	c.list_id_pointer = LIT("/no");
	push_list("{\"items\":[{\"no\":\"z\",\"description\":\"d\"}]}");
	push_run("{\"token\":\"wrong\",\"data\":{\"secret\":\"right\","
	    "\"no\":7,\"end\":1795450000}}", "", 0);
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_secret(&fix.run.token, "right");
	assert_string_equal(fix.run.minted_id, "7");
	assert_int_equal(fix.run.minted_expires_at, 1795450000);
}

static void
test_list_as_documented(void **state)
{
	struct backend_conf c = fix_influxctl(true);

	push_list("[{\"id\":\"1\",\"account_id\":\"a\",\"token_prefix\":"
	    "\"M.V1.+5Jk\",\"description\":\"d\",\"created_by\":\"u\","
	    "\"created_at\":{\"seconds\":1795360000,\"nanos\":5}},"
	    "{\"id\":\"2\",\"description\":\"e\",\"revoked_at\":"
	    "{\"seconds\":1795360000}},"
	    "{\"id\":\"3\",\"description\":\"f\",\"expires_at\":"
	    "{\"seconds\":1}}]");
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_int_equal(fix.run.n_listed, 3);
	assert_int_equal(fix.run.listed[0].created_at, 1795360000);
	assert_false(fix.run.listed[0].dead);
	assert_true(fix.run.listed[1].dead);
	assert_true(fix.run.listed[2].dead);
	assert_string_equal(fix.run.listed[0].prefix, "M.V1.+5Jk");
}

static void
test_get(void **state)
{
	struct backend_conf c = fix_influxctl(true);
	struct backend_run run = fix_run(&c, &recipe, BACKEND_GET);

	push_list("[{\"id\":\"1\",\"description\":\"d\"},"
	    "{\"id\":\"id-1\",\"description\":\"e\"}]");
	fix_call_run(&run);
	assert_int_equal(fix.run.n_listed, 1);
	assert_string_equal(fix.run.listed[0].description, "e");
	run = fix_run(&c, &recipe, BACKEND_GET);
	push_list("[{\"id\":\"1\",\"description\":\"d\"}]");
	fix_call_run(&run);
	assert_int_equal(fix.err.code, TB_OK);
	assert_int_equal(fix.run.n_listed, 0);
}

/* --------------------------------------------------------- what it may mean */

#define NOT_RAN "{\"ran\":false,\"busy\":false,\"error\":\"too old\"}"
#define BUSY "{\"ran\":false,\"busy\":true,\"error\":\"wait\"}"
#define KILLED "{\"ran\":true,\"exit\":-1,\"signal\":9,\"timed_out\":false," \
	"\"too_long\":false,\"stdout\":\"" VALUE "\\n\",\"stderr\":\"\"}"
#define LATE "{\"ran\":true,\"exit\":0,\"signal\":0,\"timed_out\":true," \
	"\"too_long\":false,\"stdout\":\"" VALUE "\\n\",\"stderr\":\"\"}"

static void
test_mint_doubts(void **state)
{
	/* at: which question gets the answer; NULL: no answer at all */
	static const struct {
		size_t at;
		const char *answer;
		enum tb_errc lost;
		bool uncertain;
		enum tb_errc code;
	} rows[] = {
		{ 0, NOT_RAN, 0, false, TB_E_UNREACHED },
		{ 0, BUSY, 0, false, TB_E_BUSY },
		{ 0, KILLED, 0, false, TB_E_TRANSIENT },
		{ 0, "{", 0, false, TB_E_PROTO },
		{ 0, NULL, TB_E_TRANSIENT, false, TB_E_TRANSIENT },
		{ 0, NULL, TB_E_UNREACHED, false, TB_E_UNREACHED },
		{ 1, NOT_RAN, 0, false, TB_E_UNREACHED },
		{ 1, BUSY, 0, false, TB_E_BUSY },
		{ 1, KILLED, 0, true, TB_E_TRANSIENT },
		{ 1, LATE, 0, true, TB_E_TRANSIENT },
		{ 1, "{", 0, true, TB_E_PROTO },
		{ 1, "{\"stdout\":\"x\"}", 0, true, TB_E_PROTO },
		{ 1, "{\"ran\":true}", 0, true, TB_E_PROTO },
		{ 1, NULL, TB_E_TRANSIENT, true, TB_E_TRANSIENT },
		{ 1, NULL, TB_E_UNREACHED, false, TB_E_UNREACHED },
		/* the list after it: the token is there by now */
		{ 2, NOT_RAN, 0, true, TB_E_TRANSIENT },
		{ 2, KILLED, 0, true, TB_E_TRANSIENT },
		{ 2, "{", 0, true, TB_E_PROTO },
		{ 2, NULL, TB_E_TRANSIENT, true, TB_E_TRANSIENT },
	};
	struct backend_conf c = fix_influxctl(true);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_helper_reset();
		if (rows[i].at > 0)
			push_list("[]");
		if (rows[i].at > 1)
			push_run(VALUE "\n", "", 0);
		if (rows[i].answer)
			fake_helper_push(rows[i].answer);
		else
			fake_helper_push_error(rows[i].lost, "lost");
		fix_call(&c, &recipe, BACKEND_MINT);
		if (fix.run.uncertain != rows[i].uncertain)
			fail_msg("row %zu: uncertain %d: %s", i,
			    fix.run.uncertain, fix.err.msg);
		assert_true(secret_is_empty(&fix.run.token));
		if (rows[i].code != fix.err.code && rows[i].at < 2)
			fail_msg("row %zu: %s", i, fix.err.msg);
	}
}

static void
test_mint_without_a_token(void **state)
{
	static const char *const outs[] = { "", "Error: x\n", "{}", "M.V1.\n",
		"{\"token\":\"a b\"}", "{\"token\":7}" };
	struct backend_conf c = fix_influxctl(true);

	for (size_t i = 0; i < ARRAY_SIZE(outs); i++) {
		push_list("[]");
		push_run(outs[i], "", 0);
		fix_call(&c, &recipe, BACKEND_MINT);
		assert_int_equal(fix.err.code, TB_E_PROTO);
		assert_true(fix.run.uncertain);
		fake_helper_reset();
	}
	/* one that no list shows */
	push_list("[]");
	push_run(VALUE "\n", "", 0);
	push_list("[]");
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_true(fix.run.uncertain);
	assert_true(secret_is_empty(&fix.run.token));
}

/* Error output is quoted, but not what a value could be. */
static void
test_errors_are_clean(void **state)
{
	struct backend_conf c = fix_influxctl(true);

	push_list("[]");
	push_run("", "lost; had M.V1.short and " VALUE ", and\n\t\x01"
	    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9eyJhbGciOiJSUzI1NiIs", 3);
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_string_equal(fix.err.msg, "mint: influxctl ended with status "
	    "3: lost; had ... and ..., and??...");

	push_run("", "said " FIX_BEARER, 1);
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_null(strstr(fix.err.msg, "payer"));
}

static void
test_unauthorized(void **state)
{
	struct backend_conf c = fix_influxctl(true);

	push_run("", "rpc: Unauthenticated", 1);
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_true(fix.run.unauthorized);
	assert_false(fix.run.uncertain);
	/* after create a second try could make a second token */
	push_list("[]");
	push_run("", "rpc: Unauthenticated", 1);
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_false(fix.run.unauthorized);
	assert_true(fix.run.uncertain);

	c.influxctl.unauthorized = LIT("log.in expired");
	push_run("", "rpc: Unauthenticated", 1);
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_false(fix.run.unauthorized);
	push_run("", "it is EXPIRED", 1);
	fix_call(&c, &recipe, BACKEND_LIST);
	assert_true(fix.run.unauthorized);
}

static void
test_revoke_is_seen(void **state)
{
#define ALIVE "[{\"id\":\"id-1\",\"description\":\"\"}]"
#define DEAD "[{\"id\":\"id-1\",\"description\":\"\",\"revoked_at\":5}]"
	static const struct {
		int status;
		const char *list;
		bool good;
	} rows[] = {
		{ 0, DEAD, true }, { 0, "[]", true }, { 1, DEAD, true },
		{ 0, ALIVE, false }, { 1, ALIVE, false }, { 0, "x", false },
	};
	struct backend_conf c = fix_influxctl(true);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_helper_reset();
		push_run("revoked", "not found", rows[i].status);
		push_list(rows[i].list);
		fix_call(&c, &recipe, BACKEND_REVOKE);
		assert_int_equal(fix.err.code == TB_OK, rows[i].good);
	}
	assert_args(0, "management|revoke|--force|id-1");
	assert_args(1, "management|list|--format|json");
}

/* ------------------------------------------------------------------- probe */

static void
test_probe(void **state)
{
	struct backend_conf c = fix_influxctl(false);

	fake_http_push_json(200, "[]");
	fix_call(&c, &recipe, BACKEND_PROBE);
	assert_int_equal(fix.run.probe, BACKEND_PROBE_YES);
	assert_string_equal(fake_http_last()->method, "GET");
	assert_string_equal(fake_http_last()->url,
	    "https://influx.example.com/api/v0/tokens");
	assert_string_equal(fake_http_header(fake_http_last(),
	    "Authorization"), "Bearer " FIX_VALUE);
	fake_http_push_json(401, "{}");
	fix_call(&c, &recipe, BACKEND_PROBE);
	assert_int_equal(fix.run.probe, BACKEND_PROBE_NOT_YET);
	c.probe_url = LIT("https://influx.example.com/me");
	fake_http_push_json(200, "{}");
	fix_call(&c, &recipe, BACKEND_PROBE);
	assert_string_equal(fake_http_last()->url,
	    "https://influx.example.com/me");
}

/* ------------------------------------------------------------------ at load */

static void
test_refused_at_load(void **state)
{
#define KEY(field) offsetof(struct backend_conf, influxctl.field)
	static const struct {
		size_t key;
		const char *value, *says; /* NULL: fine */
	} rows[] = {
		{ KEY(mint_args), "create {description} {token}",
		    "influxctl_mint_args: unknown placeholder {token}" },
		{ KEY(mint_args), "create {description}",
		    "influxctl_mint_args must have {description}" },
		{ KEY(mint_args), "create {expires_at}",
		    "influxctl_mint_args must have {description}" },
		{ KEY(mint_args), "create {id} {description} {expires_at}",
		    "influxctl_mint_args: placeholder {id} has no value" },
		{ KEY(list_args), "list {description}",
		    "influxctl_list_args: placeholder {description}" },
		{ KEY(revoke_args), "revoke",
		    "influxctl_revoke_args must have {id}" },
		{ KEY(min_version), "2.10", "influxctl_min_version" },
		{ KEY(min_version), "2.10.0.1", "influxctl_min_version" },
		{ KEY(min_version), "none", NULL },
		{ KEY(min_version), "2.11.0", NULL },
		{ KEY(token_path), "/etc/passwd", "influxctl_token_path" },
		{ KEY(token_path), "a/../../b", "influxctl_token_path" },
		{ KEY(token_path), "..", "influxctl_token_path" },
		{ KEY(token_path), "a/..", "influxctl_token_path" },
		{ KEY(token_path), "a/b..json", NULL },
		{ KEY(token_content), "{}", "influxctl_token_content must" },
		{ KEY(token_content), "{token}{id}",
		    "influxctl_token_content: unknown placeholder {id}" },
		{ KEY(token_prefix), "a b", "influxctl_token_prefix" },
		{ KEY(scopes), "openid", "influxctl_client_id is missing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct backend_conf c = fix_influxctl(true);
		struct tb_error err = TB_ERROR_INIT;
		int r;

		*(char **)(void *)((char *)&c + rows[i].key) =
		    LIT(rows[i].value);
		r = c.ops->check(&c, &err);
		if ((r == 0) != !rows[i].says)
			fail_msg("row %zu: %s", i, err.msg);
		if (rows[i].says)
			assert_contains(err.msg, rows[i].says);
	}
}

static void
test_logins_at_load(void **state)
{
	struct backend_conf c = fix_influxctl(false);
	struct backend_recipe db = fix_permissions("read:m");
	struct tb_error err = TB_ERROR_INIT;

	c.influxctl.login = LIT("own");
	c.management_token = NULL;
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "influxctl_client_id is missing");
	c.influxctl.client_id = LIT("cli");
	assert_int_equal(c.ops->check(&c, &err), 0);
	assert_int_equal(c.ops->check_recipe(&c, &recipe, &err), 0);
	assert_int_equal(c.ops->check_recipe(&c, &db, &err), -1);
	assert_contains(err.msg, "needs a payer");
	c.influxctl.token_path = LIT("x");
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "influxctl_login: only");
	c = fix_influxctl(true);
	c.login = NULL;
	assert_int_equal(c.ops->check(&c, &err), -1);
	assert_contains(err.msg, "login or management_token is wanted");
	backend_recipe_clear(&db);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_mint_asks),
		T(test_profiles),
		T(test_cache_and_own),
		T(test_configured_words),
		T(test_revoke_bad_id),
		T(test_mint_outputs),
		T(test_configured_pointers),
		T(test_list_as_documented),
		T(test_get),
		T(test_mint_doubts),
		T(test_mint_without_a_token),
		T(test_errors_are_clean),
		T(test_unauthorized),
		T(test_revoke_is_seen),
		T(test_probe),
		T(test_refused_at_load),
		T(test_logins_at_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
