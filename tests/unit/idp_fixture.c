/* SPDX-License-Identifier: Apache-2.0 */
#include "idp_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/util.h"
#include "fake_http.h"
#include "fake_loop.h"
#include "fake_now.h"
#include "lib/jsonx.h"

struct idp_fixture fixture;

static char *dir;
static char *files[8];
static size_t n_files;

int
idp_fixture_setup(void **state)
{
	static const struct http_env env = { .user_agent = "test" };
	struct tb_error err = TB_ERROR_INIT;

	jsonx_init();
	fake_now_reset();
	fake_http_reset();
	fixture.loop = loop_new(&err);
	fixture.http = http_new(fixture.loop, &env, &err);
	fixture.conf = (struct idp_conf){
		.name = xstrdup("ops"),
		.preset = xstrdup("generic"),
		.issuer = xstrdup(FIXTURE_ISSUER),
		.client_id = xstrdup("broker"),
		.auth = IDP_AUTH_NONE,
		.scopes = xstrdup("openid offline_access"),
		.device_endpoint = xstrdup(FIXTURE_DEVICE),
		.token_endpoint = xstrdup(FIXTURE_TOKEN),
		.revocation_endpoint = xstrdup(FIXTURE_REVOKE),
		.jwks_uri = xstrdup(FIXTURE_JWKS),
		.identity_claim = xstrdup("sub"),
		.leeway_s = 60,
		.timeout_ms = 20000,
	};
	idp_fixture_remake();
	return 0;
}

void
idp_fixture_remake(void)
{
	struct tb_error err = TB_ERROR_INIT;

	idp_free(fixture.idp);
	fixture.idp = idp_new(&fixture.conf, &err);
	assert_string_equal(err.msg, "");
	assert_non_null(fixture.idp);
}

int
idp_fixture_teardown(void **state)
{
	struct idp_conf *c = xnew(struct idp_conf);

	assert_int_equal(fake_http_pending(), 0);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(fake_loop_tasks(), 0);
	assert_int_equal(fake_http_scripted(), 0);
	fake_http_reset();
	idp_free(fixture.idp);
	fixture.idp = NULL;
	*c = fixture.conf;
	idp_conf_free(c);
	http_free(fixture.http);
	loop_free(fixture.loop);
	while (n_files > 0) {
		unlink(files[--n_files]);
		free(files[n_files]);
	}
	if (dir)
		rmdir(dir);
	free(dir);
	dir = NULL;
	return 0;
}

char *
idp_fixture_file(const char *name, const char *text, unsigned mode)
{
	const char *tmp = getenv("TMPDIR");
	char *path;
	int fd;

	if (!dir) {
		dir = xasprintf("%s/test_idp.XXXXXX", tmp ? tmp : "/tmp");
		assert_non_null(mkdtemp(dir));
	}
	path = xasprintf("%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	assert_true(n_files < ARRAY_SIZE(files));
	files[n_files++] = xstrdup(path);
	return path;
}
