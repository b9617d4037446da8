/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login - see the header. The profile is the one that the daemon's last
 * question put there, so that the two cannot differ.
 */
#include "influxctl/login.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "influxctl/helper.h"
#include "influxctl/home.h"
#include "influxctl/worker.h"

#define PROFILE ".config/influxctl/config.toml"

static int
check_home(const struct helper *h, const char *name, const char *home,
    struct tb_error *err)
{
	char *profile _cleanup_free_ = xasprintf("%s/" PROFILE, home);
	struct stat st;

	if (!*name || strchr(name, '/') || *name == '.')
		return tb_error_set(err, TB_E_BADREQ, "'%s' is no name of a "
		    "backend", name);
	if (stat(h->state_dir, &st) == 0 && st.st_uid != geteuid())
		return tb_error_set(err, TB_E_DENIED, "%s is the home of uid "
		    "%u: run this as that user, for instance by `setpriv "
		    "--reuid=%u --clear-groups --regid=%u --inh-caps=-all`",
		    h->state_dir, (unsigned)st.st_uid, (unsigned)st.st_uid,
		    (unsigned)st.st_gid);
	if (access(profile, R_OK) < 0)
		return tb_error_errno(err, TB_E_BADREQ, errno, "%s: the daemon "
		    "puts a profile there with its first question, which needs "
		    "influxctl_login = own in [backend %s]", profile, name);
	return 0;
}

int
login_exec(const struct helper *h, const char *name, char *const *args,
    struct tb_error *err)
{
	static char *const usual[] = { (char *)"auth", (char *)"login", NULL };
	char *home _cleanup_free_ = home_kept_path(h, name);
	char **env, **argv, *const *from = *args ? args : usual;
	const char *program;
	size_t n = 0;

	if (check_home(h, name, home, err) < 0)
		return -1;
	program = worker_program(h, err);
	if (!program)
		return -1;
	while (from[n])
		n++;
	argv = xcalloc(n + 2, sizeof(*argv));
	argv[0] = (char *)"influxctl";
	memcpy(argv + 1, from, n * sizeof(*argv));
	env = worker_environment(h, home);
	umask(0077);
	if (chdir(home) == 0)
		execve(program, argv, env);
	return tb_error_errno(err, TB_E_IO, errno, "%s", program);
}
