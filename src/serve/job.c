/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job - see the header.
 */
#include "serve/job.h"

#include "base/tb_error.h"
#include "base/util.h"
#include "serve/session.h"

struct job {
	struct session_op op;
	struct broker_job *job;
};

static void
job_gone(struct session_op *op)
{
	struct job *j = container_of(op, struct job, op);

	broker_job_forget(&j->job);
	free(j);
}

static void
job_hurry(struct session_op *op, enum session_hurry why)
{
	struct session *s;
	json_t *o;

	if (why == SESSION_RELOADED)
		return;
	s = session_end(op);
	if (why == SESSION_STOPPING) {
		session_refuse(s, PROBLEM_STOPPING, "the broker is stopping; "
		    "look at the status when it is up again");
	} else {
		o = json_object();
		json_object_set_new(o, "state", json_string("working"));
		json_object_set_new(o, "detail", json_string("it takes longer "
		    "than a request may; the work goes on, see `jobs` of the "
		    "status"));
		session_reply_json(s, 202, o);
	}
	job_gone(op);
}

static const struct session_op_type job_type = {
	.gone = job_gone,
	.hurry = job_hurry,
};

void
job_on_done(void *arg, json_t *detail, const struct tb_error *err)
{
	struct job *j = arg;
	struct session *s;
	struct problem p;

	j->job = NULL;
	s = session_end(&j->op);
	free(j);
	if (err) {
		/* a job's TB_E_LOGIN text names the login */
		p = problem_from_error(err, NULL);
		session_problem(s, &p);
	} else {
		session_reply_json(s, 200, json_incref(detail));
	}
}

struct job *
job_begin(struct session *s)
{
	struct job *j = xnew(struct job);

	session_begin(s, &j->op, &job_type, false);
	return j;
}

void
job_set(struct job *j, struct broker_job *job)
{
	j->job = job;
}
