/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init-key - makes the master key that seals what the daemon keeps: 32 random
 * bytes as 64 hexadecimal digits. Either a file that only its owner can read,
 * or, with --credential, a systemd credential that is bound to this host (its
 * key or its TPM) and can be read by nobody else. The key goes to systemd-creds
 * through a pipe. An existing key is never replaced by accident: the new one is
 * put beside it under another name and then linked to its place, which fails
 * when the place is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/b64.h"
#include "base/fs.h"
#include "base/tb_error.h"
#include "ctl/command.h"

#define KEY_BYTES 32
#define KEY_FILE "/etc/tokenbroker/master.key"
#define KEY_CREDENTIAL "/etc/credstore.encrypted/master-key"
#define KEY_NAME "master-key" /* what the daemon's unit calls it */

enum { KEY_OUTPUT, KEY_FORCE, KEY_AS_CREDENTIAL, N_KEY };
static const struct opt_spec key_opts[N_KEY] = {
	{ "output", 'o', OPT_TEXT, "FILE", "where to (default: " KEY_FILE
	    ", or with --credential " KEY_CREDENTIAL ")" },
	{ "force", 'f', OPT_FLAG, NULL, "replace a key that is there: what "
	    "it sealed is lost" },
	{ "credential", 0, OPT_FLAG, NULL, "encrypt it with systemd-creds" },
};

static int
make_key(struct secret *out, struct tb_error *err)
{
	struct secret raw _cleanup_(secret_clear) = SECRET_INIT;
	unsigned char *bytes = secret_alloc(&raw, KEY_BYTES);
	char *hex;

	if (getrandom(bytes, KEY_BYTES, 0) != KEY_BYTES)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot get random bytes");
	hex = (char *)secret_alloc(out, 2 * KEY_BYTES);
	hex_encode(bytes, KEY_BYTES, hex);
	secret_append_str(out, "\n");
	return 0;
}

/* The child: systemd-creds with the key as its standard input. */
static void
exec_creds(int key_fd, const char *output)
{
	if (dup2(key_fd, STDIN_FILENO) < 0)
		_exit(126);
	execlp("systemd-creds", "systemd-creds", "encrypt",
	    "--name=" KEY_NAME, "-", output, (char *)NULL);
	_exit(errno == ENOENT ? 127 : 126);
}

static int
await_creds(pid_t pid, struct tb_error *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot wait for systemd-creds");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return tb_error_set(err, TB_E_IO, "there is no systemd-creds "
		    "on this host (systemd 250 or newer brings it); make a "
		    "key file: tokenbrokerctl init-key");
	return tb_error_set(err, TB_E_IO, "systemd-creds failed; what it said "
	    "stands above");
}

/* The parent keeps the key: a forked child sees zeroes in its place. 65 bytes
 * fit into a pipe that nobody reads yet. */
static int
encrypt_key(const struct secret *key, const char *output,
    struct tb_error *err)
{
	int p[2];
	pid_t pid;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot make a pipe");
	n = write(p[1], secret_reveal(key), key->len);
	close(p[1]);
	fflush(NULL);
	pid = n == (ssize_t)key->len ? fork() : -1;
	if (pid == 0)
		exec_creds(p[0], output);
	close(p[0]);
	if (pid < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot start systemd-creds");
	return await_creds(pid, err);
}

struct place {
	char *dir, *name;
	char *fresh; /* the name under which the new key is made */
	int dirfd;
};

static int
place_open(struct place *p, const char *path, struct tb_error *err)
{
	const char *slash = strrchr(path, '/');

	p->name = xstrdup(slash ? slash + 1 : path);
	p->dir = slash == path ? xstrdup("/") : slash ?
	    xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	p->fresh = xasprintf(".%s.new", p->name);
	p->dirfd = -1;
	if (!*p->name)
		return tb_error_set(err, TB_E_BADREQ,
		    "%.200s: this is a directory", path);
	/* Who may write there may exchange the key. */
	p->dirfd = fs_open_dir(p->dir, 0755, 0022, err);
	return p->dirfd < 0 ? -1 : 0;
}

static void
place_clear(struct place *p)
{
	if (p->dirfd >= 0) {
		unlinkat(p->dirfd, p->fresh, 0);
		close(p->dirfd);
	}
	free(p->dir);
	free(p->name);
	free(p->fresh);
}

static int
place_taken(const char *path, struct tb_error *err)
{
	return tb_error_set(err, TB_E_BADREQ, "%.200s is there already; with "
	    "another key, what the daemon has sealed cannot be opened any "
	    "more (--force replaces it all the same)", path);
}

/* From the fresh name to the real one. */
static int
place_settle(const struct place *p, const char *path, bool force,
    struct tb_error *err)
{
	int r = force ? renameat(p->dirfd, p->fresh, p->dirfd, p->name) :
	    linkat(p->dirfd, p->fresh, p->dirfd, p->name, 0);

