/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk - see the header. A call that a signal interrupts is made again: the
 * writer thread blocks all signals, but start-up code does not.
 */
#include "state/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"

int
disk_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return TEMP_FAILURE_RETRY(openat(dirfd, name, flags, mode));
}

ssize_t
disk_write(int fd, const void *bytes, size_t len)
{
	return TEMP_FAILURE_RETRY(write(fd, bytes, len));
}

int
disk_write_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	ssize_t n;

	while (len > 0) {
		n = disk_write(fd, p, len);
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = ENOSPC;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
disk_fsync(int fd)
{
	return TEMP_FAILURE_RETRY(fsync(fd));
}

int
disk_fdatasync(int fd)
{
	return TEMP_FAILURE_RETRY(fdatasync(fd));
}

int
disk_ftruncate(int fd, off_t len)
{
	return TEMP_FAILURE_RETRY(ftruncate(fd, len));
}

/* The slow way: zeroes, and a sync, because until then the file system may
 * only have promised the blocks to itself. */
static int
write_zeroes(int fd, off_t len)
{
	static const char zeroes[16384];
	size_t n;

	for (; len > 0; len -= (off_t)n) {
		n = MIN2((size_t)len, sizeof(zeroes));
		if (disk_write_all(fd, zeroes, n) < 0)
			return -1;
	}
	return disk_fdatasync(fd);
}

int
disk_allocate(int fd, off_t len)
{
	int r = TEMP_FAILURE_RETRY(fallocate(fd, 0, 0, len));

	return r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS) ?
	    write_zeroes(fd, len) : r;
}

ssize_t
disk_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return TEMP_FAILURE_RETRY(pwrite(fd, bytes, len, at));
}

int
disk_renameat(int dirfd, const char *from, const char *to)
{
	return renameat(dirfd, from, dirfd, to);
}

int
disk_linkat(int dirfd, const char *from, const char *to)
{
	return linkat(dirfd, from, dirfd, to, 0);
}

int
disk_unlinkat(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0);
}
