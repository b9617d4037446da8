/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_load - reads all records at start, and sorts out what is not ours.
 *
 * First everything is read and opened, then it is judged, and only then is
 * anything moved: a start that is refused has touched nothing. It is refused
 * when a file cannot be read at all (the disk, permissions), when a record has
 * the format of a later version, and when no record opens and some are of
 * another key: then it is the key that is wrong, not the records.
 *
 * A state without a list and without a record of the present format is what
 * 0.1.0 left: it is taken as it is, and sealed anew (store_begin).
 */
#include "state/store_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "base/log.h"
#include "lib/seal.h"
#include "state/recfile.h"
#include "state/writer.h"

/* Far more than a seal adds. */
#define FILE_MAX (STORE_RECORD_MAX + 4096)

struct found {
	char *file;
	char *kind, *name; /* NULL: the file name says nothing */
	char *record;      /* "KIND/NAME" */
	bool opened, foreign_key;
	mode_t mode;
	struct seal_info info;
	struct secret plain;
	char *bad; /* why it is not used; NULL: it is */
};

struct load {
	struct store *s;
	int dirfd, quarantine_fd;
	struct found *files;
	size_t n, cap;
	size_t opened, foreign;
	struct tb_error first_foreign;
	struct store_table list;
	uint64_t list_version; /* 0: there is no list */
	uint64_t highest;
};

static void
load_clear(struct load *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct found *f = &l->files[i];

		free(f->file);
		free(f->kind);
		free(f->name);
		free(f->record);
		free(f->bad);
		secret_clear(&f->plain);
	}
	free(l->files);
	store_table_clear(&l->list);
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

/* ------------------------------------------------------------------- list */

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
	*f = (struct found){ .file = xstrdup(file), .plain = SECRET_INIT };
	if (store_parse_file(file, &f->kind, &f->name))
		f->record = store_record_name(f->kind, f->name);
	else
		f->bad = xstrdup("not the name of a record");
}

/* What a crash left half-written: the record it should have become was never
 * reported as saved. */
static bool
is_leftover(const char *file)
{
	return strncmp(file, RECFILE_TMP_PREFIX,
		   strlen(RECFILE_TMP_PREFIX)) == 0 &&
	    (ends_with(file, STORE_SUFFIX RECFILE_TMP_SUFFIX) ||
		ends_with(file, STORE_SUFFIX RECFILE_ROOM_SUFFIX));
}

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
	for (errno = 0; (e = readdir(d)); errno = 0)
		if (e->d_name[0] != '.' && ends_with(e->d_name,
			STORE_SUFFIX) && !streq(e->d_name, STORE_KEYS_FILE))
			load_add(l, e->d_name);
	if (errno)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot list the state directory");
	if (l->n)
		qsort(l->files, l->n, sizeof(l->files[0]), found_cmp);
	return 0;
}

/* How many lie in quarantine/. */
static size_t
count_kept(int dirfd)
{
	int fd = openat(dirfd, STORE_QUARANTINE, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
	DIR *d _cleanup_(closedirp) = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

static struct found *
load_find(struct load *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->files[i].kind, STORE_KIND) &&
		    streq(l->files[i].name, name))
			return &l->files[i];
	return NULL;
}

/* ------------------------------------------------------------------- open */

