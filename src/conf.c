/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf - from files to a counted struct conf. All or nothing: whatever is
 * wrong, the first thing found is reported and everything is given back.
 *
 * Order: every line of every file is read into objects (conf_value), each
 * remembering where it was set; then defaults and each section by itself
 * (conf_check); then references between sections (conf_cross). So the error
 * reported is the first in the files if a line is wrong by itself.
 */
#include "conf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "backend/names.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "conf_ini.h"
#include "conf_int.h"

#define CONF_FILE_MAX (4 * 1024 * 1024)
#define CONF_MASTER_KEY "master-key" /* name of the systemd credential */

/* ---------------------------------------------------------------- messages */

/* "FILE:LINE: [login ops]" */
static void
conf_where(const struct conf_item *item, const char *key, struct strbuf *out)
{
	int option = key ? conf_option_find(item->section, key) : -1;
	int line = option < 0 ? 0 : item->lines[option];

	strbuf_addf(out, "%s:%d: [%s%s%s]", item->at.file,
	    line ? line : item->at.line, conf_section_names[item->section],
	    item->name ? " " : "", item->name ? item->name : "");
}

int
conf_error(const struct conf_item *item, const char *key,
    struct tb_error *err, const char *fmt, ...)
{
	char text[sizeof(err->msg)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tb_error_set(err, TB_E_CONFIG, "%s", text);
	return conf_error_wrap(item, key, err);
}

int
conf_error_wrap(const struct conf_item *item, const char *key,
    struct tb_error *err)
{
	struct strbuf where _cleanup_(strbuf_clear) = STRBUF_INIT;

	conf_where(item, key, &where);
	err->code = TB_E_CONFIG;
	return tb_error_wrap(err, "%s", strbuf_str(&where));
}

bool
conf_is_set(const struct conf_item *item, const char *key)
{
	return item->lines[conf_option_find(item->section, key)] != 0;
}

/* ----------------------------------------------------------------- objects */

static void
token_conf_free(struct token_conf *t)
{
	free(t->name);
	free(t->where);
	free(t->description);
	backend_recipe_clear(&t->recipe);
	free(t);
}

static struct conf *
conf_new(void)
{
	struct conf *c = xnew(struct conf);

	c->refs = 1;
	return c;
}

static void
conf_free(struct conf *c)
{
	for (size_t i = 0; i < c->n_copies; i++) {
		free(c->copies[i]->name);
		free(c->copies[i]);
	}
	free(c->copies);
	for (size_t i = 0; i < c->n_tokens; i++)
		token_conf_free(c->tokens[i]);
	for (size_t i = 0; i < c->n_logins; i++)
		idp_conf_free(c->logins[i]);
	for (size_t i = 0; i < c->n_backends; i++)
		backend_conf_free(c->backends[i]);
	for (size_t i = 0; i < c->n_rules; i++)
		acl_rule_free(c->rules[i]);
	free(c->tokens);
	free(c->logins);
	free(c->backends);
	free(c->rules);
	free(c->state_dir);
	free(c->run_dir);
	free(c->log_dir);
	free(c->admin_group);
	free(c->auditor_group);
	free(c->master_key_path);
	free(c->log_level);
	free(c->ca_file);
	free(c->proxy);
	free(c->metrics_file);
	for (size_t i = 0; i < c->n_warnings; i++)
		free(c->warnings[i]);
	free(c->warnings);
	free(c);
}

/* The count and the copies are what changes of a configuration. */
static struct conf *
conf_mutable(const struct conf *c)
{
	return (struct conf *)(uintptr_t)c;
}

const struct conf *
conf_ref(const struct conf *c)
{
	if (c)
		conf_mutable(c)->refs++;
	return c;
}

void
conf_unref(const struct conf *c)
{
	if (c && --conf_mutable(c)->refs == 0)
		conf_free(conf_mutable(c));
}

const struct token_conf *
conf_token_of(const struct conf *c, const struct token_conf *recipe,
    const char *name)
{
	struct conf *m = conf_mutable(c);
	struct token_conf *copy;

	for (size_t i = 0; i < m->n_copies; i++) {
		if (strcmp(m->copies[i]->name, name) == 0)
			return m->copies[i];
	}
	copy = xnew(struct token_conf);
	*copy = *recipe; /* all but the name stays the recipe's */
	copy->name = xstrdup(name);
	m->copies = xreallocarray(m->copies, m->n_copies + 1,
	    sizeof(m->copies[0]));
	m->copies[m->n_copies++] = copy;
	return copy;
}

const struct token_conf *
conf_token(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->n_tokens; i++) {
		if (strcmp(c->tokens[i]->name, name) == 0)
			return c->tokens[i];
	}
	return NULL;
}

