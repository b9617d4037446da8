/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_files - the configuration as the daemon reads it, and the things in
 * the file system: sockets, directories, the key, users and groups.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/tb_error.h"
#include "ctl/doctor.h"
#include "ctl/program.h"
#include "ctl/unitfile.h"

#define DUMP_CAP ((size_t)8 << 20)
#define SOCKETS_CAP ((size_t)16 << 20)
#define GROUPS_MAX 1024
#define KEY_CREDENTIAL "/etc/credstore.encrypted/master-key"
#define DAEMON_USER "tokenbroker"
#define ORIGIN_FILE "store.origin.tbr" /* in every state directory */

static const char area_conf[] = "conf", area_sockets[] = "sockets",
    area_groups[] = "groups", area_dirs[] = "directories", area_key[] = "key";

/* ---------------------------------------------------------- configuration */

/* Beside this program, where it has not been installed yet. */
static char *
find_daemon_program(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path, *slash;

	self[MAX2(n, 0)] = '\0';
	slash = strrchr(self, '/');
	path = xasprintf("%.*s/tokenbrokerd", slash ? (int)(slash - self) : 0,
	    self);
	if (slash && access(path, X_OK) == 0)
		return path;
	free(path);
	return xstrdup(SBINDIR "/tokenbrokerd");
}

/* What it says; NULL: it did not run. *status is its. */
static char *
ask_daemon_program(const char *option, int *status)
{
	_cleanup_free_ char *path = find_daemon_program();
	const char *argv[] = { path, option, NULL };
	struct tb_error ignored = TB_ERROR_INIT;
	char *text = NULL;

	if (program_read(argv, true, DUMP_CAP, &text, status, &ignored) < 0)
		return NULL;
	return text;
}

static void
use_broker_key(const struct unitfile *conf, const char *key, char **out)
{
	const struct unitfile_line *l = unitfile_get(conf, "broker", key);

	if (!l)
		return;
	free(*out);
	*out = xstrdup(l->value);
}

static void
use_dump(struct doctor *d, const char *text)
{
	d->conf = xnew(struct unitfile);
	unitfile_parse(d->conf, text);
	use_broker_key(d->conf, "state_dir", &d->state_dir);
	use_broker_key(d->conf, "log_dir", &d->log_dir);
	use_broker_key(d->conf, "admin_group", &d->admin_group);
	use_broker_key(d->conf, "auditor_group", &d->auditor_group);
	use_broker_key(d->conf, "master_key_file", &d->key_file);
}

void
doctor_conf(struct doctor *d)
{
	_cleanup_free_ char *said = NULL, *dump = NULL;
	int status = 0;

	said = ask_daemon_program("--check", &status);
	if (!said) {
		doctor_add(d, FINDING_FAIL, area_conf, "make install",
		    "%s/tokenbrokerd cannot be run", SBINDIR);
		return;
	}
	said[strcspn(said, "\n")] = '\0';
	if (status == 0)
		doctor_add(d, FINDING_OK, area_conf, NULL, "%s", said);
	else if (geteuid() != 0 && strstr(said, strerror(EACCES)))
		doctor_add(d, FINDING_UNSEEN, area_conf, NULL, "%s", said);
	else
		doctor_add(d, FINDING_FAIL, area_conf, "mend that line; a "
		    "running daemon keeps what it has until then", "%s", said);
	dump = status == 0 ? ask_daemon_program("--dump", &status) : NULL;
	if (dump && status == 0)
		use_dump(d, dump);
}

/* ---------------------------------------------------------------- sockets */

/* Is there a listening socket of that path? From the kernel's table, so that
 * nobody is disturbed by a connection. */
static bool
listens(const char *table, const char *path)
{
	const char *s;
	unsigned flags;
	size_t n = strlen(path), len;

	for (s = table; *s; s += len + (s[len] != '\0')) {
		len = strcspn(s, "\n");
		if (len > n && memcmp(s + len - n, path, n) == 0 &&
		    s[len - n - 1] == ' ' &&
		    sscanf(s, "%*s %*s %*s %x", &flags) == 1 &&
		    (flags & 0x10000)) /* __SO_ACCEPTCON */
			return true;
	}
	return false;
}

