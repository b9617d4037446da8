/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink - see the header. The new content gets a name only when it is complete
 * (O_TMPFILE and linkat(2), where the file system can), and that name is always
 * the same, so that a crash between naming and renaming leaves one file at
 * most, which the next write takes away. The directory is opened once per
 * write and everything is done relative to it: nobody can exchange it between
 * the look and the write.
 */
#include "ctl/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"

int
sink_parse_mode(const char *text, mode_t *out, struct tb_error *err)
{
	size_t n = strlen(text);

	if (n < 3 || n > 4 || text[strspn(text, "01234567")])
		return tb_error_set(err, TB_E_BADREQ, "--mode: '%.20s' is no "
		    "mode; write for example 0600 or 0640", text);
	*out = (mode_t)strtoul(text, NULL, 8);
	if (*out & ~(mode_t)0660)
		return tb_error_set(err, TB_E_BADREQ, "--mode: a token is for "
		    "its owner and perhaps a group, to be read and not to be "
		    "executed: at most 0660");
	return 0;
}

/* A number, or -1. */
static int64_t
number_of(const char *s)
{
	char *end;
	unsigned long n;

	if (*s < '0' || *s > '9' || strlen(s) > 10)
		return -1;
	n = strtoul(s, &end, 10);
	return *end || n >= UINT32_MAX ? -1 : (int64_t)n;
}

int
sink_parse_owner(const char *text, struct sink *s, struct tb_error *err)
{
	const char *colon = strchr(text, ':');
	_cleanup_free_ char *user = colon ? xstrndup(text,
	    (size_t)(colon - text)) : xstrdup(text);
	const char *group = colon ? colon + 1 : "";
	int64_t uid = number_of(user), gid = number_of(group);
	const struct passwd *pw = *user && uid < 0 ? getpwnam(user) : NULL;
	const struct group *gr = *group && gid < 0 ? getgrnam(group) : NULL;

	if (*user && uid < 0 && !pw)
		return tb_error_set(err, TB_E_BADREQ, "--owner: there is no "
		    "user '%.60s'", user);
	if ((*group && gid < 0 && !gr) || (!*user && !*group))
		return tb_error_set(err, TB_E_BADREQ, "--owner: there is no "
		    "group '%.60s'", group);
	if (*user)
		s->uid = pw ? pw->pw_uid : (uid_t)uid;
	if (pw)
		s->gid = pw->pw_gid;
	if (*group)
		s->gid = gr ? gr->gr_gid : (gid_t)gid;
	return 0;
}

/* -------------------------------------------------------------- the place */

static uid_t
owner_of(const struct sink *s)
{
	return s->uid == SINK_SAME ? geteuid() : s->uid;
}

/* Nobody but root, us, and whom the file is for may put something there. */
static int
judge_directory(const struct sink *s, const char *dir, const struct stat *st,
    struct tb_error *err)
{
	gid_t gid = s->gid == SINK_SAME ? getegid() : s->gid;
	bool ours = st->st_uid == 0 || st->st_uid == geteuid() ||
	    st->st_uid == owner_of(s);
	bool shared = (st->st_mode & S_IWOTH) ||
	    ((st->st_mode & S_IWGRP) && st->st_gid != 0 && st->st_gid != gid);

	if (!ours)
		return tb_error_set(err, TB_E_IO, "%.200s belongs to uid %u, "
		    "who could put another file there; write into a directory "
		    "of your own", dir, (unsigned)st->st_uid);
	if (shared && (!(st->st_mode & S_ISVTX) || st->st_uid != geteuid()))
		return tb_error_set(err, TB_E_IO, "others may write into "
		    "%.200s, and put another file there; write into a "
		    "directory of your own, such as a RuntimeDirectory=", dir);
	return 0;
}

static int
judge_disk(const struct sink *s, const char *dir, int fd, bool *in_memory,
    struct tb_error *err)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot look at the file system of %.200s", dir);
	*in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
	if (*in_memory || s->allow_disk)
		return 0;
	return tb_error_set(err, TB_E_IO, "%.200s is on a disk, where the "
	    "token would stay in backups and in freed blocks; write below "
	    "/run, or say --allow-disk", dir);
}

/* What stands at the target's place. 1: nothing. */
static int
judge_target(const struct sink *s, int dirfd, const char *name,
    struct tb_error *err)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : tb_error_errno(err, TB_E_IO,
		    errno, "cannot look at %.200s", s->path);
	if (S_ISLNK(st.st_mode))
		return tb_error_set(err, TB_E_IO, "%.200s is a symbolic link, "
		    "which is not followed; write to where it points, or "
		    "remove it", s->path);
	if (!S_ISREG(st.st_mode))
		return tb_error_set(err, TB_E_IO, "%.200s is there and is no "
		    "file", s->path);
	return 0;
}

