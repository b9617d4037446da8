/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake_broker.h.
 */
#include "fake_broker.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/queue.h>

#include "base/now.h"
#include "base/openmetrics.h"
#include "base/principal.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/loop.h"

#define TOKENS_MAX 8

struct broker_waiter {
	TAILQ_ENTRY(broker_waiter) link;
	struct broker *broker;
	char *name;
	uint64_t newer_than;
	int64_t min_valid_s;
	broker_waiter_fn *fn;
	void *arg;
};

struct broker_login_watch {
	struct broker *broker;
	broker_login_fn *fn;
	void *arg;
};

struct broker_job {
	broker_done_fn *done;
	void *arg;
};

struct fake_token {
	char *name;
	struct secret value;
	uint64_t generation, serial;
	int64_t expires_at;
	struct tb_error failure;
	struct broker_releases releases;
};

struct broker {
	struct fake_token tokens[TOKENS_MAX];
	size_t n_tokens;
	TAILQ_HEAD(, broker_waiter) waiters;
	struct loop_task answer;
	uint64_t serial, rejected;
	unsigned cold, cancelled;
	bool accept, disk_ok;
	struct broker_login_watch *login;
	char login_text[128], refuse_login[128], job_text[128];
	char hold_text[320];
	unsigned holds;
	void (*on_hold)(void);
	int confirmed;
	struct broker_job *job;
	struct tb_error lease_error;
};

static struct fake_token *
find(const struct broker *b, const char *name)
{
	for (size_t i = 0; i < b->n_tokens; i++)
		if (streq(b->tokens[i].name, name))
			return (struct fake_token *)(uintptr_t)&b->tokens[i];
	return NULL;
}

static bool
fill_view(struct fake_token *t, int64_t min_valid_s, struct broker_view *view)
{
	if (!t || secret_is_empty(&t->value) ||
	    t->expires_at - now_real_s() <= min_valid_s)
		return false;
	*view = (struct broker_view){
		.name = t->name,
		.value = &t->value,
		.generation = t->generation,
		.token_id = "id-1",
		.fingerprint = "00112233",
		.backend = "backend",
		.minted_at = t->expires_at - 7200,
		.expires_at = t->expires_at,
		.now_s = now_real_s(),
		.releases = &t->releases,
		.serial = t->serial,
	};
	return true;
}

static void
waiter_free(struct broker_waiter *w)
{
	TAILQ_REMOVE(&w->broker->waiters, w, link);
	free(w->name);
	free(w);
}

/* One waiter, if there is something to tell. */
static bool
answer_one(struct broker *b)
{
	struct broker_view view;
	struct broker_waiter *w;
	struct fake_token *t;

	TAILQ_FOREACH(w, &b->waiters, link) {
		struct tb_error err = TB_ERROR_INIT;
		broker_waiter_fn *fn = w->fn;
		void *arg = w->arg;

		t = find(b, w->name);
		if (!t) {
			tb_error_set(&err, TB_E_BADREQ, "not configured");
		} else if (fill_view(t, 0, &view) &&
		    view.generation > w->newer_than) {
			waiter_free(w);
			fn(arg, &view, NULL);
			return true;
		} else if (t->failure.code) {
			err = t->failure;
		}
		if (err.code) {
			waiter_free(w);
			fn(arg, NULL, &err);
			return true;
		}
	}
	return false;
}

static void
answer(void *arg)
{
	while (answer_one(arg))
		;
}

struct broker *
fake_broker_new(struct loop *loop)
{
	struct broker *b = xnew(struct broker);

	TAILQ_INIT(&b->waiters);
	loop_task_init(&b->answer, loop, answer, b);
	b->disk_ok = true;
	b->confirmed = -1;
	return b;
}

struct broker *
broker_new(const struct broker_env *env, const struct conf *conf,
    struct tb_error *err)
{
	return fake_broker_new(env->loop);
}