static void
look_at_socket(struct doctor *d, const char *name, mode_t mode,
    const char *table)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.sock", d->ctl->run_dir,
	    name);
	/* a socket unit that is active does not make its file again */
	char *todo = xstrdup(d->has_systemd ? "systemctl stop tokenbrokerd "
	    "'tokenbroker-*.socket'; systemctl start tokenbrokerd" :
	    "start tokenbrokerd");
	struct stat st;

	if (lstat(path, &st) < 0)
		doctor_add_take(d, errno == ENOENT ? FINDING_FAIL :
		    FINDING_UNSEEN, area_sockets, STEAL(todo), "%s: %s", path,
		    strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		doctor_add(d, FINDING_FAIL, area_sockets, "move it away and "
		    "restart the socket's unit", "%s is no socket", path);
	else if ((st.st_mode & 0777) != mode)
		doctor_add_take(d, FINDING_FAIL, area_sockets, xasprintf(
		    "chmod %04o %s, and look for a drop-in with SocketMode=",
		    (unsigned)mode, path), "%s has mode %04o instead of %04o",
		    path, st.st_mode & 0777, (unsigned)mode);
	else if (mode == 0600 && st.st_uid != 0)
		doctor_add(d, FINDING_FAIL, area_sockets, "look for a drop-in "
		    "with SocketUser=", "%s belongs to uid %u instead of root",
		    path, st.st_uid);
	else if (!listens(table, path))
		doctor_add_take(d, FINDING_FAIL, area_sockets, xasprintf(
		    "%sjournalctl -u tokenbrokerd says why the %s door is "
		    "closed", d->has_systemd ? "systemctl restart "
		    "tokenbrokerd; " : "", name), "%s is there and nobody "
		    "listens", path);
	else
		doctor_add(d, FINDING_OK, area_sockets, NULL, "%s: listening, "
		    "mode %04o", path, (unsigned)mode);
	free(todo);
}

static void
look_at_sockets(struct doctor *d)
{
	_cleanup_free_ char *table = NULL;
	struct tb_error err = TB_ERROR_INIT;
	struct stat st;

	if (stat(d->ctl->run_dir, &st) == 0 && (st.st_mode & 0022))
		doctor_add(d, FINDING_FAIL, area_sockets, "chmod 0755: who "
		    "may write there may put another socket in place of ours",
		    "%s has mode %04o", d->ctl->run_dir, st.st_mode & 07777);
	if (fs_read_text("/proc/net/unix", SOCKETS_CAP, &table, &err) < 0) {
		doctor_add(d, FINDING_UNSEEN, area_sockets, NULL, "%s",
		    err.msg);
		return;
	}
	look_at_socket(d, "api", 0666, table);
	look_at_socket(d, "admin", 0666, table);
	if (d->has_systemd)
		look_at_socket(d, "credential", 0600, table);
}

/* ----------------------------------------------------------------- groups */

static bool
is_member(const struct group *g)
{
	gid_t groups[GROUPS_MAX];
	int i, n = getgroups(GROUPS_MAX, groups);

	for (i = 0; i < n; i++)
		if (groups[i] == g->gr_gid)
			return true;
	return getegid() == g->gr_gid;
}

/* True: it is there and the caller is in it. */
static bool
look_at_group(struct doctor *d, const char *name, const char *what)
{
	struct group *g = getgrnam(name);

	if (!g)
		doctor_add(d, FINDING_FAIL, area_groups, "systemd-sysusers",
		    "there is no group %s: only root is %s", name, what);
	else
		doctor_add(d, FINDING_OK, area_groups, NULL, "%s: you are %s",
		    name, geteuid() == 0 ? "root, who needs no group" :
		    is_member(g) ? "in it" : "not in it");
	return g && is_member(g);
}

static void
look_at_groups(struct doctor *d)
{
	bool may;

	if (d->has_systemd && !getpwnam(DAEMON_USER))
		doctor_add(d, FINDING_FAIL, area_groups, "systemd-sysusers",
		    "there is no user " DAEMON_USER ": its unit cannot "
		    "start");
	may = look_at_group(d, d->admin_group, "operator");
	may |= look_at_group(d, d->auditor_group, "auditor");
	if (geteuid() != 0 && !may)
		doctor_add(d, FINDING_UNSEEN, area_groups, "run this as root, "
		    "or as a member of one of these groups", "the admin door "
		    "tells you nothing of logins, tokens and disk");
}

/* ------------------------------------------------------------ directories */

static bool
belongs_to(const struct stat *st, const char *user, const char *group)
{
	struct passwd *p = getpwnam(user);
	struct group *g = group ? getgrnam(group) : NULL;

	return (!p || p->pw_uid == st->st_uid) &&
	    (!g || g->gr_gid == st->st_gid);
}

