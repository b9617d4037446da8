/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - the load generator of `make bench`: a closed loop of 1 to 10,000
 * connections over AF_UNIX, one thread, epoll. A slot asks, waits for all of
 * the answer, checks it, and asks again; latency is from the first byte out
 * (or from connect(2), where every request has a connection of its own) to the
 * last byte in.
 *
 * Modes: `keep` HTTP on kept connections; `connect` HTTP, a connection per
 * request, closed by us; `eof` a text, then read to end of file (oidc-agent);
 * `raw` nothing is sent, read to end of file (systemd's LoadCredential=; the
 * name of what is wanted is our own address, see -N).
 *
 * With -B every connection is a thread that blocks, as most real clients do: a
 * server with a short queue (listen(2)) then holds them up in connect(2), where
 * the loop, which is turned away, would try again at once.
 *
 * An answer that differs from the first one in status or length is bad, and
 * one bad answer makes the exit status 1: speed counts only for right answers.
 * The result is one line of name=value. CPU is what the kernel says of each
 * thread of the servers (schedstat), in nanoseconds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hist.h"

#define PIDS_MAX 8
#define HEAD_MAX 2048
#define EVENTS 512
#define STUCK_S 30

enum mode { MODE_KEEP, MODE_CONNECT, MODE_EOF, MODE_RAW };

struct slot {
	int fd; /* -1: not connected */
	bool busy;
	uint64_t since;  /* when it asked */
	size_t got;      /* bytes of the answer */
	size_t whole;    /* how long it will be, 0: not known yet */
	unsigned status;
	char head[HEAD_MAX];
	/* with -B */
	pthread_t thread;
	struct hist *hist;
};

static struct {
	enum mode mode;
	const char *path, *name;
	char *request;
	size_t request_len;
	int conns;
	double seconds, warm_up;
	uint64_t max; /* requests to measure, 0: by time only */
	long pids[PIDS_MAX];
	int n_pids;
	unsigned status; /* expected; 0: whatever the first one has */
	size_t len;
	bool blocking;
} opt = { .conns = 1, .seconds = 1, .warm_up = 0.3 };

static struct slot *slots;
static int ep, connected;
static struct hist hist;
static uint64_t asked, answered, bad, retries;
static bool measuring, draining;
static _Thread_local char sink[65536];

static void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ------------------------------------------------------------ the servers */

static uint64_t
thread_ns(long pid, const char *tid)
{
	char path[128], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/task/%.20s/schedstat", pid,
	    tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0; /* a thread that has just ended */
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoull(text, NULL, 10);
}

static uint64_t
cpu_ns(void)
{
	uint64_t sum = 0;
	char path[64];
	struct dirent *e;
	DIR *d;
	int i;

	for (i = 0; i < opt.n_pids; i++) {
		snprintf(path, sizeof(path), "/proc/%ld/task", opt.pids[i]);
		d = opendir(path);
		if (!d)
			die(path);
		while ((e = readdir(d)))
			if (e->d_name[0] != '.')
				sum += thread_ns(opt.pids[i], e->d_name);
		closedir(d);
	}
	return sum;
}

static long
rss_kb(void)
{
	char path[64], line[128];
	long sum = 0, kb;
	FILE *f;
	int i;

	for (i = 0; i < opt.n_pids; i++) {
		snprintf(path, sizeof(path), "/proc/%ld/status", opt.pids[i]);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "VmRSS: %ld", &kb) == 1)
				sum += kb;
		if (f)
			fclose(f);
	}
	return sum;
}

/* ------------------------------------------------------------------- slots */

static void
slot_close(struct slot *s)
{
	if (s->fd >= 0) {
		close(s->fd);
		connected -= !opt.blocking;
	}
	s->fd = -1;
}

