/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow - prints lines as they are written, across rotation and condemned
 * files, and verifies on the way.
 *
 * We read audit.jsonl through one descriptor. When the name stands for
 * another file, ours is complete under the name audit-SEQ.jsonl; it is read
 * to its end, then every file whose SEQ is higher, then the new audit.jsonl.
 *
 * A condemned file and the next one overlap: lines that were written but not
 * synced are repeated there, the same bytes, and skipped here. Lines that the
 * daemon never reported as written may be other ones there; that is said, and
 * the new ones count. Nothing that is no whole line is kept in memory: after a
 * crash the daemon cuts it off and writes in its place.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "audit/print.h"
#include "audit/reader.h"
#include "audit/tool.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

#define TAIL_LINES 10
#define TAIL_MAX 100000
#define LOOK_AGAIN_MS 1000 /* should a notice be lost */

enum { F_FORMAT = TOOL_N_FILTER, F_LINES, F_LOG_DIR, F_KEY, F_LOCAL, N_F };
static const struct opt_spec follow_opts[N_F] = {
	TOOL_OPTS_FILTER,
	{ "format", 0, OPT_TEXT, "table|json", "table (default) or json: the "
	    "lines as they are" },
	{ "lines", 'n', OPT_NUMBER, "N", "begin with the last N (default: "
	    "10)" },
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "local", 0, OPT_FLAG, NULL, "times in this host's zone, not in "
	    "UTC" },
};

struct follow {
	const char *dir;
	char *path; /* of audit.jsonl */
	struct filter filter;
	struct print print;
	struct keys *keys;
	struct verify *verify;
	int fd; /* of audit.jsonl; -1: there is none */
	struct reader reader;
	uint64_t seq; /* the last line that was taken */
	/* what to begin with, as a ring; NULL: we have caught up */
	struct strbuf *tail;
	size_t n_tail, next;
	size_t told;  /* findings */
	char **name;  /* of files read so far: findings borrow them */
	size_t n_names;
	bool broken;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static const char *
keep_name(struct follow *f, const char *path)
{
	if (f->n_names && strcmp(f->name[f->n_names - 1], path) == 0)
		return f->name[f->n_names - 1];
	f->name = xreallocarray(f->name, f->n_names + 1, sizeof(f->name[0]));
	return f->name[f->n_names++] = xstrdup(path);
}

static void
tell_findings(struct follow *f)
{
	const struct findings *all = verify_findings(f->verify);
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	for (; f->told < all->n; f->told++) {
		strbuf_reset(&b);
		finding_add_text(&all->list[f->told], &b);
		tool_complain("%s", strbuf_str(&b));
		f->broken = true;
	}
}

static void
follow_show(struct follow *f, const char *line, size_t len,
    const struct scan *scan)
{
	struct strbuf *slot;

	if (!filter_matches(&f->filter, scan))
		return;
	if (!f->tail) {
		print_line(&f->print, line, len, scan);
		return;
	}
	if (f->n_tail == 0)
		return;
	slot = &f->tail[f->next++ % f->n_tail];
	strbuf_reset(slot);
	strbuf_add(slot, line, len);
}

static void
show_tail(struct follow *f)
{
	struct strbuf *tail = STEAL(f->tail);
	struct scan scan;
	size_t i, at;

	print_heading(&f->print);
	for (i = 0; i < f->n_tail; i++) {
		at = (f->next + i) % f->n_tail;
		if (tail[at].len &&
		    !scan_line(tail[at].s, tail[at].len, &scan))
			print_line(&f->print, tail[at].s, tail[at].len,
			    &scan);
		strbuf_clear(&tail[at]);
	}
	free(tail);
	fflush(stdout);
}

/* The end of the chain is not what we have seen: begin anew with this one. */
static int
start_again(struct follow *f, uint64_t seq, const char *name,
    struct tb_error *err)
{
	struct verify *fresh = verify_new(f->keys, NULL, err);

