/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker - see the header. The answer says first of all whether influxctl was
 * run for the question ("ran"): if not, the daemon knows that nothing was made.
 */
#include "influxctl/worker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "influxctl/helper.h"
#include "influxctl/home.h"
#include "influxctl/question.h"
#include "influxctl/run.h"
#include "lib/jsonx.h"

/* With the run's own time-out these stay below what the daemon waits for
 * (HELPER_MS in backend/influxctl_say.c). */
#define READ_MS 5000
#define LOCK_MS 8000
#define VERSION_MS 8000
#define WRITE_MS 5000
#define STDERR_MAX 2000

static const char *const programs[] = { "/usr/bin/influxctl",
	"/usr/local/bin/influxctl" };

/* ---------------------------------------------------------------- question */

static bool
wait_for(int fd, short what, int64_t deadline)
{
	struct pollfd p = { fd, what, 0 };
	int64_t left = deadline - now_boot_ms();

	return left > 0 && poll(&p, 1, (int)left) > 0;
}

/* Up to the end of the asker's direction. What is too much is read all the
 * same: to close on it would take the answer away from the asker. */
static int
read_question(int fd, struct secret *out, struct tb_error *err)
{
	int64_t deadline = now_boot_ms() + READ_MS;
	bool too_long = false;

	while (wait_for(fd, POLLIN, deadline)) {
		struct secret part _cleanup_(secret_clear) = SECRET_INIT;
		unsigned char *bytes = secret_alloc(&part, 16384);
		ssize_t n = recv(fd, bytes, 16384, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "the question broke off");
		if (n == 0 && too_long)
			return tb_error_set(err, TB_E_LIMIT, "the question is "
			    "longer than %zu bytes", QUESTION_CAP);
		if (n == 0)
			return 0;
		too_long |= (size_t)n > QUESTION_CAP - out->len;
		if (!too_long)
			secret_append(out, bytes, (size_t)n);
	}
	return tb_error_set(err, TB_E_TRANSIENT,
	    "the question did not come in %d s", READ_MS / 1000);
}

static bool
is_gone(int fd)
{
	struct pollfd p = { fd, 0, 0 };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* ------------------------------------------------------------------ answer */

static void
send_answer(int fd, const json_t *j)
{
	int64_t deadline = now_boot_ms() + WRITE_MS;
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	size_t sent = 0;

	jsonx_dump(j, &text);
	while (sent < text.len && wait_for(fd, POLLOUT, deadline)) {
		ssize_t n = send(fd, secret_reveal(&text) + sent,
		    text.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
		sent += n > 0 ? (size_t)n : 0;
	}
	if (sent < text.len)
		log_warn("influxctl", "the daemon did not wait for an answer");
}

static void
send_refusal(int fd, const struct tb_error *err)
{
	json_t *j _cleanup_json_ = json_pack("{s:b, s:b, s:s}", "ran", 0,
	    "busy", err->code == TB_E_BUSY, "error", err->msg);

	log_warn("influxctl", "not run: %s", err->msg);
	send_answer(fd, j);
}

/* As a JSON string: bytes that are no ASCII become '?', in place, and of the
 * error output control characters too. */
static json_t *
output(struct secret *s, bool lines, size_t max)
{
	char *bytes = (char *)s->bytes;

	for (size_t i = 0; i < s->len; i++) {
		if ((unsigned char)bytes[i] > '~' || (bytes[i] < ' ' &&
		    !(lines && strchr("\n\r\t", bytes[i]) && bytes[i])))
			bytes[i] = lines ? '?' : ' ';
	}
	return json_stringn(secret_reveal(s), MIN2(s->len, max));
}

static void
send_result(int fd, struct run *r)
{
	json_t *j _cleanup_json_ = json_pack("{s:b, s:i, s:i, s:b, s:b}",
	    "ran", 1, "exit", r->status, "signal", r->signal, "timed_out",
	    r->timed_out, "too_long", r->too_long);

	json_object_set_new(j, "stdout", output(&r->out, true, r->out.len));
	json_object_set_new(j, "stderr", output(&r->err, false, STDERR_MAX));
	send_answer(fd, j);
}

/* --------------------------------------------------------------------- run */

/* Who can change the program could read every login. */
static int
check_program(const char *path, struct tb_error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0022) ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))
		return tb_error_set(err, TB_E_IO, "%s must be a file that only "
		    "root can change", path);
	return 0;
}

const char *
worker_program(const struct helper *h, struct tb_error *err)
{
	if (h->program)
		return check_program(h->program, err) < 0 ? NULL : h->program;
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (access(programs[i], X_OK) == 0)
			return check_program(programs[i], err) < 0 ? NULL :
								     programs[i];
	}
	tb_error_set(err, TB_E_IO, "there is no influxctl at %s or %s: install "
	    "it, or start tokenbroker-influxctl with --influxctl PATH",
	    programs[0], programs[1]);
	return NULL;
}