#define APPEND(list, n, p) \
	do { \
		(list) = xreallocarray(list, (n) + 1, sizeof(*(list))); \
		(list)[(n)++] = (p); \
	} while (0)

static void *
build_object(struct conf_build *b, enum conf_section section,
    const char *name, const char *where)
{
	struct conf *c = b->conf;

	switch (section) {
	case CONF_BROKER:
		return c;
	case CONF_LOGIN:
		APPEND(c->logins, c->n_logins, xnew(struct idp_conf));
		c->logins[c->n_logins - 1]->name = xstrdup(name);
		return c->logins[c->n_logins - 1];
	case CONF_BACKEND:
		APPEND(c->backends, c->n_backends, xnew(struct backend_conf));
		c->backends[c->n_backends - 1]->name = xstrdup(name);
		c->backends[c->n_backends - 1]->where = xstrdup(where);
		c->backends[c->n_backends - 1]->names = names_new();
		return c->backends[c->n_backends - 1];
	case CONF_TOKEN:
		APPEND(c->tokens, c->n_tokens, xnew(struct token_conf));
		c->tokens[c->n_tokens - 1]->name = xstrdup(name);
		c->tokens[c->n_tokens - 1]->where = xstrdup(where);
		return c->tokens[c->n_tokens - 1];
	case CONF_CLIENT:
		APPEND(c->rules, c->n_rules, xnew(struct acl_rule));
		c->rules[c->n_rules - 1]->name = xstrdup(name);
		c->rules[c->n_rules - 1]->where = xstrdup(where);
		return c->rules[c->n_rules - 1];
	}
	abort();
}

struct conf_item *
conf_item_find(const struct conf_build *b, enum conf_section section,
    const char *name)
{
	for (size_t i = 0; i < b->n_items; i++) {
		struct conf_item *item = b->items[i];

		if (item->section == section && streq(item->name, name))
			return item;
	}
	return NULL;
}

static void
build_add_item(struct conf_build *b, enum conf_section section,
    const char *name, struct conf_place at)
{
	_cleanup_free_ char *where = xasprintf("%s:%d", at.file, at.line);
	struct conf_item *item = xnew(struct conf_item);

	item->section = section;
	item->name = xstrdup0(name);
	item->at = at;
	item->object = build_object(b, section, name, where);
	APPEND(b->items, b->n_items, item);
}

static void
build_clear(struct conf_build *b)
{
	for (size_t i = 0; i < b->n_items; i++) {
		free(b->items[i]->name);
		free(b->items[i]->backend_name);
		free(b->items[i]);
	}
	for (size_t i = 0; i < b->n_files; i++)
		free(b->files[i]);
	free(b->items);
	free(b->files);
	conf_unref(b->conf);
}

/* ---------------------------------------------------------------- headings */

static int
heading_unknown(struct conf_place at, const char *word, struct tb_error *err)
{
	struct conf_guess guess;

	conf_guess_init(&guess, word);
	for (size_t i = 0; i < CONF_N_SECTIONS; i++)
		conf_guess_try(&guess, conf_section_names[i]);
	return tb_error_set(err, TB_E_CONFIG,
	    "%s:%d: unknown section [%s]%s; there are [broker], "
	    "[login NAME], [backend NAME], [token NAME], [client NAME]",
	    at.file, at.line, word, conf_guess_text(&guess));
}

static int
heading_check_name(struct conf_place at, enum conf_section section,
    const char *name, struct tb_error *err)
{
	const char *word = conf_section_names[section];

	if (section == CONF_BROKER && *name)
		return tb_error_set(err, TB_E_CONFIG,
		    "%s:%d: there is one [broker]; it has no name", at.file,
		    at.line);
	if (section != CONF_BROKER && !*name)
		return tb_error_set(err, TB_E_CONFIG,
		    "%s:%d: [%s] needs a name: write [%s NAME]", at.file,
		    at.line, word, word);
	if (section != CONF_BROKER && !conf_is_name(name))
		return tb_error_set(err, TB_E_CONFIG,
		    "%s:%d: [%s %s]: a name is letters, digits, '.', '_', '-'",
		    at.file, at.line, word, name);
	return 0;
}

