/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fault - the switches that make the sandbox misbehave, or behave in another
 * of the ways that real services do.
 *
 * A switch may be bound to a method and to the beginning of a path, may wait
 * (after), and may wear out (times). Whoever is about to do a thing asks
 * fault_take() by name; that uses the switch up by one.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct fault {
	TAILQ_ENTRY(fault) link;
	const struct fault_kind *kind;
	char *value; /* as given, or the kind's default; may be NULL */
	double number; /* value as a number, if the kind wants one */
	int64_t times; /* how often it still applies; -1: for ever */
	int64_t after; /* how many matching occasions it lets pass first */
	char *path; /* only paths that begin so; NULL: all */
	char *method; /* only this method; NULL: all */
};

TAILQ_HEAD(fault_list, fault);

/*
 * Set a switch as {"name":..., "value":..., "times":N, "after":N, "path":...,
 * "method":...} says; one of the same name, path and method is replaced.
 * Returns NULL, or what is wrong, which the caller frees.
 */
char *fault_set(struct fault_list *list, const json_t *json);

/* The same from the command line: NAME, NAME=VALUE, or such an object. */
char *fault_set_text(struct fault_list *list, const char *text);

/* Take off those of that name, or all (NULL). Returns how many. */
int fault_clear(struct fault_list *list, const char *name);

/*
 * The switch of that name that applies to this method and path, used up by
 * one, or NULL. A switch that wears out with this stays valid until the next
 * call of anything here.
 */
const struct fault *fault_take(struct fault_list *list, const char *name,
    const char *method, const char *path);

/* All switches as JSON, for the control endpoint. */
json_t *fault_describe(const struct fault_list *list);

/* "NAME[=WHAT]  help" lines for --help. */
void fault_print_kinds(void);
