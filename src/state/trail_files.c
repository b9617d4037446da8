/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trail_files - what stands beside the current file: audit.pub, and the older
 * files, of which the oldest go when the administrator said how many stay.
 *
 * A key is announced in the log first and then written to audit.pub: whoever
 * finds it there finds it in the chain too. A crash in between announces it
 * once more at the next start, which harms nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "state/checkpoint.h"
#include "state/disk.h"
#include "state/segment.h"
#include "state/trail_int.h"

#define PUB_NEW_FILE CHECKPOINT_PUB_FILE ".new"
#define PUB_MODE 0644
#define PUB_MAX_BYTES 65536
#define REMOVE_AT_ONCE 64

/* ----------------------------------------------------------------- the key */

/* "" when there is none. */
static int
read_pub(struct trail *t, char **out, struct tb_error *err)
{
	_cleanup_close_ int fd = openat(t->env.dirfd, CHECKPOINT_PUB_FILE,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *buf = xcalloc(1, PUB_MAX_BYTES + 1);
	size_t got = 0;
	ssize_t n = 0;

	if (fd < 0 && errno != ENOENT)
		return tb_error_errno(err, TB_E_IO, errno, "cannot open %s",
		    CHECKPOINT_PUB_FILE);
	while (fd >= 0 && got <= PUB_MAX_BYTES &&
	    (n = TEMP_FAILURE_RETRY(read(fd, buf + got,
		PUB_MAX_BYTES + 1 - got))) > 0)
		got += (size_t)n;
	if (n < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot read %s",
		    CHECKPOINT_PUB_FILE);
	if (got > PUB_MAX_BYTES)
		return tb_error_set(err, TB_E_IO, "%s has more than %d bytes: "
		    "move it away", CHECKPOINT_PUB_FILE, PUB_MAX_BYTES);
	buf[got] = '\0';
	*out = STEAL(buf);
	return 0;
}

/* Fills the view's keys; *known: ours is among them. How many there are. */
static size_t
scan_pub(struct trail *t, const char *text, bool *known)
{
	struct checkpoint_pub pub;
	size_t n = 0;

	*known = false;
	strbuf_reset(&t->keys);
	for (; checkpoint_pub_next(&text, &pub); n++) {
		strbuf_addf(&t->keys, "%s %s %s\n", pub.id, pub.public,
		    pub.since);
		*known |= streq(pub.public, checkpoint_key_public(t->key));
	}
	t->version++;
	return n;
}

static int
write_pub(struct trail *t, const char *before, struct tb_error *err)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_close_ int fd = -1;
	size_t len = strlen(before);

	strbuf_adds(&b, before);
	if (len > 0 && before[len - 1] != '\n')
		strbuf_addc(&b, '\n');
	checkpoint_pub_add(t->key, now_real_s(), &b);
	disk_unlinkat(t->env.dirfd, PUB_NEW_FILE); /* or O_EXCL says why not */
	fd = disk_openat(t->env.dirfd, PUB_NEW_FILE,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, PUB_MODE);
	if (fd < 0 || fchmod(fd, PUB_MODE) < 0 ||
	    disk_write_all(fd, b.s, b.len) < 0 || disk_fsync(fd) < 0 ||
	    disk_renameat(t->env.dirfd, PUB_NEW_FILE, CHECKPOINT_PUB_FILE) < 0
	    || disk_fsync(t->env.dirfd) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot write %s",
		    CHECKPOINT_PUB_FILE);
	scan_pub(t, b.s, &t->published);
	return 0;
}

/* Makes audit.pub hold our key. Not worth a failure: the log has it too. */
void
trail_publish(struct trail *t)
{
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ char *pub = NULL;

	if (read_pub(t, &pub, &err) == 0) {
		scan_pub(t, pub, &t->published);
		if (t->published || write_pub(t, pub, &err) == 0)
			return;
	}
	log_warn("audit", "%s; whoever verifies the audit log finds key %s in "
	    "its audit_key line only", err.msg, checkpoint_key_id(t->key));
}

enum key_news { KEY_KNOWN, KEY_FIRST, KEY_UNPUBLISHED, KEY_REPLACES };

static enum key_news
key_news(struct trail *t)
{
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ char *pub = NULL, *member = NULL;
	bool known = false;
	size_t n = 0;

	if (read_pub(t, &pub, &err) == 0)
		n = scan_pub(t, pub, &known);
	if (known)
		return KEY_KNOWN;
	member = xasprintf(",\"key\":\"%s\",", checkpoint_key_id(t->key));
	if (t->shown && strstr(t->shown, member))
		return KEY_UNPUBLISHED;
	return n > 0 || t->shown ? KEY_REPLACES : KEY_FIRST;
}