static void
look_at_state_dir(struct doctor *d)
{
	struct stat st;

	if (stat(d->state_dir, &st) < 0)
		doctor_add(d, errno == ENOENT ? FINDING_WARN : FINDING_UNSEEN,
		    area_dirs, "the first start of the daemon makes it",
		    "%s: %s", d->state_dir, strerror(errno));
	else if (st.st_mode & 0077)
		doctor_add_take(d, FINDING_FAIL, area_dirs, xasprintf(
		    "chmod 0700 %s", d->state_dir), "%s has mode %04o: it is "
		    "nobody else's", d->state_dir, st.st_mode & 07777);
	else if (d->has_systemd && !belongs_to(&st, DAEMON_USER, NULL))
		doctor_add_take(d, FINDING_FAIL, area_dirs, xasprintf(
		    "chown -R " DAEMON_USER ": %s", d->state_dir), "%s "
		    "belongs to uid %u", d->state_dir, st.st_uid);
	else
		doctor_add(d, FINDING_OK, area_dirs, NULL, "%s: mode %04o",
		    d->state_dir, st.st_mode & 07777);
}

static void
look_at_log(struct doctor *d)
{
	_cleanup_free_ char *file = xasprintf("%s/audit.jsonl", d->log_dir);
	static const char todo[] = "systemd-tmpfiles --create";
	struct stat st;

	if (stat(d->log_dir, &st) < 0) {
		doctor_add(d, errno == ENOENT ? FINDING_FAIL : FINDING_UNSEEN,
		    area_dirs, todo, "%s: %s", d->log_dir, strerror(errno));
		return;
	}
	if (st.st_mode & 0027)
		doctor_add(d, FINDING_FAIL, area_dirs, todo, "%s has mode "
		    "%04o: others could read or change the audit log",
		    d->log_dir, st.st_mode & 07777);
	else if (d->has_systemd && (!(st.st_mode & S_ISGID) ||
	    !belongs_to(&st, DAEMON_USER, d->auditor_group)))
		doctor_add(d, FINDING_WARN, area_dirs, todo, "%s is not %s:%s "
		    "with mode 2750: auditors cannot read the log by "
		    "themselves", d->log_dir, DAEMON_USER, d->auditor_group);
	else
		doctor_add(d, FINDING_OK, area_dirs, NULL, "%s: mode %04o",
		    d->log_dir, st.st_mode & 07777);
	if (stat(file, &st) == 0 && d->has_systemd &&
	    ((st.st_mode & 0777) != 0640 ||
	    !belongs_to(&st, DAEMON_USER, d->auditor_group)))
		doctor_add(d, FINDING_WARN, area_dirs, todo, "%s is not %s:%s "
		    "with mode 0640", file, DAEMON_USER, d->auditor_group);
}

/* -------------------------------------------------------------------- key */

/* Something is sealed already, so that a new key would open nothing. */
static bool
has_state(const struct doctor *d)
{
	_cleanup_free_ char *origin = xasprintf("%s/" ORIGIN_FILE,
	    d->state_dir);

	return access(origin, F_OK) == 0;
}

/* A new key is right only where nothing is sealed with another. */
static char *
key_todo(const struct doctor *d)
{
	if (d->daemon_answers)
		return xasprintf("put it back from its copy: without it the "
		    "next start fails; or is it by a drop-in that the unit "
		    "finds it elsewhere?");
	if (has_state(d))
		return xasprintf("put it back from its copy: what is in %s "
		    "opens with no other; only if it is lost, move that "
		    "directory away, and make a key and the logins anew",
		    d->state_dir);
	return xasprintf("tokenbrokerctl init-key%s", !d->key_file ?
	    " --credential" : "");
}

static void
look_at_key(struct doctor *d)
{
	const char *path = d->key_file ? d->key_file : KEY_CREDENTIAL;
	struct stat st;

	if (stat(path, &st) < 0 && errno != ENOENT)
		doctor_add(d, FINDING_UNSEEN, area_key, NULL, "%s: %s", path,
		    strerror(errno));
	else if (stat(path, &st) < 0)
		doctor_add_take(d, d->daemon_answers ? FINDING_WARN :
		    FINDING_FAIL, area_key, key_todo(d), "%s: %s", path,
		    strerror(errno));
	else if (d->key_file && (st.st_mode & 0077))
		doctor_add_take(d, FINDING_FAIL, area_key, xasprintf(
		    "chmod 0400 %s; others may have read it, so "
		    "think about a new one and a new login", path), "%s has "
		    "%04o", path, st.st_mode & 07777);
	else if (d->key_file)
		doctor_add(d, FINDING_OK, area_key, NULL, "%s: a file on this "
		    "disk; init-key --credential binds it to this host", path);
	else
		doctor_add(d, FINDING_OK, area_key, NULL, "%s is there",
		    path);
}

void
doctor_files(struct doctor *d)
{
	look_at_sockets(d);
	look_at_groups(d);
	look_at_state_dir(d);
	look_at_log(d);
	look_at_key(d);
}
