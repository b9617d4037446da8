/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See metrics.h. One file is under way at a time: while the disk stalls, the
 * old one stays, and its age tells.
 */
#include "serve/metrics.h"

#include "base/log.h"
#include "base/openmetrics.h"
#include "base/tb_error.h"
#include "broker/broker.h"
#include "conf.h"
#include "lib/loop.h"
#include "serve/counts.h"
#include "serve/serve_int.h"
#include "state/writer.h"

#define GAUGE(name, help) openmetrics_family(m, OPENMETRICS_GAUGE, \
    "tokenbroker_" name, help)
#define COUNTER(name, help) openmetrics_family(m, OPENMETRICS_COUNTER, \
    "tokenbroker_" name, help)

static const enum acl_door doors[] = { ACL_DOOR_API, ACL_DOOR_CREDENTIAL,
	ACL_DOOR_ADMIN };

static void
add_doors(struct serve *s, struct openmetrics *m)
{
	size_t i;

	GAUGE("connections", "Connections that are open.");
	for (i = 0; i < ARRAY_SIZE(doors); i++)
		openmetrics_int(m, counts_door(&s->counts,
		    doors[i])->connections, "door", acl_door_name(doors[i]),
		    NULL);
	COUNTER("connections_refused", "Connections that were turned away: "
	    "there were too many, or nobody could say whose they were.");
	for (i = 0; i < ARRAY_SIZE(doors); i++)
		openmetrics_int(m, (int64_t)counts_door(&s->counts,
		    doors[i])->refused, "door", acl_door_name(doors[i]), NULL);
	COUNTER("denials", "Requests that no rule or role allows.");
	for (i = 0; i < ARRAY_SIZE(doors); i++)
		openmetrics_int(m, (int64_t)counts_door(&s->counts,
		    doors[i])->denied, "door", acl_door_name(doors[i]), NULL);
	GAUGE("watches", "Requests that wait for the next value of a token.");
	openmetrics_int(m, s->counts.watches, NULL);
	openmetrics_family(m, OPENMETRICS_HISTOGRAM,
	    "tokenbroker_request_duration_seconds", "From a request to its "
	    "answer, watches left out; what is answered at once counts as 0.");
	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		const struct counts_door *d = counts_door(&s->counts,
		    doors[i]);

		openmetrics_histogram(m, counts_bounds_ms, d->took,
		    COUNTS_BOUNDS, d->took_ms, "door",
		    acl_door_name(doors[i]));
	}
}

void
metrics_text(struct serve *s, bool prometheus, struct strbuf *out)
{
	struct tb_error err = TB_ERROR_INIT;
	struct openmetrics metrics, *m = &metrics;

	openmetrics_begin(m, out, prometheus);
	GAUGE("build_info", "The version, as a label.");
	openmetrics_int(m, 1, "version", s->version, NULL);
	GAUGE("ready", "1: a token that is asked for could be released.");
	openmetrics_int(m, !s->stopping && broker_health(s->broker,
	    &err) == 0, NULL);
	add_doors(s, m);
	broker_metrics(s->broker, m);
	openmetrics_end(m);
}

/* -------------------------------------------------------------- the file */

struct metrics_file {
	struct serve *serve;
	struct loop_timer timer;
	struct writer_item *writing;
	bool failing;
};

static void
metrics_on_written(void *arg, const struct tb_error *err)
{
	struct metrics_file *f = arg;

	f->writing = NULL;
	if (err && !f->failing)
		log_warn("metrics", "metrics_file: %s; tried again every "
		    "metrics_interval", err->msg);
	else if (!err && f->failing)
		log_info("metrics", "metrics_file is written again");
	f->failing = err != NULL;
}

static void
metrics_on_timer(void *arg)
{
	struct metrics_file *f = arg;
	const struct conf *conf = f->serve->conf;
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct writer_rec rec = { .kind = WRITER_TEXT };

	loop_timer_set(&f->timer, conf->metrics_interval_ms);
	if (f->writing)
		return;
	metrics_text(f->serve, true, &text);
	rec.name = xstrdup(conf->metrics_file);
	rec.len = text.len;
	rec.bytes = (unsigned char *)strbuf_steal(&text);
	f->writing = writer_put(f->serve->writer, &rec, metrics_on_written, f);
}

struct metrics_file *
metrics_file_new(struct serve *s)
{
	struct metrics_file *f = xnew(struct metrics_file);

	f->serve = s;
	loop_timer_init(&f->timer, s->loop, metrics_on_timer, f);
	metrics_file_reconfigure(f);
	return f;
}

void
metrics_file_reconfigure(struct metrics_file *f)
{
	if (!f)
		return;
	if (f->serve->conf->metrics_file)
		loop_timer_set(&f->timer, 0);
	else
		loop_timer_stop(&f->timer);
}

void
metrics_file_free(struct metrics_file *f)
{
	if (!f)
		return;
	loop_timer_stop(&f->timer);
	writer_forget(&f->writing);
	free(f);
}