static int
on_heading(void *arg, int line, const char *heading, struct tb_error *err)
{
	struct conf_build *b = arg;
	struct conf_place at = { b->files[b->n_files - 1], line };
	size_t n = strcspn(heading, " \t");
	_cleanup_free_ char *word = xstrndup(heading, n);
	const char *name = heading + n + strspn(heading + n, " \t");
	const struct conf_item *before;
	unsigned section = 0;

	while (section < CONF_N_SECTIONS &&
	    strcmp(conf_section_names[section], word) != 0)
		section++;
	if (section == CONF_N_SECTIONS)
		return heading_unknown(at, word, err);
	if (heading_check_name(at, section, name, err) < 0)
		return -1;
	if (section == CONF_BROKER)
		name = NULL;
	before = conf_item_find(b, section, name);
	if (before)
		return tb_error_set(err, TB_E_CONFIG,
		    "%s:%d: [%s] is there already, at %s:%d: put all of it "
		    "into one place", at.file, line, heading, before->at.file,
		    before->at.line);
	build_add_item(b, section, name, at);
	return 0;
}

/* ------------------------------------------------------------------- pairs */

/* What people write when they mean client_secret_file and the like. */
static bool
key_is_secret(const char *key)
{
	static const char *const secrets[] = { "client_secret", "secret",
		"password", "client_key", "private_key", "token", "api_token",
		"access_token", "refresh_token", "master_key" };

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		if (strcmp(secrets[i], key) == 0)
			return true;
	}
	return false;
}

static int
pair_secret(const struct conf_item *item, int line, const char *key,
    struct tb_error *err)
{
	static const char *const advice[CONF_N_SECTIONS] = {
		[CONF_BROKER] = "put it into a file of its own and name that "
				"with master_key_file",
		[CONF_LOGIN] = "put it into a file of its own and name that "
			       "with client_secret_file",
		[CONF_BACKEND] = "calls are paid for by login or "
				 "management_token",
		[CONF_TOKEN] = "a token that exists already is handed over "
			       "with tokenbrokerctl import",
		[CONF_CLIENT] = "clients are known by unit, user and group",
	};

	return tb_error_set(err, TB_E_CONFIG,
	    "%s:%d: [%s%s%s]: '%s': no secret is ever written here; %s",
	    item->at.file, line, conf_section_names[item->section],
	    item->name ? " " : "", item->name ? item->name : "", key,
	    advice[item->section]);
}

/* Where else a key would be right; NULL: nowhere. */
static const char *
key_belongs_to(const char *key)
{
	for (size_t i = 0; i < conf_n_options; i++) {
		if (strcmp(conf_options[i].key, key) == 0)
			return conf_section_names[conf_options[i].section];
	}
	return NULL;
}

static int
pair_unknown(const struct conf_item *item, int line, const char *key,
    struct tb_error *err)
{
	const char *elsewhere = key_belongs_to(key);
	struct conf_guess guess;
	char hint[64] = "";

	conf_guess_init(&guess, key);
	for (size_t i = 0; i < conf_n_options; i++) {
		if (conf_options[i].section == item->section)
			conf_guess_try(&guess, conf_options[i].key);
	}
	if (!guess.best && elsewhere)
		snprintf(hint, sizeof(hint), " (it belongs into [%s])",
		    elsewhere);
	return tb_error_set(err, TB_E_CONFIG,
	    "%s:%d: [%s%s%s]: unknown key '%s'%s%s", item->at.file, line,
	    conf_section_names[item->section], item->name ? " " : "",
	    item->name ? item->name : "", key, conf_guess_text(&guess), hint);
}

static int
on_pair(void *arg, int line, const char *key, const char *value,
    struct tb_error *err)
{
	struct conf_build *b = arg;
	struct conf_item *item = b->n_items ? b->items[b->n_items - 1] : NULL;
	int option, before;

	if (!item || item->at.file != b->files[b->n_files - 1])
		return tb_error_set(err, TB_E_CONFIG,
		    "%s:%d: '%s' stands before the first section",
		    b->files[b->n_files - 1], line, key);
	option = conf_option_find(item->section, key);
	if (option < 0)
		return key_is_secret(key) ? pair_secret(item, line, key, err) :
					    pair_unknown(item, line, key, err);
	before = item->lines[option];
	item->lines[option] = line;
	if (before)
		return conf_error(item, key, err,
		    "%s is set already, in line %d", key, before);
	if (conf_value_set(&conf_options[option], item, value, err) < 0) {
		tb_error_wrap(err, "%s", key);
		return conf_error_wrap(item, key, err);
	}
	return 0;
}

