/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a connection: phases, deadlines, how many there may be, and the
 * end. A session that is closed loses its descriptor and its operation at once
 * and its memory on the next turn, because whoever closes it may be called by
 * something that looks at it again.
 */
#include "serve/session.h"

#include <sys/random.h>
#include <sys/socket.h>

#include "base/now.h"
#include "base/util.h"
#include "conf.h"
#include "serve/peer.h"
#include "serve/serve_int.h"
#include "serve/session_int.h"
#include "serve/verdict.h"

#define TICK_MS 1000

/* 0: no limit here. Together a request may take a minute, save where it waits
 * for something that has a time of its own. */
static const int64_t phase_ms[SESSION_N_PHASES] = {
	[SESSION_IDLE] = 300000,
	[SESSION_HEAD] = 10000,
	[SESSION_BODY] = 10000,
	[SESSION_BUSY] = 30000,
	[SESSION_WRITE] = 10000,
	[SESSION_LINGER] = 2000,
};

static loop_fn session_set_tick, session_set_reap;

struct session_set *
session_set_new(struct serve *serve)
{
	struct session_set *set = xnew(struct session_set);
	unsigned i;

	set->serve = serve;
	for (i = 0; i < SESSION_N_PHASES; i++)
		TAILQ_INIT(&set->lists[i]);
	loop_timer_init(&set->tick, serve->loop, session_set_tick, set);
	loop_task_init(&set->reap, serve->loop, session_set_reap, set);
	if (getrandom(&set->request_key, sizeof(set->request_key), 0) !=
	    sizeof(set->request_key))
		abort(); /* not possible for so few bytes */
	set->scratch_bytes = secret_alloc(&set->scratch, SESSION_SCRATCH);
	return set;
}

void
session_set_free(struct session_set *set)
{
	struct session *s;
	unsigned i;

	if (!set)
		return;
	for (i = 0; i < SESSION_CLOSED; i++)
		while ((s = TAILQ_FIRST(&set->lists[i])))
			session_close(s);
	session_set_reap(set);
	loop_task_cancel(&set->reap);
	loop_timer_stop(&set->tick);
	secret_clear(&set->scratch);
	free(set);
}

size_t
session_set_count(const struct session_set *set)
{
	return set->n;
}

/* ---------------------------------------------------------------- limits */

static struct session_uid **
uid_link(struct session_set *set, uid_t uid)
{
	struct session_uid **link = &set->uids[uid % SESSION_UID_BUCKETS];

	while (*link && (*link)->uid != uid)
		link = &(*link)->next;
	return link;
}

static void
count_in(struct session_set *set, const struct door *door, uid_t uid)
{
	struct session_uid **link = uid_link(set, uid);

	counts_door(&set->serve->counts, door->id)->connections++;
	if (!*link) {
		*link = xnew(struct session_uid);
		(*link)->uid = uid;
	}
	(*link)->n++;
	set->n++;
}

static void
count_out(struct session_set *set, const struct door *door, uid_t uid)
{
	struct session_uid **link = uid_link(set, uid), *u = *link;

	counts_door(&set->serve->counts, door->id)->connections--;
	set->n--;
	if (--u->n)
		return;
	*link = u->next;
	free(u);
}

/* What all connections together fill, a few users can fill: that must not keep
 * units from starting. */
const char *
session_set_refuses(const struct session_set *set, const struct door *door,
    uid_t uid)
{
	const struct conf *conf = set->serve->conf;
	const struct session_uid *u = set->uids[uid % SESSION_UID_BUCKETS];
	bool is_unit = door->id == ACL_DOOR_CREDENTIAL && uid == 0;

	if (set->n >= conf->max_connections && !is_unit)
		return "there are too many connections";
	while (u && u->uid != uid)
		u = u->next;
	if (u && u->n >= conf->max_connections_per_uid)
		return "your uid has too many connections";
	return NULL;
}

/* --------------------------------------------------------- start and end */

void
session_start(struct session_set *set, const struct door *door, int fd,
    struct peer *peer)
{
	struct session *s = xnew(struct session);

