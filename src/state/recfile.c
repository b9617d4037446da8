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

#include "base/tb_error.h"
#include "state/disk.h"

int
recfile_replace(int dirfd, const char *name, const void *bytes, size_t len,
    struct tb_error *err)
{
	_cleanup_free_ char *tmp = xasprintf(RECFILE_TMP_PREFIX "%s"
	    RECFILE_TMP_SUFFIX, name);
	_cleanup_close_ int fd = -1;

	assert(!strchr(name, '/'));
	disk_unlinkat(dirfd, tmp); /* or O_EXCL says why not */
	fd = disk_openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600);
	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot make %s",
		    tmp);
	if (disk_write_all(fd, bytes, len) < 0 || disk_fsync(fd) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot write %s", tmp);
		disk_unlinkat(dirfd, tmp);
		return -1;
	}
	if (disk_renameat(dirfd, tmp, name) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot rename %s to %s",
		    tmp, name);
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
