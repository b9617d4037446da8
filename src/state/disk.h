/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * disk - the system calls of the writer thread, one function each and nothing
 * more, so that a test can link tests/unit/fake_disk.c instead and make a
 * disk full, broken or slow at the step it wants. errno tells, as always.
 */
#include <sys/types.h>

int disk_openat(int dirfd, const char *name, int flags, mode_t mode);
ssize_t disk_write(int fd, const void *bytes, size_t len);
/* By as many disk_write as it takes; 0 or -1. */
int disk_write_all(int fd, const void *bytes, size_t len);
int disk_fsync(int fd);
int disk_fdatasync(int fd);
int disk_ftruncate(int fd, off_t len);
/* Blocks for the first len bytes, so that writing there needs no others. Where
 * the file system cannot, they are written. */
int disk_allocate(int fd, off_t len);
ssize_t disk_pwrite(int fd, const void *bytes, size_t len, off_t at);
/* Both names are in dirfd. */
int disk_renameat(int dirfd, const char *from, const char *to);
int disk_linkat(int dirfd, const char *from, const char *to);
int disk_unlinkat(int dirfd, const char *name);
