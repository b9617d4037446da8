/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * serve_int - what all doors have in common, for the files of serve/ only.
 * Everything is owned by serve.c and outlives every session.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "serve/counts.h"
#include "serve/serve.h"

struct denylog;
struct events;
struct filler_set;
struct listener;
struct metrics_file;
struct peer_table;
struct rate;
struct render;
struct session_set;

#define SERVE_DOORS_MAX 4
#define SERVE_NO_GROUP ((gid_t)-1)

struct serve {
	struct loop *loop;
	struct broker *broker;
	struct audit *audit;
	struct writer *writer;
	const char *version;
	serve_reload_fn *reload;
	void *reload_arg;

	const struct conf *conf;  /* borrowed until the next one */
	uint64_t conf_generation; /* another one for every configuration */
	gid_t admin_gid, auditor_gid; /* SERVE_NO_GROUP: there is none */

	struct peer_table *peers;
	struct render *render;
	struct rate *rate;
	struct denylog *denylog;
	struct events *events;
	struct session_set *sessions;
	struct filler_set *fillers;
	struct metrics_file *metrics_file;
	struct counts counts;
	struct listener *listeners[SERVE_DOORS_MAX];
	size_t n_listeners;
	bool stopping;
};