	s->set = set;
	s->door = door;
	s->peer = peer;
	s->who = &peer->who;
	s->fd = fd;
	s->phase = SESSION_IDLE;
	s->deadline_ms = now_boot_ms() + phase_ms[SESSION_IDLE];
	s->minor = 1;
	TAILQ_INSERT_TAIL(&set->lists[SESSION_IDLE], s, link);
	count_in(set, door, peer->who.uid);
	if (!loop_timer_is_set(&set->tick))
		loop_timer_set(&set->tick, TICK_MS);
	/* most clients have written already: perhaps it is over before the
	 * event loop has to hear of it */
	if (door->ops)
		door->ops->open(s);
	else
		session_on_event(fd, EV_READ, s);
	if (s->phase != SESSION_CLOSED)
		session_watch(s);
}

void
session_enter(struct session *s, enum session_phase phase)
{
	struct session_set *set = s->set;

	TAILQ_REMOVE(&set->lists[s->phase], s, link);
	s->phase = phase;
	if (phase_ms[phase])
		s->deadline_ms = now_boot_ms() + phase_ms[phase];
	TAILQ_INSERT_TAIL(&set->lists[phase], s, link);
}

/* now_ms: a reading of the clock that is at hand, or 0. */
static void
count_answer(struct session *s, int64_t now_ms)
{
	struct counts_door *d = counts_door(&s->set->serve->counts,
	    s->door->id);
	int64_t begun = s->begun_ms;

	s->begun_ms = 0;
	if (begun == 0)
		d->took[0]++;
	else if (begun > 0)
		counts_took(d, (now_ms ? now_ms : now_boot_ms()) - begun);
}

void
session_close(struct session *s)
{
	struct session_op *op = STEAL(s->op);
	struct session_attachment *a;

	if (s->phase == SESSION_CLOSED)
		return;
	session_unwatch(s);
	session_enter(s, SESSION_CLOSED);
	if (s->door->ops) {
		count_answer(s, 0);
		s->door->ops->end(s, s->fd);
	} else {
		close(s->fd);
	}
	s->fd = -1;
	count_out(s->set, s->door, s->peer->who.uid);
	loop_task_post(&s->set->reap);
	session_out_free(s, false);
	if (op)
		op->type->gone(op);
	s->who = &s->peer->who;
	a = STEAL(s->attached);
	if (a)
		a->gone(a);
}

static void
session_set_reap(void *arg)
{
	struct session_set *set = arg;
	struct session_list *closed = &set->lists[SESSION_CLOSED];
	struct session *s;

	while ((s = TAILQ_FIRST(closed))) {
		TAILQ_REMOVE(closed, s, link);
		session_in_free(s);
		peer_unref(s->peer);
		free(s);
	}
}

void
session_answered(struct session *s)
{
	if (s->keep_alive) {
		session_enter(s, SESSION_IDLE);
		count_answer(s, s->deadline_ms - phase_ms[SESSION_IDLE]);
		return;
	}
	count_answer(s, 0);
	if (s->lingers) {
		shutdown(s->fd, SHUT_WR);
		session_enter(s, SESSION_LINGER);
	} else {
		session_close(s);
	}
}

/* ------------------------------------------------------------- deadlines */

static void
session_expire(struct session *s)
{
	struct problem late = {
		.code = PROBLEM_BAD_REQUEST,
		.status = 408,
		.detail = "the request did not arrive in time",
		.closes = true,
	};

	switch (s->phase) {
	case SESSION_HEAD:
	case SESSION_BODY:
		session_problem(s, &late);
		break;
	case SESSION_BUSY:
		s->op->type->hurry(s->op, SESSION_EXPIRED);
		break;
	case SESSION_IDLE:
		if (s->attached && s->attached->keeps)
			session_enter(s, SESSION_IDLE);
		else
			session_close(s);
		break;
	case SESSION_WRITE:
	case SESSION_LINGER:
		session_close(s);
		break;
	case SESSION_WAIT:
	case SESSION_CLOSED:
	case SESSION_N_PHASES:
		break;
	}
}

static void
session_set_tick(void *arg)
{
	struct session_set *set = arg;
	int64_t now = now_boot_ms();
	struct session *s;
	unsigned i;

	for (i = 0; i < SESSION_N_PHASES; i++) {
		if (!phase_ms[i])
			continue;
		/* each leaves the list by this */
		while ((s = TAILQ_FIRST(&set->lists[i])) &&
		    s->deadline_ms <= now)
			session_expire(s);
	}
	if (set->n)
		loop_timer_set(&set->tick, TICK_MS);
}