/* The directory, judged; *name is the last part of the path. */
static int
open_place(const struct sink *s, const char **name, bool *in_memory,
    struct tb_error *err)
{
	const char *slash = strrchr(s->path, '/');
	_cleanup_free_ char *dir = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	*name = slash ? slash + 1 : "";
	if (s->path[0] != '/' || !**name || streq(*name, ".") ||
	    streq(*name, ".."))
		return tb_error_set(err, TB_E_BADREQ, "'%.200s' is not the "
		    "absolute path of a file", s->path);
	dir = slash == s->path ? xstrdup("/") : xstrndup(s->path,
	    (size_t)(slash - s->path));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot open the directory %.200s", dir);
	if (judge_directory(s, dir, &st, err) < 0 ||
	    judge_disk(s, dir, fd, in_memory, err) < 0 ||
	    judge_target(s, fd, *name, err) < 0)
		return -1;
	r = fd;
	fd = -1;
	return r;
}

int
sink_check(const struct sink *s, struct tb_error *err)
{
	const char *name;
	bool in_memory;
	_cleanup_close_ int dir = open_place(s, &name, &in_memory, err);

	if (dir < 0)
		return -1;
	if (faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot write beside %.200s", s->path);
	return 0;
}

/* ------------------------------------------------------------------- write */

static int
fill(const struct sink *s, int fd, const struct secret *bytes, bool in_memory,
    struct tb_error *err)
{
	size_t done = 0;
	ssize_t n;

	while (done < bytes->len) {
		n = write(fd, secret_reveal(bytes) + done, bytes->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot write %.200s", s->path);
		done += (size_t)n;
	}
	if ((s->uid != SINK_SAME || s->gid != (gid_t)SINK_SAME) &&
	    fchown(fd, s->uid, s->gid) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot give "
		    "%.200s to its owner (only root can, and to a group of "
		    "its own everybody)", s->path);
	/* behind fchown, which would take bits away */
	if (fchmod(fd, s->mode) < 0 || (!in_memory && fsync(fd) < 0))
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot write %.200s", s->path);
	return 0;
}

/* Always the same, so that one is left over at most. */
static char *
temporary(const char *name)
{
	return xasprintf(".%.200s.tokenbroker", name);
}

/* A file without a name, or with that of `tmp` where the file system has no
 * such files. */
static int
open_new(int dir, const char *tmp, bool *named)
{
	int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	*named = fd < 0;
	(void)unlinkat(dir, tmp, 0);
	if (fd < 0)
		fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL |
		    O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd;
}

static int
put_in_place(const struct sink *s, int dir, int fd, bool named,
    const char *tmp, const char *name, struct tb_error *err)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!named && linkat(AT_FDCWD, self, dir, tmp, AT_SYMLINK_FOLLOW) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot name the new content of %.200s", s->path);
	if (renameat(dir, tmp, dir, name) == 0)
		return 0;
	tb_error_errno(err, TB_E_IO, errno, "cannot replace %.200s", s->path);
	(void)unlinkat(dir, tmp, 0);
	return -1;
}

int
sink_write(const struct sink *s, const struct secret *bytes,
    struct tb_error *err)
{
	const char *name;
	bool in_memory, named;
	_cleanup_close_ int dir = open_place(s, &name, &in_memory, err);
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *tmp = NULL;

	if (dir < 0)
		return -1;
	tmp = temporary(name);
	fd = open_new(dir, tmp, &named);
	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot make a file beside %.200s", s->path);
	if (fill(s, fd, bytes, in_memory, err) < 0) {
		if (named)
			(void)unlinkat(dir, tmp, 0);
		return -1;
	}
	if (put_in_place(s, dir, fd, named, tmp, name, err) < 0)
		return -1;
	if (!in_memory)
		(void)fsync(dir); /* the content is safe; the name may lag */
	return 0;
}

int
sink_remove(const struct sink *s, struct tb_error *err)
{
	const char *name;
	bool in_memory;
	_cleanup_close_ int dir = open_place(s, &name, &in_memory, err);
	_cleanup_free_ char *tmp = NULL;
	struct stat st;

	if (dir < 0) /* with its directory it has gone, too */
		return lstat(s->path, &st) < 0 && errno == ENOENT ? 0 : -1;
	tmp = temporary(name);
	(void)unlinkat(dir, tmp, 0); /* of a write that was cut off */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode) || st.st_uid != owner_of(s))
		return 0;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot remove %.200s", s->path);
	return 0;
}