	if (!fresh)
		return -1;
	tool_complain("the disk failed: what was shown from line %" PRIu64
	    " to %" PRIu64 " was never reported as written, and other lines "
	    "take its place", seq, f->seq);
	verify_free(f->verify);
	f->verify = fresh;
	f->told = 0;
	verify_file(fresh, name, 0);
	return 0;
}

/* fresh: the beginning of a file that may repeat what we have seen. */
static int
follow_line(struct follow *f, const char *line, size_t len, const char *name,
    bool *fresh, struct tb_error *err)
{
	struct scan scan;

	if (*fresh && f->seq && len <= SCAN_LINE_MAX &&
	    !scan_line(line, len, &scan) && scan.seq <= f->seq) {
		if (verify_knows(f->verify, &scan))
			return 0;
		if (start_again(f, scan.seq, name, err) < 0)
			return -1;
	}
	*fresh = false;
	if (verify_line(f->verify, line, len, &scan) == VERIFY_COUNTS) {
		f->seq = scan.seq;
		follow_show(f, line, len, &scan);
	}
	tell_findings(f);
	return 0;
}

/* All that is there now. */
static int
drain(struct follow *f, struct reader *r, const char *name, bool *fresh,
    struct tb_error *err)
{
	enum reader_got got = READER_END;
	const char *line;
	size_t len;

	while (!stopped) {
		got = reader_next(r, &line, &len);
		if (got == READER_END || got == READER_FAILED)
			break;
		if (follow_line(f, line, got == READER_LONG ?
		    SCAN_LINE_MAX + 1 : len, name, fresh, err) < 0)
			return -1;
	}
	fflush(stdout);
	if (got == READER_FAILED)
		return files_fail(name, errno, err);
	if (!r->skipping)
		reader_unread(r);
	return 0;
}

/* An older file, whole. */
static int
take_older(struct follow *f, struct files *files, size_t i,
    struct tb_error *err)
{
	const char *name = keep_name(f, files->file[i].path);
	bool fresh = true;
	struct reader r;
	int failed, fd = files_open(files, i, err);

	if (fd < 0)
		return -1;
	verify_file(f->verify, name, files->file[i].last_seq);
	reader_init(&r, fd);
	failed = drain(f, &r, name, &fresh, err);
	reader_clear(&r);
	return failed;
}

/* From the file `from` on: older ones that go beyond what we have, then
 * audit.jsonl, which becomes ours. */
static int
take_files(struct follow *f, struct files *files, size_t from,
    struct tb_error *err)
{
	size_t i, n = files->n - (files->has_current &&
	    files->file[files->n - 1].last_seq == 0);
	bool fresh = true;

	for (i = from; i < n; i++)
		if (files->file[i].last_seq > f->seq &&
		    take_older(f, files, i, err) < 0)
			return -1;
	if (n == files->n)
		return 0; /* between two names; it comes soon */
	f->fd = files->file[n].fd;
	files->file[n].fd = -1;
	verify_file(f->verify, f->path, 0);
	reader_init(&f->reader, f->fd);
	return drain(f, &f->reader, f->path, &fresh, err);
}

static void
drop_current(struct follow *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	reader_clear(&f->reader);
}

/* Is our file still the one of that name, and as long as we know it? */
static bool
is_ours(struct follow *f)
{
	struct stat ours, there;

	if (f->fd < 0 || stat(f->path, &there) < 0 ||
	    fstat(f->fd, &ours) < 0 || ours.st_ino != there.st_ino ||
	    ours.st_dev != there.st_dev)
		return false;
	if (ours.st_size < lseek(f->fd, 0, SEEK_CUR)) {
		tool_complain("%s was cut: lines that were in it are gone",
		    f->path);
		f->broken = true;
		lseek(f->fd, 0, SEEK_END);
	}
	return true;
}

static int
look(struct follow *f, struct tb_error *err)
{
	struct files files _cleanup_(files_clear) = { .n = 0 };
	bool fresh = false;

	if (is_ours(f))
		return drain(f, &f->reader, f->path, &fresh, err);
	/* what came in before it lost its name */
	if (f->fd >= 0 && drain(f, &f->reader, f->path, &fresh, err) < 0)
		return -1;
	drop_current(f);
	if (files_list(&files, f->dir, err) < 0)
		return -1;
	return take_files(f, &files, 0, err);
}

static int
watch_dir(const char *dir)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0 && inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE |
	    IN_MOVED_TO | IN_DELETE) < 0) {
		close(fd);
		return -1;
	}
	return fd; /* without one, the clock wakes us */
}