void
broker_free(struct broker *b)
{
	struct broker_waiter *w;

	while ((w = TAILQ_FIRST(&b->waiters)))
		waiter_free(w);
	loop_task_cancel(&b->answer);
	for (size_t i = 0; i < b->n_tokens; i++) {
		free(b->tokens[i].name);
		secret_clear(&b->tokens[i].value);
	}
	free(b->login);
	free(b->job);
	free(b);
}

int
broker_reconfigure(struct broker *b, const struct conf *conf,
    struct tb_error *err)
{
	return 0;
}

void
fake_broker_add(struct broker *b, const char *name)
{
	b->tokens[b->n_tokens++].name = xstrdup(name);
}

void
fake_broker_set(struct broker *b, const char *name, const char *value,
    uint64_t generation, int64_t expires_at)
{
	struct fake_token *t = find(b, name);

	secret_set_str(&t->value, value);
	t->generation = generation;
	t->expires_at = expires_at;
	t->serial = ++b->serial;
	t->failure.code = TB_OK;
	loop_task_post(&b->answer);
}

void
fake_broker_shift(struct broker *b, const char *name, int64_t expires_at)
{
	find(b, name)->expires_at = expires_at;
}

void
fake_broker_unset(struct broker *b, const char *name)
{
	secret_clear(&find(b, name)->value);
}

void
fake_broker_remove(struct broker *b, const char *name)
{
	struct fake_token *t = find(b, name);

	fake_broker_unset(b, name);
	free(t->name);
	*t = b->tokens[--b->n_tokens];
	loop_task_post(&b->answer);
}

void
fake_broker_fail(struct broker *b, const char *name, enum tb_errc code,
    const char *msg, int64_t retry_after_ms)
{
	struct fake_token *t = find(b, name);

	tb_error_set(&t->failure, code, "%s", msg);
	t->failure.retry_after_ms = retry_after_ms;
	loop_task_post(&b->answer);
}

unsigned
fake_broker_waiters(const struct broker *b)
{
	struct broker_waiter *w;
	unsigned n = 0;

	TAILQ_FOREACH(w, &b->waiters, link)
		n++;
	return n;
}

unsigned
fake_broker_cold(const struct broker *b)
{
	return b->cold;
}

/* --------------------------------------------------------------- releases */

const char *
broker_name_for(struct broker *b, const char *token,
    const struct principal *who, char buf[BROKER_NAME_SIZE])
{
	(void)b;
	(void)who;
	(void)buf;
	return token;
}

bool
broker_has_token(const struct broker *b, const char *name)
{
	return find(b, name) != NULL;
}

int64_t
broker_max_min_valid(const struct broker *b, const char *name)
{
	return 3600;
}

bool
broker_get(struct broker *b, const char *name, int64_t min_valid_s,
    struct broker_view *view)
{
	return fill_view(find(b, name), min_valid_s, view);
}

struct broker_waiter *
broker_wait(struct broker *b, const char *name, uint64_t newer_than,
    int64_t min_valid_s, broker_waiter_fn *fn, void *arg)
{
	struct broker_waiter *w = xnew(struct broker_waiter);

	w->broker = b;
	w->name = xstrdup(name);
	w->newer_than = newer_than;
	w->min_valid_s = min_valid_s;
	w->fn = fn;
	w->arg = arg;
	b->cold += newer_than == 0;
	TAILQ_INSERT_TAIL(&b->waiters, w, link);
	return w;
}

void
broker_wait_cancel(struct broker_waiter **w)
{
	if (*w)
		waiter_free(*w);
	*w = NULL;
}

void
fake_broker_accept(struct broker *b, bool accept)
{
	b->accept = accept;
}

uint64_t
fake_broker_rejected_generation(const struct broker *b)
{
	return b->rejected;
}

bool
broker_rejected(struct broker *b, const char *name, uint64_t generation,
    const unsigned char sha256[32], const struct principal *who)
{
	b->rejected = generation;
	return b->accept;
}

const char *
broker_token_login(const struct broker *b, const char *name)
{
	return "ops";
}

void
broker_each_token(struct broker *b, void (*fn)(void *arg, const char *name),
    void *arg)
{
	for (size_t i = 0; i < b->n_tokens; i++)
		fn(arg, b->tokens[i].name);
}

