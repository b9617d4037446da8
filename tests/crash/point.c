/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See point.h. Descriptors are looked up in /proc/PID/fd; a socket is asked
 * through a copy of it (pidfd_getfd).
 */
#include "point.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/util.h"

enum shape {
	FD,      /* args[0] is a descriptor */
	SYNC,    /* the same */
	NAME,    /* args[0] is a path */
	NAME_AT, /* args[0], args[1] */
	SECOND,  /* args[1] is a path */
	TO_AT,   /* args[2], args[3] */
	OPEN,    /* args[0] a path, args[1] flags */
	OPEN_AT, /* args[0], args[1], args[2] */
	PEER,    /* args[0] is a socket */
	ADDRESS, /* the same, args[1] an address of args[2] bytes */
};

static const struct row {
	long nr;
	const char *verb;
	enum shape shape;
} rows[] = {
	{ SYS_write, "write", FD },
	{ SYS_writev, "write", FD },
	{ SYS_pwrite64, "write", FD },
	{ SYS_pwritev, "write", FD },
	{ SYS_ftruncate, "ftruncate", FD },
	{ SYS_fsync, "fsync", SYNC },
	{ SYS_fdatasync, "fdatasync", SYNC },
	{ SYS_openat, "create", OPEN_AT },
	{ SYS_mkdirat, "mkdir", NAME_AT },
	{ SYS_renameat2, "rename", TO_AT },
	{ SYS_linkat, "link", TO_AT },
	{ SYS_unlinkat, "unlink", NAME_AT },
#ifdef SYS_renameat
	{ SYS_renameat, "rename", TO_AT },
#endif
#ifdef SYS_open /* the calls of old that newer machines do not have */
	{ SYS_open, "create", OPEN },
	{ SYS_mkdir, "mkdir", NAME },
	{ SYS_rename, "rename", SECOND },
	{ SYS_link, "link", SECOND },
	{ SYS_unlink, "unlink", NAME },
#endif
	{ SYS_connect, "connect", ADDRESS },
	{ SYS_sendto, "send", PEER },
	{ SYS_sendmsg, "send", PEER },
	{ SYS_sendmmsg, "send", PEER },
};

/* ------------------------------------------------------------------- files */

/* A string of the program's memory; empty when it cannot be read. */
static void
read_string(const struct point_target *t, uint64_t at, char out[PATH_MAX])
{
	struct iovec to = { out, PATH_MAX - 1 };
	struct iovec from = { (void *)(uintptr_t)at, PATH_MAX - 1 };
	ssize_t n = process_vm_readv(t->pid, &to, 1, &from, 1, 0);
	size_t left;

	if (n < 0) { /* it ends before the page does */
		left = 4096 - at % 4096;
		to.iov_len = from.iov_len = MIN2(left, (size_t)PATH_MAX - 1);
		n = process_vm_readv(t->pid, &to, 1, &from, 1, 0);
	}
	out[n > 0 ? n : 0] = '\0';
}

static void
read_link(const struct point_target *t, const char *what, char out[PATH_MAX])
{
	char name[64];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%d/%s", t->pid, what);
	n = readlink(name, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

static void
fd_path(const struct point_target *t, int fd, char out[PATH_MAX])
{
	char what[32];

	snprintf(what, sizeof(what), "fd/%d", fd);
	read_link(t, what, out);
}

/* A path below t->dir, from there on. */
static bool
name_file(const struct point_target *t, const char *path, char *out,
    size_t size)
{
	size_t n = strlen(t->dir);

	if (strncmp(path, t->dir, n) != 0 || path[n] != '/')
		return false;
	snprintf(out, size, "%.150s", path + n + 1);
	return true;
}

static bool
name_path(const struct point_target *t, int dirfd, uint64_t at, char *out,
    size_t size)
{
	char name[PATH_MAX], dir[PATH_MAX], path[2 * PATH_MAX];

	read_string(t, at, name);
	if (name[0] == '/')
		return name_file(t, name, out, size);
	if (dirfd == AT_FDCWD)
		read_link(t, "cwd", dir);
	else
		fd_path(t, dirfd, dir);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return name_file(t, path, out, size);
}

/* ----------------------------------------------------------------- sockets */

static bool
name_address(const struct point_target *t, const struct sockaddr *sa,
    char *out, size_t size)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	char host[INET6_ADDRSTRLEN], port[8];
	const void *raw;

	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return false;
	raw = sa->sa_family == AF_INET ? (const void *)&in->sin_addr :
	    (const void *)&in6->sin6_addr;
	snprintf(port, sizeof(port), "%u", ntohs(sa->sa_family == AF_INET ?
	    in->sin_port : in6->sin6_port));
	for (unsigned i = 0; i < t->n_labels; i++) {
		if (strcmp(t->labels[i].port, port) == 0) {
			snprintf(out, size, "%s", t->labels[i].name);
			return true;
		}
	}
	inet_ntop(sa->sa_family, raw, host, sizeof(host));
	snprintf(out, size, "%s:%s", host, port);
	return true;
}

static bool
name_unix(const struct sockaddr_un *sun, socklen_t len, char *out, size_t size)
{
	const char *slash;
	char path[sizeof(sun->sun_path) + 1] = "";

	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    !sun->sun_path[0])
		return false;
	memcpy(path, sun->sun_path, sizeof(sun->sun_path));
	slash = strrchr(path, '/');
	snprintf(out, size, "%s", slash ? slash + 1 : path);
	return true;
}

