/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See image.h. Each file that was ever seen is an object with a number of its
 * own; its durable content is scratch/.objects/NUMBER (none: never synced). Inode
 * numbers are used again by the file system, objects are not.
 */
#include "image.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/util.h"

#define TREES_MAX 4
#define PENDING_MAX 8

struct inode {
	ino_t ino;
	unsigned object;
};

struct name {
	char *text;
	unsigned object;
};

struct names {
	struct name *v;
	size_t n;
};

struct tree {
	const char *path;
	ino_t ino;
	struct names durable;
};

/* A sync under way. */
struct pending {
	pid_t tid; /* 0: free */
	struct tree *tree; /* NULL: a file */
	struct names names;
	unsigned object;
};

struct image {
	const char *scratch;
	struct tree trees[TREES_MAX];
	unsigned n_trees, n_objects;
	struct inode *inodes;
	size_t n_inodes;
	struct pending pending[PENDING_MAX];
};

static void
names_clear(struct names *l)
{
	while (l->n)
		free(l->v[--l->n].text);
	free(l->v);
	l->v = NULL;
}

/* -1: no such file. */
static int
copy_file(const char *from, const char *to)
{
	char buf[65536];
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n;

	if (in < 0)
		return -1;
	if (fstat(in, &st) < 0)
		err(1, "%s", from);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    st.st_mode & 07777);
	if (out < 0)
		err(1, "%s", to);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			err(1, "%s", to);
	close(in);
	close(out);
	return 0;
}

static void
object_path(const struct image *im, const char *suffix, unsigned object,
    char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/.objects/%u%s", im->scratch, object, suffix);
}

static unsigned
object_of(struct image *im, ino_t ino)
{
	for (size_t i = 0; i < im->n_inodes; i++)
		if (im->inodes[i].ino == ino)
			return im->inodes[i].object;
	im->inodes = xreallocarray(im->inodes, im->n_inodes + 1,
	    sizeof(im->inodes[0]));
	im->inodes[im->n_inodes++] = (struct inode){ ino, im->n_objects };
	return im->n_objects++;
}

static void
list_names(struct image *im, const char *path, struct names *l)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	if (!d)
		err(1, "%s", path);
	while ((e = readdir(d))) {
		if (e->d_type != DT_REG)
			continue;
		l->v = xreallocarray(l->v, l->n + 1, sizeof(l->v[0]));
		l->v[l->n++] = (struct name){ xstrdup(e->d_name),
			object_of(im, e->d_ino) };
	}
	closedir(d);
}

static void
add_tree(struct image *im, const char *path)
{
	struct tree *t = &im->trees[im->n_trees++];
	char from[2 * PATH_MAX], to[PATH_MAX];
	struct stat st;

	if (stat(path, &st) < 0)
		err(1, "%s", path);
	t->path = path;
	t->ino = st.st_ino;
	list_names(im, path, &t->durable);
	for (size_t i = 0; i < t->durable.n; i++) {
		snprintf(from, sizeof(from), "%s/%s", path,
		    t->durable.v[i].text);
		object_path(im, "", t->durable.v[i].object, to);
		copy_file(from, to);
	}
}

struct image *
image_new(const char *scratch, const char *const *trees, unsigned n_trees)
{
	struct image *im = xnew(struct image);
	char objects[PATH_MAX];

	im->scratch = scratch;
	snprintf(objects, sizeof(objects), "%s/.objects", scratch);
	if (mkdir(scratch, 0700) < 0 || mkdir(objects, 0700) < 0)
		err(1, "%s", objects);
	for (unsigned i = 0; i < n_trees && i < TREES_MAX; i++)
		add_tree(im, trees[i]);
	return im;
}

void
image_free(struct image *im)
{
	for (unsigned i = 0; i < im->n_trees; i++)
		names_clear(&im->trees[i].durable);
	for (unsigned i = 0; i < PENDING_MAX; i++)
		names_clear(&im->pending[i].names);
	free(im->inodes);
	free(im);
}

static struct pending *
pending_of(struct image *im, pid_t tid)
{
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (im->pending[i].tid == tid)
			return &im->pending[i];
	return NULL;
}