static int
load_bytes(struct load *l, struct found *f, unsigned char **bytes,
    size_t *len, struct tb_error *err)
{
	struct stat st;

	*bytes = NULL;
	*len = 0;
	if (fstatat(l->dirfd, f->file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot look at record %s", f->file);
	if (!S_ISREG(st.st_mode)) {
		f->bad = xstrdup("not a regular file");
		return 0;
	}
	if (st.st_size > (off_t)FILE_MAX) {
		f->bad = xstrdup("too large to be a record");
		return 0;
	}
	f->mode = st.st_mode & 07777U;
	return recfile_read(l->dirfd, f->file, FILE_MAX, bytes, len, err);
}

static int
load_open(struct load *l, struct found *f, struct tb_error *err)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	struct tb_error why = TB_ERROR_INIT;
	size_t len = 0;

	if (f->bad || f->opened || f->foreign_key)
		return 0;
	if (load_bytes(l, f, &bytes, &len, err) < 0)
		return -1;
	if (f->bad)
		return 0;
	switch (seal_open(l->s->seal, f->record, bytes ? bytes :
	    (const unsigned char *)"", len, &f->info, &f->plain, &why)) {
	case SEAL_OK:
		f->opened = true;
		l->opened++;
		l->highest = MAX2(l->highest, f->info.version);
		return 0;
	case SEAL_FOREIGN_KEY:
		if (l->foreign++ == 0)
			l->first_foreign = why;
		f->foreign_key = true;
		break;
	case SEAL_NEWER:
		*err = why;
		return tb_error_wrap(err, "nothing was changed; go on with "
		    "that version, or restore the state directory of before");
	case SEAL_FOREIGN_STATE:
	case SEAL_DAMAGED:
		break;
	}
	f->bad = xstrdup(why.msg);
	return 0;
}

/* The store's own records first: the origin says which state this is. */
static int
load_open_all(struct load *l, struct tb_error *err)
{
	static const char *const own[] = { STORE_ORIGIN, STORE_LIST };
	struct found *f;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		f = load_find(l, own[i]);
		if (!f)
			continue;
		if (load_open(l, f, err) < 0)
			return -1;
		if (f->opened && !seal_has_state(l->s->seal))
			seal_set_state(l->s->seal, f->info.state);
	}
	for (size_t i = 0; i < l->n; i++)
		if (load_open(l, &l->files[i], err) < 0)
			return -1;
	if (l->foreign && l->opened == 0) {
		*err = l->first_foreign;
		/* another start would find the same */
		err->code = TB_E_CONFIG;
		return tb_error_wrap(err, "wrong master key, or a state "
		    "directory of another installation; nothing was changed; "
		    "put that key back from its copy, or, if it is lost, move "
		    "the state directory away and log in again");
	}
	return 0;
}

/* A change of the master key that has not ended has both keys in a file. What
 * neither opens and nothing needs is put aside. */
static int
load_keys(struct load *l, bool *foreign, struct tb_error *err)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	size_t len;

	if (recfile_read(l->dirfd, STORE_KEYS_FILE, FILE_MAX, &bytes, &len,
		err) < 0)
		return -1;
	return store_rekey_load(l->s, bytes, len, foreign, err);
}

/* ------------------------------------------------------------------ judge */

static void __attribute__((format(printf, 2, 3)))
found_is_bad(struct found *f, const char *fmt, ...)
{
	va_list ap;

	if (f->bad)
		return;
	va_start(ap, fmt);
	f->bad = xvasprintf(fmt, ap);
	va_end(ap);
}

/* 0.1.0 knew no list, and no state. */
static bool
load_is_old(const struct load *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->files[i].opened && l->files[i].info.format > 1)
			return false;
	return true;
}

static void
judge_version(struct load *l, struct found *f)
{
	const struct store_entry *e = store_find(&l->list, f->file);
	uint64_t v = f->info.version;

	if (v > l->list_version && f->info.format == SEAL_FORMAT)
		return; /* put after the list */
	if (!e)
		found_is_bad(f, "it is not in the list of records, as if it "
		    "was deleted and put back: version %llu",
		    (unsigned long long)v);
	else if (v < e->low)
		found_is_bad(f, "it is older than it was: version %llu, "
		    "expected %llu", (unsigned long long)v,
		    (unsigned long long)e->high);
	else if (v > e->high)
		found_is_bad(f, "its version %llu was never written",
		    (unsigned long long)v);
}

static int
load_use_list(struct load *l, struct tb_error *err)
{
	struct found *f = load_find(l, STORE_LIST);

	if (!f || !f->opened) {
		if (!load_is_old(l))
			store_set_quarantine(l->s, f ? "its list of records "
			    "cannot be used, so nobody can tell what is "
			    "missing or old" : "its list of records is gone, "
			    "so nobody can tell what is missing or old");
		return 0;
	}
	if (store_list_decode(&f->plain, &l->list, err) < 0)
		return -1;
	l->list_version = f->info.version;
	for (size_t i = 0; i < l->n; i++)
		if (l->files[i].opened && &l->files[i] != f)
			judge_version(l, &l->files[i]);
	return 0;
}

