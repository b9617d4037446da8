/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book - see the header. Times are of the wall clock: they are kept over
 * reboots, and a reminder that is early or late by a step harms nobody.
 */
#include "events/book.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "lib/jsonx.h"

#define BOOK_CAP ((size_t)4 << 20)
#define OPEN_MAX_CONDITIONS 1000
#define LONG_OVER_S 86400
#define LOCK ".lock"

static int
book_read(struct book *b, const char *text, struct tb_error *err)
{
	json_t *o _cleanup_json_ = jsonx_parse(text, strlen(text), err);
	const char *cursor = NULL;
	json_t *open;

	if (!o || jsonx_str(o, "cursor", &cursor, err) < 0)
		return -1;
	open = json_object_get(o, "open");
	if (open && !json_is_object(open))
		return tb_error_set(err, TB_E_PROTO,
		    "member 'open' must be an object");
	str_set(&b->cursor, cursor);
	if (open) {
		json_decref(b->open);
		b->open = json_incref(open);
	}
	return 0;
}

/* Whoever had it has removed it meanwhile, and locked is what is not there. */
static bool
is_still_there(int fd, const char *path)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 &&
	    ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* Beside it, since it is replaced at every change. Where that cannot be, it is
 * said when the cursor is to be kept. */
static int
book_lock(struct book *b, struct tb_error *err)
{
	_cleanup_free_ char *path = xasprintf("%s" LOCK, b->path);

	for (;;) {
		b->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW |
		    O_CLOEXEC, 0600);
		if (b->lock < 0)
			return 0;
		if (flock(b->lock, LOCK_EX | LOCK_NB) < 0)
			break;
		if (is_still_there(b->lock, path))
			return 0;
		close(b->lock);
	}
	close(b->lock);
	b->lock = -1;
	return tb_error_set(err, TB_E_BADREQ, "another 'tokenbrokerctl "
	    "events' goes by %s; each needs a cursor file of its own",
	    b->path);
}

static void
book_unlock(struct book *b)
{
	_cleanup_free_ char *path = xasprintf("%s" LOCK, b->path);

	unlink(path);
	close(b->lock);
}

int
book_open(struct book *b, const char *path, struct tb_error *err)
{
	_cleanup_free_ char *text = NULL;

	*b = (struct book){ .path = xstrdup0(path), .open = json_object(),
		.lock = -1 };
	if (path && book_lock(b, err) < 0)
		return -1;
	if (!path || (access(path, F_OK) < 0 && errno == ENOENT))
		return 0;
	if (fs_read_text(path, BOOK_CAP, &text, err) < 0)
		return -1;
	if (book_read(b, text, err) < 0)
		return tb_error_wrap(err, "%s is no cursor file; move it away "
		    "and say with --since where to begin", path);
	return 0;
}

void
book_clear(struct book *b)
{
	if (b->lock >= 0)
		book_unlock(b);
	free(b->path);
	free(b->cursor);
	json_decref(b->open);
	*b = (struct book){ .lock = -1 };
}

void
book_set_cursor(struct book *b, const char *cursor)
{
	if (!cursor || streq(b->cursor, cursor))
		return;
	str_set(&b->cursor, cursor);
	b->dirty = true;
}

/* A copy of it that is another event. */
static json_t *
event_like(const json_t *event, const char *tail, int64_t now_s)
{
	json_t *o = json_copy((json_t *)(uintptr_t)event);
	const char *id = json_string_value(json_object_get(event, "id"));
	char when[TIMEFMT_SIZE];

	json_object_del(o, "cursor");
	json_object_set_new(o, "id", json_sprintf("%s-%s", id ? id : "tb",
	    tail));
	json_object_set(o, "began", json_object_get(event, "timestamp"));
	json_object_set_new(o, "timestamp", json_string(timefmt_rfc3339(now_s,
	    when, sizeof(when))));
	return o;
}

