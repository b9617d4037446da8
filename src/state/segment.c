/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment - see the header.
 *
 * `pending` holds every line since the last good sync, whether written or not;
 * it is what a condemned file is rebuilt from. Its three marks:
 *
 *	0 ........ written ........ flushed ........ len
 *	  in the file     (equal, save   |  the batch that
 *	                  while broken)  |  is being added
 *
 * Lines in front of `flushed` were reported as written (not as durable) and
 * are never dropped; those behind it are, when the flush fails. A sync comes
 * after SEGMENT_UNSYNCED_MAX bytes or SEGMENT_UNSYNCED_MS at the latest,
 * which bounds both the memory and what a power cut takes.
 *
 * A new file is filled and synced under another name, then the current one
 * gets its second name by link(2), and rename(2) puts the new one in its
 * place: there is an audit.jsonl at every moment, whatever happens in between.
 * The directory is synced before the rename as well, so that no power cut
 * takes both names from the old file. A crash between the two leaves a file
 * with two names, which must not grow any more: segment_open finishes it.
 */
#include "state/segment_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/tb_error.h"
#include "state/disk.h"
#include "state/mono.h"

#define SEGMENT_MODE 0640
#define SEGMENT_UNSYNCED_MAX ((size_t)1 << 20)
#define SEGMENT_UNSYNCED_MS 250

struct segment {
	int dirfd, fd;
	struct chain_hasher *hasher;
	struct strbuf pending;
	size_t written, flushed;
	struct chain_pos end;         /* with what was added last */
	struct chain_pos flushed_end; /* in front of the batch */
	struct chain_pos synced_end;
	size_t synced_len; /* how much of fd counts as durable */
	int64_t dirty_ms;  /* since when something is not synced */
	bool broken;       /* fd is condemned */
	bool turn;         /* the next batch begins a new file */
	size_t torn;
	size_t last_at;              /* in pending: the line added last */
	size_t batch_at, batch_len; /* in pending: what was flushed last */
	uint64_t syncs, files;
};

static void
segment_free(struct segment *s)
{
	if (s->fd >= 0)
		close(s->fd);
	chain_hasher_free(s->hasher);
	strbuf_clear(&s->pending);
	free(s);
}

static void
segment_freep(struct segment **s)
{
	if (*s)
		segment_free(*s);
}

void
segment_add(struct segment *s, const char *text, size_t len)
{
	s->last_at = s->pending.len;
	chain_append(s->hasher, &s->end, text, len, &s->pending);
}

/* All of pending is durable: forget it. Its bytes stay as they are until the
 * next add: see segment_batch. */
static void
segment_settle(struct segment *s)
{
	s->synced_len += s->pending.len;
	s->synced_end = s->end;
	s->syncs++;
	s->pending.len = 0;
	s->written = 0;
	s->dirty_ms = 0;
}

/* Writes what is not in the file yet. Errors leave errno. */
static int
segment_append(struct segment *s, bool durable)
{
	int64_t now = mono_ms();

	if (s->pending.len == 0)
		return 0;
	if (disk_write_all(s->fd, s->pending.s + s->written,
		s->pending.len - s->written) < 0)
		return -1;
	s->written = s->pending.len;
	if (!s->dirty_ms)
		s->dirty_ms = now;
	if (!durable && s->pending.len < SEGMENT_UNSYNCED_MAX &&
	    now - s->dirty_ms < SEGMENT_UNSYNCED_MS)
		return 0;
	if (disk_fdatasync(s->fd) < 0)
		return -1;
	segment_settle(s);
	return 0;
}

/* The new file with everything pending in it, synced; -1 and errno. */
static int
segment_fill_new(struct segment *s)
{
	int fd, saved;

	/* what an earlier attempt left must not be reused: see the header */
	if (disk_unlinkat(s->dirfd, SEGMENT_NEW_FILE) < 0 && errno != ENOENT)
		return -1;
	fd = disk_openat(s->dirfd, SEGMENT_NEW_FILE,
	    O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, SEGMENT_MODE);
	if (fd < 0)
		return -1;
	if (disk_write_all(fd, strbuf_str(&s->pending),
		s->pending.len) == 0 && disk_fsync(fd) == 0)
		return fd;
	saved = errno;
	close(fd);
	disk_unlinkat(s->dirfd, SEGMENT_NEW_FILE);
	errno = saved;
	return -1;
}