static int
load_use_origin(struct load *l, struct tb_error *err)
{
	struct found *f = load_find(l, STORE_ORIGIN);
	_cleanup_free_ char *file = store_file_name(STORE_KIND, STORE_ORIGIN);
	const struct store_entry *e = store_find(&l->list, file);

	if (f && f->opened && !f->bad)
		return store_origin_decode(l->s, &f->plain, err);
	if (l->list_version && (f || (e && e->low)))
		store_set_quarantine(l->s, "the record of its origin is gone "
		    "or cannot be used, so nobody can tell whose it is");
	return 0;
}

static void
load_use_fingerprint(struct load *l)
{
	struct found *f = load_find(l, STORE_FINGERPRINT);

	if (f && f->opened && !f->bad && f->plain.len == SEAL_KEY_BYTES)
		seal_set_fingerprint_key(l->s->seal, &f->plain);
	else if (f)
		found_is_bad(f, "it is no key");
}

static void
load_state_id(struct load *l)
{
	unsigned char id[SEAL_STATE_BYTES];

	for (size_t i = 0; !seal_has_state(l->s->seal) && i < l->n; i++)
		if (l->files[i].opened && l->files[i].info.format > 1)
			seal_set_state(l->s->seal, l->files[i].info.state);
	if (seal_has_state(l->s->seal))
		return;
	if (RAND_bytes(id, sizeof(id)) != 1)
		abort();
	seal_set_state(l->s->seal, id);
}

/* -------------------------------------------------------------------- act */

static void
store_add_trouble(struct store *s, const char *record, char *kept,
    const char *why)
{
	s->trouble = xreallocarray(s->trouble, s->n_trouble + 1,
	    sizeof(s->trouble[0]));
	s->trouble[s->n_trouble++] = (struct store_trouble){
		.record = xstrdup(record), .kept = kept, .why = xstrdup(why),
	};
}

/* What a person does about a record that is lost. */
static const char *
advice(const char *kind)
{
	if (streq(kind, "login"))
		return "; its grant is lost here: log in again";
	if (streq(kind, "generation"))
		return "; its value is minted anew when somebody asks, and "
		    "the old one may live on at the service: the audit log "
		    "has its id";
	if (streq(kind, "intent"))
		return "; the service may hold a token that nobody here "
		    "knows: look there for this host's, described with "
		    "[tokenbroker";
	return "";
}

