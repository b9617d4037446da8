/* SPDX-License-Identifier: Apache-2.0 */
#include "state_fixture.h"

#include <dirent.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_loop.h"
#include "fake_now.h"

char state_done_log[4096];
struct tb_error state_done_error;
static unsigned n_done;

static void
start(struct state_fixture *f)
{
	struct tb_error err = TB_ERROR_INIT;

	f->writer = writer_start(f->loop, &f->env, &err);
	if (!f->writer)
		fail_msg("%s", err.msg);
}

/* In memory where that is: the order of the calls is what is tested, and a
 * thousand real syncs take seconds. */
static const char *
scratch_dir(void)
{
	const char *dir = getenv("TMPDIR");

	if (dir && strlen(dir) < 32)
		return dir;
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

int
state_setup(void **state)
{
	struct state_fixture *f = xnew(struct state_fixture);
	struct tb_error err = TB_ERROR_INIT;

	snprintf(f->dir, sizeof(f->dir), "%s/tokenbroker-test-XXXXXX",
	    scratch_dir());
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->dir);
	snprintf(f->log_dir, sizeof(f->log_dir), "%s/log", f->dir);
	f->env.state_dir = f->state_dir;
	f->env.log_dir = f->log_dir;
	state_done_log[0] = '\0';
	state_done_error = (struct tb_error)TB_ERROR_INIT;
	n_done = 0;
	fake_now_reset();
	f->loop = loop_new(&err);
	start(f);
	*state = f;
	return 0;
}

void
state_remove_tree(const char *dir)
{
	_cleanup_free_ char *list = state_list(dir);
	char *save = NULL, *name;

	for (name = strtok_r(list, " ", &save); name;
	    name = strtok_r(NULL, " ", &save)) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
		struct stat st;

		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
			state_remove_tree(path);
		else
			unlink(path);
	}
	rmdir(dir);
}

int
state_teardown(void **state)
{
	struct state_fixture *f = *state;

	writer_stop(f->writer);
	loop_free(f->loop);
	state_remove_tree(f->dir);
	free(f);
	return 0;
}

void
state_stop(struct state_fixture *f)
{
	writer_stop(f->writer);
	f->writer = NULL;
}

void
state_restart(struct state_fixture *f)
{
	state_stop(f);
	start(f);
}

void
state_done(void *arg, const struct tb_error *err)
{
	n_done++;
	if (strlen(state_done_log) + 64 < sizeof(state_done_log)) {
		if (state_done_log[0])
			strcat(state_done_log, " ");
		strcat(state_done_log, arg);
		if (err)
			strcat(state_done_log, "!");
	}
	if (err)
		state_done_error = *err;
}

bool
state_wait_done(struct state_fixture *f, unsigned n)
{
	unsigned i, until = n_done + n;

	for (i = 0; i < 1000 && n_done < until; i++)
		if (!fake_loop_wait_wake(5000))
			break;
	return n_done >= until;
}

static void
on_barrier(void *arg, const struct tb_error *err)
{
	*(bool *)arg = true;
}

void
state_barrier(struct state_fixture *f)
{
	const char text[] = "{\"event\":\"barrier\"}";
	bool done = false;
	unsigned i;

	writer_put_line(f->writer, text, strlen(text), true, on_barrier,
	    &done);
	for (i = 0; i < 1000 && !done; i++)
		fake_loop_wait_wake(5000);
	assert_true(done);
}

char *
state_read(const char *dir, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_(fclosep) FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t cap = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &cap, EOF, f) < 0) {
		free(text);
		return xstrdup("");
	}
	return text;
}