static json_t *
event_over(const json_t *event, const char *text, int64_t now_s)
{
	json_t *o = event_like(event, "over", now_s);

	json_object_set(o, "over", json_object_get(event, "type"));
	json_object_set_new(o, "type", json_string("over"));
	json_object_set_new(o, "severity", json_string("info"));
	json_object_set_new(o, "text", json_sprintf("Over: %s",
	    text ? text : ""));
	json_object_del(o, "next");
	return o;
}

json_t *
book_note(struct book *b, const json_t *event, int64_t now_s,
    int64_t remind_s)
{
	const char *began, *ended;
	json_t *entry, *over;

	began = json_string_value(json_object_get(event, "condition"));
	ended = json_string_value(json_object_get(event, "ends"));
	if (began && !json_object_get(b->open, began) &&
	    json_object_size(b->open) < OPEN_MAX_CONDITIONS) {
		entry = json_object();
		json_object_set_new(entry, "event",
		    json_copy((json_t *)(uintptr_t)event));
		json_object_set_new(entry, "count", json_integer(0));
		json_object_set_new(entry, "next", json_integer(now_s +
		    remind_s));
		json_object_set_new(b->open, began, entry);
		b->dirty = true;
	}
	entry = ended ? json_object_get(b->open, ended) : NULL;
	if (!entry)
		return NULL;
	over = event_over(json_object_get(entry, "event"), json_string_value(
	    json_object_get(event, "text")), now_s);
	json_object_del(b->open, ended);
	b->dirty = true;
	return over;
}

/* What was about to end has ended, a while ago. Whether somebody replaced it,
 * revoked it or took it out of the configuration, nobody is told any more. */
static bool
is_long_over(const json_t *entry, int64_t now_s)
{
	const char *end = json_string_value(json_object_get(json_object_get(
	    entry, "event"), "expires_at"));
	int64_t at;

	return end && timefmt_parse_rfc3339(end, &at) &&
	    at + LONG_OVER_S <= now_s;
}

json_t *
book_remind(struct book *b, int64_t now_s, int64_t remind_s)
{
	const char *name;
	json_t *entry, *o;
	char tail[32];
	int64_t count;

	json_object_foreach(b->open, name, entry) {
		if (json_integer_value(json_object_get(entry, "next")) > now_s)
			continue;
		if (is_long_over(entry, now_s)) {
			o = event_over(json_object_get(entry, "event"), "its "
			    "end was a day ago, and it is not repeated any "
			    "more.", now_s);
			json_object_del(b->open, name);
			b->dirty = true;
			return o;
		}
		count = json_integer_value(json_object_get(entry, "count")) +
		    1;
		snprintf(tail, sizeof(tail), "r%" PRId64, count);
		o = event_like(json_object_get(entry, "event"), tail, now_s);
		json_object_set_new(o, "reminder", json_integer(count));
		json_object_set_new(entry, "count", json_integer(count));
		json_object_set_new(entry, "next", json_integer(now_s +
		    remind_s));
		b->dirty = true;
		return o;
	}
	return NULL;
}

int64_t
book_next_s(const struct book *b, int64_t now_s)
{
	int64_t best = -1, left;
	const char *name;
	json_t *entry;

	json_object_foreach(b->open, name, entry) {
		left = json_integer_value(json_object_get(entry, "next")) -
		    now_s;
		left = MAX2(left, 0);
		best = best < 0 ? left : MIN2(best, left);
	}
	return best;
}

int
book_save(struct book *b, struct tb_error *err)
{
	_cleanup_free_ char *dir = xstrdup0(b->path), *base = xstrdup0(b->path);
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int dirfd = -1;
	json_t *o _cleanup_json_ = NULL;

	if (!b->path || !b->dirty || !b->cursor)
		return 0;
	dirfd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot open the directory of %s", b->path);
	o = json_object();
	json_object_set_new(o, "cursor", json_string(b->cursor));
	json_object_set(o, "open", b->open);
	text = json_dumps(o, JSON_COMPACT);
	if (!text || fs_write_atomic(dirfd, basename(base), 0600, text,
		strlen(text), err) < 0)
		return tb_error_wrap(err, "cannot keep the cursor in %s",
		    b->path);
	b->dirty = false;
	return 0;
}
