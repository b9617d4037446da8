/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer - see the header. SO_PEERPIDFD is the anchor. A kernel that does not
 * know it (ENOPROTOOPT, and no other error) leaves pidfd_open(2) on the number
 * of SO_PEERCRED; between connect and that, the number may have changed hands,
 * so a unit found that way is weak. Any other error means that the peer is
 * gone or that we are out of descriptors: taking it for an old kernel would
 * switch the check off exactly when it matters.
 */
#include "serve/peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "serve/peer_proc.h"
#include "serve/verdict.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; not in Debian 12's headers */
#endif

#define BUCKETS 1024
#define GROUPS_USUAL 64
#define GROUPS_MAX 65536
#define LABEL_MAX 256

LIST_HEAD(peer_list, peer);

struct peer_table {
	struct peer_list buckets[BUCKETS]; /* by pid */
	struct peer_proc_cache cgroups;
	bool has_peerpidfd; /* as far as we know */
	bool has_labels;
	size_t n;
};

struct peer_table *
peer_table_new(void)
{
	struct peer_table *t = xnew(struct peer_table);

	peer_proc_cache_init(&t->cgroups);
	t->has_peerpidfd = true;
	t->has_labels = true;
	return t;
}

void
peer_table_free(struct peer_table *t)
{
	if (!t)
		return;
	if (t->n)
		abort(); /* a connection outlives its table: our bug */
	peer_proc_cache_clear(&t->cgroups);
	free(t);
}

static struct peer_list *
bucket_of(struct peer_table *t, pid_t pid)
{
	return &t->buckets[(unsigned)pid % BUCKETS];
}

void
peer_unref(struct peer *p)
{
	if (!p || --p->refs)
		return;
	if (p->table) {
		LIST_REMOVE(p, link);
		p->table->n--;
	}
	if (p->pidfd >= 0)
		close(p->pidfd);
	principal_clear(&p->who);
	free(p->verdicts);
	free(p);
}

static void
peer_unrefp(struct peer **p)
{
	peer_unref(*p);
}

bool
peer_is_alive(const struct peer *p)
{
	return p->pidfd < 0 || peer_proc_is_alive(p->pidfd);
}

bool
peer_is_sender(const struct peer *p, pid_t pid, uid_t uid)
{
	return p->who.pid == pid && p->who.uid == uid;
}

/* ----------------------------------------------- what the socket remembers */

static enum peer_result
read_cred(int fd, struct principal *who, struct tb_error *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "SO_PEERCRED");
		return PEER_FAILED;
	}
	who->pid = cred.pid;
	who->uid = cred.uid;
	who->gid = cred.gid;
	return PEER_OK;
}

static enum peer_result
read_groups(int fd, struct principal *who, struct tb_error *err)
{
	gid_t usual[GROUPS_USUAL], *all _cleanup_free_ = NULL, *groups = usual;
	socklen_t len = sizeof(usual);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, usual, &len) < 0) {
		/* len is what it takes */
		if (errno != ERANGE || len > GROUPS_MAX * sizeof(gid_t)) {
			tb_error_errno(err, TB_E_IO, errno, "SO_PEERGROUPS");
			return PEER_FAILED;
		}
		groups = all = xcalloc(len / sizeof(gid_t), sizeof(gid_t));
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &len) < 0) {
			tb_error_errno(err, TB_E_IO, errno, "SO_PEERGROUPS");
			return PEER_FAILED;
		}
	}
	who->n_groups = len / sizeof(gid_t);
	if (who->n_groups) {
		who->groups = xcalloc(who->n_groups, sizeof(gid_t));
		memcpy(who->groups, groups, len);
	}
	return PEER_OK;
}

/* Only where a security module gives one. */
static void
read_label(struct peer_table *t, int fd, struct principal *who)
{
	char label[LABEL_MAX];
	socklen_t len = sizeof(label) - 1;

	if (!t->has_labels)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERSEC, label, &len) < 0) {
		if (errno == ENOPROTOOPT)
			t->has_labels = false;
		return;
	}
	label[len] = '\0';
	if (*label)
		who->selinux = xstrdup(label);
}

static enum peer_result
no_pidfd(int e, struct tb_error *err)
{
	tb_error_errno(err, TB_E_DENIED, e, "no pidfd of the peer");
	return e == EMFILE || e == ENFILE || e == ENOMEM ? PEER_BUSY :
	    PEER_GONE;
}

static enum peer_result
open_pidfd(struct peer_table *t, int fd, pid_t pid, int *pidfd,
    enum principal_strength *strength, struct tb_error *err)
{
	socklen_t len = sizeof(*pidfd);

	*strength = PRINCIPAL_STRONG;
	if (t->has_peerpidfd) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, pidfd, &len) == 0)
			return PEER_OK;
		*pidfd = -1;
		if (errno != ENOPROTOOPT)
			return no_pidfd(errno, err);
		t->has_peerpidfd = false;
	}
	*strength = PRINCIPAL_WEAK;
	if (pid <= 0)
		return no_pidfd(ESRCH, err);
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return *pidfd < 0 ? no_pidfd(errno, err) : PEER_OK;
}

/* ---------------------------------------------------------------- sharing */

/* Everything that came from the socket. */
static bool
is_same_asker(const struct principal *a, const struct principal *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid &&
	    a->n_groups == b->n_groups &&
	    (a->n_groups == 0 || memcmp(a->groups, b->groups,
		a->n_groups * sizeof(gid_t)) == 0) &&
	    streq(a->selinux, b->selinux);
}