static int
follow_run(struct follow *f, struct tb_error *err)
{
	_cleanup_close_ int notices = watch_dir(f->dir);
	struct pollfd p = { .fd = notices, .events = POLLIN };
	struct files files _cleanup_(files_clear) = { .n = 0 };
	char events[4096];

	if (files_list(&files, f->dir, err) < 0 ||
	    take_files(f, &files, files.n > 2 ? files.n - 2 : 0, err) < 0)
		return -1;
	show_tail(f);
	while (!stopped) {
		if (poll(&p, 1, LOOK_AGAIN_MS) > 0 &&
		    read(notices, events, sizeof(events)) < 0 &&
		    errno != EAGAIN && errno != EINTR)
			p.fd = -1;
		if (!stopped && look(f, err) < 0)
			return -1;
	}
	return 0;
}

static int
follow_open(struct follow *f, const struct opt_value *opt,
    struct tb_error *err)
{
	_cleanup_free_ char *beside = xasprintf("%s/" FILES_KEYS, f->dir);
	const char *key = opt[F_KEY].set ? opt[F_KEY].text : beside;

	f->n_tail = opt[F_LINES].set ? (size_t)MIN2(opt[F_LINES].number,
	    TAIL_MAX) : TAIL_LINES;
	f->tail = xcalloc(f->n_tail + 1, sizeof(f->tail[0]));
	f->keys = keys_new();
	if ((opt[F_KEY].set || access(key, F_OK) == 0) &&
	    keys_load(f->keys, key, err) < 0)
		return -1;
	f->verify = verify_new(f->keys, NULL, err);
	return f->verify ? 0 : -1;
}

static void
follow_close(struct follow *f)
{
	size_t i;

	drop_current(f);
	for (i = 0; f->tail && i < f->n_tail; i++)
		strbuf_clear(&f->tail[i]);
	free(f->tail);
	verify_free(f->verify);
	keys_free(f->keys);
	for (i = 0; i < f->n_names; i++)
		free(f->name[i]);
	free(f->name);
	free(f->path);
}

static int
do_follow(const struct tool_args *args)
{
	static const char *const words[] = { "table", "json", NULL };
	const struct opt_value *opt = args->opt;
	struct sigaction sa = { .sa_handler = on_signal };
	struct follow f = { .fd = -1, .dir = opt[F_LOG_DIR].set ?
	    opt[F_LOG_DIR].text : TOOL_LOG_DIR };
	struct tb_error err = TB_ERROR_INIT;
	int format, failed;

	if (tool_filter(opt, &f.filter, &err) < 0 ||
	    tool_format(&opt[F_FORMAT], words, &format, &err) < 0)
		return tool_fail(&err);
	f.path = xasprintf("%s/" FILES_CURRENT, f.dir);
	print_init(&f.print, format == 1 ? PRINT_JSON : PRINT_TABLE,
	    opt[F_LOCAL].set);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	failed = follow_open(&f, opt, &err) < 0 || follow_run(&f, &err) < 0;
	follow_close(&f);
	if (failed)
		return tool_fail(&err);
	return f.broken ? TOOL_FAILED : TOOL_OK;
}

const struct tool_command cmd_follow = {
	.name = "follow", .synopsis = "[FILTER...] [--format FORMAT]",
	.summary = "Lines as they are written, verified on the way",
	.help = "Goes on across rotation. Ends with Ctrl-C; the exit status "
	    "is 1 when a line\ndid not follow from the one before.",
	.opts = follow_opts, .n_opts = N_F, .fn = do_follow,
};