/* ------------------------------------------------------------------- files */

static int
check_owner(const char *path, const struct stat *st, struct tb_error *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return tb_error_set(err, TB_E_CONFIG,
		    "%s: belongs to uid %u: must be root's or this user's",
		    path, (unsigned)st->st_uid);
	if (st->st_mode & S_IWOTH)
		return tb_error_set(err, TB_E_CONFIG,
		    "%s: everybody may write to it: chmod o-w", path);
	return 0;
}

static FILE *
open_file(const char *path, struct tb_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY |
	    O_NONBLOCK);
	struct stat st;
	FILE *f;

	if (fd < 0 || fstat(fd, &st) < 0) {
		tb_error_errno(err, TB_E_CONFIG, errno, "%s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		tb_error_set(err, TB_E_CONFIG, "%s: not a regular file", path);
		return NULL;
	}
	if (st.st_size > CONF_FILE_MAX) {
		tb_error_set(err, TB_E_CONFIG, "%s: larger than 4 MiB", path);
		return NULL;
	}
	if (check_owner(path, &st, err) < 0)
		return NULL;
	f = fdopen(fd, "r");
	if (!f)
		abort();
	fd = -1;
	return f;
}

static int
read_file(struct conf_build *b, const char *path, struct tb_error *err)
{
	static const struct conf_ini_sink sink = { on_heading, on_pair };
	_cleanup_(fclosep) FILE *f = open_file(path, err);

	if (!f)
		return -1;
	APPEND(b->files, b->n_files, xstrdup(path));
	return conf_ini_read(f, b->files[b->n_files - 1], &sink, b, err);
}

/* "50-prod.conf"; not ".#50-prod.conf", "50-prod.conf.dpkg-new". */
static int
is_drop_in(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 &&
	    strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
read_drop_ins(struct conf_build *b, const char *main_path,
    struct tb_error *err)
{
	const char *slash = strrchr(main_path, '/');
	int len = slash ? (int)(slash - main_path + 1) : 0;
	_cleanup_free_ char *dir = xasprintf("%.*sconf.d", len, main_path);
	struct dirent **list;
	struct stat st;
	int n, ret;

	if (stat(dir, &st) < 0)
		return errno == ENOENT ?
		    0 :
		    tb_error_errno(err, TB_E_CONFIG, errno, "%s", dir);
	n = scandir(dir, &list, is_drop_in, by_bytes);
	if (n < 0)
		return tb_error_errno(err, TB_E_CONFIG, errno, "%s", dir);
	ret = check_owner(dir, &st, err);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir,
		    list[i]->d_name);

		if (ret == 0)
			ret = read_file(b, path, err);
		free(list[i]);
	}
	free(list);
	return ret;
}

/* --------------------------------------------------------------- the whole */

static int
set_from_environment(struct conf *c, struct tb_error *err)
{
	const char *run_dir = getenv("TOKENBROKER_RUN_DIR");
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	_cleanup_free_ char *key = NULL;

	if (run_dir && *run_dir != '/')
		return tb_error_set(err, TB_E_CONFIG,
		    "$TOKENBROKER_RUN_DIR must be an absolute path");
	if (run_dir)
		str_set(&c->run_dir, run_dir);
	if (c->master_key_path || !credentials)
		return 0;
	key = xasprintf("%s/" CONF_MASTER_KEY, credentials);
	if (access(key, F_OK) == 0)
		c->master_key_path = STEAL(key);
	return 0;
}

static int
build_all(struct conf_build *b, const char *path, struct tb_error *err)
{
	if (read_file(b, path, err) < 0 || read_drop_ins(b, path, err) < 0)
		return -1;
	if (!conf_item_find(b, CONF_BROKER, NULL))
		build_add_item(b, CONF_BROKER, NULL,
		    (struct conf_place){ b->files[0], 1 });
	if (conf_check(b, err) < 0 || conf_cross(b, err) < 0)
		return -1;
	return set_from_environment(b->conf, err);
}

struct conf *
conf_load(const char *path, struct tb_error *err)
{
	struct conf_build b _cleanup_(build_clear) = { .conf = conf_new() };

	return build_all(&b, path, err) < 0 ? NULL : STEAL(b.conf);
}
