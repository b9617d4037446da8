/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_host - what this host's kernel, control groups and clock give us.
 * Features are tried, not guessed from versions.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/doctor.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; not in Debian 12's headers */
#endif

#define MOUNTS_CAP ((size_t)4 << 20)
#define ROOM_FAIL ((uint64_t)4 << 20)
#define ROOM_WARN ((uint64_t)128 << 20)
/* No host that runs this is from before it was written. */
#define YEAR_2025 1735689600

static const char area_kernel[] = "kernel", area_clock[] = "clock",
    area_disk[] = "disk";

/* ----------------------------------------------------------------- kernel */

static bool
has_peerpidfd(void)
{
	int s[2], fd = -1;
	socklen_t len = sizeof(fd);
	bool has;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
		return false;
	has = getsockopt(s[0], SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0 ||
	    errno != ENOPROTOOPT;
	if (fd >= 0)
		close(fd);
	close(s[0]);
	close(s[1]);
	return has;
}

/* PIDFD_GET_INFO in its first size; 4 asks for the cgroup id. */
static bool
has_cgroup_id(void)
{
	struct {
		uint64_t mask, cgroupid;
		uint32_t rest[12];
	} info = { .mask = 4 };
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return fd >= 0 && ioctl(fd, _IOWR(0xFF, 11, info), &info) == 0 &&
	    (info.mask & 4);
}

static void
look_at_kernel(struct doctor *d)
{
	struct utsname u;

	if (uname(&u) < 0)
		u.release[0] = '\0';
	if (has_peerpidfd())
		doctor_add(d, FINDING_OK, area_kernel, NULL, "Linux %s tells "
		    "who is at the other end of a socket (pidfd%s): units are "
		    "known for certain", u.release, has_cgroup_id() ?
		    ", control group" : "");
	else
		doctor_add(d, FINDING_WARN, area_kernel, "a kernel from 6.5 "
		    "on; until then such rules need min_identity = weak "
		    "(LoadCredential= works without)", "Linux %s has no "
		    "pidfd for a socket's peer, so that units are weak and "
		    "rules with unit= do not match on the api door",
		    u.release);
}

/* The options of a mount of that type at that place, or NULL. */
static const char *
find_mount(const char *mounts, const char *type, const char *place)
{
	static char options[256];
	char where[256], what[64];
	const char *s;

	for (s = mounts; s; s = strchr(s, '\n')) {
		s += *s == '\n';
		if (sscanf(s, "%*s %255s %63s %255s", where, what,
		    options) == 3 && strcmp(what, type) == 0 &&
		    (!place || strcmp(where, place) == 0))
			return options;
	}
	return NULL;
}

static void
look_at_mounts(struct doctor *d)
{
	_cleanup_free_ char *mounts = NULL;
	struct tb_error err = TB_ERROR_INIT;
	const char *proc;

	if (fs_read_text("/proc/self/mounts", MOUNTS_CAP, &mounts, &err) < 0) {
		doctor_add(d, FINDING_UNSEEN, area_kernel, NULL, "%s",
		    err.msg);
		return;
	}
	proc = find_mount(mounts, "proc", "/proc");
	if (proc && strstr(proc, "hidepid=") && !strstr(proc, "hidepid=0") &&
	    !strstr(proc, "hidepid=off"))
		doctor_add(d, has_cgroup_id() ? FINDING_OK : FINDING_FAIL,
		    area_kernel, has_cgroup_id() ? NULL : "mount /proc "
		    "without hidepid=, or with its gid= set to the group of "
		    "the daemon", "/proc hides other users' processes (%s)%s",
		    proc, has_cgroup_id() ? "; the kernel tells their control "
		    "group all the same" : ", so that no unit is known");
	if (find_mount(mounts, "cgroup2", "/sys/fs/cgroup"))
		doctor_add(d, FINDING_OK, area_kernel, NULL, "control groups: "
		    "unified");
	else if (find_mount(mounts, "cgroup2", NULL) ||
	    find_mount(mounts, "cgroup", "/sys/fs/cgroup/systemd"))
		doctor_add(d, FINDING_OK, area_kernel, NULL, "control groups: "
		    "%s", find_mount(mounts, "cgroup2", NULL) ? "hybrid" :
		    "legacy");
	else
		doctor_add(d, FINDING_FAIL, area_kernel, "mount cgroup2 at "
		    "/sys/fs/cgroup, as systemd does", "no control groups of "
		    "systemd are mounted: no unit is known");
}

/* ------------------------------------------------------------------ clock */

static void
look_at_clock(struct doctor *d)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);

	if (now_real_s() < YEAR_2025)
		doctor_add(d, FINDING_FAIL, area_clock, "set it (timedatectl "
		    "set-ntp true)", "this host's clock is years behind: "
		    "logins and tokens are judged by it");
	else if (state < 0)
		doctor_add(d, FINDING_UNSEEN, area_clock, NULL,
		    "cannot ask the kernel: %s", strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
		doctor_add(d, FINDING_WARN, area_clock, "timedatectl set-ntp "
		    "true, or chrony; 60 s off are tolerated by default",
		    "this host's clock is not synchronised: logins and tokens "
		    "are judged by it");
	else
		doctor_add(d, FINDING_OK, area_clock, NULL,
		    "synchronised, at most %.1f s off",
		    (double)t.maxerror / 1e6);
}

/* ------------------------------------------------------------------- disk */

static void
look_at_room(struct doctor *d, const char *dir, const char *what)
{
	struct statvfs v;
	uint64_t room;

	if (statvfs(dir, &v) < 0) {
		/* its absence is told where the directory is judged */
		if (errno != ENOENT)
			doctor_add(d, FINDING_UNSEEN, area_disk, NULL,
			    "%s: %s", dir, strerror(errno));
		return;
	}
	room = (uint64_t)v.f_bavail * v.f_frsize;
	if (v.f_flag & ST_RDONLY)
		doctor_add(d, FINDING_FAIL, area_disk, "mount it read-write",
		    "%s is on a read-only file system: %s", dir, what);
	else if (room < ROOM_FAIL || (v.f_files && v.f_favail < 16))
		doctor_add(d, FINDING_FAIL, area_disk, "make room",
		    "%s: %" PRIu64 " kB and %" PRIu64 " files are left: %s",
		    dir, room >> 10, (uint64_t)v.f_favail, what);
	else if (room < ROOM_WARN)
		doctor_add(d, FINDING_WARN, area_disk, "make room before it "
		    "is full", "%s: %" PRIu64 " MB are left", dir,
		    room >> 20);
	else
		doctor_add(d, FINDING_OK, area_disk, NULL, "%s: %" PRIu64
		    " MB are left", dir, room >> 20);
}

void
doctor_host(struct doctor *d)
{
	struct stat st;

	d->has_systemd = stat("/run/systemd/system", &st) == 0;
	look_at_kernel(d);
	look_at_mounts(d);
	look_at_clock(d);
	look_at_room(d, d->state_dir, "nothing new can be kept, and so "
	    "nothing minted");
	look_at_room(d, d->log_dir, "nothing can be recorded, and so nothing "
	    "released");
}
