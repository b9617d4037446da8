/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holdings - see the header. Trees are tsearch(3)'s, for what is looked up by
 * every line: generations, a generation's holders, and requests between
 * `authorised` and their outcome.
 */
#include "audit/holdings.h"

#include <search.h>

#include "audit/filter.h"
#include "audit/scan.h"
#include "base/util.h"

/* An authorised request that has no outcome yet. */
struct pending {
	char *request_id;
	struct holder *holder;
};

struct holdings {
	char *login;
	bool every_login;
	struct held **held;
	size_t n_held;
	void *generations; /* of struct held */
	void *requests;    /* of struct pending */
	struct login_event *event;
	size_t n_events;
};

struct holdings *
holdings_new(const char *login)
{
	struct holdings *h = xnew(struct holdings);

	h->login = xstrdup0(login);
	return h;
}

struct holdings *
holdings_new_every_login(void)
{
	struct holdings *h = holdings_new(NULL);

	h->every_login = true;
	return h;
}

static void
holder_free(struct holder *one)
{
	free(one->unit);
	free(one->strength);
	free(one->delivery);
	free(one);
}

static void
nothing(void *p)
{
	(void)p;
}

static void
held_free(struct held *g)
{
	size_t i;

	tdestroy(g->holders, nothing);
	for (i = 0; i < g->n_holders; i++)
		holder_free(g->holder[i]);
	free(g->holder);
	free(g->token);
	free(g->token_id);
	free(g->fingerprint);
	free(g->backend);
	free(g->login);
	free(g->human);
	free(g);
}

static void
pending_free(void *p)
{
	struct pending *one = p;

	free(one->request_id);
	free(one);
}

void
holdings_free(struct holdings *h)
{
	size_t i;

	if (!h)
		return;
	tdestroy(h->generations, nothing);
	tdestroy(h->requests, pending_free);
	for (i = 0; i < h->n_held; i++)
		held_free(h->held[i]);
	for (i = 0; i < h->n_events; i++) {
		free(h->event[i].event);
		free(h->event[i].login);
		free(h->event[i].human);
		free(h->event[i].reason);
	}
	free(h->event);
	free(h->held);
	free(h->login);
	free(h);
}

/* NULL sorts first. */
static int
by_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

/* The fingerprint belongs to it: after the loss of a state directory the
 * numbers begin again. */
static int
by_generation(const void *a, const void *b)
{
	const struct held *x = a, *y = b;
	int r = by_text(x->token, y->token);

	if (r != 0)
		return r;
	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return by_text(x->fingerprint, y->fingerprint);
}

static int
by_principal(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	if (x->container != y->container)
		return x->container ? 1 : -1;
	return by_text(x->unit, y->unit);
}

static int
by_request(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	return strcmp(x->request_id, y->request_id);
}

/* A member that later lines may add, or say again. */
static void
learn(char **to, const struct scan *s, enum scan_name name)
{
	if (!*to)
		*to = scan_dup(s, name);
}

static void
add_held(struct holdings *h, struct held *g)
{
	if (!tsearch(g, &h->generations, by_generation))
		abort();
}

/* One that came up first in a line that does not say its fingerprint is this
 * one. */
static struct held *
adopt(struct holdings *h, struct held *key)
{
	struct held bare = { .token = key->token,
		.generation = key->generation };
	struct held **found = tfind(&bare, &h->generations, by_generation), *g;

	if (!key->fingerprint || !found)
		return NULL;
	g = *found;
	tdelete(g, &h->generations, by_generation);
	g->fingerprint = STEAL(key->fingerprint);
	add_held(h, g);
	return g;
}

/* The newest of this name and number, whatever its fingerprint: what a line
 * means that does not say it. */
static struct held *
newest(const struct holdings *h, const struct held *key)
{
	size_t i;

	for (i = h->n_held; i-- > 0;)
		if (h->held[i]->generation == key->generation &&
		    strcmp(h->held[i]->token, key->token) == 0)
			return h->held[i];
	return NULL;
}

static struct held *
find_held(struct holdings *h, struct held *key)
{
	struct held **found, *g;

	if (!key->fingerprint) {
		g = newest(h, key);
	} else {
		found = tfind(key, &h->generations, by_generation);
		g = found ? *found : adopt(h, key);
	}
	if (g)
		return g;
	g = xnew(struct held);
	g->token = STEAL(key->token);
	g->generation = key->generation;
	g->fingerprint = STEAL(key->fingerprint);
	add_held(h, g);
	h->held = xreallocarray(h->held, h->n_held + 1, sizeof(h->held[0]));
	return h->held[h->n_held++] = g;
}

