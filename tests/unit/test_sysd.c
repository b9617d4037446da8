/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/sysd.h"

/* A socket like systemd's; its address goes to $NOTIFY_SOCKET. */
static int
listen_notify(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un, (socklen_t)
	    (offsetof(struct sockaddr_un, sun_path) + n)), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static const char *
received(int fd)
{
	static char buf[512];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void
test_notify(void **state)
{
	char path[64];
	const char *text;
	int i, fd;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%d.sock",
		    i ? "@test_sysd." : "/tmp/test_sysd.", (int)getpid());
		fd = listen_notify(path);
		sysd_notify("READY=1\nSTATUS=%d tokens", 3);
		assert_string_equal(received(fd), "READY=1\nSTATUS=3 tokens");
		sysd_notify_reloading();
		text = received(fd);
		assert_memory_equal(text, "RELOADING=1\nMONOTONIC_USEC=", 27);
		assert_true(strtoll(text + 27, NULL, 10) > 0);
		close(fd);
		unlink(path);
	}
	/* none, or one that makes no sense: silence */
	setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	sysd_notify("READY=1");
	unsetenv("NOTIFY_SOCKET");
	sysd_notify("READY=1");
}

static void
test_watchdog(void **state)
{
	char pid[32];

	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(sysd_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(sysd_watchdog_ms(), 15000);
	setenv("WATCHDOG_USEC", "100", 1);
	assert_int_equal(sysd_watchdog_ms(), 1);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(sysd_watchdog_ms(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(sysd_watchdog_ms(), 1);
	setenv("WATCHDOG_USEC", "30s", 1);
	assert_int_equal(sysd_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "", 1);
	assert_int_equal(sysd_watchdog_ms(), 0);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
}

/* In a child: descriptors 3, 4 and 5 are what systemd would leave there. */
static int
child_listen(const char *fds, const char *names, bool other_pid,
    const char *want)
{
	char pid[32], got[256] = "";
	struct sysd_fd *out;
	size_t n, i;
	int status;
	pid_t child = fork();

	if (child) {
		assert_int_equal(waitpid(child, &status, 0), child);
		return status;
	}
	for (i = 3; i < 100; i++)
		close((int)i);
	for (i = 3; i < 6; i++)
		if (open("/dev/null", O_RDONLY) != (int)i)
			_exit(2);
	snprintf(pid, sizeof(pid), "%d", (int)getpid() + other_pid);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", fds, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	n = sysd_listen_fds(&out);
	for (i = 0; i < n; i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got),
		    "%d=%s ", out[i].fd, out[i].name);
		if (!(fcntl(out[i].fd, F_GETFD) & FD_CLOEXEC))
			_exit(3);
	}
	sysd_fds_free(out, n);
	if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") ||
	    getenv("LISTEN_FDNAMES"))
		_exit(4);
	_exit(strcmp(got, want) == 0 ? 0 : 5);
}

static void
test_listen_fds(void **state)
{
	assert_int_equal(child_listen("3", "api:admin:credential", false,
	    "3=api 4=admin 5=credential "), 0);
	assert_int_equal(child_listen("2", "api", false, "3=api 4= "), 0);
	assert_int_equal(child_listen("1", NULL, false, "3= "), 0);
	assert_int_equal(child_listen("1", "", false, "3= "), 0);
	assert_int_equal(child_listen("2", ":b", false, "3= 4=b "), 0);
	assert_int_equal(child_listen("3", "a:b:c", true, ""), 0);
	assert_int_equal(child_listen("0", NULL, false, ""), 0);
	assert_int_equal(child_listen("-1", NULL, false, ""), 0);
	assert_int_equal(child_listen("x", NULL, false, ""), 0);
	assert_int_equal(child_listen("999999999", NULL, false, ""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_listen_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
