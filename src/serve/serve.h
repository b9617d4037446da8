/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * serve - the doors: sockets, who is at them, and what they may ask of the
 * broker. Everything on the loop thread.
 */

struct audit;
struct broker;
struct conf;
struct loop;
struct serve;
struct tb_error;
struct writer;

/* Reads the configuration anew; calls serve_reconfigure before it returns 0.
 * On -1 nothing has changed and err names file and line. */
typedef int serve_reload_fn(void *arg, struct tb_error *err);

struct serve_env {
	struct loop *loop;
	struct broker *broker;
	struct audit *audit;
	struct writer *writer; /* for metrics_file */
	const char *version;   /* static */
	serve_reload_fn *reload; /* the admin door's POST reload */
	void *reload_arg;
};

/* Takes the sockets that systemd handed over, by name; without any, binds them
 * in conf's run_dir. conf is borrowed until the next serve_reconfigure or
 * serve_free. */
struct serve *serve_new(const struct serve_env *env, const struct conf *conf,
    struct tb_error *err);
/* Rules, groups and limits from here on; what is waiting is judged anew before
 * anything is released. */
void serve_reconfigure(struct serve *s, const struct conf *conf);
/* No new connection; watches end with 304, those who wait for a mint hear
 * "unavailable.stopping", and every further answer is the last of its
 * connection. */
void serve_stop_accepting(struct serve *s);
/* Closes everything. What was authorised and not sent is recorded as withheld.
 * Before broker_free. NULL is fine. */
void serve_free(struct serve *s);
