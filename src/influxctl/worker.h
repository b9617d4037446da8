/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * worker - one connection from its first byte to its last, in a process of its
 * own: question in, influxctl run, answer out. Blocking from top to bottom; a
 * kill at any moment loses nothing but the answer, and the parent wipes.
 */
struct helper;

/* Takes the connection. Returns the exit status. */
int worker_serve(const struct helper *h, int fd);

/* The program that is to be run; NULL with errno's reason when there is none
 * that only root or we can change. Borrowed. */
struct tb_error;
const char *worker_program(const struct helper *h, struct tb_error *err);
/* What it gets for an environment, in one block to be freed. */
char **worker_environment(const struct helper *h, const char *home);
