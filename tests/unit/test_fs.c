/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/fs on a real directory. Linked with --wrap=fsync,renameat to see what
 * is left when a step fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/tb_error.h"

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int a, const char *b, int c, const char *d);
int __wrap_renameat(int a, const char *b, int c, const char *d);

static int fsync_fails_in; /* the n-th from now; 0: none */
static int fsyncs;
static bool rename_fails;

int
__wrap_fsync(int fd)
{
	fsyncs++;
	if (fsync_fails_in && --fsync_fails_in == 0) {
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

int
__wrap_renameat(int a, const char *b, int c, const char *d)
{
	if (rename_fails) {
		errno = ENOSPC;
		return -1;
	}
	return __real_renameat(a, b, c, d);
}

static char dir[] = "/tmp/test_fs.XXXXXX";
static int dirfd_;

static char *
path(const char *name)
{
	static char buf[2][256];
	static int which;

	which = !which;
	snprintf(buf[which], sizeof(buf[0]), "%s/%s", dir, name);
	return buf[which];
}

static void
put(const char *name, const char *bytes, size_t len, mode_t mode)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
	chmod(path(name), mode);
}

/* How many names there are, ours and forgotten ones. */
static int
count(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void
assert_content(const char *name, const char *want)
{
	_cleanup_free_ char *text = NULL;
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(fs_read_text(path(name), 1000, &text, &err), 0);
	assert_string_equal(text, want);
}

static void
assert_msg(const struct tb_error *err, enum tb_errc code, const char *name,
    const char *rest)
{
	char want[512];

	snprintf(want, sizeof(want), "%s%s", name, rest);
	assert_string_equal(err->msg, want);
	assert_int_equal(err->code, code);
}

static void
test_read(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct secret s = SECRET_INIT;
	char *text = NULL;
	char big[10000];

	put("a", "hello\0you", 9, 0600);
	assert_int_equal(fs_read_secret(path("a"), 9, &s, &err), 0);
	assert_int_equal(s.len, 9);
	assert_memory_equal(secret_reveal(&s), "hello\0you", 9);
	assert_int_equal(fs_read_secret(path("a"), 8, &s, &err), -1);
	assert_msg(&err, TB_E_LIMIT, path("a"), ": it is larger than 8 bytes");
	assert_int_equal(s.len, 9); /* as it was */
	assert_int_equal(fs_read_text(path("a"), 100, &text, &err), -1);
	assert_msg(&err, TB_E_IO, path("a"),
	    ": it is not text: it holds a NUL byte");
	assert_null(text);
	assert_int_equal(fs_read_text(path("none"), 100, &text, &err), -1);
	assert_msg(&err, TB_E_IO, path("none"),
	    ": cannot open it: No such file or directory");
	assert_int_equal(fs_read_text(dir, 100, &text, &err), -1);
	assert_msg(&err, TB_E_IO, dir, ": cannot read it: Is a directory");
	put("empty", "", 0, 0600);
	assert_content("empty", "");
	memset(big, 'x', sizeof(big));
	put("big", big, sizeof(big), 0600);
	assert_int_equal(fs_read_secret(path("big"), sizeof(big), &s, &err), 0);
	assert_int_equal(s.len, sizeof(big));
	assert_int_equal(fs_read_secret(path("big"), sizeof(big) - 1, &s,
	    &err), -1);
	/* a fifo without a writer does not stop us */
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	assert_int_equal(fs_read_secret(path("fifo"), 9, &s, &err), 0);
	assert_int_equal(s.len, 0);
	secret_clear(&s);
}

static void
test_write(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct stat st;
	mode_t mask = umask(0077);

	fsyncs = 0;
	assert_int_equal(fs_write_atomic(dirfd_, "w", 0640, "one", 3, &err), 0);
	umask(mask);
	assert_int_equal(fsyncs, 2); /* file, directory */
	assert_content("w", "one");
	assert_int_equal(stat(path("w"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(fs_write_atomic(dirfd_, "w", 0600, "two!", 4, &err),
	    0);
	assert_content("w", "two!");
	assert_int_equal(count(), 1);
}

static void
test_write_fails(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(fs_write_atomic(dirfd_, "w", 0600, "old", 3, &err), 0);
	fsync_fails_in = 1;
	assert_int_equal(fs_write_atomic(dirfd_, "w", 0600, "new", 3, &err),
	    -1);
	assert_msg(&err, TB_E_IO, "w", ": cannot sync it: Input/output error");
	assert_content("w", "old");
	assert_int_equal(count(), 1);

	rename_fails = true;
	assert_int_equal(fs_write_atomic(dirfd_, "w", 0600, "new", 3, &err),
	    -1);
	rename_fails = false;
	assert_msg(&err, TB_E_IO, "w",
	    ": cannot replace it: No space left on device");
	assert_content("w", "old");
	assert_int_equal(count(), 1);

	fsync_fails_in = 2;
	assert_int_equal(fs_write_atomic(dirfd_, "w", 0600, "new", 3, &err),
	    -1);
	assert_msg(&err, TB_E_IO, "w",
	    ": cannot sync its directory: Input/output error");
	assert_int_equal(fs_write_atomic(dirfd_, "no/such", 0600, "x", 1, &err),
	    -1);
	assert_msg(&err, TB_E_IO, "no/such", ": cannot create its temporary "
	    "file: No such file or directory");
}

static void
test_open_dir(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct stat st;
	mode_t mask = umask(0077);
	int fd;

	fd = fs_open_dir(path("a/b//c"), 0750, 0027, &err);
	umask(mask);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(stat(path("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	fd = fs_open_dir(path("a/b"), 0700, 0027, &err); /* there already */
	assert_true(fd >= 0);
	close(fd);
	chmod(path("a/b"), 0775);
	assert_int_equal(fs_open_dir(path("a/b"), 0700, 0027, &err), -1);
	assert_msg(&err, TB_E_IO, path("a/b"),
	    ": its mode 0775 lets others in: chmod 0750");
	put("f", "x", 1, 0600);
	assert_int_equal(fs_open_dir(path("f"), 0700, 0027, &err), -1);
	assert_msg(&err, TB_E_IO, path("f"), ": cannot open it: Not a "
	    "directory");
	assert_int_equal(fs_open_dir(path("f/g"), 0700, 0027, &err), -1);
	assert_msg(&err, TB_E_IO, path("f/g"), ": cannot create it: Not a "
	    "directory");
	/* with DynamicUser= the state directory is a link */
	chmod(path("a/b"), 0700);
	assert_int_equal(symlink("a/b", path("link")), 0);
	fd = fs_open_dir(path("link"), 0700, 0027, &err);
	assert_true(fd >= 0);
	close(fd);
}

static void
test_check_private(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	put("key", "x", 1, 0600);
	assert_int_equal(fs_check_private(path("key"), 0077, &err), 0);
	chmod(path("key"), 0644);
	assert_int_equal(fs_check_private(path("key"), 0077, &err), -1);
	assert_msg(&err, TB_E_IO, path("key"),
	    ": its mode 0644 lets others in: chmod 0600");
	assert_int_equal(fs_check_private(path("key"), 0022, &err), 0);
	assert_int_equal(fs_check_private(dir, 0, &err), -1);
	assert_msg(&err, TB_E_IO, dir, ": it is not a regular file");
	assert_int_equal(fs_check_private(path("none"), 0, &err), -1);
	assert_msg(&err, TB_E_IO, path("none"),
	    ": cannot look at it: No such file or directory");
	if (geteuid() == 0) {
		chmod(path("key"), 0600);
		assert_int_equal(chown(path("key"), 12345, 0), 0);
		assert_int_equal(fs_check_private(path("key"), 0077, &err), -1);
		assert_msg(&err, TB_E_IO, path("key"),
		    ": it belongs to uid 12345, not to uid 0 or root: chown it");
	}
}

static int
setup(void **state)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fsync_fails_in = 0;
	return dirfd_ < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const left[] = { "a", "empty", "big", "fifo", "w",
		"u", "f", "link", "key" };
	size_t i;

	close(dirfd_);
	for (i = 0; i < ARRAY_SIZE(left); i++)
		unlink(path(left[i]));
	rmdir(path("a/b/c"));
	rmdir(path("a/b"));
	rmdir(path("a"));
	rmdir(path("d"));
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_read),
		T(test_write),
		T(test_write_fails),
		T(test_open_dir),
		T(test_check_private),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