static void
add_announcement(struct trail *t, enum key_news news)
{
	static const char *const reasons[] = {
		[KEY_FIRST] = "first",
		[KEY_UNPUBLISHED] = "it was not in " CHECKPOINT_PUB_FILE,
		[KEY_REPLACES] = "the key before was lost",
	};

	trail_begin_line(t, AUDIT_KEY);
	strbuf_addf(&t->buf, ",\"reason\":\"%s\",\"key\":\"%s\","
	    "\"public_key\":\"%s\"}", reasons[news],
	    checkpoint_key_id(t->key), checkpoint_key_public(t->key));
	segment_add(t->segment, t->buf.s, t->buf.len);
}

int
trail_announce(struct trail *t, struct tb_error *err)
{
	enum key_news news = key_news(t);

	if (news != KEY_KNOWN)
		add_announcement(t, news);
	trail_add_checkpoint(t, "started");
	if (trail_flush(t, true, err) < 0)
		return -1;
	t->announced = true;
	if (news == KEY_REPLACES)
		log_warn("audit", "the key that signed the audit log so far "
		    "is not in the store any more; from line %" PRIu64 " on "
		    "key %s signs. If nobody restored or emptied the state "
		    "directory, find out who did", trail_end(t)->seq,
		    checkpoint_key_id(t->key));
	trail_publish(t);
	return 0;
}

void
trail_set_key(struct trail *t, struct checkpoint_key *key)
{
	struct tb_error err = TB_ERROR_INIT;

	checkpoint_key_free(t->key);
	t->key = key;
	t->announced = t->published = false;
	/* where it fails, trail_flush has said when to try again */
	if (trail_announce(t, &err) < 0)
		log_warn("audit", "no checkpoint yet: %s", err.msg);
}

/* ---------------------------------------------------------------- the files */

static void
show_files(struct trail *t, char *const *names, size_t n)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;

	for (i = 0; i < n; i++)
		strbuf_addf(&b, "%s\n", names[i]);
	strbuf_adds(&b, SEGMENT_FILE "\n");
	if (streq(b.s, strbuf_str(&t->files)))
		return;
	strbuf_reset(&t->files);
	strbuf_adds(&t->files, b.s);
	t->version++;
}

void
trail_list_files(struct trail *t)
{
	struct tb_error err = TB_ERROR_INIT;
	char **names;
	size_t n;

	if (segment_list(t->env.dirfd, &names, &n, &err) < 0) {
		log_warn("audit", "%s", err.msg);
		return;
	}
	show_files(t, names, n);
	segment_list_free(names, n);
}

/* The record first: a file that is gone without one is a hole that nobody
 * explains. */
static int
remove_files(struct trail *t, char *const *names, size_t n,
    struct tb_error *err)
{
	struct chain_pos end;
	size_t i;

	for (i = 0; i < n; i++) {
		trail_begin_line(t, AUDIT_FILES_REMOVED);
		strbuf_addf(&t->buf, ",\"file\":\"%s\"", names[i]);
		if (segment_list_end(t->env.dirfd, names[i], &end))
			strbuf_addf(&t->buf, ",\"last_hash\":\"%s\"",
			    end.hash);
		strbuf_addc(&t->buf, '}');
		trail_add(t, t->buf.s, t->buf.len);
	}
	if (trail_flush(t, true, err) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (disk_unlinkat(t->env.dirfd, names[i]) < 0 &&
		    errno != ENOENT)
			log_warn("audit", "cannot remove %s: %s", names[i],
			    strerror(errno));
	if (disk_fsync(t->env.dirfd) < 0)
		log_warn("audit", "cannot sync the log directory: %s",
		    strerror(errno));
	return 0;
}

bool
trail_tidy(struct trail *t, struct tb_error *err)
{
	size_t n, keep = t->env.keep_files, gone = 0;
	struct tb_error list_err = TB_ERROR_INIT;
	char **names;

	if (segment_list(t->env.dirfd, &names, &n, &list_err) < 0) {
		log_warn("audit", "%s", list_err.msg);
		return false;
	}
	if (keep && n > keep)
		gone = MIN2(n - keep, REMOVE_AT_ONCE);
	if (gone && remove_files(t, names, gone, err) < 0) {
		segment_list_free(names, n);
		return true;
	}
	segment_list_free(names, n);
	trail_list_files(t);
	return gone > 0;
}
