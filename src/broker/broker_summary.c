/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole broker in a line or two: is it well, how long may the outside be
 * away, and when is a human needed.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "base/strbuf.h"
#include "broker/broker_int.h"
#include "broker/login.h"
#include "broker/reconcile.h"
#include "broker/status.h"
#include "conf.h"
#include "state/store.h"
#include "state/writer.h"

int
broker_health(struct broker *b, struct tb_error *err)
{
	return writer_health(b->writer, err);
}

int64_t
broker_outage_budget_s(struct broker *b, const char **token)
{
	int64_t least = -1, s;

	for (size_t i = 0; i < b->n_tokens; i++) {
		/* what is not to be renewed anyway is not at risk */
		if (!token_has_clients(b->tokens[i]) ||
		    token_is_lease(b->tokens[i]))
			continue;
		s = token_outage_budget_s(b->tokens[i]);
		if (least >= 0 && s >= least)
			continue;
		least = s;
		if (token)
			*token = token_name(b->tokens[i]);
	}
	return least;
}

/* When somebody has to import another one; 0: nobody waits for it, nor for what
 * it pays, or it is not made by hand. */
static int64_t
import_needed_at(struct broker *b, struct token *t)
{
	bool needed = token_has_clients(t);

	for (size_t i = 0; i < b->conf->n_backends && !needed; i++)
		needed = streq(b->conf->backends[i]->management_token,
		    token_name(t));
	return needed ? token_human_needed_at(t) : 0;
}

/* The earliest, and who it is that needs one, as a member of the status: a
 * login, or a token to be imported. 0: not known of any. */
static int64_t
broker_human_needed_at(struct broker *b, const char **what, const char **name)
{
	struct login_numbers n;
	int64_t first = 0, at;

	for (size_t i = 0; i < b->n_logins; i++) {
		login_get_numbers(b->logins[i], &n);
		if (!n.human_needed_at ||
		    (first && n.human_needed_at >= first))
			continue;
		first = n.human_needed_at;
		*what = "login";
		*name = login_name(b->logins[i]);
	}
	for (size_t i = 0; i < b->n_tokens; i++) {
		at = import_needed_at(b, b->tokens[i]);
		if (!at || (first && at >= first))
			continue;
		first = at;
		*what = "import";
		*name = token_name(b->tokens[i]);
	}
	return first;
}

void
broker_tell_insecure(struct broker *b)
{
	for (size_t i = 0; i < b->conf->n_backends; i++) {
		const struct backend_conf *c = b->conf->backends[i];

		if (c->tls_insecure)
			log_warn("backend", "%s: tls_insecure = yes: the "
			    "service's certificate is not verified, so that "
			    "whoever sits on the way gets the payer's token; "
			    "ca_file names an authority of your own", c->name);
	}
}

static json_t *
insecure_backends(const struct broker *b)
{
	json_t *names = json_array();

	for (size_t i = 0; i < b->conf->n_backends; i++) {
		if (b->conf->backends[i]->tls_insecure)
			json_array_append_new(names,
			    json_string(b->conf->backends[i]->name));
	}
	return names;
}

void
broker_add_summary(struct broker *b, json_t *o)
{
	const char *token = NULL, *what = NULL, *name = NULL;
	int64_t budget = broker_outage_budget_s(b, &token);
	int64_t at = broker_human_needed_at(b, &what, &name);
	json_t *one;

	if (budget >= 0) {
		one = json_object();
		status_int(one, "seconds", budget);
		status_str(one, "token", token);
		json_object_set_new(o, "outage_budget", one);
	}
	if (at) {
		one = json_object();
		status_time(one, "at", at);
		status_str(one, what, name);
		json_object_set_new(o, "human_needed", one);
	}
	json_object_set_new(o, "insecure_backends", insecure_backends(b));
}

char *
broker_human_needed(struct broker *b)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct login_numbers n;
	int64_t at;

	for (size_t i = 0; i < b->n_logins; i++) {
		login_get_numbers(b->logins[i], &n);
		if (n.human_needed)
			strbuf_addf(&text, "%stokenbrokerctl login %s",
			    text.len ? "; " : "", login_name(b->logins[i]));
	}
	for (size_t i = 0; i < b->n_tokens; i++) {
		at = import_needed_at(b, b->tokens[i]);
		if (at && at <= now_real_s())
			strbuf_addf(&text, "%stokenbrokerctl import %s",
			    text.len ? "; " : "", token_name(b->tokens[i]));
	}
	return text.len ? strbuf_steal(&text) : NULL;
}

static void
add_plural(struct strbuf *b, size_t n, const char *one, const char *many)
{
	if (n)
		strbuf_addf(b, "; %zu %s", n, n == 1 ? one : many);
}

char *
broker_status_line(struct broker *b)
{
	struct strbuf line _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct tb_error err = TB_ERROR_INIT;
	size_t ready = 0, human = 0, unsettled = 0, orphans = 0, ending = 0;
	size_t refused = 0;
	struct token_numbers t;
	struct login_numbers l;
	struct store_stats s;

	for (size_t i = 0; i < b->n_tokens; i++) {
		token_get_numbers(b->tokens[i], &t);
		ready += t.expires_at != 0;
		unsettled += t.unsettled;
		ending += t.ending;
		refused += token_is_refused(b->tokens[i]);
	}
	for (size_t i = 0; i < b->n_logins; i++) {
		login_get_numbers(b->logins[i], &l);
		human += l.human_needed;
	}
	for (size_t i = 0; i < b->n_reconciles; i++)
		orphans += reconcile_orphans(b->reconciles[i]);
	store_get_stats(b->store, &s);
	if (store_is_quarantined(b->store))
		strbuf_adds(&line, "the state is QUARANTINED: see "
		    "tokenbrokerctl status, then adopt; ");
	strbuf_addf(&line, "%zu of %zu tokens ready", ready, b->n_tokens);
	if (writer_health(b->writer, &err) < 0)
		strbuf_adds(&line, "; the disk FAILS");
	add_plural(&line, ending, "token ends soon, without a new one",
	    "tokens end soon, without new ones");
	add_plural(&line, human, "login needs a human",
	    "logins need a human");
	add_plural(&line, refused, "token that pays is refused: import another",
	    "tokens that pay are refused: import others");
	add_plural(&line, s.quarantined, "record in quarantine",
	    "records in quarantine");
	add_plural(&line, s.missing, "record missing", "records missing");
	add_plural(&line, unsettled, "mint unsettled", "mints unsettled");
	add_plural(&line, orphans, "unknown token upstream",
	    "unknown tokens upstream");
	return strbuf_steal(&line);
}
