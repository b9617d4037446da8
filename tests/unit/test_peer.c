/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestation on the kernel that runs the test. What needs root or a writable
 * cgroup hierarchy is skipped without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "serve/peer.h"
#include "serve/peer_proc.h"

/* Other kernels than the one that runs the test: 0 is this one, else the
 * error of SO_PEERPIDFD and of PIDFD_GET_INFO. */
static int no_peerpidfd, no_info;

int __real_getsockopt(int fd, int level, int name, void *value,
    socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value,
    socklen_t *len);
int __real_ioctl(int fd, unsigned long cmd, void *arg);
int __wrap_ioctl(int fd, unsigned long cmd, void *arg);
ssize_t __real_readlink(const char *path, char *buf, size_t size);
ssize_t __wrap_readlink(const char *path, char *buf, size_t size);

int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (name == 77 && level == SOL_SOCKET && no_peerpidfd) {
		errno = no_peerpidfd;
		return -1;
	}
	return __real_getsockopt(fd, level, name, value, len);
}

int
__wrap_ioctl(int fd, unsigned long cmd, void *arg)
{
	if (no_info) {
		errno = no_info;
		return -1;
	}
	return __real_ioctl(fd, cmd, arg);
}

/* systemd's record of a unit's invocation: what the link says, or NULL. */
static const char *link_text;

ssize_t
__wrap_readlink(const char *path, char *buf, size_t size)
{
	static const char dir[] = "/run/systemd/units/invocation:";
	size_t n;

	if (strncmp(path, dir, sizeof(dir) - 1) != 0)
		return __real_readlink(path, buf, size);
	if (!link_text || strcmp(path + sizeof(dir) - 1, "a.service") != 0) {
		errno = ENOENT;
		return -1;
	}
	n = MIN2(strlen(link_text), size);
	memcpy(buf, link_text, n);
	return (ssize_t)n;
}

/* Is there systemd's directory of them? */
static bool has_systemd;

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);

int
__wrap_access(const char *path, int mode)
{
	if (strcmp(path, "/run/systemd/units") == 0)
		return has_systemd ? 0 : -1;
	return __real_access(path, mode);
}

static struct peer_table *table;

static int
setup(void **state)
{
	log_set_level(LOG_L_ERROR);
	table = peer_table_new();
	no_peerpidfd = no_info = 0;
	link_text = NULL;
	return 0;
}

