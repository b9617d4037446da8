/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address that systemd's client binds: what it writes, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "serve/credname.h"

#define N(s) "\0" s, sizeof(s)
#define A255 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *addr;
	size_t len;
	const char *unit, *id; /* NULL: refused */
} names[] = {
	/* as they were seen on 252, 257 and 262 */
	{ N("2663e1b79d4b98df/unit/t1.service/mgmt"), "t1.service", "mgmt" },
	{ N("663e1b79d4b98df/unit/t1.service/mgmt"), "t1.service", "mgmt" },
	{ N("a/unit/run-u2.service/x"), "run-u2.service", "x" },
	{ N("0/unit/t2@foo-bar\\x2fbaz.service/my.id_1-2"),
	    "t2@foo-bar\\x2fbaz.service", "my.id_1-2" },
	{ N("1/unit/a@.b.service/x"), "a@.b.service", "x" },
	{ N("1/unit/a@b@c.service/x"), "a@b@c.service", "x" },
	{ N("1/unit/x.mount/x"), "x.mount", "x" },
	{ N("1/unit/x.socket/with space"), "x.socket", "with space" },
	{ N("1/unit/x.swap/..."), "x.swap", "..." },
	{ N("1/unit/_x.service/x"), "_x.service", "x" },

	/* no name, or one in the file system */
	{ "", 0, NULL, NULL },
	{ "", 1, NULL, NULL },
	{ "/run/x.sock", 12, NULL, NULL },
	{ "1/unit/a.service/x", 18, NULL, NULL },
	/* the number */
	{ N("/unit/a.service/x"), NULL, NULL },
	{ N("12345678901234567/unit/a.service/x"), NULL, NULL },
	{ N("A/unit/a.service/x"), NULL, NULL },
	{ N("0x1/unit/a.service/x"), NULL, NULL },
	{ N("g/unit/a.service/x"), NULL, NULL },
	{ N(" 1/unit/a.service/x"), NULL, NULL },
	{ N("-1/unit/a.service/x"), NULL, NULL },
	/* other clients of systemd */
	{ N("1/cryptsetup/volume"), NULL, NULL },
	{ N("1/cryptsetup-tpm2/a.service/x"), NULL, NULL },
	{ N("1/Unit/a.service/x"), NULL, NULL },
	{ N("1/units/a.service/x"), NULL, NULL },
	{ N("1/uni/a.service/x"), NULL, NULL },
	{ N("1//a.service/x"), NULL, NULL },
	/* the slashes */
	{ N("1"), NULL, NULL },
	{ N("1/"), NULL, NULL },
	{ N("1/unit"), NULL, NULL },
	{ N("1/unit/"), NULL, NULL },
	{ N("1/unit/a.service"), NULL, NULL },
	{ N("1/unit/a.service/"), NULL, NULL },
	{ N("1/unit/a.service/x/"), NULL, NULL },
	{ N("1/unit/a.service/x/y"), NULL, NULL },
	{ N("1/unit//x"), NULL, NULL },
	{ N("1/unit/b/a.service/x"), NULL, NULL },
	/* the unit */
	{ N("1/unit/a/x"), NULL, NULL },
	{ N("1/unit/.service/x"), NULL, NULL },
	{ N("1/unit/a.service /x"), NULL, NULL },
	{ N("1/unit/a b.service/x"), NULL, NULL },
	{ N("1/unit/a.slice/x"), NULL, NULL },
	{ N("1/unit/a.target/x"), NULL, NULL },
	{ N("1/unit/a@.service/x"), NULL, NULL },
	{ N("1/unit/@b.service/x"), NULL, NULL },
	{ N("1/unit/a\0.service/x"), NULL, NULL },
	{ N("1/unit/\xc3\xa4.service/x"), NULL, NULL },
	{ N("1/unit/" A255 ".service/x"), NULL, NULL },
	/* the credential */
	{ N("1/unit/a.service/."), NULL, NULL },
	{ N("1/unit/a.service/.."), NULL, NULL },
	{ N("1/unit/a.service/x:y"), NULL, NULL },
	{ N("1/unit/a.service/x\ny"), NULL, NULL },
	{ N("1/unit/a.service/x\0"), NULL, NULL },
	{ N("1/unit/a.service/x\x7f"), NULL, NULL },
	{ N("1/unit/a.service/\xc3\xa4"), NULL, NULL },
	{ N("1/unit/a.service/" A255 "a"), NULL, NULL },
};

static void
reads_what_systemd_writes(void **state)
{
	struct credname name;
	const char *why;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		/* its own size, so that a sanitizer sees what is read */
		char *addr = malloc(names[i].len + 1);

		memcpy(addr, names[i].addr, names[i].len);
		addr = realloc(addr, names[i].len ? names[i].len : 1);
		why = credname_parse(addr, names[i].len, &name);
		free(addr);
		if ((why == NULL) != (names[i].unit != NULL))
			fail_msg("case %zu, %s: %s", i, names[i].addr + 1,
			    why ? why : "taken");
		assert_string_equal(name.unit,
		    names[i].unit ? names[i].unit : "");
		assert_string_equal(name.id, names[i].id ? names[i].id : "");
	}
}

/* No cut of a good name is one, save one that cuts the credential's. */
static void
wants_all_of_it(void **state)
{
	static const char good[] = "\0" "1f/unit/a.service/influx";
	struct credname name;
	size_t len;

	for (len = 0; len < sizeof(good) - 6; len++)
		assert_non_null(credname_parse(good, len, &name));
	assert_null(credname_parse(good, sizeof(good) - 1, &name));
	/* the NUL behind it does not belong to it */
	assert_non_null(credname_parse(good, sizeof(good), &name));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_systemd_writes),
		cmocka_unit_test(wants_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
