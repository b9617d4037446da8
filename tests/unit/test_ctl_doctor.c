/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: what is judged of a consumer, one fault a row; and the reading of
 * what systemctl prints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl/doctor.h"
#include "ctl/unitfile.h"

#define GOOD_START \
	"ExecStart=/bin/sh -c 'test -s \"$$CREDENTIALS_DIRECTORY/influx\" " \
	"&& exec \"$$@\"' sh /bin/x\n"
#define LOAD "LoadCredential=influx:/r/credential.sock\n"
#define GOOD "[Service]\nType=exec\nTimeoutStartSec=60\n" LOAD GOOD_START

static const char conf[] = "[broker]\ncredential_wait = 45s\n[client a]\nunit = a*.service b@*.service\n"
    "door = api credential\ntokens = influx\n"
    "[client c]\nunit = c.service\ndoor = api\ntokens = influx\n"
    "[client d]\nunit = d.service\ntokens = t\ncredentials = influx=t\n";

struct world {
	struct ctl ctl;
	struct doctor d;
	struct unitfile conf;
	struct strbuf behind;
};

static void
world_init(struct world *w)
{
	*w = (struct world){ .ctl = { .run_dir = "/r" } };
	w->d.ctl = &w->ctl;
	unitfile_parse(&w->conf, conf);
	w->d.conf = &w->conf;
	strbuf_adds(&w->behind, "local-fs.target\nbad.service\n");
}

static void
world_clear(struct world *w)
{
	size_t i;

	for (i = 0; i < w->d.n; i++) {
		free(w->d.findings[i].text);
		free(w->d.findings[i].todo);
	}
	free(w->d.findings);
	unitfile_clear(&w->conf);
	strbuf_clear(&w->behind);
}

static const struct {
	const char *name, *text;
	enum finding_level level; /* of the one finding, */
	const char *say;          /* and a part of it; NULL: no finding */
	const char *todo;
} rows[] = {
	{ "a.service", GOOD, FINDING_OK, "1 credential", NULL },
	{ "d.service", GOOD, FINDING_OK, "1 credential", NULL },
	{ "b@x.service", GOOD, FINDING_OK, "1 credential", NULL },
	{ "a.service", "[Service]\nLoadCredential=influx:/other\n",
	    FINDING_OK, NULL, NULL },
	{ "a.service", "[Service]\nType=oneshot\n" LOAD GOOD_START,
	    FINDING_WARN, "waits for ever", "TimeoutStartSec=60s" },
	{ "a.service", "[Service]\nType=notify\n" LOAD GOOD_START,
	    FINDING_WARN, "90 s", "TimeoutStartSec=60s" },
	{ "a.service", "[Service]\nType=exec\nTimeoutStartSec=45\n" LOAD
	    GOOD_START, FINDING_WARN, "(:3): it gives up before", "longer" },
	{ "a.service", "[Service]\nType=exec\nTimeoutStartSec=infinity\n"
	    LOAD GOOD_START, FINDING_OK, "1 credential", NULL },
	{ "a.service", "[Service]\nType=exec\nTimeoutSec=60\n"
	    "LoadCredentialEncrypted=influx:/r/credential.sock\n",
	    FINDING_FAIL, "(:4): LoadCredentialEncrypted= from our socket",
	    "LoadCredential=" },
	{ "a.service", "[Service]\nTimeoutSec=90\nType=simple\n" LOAD
	    GOOD_START, FINDING_WARN, "a.service (:3): with Type=simple",
	    "Type=exec" },
	{ "a.service", "[Service]\nTimeoutSec=90\n" LOAD GOOD_START,
	    FINDING_WARN, "Type=simple", "Type=exec" },
	{ "a.service", "[Service]\nTimeoutSec=90\nType=exec\n" LOAD
	    "ExecStart=/bin/x\n", FINDING_WARN, "empty credential",
	    "exec \"$$@\"' sh /bin/x" },
	{ "a.service", "[Service]\nTimeoutSec=90\nType=exec\n" LOAD
	    "ExecStart=/bin/x\nExecStartPre=/usr/bin/test -s "
	    "${CREDENTIALS_DIRECTORY}/influx\n", FINDING_WARN,
	    "ExecStartPre= gets a copy", "sh /bin/x" },
	{ "x.service", GOOD, FINDING_FAIL, "no [client] rule",
	    "tokenbrokerctl unit x.service --credential influx" },
	{ "c.service", GOOD, FINDING_FAIL, "no [client] rule", NULL },
	{ "bad.service", GOOD, FINDING_FAIL, "no [client] rule", NULL },
	{ "a.service", GOOD "[Unit]\nBefore=x.target local-fs.target\n",
	    FINDING_FAIL, "ordered after it", "take that ordering away" },
	{ "a.service", GOOD "[Unit]\nBefore=tokenbrokerd.service\n",
	    FINDING_FAIL, "ordered after it", NULL },
	{ "a.service", GOOD "[Unit]\nBefore=network-online.target\n",
	    FINDING_OK, "1 credential", NULL },
	{ "a.service", GOOD "[Unit]\nDefaultDependencies=no\n",
	    FINDING_FAIL, "before our socket", "After=" },
	{ "a.service", GOOD "[Unit]\nDefaultDependencies=no\n"
	    "After=tokenbroker-credential.socket\n", FINDING_OK,
	    "1 credential", NULL },
	{ "a.service", GOOD "SetCredential=influx:x\n", FINDING_WARN,
	    "SetCredential=", "remove it" },
	{ "a.service", GOOD "SetCredential=influx2:x\n", FINDING_OK,
	    "1 credential", NULL },
	{ "a2345678901234567890123456789012345678901234567890"
	    "123456789012345678.service", GOOD, FINDING_OK, "1 cred", NULL },
	{ "a2345678901234567890123456789012345678901234567890"
	    "12345678901234567890.service", GOOD, FINDING_FAIL,
	    "1 characters too long", "shorter" },
	{ "b@.service", GOOD, FINDING_OK, "1 credential", NULL },
	{ "b23456789012345678901234567890123456789012@.service", GOOD,
	    FINDING_WARN, "longer than 26", NULL },
};

