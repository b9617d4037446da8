/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files instead of mutations: `make check` replays
 * every corpus with it, with any compiler. Arguments are files or directories.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replayed;

static void
replay_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (!f || fstat(fileno(f), &st) < 0) {
		perror(path);
		exit(1);
	}
	/* exactly as large as the input, so that a read behind it is seen */
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	n = fread(data, 1, (size_t)st.st_size, f);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	fclose(f);
	replayed++;
}

static void
replay(const char *path)
{
	char child[4096];
	struct dirent *e;
	DIR *d = opendir(path);

	if (!d) {
		replay_file(path);
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		replay(child);
	}
	closedir(d);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%d replayed\n", replayed);
	return replayed > 0 ? 0 : 1;
}
