/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_origin - the record store/origin: whose state this is; and the marks,
 * by which a state that was put back from a copy is known.
 *
 * A copy is as good as the original to look at: same key, same list. What
 * tells is kept elsewhere. The mark in the run directory follows every write
 * and is gone after a reboot; the one in the log directory is made at every
 * start and outlives it. Who puts all of these back together is not noticed.
 *
 * The quarantine is part of the record: what is written while it lasts has
 * higher versions than the marks, and would hide what was noticed.
 */
#include "base/fs.h"
#include "base/log.h"
#include "lib/jsonx.h"
#include "lib/seal.h"
#include "state/store_int.h"
#include "state/writer.h"

#define ORIGIN_VERSION 1
#define MACHINE_ID_FILE "/etc/machine-id"
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define RUN_SUBDIR "private"
#define MARK_FILE "state-mark"
#define MARK_CAP 4096

struct store_adoption {
	store_done_fn *done;
	void *arg;
};

/* ------------------------------------------------------------------ marks */

/* "" when there is none. */
static char *
read_id(const char *path)
{
	struct tb_error err = TB_ERROR_INIT;
	char *text = NULL;

	if (fs_read_text(path, 128, &text, &err) < 0)
		return xstrdup("");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void
read_mark(const char *dir, struct store_mark *m)
{
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ char *path = dir ? xasprintf("%s/" MARK_FILE, dir) :
	    NULL;
	_cleanup_free_ char *text = NULL;
	unsigned long long list, highest;

	if (!path || access(path, F_OK) < 0)
		return;
	if (fs_read_text(path, MARK_CAP, &text, &err) < 0 ||
	    sscanf(text, "%32s %llu %llu", m->state, &list, &highest) != 3) {
		log_warn("store", "%s cannot be read%s%s: whether the state "
		    "is older than it was cannot be told from it", path,
		    err.code ? ": " : "", err.code ? err.msg : "");
		return;
	}
	m->there = true;
	m->list = list;
	m->highest = highest;
}

/* Where the mark of this boot is; the sockets' directory may be another
 * user's. NULL: there is no such place. */
static char *
run_subdir(const char *run_dir)
{
	_cleanup_free_ char *path = NULL;
	struct tb_error err = TB_ERROR_INIT;
	int fd;

	if (!run_dir)
		return NULL;
	path = xasprintf("%s/" RUN_SUBDIR, run_dir);
	fd = fs_open_dir(path, 0700, 0077, &err);
	if (fd < 0) {
		log_warn("store", "%s; an older state that is put back during "
		    "this boot will not be noticed", err.msg);
		return NULL;
	}
	close(fd);
	return STEAL(path);
}

void
store_origin_init(struct store *s, const struct store_env *env)
{
	s->machine_id = env->machine_id ? xstrdup(env->machine_id) :
	    read_id(MACHINE_ID_FILE);
	s->boot_id = env->boot_id ? xstrdup(env->boot_id) :
	    read_id(BOOT_ID_FILE);
	s->run_dir = run_subdir(env->run_dir);
	s->log_dir = xstrdup0(env->log_dir);
	read_mark(s->run_dir, &s->run_mark);
	read_mark(s->log_dir, &s->log_mark);
}

const char *
store_boot_id(const struct store *s)
{
	return s->boot_id;
}

void
store_origin_clear(struct store *s)
{
	free(s->machine_id);
	free(s->boot_id);
	free(s->run_dir);
	free(s->log_dir);
	free(s->origin_machine);
	free(s->origin_boot);
	free(s->adopted[0]);
	free(s->adopted[1]);
	free(s->quarantine);
	writer_forget(&s->adopting);
	free(s->adoption);
}

static void
set_marks(struct store *s)
{
	_cleanup_free_ char *run = s->run_dir ? xasprintf("%s/" MARK_FILE,
	    s->run_dir) : NULL;
	_cleanup_free_ char *log = s->log_dir ? xasprintf("%s/" MARK_FILE,
	    s->log_dir) : NULL;
	uint64_t list = 0, highest = 0;

	if (s->run_mark.there &&
	    streq(s->run_mark.state, seal_state_id(s->seal))) {
		list = s->run_mark.list;
		highest = s->run_mark.highest;
	}
	writer_set_mark(s->writer, run, log, seal_state_id(s->seal), list,
	    highest);
}

/* --------------------------------------------------------------- judgement */

void
store_set_quarantine(struct store *s, const char *why)
{
	if (s->quarantine)
		return;
	s->quarantine = xstrdup(why);
}

static bool
is_adopted(const struct store *s, const char *state)
{
	return streq(s->adopted[0], state) || streq(s->adopted[1], state);
}

static void
judge_mark(struct store *s, const struct store_mark *m, const char *since,
    bool is_empty)
{
	_cleanup_free_ char *why = NULL;

	if (!m->there)
		return;
	s->version = MAX2(s->version, MAX2(m->list, m->highest));
	if (!streq(m->state, seal_state_id(s->seal))) {
		if (is_adopted(s, m->state))
			return;
		why = xasprintf("this host used another state %s", since);
		if (is_empty)
			log_warn("store", "the state directory is empty, and "
			    "%s: what that held is not known here", why);
		else
			store_set_quarantine(s, why);
		return;
	}
	if (s->found_list >= m->list && s->found_highest >= m->highest)
		return;
	why = xasprintf("it is older than the state that this host had %s, as "
	    "if put back from a backup", since);
	store_set_quarantine(s, why);
}

static void
judge_machine(struct store *s)
{
	_cleanup_free_ char *why = NULL;

	if (!s->origin_machine || !s->origin_machine[0])
		return;
	if (!s->machine_id[0]) {
		log_warn("store", "there is no " MACHINE_ID_FILE ", so nobody "
		    "can tell whether this state is this machine's");
		return;
	}
	if (streq(s->origin_machine, s->machine_id))
		return;
	why = xasprintf("it is another machine's: its machine id begins with "
	    "%.8s, ours with %.8s", s->origin_machine, s->machine_id);
	store_set_quarantine(s, why);
}

void
store_origin_judge(struct store *s, uint64_t list, uint64_t highest,
    bool is_empty)
{
	s->found_list = list;
	s->found_highest = MAX2(list, highest);
	judge_machine(s);
	judge_mark(s, &s->run_mark, "since it was booted", is_empty);
	judge_mark(s, &s->log_mark, "at its last start", is_empty);
	if (s->run_dir && !s->run_mark.there && s->boot_id[0] &&
	    streq(s->origin_boot, s->boot_id))
		log_warn("store", "%s/" MARK_FILE " is gone, though the daemon "
		    "ran in this boot: an older state may not be noticed",
		    s->run_dir);
}

/* ------------------------------------------------------------------ record */

int
store_origin_decode(struct store *s, const struct secret *plain,
    struct tb_error *err)
{
	json_t *o _cleanup_json_ = jsonx_parse_object(plain, err);
	_cleanup_free_ char *quarantine = NULL;
	const json_t *item;
	const char *id;
	int64_t v;
	size_t i;

	if (!o || jsonx_int(o, "v", &v, err) < 0)
		return -1;
	if (v != ORIGIN_VERSION)
		return tb_error_set(err, TB_E_CONFIG, "the record of the "
		    "state's origin is of a later version of tokenbroker");
	if (jsonx_opt_copy(o, "machine", &s->origin_machine, err) < 0 ||
	    jsonx_opt_copy(o, "boot", &s->origin_boot, err) < 0 ||
	    jsonx_opt_copy(o, "quarantine", &quarantine, err) < 0)
		return -1;
	if (quarantine)
		store_set_quarantine(s, quarantine);
	json_array_foreach(json_object_get(o, "adopted"), i, item) {
		id = json_string_value(item);
		if (i < ARRAY_SIZE(s->adopted) && id)
			str_set(&s->adopted[i], id);
	}
	return 0;
}

static void
origin_encode(const struct store *s, bool adopt, struct secret *out)
{
	json_t *o _cleanup_json_ = json_object();
	json_t *adopted = json_array();

	json_object_set_new(o, "v", json_integer(ORIGIN_VERSION));
	jsonx_put_str(o, "machine", adopt ? s->machine_id :
	    s->origin_machine);
	jsonx_put_str(o, "boot", s->boot_id);
	if (!adopt)
		jsonx_put_str(o, "quarantine", s->quarantine);
	for (size_t i = 0; i < ARRAY_SIZE(s->adopted); i++)
		if (s->adopted[i])
			json_array_append_new(adopted,
			    json_string(s->adopted[i]));
	json_object_set_new(o, "adopted", adopted);
	jsonx_dump(o, out);
}

bool
store_origin_is_due(const struct store *s)
{
	return s->origin_is_behind;
}

void
store_origin_put(struct store *s, store_done_fn *done, void *arg)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	origin_encode(s, false, &plain);
	store_put_own(s, STORE_ORIGIN, &plain, done, arg);
}