char **
worker_environment(const struct helper *h, const char *home)
{
	char **env = xcalloc(h->n_pass_env + 5, sizeof(*env));
	size_t n = 0;

	env[n++] = xasprintf("HOME=%s", home);
	env[n++] = xstrdup("PATH=/usr/local/bin:/usr/bin:/bin");
	env[n++] = xstrdup("LANG=C.UTF-8");
	env[n++] = xstrdup("NO_COLOR=1");
	for (size_t i = 0; i < h->n_pass_env; i++) {
		const char *value = getenv(h->pass_env[i]);

		if (value)
			env[n++] = xasprintf("%s=%s", h->pass_env[i], value);
	}
	return env;
}

static void
free_strings(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static void
free_stringsp(char ***list)
{
	free_strings(*list);
}

static char **
make_argv(const json_t *args)
{
	char **argv = xcalloc(json_array_size(args) + 2, sizeof(*argv));
	size_t i;
	json_t *arg;

	argv[0] = xstrdup("influxctl");
	json_array_foreach(args, i, arg)
		argv[i + 1] = xstrdup(json_string_value(arg));
	return argv;
}

static int
run_influxctl(const struct helper *h, const char *home, const json_t *args,
    struct run *r, struct tb_error *err)
{
	char **argv _cleanup_(free_stringsp) = make_argv(args);
	char **env _cleanup_(free_stringsp) = worker_environment(h, home);

	r->program = worker_program(h, err);
	if (!r->program)
		return -1;
	r->argv = argv;
	r->envp = env;
	r->dir = home;
	return run_program(r, err);
}

/* Before the home holds anything. */
static int
check_version(const struct helper *h, const char *home,
    const struct question *q, int fd, struct tb_error *err)
{
	struct run r _cleanup_(run_clear) = { .timeout_ms = VERSION_MS,
		.asker = fd };
	struct version v;
	const unsigned *min = q->min_version.part;

	if (!q->version_args)
		return 0;
	if (run_influxctl(h, home, q->version_args, &r, err) < 0)
		return -1;
	if (r.abandoned)
		return tb_error_set(err, TB_E_CANCELLED, "the daemon hung up");
	if (r.timed_out)
		return tb_error_set(err, TB_E_BUSY, "influxctl did not say in "
		    "%d s which version it is", VERSION_MS / 1000);
	if (!version_find(secret_reveal(&r.out), r.out.len, &v) &&
	    !version_find(secret_reveal(&r.err), r.err.len, &v))
		return tb_error_set(err, TB_E_IO, "influxctl does not say "
		    "which version it is (influxctl_version_args; "
		    "influxctl_min_version = none does not ask)");
	if (version_is_older(&v, &q->min_version))
		return tb_error_set(err, TB_E_IO, "influxctl is %u.%u.%u, and "
		    "%u.%u.%u or later is wanted (influxctl_min_version): "
		    "earlier ones may lose the expiry or the description",
		    v.part[0], v.part[1], v.part[2], min[0], min[1], min[2]);
	return 0;
}

static void
log_run(const struct question *q, const struct run *r, int64_t took_ms)
{
	const char *first = json_string_value(json_array_get(q->args, 0));
	const char *second = json_string_value(json_array_get(q->args, 1));

	log_info("influxctl", "%s: %s %s: %s, status %d, signal %d, %d ms",
	    q->name, first, second ? second : "", r->timed_out ? "too late" :
	    r->too_long ? "too much output" : r->abandoned ?
	    "the daemon hung up" : "ended", r->status, r->signal,
	    (int)took_ms);
}

/* In a home that is there; err is set when it was not run. */
static int
run_in_home(const struct helper *h, const char *path, int home,
    const struct question *q, int fd, struct tb_error *err)
{
	struct run r _cleanup_(run_clear) = {
		.timeout_ms = (int)q->timeout_ms, .asker = fd };
	int64_t began = now_boot_ms();

	if (check_version(h, path, q, fd, err) < 0 ||
	    home_fill(home, path, q->files, err) < 0)
		return -1;
	if (is_gone(fd))
		return tb_error_set(err, TB_E_CANCELLED, "the daemon hung up");
	if (run_influxctl(h, path, q->args, &r, err) < 0)
		return -1;
	log_run(q, &r, now_boot_ms() - began);
	send_result(fd, &r);
	return 0;
}

static int
answer(const struct helper *h, const struct question *q, int fd,
    struct tb_error *err)
{
	_cleanup_close_ int lock = home_lock(h, q->name, LOCK_MS, err);
	char *path _cleanup_free_ = q->kept ? home_kept_path(h, q->name) :
					      home_fresh_path(h, getpid());
	_cleanup_close_ int home = lock < 0 ? -1 : home_open(path, err);
	int r;

	if (home < 0)
		return -1;
	r = run_in_home(h, path, home, q, fd, err);
	if (!q->kept)
		home_wipe(path);
	return r;
}

int
worker_serve(const struct helper *h, int fd)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	struct question q _cleanup_(question_clear) = { 0 };
	struct tb_error err = TB_ERROR_INIT;

	/* what influxctl leaves behind becomes our child */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		tb_error_errno(&err, TB_E_IO, errno, "prctl");
	else if (read_question(fd, &text, &err) == 0 &&
	    question_parse(&text, &q, &err) == 0 &&
	    answer(h, &q, fd, &err) == 0)
		return 0;
	if (err.code == TB_E_CANCELLED)
		log_info("influxctl", "not run: %s", err.msg);
	else
		send_refusal(fd, &err);
	return 1;
}
