/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink: where a value may be written, and how it gets there. In /dev/shm, which
 * is in memory, and in the working directory, which (mostly) is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "ctl/sink.h"

static char dir[64], path[96];

static int
set_up(void **state)
{
	struct statfs fs;

	if (statfs("/dev/shm", &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return -1;
	snprintf(dir, sizeof(dir), "/dev/shm/tb-sink.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/token", dir);
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	chmod(dir, 0700);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static int
put(const struct sink *s, const char *text, struct tb_error *err)
{
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;

	*err = (struct tb_error)TB_ERROR_INIT;
	secret_set_str(&v, text);
	return sink_write(s, &v, err);
}

static void
is_content(const char *file, const char *text)
{
	char buf[64] = "";
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

static void
it_is_replaced_in_one_step(void **state)
{
	struct sink s = SINK_INIT;
	struct tb_error err;
	struct stat before, after;
	_cleanup_close_ int open_before = -1;
	char buf[8] = "", command[160];

	s.path = path;
	assert_int_equal(put(&s, "one", &err), 0);
	is_content(path, "one");
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(before.st_mode & 07777, 0600);
	open_before = open(path, O_RDONLY | O_CLOEXEC);
	s.mode = 0640;
	assert_int_equal(put(&s, "twenty", &err), 0);
	is_content(path, "twenty");
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mode & 07777, 0640);
	assert_int_not_equal(before.st_ino, after.st_ino);
	/* who had it open reads what it was, whole */
	assert_int_equal(read(open_before, buf, sizeof(buf)), 3);
	assert_string_equal(buf, "one");
	snprintf(command, sizeof(command), "test \"$(ls -A %s)\" = token",
	    dir);
	assert_int_equal(system(command), 0);
}

static void
what_a_crash_left_is_taken_away(void **state)
{
	struct sink s = SINK_INIT;
	struct tb_error err;
	char left[128];

	s.path = path;
	snprintf(left, sizeof(left), "%s/.token.tokenbroker", dir);
	close(open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(put(&s, "one", &err), 0);
	assert_int_equal(access(left, F_OK), -1);
	is_content(path, "one");
	/* nor does it outlive the file */
	close(open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(sink_remove(&s, &err), 0);
	assert_int_equal(access(left, F_OK), -1);
	assert_int_equal(access(path, F_OK), -1);
}

static void
other_places_are_refused(void **state)
{
	struct sink s = SINK_INIT;
	struct tb_error err = TB_ERROR_INIT;
	char target[128], other[128];

	s.path = path;
	/* a link, even to a good place */
	snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(put(&s, "one", &err), -1);
	assert_non_null(strstr(err.msg, "is a symbolic link"));
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(sink_remove(&s, &err), -1);
	assert_int_equal(unlink(path), 0);
	/* no file */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(put(&s, "one", &err), -1);
	assert_non_null(strstr(err.msg, "is no file"));
	assert_int_equal(rmdir(path), 0);
	/* others may write there */
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(put(&s, "one", &err), -1);
	assert_non_null(strstr(err.msg, "others may write"));
	assert_int_equal(sink_check(&s, &err), -1);
	assert_int_equal(chmod(dir, 01777), 0); /* but not over ours */
	assert_int_equal(put(&s, "one", &err), 0);
	assert_int_equal(chmod(dir, 0700), 0);
	/* no path of a file */
	s.path = "token";
	assert_int_equal(put(&s, "one", &err), -1);
	snprintf(other, sizeof(other), "%s/", dir);
	s.path = other;
	assert_int_equal(put(&s, "one", &err), -1);
	assert_non_null(strstr(err.msg, "absolute path of a file"));
}

static void
a_disk_must_be_allowed(void **state)
{
	struct sink s = SINK_INIT;
	struct tb_error err;
	struct statfs fs;
	char here[] = "/var/tmp/tb-sink.XXXXXX", file[64];

	if (!mkdtemp(here) || statfs(here, &fs) < 0)
		fail();
	snprintf(file, sizeof(file), "%s/token", here);
	s.path = file;
	if (fs.f_type != TMPFS_MAGIC) {
		assert_int_equal(put(&s, "one", &err), -1);
		assert_non_null(strstr(err.msg, "--allow-disk"));
		assert_int_equal(access(file, F_OK), -1);
	}
	s.allow_disk = true;
	assert_int_equal(put(&s, "one", &err), 0);
	is_content(file, "one");
	assert_int_equal(sink_remove(&s, &err), 0);
	assert_int_equal(rmdir(here), 0);
	/* its directory is gone, and it with that */
	assert_int_equal(sink_remove(&s, &err), 0);
}

static void
only_a_file_of_its_owner_is_removed(void **state)
{
	struct sink s = SINK_INIT;
	struct tb_error err;

	s.path = path;
	assert_int_equal(put(&s, "one", &err), 0);
	assert_int_equal(sink_remove(&s, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(sink_remove(&s, &err), 0);
	if (geteuid() == 0) {
		assert_int_equal(put(&s, "one", &err), 0);
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(sink_remove(&s, &err), 0);
		assert_int_equal(access(path, F_OK), 0);
	}
}

static void
owners_and_modes_are_read(void **state)
{
	static const char *const bad_modes[] = { "", "8", "0644", "0700",
		"4600", "-600", "600x", "0604" };
	struct sink s = SINK_INIT;
	struct tb_error err = TB_ERROR_INIT;
	mode_t mode;
	size_t i;

	assert_int_equal(sink_parse_mode("0640", &mode, &err), 0);
	assert_int_equal(mode, 0640);
	assert_int_equal(sink_parse_mode("400", &mode, &err), 0);
	for (i = 0; i < ARRAY_SIZE(bad_modes); i++)
		assert_int_equal(sink_parse_mode(bad_modes[i], &mode, &err),
		    -1);
	assert_int_equal(sink_parse_owner("12:34", &s, &err), 0);
	assert_int_equal(s.uid, 12);
	assert_int_equal(s.gid, 34);
	s = (struct sink)SINK_INIT;
	assert_int_equal(sink_parse_owner("root", &s, &err), 0);
	assert_int_equal(s.uid, 0);
	assert_int_equal(s.gid, 0);
	s = (struct sink)SINK_INIT;
	assert_int_equal(sink_parse_owner(":7", &s, &err), 0);
	assert_true(s.uid == SINK_SAME);
	assert_int_equal(s.gid, 7);
	assert_int_equal(sink_parse_owner("no such user", &s, &err), -1);
	assert_int_equal(sink_parse_owner("root:no such group", &s, &err), -1);
	assert_int_equal(sink_parse_owner(":", &s, &err), -1);
	assert_int_equal(sink_parse_owner("4294967295", &s, &err), -1);
}

static void
the_owner_is_set(void **state)
{
	struct sink s = SINK_INIT;
	struct tb_error err;
	struct stat st;

	if (geteuid() != 0)
		skip();
	s.path = path;
	s.uid = s.gid = 65534;
	s.mode = 0440;
	assert_int_equal(put(&s, "one", &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(st.st_gid, 65534);
	assert_int_equal(st.st_mode & 07777, 0440);
	/* his directory is as good as ours, somebody else's is not */
	assert_int_equal(chown(dir, 65534, 65534), 0);
	assert_int_equal(put(&s, "two", &err), 0);
	s.uid = SINK_SAME;
	assert_int_equal(put(&s, "three", &err), -1);
	assert_non_null(strstr(err.msg, "belongs to uid 65534"));
}

int
main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ONE(it_is_replaced_in_one_step),
		ONE(what_a_crash_left_is_taken_away),
		ONE(other_places_are_refused),
		ONE(a_disk_must_be_allowed),
		ONE(only_a_file_of_its_owner_is_removed),
		cmocka_unit_test(owners_and_modes_are_read),
		ONE(the_owner_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