/* ----------------------------------------------------------------- logins */

void
fake_broker_refuse_login(struct broker *b, const char *msg)
{
	snprintf(b->refuse_login, sizeof(b->refuse_login), "%s", msg);
}

struct broker_login_watch *
broker_login_start(struct broker *b, const struct broker_login_request *req,
    broker_login_fn *fn, void *arg, struct tb_error *err)
{
	if (*b->refuse_login || b->login) {
		tb_error_set(err, TB_E_BADREQ, "%s", *b->refuse_login ?
		    b->refuse_login : "one is pending");
		*b->refuse_login = '\0';
		return NULL;
	}
	snprintf(b->login_text, sizeof(b->login_text), "%s %s %d", req->name,
	    req->expect ? req->expect : "-", req->repin);
	b->login = xnew(struct broker_login_watch);
	b->login->broker = b;
	b->login->fn = fn;
	b->login->arg = arg;
	return b->login;
}

void
fake_broker_news(struct broker *b, const struct broker_login_news *news)
{
	struct broker_login_watch *w = b->login;

	if (news->what == BROKER_LOGIN_DONE ||
	    news->what == BROKER_LOGIN_FAILED)
		b->login = NULL;
	w->fn(w->arg, news);
	if (!b->login)
		free(w);
}

const char *
fake_broker_login(const struct broker *b)
{
	return b->login ? b->login_text : NULL;
}

int
fake_broker_confirmed(const struct broker *b)
{
	return b->confirmed;
}

unsigned
fake_broker_cancelled(const struct broker *b)
{
	return b->cancelled;
}

void
broker_login_confirm(struct broker_login_watch *w, bool yes)
{
	w->broker->confirmed = yes;
}

void
broker_login_cancel(struct broker_login_watch **w)
{
	if (!*w)
		return;
	(*w)->broker->login = NULL;
	(*w)->broker->cancelled++;
	free(*w);
	*w = NULL;
}

/* ------------------------------------------------------------------- jobs */

static struct broker_job *
job(struct broker *b, broker_done_fn *done, void *arg)
{
	free(b->job);
	b->job = xnew(struct broker_job);
	b->job->done = done;
	b->job->arg = arg;
	return b->job;
}

void
broker_job_forget(struct broker_job **jp)
{
	if (*jp)
		(*jp)->done = NULL;
	*jp = NULL;
}

const char *
fake_broker_job(const struct broker *b)
{
	return b->job_text;
}

bool
fake_broker_job_end(struct broker *b, json_t *detail,
    const struct tb_error *err)
{
	struct broker_job *j = STEAL(b->job);
	bool told = j->done != NULL;

	if (told)
		j->done(j->arg, detail, err);
	json_decref(detail);
	free(j);
	return told;
}

void
fake_broker_refuse_lease(struct broker *b, enum tb_errc code, const char *msg)
{
	b->lease_error = (struct tb_error)TB_ERROR_INIT;
	if (code)
		tb_error_set(&b->lease_error, code, "%s", msg);
}

int
broker_lease_take(struct broker *b, const char *token,
    const struct principal *who, unsigned *number,
    char name[BROKER_NAME_SIZE], struct tb_error *err)
{
	snprintf(b->job_text, sizeof(b->job_text), "lease %s %u", token,
	    *number);
	if (b->lease_error.code) {
		*err = b->lease_error;
		return -1;
	}
	if (*number == 0)
		*number = 1;
	snprintf(name, BROKER_NAME_SIZE, "%s@lease:%u:uid:%u", token, *number,
	    who->uid);
	if (!find(b, name))
		fake_broker_add(b, name);
	return 0;
}

struct broker_job *
broker_lease_end(struct broker *b, const char *name, broker_done_fn *done,
    void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "end %s", name);
	return job(b, done, arg);
}

struct broker_job *
broker_logout(struct broker *b, const char *login, bool keep_tokens,
    broker_done_fn *done, void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "logout %s%s", login,
	    keep_tokens ? " keep" : "");
	return job(b, done, arg);
}

