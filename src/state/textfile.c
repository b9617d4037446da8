/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See textfile.h. The directory belongs to somebody else, perhaps to a group:
 * the temporary file is made with O_EXCL, so that no link of another leads us
 * elsewhere.
 */
#include "state/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "state/disk.h"

int
textfile_replace(const char *path, const void *bytes, size_t len,
    struct tb_error *err)
{
	const char *name = strrchr(path, '/') + 1;
	_cleanup_free_ char *dir = xstrndup(path, (size_t)(name - path));
	_cleanup_free_ char *tmp = xasprintf(".%s.tmp", name);
	_cleanup_close_ int dirfd = disk_openat(AT_FDCWD, dir,
	    O_DIRECTORY | O_CLOEXEC, 0);
	_cleanup_close_ int fd = -1;

	if (dirfd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", dir);
	disk_unlinkat(dirfd, tmp);
	fd = disk_openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0644);
	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s%s", dir, tmp);
	/* whatever the umask */
	if (fchmod(fd, 0644) == 0 && disk_write_all(fd, bytes, len) == 0 &&
	    disk_renameat(dirfd, tmp, name) == 0)
		return 0;
	tb_error_errno(err, TB_E_IO, errno, "cannot write %s", path);
	disk_unlinkat(dirfd, tmp);
	return -1;
}
