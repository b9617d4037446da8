/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker_job - see the header.
 */
#include "broker/broker_job.h"

#include "base/now.h"
#include "broker/reconcile.h"
#include "broker/status.h"
#include "state/store.h"

static void
broker_job_free(struct broker_job *j)
{
	TAILQ_REMOVE(&j->broker->jobs, j, link);
	broker_wait_cancel(&j->waiter);
	loop_task_cancel(&j->failing);
	for (size_t i = 0; i < j->n_asked; i++)
		reconcile_ask_cancel(&j->asked[i].ask);
	free(j->asked);
	for (size_t i = 0; i < j->n_turns; i++)
		broker_wait_cancel(&j->turns[i].waiter);
	free(j->turns);
	json_decref(j->looks);
	free(j->login);
	free(j->name);
	free(j);
}

void
broker_job_end(struct broker_job *j, json_t *detail /* taken */,
    const struct tb_error *err)
{
	broker_done_fn *done = j->done;

	j->done = NULL;
	if (done)
		done(j->arg, detail, err);
	json_decref(detail);
	broker_job_free(j);
}

static void
job_on_failing(void *arg)
{
	struct broker_job *j = arg;

	broker_job_end(j, NULL, &j->error);
}

struct broker_job *
broker_job_new(struct broker *b, const char *what, const char *name,
    broker_done_fn *done, void *arg)
{
	struct broker_job *j = xnew(struct broker_job);

	j->broker = b;
	j->what = what;
	j->name = xstrdup0(name);
	j->since = now_real_s();
	j->done = done;
	j->arg = arg;
	loop_task_init(&j->failing, b->tenv.loop, job_on_failing, j);
	TAILQ_INSERT_TAIL(&b->jobs, j, link);
	return j;
}

struct broker_job *
broker_job_refuse(struct broker_job *j, const char *why, const char *name)
{
	tb_error_set(&j->error, TB_E_BADREQ, "%s: '%s'", why, name);
	loop_task_post(&j->failing);
	return j;
}

bool
broker_job_is_held(struct broker_job *j)
{
	if (!store_is_quarantined(j->broker->store))
		return false;
	store_why_quarantined(j->broker->store, &j->error);
	loop_task_post(&j->failing);
	return true;
}

void
broker_job_forget(struct broker_job **jp)
{
	struct broker_job *j = STEAL(*jp);

	if (j)
		j->done = NULL;
}

void
broker_jobs_free(struct broker *b)
{
	struct broker_job *j;

	while ((j = TAILQ_FIRST(&b->jobs)))
		broker_job_free(j);
}

json_t *
broker_job_counts(const struct broker_job *j)
{
	json_t *o = json_object();

	status_int(o, "revoked", j->revoked);
	status_int(o, "forgotten", j->local_only);
	status_int(o, "failed", j->failed);
	if (j->failed)
		status_str(o, "last_error", j->last.msg);
	return o;
}

void
broker_job_add_counts(struct broker_job *j, unsigned revoked, unsigned local_only,
    unsigned failed, const struct tb_error *last)
{
	j->revoked += revoked;
	j->local_only += local_only;
	j->failed += failed;
	if (last)
		j->last = *last;
}

void
broker_job_on_revoked(void *arg, unsigned revoked, unsigned local_only,
    unsigned failed, const struct tb_error *last)
{
	struct broker_job *j = arg;

	broker_job_add_counts(j, revoked, local_only, failed, last);
	if (--j->open == 0)
		broker_job_end(j, broker_job_counts(j), NULL);
}