struct broker_job *
broker_revoke(struct broker *b, const char *token, uint64_t generation,
    broker_done_fn *done, void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "revoke %s %" PRIu64,
	    token, generation);
	return job(b, done, arg);
}

struct broker_job *
broker_reconcile(struct broker *b, const char *backend, broker_done_fn *done,
    void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "reconcile %s",
	    backend ? backend : "all");
	return job(b, done, arg);
}

struct broker_job *
broker_adopt(struct broker *b, broker_done_fn *done, void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "adopt");
	return job(b, done, arg);
}

struct broker_job *
broker_rekey(struct broker *b, const struct secret *key, broker_done_fn *done,
    void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "rekey %zu", key->len);
	return job(b, done, arg);
}

struct broker_job *
broker_rotate(struct broker *b, const char *token, broker_done_fn *done,
    void *arg)
{
	snprintf(b->job_text, sizeof(b->job_text), "rotate %s", token);
	return job(b, done, arg);
}

struct broker_job *
broker_import(struct broker *b, const char *token, struct secret *value,
    const char *token_id, int64_t expires_at, broker_done_fn *done, void *arg)
{
	struct secret taken = SECRET_INIT;

	secret_move(&taken, value);
	snprintf(b->job_text, sizeof(b->job_text), "import %s %zu %s %" PRId64,
	    token, taken.len, token_id ? token_id : "-", expires_at);
	secret_clear(&taken);
	return job(b, done, arg);
}

/* ----------------------------------------------------------------- status */

void
fake_broker_disk(struct broker *b, bool ok)
{
	b->disk_ok = ok;
}

json_t *
broker_status_logins(struct broker *b)
{
	return json_pack("[{s:s, s:s}]", "name", "ops", "state", "granted");
}

json_t *
broker_status_tokens(struct broker *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_tokens; i++)
		json_array_append_new(list, json_pack("{s:s}", "name",
		    b->tokens[i].name));
	return list;
}

json_t *
broker_status(struct broker *b)
{
	json_t *o = json_object(), *disk = json_object();

	json_object_set_new(disk, "ok", json_boolean(b->disk_ok));
	if (!b->disk_ok)
		json_object_set_new(disk, "error", json_string("disk full"));
	json_object_set_new(o, "disk", disk);
	return o;
}

void
broker_count_release(struct broker *b, const char *name, unsigned door,
    enum broker_outcome outcome)
{
	struct fake_token *t = find(b, name);

	if (t)
		t->releases.n[door][outcome]++;
}

uint64_t
fake_broker_released(const struct broker *b, const char *name, unsigned door,
    enum broker_outcome outcome)
{
	return find(b, name)->releases.n[door][outcome];
}

void
broker_hold(struct broker *b, const struct broker_view *view,
    const struct principal *who, unsigned door, const char *delivery)
{
	b->holds++;
	snprintf(b->hold_text, sizeof(b->hold_text), "%s %" PRIu64
	    " uid=%lu door=%u%s%s", view->name, view->generation,
	    (unsigned long)who->uid, door, delivery ? " " : "",
	    delivery ? delivery : "");
	if (b->on_hold)
		b->on_hold();
}

void
fake_broker_on_hold(struct broker *b, void (*fn)(void))
{
	b->on_hold = fn;
}

unsigned
fake_broker_holds(const struct broker *b, const char **last)
{
	if (last)
		*last = b->hold_text;
	return b->holds;
}

char *
broker_human_needed(struct broker *b)
{
	return NULL;
}

int
broker_health(struct broker *b, struct tb_error *err)
{
	return b->disk_ok ? 0 : tb_error_set(err, TB_E_IO,
	    "disk full");
}

void
broker_metrics(struct broker *b, struct openmetrics *m)
{
	openmetrics_family(m, OPENMETRICS_GAUGE, "tokenbroker_fake", "A fake.");
	openmetrics_int(m, (int64_t)b->n_tokens, NULL);
}