/* The generation that a line is about; NULL: about none. */
static struct held *
take_held(struct holdings *h, const struct scan *s)
{
	struct held key = { .token = scan_dup(s, SCAN_TOKEN),
		.generation = scan_number(s, SCAN_GENERATION),
		.fingerprint = scan_dup(s, SCAN_FINGERPRINT) };
	struct held *g = key.token && key.generation ? find_held(h, &key) :
	    NULL;

	free(key.token);
	free(key.fingerprint);
	if (!g)
		return NULL;
	learn(&g->token_id, s, SCAN_TOKEN_ID);
	learn(&g->backend, s, SCAN_BACKEND);
	learn(&g->login, s, SCAN_LOGIN);
	learn(&g->human, s, SCAN_HUMAN);
	if (scan_has(s, SCAN_EXPIRES_AT))
		g->expires = filter_time(s, SCAN_EXPIRES_AT);
	return g;
}

static struct holder *
take_holder(struct held *g, const struct scan *s)
{
	struct holder key = { .unit = scan_dup(s, SCAN_UNIT),
		.container = scan_has(s, SCAN_CONTAINER),
		.uid = (uint32_t)scan_number(s, SCAN_UID),
		.gid = (uint32_t)scan_number(s, SCAN_GID) };
	struct holder **found = tfind(&key, &g->holders, by_principal), *one;

	if (found) {
		free(key.unit);
		one = *found;
	} else {
		one = xnew(struct holder);
		*one = key;
		if (!tsearch(one, &g->holders, by_principal))
			abort();
		g->holder = xreallocarray(g->holder, g->n_holders + 1,
		    sizeof(g->holder[0]));
		g->holder[g->n_holders++] = one;
	}
	free(one->strength);
	one->strength = scan_dup(s, SCAN_STRENGTH);
	if (scan_has(s, SCAN_DELIVERY)) {
		free(one->delivery);
		one->delivery = scan_dup(s, SCAN_DELIVERY);
	}
	return one;
}

/* ----------------------------------------------------------------- releases */

static struct pending *
find_request(struct holdings *h, const struct scan *s)
{
	struct pending key = { .request_id = scan_dup(s, SCAN_REQUEST_ID) };
	struct pending **found = key.request_id ? tfind(&key, &h->requests,
	    by_request) : NULL;

	free(key.request_id);
	return found ? *found : NULL;
}

static void
forget_request(struct holdings *h, struct pending *p)
{
	tdelete(p, &h->requests, by_request);
	pending_free(p);
}

static void
count_release(struct holder *one, int64_t at)
{
	if (one->releases++ == 0)
		one->first = at;
	one->last = MAX2(one->last, at);
}

static void
take_authorised(struct holdings *h, const struct scan *s)
{
	struct held *g = take_held(h, s);
	struct pending *p = find_request(h, s);

	/* the same request, for a newer generation: the first one was not
	 * sent, and will not be */
	if (p) {
		p->holder->releases--;
		p->holder->unconfirmed--;
		forget_request(h, p);
	}
	if (!g)
		return;
	p = xnew(struct pending);
	p->holder = take_holder(g, s);
	count_release(p->holder, filter_time(s, SCAN_TIME));
	p->holder->unconfirmed++;
	p->request_id = scan_dup(s, SCAN_REQUEST_ID);
	if (!p->request_id)
		free(p); /* its outcome cannot be told */
	else if (!tsearch(p, &h->requests, by_request))
		abort();
}

static void
take_sent(struct holdings *h, const struct scan *s)
{
	struct pending *p = find_request(h, s);
	struct held *g;

	if (p) {
		p->holder->unconfirmed--;
		p->holder->last = MAX2(p->holder->last,
		    filter_time(s, SCAN_TIME));
		forget_request(h, p);
		return;
	}
	/* its `authorised` line is in an older file, which is not here */
	g = take_held(h, s);
	if (g)
		count_release(take_holder(g, s), filter_time(s, SCAN_TIME));
}

static void
take_withheld(struct holdings *h, const struct scan *s)
{
	struct pending *p;
	struct held *g;

	if (!scan_has(s, SCAN_REQUEST_ID)) {
		g = take_held(h, s);
		if (g)
			g->revoking = true;
		return;
	}
	p = find_request(h, s);
	if (!p)
		return;
	p->holder->releases--;
	p->holder->unconfirmed--;
	forget_request(h, p);
}

/* --------------------------------------------------------------- other lines */

static void
take_minted(struct holdings *h, const struct scan *s, bool imported)
{
	struct held *g = take_held(h, s);

	if (!g)
		return;
	g->minted = filter_time(s, SCAN_TIME);
	g->imported = imported;
}