	if (r < 0 && errno == EEXIST)
		return place_taken(path, err);
	if (r < 0 || fsync(p->dirfd) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "%.200s: cannot put the key there", path);
	return 0;
}

static int
put_key(const struct place *p, const char *path, bool credential, bool force,
    struct tb_error *err)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *fresh = xasprintf("%s/%s", p->dir, p->fresh);
	struct stat st;

	/* Said before anything is made; what counts is linkat(2). */
	if (!force && fstatat(p->dirfd, p->name, &st,
	    AT_SYMLINK_NOFOLLOW) == 0)
		return place_taken(path, err);
	if (make_key(&key, err) < 0)
		return -1;
	if (credential ? encrypt_key(&key, fresh, err) < 0 :
	    fs_write_atomic(p->dirfd, p->fresh, 0400, secret_reveal(&key),
	    key.len, err) < 0)
		return tb_error_wrap(err, "nothing was put into %s%s", p->dir,
		    geteuid() == 0 ? "" : " (root can)");
	return place_settle(p, path, force, err);
}

static void
print_next(const char *path, bool credential)
{
	if (credential && strcmp(path, KEY_CREDENTIAL) == 0)
		printf("Wrote a new master key, encrypted for this host, to "
		    "%s.\n\nThe daemon's unit finds it there by this line, "
		    "which ours has:\n\n    LoadCredentialEncrypted="
		    KEY_NAME "\n", path);
	else if (credential)
		printf("Wrote a new master key, encrypted for this host, to "
		    "%s.\n\nFor the daemon's unit ('systemctl edit "
		    "tokenbrokerd'):\n\n    [Service]\n"
		    "    LoadCredentialEncrypted=" KEY_NAME ":%s\n", path,
		    path);
	else
		printf("Wrote a new master key to %s.\n\nWith systemd "
		    "('systemctl edit tokenbrokerd'):\n\n    [Service]\n"
		    "    LoadCredential=" KEY_NAME ":%s\n\nWithout: make the "
		    "daemon's user its owner, and in tokenbroker.conf:\n\n"
		    "    [broker]\n    master_key_file = %s\n", path, path,
		    path);
	printf("\nWithout this key nothing that the daemon keeps can be "
	    "opened: logins would\nhave to be made again.\n");
}

static enum ctl_exit
do_init_key(struct ctl *ctl, const struct args *args)
{
	bool credential = args->opt[KEY_AS_CREDENTIAL].set;
	const char *path = args->opt[KEY_OUTPUT].set ?
	    args->opt[KEY_OUTPUT].text : credential ? KEY_CREDENTIAL :
	    KEY_FILE;
	char *absolute;
	struct tb_error err = TB_ERROR_INIT;
	struct place p;
	int r;

	r = place_open(&p, path, &err);
	if (r == 0)
		r = put_key(&p, path, credential, args->opt[KEY_FORCE].set,
		    &err);
	place_clear(&p);
	if (r < 0) {
		ctl_complain(ctl, "%s", err.msg);
		return CTL_FAILED;
	}
	/* units want absolute paths */
	absolute = realpath(path, NULL);
	print_next(absolute ? absolute : path, credential);
	free(absolute);
	return CTL_OK;
}

const struct command cmd_init_key = {
	.name = "init-key",
	.synopsis = "[--credential] [--output FILE] [--force]",
	.summary = "Make the key that seals what the daemon keeps",
	.opts = key_opts, .n_opts = N_KEY, .fn = do_init_key,
};
