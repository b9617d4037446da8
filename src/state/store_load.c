/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_load - reads all records at start, and sorts out what is not ours.
 *
 * What does not open (cut short, altered, renamed, of another key) goes to
 * quarantine/, where a person can look at it. Two things are no reason for
 * that and stop the start instead, with nothing moved: a file that cannot be
 * read at all (the disk, permissions), and a directory in which every record
 * is of another key: then it is the key that is wrong, not the records.
 */
#include "state/store_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "lib/seal.h"
#include "state/recfile.h"
#include "state/writer.h"

/* Far more than a seal adds. */
#define FILE_MAX (STORE_RECORD_MAX + 4096)

struct found {
	char *file;
	char *kind, *name;
	char *record; /* "KIND/NAME"; NULL: the file name says nothing */
};

struct load {
	struct store *s;
	int dirfd, quarantine_fd;
	struct found *files;
	size_t n, cap;
	size_t opened;
	size_t *foreign; /* indices, room for n */
	size_t n_foreign;
	struct tb_error first_foreign;
};

static void
load_clear(struct load *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		free(l->files[i].file);
		free(l->files[i].kind);
		free(l->files[i].name);
		free(l->files[i].record);
	}
	free(l->files);
	free(l->foreign);
	if (l->quarantine_fd >= 0)
		close(l->quarantine_fd);
}

static void
closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The inverse of strbuf_add_percent; NULL when it is none or holds a NUL. */
static char *
percent_decode(const char *s, size_t len)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;
	int c;

	for (i = 0; i < len; i++) {
		if (s[i] != '%') {
			strbuf_addc(&b, s[i]);
			continue;
		}
		if (i + 2 >= len || hex_digit(s[i + 1]) < 0 ||
		    hex_digit(s[i + 2]) < 0)
			return NULL;
		c = hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]);
		if (c == 0)
			return NULL;
		strbuf_addc(&b, (char)c);
		i += 2;
	}
	return b.len ? strbuf_steal(&b) : NULL;
}

/* Only the one spelling we write ourselves counts, or two files could claim
 * one name. */
static void
parse_file_name(struct found *f)
{
	const char *dot = strchr(f->file, '.');
	size_t len = strlen(f->file) - strlen(STORE_SUFFIX);
	_cleanup_free_ char *kind = NULL, *name = NULL, *again = NULL;

	if ((size_t)(dot - f->file) >= len)
		return;
	kind = xstrndup(f->file, (size_t)(dot - f->file));
	name = percent_decode(dot + 1, len - strlen(kind) - 1);
	if (!name || !store_is_kind(kind))
		return;
	again = store_file_name(kind, name);
	if (!streq(again, f->file))
		return;
	f->record = store_record_name(kind, name);
	f->kind = STEAL(kind);
	f->name = STEAL(name);
}

static int
found_cmp(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (!x->record || !y->record)
		return (y->record != NULL) - (x->record != NULL);
	return strcmp(x->record, y->record);
}

static void
load_add(struct load *l, const char *file)
{
	struct found *f;

	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->files = xreallocarray(l->files, l->cap,
		    sizeof(l->files[0]));
	}
	f = &l->files[l->n++];
	*f = (struct found){ .file = xstrdup(file) };
	parse_file_name(f);
}

/* Lists the records, and removes what a crash left half-written: the record
 * it should have become was never reported as saved. */
static int
load_list(struct load *l, struct tb_error *err)
{
	int fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d _cleanup_(closedirp) = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		tb_error_errno(err, TB_E_IO, errno,
		    "cannot list the state directory");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	for (errno = 0; (e = readdir(d)); errno = 0) {
		if (strncmp(e->d_name, RECFILE_TMP_PREFIX,
			strlen(RECFILE_TMP_PREFIX)) == 0) {
			if (ends_with(e->d_name,
				STORE_SUFFIX RECFILE_TMP_SUFFIX))
				unlinkat(l->dirfd, e->d_name, 0);
		} else if (ends_with(e->d_name, STORE_SUFFIX)) {
			load_add(l, e->d_name);
		}
	}
	if (errno)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot list the state directory");
	if (l->n)
		qsort(l->files, l->n, sizeof(l->files[0]), found_cmp);
	l->foreign = xcalloc(l->n, sizeof(l->foreign[0]));
	return 0;
}

/* quarantine/FILE, or FILE.1, FILE.2, ... when it is there already. */
static int
load_quarantine(struct load *l, const struct found *f, const char *why,
    struct tb_error *err)
{
	_cleanup_free_ char *to = xstrdup(f->file);
	unsigned i;

