/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * image - what a power cut would leave of some directories, kept while their
 * owner is traced. Sub-directories are not looked at. A disk may do more than
 * it was asked for, so there is not one answer:
 *
 *	IMAGE_SYNCED  what was synced and nothing else: a file's content is what
 *	              it was when its last successful sync began; a name is
 *	              there, and belongs to the file it belonged to, as of the
 *	              last successful sync of its directory
 *	IMAGE_NAMES   all names as they are now, over content as above
 *	IMAGE_TORN    the same, and half of what was appended since
 *	IMAGE_OLD_NAMES  as IMAGE_NAMES, but names that are new are not there:
 *	              changes of a directory need not arrive in their order
 */
#include <stdbool.h>
#include <sys/types.h>

enum image_what {
	IMAGE_SYNCED, IMAGE_NAMES, IMAGE_TORN, IMAGE_OLD_NAMES, IMAGE_WHATS,
};

struct image;

/* What is in the trees now counts as durable. `scratch` is made; all paths are
 * borrowed. Ends the process with a message when something cannot be had. */
struct image *image_new(const char *scratch, const char *const *trees,
    unsigned n_trees);
void image_free(struct image *im);

/* A sync of `path` (a /proc/PID/fd/N) is about to be made by tid; it has been
 * made. */
void image_sync_begin(struct image *im, pid_t tid, const char *path);
void image_sync_end(struct image *im, pid_t tid, bool ok);
/* path has just been made by open(2): it shares nothing with a removed file
 * that had its inode number. */
void image_created(struct image *im, const char *path);

/* Makes out/NAME for each tree NAME; out is made if need be. */
void image_write(struct image *im, const char *out, enum image_what what);