/* "forgotten: ..." is how the daemon says that the service cannot revoke. */
static void
take_revoked(struct holdings *h, const struct scan *s)
{
	struct held *g = take_held(h, s);

	if (!g)
		return;
	g->revoked = filter_time(s, SCAN_TIME);
	g->forgotten = filter_text("forgotten*", s, SCAN_REASON);
}

static void
take_login(struct holdings *h, const struct scan *s)
{
	struct login_event *e;

	if (scan_has(s, SCAN_TOKEN) || !scan_has(s, SCAN_LOGIN) ||
	    (!h->every_login && !(h->login &&
	    scan_is(s, SCAN_LOGIN, h->login))))
		return;
	h->event = xreallocarray(h->event, h->n_events + 1,
	    sizeof(h->event[0]));
	e = &h->event[h->n_events++];
	*e = (struct login_event){ .event = scan_dup(s, SCAN_EVENT),
		.login = scan_dup(s, SCAN_LOGIN),
		.human = scan_dup(s, SCAN_HUMAN),
		.reason = scan_dup(s, SCAN_REASON),
		.time = filter_time(s, SCAN_TIME) };
}

/* Not refreshes: they are many, and change nothing in what was approved. */
static bool
is_about_login(const struct scan *s)
{
	static const char *const events[] = { "login_started",
		"login_granted", "login_failed", "login_pinned",
		"human_needed", "refresh_failed", "logout" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++)
		if (scan_is(s, SCAN_EVENT, events[i]))
			return true;
	return false;
}

void
holdings_take(struct holdings *h, const struct scan *s)
{
	if (scan_is(s, SCAN_EVENT, "authorised"))
		take_authorised(h, s);
	else if (scan_is(s, SCAN_EVENT, "sent"))
		take_sent(h, s);
	else if (scan_is(s, SCAN_EVENT, "withheld"))
		take_withheld(h, s);
	else if (scan_is(s, SCAN_EVENT, "minted"))
		take_minted(h, s, false);
	else if (scan_is(s, SCAN_EVENT, "imported"))
		take_minted(h, s, true);
	else if (scan_is(s, SCAN_EVENT, "revoked"))
		take_revoked(h, s);
	else if (is_about_login(s))
		take_login(h, s);
}

/* -------------------------------------------------------------------- ask */

size_t
holdings_count(const struct holdings *h)
{
	return h->n_held;
}

struct held *
holdings_at(const struct holdings *h, size_t i)
{
	return h->held[i];
}

size_t
holdings_n_events(const struct holdings *h)
{
	return h->n_events;
}

const struct login_event *
holdings_event(const struct holdings *h, size_t i)
{
	return &h->event[i];
}

long
holdings_approval(const struct holdings *h, struct held *g)
{
	const struct login_event *e;
	size_t i;

	/* every page asks for each value at each approval */
	if (h->n_events && g->approval_of == h->n_events)
		return g->approval;
	g->approval = -1;
	g->approval_of = h->n_events;
	for (i = 0; i < h->n_events; i++) {
		e = &h->event[i];
		if (strcmp(e->event, "login_granted") == 0 && g->minted &&
		    streq(e->login, g->login) && e->time <= g->minted)
			g->approval = (long)i;
	}
	return g->approval;
}

int64_t
held_end(const struct held *g)
{
	if (g->revoked && !g->forgotten)
		return g->revoked;
	return g->expires ? g->expires : INT64_MAX;
}

enum held_state
held_state(const struct held *g, int64_t at)
{
	if (g->revoked && !g->forgotten)
		return HELD_REVOKED;
	if (g->expires && g->expires <= at)
		return HELD_EXPIRED;
	if (g->revoked)
		return HELD_FORGOTTEN;
	return g->revoking ? HELD_REVOKING : HELD_LIVE;
}

const char *
held_state_name(enum held_state state)
{
	static const char *const names[] = {
		[HELD_LIVE] = "live",
		[HELD_REVOKING] = "revoking",
		[HELD_FORGOTTEN] = "forgotten",
		[HELD_EXPIRED] = "expired",
		[HELD_REVOKED] = "revoked",
	};

	return names[state];
}

bool
held_is_alive(enum held_state state)
{
	return state == HELD_LIVE || state == HELD_REVOKING ||
	    state == HELD_FORGOTTEN;
}

bool
held_match(struct held *g, const struct filter *f)
{
	struct holder *one;
	bool any = false;
	size_t i;

	for (i = 0; i < g->n_holders; i++) {
		one = g->holder[i];
		one->matched = one->releases > 0 &&
		    (f->uid < 0 || one->uid == (uint64_t)f->uid) &&
		    (!f->unit || (one->unit &&
		    filter_unit(f->unit, one->unit))) &&
		    (!f->since || one->last >= f->since);
		any |= one->matched;
	}
	return any;
}
