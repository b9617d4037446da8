/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: a disk that the test makes fail, for one process, by four numbers
 * (int64_t each) in the file $DISKFAULT: the errno of writes, the errno of
 * syncs, how many syncs fail (-1: all), and how many milliseconds a sync takes.
 * Files and directories only, and not the log on standard error: sockets and
 * pipes work on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct fault {
	int64_t write_errno, sync_errno, syncs, stall_ms;
};

static volatile struct fault *fault;

__attribute__((constructor)) static void
map_fault(void)
{
	const char *path = getenv("DISKFAULT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*fault),
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		fault = p;
	if (fd >= 0)
		close(fd);
}

static int
is_file(int fd)
{
	struct stat st;

	return fd > STDERR_FILENO && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) ||
	    S_ISDIR(st.st_mode));
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
	if (fault && fault->write_errno && is_file(fd)) {
		errno = (int)fault->write_errno;
		return -1;
	}
	return syscall(SYS_write, fd, bytes, len);
}

/* Nor is a file made on a disk that takes no writes. */
int
openat(int dirfd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (fault && fault->write_errno && (flags & O_CREAT)) {
		errno = (int)fault->write_errno;
		return -1;
	}
	return (int)syscall(SYS_openat, dirfd, name, flags, mode);
}

static int
sync_by(long call, int fd)
{
	struct timespec ms;
	int64_t waited;

	if (!fault || !is_file(fd))
		return (int)syscall(call, fd);
	/* as long as it says so now: a stall that is taken away is over */
	for (waited = 0; waited < fault->stall_ms; waited += 10) {
		ms.tv_sec = 0;
		ms.tv_nsec = 10000000;
		nanosleep(&ms, NULL);
	}
	if (fault->sync_errno && fault->syncs != 0) {
		if (fault->syncs > 0)
			fault->syncs--;
		errno = (int)fault->sync_errno;
		return -1;
	}
	return (int)syscall(call, fd);
}

int
fsync(int fd)
{
	return sync_by(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return sync_by(SYS_fdatasync, fd);
}
