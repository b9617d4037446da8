/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See openmetrics.h.
 */
#include "base/openmetrics.h"

#include <inttypes.h>

static const char *const type_names[] = {
	[OPENMETRICS_COUNTER] = "counter",
	[OPENMETRICS_GAUGE] = "gauge",
	[OPENMETRICS_HISTOGRAM] = "histogram",
};

void
openmetrics_begin(struct openmetrics *m, struct strbuf *out, bool prometheus)
{
	*m = (struct openmetrics){ .out = out, .prometheus = prometheus };
}

void
openmetrics_family(struct openmetrics *m, enum openmetrics_type type,
    const char *name, const char *help)
{
	m->type = type;
	m->name = name;
	m->help = help;
	m->declared = false;
}

static bool
is_seconds(const char *name)
{
	static const char unit[] = "_seconds";
	size_t n = strlen(name), u = sizeof(unit) - 1;

	return n > u && strcmp(name + n - u, unit) == 0;
}

static void
declare(struct openmetrics *m)
{
	/* the older form declares a counter by the name of its samples */
	const char *suffix = m->prometheus && m->type == OPENMETRICS_COUNTER ?
	    "_total" : "";

	if (m->declared)
		return;
	m->declared = true;
	strbuf_addf(m->out, "# TYPE %s%s %s\n", m->name, suffix,
	    type_names[m->type]);
	if (!m->prometheus && is_seconds(m->name))
		strbuf_addf(m->out, "# UNIT %s seconds\n", m->name);
	strbuf_addf(m->out, "# HELP %s%s %s\n", m->name, suffix, m->help);
}

static void
add_label(struct openmetrics *m, const char *label, const char *value,
    bool first)
{
	strbuf_addf(m->out, "%c%s=\"", first ? '{' : ',', label);
	for (; *value; value++) {
		if (*value == '\n')
			strbuf_adds(m->out, "\\n");
		else if (*value == '"' || *value == '\\')
			strbuf_addf(m->out, "\\%c", *value);
		else
			strbuf_addc(m->out, *value);
	}
	strbuf_addc(m->out, '"');
}

void
openmetrics_int(struct openmetrics *m, int64_t value, ...)
{
	const char *label, *text;
	bool first = true;
	va_list ap;

	declare(m);
	strbuf_adds(m->out, m->name);
	if (m->type == OPENMETRICS_COUNTER)
		strbuf_adds(m->out, "_total");
	va_start(ap, value);
	while ((label = va_arg(ap, const char *))) {
		text = va_arg(ap, const char *);
		if (!text)
			continue;
		add_label(m, label, text, first);
		first = false;
	}
	va_end(ap);
	strbuf_addf(m->out, "%s %" PRId64 "\n", first ? "" : "}", value);
}

/* Milliseconds as seconds, without zeros that say nothing: both forms compare
 * `le` as text. */
static void
seconds_text(int64_t ms, char *buf, size_t size)
{
	size_t n = (size_t)snprintf(buf, size, "%" PRId64 ".%03d", ms / 1000,
	    (int)(ms % 1000));

	while (buf[n - 1] == '0' && buf[n - 2] != '.')
		buf[--n] = '\0';
}

void
openmetrics_histogram(struct openmetrics *m, const int64_t *bounds_ms,
    const uint64_t *counts, size_t n_bounds, uint64_t sum_ms,
    const char *label, const char *value)
{
	uint64_t so_far = 0;
	char text[32];

	declare(m);
	for (size_t i = 0; i <= n_bounds; i++) {
		so_far += counts[i];
		if (i < n_bounds)
			seconds_text(bounds_ms[i], text, sizeof(text));
		strbuf_addf(m->out, "%s_bucket", m->name);
		add_label(m, label, value, true);
		add_label(m, "le", i < n_bounds ? text : "+Inf", false);
		strbuf_addf(m->out, "} %" PRIu64 "\n", so_far);
	}
	strbuf_addf(m->out, "%s_count", m->name);
	add_label(m, label, value, true);
	strbuf_addf(m->out, "} %" PRIu64 "\n%s_sum", so_far, m->name);
	add_label(m, label, value, true);
	seconds_text((int64_t)sum_ms, text, sizeof(text));
	strbuf_addf(m->out, "} %s\n", text);
}

void
openmetrics_end(struct openmetrics *m)
{
	if (!m->prometheus)
		strbuf_adds(m->out, "# EOF\n");
}
