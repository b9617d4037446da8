/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_conf - what tests/conf/ cannot see: which field a key lands in, what a
 * reload may change, counted references, the reader by itself. Error texts are
 * in tests/conf/, one case each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "base/tb_error.h"
#include "conf.h"
#include "conf_ini.h"
#include "conf_int.h"

static char dir[64];

static char *
write_conf(const char *text)
{
	char *path = xasprintf("%s/tokenbroker.conf", dir);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
	return path;
}

static struct conf *
try_load(const char *text, struct tb_error *err)
{
	_cleanup_free_ char *path = write_conf(text);

	return conf_load(path, err);
}

static const struct conf *
load(const char *text)
{
	struct tb_error err = TB_ERROR_INIT;
	struct conf *c = try_load(text, &err);

	if (!c)
		fail_msg("%s", err.msg);
	return c;
}

static char *
dump(const struct conf *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	conf_dump(c, f);
	fclose(f);
	return text;
}

#define LOGIN \
	"[login ops]\nissuer = https://sso.example.com\nclient_id = tb\n"
#define BACKEND \
	"[backend prod]\ntype = influxdb-dedicated\nlogin = ops\n" \
	"account_id = a\ncluster_id = c\n"
#define TOKEN \
	"[token metrics]\nbackend = prod\nlifetime = 7d\n" \
	"permissions = write:metrics read:logs:2\n"

/* ---------------------------------------------------------------- warnings */

