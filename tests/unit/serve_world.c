/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See serve_world.h.
 */
#include "serve_world.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "fake_now.h"
#include "lib/jsonx.h"

static int
reload(void *arg, struct tb_error *err)
{
	struct world *w = arg;

	w->reloads++;
	if (w->reload_error)
		return tb_error_set(err, TB_E_CONFIG, "%s", w->reload_error);
	serve_reconfigure(w->serve, &w->conf);
	return 0;
}

static void
start(struct world *w)
{
	struct serve_env env = {
		.loop = w->loop,
		.broker = w->broker,
		.audit = w->audit,
		.version = "1.2.3",
		.reload = reload,
		.reload_arg = w,
	};
	struct tb_error err = TB_ERROR_INIT;

	w->serve = serve_new(&env, &w->conf, &err);
	if (!w->serve)
		fprintf(stderr, "serve_new: %s\n", err.msg);
	assert(w->serve);
}

void
world_restart(struct world *w)
{
	serve_free(w->serve);
	start(w);
}

int
world_setup(void **state)
{
	struct world *w = *state = xnew(struct world);
	struct tb_error err = TB_ERROR_INIT;

	jsonx_init();
	log_set_level(LOG_L_ERROR);
	fake_now_reset();
	snprintf(w->dir, sizeof(w->dir), "/tmp/tb-serve-XXXXXX");
	assert(mkdtemp(w->dir));
	w->loop = loop_new(&err);
	w->broker = fake_broker_new(w->loop);
	w->audit = audit_new(w->loop, NULL, false, &err);
	for (size_t i = 0; i < ARRAY_SIZE(w->tokens); i++) {
		w->tokens[i] = xnew(struct token_conf);
		w->tokens[i]->name = xasprintf("t%zu", i + 1);
		fake_broker_add(w->broker, w->tokens[i]->name);
	}
	w->logins[0] = xnew(struct idp_conf);
	w->logins[0]->name = xstrdup("ops");
	w->backends[0] = xnew(struct backend_conf);
	w->backends[0]->name = xstrdup("prod");
	w->conf = (struct conf){
		.run_dir = w->dir,
		.admin_group = (char *)(uintptr_t)"0",
		.auditor_group = (char *)(uintptr_t)"0",
		.cold_wait_ms = 20000,
		.credential_wait_ms = 45000,
		.max_connections = 64,
		.max_connections_per_uid = 64,
		.tokens = w->tokens,
		.n_tokens = ARRAY_SIZE(w->tokens),
		.logins = w->logins,
		.n_logins = 1,
		.backends = w->backends,
		.n_backends = 1,
		.rules = w->rule_list,
	};
	start(w);
	return 0;
}

static void
free_rules(struct world *w)
{
	for (size_t i = 0; i < w->conf.n_rules; i++) {
		free(w->rules[i].users);
		free(w->rules[i].tokens);
	}
	w->conf.n_rules = 0;
}

int
world_teardown(void **state)
{
	struct world *w = *state;

	serve_free(w->serve);
	broker_free(w->broker);
	audit_free(w->audit);
	loop_free(w->loop);
	free_rules(w);
	for (size_t i = 0; i < ARRAY_SIZE(w->tokens); i++) {
		free(w->tokens[i]->name);
		free(w->tokens[i]);
	}
	free(w->logins[0]->name);
	free(w->logins[0]);
	free(w->backends[0]->name);
	free(w->backends[0]);
	rmdir(w->dir);
	free(w);
	return 0;
}

