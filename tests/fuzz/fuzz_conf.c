/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_conf - a configuration file of any bytes. Whatever loads must dump to
 * something that loads and dumps to the same; whatever does not must say why.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory: no disk, and no conf.d/ beside it. */
static struct conf *
load(const void *text, size_t len, struct tb_error *err)
{
	_cleanup_close_ int fd = memfd_create("conf", MFD_CLOEXEC);
	char path[32];

	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    write(fd, text, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return conf_load(path, err);
}

static char *
dump(const struct conf *c, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	conf_dump(c, f);
	fclose(f);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ char *first = NULL, *second = NULL;
	const struct conf *a, *b;
	size_t len, len2;

	a = load(data, size, &err);
	if (!a) {
		if (err.code == TB_OK || !err.msg[0])
			abort();
		return 0;
	}
	first = dump(a, &len);
	b = load(first, len, &err);
	if (!b) {
		fprintf(stderr, "%s\n%s\n", err.msg, first);
		abort();
	}
	second = dump(b, &len2);
	if (strcmp(first, second) != 0 ||
	    conf_check_reloadable(a, b, &err) < 0)
		abort();
	conf_unref(a);
	conf_unref(b);
	return 0;
}
