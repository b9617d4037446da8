/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filler - see the header. What is sent is one page of zeros again and again,
 * so a refusal costs no memory of ours but its descriptor and a few words.
 */
#include "serve/filler.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/now.h"
#include "base/util.h"
#include "lib/loop.h"

/* The limit of 1 MiB counts names as well; what is above it is not read. */
#define FILLER_BYTES ((size_t)(1 << 20) + (64 << 10))
#define CHUNK (64 << 10)
#define CHUNKS ((int)(FILLER_BYTES / CHUNK))
#define IMPATIENT_MAX 64
#define LAST_MS 3000

struct filler {
	struct event event;
	struct loop_timer timer;
	TAILQ_ENTRY(filler) link;
	struct filler_set *set;
	size_t left;
	int fd;
	bool impatient, watched;
};

TAILQ_HEAD(filler_list, filler);

struct filler_set {
	struct loop *loop;
	struct filler_list list;
	size_t n, n_impatient;
};

static unsigned char zeros[CHUNK]; /* never written: the kernel's zero page */

static loop_fn filler_on_late;

struct filler_set *
filler_set_new(struct loop *loop)
{
	struct filler_set *set = xnew(struct filler_set);

	set->loop = loop;
	TAILQ_INIT(&set->list);
	return set;
}

size_t
filler_set_count(const struct filler_set *set)
{
	return set->n;
}

static void
filler_free(struct filler *f)
{
	TAILQ_REMOVE(&f->set->list, f, link);
	f->set->n--;
	f->set->n_impatient -= f->impatient;
	if (f->watched)
		event_del(&f->event);
	loop_timer_stop(&f->timer);
	close(f->fd);
	free(f);
}

/* As much as the kernel takes. False: over, one way or the other. */
static bool
filler_send(struct filler *f)
{
	struct iovec iov[CHUNKS];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t n;
	int i;

	for (i = 0; i < CHUNKS; i++)
		iov[i] = (struct iovec){ zeros, CHUNK };
	while (f->left > 0) {
		/* the last chunk may be more than what is left: nobody reads
		 * that far */
		msg.msg_iovlen = (f->left + CHUNK - 1) / CHUNK;
		n = sendmsg(f->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == ENOBUFS ||
			    errno == ENOMEM;
		f->left -= MIN2((size_t)n, f->left);
	}
	return false;
}

static void
filler_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct filler *f = arg;

	if (!filler_send(f))
		filler_free(f);
}

static void
filler_on_late(void *arg)
{
	filler_free(arg);
}

void
filler_start(struct filler_set *set, int fd, int64_t patience_ms)
{
	struct filler *f;

	if (patience_ms > 0 && set->n_impatient >= IMPATIENT_MAX) {
		close(fd);
		return;
	}
	f = xnew(struct filler);
	f->set = set;
	f->fd = fd;
	f->left = FILLER_BYTES;
	f->impatient = patience_ms > 0;
	set->n++;
	set->n_impatient += f->impatient;
	TAILQ_INSERT_TAIL(&set->list, f, link);
	loop_timer_init(&f->timer, set->loop, filler_on_late, f);
	if (!filler_send(f)) {
		filler_free(f);
		return;
	}
	if (patience_ms > 0)
		loop_timer_set(&f->timer, patience_ms);
	/* Without an event it is kept nevertheless: it is closed at the end,
	 * and until then its client waits rather than starts. */
	f->watched = event_assign(&f->event, loop_base(set->loop), fd,
	    EV_WRITE | EV_PERSIST, filler_on_writable, f) == 0 &&
	    event_add(&f->event, NULL) == 0;
}

/* The daemon ends: without the loop. */
static void
filler_set_finish(struct filler_set *set)
{
	int64_t end = now_boot_ms() + LAST_MS, ms;

	while (set->n > 0 && (ms = end - now_boot_ms()) > 0) {
		struct pollfd *fds _cleanup_free_ = xcalloc(set->n,
		    sizeof(*fds));
		struct filler *f, *next;
		size_t i = 0;

		TAILQ_FOREACH(f, &set->list, link)
			fds[i++] = (struct pollfd){ f->fd, POLLOUT, 0 };
		if (poll(fds, set->n, (int)ms) <= 0)
			break;
		i = 0;
		for (f = TAILQ_FIRST(&set->list); f; f = next) {
			next = TAILQ_NEXT(f, link);
			if (fds[i++].revents && !filler_send(f))
				filler_free(f);
		}
	}
}

void
filler_set_free(struct filler_set *set)
{
	struct filler *f;

	if (!set)
		return;
	filler_set_finish(set);
	while ((f = TAILQ_FIRST(&set->list)))
		filler_free(f);
	free(set);
}
