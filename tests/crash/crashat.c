/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crashat - kills a running program with SIGKILL at one of its system calls.
 *
 *	crashat --pid PID --dir DIR [--label PORT=NAME]... (--trace | KILL)
 *	KILL: --at "fsync state/.login.ops.tbr.tmp" --nth K (--before|--after)
 *	      [--hold MS] [--cut synced|names|torn|old-names --out OUT
 *	                   --tree DIR/state --tree DIR/log]
 *
 * It attaches to all threads, prints READY, and writes down every crash point
 * (point.h) from then on. A point is named by its text and by how often that
 * text came up, not by its place in the whole list: threads take turns
 * differently each time.
 *
 * --before: the call is not made. Its thread is held in front of it for MS
 * milliseconds while all others go on, and only then the whole program dies:
 * whatever should have waited for this call shows that it did not. --after:
 * the call is made, and the program dies before it sees the result.
 *
 * --cut also writes to OUT what a power cut at that moment would have left of
 * the trees, in one of four ways (image.h).
 *
 * At the end (killed; or SIGTERM, which leaves the program alone, but for what
 * is held) it prints a line per point, in the order of their beginnings, with
 * tabs: done|begun|killed, K, thread, text; then HIT, NOT REACHED or TRACED.
 * Exit status: 0, 3 not reached, 77 this kernel or user may not trace, 1 else.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/util.h"
#include "image.h"
#include "point.h"

#define THREADS_MAX 256
#define EXIT_NOT_REACHED 3
#define EXIT_MAY_NOT 77

enum progress { BEGUN, DONE, KILLED };

struct seen {
	struct point point;
	unsigned nth;
	enum progress progress;
	char thread[16];
};

struct thread {
	pid_t tid; /* 0: free */
	ssize_t in; /* the point whose call is being made; -1: none */
	bool excl;  /* it makes a file that was not there */
};

struct driver {
	struct point_target target;
	const char *at;
	unsigned nth;
	bool after, trace;
	int hold_ms;
	int cut; /* an image_what, or -1 */
	const char *out;
	const char *trees[4];
	unsigned n_trees;
	struct image *image;
	struct thread threads[THREADS_MAX];
	struct seen *seen;
	size_t n_seen;
	bool hit, killed;
	int64_t kill_at_ms; /* 0: nothing is held */
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ----------------------------------------------------------------- threads */

static struct thread *
thread_of(struct driver *d, pid_t tid)
{
	struct thread *unused = NULL;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (d->threads[i].tid == tid)
			return &d->threads[i];
		if (!d->threads[i].tid && !unused)
			unused = &d->threads[i];
	}
	if (!unused)
		errx(1, "more than %d threads", THREADS_MAX);
	*unused = (struct thread){ .tid = tid, .in = -1 };
	return unused;
}

/* How many threads were new. */
static unsigned
attach_new(struct driver *d)
{
	const long how = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
	char path[64];
	DIR *dir;
	const struct dirent *e;
	unsigned n = 0;
	pid_t tid;

	snprintf(path, sizeof(path), "/proc/%d/task", d->target.pid);
	dir = opendir(path);
	if (!dir)
		err(1, "%s", path);
	while ((e = readdir(dir))) {
		tid = (pid_t)strtol(e->d_name, NULL, 10);
		/* the second time round EPERM says: it is ours already */
		if (tid <= 0 || ptrace(PTRACE_SEIZE, tid, NULL, how) < 0) {
			if (tid > 0 && n == 0 && errno == EPERM &&
			    !d->threads[0].tid)
				err(EXIT_MAY_NOT, "process %d cannot be traced",
				    d->target.pid);
			continue;
		}
		if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 &&
		    errno != ESRCH)
			err(1, "PTRACE_INTERRUPT");
		thread_of(d, tid);
		n++;
	}
	closedir(dir);
	return n;
}

/* The stops are left for run() to see. What a thread was doing when it was
 * interrupted is done by then, so nothing changes under image_new(). */
static void
await_stopped(const struct driver *d)
{
	siginfo_t info;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (!d->threads[i].tid)
			continue;
		while (waitid(P_PID, (id_t)d->threads[i].tid, &info,
			   WSTOPPED | WEXITED | WNOWAIT | __WALL) < 0 &&
		    errno == EINTR)
			;
	}
}

static void
resume(pid_t tid, int sig)
{
	/* ESRCH: it has died meanwhile */
	if (ptrace(PTRACE_SYSCALL, tid, NULL, (long)sig) < 0 && errno != ESRCH)
		err(1, "PTRACE_SYSCALL");
}