/* Two living processes never have one number: when both pidfds are alive and
 * the number is the same, so is the process. With the cgroup id unchanged it
 * is in the same unit, and nothing needs to be read again. */
static struct peer *
find_shared(struct peer_table *t, const struct peer *fresh)
{
	struct peer *p;
	bool gone;

	LIST_FOREACH(p, bucket_of(t, fresh->who.pid), link) {
		if (p->pidfd < 0 || fresh->who.pid <= 0 ||
		    !is_same_asker(&p->who, &fresh->who) ||
		    p->who.cgroup_id == 0)
			continue;
		if (peer_proc_cgroup_id(fresh->pidfd, &gone) !=
		    p->who.cgroup_id || gone)
			return NULL;
		if (peer_proc_is_alive(fresh->pidfd) &&
		    peer_proc_is_alive(p->pidfd))
			return p;
	}
	return NULL;
}

static enum peer_result
attest_unit(struct peer_table *t, struct peer *p,
    enum principal_strength strength, struct tb_error *err)
{
	switch (peer_proc_attest(&t->cgroups, p->pidfd, strength, &p->who)) {
	case PEER_PROC_OK:
		return PEER_OK;
	case PEER_PROC_BUSY:
		tb_error_set(err, TB_E_LIMIT, "no descriptors left");
		return PEER_BUSY;
	case PEER_PROC_GONE:
		break;
	}
	tb_error_set(err, TB_E_DENIED, "the peer has exited");
	return PEER_GONE;
}

enum peer_result
peer_attest(struct peer_table *t, int fd, struct peer **out,
    struct tb_error *err)
{
	struct peer *p _cleanup_(peer_unrefp) = xnew(struct peer), *shared;
	enum principal_strength strength;
	enum peer_result r;

	*out = NULL;
	p->refs = 1;
	p->pidfd = -1;
	p->who = (struct principal)PRINCIPAL_INIT;
	r = read_cred(fd, &p->who, err);
	if (r == PEER_OK)
		r = open_pidfd(t, fd, p->who.pid, &p->pidfd, &strength, err);
	if (r == PEER_OK)
		r = read_groups(fd, &p->who, err);
	if (r != PEER_OK)
		return r;
	read_label(t, fd, &p->who);
	shared = find_shared(t, p);
	if (shared) {
		shared->refs++;
		*out = shared;
		return PEER_OK;
	}
	r = attest_unit(t, p, strength, err);
	if (r != PEER_OK)
		return r;
	p->table = t;
	t->n++;
	LIST_INSERT_HEAD(bucket_of(t, p->who.pid), p, link);
	*out = STEAL(p);
	return PEER_OK;
}

/* ------------------------------------------------------ probe and explain */

/* PID 1 is in init.scope, on every system whose units could be told. */
static void
probe_proc(void)
{
	if (access("/proc/1/cgroup", R_OK) < 0)
		log_warn("peer", "control groups of other users cannot be read "
		    "(%s: is /proc mounted with hidepid, or ProtectProc= "
		    "set?): rules with unit= match nobody at the api door, "
		    "and at the credential door only uid 0 is proven",
		    strerror(errno));
}

int
peer_probe(struct peer_table *t, struct tb_error *err)
{
	struct peer *p _cleanup_(peer_unrefp) = NULL;
	int pair[2];
	enum peer_result r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "socketpair");
	r = peer_attest(t, pair[0], &p, err);
	close(pair[0]);
	close(pair[1]);
	if (r != PEER_OK)
		return tb_error_wrap(err, "this kernel does not tell who "
		    "connects (pidfd_open is Linux 5.3, /proc must be "
		    "mounted)");
	log_info("peer", "the kernel attests uid, gid, groups%s%s%s%s",
	    t->has_peerpidfd ? ", pidfd of the connector" : "",
	    p->who.cgroup_id ? ", cgroup id" : "",
	    t->has_labels ? ", security label" : "",
	    !p->who.unit ? "; this process runs in no unit" : "");
	probe_proc();
	if (!t->has_peerpidfd)
		log_warn("peer", "this kernel has no SO_PEERPIDFD (Linux 6.5): "
		    "units are weak, and rules with unit= need "
		    "min_identity = weak");
	return 0;
}

int
peer_of_pid(struct peer_table *t, pid_t pid, struct principal *out,
    struct tb_error *err)
{
	struct principal who _cleanup_(principal_clear) = PRINCIPAL_INIT;
	_cleanup_close_ int pidfd = -1;

	errno = ESRCH;
	if (pid > 0)
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 && errno == ESRCH)
		return tb_error_set(err, TB_E_BADREQ,
		    "there is no process %ld", (long)pid);
	if (pidfd < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot look at process %ld", (long)pid);
	if (peer_proc_ids(pid, &who) != PEER_PROC_OK ||
	    peer_proc_attest(&t->cgroups, pidfd, t->has_peerpidfd ?
		PRINCIPAL_STRONG : PRINCIPAL_WEAK, &who) != PEER_PROC_OK)
		return tb_error_set(err, TB_E_BADREQ,
		    "process %ld is gone or cannot be looked at", (long)pid);
	principal_clear(out);
	*out = who;
	who = (struct principal)PRINCIPAL_INIT;
	return 0;
}
