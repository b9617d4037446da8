/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease - see the header. The rules are those of the token, asked for every
 * request; a connection that is idle with a lease is not closed for that.
 */
#include "serve/lease.h"

#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "serve/api.h"
#include "serve/job.h"
#include "serve/release.h"
#include "serve/serve_int.h"
#include "serve/session.h"

#define NUMBER_MAX 100000 /* more than any configuration can give */

struct lease {
	struct session_attachment attachment;
	struct serve *serve;
	char *token; /* as the client wrote it */
	char *name;  /* what the broker calls it */
};

static void
lease_free(struct lease *l)
{
	free(l->token);
	free(l->name);
	free(l);
}

/* Who stops says nothing of the run: it comes back. */
static void
lease_gone(struct session_attachment *a)
{
	struct lease *l = container_of(a, struct lease, attachment);

	if (!l->serve->stopping)
		broker_lease_end(l->serve->broker, l->name, NULL, NULL);
	lease_free(l);
}

static struct lease *
lease_of(const struct session *s)
{
	struct session_attachment *a = session_attached(s);

	return a ? container_of(a, struct lease, attachment) : NULL;
}

/* That of this connection and token; NULL: refused. */
static struct lease *
own_lease(struct session *s, const struct request *rq)
{
	struct lease *l = lease_of(s);

	if (l && streq(l->token, rq->name))
		return l;
	session_refuse(s, PROBLEM_CONFLICT, "this connection has no lease of "
	    "that token: POST the same address on it first");
	return NULL;
}

static void
attach(struct session *s, const char *token, const char *name)
{
	struct lease *l = xnew(struct lease);

	l->attachment.gone = lease_gone;
	l->attachment.keeps = true;
	l->serve = session_serve(s);
	l->token = xstrdup(token);
	l->name = xstrdup(name);
	session_attach(s, &l->attachment);
}

void
lease_take(struct session *s, const struct request *rq)
{
	struct http1_view resume = route_query(rq, "resume");
	int64_t n = resume.s ? http1_number(resume, NUMBER_MAX) : 0;
	struct acl_verdict v = session_verdict(s, rq->name);
	struct tb_error err = TB_ERROR_INIT;
	unsigned number = (unsigned)MAX2(n, 0);
	char name[BROKER_NAME_SIZE];
	struct problem p;
	json_t *o;

	if (!v.allow) {
		release_deny(s, rq->name, &v);
	} else if (resume.s && n < 1) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "resume is the number of a lease");
	} else if (lease_of(s)) {
		session_refuse(s, PROBLEM_CONFLICT, "this connection has a "
		    "lease already: take another one on another");
	} else if (!session_keeps_alive(s)) {
		session_refuse(s, PROBLEM_BAD_REQUEST, "a lease is that of a "
		    "connection, and this one ends with the request");
	} else if (broker_lease_take(session_serve(s)->broker, rq->name,
		       session_who(s), &number, name, &err) < 0) {
		p = problem_from_error(&err, NULL);
		session_problem(s, &p);
	} else {
		attach(s, rq->name, name);
		o = json_object();
		json_object_set_new(o, "token", json_string(rq->name));
		json_object_set_new(o, "lease", json_integer(number));
		session_reply_json(s, resume.s ? 200 : 201, o);
	}
}

void
lease_get(struct session *s, const struct request *rq)
{
	struct lease *l = own_lease(s, rq);
	struct release_ask ask;

	if (!l || !api_parse_ask(s, rq, &ask))
		return;
	ask.lease = l->name;
	release_start(s, &ask);
}

void
lease_end(struct session *s, const struct request *rq)
{
	struct lease *l = own_lease(s, rq);
	struct job *j;

	if (!l)
		return;
	session_attach(s, NULL);
	j = job_begin(s);
	job_set(j, broker_lease_end(l->serve->broker, l->name, job_on_done,
	    j));
	lease_free(l);
}