void
store_origin_begin(struct store *s)
{
	if (s->quarantine)
		log_error("store", "the state is quarantined: %s. What is "
		    "valid is served, and nothing is refreshed, minted or "
		    "revoked, until somebody has looked. If this host is to "
		    "go on with it: tokenbrokerctl adopt. If another host "
		    "still uses it: stop here, empty the state directory, and "
		    "log in anew", s->quarantine);
	if (!s->quarantine && s->machine_id[0] &&
	    !streq(s->origin_machine, s->machine_id))
		str_set(&s->origin_machine, s->machine_id);
	/* always: the start itself is then a version that the mark knows */
	s->origin_is_behind = true;
	if (s->quarantine)
		return;
	set_marks(s);
}

/* ---------------------------------------------------------------- adoption */

bool
store_is_quarantined(const struct store *s)
{
	return s->quarantine != NULL;
}

const char *
store_quarantine(const struct store *s)
{
	return s->quarantine;
}

int
store_why_quarantined(const struct store *s, struct tb_error *err)
{
	return tb_error_set(err, TB_E_QUARANTINE, "the state is quarantined "
	    "(%.160s); an operator has to decide: tokenbrokerctl adopt",
	    s->quarantine ? s->quarantine : "no more");
}

static void
on_adopted(void *arg, const struct tb_error *err)
{
	struct store *s = arg;
	struct store_adoption *a = STEAL(s->adoption);

	s->adopting = NULL;
	if (!err) {
		free(STEAL(s->quarantine));
		str_set(&s->origin_machine, s->machine_id);
		set_marks(s);
	}
	a->done(a->arg, err);
	free(a);
}

void
store_adopt(struct store *s, store_done_fn *done, void *arg)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (!s->quarantine || s->adoption) {
		tb_error_set(&err, TB_E_BADREQ, s->adoption ?
		    "the state is being adopted already" :
		    "the state is not quarantined: there is nothing to adopt");
		writer_put_error(s->writer, &err, done, arg);
		return;
	}
	s->adoption = xnew(struct store_adoption);
	s->adoption->done = done;
	s->adoption->arg = arg;
	/* their marks count no more */
	str_set(&s->adopted[0], s->run_mark.there ? s->run_mark.state : NULL);
	str_set(&s->adopted[1], s->log_mark.there ? s->log_mark.state : NULL);
	origin_encode(s, true, &plain);
	s->adopting = store_put_own(s, STORE_ORIGIN, &plain, on_adopted, s);
}