/* ------------------------------------------------------------------ points */

static void
kill_all(struct driver *d)
{
	d->killed = true;
	d->kill_at_ms = 0;
	kill(d->target.pid, SIGKILL);
}

static void
read_comm(pid_t pid, pid_t tid, char out[16])
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
	f = fopen(path, "r");
	if (!f || !fgets(out, 16, f))
		out[0] = '\0';
	if (f)
		fclose(f);
	out[strcspn(out, "\n")] = '\0';
}

static struct seen *
add_seen(struct driver *d, pid_t tid, const struct point *p)
{
	struct seen *s;
	unsigned nth = 1;

	for (size_t i = 0; i < d->n_seen; i++)
		nth += strcmp(d->seen[i].point.text, p->text) == 0;
	d->seen = xreallocarray(d->seen, d->n_seen + 1, sizeof(d->seen[0]));
	s = &d->seen[d->n_seen++];
	*s = (struct seen){ .point = *p, .nth = nth };
	read_comm(d->target.pid, tid, s->thread);
	return s;
}

static bool
is_the_one(const struct driver *d, const struct seen *s)
{
	return !d->trace && !d->hit && s->nth == d->nth &&
	    strcmp(s->point.text, d->at) == 0;
}

static void
fd_name(const struct driver *d, long fd, char out[64])
{
	snprintf(out, 64, "/proc/%d/fd/%ld", d->target.pid, fd);
}

/* False: the thread is to be held where it is. */
static bool
on_entry(struct driver *d, struct thread *t,
    const struct __ptrace_syscall_info *info)
{
	const uint64_t *args = (const uint64_t *)info->entry.args;
	struct point p = { 0 };
	struct seen *s;
	char name[64];

	t->in = -1;
	if (!point_of_call(&d->target, info->entry.nr, args, &p))
		return true;
	s = add_seen(d, t->tid, &p);
	t->in = (ssize_t)d->n_seen - 1;
	t->excl = p.kind == POINT_CREATE &&
	    (args[info->entry.nr == SYS_openat ? 2 : 1] & O_EXCL);
	if (is_the_one(d, s) && !d->after) {
		d->hit = true;
		d->kill_at_ms = now_ms() + d->hold_ms;
		s->progress = KILLED;
		return false;
	}
	if (d->image && p.kind == POINT_SYNC) {
		fd_name(d, p.fd, name);
		image_sync_begin(d->image, t->tid, name);
	}
	return true;
}

static bool
on_exit_of_call(struct driver *d, struct thread *t,
    const struct __ptrace_syscall_info *info)
{
	struct seen *s = t->in < 0 ? NULL : &d->seen[t->in];
	char name[64];

	t->in = -1;
	if (!s)
		return true;
	s->progress = DONE;
	if (d->image && s->point.kind == POINT_SYNC) {
		image_sync_end(d->image, t->tid, !info->exit.is_error);
	} else if (d->image && t->excl && !info->exit.is_error) {
		fd_name(d, (long)info->exit.rval, name);
		image_created(d->image, name);
	}
	if (is_the_one(d, s)) {
		d->hit = true;
		s->progress = KILLED;
		kill_all(d);
		return false;
	}
	return true;
}

static bool
on_syscall(struct driver *d, struct thread *t)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) < 0)
		return errno == ESRCH;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		return on_entry(d, t, &info);
	if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		return on_exit_of_call(d, t, &info);
	return true;
}

/* -------------------------------------------------------------------- loop */

static void
on_stop(struct driver *d, pid_t tid, int status)
{
	struct thread *t = thread_of(d, tid);
	int sig = WSTOPSIG(status), event = status >> 16;

	if (d->killed) /* it is dying, wherever it stands */
		return;
	if (sig == (SIGTRAP | 0x80)) {
		if (on_syscall(d, t))
			resume(tid, 0);
	} else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
		ptrace(PTRACE_LISTEN, tid, NULL, NULL);
	} else {
		resume(tid, event ? 0 : sig);
	}
}

/* Takes what the kernel has to tell. False: the program is gone. */
static bool
take_events(struct driver *d)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		if (WIFSTOPPED(status))
			on_stop(d, tid, status);
		else
			thread_of(d, tid)->tid = 0;
	}
	return tid == 0;
}