static void
test_units(void **state)
{
	const struct finding *f;
	struct world w;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;

		world_init(&w);
		unitfile_parse(&u, rows[i].text);
		doctor_judge_unit(&w.d, rows[i].name, &u, &w.behind);
		if (!rows[i].say) {
			assert_int_equal(w.d.n, 0);
			world_clear(&w);
			continue;
		}
		assert_int_not_equal(w.d.n, 0);
		f = &w.d.findings[0];
		if (f->level != rows[i].level || !strstr(f->text, rows[i].say))
			fail_msg("row %zu: %d %s", i, f->level, f->text);
		if (rows[i].todo && (!f->todo ||
		    !strstr(f->todo, rows[i].todo)))
			fail_msg("row %zu: todo %s", i, f->todo);
		world_clear(&w);
	}
}

/* Without the configuration nothing is said of rules. */
static void
test_no_conf(void **state)
{
	struct unitfile u _cleanup_(unitfile_clear) = UNITFILE_INIT;
	struct world w;

	world_init(&w);
	w.d.conf = NULL;
	unitfile_parse(&u, GOOD);
	doctor_judge_unit(&w.d, "x.service", &u, &w.behind);
	assert_int_equal(doctor_count(&w.d, FINDING_OK), 1);
	world_clear(&w);
}

static void
test_property(void **state)
{
	static const char show[] = "Id=a\nResult=trigger-limit-hit\nX=\nA=b=c";
	char *v;

	v = doctor_property(show, "Result");
	assert_string_equal(v, "trigger-limit-hit");
	free(v);
	v = doctor_property(show, "X");
	assert_string_equal(v, "");
	free(v);
	v = doctor_property(show, "A");
	assert_string_equal(v, "b=c");
	free(v);
	assert_null(doctor_property(show, "Res"));
	assert_null(doctor_property(show, "esult"));
	assert_null(doctor_property("", "Id"));
}

static void
test_after(void **state)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	doctor_add_after("After=a.target b.service\n\nAfter=b.service c\n"
	    "Before=d\nAfter=\n", &b);
	assert_string_equal(strbuf_str(&b), "a.target\nb.service\nc\n");
	assert_true(doctor_has_line(&b, "c"));
	assert_false(doctor_has_line(&b, "b"));
	assert_false(doctor_has_line(&b, "b.service\nc"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_no_conf),
		cmocka_unit_test(test_property),
		cmocka_unit_test(test_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
