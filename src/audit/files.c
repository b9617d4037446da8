/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files - see the header.
 */
#include "audit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include "base/tb_error.h"

#define NAME_HEAD "audit-"
#define NAME_TAIL ".jsonl"
#define NAME_DIGITS 20

uint64_t
files_name_seq(const char *name)
{
	const char *digits = name + sizeof(NAME_HEAD) - 1;
	char *end;
	uint64_t seq;

	if (strncmp(name, NAME_HEAD, sizeof(NAME_HEAD) - 1) != 0 ||
	    strspn(digits, "0123456789") != NAME_DIGITS ||
	    strcmp(digits + NAME_DIGITS, NAME_TAIL) != 0)
		return 0;
	errno = 0;
	seq = strtoull(digits, &end, 10);
	return errno ? 0 : seq;
}

int
files_fail(const char *path, int errnum, struct tb_error *err)
{
	const struct group *g = NULL;
	struct stat st;

	if (errnum != EACCES && errnum != EPERM)
		return tb_error_errno(err, TB_E_IO, errnum, "cannot read %s",
		    path);
	if (stat(path, &st) == 0)
		g = getgrgid(st.st_gid);
	return tb_error_set(err, TB_E_IO, "cannot read %s: permission denied; "
	    "the audit log is for root and the group '%s': join that group, "
	    "or run it with sudo", path, g ? g->gr_name :
	    "tokenbroker-auditor");
}

static struct log_file *
files_add(struct files *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct log_file *file;

	f->file = xreallocarray(f->file, f->n + 1, sizeof(f->file[0]));
	file = &f->file[f->n++];
	file->path = xstrdup(path);
	file->last_seq = files_name_seq(slash ? slash + 1 : path);
	file->fd = -1;
	return file;
}

void
files_set(struct files *f, const char *const *paths, size_t n)
{
	size_t i;

	*f = (struct files){ .has_current = true };
	for (i = 0; i < n; i++)
		files_add(f, paths[i]);
}

void
files_clear(struct files *f)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		files_close(f, i);
		free(f->file[i].path);
	}
	free(f->file);
	free(f->dir);
	*f = (struct files){ .n = 0 };
}

static int
by_seq(const void *a, const void *b)
{
	const struct log_file *x = a, *y = b;

	return x->last_seq < y->last_seq ? -1 : x->last_seq > y->last_seq;
}

static void
closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The older ones. `current` got a lasting name in the meantime when one of
 * them is the same file; it is closed then and -1. */
static void
take_older(struct files *f, DIR *d, int *current)
{
	const struct dirent *e;
	struct stat ours, st;
	char *path;

	while ((e = readdir(d))) {
		if (files_name_seq(e->d_name) == 0)
			continue;
		if (*current >= 0 && fstat(*current, &ours) == 0 &&
		    fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
		    st.st_ino == ours.st_ino && st.st_dev == ours.st_dev) {
			close(*current);
			*current = -1;
		}
		path = xasprintf("%s/%s", f->dir, e->d_name);
		files_add(f, path);
		free(path);
	}
}

int
files_list(struct files *f, const char *dir, struct tb_error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/" FILES_CURRENT, dir);
	_cleanup_close_ int fd = -1;
	DIR *d _cleanup_(closedirp) = NULL;
	struct log_file *file;
	struct stat st;

	*f = (struct files){ .dir = xstrdup(dir) };
	d = opendir(dir);
	if (!d)
		return files_fail(dir, errno, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return files_fail(path, errno, err);
	f->has_current = fd >= 0;
	take_older(f, d, &fd);
	if (f->n > 1)
		qsort(f->file, f->n, sizeof(f->file[0]), by_seq);
	if (fd >= 0) {
		file = files_add(f, path);
		file->fd = fd;
		fd = -1;
	}
	if (fstatat(dirfd(d), FILES_TORN, &st, 0) == 0)
		f->torn_bytes = st.st_size;
	if (f->n == 0)
		return tb_error_set(err, TB_E_IO, "there is no audit log in "
		    "%s: neither " FILES_CURRENT " nor audit-SEQ.jsonl", dir);
	return 0;
}

int
files_open(struct files *f, size_t i, struct tb_error *err)
{
	struct log_file *file = &f->file[i];

	if (file->fd < 0)
		file->fd = strcmp(file->path, "-") == 0 ? dup(STDIN_FILENO) :
		    open(file->path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return files_fail(file->path, errno, err);
	return file->fd;
}

void
files_close(struct files *f, size_t i)
{
	if (f->file[i].fd >= 0)
		close(f->file[i].fd);
	f->file[i].fd = -1;
}