/* Until the program is killed and gone, has gone by itself, or a SIGTERM. */
static void
run(struct driver *d, const sigset_t *wanted)
{
	struct timespec wait = { 1, 0 };
	int64_t left;

	while (take_events(d)) {
		left = d->kill_at_ms ? d->kill_at_ms - now_ms() : 1000;
		if (left <= 0) {
			kill_all(d);
			left = 1000;
		}
		wait.tv_sec = left / 1000;
		wait.tv_nsec = left % 1000 * 1000000L;
		if (sigtimedwait(wanted, NULL, &wait) != SIGTERM)
			continue;
		if (!d->hit)
			return;
	}
}

static void
report(const struct driver *d)
{
	static const char *const words[] = { "begun", "done", "killed" };

	for (size_t i = 0; i < d->n_seen; i++)
		printf("%s\t%u\t%s\t%s\n", words[d->seen[i].progress],
		    d->seen[i].nth, d->seen[i].thread,
		    d->seen[i].point.text);
	puts(d->trace ? "TRACED" : d->hit ? "HIT" : "NOT REACHED");
	fflush(stdout);
}

static void
add_label(struct driver *d, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || d->target.n_labels == POINT_LABELS)
		errx(2, "--label PORT=NAME, at most %d", POINT_LABELS);
	*equals = '\0';
	d->target.labels[d->target.n_labels].port = text;
	d->target.labels[d->target.n_labels++].name = equals + 1;
}

static int
parse_cut(const char *word)
{
	static const char *const words[] = {
		[IMAGE_SYNCED] = "synced",
		[IMAGE_NAMES] = "names",
		[IMAGE_TORN] = "torn",
		[IMAGE_OLD_NAMES] = "old-names",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i], word) == 0)
			return (int)i;
	errx(2, "--cut synced, names, torn or old-names");
}

static const struct option options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "dir", required_argument, NULL, 'd' },
	{ "label", required_argument, NULL, 'l' },
	{ "trace", no_argument, NULL, 't' },
	{ "at", required_argument, NULL, 'a' },
	{ "nth", required_argument, NULL, 'n' },
	{ "before", no_argument, NULL, 'B' },
	{ "after", no_argument, NULL, 'A' },
	{ "hold", required_argument, NULL, 'h' },
	{ "cut", required_argument, NULL, 'c' },
	{ "out", required_argument, NULL, 'o' },
	{ "tree", required_argument, NULL, 'T' },
	{ NULL, 0, NULL, 0 },
};

static void
take_option(struct driver *d, int c)
{
	switch (c) {
	case 'p':
		d->target.pid = (pid_t)strtol(optarg, NULL, 10);
		break;
	case 'd':
		d->target.dir = optarg;
		break;
	case 'l':
		add_label(d, optarg);
		break;
	case 't':
		d->trace = true;
		break;
	case 'a':
		d->at = optarg;
		break;
	case 'n':
		d->nth = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 'B':
	case 'A':
		d->after = c == 'A';
		break;
	case 'h':
		d->hold_ms = (int)strtol(optarg, NULL, 10);
		break;
	case 'c':
		d->cut = parse_cut(optarg);
		break;
	case 'o':
		d->out = optarg;
		break;
	case 'T':
		if (d->n_trees < ARRAY_SIZE(d->trees))
			d->trees[d->n_trees++] = optarg;
		break;
	default:
		exit(2);
	}
}

static void
parse(struct driver *d, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(d, c);
	if (d->target.pid <= 0 || !d->target.dir || (!d->trace && !d->at) ||
	    (d->cut >= 0 && !d->out))
		errx(2, "usage: see the beginning of crashat.c");
}

int
main(int argc, char **argv)
{
	struct driver d = { .nth = 1, .cut = -1 };
	sigset_t wanted;

	parse(&d, argc, argv);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	d.target.pidfd = (int)syscall(SYS_pidfd_open, d.target.pid, 0);
	if (d.target.pidfd < 0)
		err(errno == ENOSYS ? EXIT_MAY_NOT : 1, "pidfd_open");
	while (attach_new(&d) > 0)
		;
	if (d.cut >= 0) {
		await_stopped(&d);
		d.image = image_new(d.out, d.trees, d.n_trees);
	}
	puts("READY");
	fflush(stdout);
	run(&d, &wanted);
	if (d.image && d.hit)
		image_write(d.image, d.out, (enum image_what)d.cut);
	report(&d);
	if (d.image)
		image_free(d.image);
	free(d.seen);
	return d.trace || d.hit ? 0 : EXIT_NOT_REACHED;
}