/* Gives the old file its lasting name. It may have it already, from an attempt
 * that failed later on; *linked: it has it from now on. */
static int
segment_keep_old(struct segment *s, const char *name, bool *linked)
{
	struct stat ours, there;

	*linked = false;
	if (s->synced_len == 0)
		return 0; /* nothing in it counts */
	if (disk_linkat(s->dirfd, SEGMENT_FILE, name) == 0) {
		*linked = true;
		return disk_fsync(s->dirfd);
	}
	if (errno == ENOENT)
		return 0; /* somebody has moved it away: it has a name */
	if (errno != EEXIST)
		return -1;
	if (fstat(s->fd, &ours) == 0 &&
	    fstatat(s->dirfd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
		return 0;
	errno = EEXIST;
	return -1;
}

/* The condemned file ends behind its last line that counts. */
static void
segment_cut_old(const struct segment *s, int fd, size_t len)
{
	if (disk_ftruncate(fd, (off_t)len) < 0 || disk_fsync(fd) < 0)
		log_warn("audit", "the condemned audit file could not be cut "
		    "behind line %" PRIu64 ": %s", s->synced_end.seq,
		    strerror(errno));
}

/* Puts a new file, with what is pending in it, in the place of the current
 * one. -1 and errno: the current one may go on, unless it is broken now. */
static int
segment_replace(struct segment *s)
{
	size_t old_len = s->synced_len;
	int new_fd = segment_fill_new(s);
	int old_fd, saved;
	char name[64];
	bool linked;

	if (new_fd < 0)
		return -1;
	snprintf(name, sizeof(name), "audit-%020" PRIu64 ".jsonl",
	    s->synced_end.seq);
	if (segment_keep_old(s, name, &linked) < 0 ||
	    disk_renameat(s->dirfd, SEGMENT_NEW_FILE, SEGMENT_FILE) < 0) {
		saved = errno;
		close(new_fd);
		disk_unlinkat(s->dirfd, SEGMENT_NEW_FILE);
		/* with two names it must not grow */
		if (linked && disk_unlinkat(s->dirfd, name) < 0)
			s->broken = true;
		errno = saved;
		return -1;
	}
	old_fd = s->fd;
	s->fd = new_fd;
	s->synced_len = 0; /* until the directory is durable as well */
	if (s->broken)
		segment_cut_old(s, old_fd, old_len);
	close(old_fd);
	s->broken = true;
	if (disk_fsync(s->dirfd) < 0)
		return -1;
	segment_settle(s);
	s->broken = s->turn = false;
	s->files++;
	return 0;
}

/* A crash left the file with two names, so all that is behind line SEQ of the
 * second one belongs into a new file. */
static int
segment_finish(struct segment *s, struct tb_error *err)
{
	_cleanup_free_ char *rest = NULL;
	struct chain_pos end = s->end;
	size_t at = 0;
	int r = segment_find_half(s->dirfd, s->fd, s->synced_len, &end, &at,
	    &rest, err);

	if (r <= 0)
		return r;
	strbuf_add(&s->pending, rest, s->synced_len - at);
	s->synced_len = at;
	s->synced_end = end;
	s->broken = true;
	if (segment_replace(s) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot finish the "
		    "rotation of the audit log that a crash interrupted");
	log_info("audit", "the rotation of the audit log behind line %" PRIu64
	    ", interrupted by a crash, is finished", end.seq);
	return 0;
}

struct segment *
segment_open(int dirfd, struct tb_error *err)
{
	struct segment *s _cleanup_(segment_freep) = xnew(struct segment);
	size_t cut = 0;

	s->dirfd = dirfd;
	s->fd = disk_openat(dirfd, SEGMENT_FILE,
	    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, SEGMENT_MODE);
	if (s->fd < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot open the audit "
		    "log %s", SEGMENT_FILE);
		return NULL;
	}
	s->hasher = chain_hasher_new(err);
	if (!s->hasher)
		return NULL;
	s->end = chain_start;
	if (segment_repair(dirfd, s->fd, &s->end, &s->synced_len, &cut,
		err) < 0)
		return NULL;
	s->torn = cut;
	if (s->end.seq == 0 && segment_find_older(dirfd, &s->end, err) < 0)
		return NULL;
	/* a crash in the middle of a replacement; the lines in it were never
	 * reported durable */
	disk_unlinkat(dirfd, SEGMENT_NEW_FILE);
	if (disk_fsync(s->fd) < 0 || disk_fsync(dirfd) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot sync the audit "
		    "log %s", SEGMENT_FILE);
		return NULL;
	}
	s->flushed_end = s->synced_end = s->end;
	if (segment_finish(s, err) < 0)
		return NULL;
	return STEAL(s);
}

