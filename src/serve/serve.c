/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - see the header. Builds what the doors share, finds the sockets, and
 * hands the configuration on. A door is a row of the table below.
 */
#include "serve/serve.h"

#include <errno.h>
#include <grp.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/sysd.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "conf.h"
#include "serve/admin.h"
#include "serve/api.h"
#include "serve/credential.h"
#include "serve/denylog.h"
#include "serve/events.h"
#include "serve/filler.h"
#include "serve/listener.h"
#include "serve/metrics.h"
#include "serve/peer.h"
#include "serve/rate.h"
#include "serve/render.h"
#include "serve/serve_int.h"
#include "serve/session.h"

static const struct door *const doors[] = { &api_door, &credential_door,
	&admin_door };

/* ----------------------------------------------------------------- sockets */

static int
serve_add(struct serve *s, const struct door *door, int fd, const char *path,
    struct tb_error *err)
{
	struct listener *l;

	if (s->n_listeners == SERVE_DOORS_MAX) {
		close(fd);
		return tb_error_set(err, TB_E_CONFIG,
		    "systemd hands over too many sockets");
	}
	l = listener_new(s, door, fd, path, err);
	if (!l)
		return -1;
	s->listeners[s->n_listeners++] = l;
	return 0;
}

/* One socket that systemd gave us. fd is taken. */
static int
serve_take(struct serve *s, const struct sysd_fd *given, struct tb_error *err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		if (!streq(acl_door_name(doors[i]->id), given->name))
			continue;
		if (listener_check(given->fd, given->name, err) < 0) {
			close(given->fd);
			return -1;
		}
		return serve_add(s, doors[i], given->fd, NULL, err);
	}
	close(given->fd);
	return tb_error_set(err, TB_E_CONFIG, "systemd hands over a socket "
	    "called '%.40s': FileDescriptorName= must be api, credential or "
	    "admin", given->name);
}

static int
serve_take_all(struct serve *s, struct sysd_fd *fds, size_t n,
    struct tb_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; i < n; i++) {
		if (r == 0)
			r = serve_take(s, &fds[i], err);
		else
			close(fds[i].fd);
	}
	return r;
}

static int
serve_bind_all(struct serve *s, struct tb_error *err)
{
	const char *dir = s->conf->run_dir;
	_cleanup_close_ int dirfd = fs_open_dir(dir, 0755, 0022, err);
	size_t i;
	int fd;

	if (dirfd < 0)
		return tb_error_wrap(err, "run_dir");
	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir,
		    doors[i]->socket);

		fd = listener_bind(path, doors[i]->mode, err);
		if (fd < 0 || serve_add(s, doors[i], fd, path, err) < 0)
			return -1;
	}
	return 0;
}

static int
serve_open(struct serve *s, struct tb_error *err)
{
	struct sysd_fd *fds = NULL;
	size_t n = sysd_listen_fds(&fds);
	int r = n ? serve_take_all(s, fds, n, err) : serve_bind_all(s, err);

	sysd_fds_free(fds, n);
	return r;
}

/* ------------------------------------------------------------ configuration */

/* A group that does not exist has no members. */
static gid_t
find_group(const char *key, const char *name)
{
	struct group *g;
	char *end;
	unsigned long n;

	if (!name || !*name)
		return SERVE_NO_GROUP;
	g = getgrnam(name);
	if (g)
		return g->gr_gid;
	errno = 0;
	n = strtoul(name, &end, 10);
	if (!errno && !*end && *name >= '0' && *name <= '9' &&
	    n < SERVE_NO_GROUP)
		return (gid_t)n;
	log_warn("admin", "%s = %s: there is no such group, so only root has "
	    "its rights", key, name);
	return SERVE_NO_GROUP;
}

static void
serve_use(struct serve *s, const struct conf *conf)
{
	s->conf = conf;
	s->conf_generation++;
	s->admin_gid = find_group("admin_group", conf->admin_group);
	s->auditor_gid = find_group("auditor_group", conf->auditor_group);
}

void
serve_reconfigure(struct serve *s, const struct conf *conf)
{
	serve_use(s, conf);
	rate_reset(s->rate);
	render_forget_all(s->render);
	session_set_hurry(s->sessions, SESSION_RELOADED);
	metrics_file_reconfigure(s->metrics_file);
}

/* -------------------------------------------------------------------- life */

struct serve *
serve_new(const struct serve_env *env, const struct conf *conf,
    struct tb_error *err)
{
	struct serve *s = xnew(struct serve);

	s->loop = env->loop;
	s->broker = env->broker;
	s->audit = env->audit;
	s->writer = env->writer;
	s->version = env->version;
	s->reload = env->reload;
	s->reload_arg = env->reload_arg;
	serve_use(s, conf);
	s->peers = peer_table_new();
	s->render = render_new();
	s->rate = rate_new();
	s->denylog = denylog_new();
	s->events = events_new(s->audit);
	s->sessions = session_set_new(s);
	s->fillers = filler_set_new(env->loop);
	s->metrics_file = metrics_file_new(s);
	if (peer_probe(s->peers, err) < 0 || serve_open(s, err) < 0) {
		serve_free(s);
		return NULL;
	}
	return s;
}

static void
serve_close_doors(struct serve *s)
{
	while (s->n_listeners)
		listener_free(s->listeners[--s->n_listeners]);
}

void
serve_stop_accepting(struct serve *s)
{
	serve_close_doors(s);
	s->stopping = true;
	session_set_hurry(s->sessions, SESSION_STOPPING);
}

void
serve_free(struct serve *s)
{
	if (!s)
		return;
	s->stopping = true; /* no client has ended what ends now */
	serve_close_doors(s);
	metrics_file_free(s->metrics_file);
	session_set_free(s->sessions);
	filler_set_free(s->fillers); /* behind the sessions, which add some */
	peer_table_free(s->peers);
	render_free(s->render);
	rate_free(s->rate);
	denylog_free(s->denylog);
	events_free(s->events);
	free(s);
}