static int
load_open_quarantine(struct load *l, struct tb_error *err)
{
	if (l->quarantine_fd >= 0)
		return 0;
	if (mkdirat(l->dirfd, STORE_QUARANTINE, 0700) < 0 && errno != EEXIST)
		return tb_error_errno(err, TB_E_IO, errno, "cannot make %s",
		    STORE_QUARANTINE);
	l->quarantine_fd = openat(l->dirfd, STORE_QUARANTINE,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (l->quarantine_fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot open %s",
		    STORE_QUARANTINE);
	return 0;
}

/* quarantine/FILE, or FILE.1, FILE.2, ... when it is there already. */
static int
load_quarantine(struct load *l, const char *file, const char *record,
    const char *kind, const char *why, struct tb_error *err)
{
	_cleanup_free_ char *to = xstrdup(file);
	char *kept;

	if (load_open_quarantine(l, err) < 0)
		return -1;
	for (unsigned i = 1; renameat2(l->dirfd, file, l->quarantine_fd, to,
		    RENAME_NOREPLACE) < 0; i++) {
		if (errno != EEXIST || i > 999)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot move %s to %s", file, STORE_QUARANTINE);
		free(to);
		to = xasprintf("%s.%u", file, i);
	}
	kept = xasprintf(STORE_QUARANTINE "/%s", to);
	log_error("store", "%s: moved to %s and not used: %s%s", file, kept,
	    why, advice(kind));
	store_add_trouble(l->s, record ? record : file, kept, why);
	l->s->quarantined++;
	l->s->kept++;
	return 0;
}

static void
load_make_stale(struct store *s, const char *file)
{
	s->stale = xreallocarray(s->stale, s->n_stale + 1,
	    sizeof(s->stale[0]));
	s->stale[s->n_stale++] = xstrdup(file);
}

/* A deletion that a stop interrupted. */
static bool
was_dying(const struct load *l, const struct found *f)
{
	const struct store_entry *e = store_find(&l->list, f->file);

	return e && e->dead && f->opened && f->info.version <= e->high;
}

static int
load_take(struct load *l, struct found *f, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	struct store_entry *e = store_find(&l->list, f->file);

	if (e)
		e->low = 0; /* it is not missing */
	if (was_dying(l, f)) {
		unlinkat(l->dirfd, f->file, 0);
		return 0;
	}
	if (f->bad)
		return load_quarantine(l, f->file, f->record, f->kind, f->bad,
		    err);
	if (streq(f->kind, STORE_KIND) && streq(f->name, STORE_LIST))
		return 0; /* written anew */
	/* the seal vouches for the content; only we should see it, though */
	if (f->mode & 0077)
		log_warn("store", "%s: mode was %04o%s", f->file, f->mode,
		    fchmodat(l->dirfd, f->file, 0600, 0) == 0 ?
		    ", is 0600 now" : " and cannot be set to 0600");
	if (f->info.other_key || f->info.format != SEAL_FORMAT)
		load_make_stale(l->s, f->file);
	e = store_add(&l->s->table, f->file);
	e->low = e->high = e->last = f->info.version;
	if (!streq(f->kind, STORE_KIND))
		found(arg, f->kind, f->name, &f->plain);
	secret_clear(&f->plain);
	return 0;
}

/* What the list knows and nobody found. */
static void
load_missing(struct load *l)
{
	for (size_t i = 0; i < l->list.n; i++) {
		const struct store_entry *e = &l->list.e[i];
		_cleanup_free_ char *kind = NULL, *name = NULL, *record = NULL;

		if (e->dead || e->low == 0 ||
		    !store_parse_file(e->file, &kind, &name))
			continue;
		record = store_record_name(kind, name);
		log_error("store", "%s is gone, deleted or lost by somebody "
		    "else%s", e->file, advice(kind));
		store_add_trouble(l->s, record, NULL, "the file is gone");
		l->s->missing++;
	}
}

static void
load_remove_leftovers(struct load *l)
{
	int fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d _cleanup_(closedirp) = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (is_leftover(e->d_name))
			unlinkat(l->dirfd, e->d_name, 0);
}

static int
load_act(struct load *l, bool keys_foreign, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	load_remove_leftovers(l);
	if (keys_foreign && load_quarantine(l, STORE_KEYS_FILE, NULL, NULL,
	    "it holds keys of another change of the master key", err) < 0)
		return -1;
	for (size_t i = 0; i < l->n; i++)
		if (load_take(l, &l->files[i], found, arg, err) < 0)
			return -1;
	load_missing(l);
	if (l->quarantine_fd >= 0 &&
	    (fsync(l->quarantine_fd) < 0 || fsync(l->dirfd) < 0))
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot sync %s", STORE_QUARANTINE);
	return 0;
}

static int
load_all(struct load *l, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	bool keys_foreign = false;
	size_t own = 0;

	l->s->kept = count_kept(l->dirfd);
	if (load_list(l, err) < 0 || load_keys(l, &keys_foreign, err) < 0 ||
	    load_open_all(l, err) < 0 || load_use_list(l, err) < 0 ||
	    load_use_origin(l, err) < 0)
		return -1;
	load_use_fingerprint(l);
	load_state_id(l);
	for (size_t i = 0; i < l->n; i++)
		own += streq(l->files[i].kind, STORE_KIND);
	for (size_t i = 0; i < l->list.n; i++)
		l->s->version = MAX2(l->s->version, l->list.e[i].high);
	l->s->version = MAX2(l->s->version, l->highest);
	store_origin_judge(l->s, l->list_version, l->highest, l->n == own);
	return load_act(l, keys_foreign, found, arg, err);
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
