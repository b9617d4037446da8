/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener - see the header.
 */
#include "serve/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/now.h"
#include "base/principal.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/loop.h"
#include "serve/peer.h"
#include "serve/problem.h"
#include "serve/serve_int.h"
#include "serve/session.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define BACKLOG 1024
#define ACCEPT_BURST 16
#define PAUSE_MS 100
#define LOG_EVERY_MS 60000

struct listener {
	struct serve *serve;
	const struct door *door;
	struct event *event;
	struct loop_timer pause;
	int fd, reserve;
	char *path; /* NULL: not ours */
	int64_t said_ms; /* when the log heard of a full table */
};

static loop_fn listener_resume;

/* -------------------------------------------------------------------- bind */

static bool
fill_address(struct sockaddr_un *sun, const char *path)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sun->sun_path))
		return false;
	memcpy(sun->sun_path, path, strlen(path) + 1);
	return true;
}

/* Removes a socket that nobody serves. Nothing there is fine. */
static int
remove_stale(const char *path, const struct sockaddr_un *sun,
    struct tb_error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : tb_error_errno(err, TB_E_IO,
		    errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return tb_error_set(err, TB_E_IO,
		    "%s exists and is not a socket", path);
	if (st.st_uid != geteuid() && geteuid() != 0)
		return tb_error_set(err, TB_E_IO,
		    "%s is the socket of another user", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "socket");
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno != ECONNREFUSED)
		return tb_error_set(err, TB_E_IO, "%s is in use: does another "
		    "tokenbrokerd run?", path);
	if (unlink(path) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot remove the stale socket %s", path);
	return 0;
}

int
listener_bind(const char *path, mode_t mode, struct tb_error *err)
{
	struct sockaddr_un sun;
	_cleanup_close_ int fd = -1;
	mode_t old;
	int r, on = 1;

	if (!fill_address(&sun, path))
		return tb_error_set(err, TB_E_CONFIG, "%s is too long for a "
		    "socket: at most %zu characters", path,
		    sizeof(sun.sun_path) - 1);
	if (remove_stale(path, &sun, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "socket");
	/* the mode is right from the first moment */
	old = umask(0777 & ~mode);
	r = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	/* before anybody can connect: a connection has it from the listener as
	 * that was when it was made (Linux 6.16), and one that has it not is
	 * taken for a stranger's */
	if (r < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on,
	    sizeof(on)) < 0 || listen(fd, BACKLOG) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot listen on %s", path);
	r = fd;
	fd = -1;
	return r;
}

static bool
option_is(int fd, int name, int wanted)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 &&
	    value == wanted;
}

int
listener_check(int fd, const char *name, struct tb_error *err)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);

	if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0 ||
	    sun.sun_family != AF_UNIX || !option_is(fd, SO_TYPE, SOCK_STREAM) ||
	    !option_is(fd, SO_ACCEPTCONN, 1))
		return tb_error_set(err, TB_E_CONFIG, "the descriptor that "
		    "systemd calls '%s' is not a listening AF_UNIX stream "
		    "socket", name);
	return 0;
}

/* ------------------------------------------------------------------ refuse */

/* No session for this one: the answer, and the end. What it has sent is read
 * first, or the kernel would tell it of a reset instead. */
static void
refuse(struct listener *l, int fd, const char *detail)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct problem p = { .code = PROBLEM_LIMIT, .detail = detail };
	char line[HTTP1_STATUS_LINE_MAX], sink[4096], id[17];

	counts_door(&l->serve->counts, l->door->id)->refused++;
	if (l->door->ops) {
		l->door->ops->turn_away(l->serve, fd, detail);
		return;
	}
	strbuf_add(&text, line, http1_status_line(line, problem_status(&p), 1,
	    false));
	problem_render(&p, session_set_request_id(l->serve->sessions, id),
	    PROBLEM_NATIVE,
	    &text);
	(void)!recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
	(void)!send(fd, text.s, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	explicit_bzero(sink, sizeof(sink));
	close(fd);
}