	if (l->quarantine_fd < 0) {
		if (mkdirat(l->dirfd, STORE_QUARANTINE, 0700) < 0 &&
		    errno != EEXIST)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot make %s", STORE_QUARANTINE);
		l->quarantine_fd = openat(l->dirfd, STORE_QUARANTINE,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (l->quarantine_fd < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot open %s", STORE_QUARANTINE);
	}
	for (i = 1; renameat2(l->dirfd, f->file, l->quarantine_fd, to,
		    RENAME_NOREPLACE) < 0; i++) {
		if (errno != EEXIST || i > 999)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot move %s to %s", f->file,
			    STORE_QUARANTINE);
		free(to);
		to = xasprintf("%s.%u", f->file, i);
	}
	log_error("store", "%s: moved to %s/%s and not used: %s", f->file,
	    STORE_QUARANTINE, to, why);
	l->s->quarantined++;
	return 0;
}

/* The bytes; NULL with *why set when what they are cannot be a record, NULL
 * with err set when they cannot be had. */
static unsigned char *
load_bytes(struct load *l, const struct found *f, size_t *len,
    const char **why, struct tb_error *err)
{
	_cleanup_close_ int fd = openat(l->dirfd, f->file,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ unsigned char *bytes = NULL;
	struct stat st;
	size_t got = 0;
	ssize_t n;

	if (fd < 0 && errno == ELOOP) {
		*why = "not a regular file";
		return NULL;
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot open record %s",
		    f->file);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX) {
		*why = S_ISREG(st.st_mode) ? "too large" : "not a regular file";
		return NULL;
	}
	/* the seal vouches for the content; only we should see it, though */
	if (st.st_mode & 0077) {
		log_warn("store", "%s: mode was %04o, is 0600 now", f->file,
		    st.st_mode & 07777U);
		fchmod(fd, 0600);
	}
	bytes = xcalloc(1, (size_t)st.st_size + 1);
	while (got < (size_t)st.st_size) {
		n = read(fd, bytes + got, (size_t)st.st_size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			tb_error_errno(err, TB_E_IO, errno,
			    "cannot read record %s", f->file);
			return NULL;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*len = got;
	return STEAL(bytes);
}

static int
load_one(struct load *l, size_t i, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	const struct found *f = &l->files[i];
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ unsigned char *bytes = NULL;
	struct tb_error why = TB_ERROR_INIT;
	const char *not_a_record = NULL;
	uint64_t version = 0;
	size_t len = 0;

	if (!f->record)
		return load_quarantine(l, f, "not the name of a record", err);
	bytes = load_bytes(l, f, &len, &not_a_record, err);
	if (not_a_record)
		return load_quarantine(l, f, not_a_record, err);
	if (!bytes)
		return -1;
	switch (seal_open(l->s->seal, f->record, bytes, len, &version, &plain,
	    &why)) {
	case SEAL_OK:
		l->opened++;
		l->s->version = MAX2(l->s->version, version);
		store_add_name(l->s, f->record);
		found(arg, f->kind, f->name, &plain);
		return 0;
	case SEAL_FOREIGN_KEY:
		if (l->n_foreign == 0)
			l->first_foreign = why;
		l->foreign[l->n_foreign++] = i;
		return 0;
	case SEAL_DAMAGED:
		break;
	}
	return load_quarantine(l, f, why.msg, err);
}

static int
load_foreign(struct load *l, struct tb_error *err)
{
	size_t i;

	if (l->n_foreign && l->opened == 0) {
		*err = l->first_foreign;
		return tb_error_wrap(err, "wrong master key, or a state "
		    "directory of another installation");
	}
	for (i = 0; i < l->n_foreign; i++)
		if (load_quarantine(l, &l->files[l->foreign[i]],
			"sealed with another master key", err) < 0)
			return -1;
	return 0;
}

static int
load_all(struct load *l, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	size_t i;

	if (load_list(l, err) < 0)
		return -1;
	for (i = 0; i < l->n; i++)
		if (load_one(l, i, found, arg, err) < 0)
			return -1;
	if (load_foreign(l, err) < 0)
		return -1;
	if (l->quarantine_fd >= 0 &&
	    (fsync(l->quarantine_fd) < 0 || fsync(l->dirfd) < 0))
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot sync %s", STORE_QUARANTINE);
	return 0;
}

int
store_load(struct store *s, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	struct load l = { .s = s, .dirfd = writer_state_dirfd(s->writer),
		.quarantine_fd = -1 };
	int r = load_all(&l, found, arg, err);

	load_clear(&l);
	return r;
}
