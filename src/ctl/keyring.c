/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring - see the header. Plain system calls: libkeyutils is one more thing
 * to install for four of them.
 *
 * What is linked in the user's keyring is not "possessed" by a process whose
 * session keyring has no link to it, as under systemd (KeyringMode=private),
 * and then its owner may hardly look at it. So the user's keyring is linked
 * into our process's own first, and the owner gets all rights on the key: that
 * is how its consumer, another process of the same uid, can read it. It is what
 * Telegraf's "os" secret store does and expects (keyring "telegraf" in the
 * user's keyring, permissions 0x3f3f0000).
 */
#include "ctl/keyring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>

#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"

#define RING_MAX 4096        /* keys in a ring: a quota is 200 by default */
#define DESCRIPTION_MAX 4200 /* the kernel's limit is 4,095 for the name */
#define PERM_OWNER 0x3f3f0000UL /* possessor and owner: everything */

static int32_t
add_key(const char *type, const char *name, const void *bytes, size_t n,
    int32_t ring)
{
	return (int32_t)syscall(SYS_add_key, type, name, bytes, n, ring);
}

static int32_t
keyctl(int op, unsigned long a, unsigned long b, unsigned long c,
    unsigned long d)
{
	return (int32_t)syscall(SYS_keyctl, op, a, b, c, d);
}

static unsigned long
serial(int32_t key)
{
	return (unsigned long)(long)key;
}

int
keyring_parse(const char *text, struct keyring *out, struct tb_error *err)
{
	static const struct {
		const char *name;
		int32_t ring;
	} rings[] = {
		{ "user", KEY_SPEC_USER_KEYRING },
		{ "session", KEY_SPEC_SESSION_KEYRING },
		{ "user-session", KEY_SPEC_USER_SESSION_KEYRING },
	};
	size_t i, n = strcspn(text, ":");

	out->named = text[n] ? text + n + 1 : NULL;
	for (i = 0; i < ARRAY_SIZE(rings); i++) {
		if (strlen(rings[i].name) != n ||
		    strncmp(rings[i].name, text, n) != 0)
			continue;
		if (out->named && !*out->named)
			break;
		out->ring = rings[i].ring;
		return 0;
	}
	return tb_error_set(err, TB_E_BADREQ, "--keyring: '%.60s' is none of "
	    "user, session, user-session, each perhaps with :NAME", text);
}

static int
failed(const struct keyring *k, const char *what, struct tb_error *err)
{
	return tb_error_errno(err, TB_E_IO, errno, "keyring: cannot %s key "
	    "'%.60s'%s", what, k->key, errno == ENOSYS || errno == EPERM ?
	    " (containers and sandboxes may forbid keyrings)" : "");
}

/* A key of that type and name that is linked in the ring itself, 0: there is
 * none, -1 with errno. A search would go down into keyrings below it, to keys of
 * others. What cannot be looked at, since it has expired or is not ours, is
 * passed over. */
static int32_t
find_direct(int32_t ring, const char *type, const char *name)
{
	int32_t ids[RING_MAX], n = keyctl(KEYCTL_READ, serial(ring),
	    (unsigned long)(uintptr_t)ids, sizeof(ids), 0);
	char about[DESCRIPTION_MAX];
	const char *at;
	size_t len = strlen(type);

	if (n < 0)
		return -1;
	for (size_t i = 0; i < MIN2((size_t)n, sizeof(ids)) / sizeof(ids[0]);
	    i++) {
		/* "type;uid;gid;perm;description" */
		if (keyctl(KEYCTL_DESCRIBE, serial(ids[i]),
		    (unsigned long)(uintptr_t)about, sizeof(about), 0) <= 0)
			continue;
		about[sizeof(about) - 1] = '\0';
		at = about + len;
		if (strncmp(about, type, len) != 0 || *at != ';')
			continue;
		for (int skip = 0; skip < 4 && at; skip++)
			at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL;
		if (streq(at, name))
			return ids[i];
	}
	return 0;
}

/* The keyring that the key is for; 0: there is none, and none was to be made.
 */
static int
find_ring(const struct keyring *k, bool make, int32_t *out,
    struct tb_error *err)
{
	int32_t id;

	*out = k->ring;
	if (k->ring == KEY_SPEC_USER_KEYRING &&
	    keyctl(KEYCTL_LINK, serial(k->ring),
	    serial(KEY_SPEC_PROCESS_KEYRING), 0, 0) < 0)
		return failed(k, "reach the user's keyring for", err);
	if (!k->named)
		return 0;
	id = find_direct(k->ring, "keyring", k->named);
	if (id < 0)
		return failed(k, "look for the keyring of", err);
	if (!id && !make) {
		*out = 0;
		return 0;
	}
	if (!id) {
		id = add_key("keyring", k->named, NULL, 0, k->ring);
		if (id < 0 || keyctl(KEYCTL_SETPERM, serial(id), PERM_OWNER,
		    0, 0) < 0)
			return failed(k, "make the keyring for", err);
	}
	*out = id;
	return 0;
}

int
keyring_put(const struct keyring *k, const struct secret *value,
    int64_t ttl_s, struct tb_error *err)
{
	int32_t ring, id;

	if (find_ring(k, true, &ring, err) < 0)
		return -1;
	id = add_key("user", k->key, secret_reveal(value), value->len, ring);
	if (id < 0)
		return failed(k, "write", err);
	/* first the end, then the others: nobody reads one without an end */
	if (keyctl(KEYCTL_SET_TIMEOUT, serial(id), (unsigned long)
	    MIN2(MAX2(ttl_s, 1), (int64_t)UINT32_MAX), 0, 0) < 0 ||
	    keyctl(KEYCTL_SETPERM, serial(id), PERM_OWNER, 0, 0) < 0)
		return failed(k, "bound", err);
	return 0;
}

int
keyring_remove(const struct keyring *k, struct tb_error *err)
{
	int32_t ring, id;

	if (find_ring(k, false, &ring, err) < 0)
		return -1;
	if (!ring)
		return 0;
	id = find_direct(ring, "user", k->key);
	if (id <= 0)
		return id == 0 ? 0 : failed(k, "find", err);
	/* also for those who have it linked elsewhere */
	if (keyctl(KEYCTL_INVALIDATE, serial(id), 0, 0, 0) < 0 &&
	    keyctl(KEYCTL_UNLINK, serial(id), serial(ring), 0, 0) < 0)
		return failed(k, "remove", err);
	return 0;
}
