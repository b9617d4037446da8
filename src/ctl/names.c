/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names - see the header.
 */
#include "ctl/names.h"

#include <dirent.h>

#include "base/tb_error.h"
#include "ctl/client.h"
#include "ctl/jval.h"

#define PATIENCE_MS 2000

static void
add_templates(const char *before, const char *word, struct strbuf *out)
{
	DIR *dir = opendir(PKGDATADIR "/templates");
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			complete_add(out, before, e->d_name, "template", word);
	if (dir)
		closedir(dir);
}

/* The names in a list of the daemon's answer. */
static void
ask(const char *socket, const char *path, const char *key, const char *before,
    const char *word, struct strbuf *out)
{
	struct client c _cleanup_(client_clear) = CLIENT_INIT;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	const struct client_request q = { .method = "GET", .path = path,
		.timeout_ms = PATIENCE_MS };
	struct json_t *o _cleanup_jval_ = NULL;
	const struct json_t *list;
	size_t i;

	client_init(&c, socket);
	if (client_call(&c, &q, &r, &err) < 0 || r.status != 200)
		return;
	o = jval_parse(&r.body, &err);
	list = jval_list(o, key);
	for (i = 0; i < jval_size(list); i++)
		if (jval_name(jval_at(list, i)))
			complete_add(out, before, jval_name(jval_at(list, i)),
			    "", word);
}

void
names_add(enum complete_what what, const char *run_dir, const char *before,
    const char *word, struct strbuf *out)
{
	const char *env = getenv("TOKENBROKER_RUN_DIR");
	const char *dir = run_dir ? run_dir : env && *env ? env :
	    "/run/tokenbroker";
	_cleanup_free_ char *api = xasprintf("%s/api.sock", dir);
	_cleanup_free_ char *admin = xasprintf("%s/admin.sock", dir);

	switch (what) {
	case COMPLETE_TOKENS:
		ask(api, "/api/v1/tokens", "tokens", before, word, out);
		break;
	case COMPLETE_ALL_TOKENS:
		ask(admin, "/api/v1/tokens", "tokens", before, word, out);
		break;
	case COMPLETE_LOGINS:
		ask(admin, "/api/v1/status", "logins", before, word, out);
		break;
	case COMPLETE_TEMPLATES:
		add_templates(before, word, out);
		break;
	case COMPLETE_NOTHING:
	case COMPLETE_FILES:
	case COMPLETE_VARIABLES:
		break;
	}
}
