/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_proc - see the header. The order is what makes it safe: the pidfd is
 * there first, /proc is read next, and only then is the pidfd asked whether
 * its process still lives. If it does, its number cannot have been another's
 * in between.
 */
#include "serve/peer_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/util.h"
#include "serve/cgroup.h"

#define CGROUP_MOUNT_MAX 32
#define PROC_TEXT_MAX 8192
/* A symbolic link for each running unit, to no file but to its id. */
#define UNITS "/run/systemd/units"
#define INVOCATION UNITS "/invocation:"
#define INVOCATION_LEN 32

/* Linux 6.13; the headers of Debian 12 are older. The first version of the
 * struct, which later kernels take as well. */
struct pidfd_info0 {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid,
	    fsgid;
	int32_t exit_code;
};
#define PIDFD_GET_INFO0 _IOWR(0xFF, 11, struct pidfd_info0)
#define INFO_PID 1u
#define INFO_CREDS 2u
#define INFO_CGROUPID 4u

void
peer_proc_cache_init(struct peer_proc_cache *c)
{
	/* the second is where a hybrid system has it */
	static const char *const mounts[] = { "/sys/fs/cgroup",
		"/sys/fs/cgroup/unified" };
	struct statfs fs;
	size_t i;

	*c = (struct peer_proc_cache){ .mount = NULL };
	for (i = 0; i < ARRAY_SIZE(mounts) && !c->mount; i++)
		if (statfs(mounts[i], &fs) == 0 &&
		    fs.f_type == CGROUP2_SUPER_MAGIC)
			c->mount = mounts[i];
}

void
peer_proc_cache_clear(struct peer_proc_cache *c)
{
	size_t i;

	for (i = 0; i < PEER_PROC_CACHE; i++) {
		free(c->entries[i].path);
		free(c->entries[i].unit);
	}
	memset(c->entries, 0, sizeof(c->entries));
}

bool
peer_proc_is_alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	/* a signal to us says nothing about the peer */
	return TEMP_FAILURE_RETRY(poll(&p, 1, 0)) == 0;
}

uint64_t
peer_proc_cgroup_id(int pidfd, bool *gone)
{
	struct pidfd_info0 info = { .mask = INFO_PID | INFO_CREDS |
		INFO_CGROUPID };

	*gone = false;
	if (ioctl(pidfd, PIDFD_GET_INFO0, &info) < 0) {
		*gone = errno == ESRCH;
		return 0;
	}
	*gone = !(info.mask & INFO_PID);
	return info.mask & INFO_CGROUPID ? info.cgroupid : 0;
}

/* Bytes read, NUL-terminated; -1 with errno. */
static ssize_t
read_proc(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t r;

	if (fd < 0)
		return -1;
	while (n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) != 0) {
		if (r < 0)
			return -1;
		n += (size_t)r;
	}
	buf[n] = '\0';
	return (ssize_t)n;
}

static bool
is_no_descriptor(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOMEM;
}

/* The numbers of a line "Name:\t1 2 3"; their count, 0 without the line. */
static size_t
proc_numbers(const char *text, const char *name, long long *out, size_t max)
{
	const char *line = strstr(text, name);
	size_t n = 0;
	char *end;

	if (!line)
		return 0;
	line += strlen(name);
	while (n < max) {
		while (*line == ' ' || *line == '\t')
			line++;
		if (*line == '\n' || !*line)
			break;
		out[n++] = strtoll(line, &end, 10);
		if (end == line)
			return n - 1;
		line = end;
	}
	return n;
}

/* The pids of the process, ours first, one per nested pid namespace. Asked of
 * our own descriptor: that needs no right to look at the process. */
static enum peer_proc_result
read_nesting(int pidfd, pid_t pid, bool *container)
{
	char path[64], text[1024];
	long long pids[2];
	size_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (read_proc(path, text, sizeof(text)) < 0)
		return is_no_descriptor(errno) ? PEER_PROC_BUSY :
		    PEER_PROC_GONE;
	n = proc_numbers(text, "\nNSpid:", pids, 2);
	*container = n != 1;
	if (pid == 0)
		*container = true;
	else if (n == 0 || pids[0] != pid)
		return PEER_PROC_GONE;
	return PEER_PROC_OK;
}