/* Whom bytes on this socket go to: the peer by its address, or the door that
 * the peer came through. */
static bool
name_peer(const struct point_target *t, int fd, char *out, size_t size)
{
	struct sockaddr_storage peer = { 0 }, ours = { 0 };
	socklen_t peer_len = sizeof(peer), our_len = sizeof(ours);
	int copy = (int)syscall(SYS_pidfd_getfd, t->pidfd, fd, 0);
	bool found = false;

	if (copy < 0)
		return false;
	if (getpeername(copy, (struct sockaddr *)&peer, &peer_len) == 0)
		found = name_address(t, (struct sockaddr *)&peer, out, size);
	if (!found && peer.ss_family == AF_UNIX &&
	    getsockname(copy, (struct sockaddr *)&ours, &our_len) == 0)
		found = name_unix((struct sockaddr_un *)&ours, our_len, out,
		    size);
	close(copy);
	return found;
}

static bool
name_connect(const struct point_target *t, uint64_t at, uint64_t len,
    char *out, size_t size)
{
	struct sockaddr_storage sa = { 0 };
	struct iovec to = { &sa, MIN2(len, sizeof(sa)) };
	struct iovec from = { (void *)(uintptr_t)at, to.iov_len };

	return process_vm_readv(t->pid, &to, 1, &from, 1, 0) > 0 &&
	    name_address(t, (struct sockaddr *)&sa, out, size);
}

static bool
name_fd(const struct point_target *t, int fd, char *out, size_t size)
{
	char path[PATH_MAX];

	if (fd <= 2)
		return false;
	fd_path(t, fd, path);
	if (strncmp(path, "socket:", 7) == 0)
		return name_peer(t, fd, out, size);
	return name_file(t, path, out, size);
}

/* -------------------------------------------------------------------- calls */

static bool
name_call(const struct point_target *t, const struct row *row,
    const uint64_t a[6], char *out, size_t size)
{
	switch (row->shape) {
	case FD:
	case SYNC:
	case PEER:
		return name_fd(t, (int)a[0], out, size);
	case NAME:
		return name_path(t, AT_FDCWD, a[0], out, size);
	case NAME_AT:
		return name_path(t, (int)a[0], a[1], out, size);
	case SECOND:
		return name_path(t, AT_FDCWD, a[1], out, size);
	case TO_AT:
		return name_path(t, (int)a[2], a[3], out, size);
	case OPEN:
		return (a[1] & O_CREAT) &&
		    name_path(t, AT_FDCWD, a[0], out, size);
	case OPEN_AT:
		return (a[2] & O_CREAT) &&
		    name_path(t, (int)a[0], a[1], out, size);
	case ADDRESS:
		return name_connect(t, a[1], a[2], out, size);
	}
	return false;
}

bool
point_of_call(const struct point_target *t, uint64_t nr,
    const uint64_t args[6], struct point *p)
{
	char what[POINT_TEXT - 16];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if ((uint64_t)rows[i].nr != nr)
			continue;
		if (!name_call(t, &rows[i], args, what, sizeof(what)))
			return false;
		snprintf(p->text, sizeof(p->text), "%s %s", rows[i].verb,
		    what);
		p->fd = (int)args[0];
		p->kind = rows[i].shape == SYNC ? POINT_SYNC :
		    rows[i].shape == OPEN || rows[i].shape == OPEN_AT ?
		    POINT_CREATE : POINT_OTHER;
		return true;
	}
	return false;
}