void
image_sync_begin(struct image *im, pid_t tid, const char *path)
{
	struct pending *p = pending_of(im, 0);
	char to[PATH_MAX];
	struct stat st;

	if (!p || stat(path, &st) < 0)
		errx(1, "%s: too many syncs at once", path);
	p->tid = tid;
	p->tree = NULL;
	for (unsigned i = 0; i < im->n_trees; i++)
		if (S_ISDIR(st.st_mode) && im->trees[i].ino == st.st_ino)
			p->tree = &im->trees[i];
	if (p->tree) {
		list_names(im, path, &p->names);
	} else if (S_ISREG(st.st_mode)) {
		p->object = object_of(im, st.st_ino);
		object_path(im, ".new", p->object, to);
		copy_file(path, to);
	} else {
		p->tid = 0;
	}
}

void
image_sync_end(struct image *im, pid_t tid, bool ok)
{
	struct pending *p = pending_of(im, tid);
	char from[PATH_MAX], to[PATH_MAX];

	if (!p)
		return;
	p->tid = 0;
	if (ok && p->tree) {
		names_clear(&p->tree->durable);
		p->tree->durable = p->names;
		p->names = (struct names){ 0 };
	} else if (ok) {
		object_path(im, ".new", p->object, from);
		object_path(im, "", p->object, to);
		if (rename(from, to) < 0)
			err(1, "%s", to);
	}
	names_clear(&p->names);
}

void
image_created(struct image *im, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	for (size_t i = 0; i < im->n_inodes; i++)
		if (im->inodes[i].ino == st.st_ino)
			im->inodes[i].object = im->n_objects++;
}

/* ----------------------------------------------------------- what is left */

/* Half of what `now` has more than `to`. */
static void
tear(const char *now, const char *to)
{
	int in = open(now, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CLOEXEC);
	struct stat have, want;
	off_t at, end;
	char buf[4096];
	ssize_t n;

	if (in < 0 || out < 0 || fstat(in, &want) < 0 || fstat(out, &have) < 0)
		err(1, "%s", to);
	end = have.st_size + (want.st_size - have.st_size) / 2;
	for (at = have.st_size; at < end; at += n) {
		n = pread(in, buf, MIN2(sizeof(buf), (size_t)(end - at)), at);
		if (n <= 0 || pwrite(out, buf, (size_t)n, at) != n)
			err(1, "%s", to);
	}
	close(in);
	close(out);
}

/* One name. A file that has two keeps them. */
static void
write_name(const struct image *im, const struct tree *t, const char *dir,
    const struct names *l, size_t at, enum image_what what)
{
	char from[PATH_MAX], now[2 * PATH_MAX], to[2 * PATH_MAX];
	char other[2 * PATH_MAX];
	int fd;

	snprintf(to, sizeof(to), "%s/%s", dir, l->v[at].text);
	for (size_t i = 0; i < at; i++) {
		if (l->v[i].object != l->v[at].object)
			continue;
		snprintf(other, sizeof(other), "%s/%s", dir, l->v[i].text);
		if (link(other, to) < 0)
			err(1, "%s", to);
		return;
	}
	object_path(im, "", l->v[at].object, from);
	if (copy_file(from, to) < 0) { /* it was never synced */
		fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			err(1, "%s", to);
		close(fd);
	}
	snprintf(now, sizeof(now), "%s/%s", t->path, l->v[at].text);
	if (what == IMAGE_TORN)
		tear(now, to);
}

/* Takes out of l what is not in `old`. */
static void
drop_new(struct names *l, const struct names *old)
{
	size_t i, j, kept = 0;

	for (i = 0; i < l->n; i++) {
		for (j = 0; j < old->n; j++)
			if (strcmp(l->v[i].text, old->v[j].text) == 0)
				break;
		if (j < old->n)
			l->v[kept++] = l->v[i];
		else
			free(l->v[i].text);
	}
	l->n = kept;
}

void
image_write(struct image *im, const char *out, enum image_what what)
{
	struct names now = { 0 };
	const struct names *l;
	char dir[PATH_MAX];
	const struct tree *t;

	if (mkdir(out, 0700) < 0 && errno != EEXIST)
		err(1, "%s", out);
	for (unsigned i = 0; i < im->n_trees; i++) {
		t = &im->trees[i];
		snprintf(dir, sizeof(dir), "%s/%s", out,
		    strrchr(t->path, '/') + 1);
		if (mkdir(dir, 0700) < 0)
			err(1, "%s", dir);
		l = &t->durable;
		if (what != IMAGE_SYNCED) {
			list_names(im, t->path, &now);
			l = &now;
		}
		if (what == IMAGE_OLD_NAMES)
			drop_new(&now, &t->durable);
		for (size_t j = 0; j < l->n; j++)
			write_name(im, t, dir, l, j, what);
		names_clear(&now);
	}
}