static bool
inode_is(const struct peer_proc_cache *c, const char *path, uint64_t id)
{
	char full[CGROUP_PATH_MAX + CGROUP_MOUNT_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", c->mount, path);
	return stat(full, &st) == 0 && st.st_ino == id;
}

static bool
cache_find(struct peer_proc_cache *c, uint64_t id, struct principal *who)
{
	size_t i = id % PEER_PROC_CACHE;

	if (!id || c->entries[i].id != id ||
	    !inode_is(c, c->entries[i].path, id))
		return false;
	str_set(&who->unit, c->entries[i].unit);
	return true;
}

static void
cache_put(struct peer_proc_cache *c, uint64_t id, const char *path,
    const char *unit)
{
	size_t i = id % PEER_PROC_CACHE;

	c->entries[i].id = id;
	str_set(&c->entries[i].path, path);
	str_set(&c->entries[i].unit, unit);
}

char *
peer_proc_invocation(const char *unit)
{
	char path[sizeof(INVOCATION) + CGROUP_UNIT_MAX], id[INVOCATION_LEN + 1];
	ssize_t n;

	if (!unit)
		return NULL;
	snprintf(path, sizeof(path), INVOCATION "%s", unit);
	n = readlink(path, id, sizeof(id));
	if (n != INVOCATION_LEN)
		return NULL;
	id[n] = '\0';
	return strspn(id, "0123456789abcdef") == INVOCATION_LEN ?
	    xstrdup(id) : NULL;
}

bool
peer_proc_run_is_over(const char *unit, const char *invocation)
{
	char path[sizeof(INVOCATION) + CGROUP_UNIT_MAX], id[INVOCATION_LEN + 1];
	ssize_t n;

	if (strlen(unit) >= CGROUP_UNIT_MAX)
		return false;
	snprintf(path, sizeof(path), INVOCATION "%s", unit);
	n = readlink(path, id, sizeof(id));
	if (n < 0) /* and it is systemd that took it away */
		return errno == ENOENT && access(UNITS, F_OK) == 0;
	return n == INVOCATION_LEN &&
	    memcmp(id, invocation, INVOCATION_LEN) != 0;
}

/* The unit by /proc/PID/cgroup. No unit is an answer, too. */
static enum peer_proc_result
read_unit(struct peer_proc_cache *c, uint64_t id, struct principal *who)
{
	char file[64], text[PROC_TEXT_MAX], unit[CGROUP_UNIT_MAX];
	struct cgroup_path path;
	bool found, checked;
	ssize_t n;

	str_set(&who->unit, NULL);
	if (cache_find(c, id, who))
		return PEER_PROC_OK;
	snprintf(file, sizeof(file), "/proc/%ld/cgroup", (long)who->pid);
	n = read_proc(file, text, sizeof(text));
	if (n < 0) {
		who->unit_hidden = true;
		return is_no_descriptor(errno) ? PEER_PROC_BUSY : PEER_PROC_OK;
	}
	if (!cgroup_parse(text, (size_t)n, &path))
		return PEER_PROC_OK;
	/* of the other hierarchy the id says nothing, so it is no proof later
	 * that everything is as it was */
	if (!path.unified)
		who->cgroup_id = 0;
	checked = id && path.unified && c->mount;
	if (checked && !inode_is(c, path.path, id))
		return PEER_PROC_OK; /* it moved while we looked, or lies */
	found = cgroup_unit(path.path, unit);
	if (found)
		who->unit = xstrdup(unit);
	if (checked)
		cache_put(c, id, path.path, found ? unit : NULL);
	return PEER_PROC_OK;
}

enum peer_proc_result
peer_proc_attest(struct peer_proc_cache *c, int pidfd,
    enum principal_strength strength, struct principal *who)
{
	enum peer_proc_result r;
	uint64_t id;
	bool gone;

	r = read_nesting(pidfd, who->pid, &who->container);
	if (r != PEER_PROC_OK)
		return r;
	id = peer_proc_cgroup_id(pidfd, &gone);
	if (gone)
		return PEER_PROC_GONE;
	who->cgroup_id = id;
	if (!who->container) {
		r = read_unit(c, id, who);
		if (r != PEER_PROC_OK)
			return r;
		who->invocation = peer_proc_invocation(who->unit);
	}
	if (!peer_proc_is_alive(pidfd))
		return PEER_PROC_GONE;
	/* moved to another group meanwhile: then the text may be either's */
	if (peer_proc_cgroup_id(pidfd, &gone) != id) {
		str_set(&who->unit, NULL);
		str_set(&who->invocation, NULL);
	}
	if (gone)
		return PEER_PROC_GONE;
	who->strength = who->unit ? strength : PRINCIPAL_UNKNOWN;
	return PEER_PROC_OK;
}

/* Fields of a line are real, effective, saved, file system. */
static long long
effective_id(const char *text, const char *name)
{
	long long ids[4];

	return proc_numbers(text, name, ids, 4) == 4 ? ids[1] : -1;
}

enum peer_proc_result
peer_proc_ids(pid_t pid, struct principal *who)
{
	char path[64], text[PROC_TEXT_MAX];
	long long groups[512], uid, gid;
	size_t i, n;

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	if (read_proc(path, text, sizeof(text)) < 0)
		return is_no_descriptor(errno) ? PEER_PROC_BUSY :
		    PEER_PROC_GONE;
	uid = effective_id(text, "\nUid:");
	gid = effective_id(text, "\nGid:");
	if (uid < 0 || gid < 0)
		return PEER_PROC_GONE;
	n = proc_numbers(text, "\nGroups:", groups, ARRAY_SIZE(groups));
	who->pid = pid;
	who->uid = (uid_t)uid;
	who->gid = (gid_t)gid;
	who->groups = xcalloc(n, sizeof(gid_t));
	for (i = 0; i < n; i++)
		who->groups[i] = (gid_t)groups[i];
	who->n_groups = n;
	return PEER_PROC_OK;
}
