/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question - see the header.
 */
#include "influxctl/question.h"

#include <string.h>

#include "base/tb_error.h"
#include "lib/jsonx.h"

#define ARGS_MAX 64
#define FILES_MAX 8
#define TIMEOUT_MAX_MS (10 * 60 * 1000)

void
question_clear(struct question *q)
{
	json_decref(q->root);
	*q = (struct question){ 0 };
}

static bool
is_name(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(s);

	return len && len <= QUESTION_NAME_MAX && *s != '.' &&
	    strspn(s, allowed) == len;
}

/* Relative, and no step of it is empty, "." or "..". */
static bool
is_inside(const char *path)
{
	if (strlen(path) > 255)
		return false;
	for (const char *s = path;; s++) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && *s == '.') ||
		    (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

static int
check_args(const json_t *args, const char *what, size_t min,
    struct tb_error *err)
{
	size_t i;
	json_t *arg;

	if (!json_is_array(args) || json_array_size(args) < min ||
	    json_array_size(args) > ARGS_MAX)
		return tb_error_set(err, TB_E_BADREQ, "%s must be %zu to %d "
		    "strings", what, min, ARGS_MAX);
	json_array_foreach(args, i, arg) {
		if (!json_is_string(arg))
			return tb_error_set(err, TB_E_BADREQ,
			    "%s must be strings", what);
	}
	return 0;
}

static int
check_files(const json_t *files, struct tb_error *err)
{
	size_t i;
	json_t *file;

	if (!json_is_array(files) || json_array_size(files) > FILES_MAX)
		return tb_error_set(err, TB_E_BADREQ,
		    "files must be an array of at most %d", FILES_MAX);
	json_array_foreach(files, i, file) {
		const char *path = json_string_value(
		    json_object_get(file, "path"));

		if (!path || !is_inside(path) ||
		    !json_is_string(json_object_get(file, "text")))
			return tb_error_set(err, TB_E_BADREQ, "a file needs a "
			    "path that stays in the home, and a text");
	}
	return 0;
}

static int
parse_version(struct question *q, struct tb_error *err)
{
	const char *min = NULL;

	if (jsonx_opt_str(q->root, "min_version", &min, err) < 0)
		return -1;
	if (!min)
		return 0;
	q->version_args = json_object_get(q->root, "version_args");
	if (!version_parse(min, &q->min_version))
		return tb_error_set(err, TB_E_BADREQ,
		    "min_version must be three numbers");
	return check_args(q->version_args, "version_args", 0, err);
}

int
question_parse(struct secret *text, struct question *q, struct tb_error *err)
{
	const char *home = "fresh";

	q->root = jsonx_parse_object(text, err);
	secret_clear(text);
	if (!q->root)
		return -1;
	q->files = json_object_get(q->root, "files");
	q->args = json_object_get(q->root, "args");
	if (jsonx_str(q->root, "name", &q->name, err) < 0 ||
	    jsonx_opt_str(q->root, "home", &home, err) < 0 ||
	    jsonx_int(q->root, "timeout_ms", &q->timeout_ms, err) < 0 ||
	    check_args(q->args, "args", 1, err) < 0 ||
	    check_files(q->files, err) < 0 || parse_version(q, err) < 0)
		return -1;
	q->kept = streq(home, "kept");
	if (!is_name(q->name))
		return tb_error_set(err, TB_E_BADREQ, "name must be 1 to %d "
		    "letters, digits and '_-.'", QUESTION_NAME_MAX);
	if (q->timeout_ms < 1 || q->timeout_ms > TIMEOUT_MAX_MS)
		return tb_error_set(err, TB_E_BADREQ,
		    "timeout_ms must be 1 to %d", TIMEOUT_MAX_MS);
	return 0;
}
