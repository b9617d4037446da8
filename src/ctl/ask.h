/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ask - one question to the daemon, with all that commands would do alike:
 * which socket, patience during a restart, and the error line with its exit
 * status when it goes wrong.
 */
#include "ctl/client.h"
#include "ctl/problem.h"

struct ctl {
	const char *run_dir;
	const char *command; /* "get telegraf-write": for error lines */
	struct client api, admin;
};

enum ask_door { ASK_API, ASK_ADMIN };

#define ASK_TIMEOUT_MS 30000
#define ASK_LONG_MS 300000 /* rotate, revoke, logout: a service is called */
#define ASK_RESTART_MS 20000

struct ask {
	enum ask_door door;
	const char *method; /* NULL: GET */
	const char *path;
	const char *accept, *fields;  /* see client.h */
	const struct secret *body;
	int64_t timeout_ms;  /* 0: ASK_TIMEOUT_MS */
	/* Tries again for so long while the daemon restarts; 0: never. With
	 * any_passing also while the answer is "not ready". */
	int64_t patience_ms;
	bool any_passing;
};

/* Of one thing that may take several tries. */
struct patience {
	int64_t began, ends, pause_ms; /* began 0: there is none */
	bool any_passing;
	bool restarting; /* there was a sign of it */
	bool noted;
};
struct patience patience_of(int64_t ms, bool any_passing);
/* After a failure, err, or if that is TB_OK, refused. True: it is worth another
 * try, and it is time for that; false: it is not, or there is no time left. */
bool patience_goes_on(const struct ctl *ctl, struct patience *p,
    const struct client *c, const struct tb_error *err,
    const struct problem *refused);

void ctl_init(struct ctl *ctl, const char *run_dir);
void ctl_clear(struct ctl *ctl);

/* "tokenbrokerctl: get telegraf: ..." on stderr, one line, cleaned. */
void ctl_complain(const struct ctl *ctl, const char *fmt, ...) _printf_(2, 3);
/* The same for what is no error: no exit status follows from it. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) _printf_(2, 3);
/* Complains and gives the status. */
enum ctl_exit ctl_fail(const struct ctl *ctl, const struct tb_error *err);
enum ctl_exit ctl_fail_problem(const struct ctl *ctl, const struct problem *p,
    enum ask_door door);

/* CTL_OK: *out is a 2xx answer. Else it was complained about. */
enum ctl_exit ask(struct ctl *ctl, const struct ask *a, struct reply *out);
/* As ask(), but a refusal is the caller's: CTL_OK and *refused is set.
 * refused->code is NULL when the answer is 2xx. */
enum ctl_exit ask_or_refusal(struct ctl *ctl, const struct ask *a,
    struct reply *out, struct problem *refused);
/* As ask(), and the answer is JSON. */
enum ctl_exit ask_json(struct ctl *ctl, const struct ask *a,
    struct json_t **out);
/* As ask_json(), for what may take longer than the daemon lets a request: the
 * work then goes on there, and its outcome is not known here. */
enum ctl_exit ask_job(struct ctl *ctl, const struct ask *a,
    struct json_t **out);

/* Asks on the terminal. False: complained, or said no; *e says which. */
bool ctl_is_sure(const struct ctl *ctl, const char *question,
    enum ctl_exit *e);

/* "/api/v1/" + head + escaped name + tail. */
char *ask_path(const char *head, const char *name, const char *tail);
/* Of a token's value; min_valid_ms 0: just valid. Whole seconds upwards. */
char *ask_token_path(const char *name, int64_t min_valid_ms);
char *ask_lease_path(const char *name, int64_t min_valid_ms);

/* The bytes to standard output, now; with a line end, unless they have one. */
enum ctl_exit ctl_write(const struct ctl *ctl, const struct secret *bytes,
    bool line_end);