static void
segment_drop_batch(struct segment *s)
{
	s->pending.len = s->flushed;
	if (s->pending.s)
		s->pending.s[s->flushed] = '\0';
	s->end = s->flushed_end;
}

/* Into the new file that was asked for, or else into the current one. */
static int
segment_write(struct segment *s, bool durable)
{
	int saved;

	if (s->turn && s->pending.len > 0) {
		s->turn = false;
		if (segment_replace(s) == 0)
			return 0;
		saved = errno;
		log_warn("audit", "the audit log could not be rotated behind "
		    "line %" PRIu64 ": %s", s->synced_end.seq,
		    strerror(saved));
		errno = saved;
		if (s->broken)
			return -1;
	}
	return segment_append(s, durable);
}

int
segment_flush(struct segment *s, bool durable, struct tb_error *err)
{
	bool was_broken = s->broken;

	s->batch_at = s->flushed;
	s->batch_len = s->pending.len - s->flushed;
	if (!s->broken && segment_write(s, durable) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot write the audit "
		    "log");
		log_error("audit", "%s: nothing behind line %" PRIu64
		    " of that file counts, the rest goes into a new one",
		    err->msg, s->synced_end.seq);
		s->broken = true;
	}
	if (s->broken && segment_replace(s) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot write the audit "
		    "log");
		if (!was_broken)
			log_error("audit", "%s: no new file either; nothing "
			    "that must be recorded is let out before there is "
			    "one", err->msg);
		segment_drop_batch(s);
		return -1;
	}
	if (was_broken)
		log_info("audit", "the audit log can be written again, line %"
		    PRIu64 " is on disk", s->end.seq);
	*err = (struct tb_error)TB_ERROR_INIT;
	s->flushed = s->pending.len;
	s->flushed_end = s->end;
	return 0;
}

void
segment_turn(struct segment *s)
{
	assert(s->pending.len == 0);
	s->turn = true;
}

void
segment_close(struct segment *s)
{
	struct tb_error err = TB_ERROR_INIT;

	if (!s)
		return;
	if (segment_is_dirty(s) && segment_flush(s, true, &err) < 0)
		log_error("audit", "lines up to %" PRIu64 " are lost: %s",
		    s->end.seq, err.msg);
	else if (s->broken) /* what the next start must not take for good */
		segment_cut_old(s, s->fd, s->synced_len);
	segment_free(s);
}

bool
segment_is_dirty(const struct segment *s)
{
	return s->pending.len > 0;
}

const struct chain_pos *
segment_end(const struct segment *s)
{
	return &s->flushed_end;
}

const struct chain_pos *
segment_added(const struct segment *s)
{
	return &s->end;
}

const struct chain_pos *
segment_synced(const struct segment *s)
{
	return &s->synced_end;
}

const char *
segment_last_line(const struct segment *s, size_t *len)
{
	*len = s->pending.len - s->last_at;
	return s->pending.s + s->last_at;
}

const char *
segment_batch(const struct segment *s, size_t *len)
{
	*len = s->batch_len;
	return s->batch_len ? s->pending.s + s->batch_at : "";
}

size_t
segment_size(const struct segment *s)
{
	return s->synced_len + s->pending.len;
}

uint64_t
segment_files(const struct segment *s)
{
	return s->files;
}

size_t
segment_torn(const struct segment *s)
{
	return s->torn;
}

uint64_t
segment_syncs(const struct segment *s)
{
	return s->syncs;
}
