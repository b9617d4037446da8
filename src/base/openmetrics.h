/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * openmetrics - numbers as text for a monitoring system, in one of the two
 * forms that are read: OpenMetrics 1.0.0 over HTTP, and the older Prometheus
 * text (0.0.4) for files, because node_exporter and Telegraf read only that
 * from a file. They differ in how a counter is declared and in the last line.
 *
 * A family is declared with its first sample; one without samples is left out.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

enum openmetrics_type {
	OPENMETRICS_COUNTER, /* its samples get _total */
	OPENMETRICS_GAUGE,
	OPENMETRICS_HISTOGRAM,
};

struct openmetrics {
	struct strbuf *out;
	bool prometheus; /* the older form */
	enum openmetrics_type type;
	const char *name, *help;
	bool declared;
};

void openmetrics_begin(struct openmetrics *m, struct strbuf *out,
    bool prometheus);
/* name and help are static; help is a plain sentence. A name that ends in
 * _seconds has that unit. */
void openmetrics_family(struct openmetrics *m, enum openmetrics_type type,
    const char *name, const char *help);
/* One sample of the family; pairs of label and value (NULL: leave the label
 * out), ended by NULL. */
void openmetrics_int(struct openmetrics *m, int64_t value, ...)
    __attribute__((sentinel));
/* A histogram of one label: upper bounds in milliseconds, and how many fell
 * into each, with one more than bounds for what is above all of them. */
void openmetrics_histogram(struct openmetrics *m, const int64_t *bounds_ms,
    const uint64_t *counts, size_t n_bounds, uint64_t sum_ms,
    const char *label, const char *value);
void openmetrics_end(struct openmetrics *m);

#define OPENMETRICS_CONTENT_TYPE \
	"application/openmetrics-text; version=1.0.0; charset=utf-8"