static void
test_settle_time_is_long_enough(void **state)
{
	static const struct {
		const char *broker, *backend;
		size_t warnings;
	} t[] = {
		{ "", "", 0 },
		{ "[broker]\nsettle_time = 30s\n", "", 0 },
		{ "[broker]\nsettle_time = 29s\n", "", 1 },
		{ "[broker]\nsettle_time = 29s\n", "timeout = 29s\n", 0 },
		{ "[broker]\nsettle_time = 5s\n", "timeout = 6s\n", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char *text = xasprintf("%s" LOGIN BACKEND "%s" TOKEN,
		    t[i].broker, t[i].backend);
		const struct conf *c = load(text);

		assert_int_equal(c->n_warnings, t[i].warnings);
		conf_unref(c);
		free(text);
	}
}

/* ------------------------------------------------------------------ fields */

static void
test_broker_fields(void **state)
{
	const struct conf *c = load("[broker]\naudit = relaxed\n"
	    "settle_time = 2m\nmax_lifetime = 1w\ncold_wait = 500ms\n"
	    "max_connections = 99\nmax_connections_per_uid = 9\n"
	    "mints_per_hour = 3\n");

	assert_false(c->audit_strict);
	assert_int_equal(c->settle_time_ms, 120000);
	assert_int_equal(c->max_lifetime_ms, INT64_C(7) * 86400000);
	assert_int_equal(c->cold_wait_ms, 500);
	assert_int_equal(c->max_connections, 99);
	assert_int_equal(c->max_connections_per_uid, 9);
	assert_int_equal(c->mints_per_hour, 3);
	assert_string_equal(c->state_dir, "/var/lib/tokenbroker");
	assert_null(c->master_key_path);
	conf_unref(c);
}

static void
test_login_fields(void **state)
{
	const struct conf *c = load(LOGIN
	    "client_auth = private_key_jwt\nclient_key_file = /k\n"
	    "audience = aud\nresource = r1 r2\nparameters = a=b=c\n"
	    "leeway = 2m\nidentity = unverified\ndiscovery = no\n"
	    "device_endpoint = https://sso.example.com/d\n"
	    "token_endpoint = https://sso.example.com/t\n");
	const struct idp_conf *l = c->logins[0];

	assert_int_equal(c->n_logins, 1);
	assert_string_equal(l->name, "ops");
	assert_int_equal(l->auth, IDP_AUTH_PRIVATE_KEY_JWT);
	assert_string_equal(l->client_key_path, "/k");
	assert_int_equal(l->n_params, 4);
	assert_string_equal(l->params[0].name, "audience");
	assert_string_equal(l->params[2].name, "resource");
	assert_string_equal(l->params[2].value, "r2");
	assert_string_equal(l->params[3].name, "a");
	assert_string_equal(l->params[3].value, "b=c");
	assert_int_equal(l->leeway_s, 120);
	assert_true(l->identity_unverified);
	assert_false(l->discovery);
	assert_int_equal(l->timeout_ms, 30000);
	conf_unref(c);
}

static void
test_token_fields(void **state)
{
	const struct conf *c = load(LOGIN BACKEND TOKEN
	    "probe = none\nactivate_after = 2m\non_grant_loss = withhold\n");
	const struct token_conf *t = conf_token(c, "metrics");

	assert_null(conf_token(c, "logs"));
	assert_ptr_equal(t->backend, c->backends[0]);
	assert_string_equal(t->backend->ops->type, "influxdb-dedicated");
	assert_int_equal(t->recipe.kind, BACKEND_KIND_DATABASE);
	assert_int_equal(t->recipe.n_permissions, 2);
	assert_string_equal(t->recipe.permissions[1].action, "read");
	assert_string_equal(t->recipe.permissions[1].resource, "logs:2");
	assert_int_equal(t->lifetime_ms, INT64_C(7) * 86400000);
	assert_int_equal(t->renew_before_ms, t->lifetime_ms / 3);
	assert_false(t->probe);
	assert_int_equal(t->activate_after_ms, 120000);
	assert_int_equal(t->on_grant_loss, TOKEN_LOSS_WITHHOLD);
	assert_non_null(strstr(t->where, "/tokenbroker.conf:9"));
	conf_unref(c);
}

/* One key, one place for it: the http type looks at probe.url. */
static void
test_probe_url_of_http(void **state)
{
	const struct conf *c = load(LOGIN "[backend b]\ntype = http\n"
	    "login = ops\nmint_url = https://a.example.com/{lifetime_s}\n"
	    "probe_url = https://a.example.com/me\n");

	assert_string_equal(c->backends[0]->probe.url,
	    "https://a.example.com/me");
	conf_unref(c);
}

static void
test_rule_fields(void **state)
{
	const struct conf *c = load(LOGIN BACKEND TOKEN
	    "[client a]\nunit = a.service b-*.service\nuser = root 4711\n"
	    "group = root 12\ncontainer = no\ndoor = credential\n"
	    "credentials = x=metrics y=metrics\naction = deny\n"
	    "rate = 6/1h\nmin_identity = weak\n"
	    "[client b]\nuser = *\ntokens = m*\n");
	const struct acl_rule *r = c->rules[0];

	assert_int_equal(c->n_rules, 2);
	assert_int_equal(r->n_units, 2);
	assert_string_equal(r->units[1], "b-*.service");
	assert_int_equal(r->n_users, 2);
	assert_int_equal(r->users[0], 0);
	assert_int_equal(r->users[1], 4711);
	assert_int_equal(r->n_groups, 2);
	assert_int_equal(r->groups[1], 12);
	assert_int_equal(r->container, 0);
	assert_int_equal(r->doors, ACL_DOOR_CREDENTIAL);
	assert_int_equal(r->n_credentials, 2);
	assert_string_equal(r->credential_ids[1], "y");
	assert_int_equal(r->n_tokens, 1); /* from the credentials, once */
	assert_string_equal(r->tokens[0], "metrics");
	assert_true(r->deny);
	assert_int_equal(r->rate_count, 6);
	assert_int_equal(r->rate_period_s, 3600);
	assert_int_equal(r->min_identity, PRINCIPAL_WEAK);
	r = c->rules[1];
	assert_int_equal(r->n_users, 0); /* anybody */
	assert_int_equal(r->container, -1);
	assert_int_equal(r->doors, ACL_DOOR_API | ACL_DOOR_CREDENTIAL);
	assert_int_equal(r->min_identity, PRINCIPAL_STRONG);
	conf_unref(c);
}

/* ----------------------------------------------------------------- reading */

static void
test_failed_load(void **state)
{
	static const char *const broken[] = {
		"[broker]\nbanana = 1\n",
		LOGIN "[client x]\nuser = root\nuser = root\n",
		LOGIN BACKEND TOKEN "[client x]\nuser = root no-such-user\n",
		LOGIN BACKEND "[token t]\nbackend = nowhere\nlifetime = 1h\n",
		LOGIN "parameters = a=1 b=2 c\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct tb_error err = TB_ERROR_INIT;

		assert_null(try_load(broken[i], &err));
		assert_int_equal(err.code, TB_E_CONFIG);
		assert_int_equal(strncmp(err.msg, dir, strlen(dir)), 0);
	}
}

/* A secret in the wrong place is not repeated. */
static void
test_no_secret_in_errors(void **state)
{
	static const char *const wrong[] = {
		LOGIN "client_secret = hunter2\n",
		LOGIN "client_secret_file = hunter2\n",
		LOGIN "client_secret_credential = hunter/2 hunter2\n",
		LOGIN "parameters = client_secret=hunter2\n",
		LOGIN "parameters = hunter2\n",
		LOGIN "client_secret: hunter2\n",
		"[broker]\nproxy = http://me:hunter2@proxy\n",
		"[broker]\nmaster_key = hunter2\n",
		"[backend b]\ntoken = hunter2\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct tb_error err = TB_ERROR_INIT;

		assert_null(try_load(wrong[i], &err));
		if (strstr(err.msg, "hunter"))
			fail_msg("%s", err.msg);
	}
}

static int
on_heading(void *arg, int line, const char *heading, struct tb_error *err)
{
	fprintf(arg, "%d[%s]", line, heading);
	return 0;
}

static int
on_pair(void *arg, int line, const char *key, const char *value,
    struct tb_error *err)
{
	fprintf(arg, "%d{%s|%s}", line, key, value);
	if (strcmp(key, "stop") == 0)
		return tb_error_set(err, TB_E_CONFIG, "stopped");
	return 0;
}

static void
test_reader(void **state)
{
	static const struct conf_ini_sink sink = { on_heading, on_pair };
	static const struct {
		const char *in, *out, *err;
	} t[] = {
		{ "", "", "" },
		{ "a=b", "1{a|b}", "" }, /* no newline at the end */
		{ "[x]\n\n[ y z ]\na = b c \n", "1[x]3[ y z]4{a|b c}", "" },
		{ "a=b;c\n# ;x\n; = ;\na==b\n", "1{a|b;c}4{a|=b}", "" },
		{ "a=b\n\n c=d\n", "1{a|b}",
		    "f:3: the line is indented, and would be read as part of "
		    "the line before: remove the space in front" },
		{ "a=b\n\tc\n", "1{a|b}",
		    "f:2: the line is indented, and would be read as part of "
		    "the line before: remove the space in front" },
		{ "a = b\t; c\n", "",
		    "f:1: ' ;' would cut the value off: write a comment on a "
		    "line of its own" },
		{ "a\n", "", "f:1: no '=' in the line: write key = value" },
		{ "\x01\n", "", "f:1: a control character in the line" },
		{ "a = b\rc\n", "", "f:1: a control character in the line" },
		{ "stop=1\na=b\n", "1{stop|1}", "stopped" },
		{ "]\n", "", "f:1: no '=' in the line: write key = value" },
		{ "[]\n", "1[]", "" },
		{ "[\n", "", "f:1: a section heading ends with ']'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct tb_error err = TB_ERROR_INIT;
		char *got = NULL;
		size_t size;
		FILE *out = open_memstream(&got, &size);
		/* not fmemopen: it refuses the empty text */
		FILE *in = tmpfile();
		int r;

		fputs(t[i].in, in);
		rewind(in);
		r = conf_ini_read(in, "f", &sink, out, &err);
		fclose(out);
		fclose(in);
		assert_string_equal(got, t[i].out);
		assert_string_equal(err.msg, t[i].err);
		assert_int_equal(r, *t[i].err ? -1 : 0);
		free(got);
	}
}

/* ------------------------------------------------------- reload, references */

static void
test_reloadable(void **state)
{
	static const struct {
		const char *a, *b, *err;
	} t[] = {
		{ "", "", "" },
		{ "", "[broker]\nlog_level = debug\nsettle_time = 1m\n", "" },
		{ "", LOGIN BACKEND TOKEN, "" },
		{ "[broker]\naudit = strict\n", "", "" },
		{ "", "[broker]\nstate_dir = /x\n",
		    "[broker]: state_dir changes from '/var/lib/tokenbroker' "
		    "to '/x': that takes a restart" },
		{ "[broker]\nproxy = http://p\n", "",
		    "[broker]: proxy changes from 'http://p' to '': that "
		    "takes a restart" },
		{ "", "[broker]\naudit = relaxed\n",
		    "[broker]: audit changes from 'strict' to 'relaxed': that "
		    "takes a restart" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct tb_error err = TB_ERROR_INIT;
		const struct conf *a = load(t[i].a), *b = load(t[i].b);
		int r = conf_check_reloadable(a, b, &err);

		assert_string_equal(err.msg, t[i].err);
		assert_int_equal(r, *t[i].err ? -1 : 0);
		conf_unref(a);
		conf_unref(b);
	}
}

static void
test_references(void **state)
{
	const struct conf *c = load(LOGIN);
	const struct conf *again = conf_ref(c);

	assert_ptr_equal(c, again);
	conf_unref(c);
	assert_string_equal(again->logins[0]->name, "ops"); /* else ASan */
	conf_unref(again);
	conf_unref(NULL);
	assert_null(conf_ref(NULL));
}

/* ---------------------------------------------------------------- the table */

static void
test_dump_reads_back(void **state)
{
	const struct conf *a = load(LOGIN BACKEND TOKEN
	    "[client all]\nuser = *\ntokens = *\n");
	_cleanup_free_ char *first = dump(a);
	const struct conf *b = load(first);
	_cleanup_free_ char *second = dump(b);

	assert_string_equal(first, second);
	conf_unref(a);
	conf_unref(b);
}

/* Every row has a help text, no key is there twice. */
static void
test_options(void **state)
{
	_cleanup_free_ char *list = NULL;
	size_t size, lines = 0;
	FILE *f = open_memstream(&list, &size);

	for (size_t i = 0; i < conf_n_options; i++) {
		const struct conf_option *o = &conf_options[i];

		assert_int_equal(conf_option_find(o->section, o->key), i);
		assert_true(*o->help);
	}
	conf_list_options(f);
	fclose(f);
	for (const char *p = list; *p; p = strchr(p, '\n') + 1, lines++) {
		int tabs = 0;

		for (const char *q = p; *q != '\n'; q++)
			tabs += *q == '\t';
		assert_int_equal(tabs, 5);
	}
	assert_int_equal(lines, conf_n_options);
	assert_non_null(strstr(list,
	    "\nlogin\tscopes\tlist\topenid offline_access\treload\t"));
	assert_non_null(strstr(list, "\ntoken\tlifetime\tduration\t-\t"));
	assert_non_null(strstr(list, "\nbackend\ttype\tword\trequired\t"));
	assert_non_null(strstr(list, "broker\tstate_dir\tpath\t"
				     "/var/lib/tokenbroker\trestart\t"));
}

static void
test_guess(void **state)
{
	static const struct {
		const char *wrong, *right;
	} t[] = {
		{ "isuer", "issuer" },    /* left out */
		{ "isssuer", "issuer" },  /* too many */
		{ "isusre", "issuer" },   /* swapped */
		{ "Issuer", "issuer" },   /* other case */
		{ "scope", "scopes" },
		{ "banana", NULL },
		{ "", NULL },
		{ "a", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct conf_guess g;

		conf_guess_init(&g, t[i].wrong);
		conf_guess_try(&g, "client_id");
		conf_guess_try(&g, "issuer");
		conf_guess_try(&g, "scopes");
		if (t[i].right)
			assert_string_equal(g.best, t[i].right);
		else
			assert_null(g.best);
	}
}

/* ------------------------------------------------------------------ driver */

static int
set_up(void **state)
{
	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv("TOKENBROKER_RUN_DIR");
	strcpy(dir, "/tmp/test_conf.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int
tear_down(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/tokenbroker.conf", dir);

	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broker_fields),
		cmocka_unit_test(test_login_fields),
		cmocka_unit_test(test_token_fields),
		cmocka_unit_test(test_probe_url_of_http),
		cmocka_unit_test(test_rule_fields),
		cmocka_unit_test(test_failed_load),
		cmocka_unit_test(test_no_secret_in_errors),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_reloadable),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_dump_reads_back),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_guess),
		cmocka_unit_test(test_settle_time_is_long_enough),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
