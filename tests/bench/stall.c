/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall - to be preloaded (LD_PRELOAD): a disk that hangs. While the file that
 * $BENCH_STALL names is there, fsync(2) and fdatasync(2) do not return.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static void
stall(void)
{
	const char *path = getenv("BENCH_STALL");
	int turns = 3000;

	while (path && access(path, F_OK) == 0 && turns-- > 0)
		usleep(10000);
}

int
fsync(int fd)
{
	stall();
	return (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	stall();
	return (int)syscall(SYS_fdatasync, fd);
}
