/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recfile - see the header. Unlike fs_write_atomic the name of the temporary
 * file is fixed (one thread writes, and leftovers stay few) and the directory
 * is not synced each time. The temporary file is made anew each time: one
 * whose sync failed is not to be trusted again.
 */
#include "state/recfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/tb_error.h"
#include "state/disk.h"

static bool
is_no_space(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

/* The temporary file, complete and on disk; on failure errno says why. */
static int
write_tmp(int dirfd, const char *tmp, int flags, const void *bytes,
    size_t len, const char **what)
{
	_cleanup_close_ int fd = disk_openat(dirfd, tmp,
	    O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	*what = "cannot make";
	if (fd < 0)
		return -1;
	*what = "cannot write";
	if (disk_write_all(fd, bytes, len) < 0)
		return -1;
	/* room is longer than what came */
	if (!(flags & O_CREAT) && disk_ftruncate(fd, (off_t)len) < 0)
		return -1;
	return disk_fsync(fd);
}

/* Under which name the bytes are now: tmp, or the room. NULL: err is set. */
static const char *
write_somewhere(int dirfd, const char *tmp, const char *room,
    const void *bytes, size_t len, struct tb_error *err)
{
	const char *what;
	int e;

	disk_unlinkat(dirfd, tmp); /* or O_EXCL says why not */
	if (write_tmp(dirfd, tmp, O_CREAT | O_EXCL, bytes, len, &what) == 0)
		return tmp;
	e = errno;
	tb_error_errno(err, TB_E_IO, e, "%s %s", what, tmp);
	disk_unlinkat(dirfd, tmp);
	if (!room || !is_no_space(e))
		return NULL;
	if (write_tmp(dirfd, room, 0, bytes, len, &what) == 0)
		return room;
	e = errno;
	if (e != ENOENT)
		tb_error_errno(err, TB_E_IO, e, "%s %s", what, room);
	if (!is_no_space(e))
		disk_unlinkat(dirfd, room);
	return NULL;
}

int
recfile_replace(int dirfd, const char *name, const void *bytes, size_t len,
    bool use_room, struct tb_error *err)
{
	_cleanup_free_ char *tmp = xasprintf(RECFILE_TMP_PREFIX "%s"
	    RECFILE_TMP_SUFFIX, name);
	_cleanup_free_ char *room = use_room ? xasprintf(RECFILE_TMP_PREFIX
	    "%s" RECFILE_ROOM_SUFFIX, name) : NULL;
	struct tb_error why = TB_ERROR_INIT; /* err only when all failed */
	const char *from;

	assert(!strchr(name, '/'));
	from = write_somewhere(dirfd, tmp, room, bytes, len, &why);
	if (!from) {
		*err = why;
		return -1;
	}
	if (disk_renameat(dirfd, from, name) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot rename %s to %s",
		    from, name);
		if (from == tmp)
			disk_unlinkat(dirfd, tmp);
		return -1;
	}
	return 0;
}

int
recfile_delete(int dirfd, const char *name, struct tb_error *err)
{
	assert(!strchr(name, '/'));
	if (disk_unlinkat(dirfd, name) < 0 && errno != ENOENT)
		return tb_error_errno(err, TB_E_IO, errno, "cannot remove %s",
		    name);
	return 0;
}

int
recfile_probe(int dirfd, struct tb_error *err)
{
	static const char name[] = RECFILE_TMP_PREFIX "probe"
	    RECFILE_TMP_SUFFIX;
	_cleanup_close_ int fd = -1;
	int r = 0;

	disk_unlinkat(dirfd, name);
	fd = disk_openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600);
	if (fd < 0 || disk_write_all(fd, name, sizeof(name)) < 0 ||
	    disk_fsync(fd) < 0)
		r = tb_error_errno(err, TB_E_IO, errno, "cannot write %s",
		    name);
	disk_unlinkat(dirfd, name);
	return r < 0 ? r : recfile_sync_dir(dirfd, err);
}

int
recfile_sync_dir(int dirfd, struct tb_error *err)
{
	if (disk_fsync(dirfd) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot sync the state directory");
	return 0;
}

int
recfile_read(int dirfd, const char *name, size_t max, unsigned char **bytes,
    size_t *len, struct tb_error *err)
{
	_cleanup_close_ int fd = disk_openat(dirfd, name,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	_cleanup_free_ unsigned char *b = NULL;
	struct stat st;
	size_t got = 0;
	ssize_t n;

	*bytes = NULL;
	*len = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot open %s",
		    name);
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)max)
		return tb_error_set(err, TB_E_PROTO, "%s: %s", name,
		    S_ISREG(st.st_mode) ? "too large" : "not a regular file");
	b = xcalloc(1, (size_t)st.st_size + 1);
	while (got < (size_t)st.st_size) {
		n = TEMP_FAILURE_RETRY(read(fd, b + got,
		    (size_t)st.st_size - got));
		if (n < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot read %s", name);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*bytes = STEAL(b);
	*len = got;
	return 0;
}

int
recfile_hold_room(int dirfd, const char *name, size_t len,
    struct tb_error *err)
{
	_cleanup_free_ char *room = xasprintf(RECFILE_TMP_PREFIX "%s"
	    RECFILE_ROOM_SUFFIX, name);
	_cleanup_close_ int fd = disk_openat(dirfd, room,
	    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd >= 0 && disk_allocate(fd, (off_t)len) == 0)
		return 0;
	r = tb_error_errno(err, TB_E_IO, errno, "cannot set aside %zu bytes "
	    "for the record %s to come", len, name);
	if (fd >= 0)
		disk_unlinkat(dirfd, room);
	return r;
}

void
recfile_drop_room(int dirfd, const char *name)
{
	_cleanup_free_ char *room = xasprintf(RECFILE_TMP_PREFIX "%s"
	    RECFILE_ROOM_SUFFIX, name);

	disk_unlinkat(dirfd, room);
}