void
state_write(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

void
state_append(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *before = state_read(dir, name);
	_cleanup_free_ char *all = xasprintf("%s%s", before ? before : "",
	    text);

	state_write(dir, name, all);
}

static int
no_dots(const struct dirent *e)
{
	return !streq(e->d_name, ".") && !streq(e->d_name, "..");
}

char *
state_list(const char *dir)
{
	struct dirent **list;
	int i, n = scandir(dir, &list, no_dots, alphasort);
	char *text = xstrdup("");

	for (i = 0; i < n; i++) {
		char *more = xasprintf("%s%s%s", text, i ? " " : "",
		    list[i]->d_name);

		free(text);
		text = more;
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return text;
}

static void
move_older(const char *from, const char *to)
{
	_cleanup_free_ char *list = state_list(from);
	char *save = NULL, *name;

	for (name = strtok_r(list, " ", &save); name;
	    name = strtok_r(NULL, " ", &save)) {
		_cleanup_free_ char *a = xasprintf("%s/%s", from, name);
		_cleanup_free_ char *b = xasprintf("%s/%s", to, name);

		if (strncmp(name, "audit-", 6) == 0)
			assert_int_equal(rename(a, b), 0);
	}
}

void
state_move_older(struct state_fixture *f)
{
	_cleanup_free_ char *dir = xasprintf("%s/away", f->dir);

	mkdir(dir, 0700);
	move_older(f->log_dir, dir);
}

void
state_move_back(struct state_fixture *f)
{
	_cleanup_free_ char *dir = xasprintf("%s/away", f->dir);

	move_older(dir, f->log_dir);
}

struct writer_item *
state_put_line(struct state_fixture *f, const char *name, bool durable)
{
	_cleanup_free_ char *text = xasprintf("{\"event\":\"%s\"}", name);

	return writer_put_line(f->writer, text, strlen(text), durable,
	    state_done, (void *)name);
}

void
state_assert_file(const char *dir, const char *name, const char *expected)
{
	_cleanup_free_ char *text = state_read(dir, name);

	if (expected)
		assert_non_null(text);
	else
		assert_null(text);
	if (expected)
		assert_string_equal(text, expected);
}

void
state_assert_listing(const char *dir, const char *expected)
{
	_cleanup_free_ char *list = state_list(dir);

	assert_string_equal(list, expected);
}

void
state_assert_healthy(struct state_fixture *f)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(writer_health(f->writer, &err), 0);
}

/* ----------------------------------------------------------- the verifier */

struct chain {
	unsigned long long seq;
	char hash[65];
	unsigned lines, hits;
	const char *text;
};

/* One line, without newline. False: it does not go on from c. */
static bool
verify_line(struct chain *c, const char *line)
{
	_cleanup_free_ char *input = NULL;
	unsigned char digest[SHA256_DIGEST_LENGTH];
	const char *tail = strstr(line, ",\"hash\":\"");
	unsigned long long seq = 0;
	char hash[65];
	int i;

	if (!tail || strlen(tail) != 9 + 64 + 2)
		fail_msg("no hash at the end of: %s", line);
	assert_int_equal(sscanf(line, "{\"seq\":%llu,", &seq), 1);
	input = xasprintf("%s%.*s", c->hash, (int)(tail - line), line);
	SHA256((unsigned char *)input, strlen(input), digest);
	for (i = 0; i < SHA256_DIGEST_LENGTH; i++)
		snprintf(hash + 2 * i, 3, "%02x", digest[i]);
	if (seq != c->seq + 1 || strncmp(hash, tail + 9, 64) != 0)
		return false;
	c->seq = seq;
	memcpy(c->hash, hash, sizeof(hash));
	c->lines++;
	c->hits += c->text && strstr(line, c->text) != NULL;
	return true;
}

bool
state_follows(const char *before, const char *text)
{
	_cleanup_free_ char *line = xstrndup(text, strcspn(text, "\n"));
	struct chain c = { .seq = 0 };

	assert_int_equal(sscanf(line, "{\"seq\":%llu,", &c.seq), 1);
	c.seq--;
	memcpy(c.hash, before, 64);
	return verify_line(&c, line);
}

static void
verify_file(struct chain *c, char *text, const char *next_first)
{
	char *save = NULL, *line;
	struct chain probe;

	for (line = strtok_r(text, "\n", &save); line;
	    line = strtok_r(NULL, "\n", &save)) {
		probe = *c;
		/* the next file goes on from here: the rest is a copy */
		if (next_first && verify_line(&probe, next_first))
			return;
		if (!verify_line(c, line))
			fail_msg("the chain breaks at: %s", line);
	}
}

static void
verify_all(const struct state_fixture *f, bool overlap, struct chain *c)
{
	_cleanup_free_ char *list = state_list(f->log_dir);
	char *save = NULL, *name;
	char *names[64];
	size_t n = 0, i;

	for (name = strtok_r(list, " ", &save); name;
	    name = strtok_r(NULL, " ", &save))
		if (strncmp(name, "audit-", 6) == 0)
			names[n++] = name;
	names[n++] = (char *)"audit.jsonl";
	memset(c->hash, '0', 64);
	c->hash[64] = '\0';
	for (i = 0; i < n; i++) {
		_cleanup_free_ char *text = state_read(f->log_dir, names[i]);
		_cleanup_free_ char *next = NULL;

		assert_non_null(text);
		if (overlap && i + 1 < n) {
			next = state_read(f->log_dir, names[i + 1]);
			next[strcspn(next, "\n")] = '\0';
		}
		verify_file(c, text, next && next[0] ? next : NULL);
	}
}

unsigned
state_verify_chain(const struct state_fixture *f, bool overlap)
{
	struct chain c = { 0 };

	verify_all(f, overlap, &c);
	return c.lines;
}

unsigned
state_count_lines(const struct state_fixture *f, const char *text)
{
	struct chain c = { .text = text };

	verify_all(f, true, &c);
	return c.hits;
}