struct acl_rule *
world_rule(struct world *w, uid_t uid, const char *glob, bool deny)
{
	static const char *const wheres[WORLD_RULES_MAX] = { "c:1", "c:2",
		"c:3", "c:4", "c:5", "c:6", "c:7", "c:8" };
	size_t i = w->conf.n_rules++;
	struct acl_rule *r = w->rule_list[i] = &w->rules[i];

	assert(i < WORLD_RULES_MAX);
	*r = (struct acl_rule){
		.name = (char *)(uintptr_t)"rule",
		.where = (char *)(uintptr_t)wheres[i],
		.container = -1,
		.deny = deny,
		.n_users = 1,
		.n_tokens = 1,
		.users = xcalloc(1, sizeof(uid_t)),
		.tokens = xcalloc(1, sizeof(char *)),
		.min_identity = PRINCIPAL_STRONG,
	};
	r->users[0] = uid;
	r->tokens[0] = (char *)(uintptr_t)glob;
	serve_reconfigure(w->serve, &w->conf);
	return r;
}

void
world_no_rules(struct world *w)
{
	free_rules(w);
	serve_reconfigure(w->serve, &w->conf);
}

void
world_ready(struct world *w)
{
	world_rule(w, getuid(), "t1", false);
	fake_broker_set(w->broker, "t1", "the-value-1", 1,
	    now_real_s() + 7200);
}

int
world_connect(struct world *w, const char *door)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s.sock", w->dir,
	    door);
	assert(connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	assert(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}

void
world_write(int fd, const char *text)
{
	assert(send(fd, text, strlen(text), MSG_NOSIGNAL) ==
	    (ssize_t)strlen(text));
}

struct answer
world_read(struct world *w, int fd)
{
	struct answer a = { .status = 0 };
	ssize_t n;

	fake_evloop_run();
	n = recv(fd, a.text, sizeof(a.text) - 1, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		a.status = -1;
	if (n <= 0)
		return a;
	a.len = (size_t)n;
	a.text[n] = '\0';
	sscanf(a.text, "HTTP/1.1 %d ", &a.status);
	return a;
}

const char *
answer_body(const struct answer *a)
{
	const char *blank = strstr(a->text, "\r\n\r\n");

	return blank ? blank + 4 : "";
}

void
world_send(int fd, const char *request, const char *fields, const char *body)
{
	const char *path = strchr(request, ' ') + 1;
	_cleanup_free_ char *length = body ?
	    xasprintf("Content-Length: %zu\r\n", strlen(body)) : NULL;
	_cleanup_free_ char *text = xasprintf("%.*s/api/v1/%s HTTP/1.1\r\n"
	    "Host: x\r\nX-Tokenbroker: 1\r\n%s%s\r\n%s",
	    (int)(path - request), request, path, fields ? fields : "",
	    length ? length : "", body ? body : "");

	world_write(fd, text);
}

struct answer
world_ask(struct world *w, int fd, const char *request, const char *fields,
    const char *body)
{
	world_send(fd, request, fields, body);
	return world_read(w, fd);
}

struct answer
world_once(struct world *w, const char *door, const char *request,
    const char *fields, const char *body)
{
	int fd = world_connect(w, door);
	struct answer a = world_ask(w, fd, request, fields, body);

	close(fd);
	fake_evloop_run();
	return a;
}

bool
world_is_closed(struct world *w, int fd)
{
	char byte;

	fake_evloop_run();
	return recv(fd, &byte, 1, 0) == 0 || errno != EAGAIN;
}

const char *
answer_field(const struct answer *a, const char *name)
{
	static char value[256];
	const char *line = a->text;
	size_t n = strlen(name);

	*value = '\0';
	while ((line = strstr(line, "\r\n")) && line[2] != '\r') {
		line += 2;
		if (strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		line += n + 1;
		line += *line == ' ';
		snprintf(value, sizeof(value), "%.*s",
		    (int)strcspn(line, "\r"), line);
		break;
	}
	return value;
}

void
answer_must_be(const struct answer *a, int status, const char *code)
{
	char want[64];

	snprintf(want, sizeof(want), "\"code\":\"%s\"", code);
	if (a->status != status || !strstr(a->text, want))
		fail_msg("not %d %s: %s", status, code, a->text);
	assert_string_equal(answer_field(a, "Content-Type"),
	    "application/problem+json");
	assert_string_equal(answer_field(a, "Cache-Control"), "no-store");
}