static void
say_full(struct listener *l, int e)
{
	int64_t now = now_boot_ms();

	if (l->said_ms && now - l->said_ms < LOG_EVERY_MS)
		return;
	l->said_ms = now;
	log_warn(acl_door_name(l->door->id), "out of descriptors (%s): "
	    "connections are refused; raise LimitNOFILE or lower "
	    "max_connections", strerror(e));
}

static void
listener_pause(struct listener *l)
{
	event_del(l->event);
	loop_timer_set(&l->pause, PAUSE_MS);
}

static void
listener_resume(void *arg)
{
	struct listener *l = arg;

	if (l->reserve < 0)
		l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (event_add(l->event, NULL) < 0)
		loop_timer_set(&l->pause, PAUSE_MS);
}

/* The table is full: the reserve makes room for one, who is told. */
static void
answer_with_reserve(struct listener *l, int e)
{
	int fd;

	say_full(l, e);
	if (l->reserve >= 0)
		close(l->reserve);
	l->reserve = -1;
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(l, fd, "the broker is out of descriptors");
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || l->reserve < 0)
		listener_pause(l);
}

/* ------------------------------------------------------------------ accept */

static void
start(struct listener *l, int fd)
{
	struct serve *serve = l->serve;
	struct tb_error err = TB_ERROR_INIT;
	const char *why;
	struct peer *peer;

	switch (peer_attest(serve->peers, fd, &peer, &err)) {
	case PEER_OK:
		break;
	case PEER_BUSY:
		say_full(l, EMFILE);
		refuse(l, fd, "the broker is out of descriptors");
		return;
	case PEER_GONE:
	case PEER_FAILED:
		log_debug(acl_door_name(l->door->id),
		    "connection refused: %s", err.msg);
		/* who speaks HTTP is not there to be answered, or is not who
		 * connected; the other door closes nothing without a word */
		if (l->door->ops)
			refuse(l, fd, "the process that connected has exited");
		else
			close(fd);
		return;
	}
	why = session_set_refuses(serve->sessions, l->door, peer->who.uid);
	if (why) {
		peer_unref(peer);
		refuse(l, fd, why);
		return;
	}
	session_start(serve->sessions, l->door, fd, peer);
}

static void
listener_on_readable(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;
	int i, fd;

	for (i = 0; i < ACCEPT_BURST; i++) {
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			start(l, fd);
			continue;
		}
		switch (errno) {
		case EMFILE:
		case ENFILE:
			answer_with_reserve(l, errno);
			break;
		case ENOMEM:
		case ENOBUFS:
			say_full(l, errno);
			listener_pause(l);
			break;
		default:
			/* none left, or one that went away again */
			break;
		}
		return;
	}
}

/* -------------------------------------------------------------------- life */

struct listener *
listener_new(struct serve *serve, const struct door *door, int fd,
    const char *path, struct tb_error *err)
{
	struct listener *l = xnew(struct listener);
	int on = 1, off = 0;

	l->serve = serve;
	l->door = door;
	l->fd = fd;
	l->path = xstrdup0(path);
	loop_timer_init(&l->pause, serve->loop, listener_resume, l);
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->event = event_new(loop_base(serve->loop), fd, EV_READ | EV_PERSIST,
	    listener_on_readable, l);
	/* connections inherit it, and what was sent before accept has it */
	if (l->reserve < 0 || !l->event ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    event_add(l->event, NULL) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "cannot listen at the %s "
		    "door", acl_door_name(door->id));
		listener_free(l);
		return NULL;
	}
	/* an older kernel: descriptors are dropped when they are read */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
	return l;
}

void
listener_free(struct listener *l)
{
	if (!l)
		return;
	loop_timer_stop(&l->pause);
	if (l->event) {
		event_del(l->event);
		event_free(l->event);
	}
	close(l->fd);
	if (l->reserve >= 0)
		close(l->reserve);
	if (l->path)
		unlink(l->path);
	free(l->path);
	free(l);
}
