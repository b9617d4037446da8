/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl/problem and ctl/jval: a refusal becomes an exit status and one line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "ctl/problem.h"
#include "ctl/reply.h"

static void
refusals_become_status_and_line(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum ctl_exit e;
		const char *text;
	} t[] = {
		{ 403, "{\"code\":\"denied.no_rule\",\"detail\":\"no rule\","
		    "\"request_id\":\"r1\"}", CTL_DENIED, "denied: no rule; "
		    "an operator sees the reason with 'tokenbrokerctl explain "
		    "--pid PID' (request r1)" },
		{ 400, "{\"code\":\"denied.bad_request\",\"detail\":\"x\"}",
		    CTL_FAILED, "x" },
		{ 503, "{\"code\":\"unavailable.minting\",\"detail\":\"soon\","
		    "\"retry_after\":7}", CTL_NOT_READY,
		    "not ready: soon; try again in 7s" },
		{ 503, "{\"code\":\"unavailable\",\"detail\":\"soon\"}",
		    CTL_NOT_READY, "not ready: soon; try again later" },
		{ 503, "{\"code\":\"human_needed.x\",\"detail\":\"gone\","
		    "\"login\":\"ops\"}", CTL_HUMAN_NEEDED, "a human is "
		    "needed: gone; run 'tokenbrokerctl login ops'" },
		{ 503, "{\"code\":\"human_needed.x\",\"detail\":"
		    "\"run tokenbrokerctl login a\"}", CTL_HUMAN_NEEDED,
		    "a human is needed: run tokenbrokerctl login a" },
		{ 403, "{\"code\":\"deniedx\",\"title\":\"T\"}", CTL_DENIED,
		    "denied: T; an operator sees the reason with "
		    "'tokenbrokerctl explain --pid PID'" },
		{ 409, "{\"code\":\"denied.conflict\",\"detail\":\"why\"}",
		    CTL_DENIED, "denied: why" },
		{ 500, "<html>", CTL_FAILED,
		    "the daemon answered with status 500" },
		{ 404, "", CTL_DENIED, "denied: the daemon answered with "
		    "status 404; an operator sees the reason with "
		    "'tokenbrokerctl explain --pid PID'" },
		{ 429, "{\"code\":1,\"detail\":[]}", CTL_NOT_READY,
		    "not ready: the daemon gave no reason; try again later" },
		{ 500, "{\"detail\":\"a\\u001b[31m\\nb\"}", CTL_FAILED,
		    "a?[31m b" },
	};
	struct problem p = PROBLEM_INIT;
	struct strbuf b = STRBUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct reply r _cleanup_(reply_clear) = REPLY_INIT;

		r.status = t[i].status;
		secret_set_str(&r.body, t[i].body);
		problem_from_reply(&p, &r);
		assert_int_equal(problem_exit(&p), t[i].e);
		strbuf_reset(&b);
		problem_add_text(&b, &p, false, true);
		assert_string_equal(strbuf_str(&b), t[i].text);
	}
	problem_clear(&p);
	strbuf_clear(&b);
}

static void
a_restart_is_told_from_other_trouble(void **state)
{
	struct problem p = PROBLEM_INIT;
	struct reply r = REPLY_INIT;

	r.status = 503;
	r.retry_after_s = 1;
	secret_set_str(&r.body, "{\"code\":\"unavailable.stopping\"}");
	problem_from_reply(&p, &r);
	assert_true(problem_is_restart(&p));
	assert_int_equal(p.retry_after_s, 1);
	secret_set_str(&r.body, "{\"code\":\"unavailable.minting\"}");
	problem_from_reply(&p, &r);
	assert_false(problem_is_restart(&p));
	assert_true(problem_is_passing(&p));
	problem_clear(&p);
	reply_clear(&r);
}

static struct json_t *
parse(const char *text, struct tb_error *err)
{
	struct secret s _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&s, text);
	return jval_parse(&s, err);
}

static void
json_is_read_forgivingly(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = parse("{\"s\":\"x\",\"i\":7,"
	    "\"t\":true,\"f\":false,\"a\":[\"n\",{\"name\":\"m\"},3],"
	    "\"when\":\"1970-01-01T00:01:00Z\",\"bad\":\"noon\"}", &err);
	const struct json_t *list = jval_list(o, "a");

	assert_non_null(o);
	assert_string_equal(jval_str(o, "s"), "x");
	assert_null(jval_str(o, "i"));
	assert_int_equal(jval_int(o, "i", -1), 7);
	assert_int_equal(jval_int(o, "s", -1), -1);
	assert_true(jval_is_true(o, "t") && !jval_is_true(o, "s"));
	assert_true(jval_is_false(o, "f") && !jval_is_false(o, "none"));
	assert_int_equal(jval_time(o, "when"), 60);
	assert_int_equal(jval_time(o, "i"), 7);
	assert_int_equal(jval_time(o, "bad"), 0);
	assert_int_equal(jval_size(list), 3);
	assert_string_equal(jval_name(jval_at(list, 0)), "n");
	assert_string_equal(jval_name(jval_at(list, 1)), "m");
	assert_null(jval_name(jval_at(list, 2)));
	assert_null(jval_at(list, 3));
	assert_ptr_equal(jval_list(list, "any"), list);
	assert_null(jval_list(o, "s"));
	assert_null(jval_get(NULL, "x"));
	assert_int_equal(jval_size(NULL), 0);
}

static void
what_is_no_json_says_where(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_null(parse("{\"a\":1,\n \"a\":2}", &err));
	assert_int_equal(err.code, TB_E_PROTO);
	assert_non_null(strstr(err.msg, "is no JSON (line 2, column"));
	assert_null(parse("{} trailing", &err));
	assert_null(parse("", &err));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_become_status_and_line),
		cmocka_unit_test(a_restart_is_told_from_other_trouble),
		cmocka_unit_test(json_is_read_forgivingly),
		cmocka_unit_test(what_is_no_json_says_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
