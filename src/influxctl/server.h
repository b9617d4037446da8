/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * server - the socket, who may ask on it, and a worker for each question.
 */
struct helper;
struct tb_error;

/* The socket that systemd gave us, else one of our own. */
int server_listen(const struct helper *h, struct tb_error *err);
/* Until SIGTERM or SIGINT. */
int server_run(const struct helper *h, int fd, struct tb_error *err);