/* systemd names what it wants in the address it connects from. */
static void
bind_name(int fd)
{
	static unsigned long serial;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1,
	    "%08lx%08lx/unit/%s", (unsigned long)getpid(), ++serial, opt.name);

	if (bind(fd, (struct sockaddr *)&sun, (socklen_t)(offsetof(
	    struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0)
		die("bind");
}

/* False: the server's queue is full; try again later. */
static bool
slot_connect(struct slot *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
	    (opt.blocking ? 0 : SOCK_NONBLOCK), 0);
	if (s->fd < 0)
		die("socket");
	connected += !opt.blocking;
	if (opt.mode == MODE_RAW)
		bind_name(s->fd);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", opt.path);
	if (connect(s->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno != EAGAIN)
			die(opt.path);
		slot_close(s);
		retries++;
		return false;
	}
	if (!opt.blocking && epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		die("epoll_ctl");
	return true;
}

/* Connects where that is needed, and sends the request. */
static void
slot_ask(struct slot *s)
{
	if (!s->since)
		s->since = now_ns();
	if (s->fd < 0 && !slot_connect(s))
		return;
	if (opt.mode == MODE_RAW)
		shutdown(s->fd, SHUT_WR); /* as systemd does */
	s->got = s->whole = 0;
	s->status = 0;
	s->busy = true;
	asked += !opt.blocking;
	if (opt.request_len && send(s->fd, opt.request, opt.request_len,
	    MSG_NOSIGNAL) != (ssize_t)opt.request_len && errno != EPIPE)
		die("send"); /* it fits into any socket's buffer */
}

static void
complain(const struct slot *s)
{
	if (bad++)
		return;
	fprintf(stderr, "load: bad answer: status %u, %zu bytes; expected "
	    "status %u, %zu bytes\n", s->status, s->got, opt.status, opt.len);
	if (s->status)
		fprintf(stderr, "load: it begins %.*s\n",
		    (int)(strcspn(s->head, "\r\n")), s->head);
}

static void
check(const struct slot *s)
{
	if (!opt.status)
		opt.status = s->status;
	if (!opt.len)
		opt.len = s->got;
	if (s->status != opt.status || s->got != opt.len || s->got == 0)
		complain(s);
}

static void
slot_answered(struct slot *s)
{
	uint64_t now = now_ns();

	check(s);
	answered++;
	if (measuring)
		hist_add(&hist, now - s->since);
	s->busy = false;
	s->since = 0;
	if (opt.mode != MODE_KEEP)
		slot_close(s);
	if (draining || (measuring && opt.max && asked >= opt.max))
		return;
	slot_ask(s);
}

/* The head is whole: how long is all of it? */
static void
read_head(struct slot *s)
{
	const char *end = strstr(s->head, "\r\n\r\n"), *p;

	if (!end)
		return;
	if (strncmp(s->head, "HTTP/1.", 7) == 0)
		s->status = (unsigned)strtoul(s->head + 9, NULL, 10);
	s->whole = (size_t)(end + 4 - s->head);
	for (p = s->head; p < end; p++)
		if (*p == '\n' && strncasecmp(p + 1, "content-length:", 15) ==
		    0)
			s->whole += strtoul(p + 16, NULL, 10);
}

static void
slot_on_end(struct slot *s)
{
	if (opt.mode == MODE_EOF || opt.mode == MODE_RAW) {
		slot_answered(s);
		return;
	}
	slot_close(s);
	complain(s);
	exit(1); /* a kept connection that the server does not keep */
}

/* True: that was all of the answer. */
static bool
slot_take(struct slot *s, size_t n)
{
	size_t room = s->got < HEAD_MAX - 1 ? HEAD_MAX - 1 - s->got : 0;

	if (room && !s->whole) {
		memcpy(s->head + s->got, sink, n < room ? n : room);
		s->head[s->got + (n < room ? n : room)] = '\0';
	}
	s->got += n;
	if (opt.mode == MODE_EOF || opt.mode == MODE_RAW)
		return false;
	if (!s->whole)
		read_head(s);
	return s->whole && s->got >= s->whole;
}

static void
slot_on_readable(struct slot *s)
{
	ssize_t n = recv(s->fd, sink, sizeof(sink), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		slot_on_end(s);
	else if (slot_take(s, (size_t)n))
		slot_answered(s);
}

/* -------------------------------------------------------------------- loop */

/* Those that the server's full queue turned away, and in the beginning all. */
static bool
ask_all(void)
{
	bool waits = false;
	int i;

	for (i = 0; i < opt.conns; i++) {
		if (slots[i].busy)
			continue;
		if (measuring && opt.max && asked >= opt.max &&
		    !slots[i].since)
			continue;
		slot_ask(&slots[i]);
		waits |= !slots[i].busy;
	}
	return waits;
}

static bool
turn(int ms)
{
	struct epoll_event ev[EVENTS];
	int i, n = epoll_wait(ep, ev, EVENTS, ms);

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (i = 0; i < n; i++)
		slot_on_readable(ev[i].data.ptr);
	return n > 0;
}

/* Until the time is up, or `max` answers are there. */
static void
run(double seconds, uint64_t max)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), now, last;
	bool waits = ask_all();

	last = now = now_ns();
	while (max ? answered < max : now < end) {
		if (turn(waits ? 1 : 100))
			last = now_ns();
		if (waits)
			waits = ask_all();
		else if (opt.mode != MODE_KEEP && connected < opt.conns &&
		    !draining)
			waits = ask_all();
		now = now_ns();
		if (now - last > STUCK_S * UINT64_C(1000000000)) {
			fprintf(stderr, "load: no answer for %d s, %llu of "
			    "%llu requests open\n", STUCK_S,
			    (unsigned long long)(asked - answered),
			    (unsigned long long)asked);
			exit(1);
		}
		if (max && opt.seconds > 0 && now > end)
			break;
	}
}

/* Everything that was asked is answered. */
static void
drain(void)
{
	uint64_t end = now_ns() + 5 * UINT64_C(1000000000);

	draining = true;
	while (answered < asked && now_ns() < end)
		turn(100);
}

/* ----------------------------------------------------------------- threads */

/* 0 before it counts, 1 while it does, 2 at the end. */
static int stage;

static void
one_request(struct slot *s)
{
	uint64_t since = now_ns();
	ssize_t n;

	s->since = since;
	slot_ask(s);
	do {
		n = recv(s->fd, sink, sizeof(sink), 0);
	} while (n > 0 && !slot_take(s, (size_t)n));
	if (n < 0)
		die("recv");
	check(s);
	if (opt.mode != MODE_KEEP)
		slot_close(s);
	else if (n == 0)
		die("the server closes kept connections");
	if (__atomic_load_n(&stage, __ATOMIC_RELAXED) == 1)
		hist_add(s->hist, now_ns() - since);
}

static void *
client(void *arg)
{
	struct slot *s = arg;

	while (__atomic_load_n(&stage, __ATOMIC_RELAXED) < 2)
		one_request(s);
	return NULL;
}

static void
start_threads(void)
{
	pthread_attr_t attr;
	int i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (i = 0; i < opt.conns; i++) {
		slots[i].hist = calloc(1, sizeof(*slots[i].hist));
		if (!slots[i].hist || pthread_create(&slots[i].thread, &attr,
		    client, &slots[i]) != 0)
			die("thread");
	}
	usleep((useconds_t)(opt.warm_up * 1e6));
}

static void
run_threads(void)
{
	unsigned b;
	int i;

	__atomic_store_n(&stage, 1, __ATOMIC_RELAXED);
	usleep((useconds_t)(opt.seconds * 1e6));
	__atomic_store_n(&stage, 2, __ATOMIC_RELAXED);
	for (i = 0; i < opt.conns; i++) {
		pthread_join(slots[i].thread, NULL);
		for (b = 0; b < HIST_BUCKETS; b++)
			hist.count[b] += slots[i].hist->count[b];
		hist.n += slots[i].hist->n;
		if (slots[i].hist->max > hist.max)
			hist.max = slots[i].hist->max;
		free(slots[i].hist);
	}
	answered = hist.n;
}

/* ----------------------------------------------------------------- measure */

static void
start_slots(void)
{
	int i;

	slots = calloc((size_t)opt.conns, sizeof(*slots));
	if (!slots)
		die("memory");
	for (i = 0; i < opt.conns; i++)
		slots[i].fd = -1;
	if (opt.blocking) {
		start_threads();
		return;
	}
	for (i = 0; opt.mode == MODE_KEEP && i < opt.conns; i++)
		while (!slot_connect(&slots[i]))
			usleep(1000);
}

static void
measure(void)
{
	uint64_t cpu, t;
	double secs;

	start_slots();
	if (opt.warm_up > 0 && !opt.blocking) {
		run(opt.warm_up, 0);
		drain();
		draining = false;
	}
	asked = answered = retries = 0;
	measuring = true;
	cpu = cpu_ns();
	t = now_ns();
	if (opt.blocking)
		run_threads();
	else
		run(opt.seconds, opt.max);
	secs = (double)(now_ns() - t) / 1e9;
	cpu = cpu_ns() - cpu;
	t = answered;
	measuring = false;
	if (!opt.max && !opt.blocking)
		drain();
	printf("rps=%.1f p50_us=%.2f p90_us=%.2f p99_us=%.2f max_us=%.2f "
	    "cpu_us=%.3f n=%llu seconds=%.3f conns=%d retries=%llu bad=%llu "
	    "status=%u bytes=%zu rss_kb=%ld\n", (double)t / secs,
	    (double)hist_quantile(&hist, 0.5) / 1e3,
	    (double)hist_quantile(&hist, 0.9) / 1e3,
	    (double)hist_quantile(&hist, 0.99) / 1e3, (double)hist.max / 1e3,
	    t ? (double)cpu / 1e3 / (double)t : 0, (unsigned long long)t,
	    secs, opt.conns, (unsigned long long)retries,
	    (unsigned long long)bad, opt.status, opt.len, rss_kb());
}

/* ----------------------------------------------------------------- options */

static void
usage(void)
{
	fprintf(stderr, "usage: load [-m keep|connect|eof|raw] [-c CONNS] "
	    "[-d SECONDS] [-n REQUESTS]\n  [-w WARM-UP] [-p SERVER-PID]... "
	    "[-u CPU] [-t TEXT] [-r PATH] [-H FIELD]... [-N UNIT/ID]\n"
	    "  [-s STATUS] [-B] SOCKET\n");
	exit(2);
}

static void
set_mode(const char *word)
{
	static const char *const words[] = { "keep", "connect", "eof", "raw" };
	unsigned i;

	for (i = 0; i < 4; i++) {
		if (strcmp(word, words[i]) == 0) {
			opt.mode = (enum mode)i;
			return;
		}
	}
	usage();
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

static void
parse(int argc, char **argv)
{
	const char *target = "/", *text = NULL;
	static char fields[1024];
	size_t n;
	int c;

	while ((c = getopt(argc, argv, "m:c:d:n:w:p:u:t:r:H:N:s:B")) != -1) {
		switch (c) {
		case 'm': set_mode(optarg); break;
		case 'c': opt.conns = atoi(optarg); break;
		case 'd': opt.seconds = atof(optarg); break;
		case 'n': opt.max = strtoull(optarg, NULL, 10); break;
		case 'w': opt.warm_up = atof(optarg); break;
		case 'u': pin(atoi(optarg)); break;
		case 't': text = optarg; break;
		case 'r': target = optarg; break;
		case 'N': opt.name = optarg; break;
		case 'B': opt.blocking = true; break;
		case 's': opt.status = (unsigned)atoi(optarg); break;
		case 'p':
			if (opt.n_pids == PIDS_MAX)
				usage();
			opt.pids[opt.n_pids++] = atol(optarg);
			break;
		case 'H':
			n = strlen(fields);
			snprintf(fields + n, sizeof(fields) - n, "%s\r\n",
			    optarg);
			break;
		default: usage();
		}
	}
	if (argc - optind != 1 || opt.conns < 1 ||
	    (opt.mode == MODE_RAW && !opt.name) ||
	    (opt.mode == MODE_EOF && !text))
		usage();
	opt.path = argv[optind];
	if (opt.mode == MODE_EOF)
		opt.request = strdup(text);
	else if (opt.mode != MODE_RAW && asprintf(&opt.request, "GET %s "
	    "HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, fields) < 0)
		die("memory");
	opt.request_len = opt.request ? strlen(opt.request) : 0;
}

int
main(int argc, char **argv)
{
	struct rlimit r;

	parse(argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	measure();
	free(slots);
	free(opt.request);
	return bad > 0;
}