static int
teardown(void **state)
{
	peer_table_free(table);
	return 0;
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A listening socket at an abstract address, for children to connect to. */
static int
listen_at(struct sockaddr_un *sun)
{
	static unsigned serial;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(sun->sun_path + 1, sizeof(sun->sun_path) - 1,
	    "tb-test-peer-%d-%u", getpid(), serial++);
	assert_int_equal(bind(fd, (struct sockaddr *)sun, sizeof(*sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* A child that does `before`, connects, does `after`, and then waits until the
 * other end closes. The accepted connection is returned. */
typedef void child_fn(void);

static pid_t child;

static int
connect_child(child_fn *before, child_fn *after)
{
	struct sockaddr_un sun;
	int lfd = listen_at(&sun), fd;
	char byte;

	child = fork();
	if (child == 0) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (before)
			before();
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
			_exit(1);
		if (after)
			after();
		(void)!write(fd, "x", 1);
		(void)!read(fd, &byte, 1);
		_exit(0);
	}
	fd = accept(lfd, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(lfd);
	return fd;
}

static void
end_child(int fd)
{
	close(fd);
	waitpid(child, NULL, 0);
}

static void
knows_itself(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(peer_attest(table, pair[0], &p, &err), PEER_OK);
	assert_int_equal(p->who.uid, geteuid());
	assert_int_equal(p->who.gid, getegid());
	assert_int_equal(p->who.pid, getpid());
	assert_int_equal(p->who.n_groups, getgroups(0, NULL));
	assert_false(p->who.container);
	assert_true(peer_is_alive(p));
	assert_true(peer_is_sender(p, getpid(), geteuid()));
	assert_false(peer_is_sender(p, getpid() + 1, geteuid()));
	assert_false(peer_is_sender(p, getpid(), geteuid() + 1));
	peer_unref(p);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(peer_probe(table, &err), 0);
}

static void
shares_one_descriptor_per_process(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *peers[20];
	int pairs[20][2], i;
	unsigned before;

	for (i = 0; i < 20; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0,
		    pairs[i]), 0);
	before = open_descriptors();
	for (i = 0; i < 20; i++) {
		assert_int_equal(peer_attest(table, pairs[i][0], &peers[i],
		    &err), PEER_OK);
		if (peers[0]->who.cgroup_id)
			assert_ptr_equal(peers[i], peers[0]);
	}
	if (peers[0]->who.cgroup_id)
		assert_int_equal(open_descriptors(), before + 1);
	for (i = 0; i < 20; i++) {
		peer_unref(peers[i]);
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
}

static void
become_nobody(void)
{
	gid_t groups[] = { 4001, 4002 };

	if (setgroups(2, groups) < 0 || setgid(65534) < 0 ||
	    setuid(65534) < 0)
		_exit(1);
}

static void
keeps_who_connected(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	int fd;

	if (getuid() != 0)
		skip();
	fd = connect_child(become_nobody, NULL);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	assert_int_equal(p->who.uid, 65534);
	assert_int_equal(p->who.gid, 65534);
	assert_int_equal(p->who.n_groups, 2);
	assert_true(principal_in_group(&p->who, 4002));
	assert_false(principal_in_group(&p->who, 0));
	peer_unref(p);
	end_child(fd);
	/* changing the uid later changes nothing but the sender */
	fd = connect_child(NULL, become_nobody);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	assert_int_equal(p->who.uid, 0);
	assert_false(peer_is_sender(p, child, 65534));
	peer_unref(p);
	end_child(fd);
}

static void
exit_soon(void)
{
	/* a child of ours keeps the connection open */
	if (fork() != 0)
		_exit(0);
}

static void
refuses_the_dead(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	int fd = connect_child(NULL, exit_soon);

	waitpid(child, NULL, 0);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_GONE);
	assert_null(p);
	close(fd);
}

static void
notices_death(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	int fd = connect_child(NULL, NULL);

	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	assert_int_equal(p->who.pid, child);
	assert_true(peer_is_alive(p));
	kill(child, SIGKILL);
	/* not yet waited for: a zombie asks for nothing any more */
	while (peer_is_alive(p))
		usleep(1000);
	waitpid(child, NULL, 0);
	assert_false(peer_is_alive(p));
	peer_unref(p);
	close(fd);
}

/* Without descriptors we cannot tell who it is; that is no old kernel. */
static void
says_when_descriptors_are_out(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct rlimit old, low;
	int fd = connect_child(NULL, NULL), held[64], n = 0;
	struct peer *p;

	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 32;
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 64 && (held[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_BUSY);
	/* one is enough for the pidfd, not for /proc */
	close(held[--n]);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_BUSY);
	while (n > 0)
		close(held[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	peer_unref(p);
	end_child(fd);
}

static void
enter_pid_namespace(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0)
		_exit(1);
	/* only a child of ours is in it */
	pid = fork();
	if (pid != 0) {
		waitpid(pid, NULL, 0);
		_exit(0);
	}
}

static void
tells_a_container(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	int fd;

	if (getuid() != 0)
		skip();
	fd = connect_child(enter_pid_namespace, NULL);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	assert_true(p->who.container);
	assert_null(p->who.unit);
	assert_int_equal(p->who.strength, PRINCIPAL_UNKNOWN);
	assert_int_not_equal(p->who.pid, child);
	peer_unref(p);
	end_child(fd);
}

/* ------------------------------------------------------------------- units */

static char group_dir[512];

static void
enter_group(void)
{
	char path[600];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group_dir);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%d", getpid()) < 0 || fclose(f) != 0)
		_exit(1);
}

/* Makes MOUNT/PATH, every component. False: the hierarchy is not ours. */
static bool
make_group(const char *path)
{
	struct peer_proc_cache c;
	char *s;

	peer_proc_cache_init(&c);
	if (!c.mount)
		return false;
	snprintf(group_dir, sizeof(group_dir), "%s%s", c.mount, path);
	s = group_dir + strlen(c.mount) + 1;
	while ((s = strchr(s, '/'))) {
		*s = '\0';
		if (mkdir(group_dir, 0755) < 0 && errno != EEXIST)
			return false;
		*s++ = '/';
	}
	return mkdir(group_dir, 0755) == 0 || errno == EEXIST;
}

static void
remove_group(const char *path)
{
	char *slash;
	size_t n = strlen(group_dir) - strlen(path);

	while (strlen(group_dir) > n) {
		rmdir(group_dir);
		slash = strrchr(group_dir, '/');
		*slash = '\0';
	}
}

static void
finds_the_unit(void **state)
{
	static const struct {
		const char *path, *unit;
	} cases[] = {
		{ "/tbtest.slice/a.service", "a.service" },
		/* delegated, and imitating another unit */
		{ "/tbtest.slice/mine.service/payroll.service",
		    "mine.service" },
		{ "/tbtest.slice/_memory.service", "memory.service" },
		{ "/tbtest.slice", NULL },
		{ "/tbtest", NULL },
	};
	struct tb_error err = TB_ERROR_INIT;
	struct principal who = PRINCIPAL_INIT;
	struct peer *p;
	size_t i, pass;
	int fd;

	if (getuid() != 0 || !make_group("/tbtest.slice"))
		skip();
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(make_group(cases[i].path));
		/* the second time the cache answers */
		for (pass = 0; pass < 2; pass++) {
			fd = connect_child(enter_group, NULL);
			assert_int_equal(peer_attest(table, fd, &p, &err),
			    PEER_OK);
			if (cases[i].unit) {
				assert_string_equal(p->who.unit,
				    cases[i].unit);
				assert_int_equal(p->who.strength,
				    PRINCIPAL_STRONG);
			} else {
				assert_null(p->who.unit);
				assert_int_equal(p->who.strength,
				    PRINCIPAL_UNKNOWN);
			}
			/* explain sees the same */
			assert_int_equal(peer_of_pid(table, child, &who,
			    &err), 0);
			assert_int_equal(who.uid, 0);
			assert_true(streq(who.unit, p->who.unit));
			assert_int_equal(who.strength, p->who.strength);
			peer_unref(p);
			end_child(fd);
		}
		remove_group(cases[i].path);
	}
	principal_clear(&who);
}

#define RUN "0123456789abcdef0123456789abcdef"

static void
tells_the_invocation(void **state)
{
	static const char *const bad[] = { NULL, "", RUN "0", "x",
		"0123456789ABCDEF0123456789abcdef" };
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	size_t i;
	char *id;
	int fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		link_text = bad[i];
		assert_null(peer_proc_invocation("a.service"));
	}
	assert_null(peer_proc_invocation(NULL));
	link_text = RUN;
	id = peer_proc_invocation("a.service");
	assert_string_equal(id, RUN);
	free(id);
	if (getuid() != 0 || !make_group("/tbtest.slice/a.service"))
		skip();
	fd = connect_child(enter_group, NULL);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	assert_string_equal(p->who.invocation, RUN);
	peer_unref(p);
	end_child(fd);
	remove_group("/tbtest.slice/a.service");
}

static void
tells_the_end_of_a_run(void **state)
{
	static const char other[] = "fedcba9876543210fedcba9876543210";
	char unit[300];

	/* nobody there who would take the link away */
	has_systemd = false;
	assert_false(peer_proc_run_is_over("a.service", RUN));
	has_systemd = true;
	assert_true(peer_proc_run_is_over("a.service", RUN));
	link_text = RUN;
	assert_false(peer_proc_run_is_over("a.service", RUN));
	assert_true(peer_proc_run_is_over("a.service", other));
	link_text = "x";
	assert_false(peer_proc_run_is_over("a.service", RUN));
	memset(unit, 'u', sizeof(unit) - 1);
	unit[sizeof(unit) - 1] = '\0';
	assert_false(peer_proc_run_is_over(unit, RUN));
}

/* Linux before 6.5, before 6.13, and what either says of a peer that is gone:
 * that must not be taken for an older kernel. */
static void
knows_other_kernels(void **state)
{
	static const struct {
		int no_peerpidfd, no_info;
		enum peer_result result;
		enum principal_strength strength;
		bool id;
	} cases[] = {
		{ 0, ENOTTY, PEER_OK, PRINCIPAL_STRONG, false },
		{ EINVAL, ENOTTY, PEER_GONE, 0, false },
		{ ESRCH, 0, PEER_GONE, 0, false },
		{ ENODATA, 0, PEER_GONE, 0, false },
		{ EMFILE, 0, PEER_BUSY, 0, false },
		{ 0, 0, PEER_OK, PRINCIPAL_STRONG, true },
		{ ENOPROTOOPT, 0, PEER_OK, PRINCIPAL_WEAK, true },
		{ ENOPROTOOPT, ENOTTY, PEER_OK, PRINCIPAL_WEAK, false },
		/* what is not there does not come back */
		{ 0, 0, PEER_OK, PRINCIPAL_WEAK, true },
	};
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	size_t i;
	int fd;

	if (getuid() != 0 || !make_group("/tbtest.slice/a.service"))
		skip();
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		no_peerpidfd = no_info = 0;
		fd = connect_child(enter_group, NULL);
		no_peerpidfd = cases[i].no_peerpidfd;
		no_info = cases[i].no_info;
		if (peer_attest(table, fd, &p, &err) != cases[i].result)
			fail_msg("case %zu: %s", i, err.msg);
		if (cases[i].result == PEER_OK) {
			assert_string_equal(p->who.unit, "a.service");
			assert_int_equal(p->who.strength, cases[i].strength);
			assert_int_equal(p->who.cgroup_id != 0, cases[i].id);
			assert_true(peer_is_alive(p));
			peer_unref(p);
		}
		end_child(fd);
	}
	remove_group("/tbtest.slice/a.service");
}

static void
enter_cgroup_namespace(void)
{
	if (unshare(CLONE_NEWCGROUP) < 0)
		_exit(1);
}

/* It still shows its full path to us, and cannot choose it. */
static void
is_not_fooled_by_a_cgroup_namespace(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct peer *p;
	int fd;

	if (getuid() != 0 || !make_group("/tbtest.slice/b.service"))
		skip();
	fd = connect_child(enter_group, enter_cgroup_namespace);
	assert_int_equal(peer_attest(table, fd, &p, &err), PEER_OK);
	assert_string_equal(p->who.unit, "b.service");
	peer_unref(p);
	end_child(fd);
	remove_group("/tbtest.slice/b.service");
}

static void
explains_only_what_is_there(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct principal who = PRINCIPAL_INIT;

	assert_int_equal(peer_of_pid(table, 4194305, &who, &err), -1);
	assert_string_equal(err.msg, "there is no process 4194305");
	assert_int_equal(peer_of_pid(table, 0, &who, &err), -1);
	assert_int_equal(peer_of_pid(table, -1, &who, &err), -1);
	assert_int_equal(peer_of_pid(table, getpid(), &who, &err), 0);
	assert_int_equal(who.uid, geteuid());
	assert_int_equal(who.pid, getpid());
	principal_clear(&who);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(knows_itself),
		T(shares_one_descriptor_per_process),
		T(keeps_who_connected),
		T(refuses_the_dead),
		T(notices_death),
		T(says_when_descriptors_are_out),
		T(tells_a_container),
		T(finds_the_unit),
		T(is_not_fooled_by_a_cgroup_namespace),
		T(tells_the_invocation),
		T(tells_the_end_of_a_run),
		T(knows_other_kernels),
		T(explains_only_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