static void
hurry_list(struct session_list *list, enum session_hurry why)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(list); s; s = next) {
		next = TAILQ_NEXT(s, link);
		s->op->type->hurry(s->op, why);
	}
}

void
session_set_hurry(struct session_set *set, enum session_hurry why)
{
	hurry_list(&set->lists[SESSION_WAIT], why);
	hurry_list(&set->lists[SESSION_BUSY], why);
}

/* ------------------------------------------------------------ operations */

void
session_begin(struct session *s, struct session_op *op,
    const struct session_op_type *type, bool has_own_timer)
{
	if (s->op)
		abort(); /* two answers to one request: our bug */
	op->type = type;
	op->session = s;
	s->op = op;
	session_enter(s, has_own_timer ? SESSION_WAIT : SESSION_BUSY);
	if (s->begun_ms == 0)
		s->begun_ms = has_own_timer ? now_boot_ms() :
		    s->deadline_ms - phase_ms[SESSION_BUSY];
}

void
session_is_watch(struct session *s)
{
	s->begun_ms = -1;
}

struct session *
session_end(struct session_op *op)
{
	struct session *s = STEAL(op->session);

	s->op = NULL;
	return s;
}

struct session_attachment *
session_attached(const struct session *s)
{
	return s->attached;
}

void
session_attach(struct session *s, struct session_attachment *a)
{
	s->attached = a;
}

/* --------------------------------------------------------------- look-up */

struct serve *
session_serve(const struct session *s)
{
	return s->set->serve;
}

const struct door *
session_door(const struct session *s)
{
	return s->door;
}

const struct principal *
session_who(const struct session *s)
{
	return s->who;
}

int
session_fd(const struct session *s)
{
	return s->fd;
}

const struct peer *
session_peer(const struct session *s)
{
	return s->peer;
}

void
session_speak_for(struct session *s, const struct principal *who)
{
	s->who = who;
}

/* splitmix64 is a bijection: no two are equal, and who sees one cannot tell
 * how many there were. */
static uint64_t
session_set_next_id(struct session_set *set)
{
	uint64_t z = set->request_key +
	    ++set->request_count * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
session_new_request(struct session *s)
{
	s->request_id = session_set_next_id(s->set);
}

bool
session_peer_is_alive(const struct session *s)
{
	return peer_is_alive(s->peer);
}

bool
session_is_vault(const struct session *s)
{
	return s->is_vault;
}

void
session_set_vault(struct session *s, bool is_vault)
{
	s->is_vault = is_vault;
}

unsigned
session_minor(const struct session *s)
{
	return s->minor;
}

bool
session_keeps_alive(const struct session *s)
{
	return s->keep_alive;
}

static const char *
id_text(uint64_t id, char buf[17])
{
	static const char digits[] = "0123456789abcdef";
	int i;

	for (i = 15; i >= 0; i--, id >>= 4)
		buf[i] = digits[id & 15];
	buf[16] = '\0';
	return buf;
}

const char *
session_request_id(const struct session *s, char buf[17])
{
	return id_text(s->request_id, buf);
}

const char *
session_set_request_id(struct session_set *set, char buf[17])
{
	return id_text(session_set_next_id(set), buf);
}

struct acl_verdict
session_verdict(struct session *s, const char *token)
{
	const struct serve *serve = s->set->serve;
	struct verdict_env env = {
		.broker = serve->broker,
		.conf = serve->conf,
		.conf_generation = serve->conf_generation,
	};
	struct verdict_cache *none = NULL;
	struct acl_verdict v;

	if (s->who == &s->peer->who)
		return verdict_get(&s->peer->verdicts, &env, s->who,
		    s->door->id, token);
	/* what is kept with the peer is about the peer */
	v = verdict_get(&none, &env, s->who, s->door->id, token);
	free(none);
	return v;
}

uint64_t
session_same_record(struct session *s, const struct broker_view *view)
{
	return s->who != &s->peer->who ? 0 : verdict_same(s->peer->verdicts,
	    s->door->id, view, &s->set->same_records);
}
