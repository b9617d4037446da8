/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the audit log. What the scanner takes, a strict JSON parser must
 * take as well and read the same: else a log could say one thing to us and
 * another one to whoever reads it. The input is also fed to the verifier as a
 * file, cut into lines, with itself as the line before.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "audit/keys.h"
#include "audit/scan.h"
#include "audit/verify.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_member(const struct scan_member *m, const json_t *o)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *name = xstrndup(m->name, m->name_len);
	const json_t *v = json_object_get(o, name);

	scan_add_text(m, &b);
	if (m->kind == SCAN_STRING) {
		if (!json_is_string(v) ||
		    strcmp(json_string_value(v), strbuf_str(&b)) != 0)
			abort();
	} else if (m->kind == SCAN_NUMBER) {
		if (!json_is_integer(v) || json_integer_value(v) !=
		    strtoll(strbuf_str(&b), NULL, 10))
			abort();
	} else if (m->kind == SCAN_TRUE ? !json_is_true(v) :
	    !json_is_false(v)) {
		abort();
	}
}

static void
fuzz_line(const char *line, size_t len)
{
	struct scan s;
	json_t *o;
	size_t i;

	if (scan_line(line, len, &s))
		return;
	o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!o || json_object_size(o) != s.n)
		abort();
	for (i = 0; i < s.n; i++)
		check_member(&s.member[i], o);
	json_decref(o);
	if (scan_is(&s, SCAN_EVENT, "checkpoint"))
		keys_check_form(&s);
}

static void
fuzz_log(const char *text, size_t len)
{
	struct tb_error err = TB_ERROR_INIT;
	struct keys *keys = keys_new();
	struct verify *v = verify_new(keys, NULL, &err);
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct findings *f = verify_findings(v);
	const char *end;
	struct scan s;
	size_t i;

	verify_file(v, "a", 0);
	while ((end = memchr(text, '\n', len))) {
		verify_line(v, text, (size_t)(end - text), &s);
		len -= (size_t)(end - text) + 1;
		text = end + 1;
	}
	verify_file(v, "b", 3);
	verify_line(v, text, len, &s);
	verify_end(v);
	for (i = 0; i < f->n; i++)
		finding_add_text(&f->list[i], &b);
	verify_free(v);
	keys_free(keys);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_line((const char *)data, size);
	if (size > 0 && memchr(data, '\n', size))
		fuzz_log((const char *)data, size);
	return 0;
}
