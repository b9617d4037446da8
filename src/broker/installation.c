/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See installation.h. The record holds a hash of the machine id, not the id:
 * machine-id(5) asks not to show it around.
 */
#include "broker/installation.h"

#include <openssl/sha.h>
#include <sys/random.h>

#include "base/b64.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"
#include "state/store.h"
#include "state/writer.h"

#define INSTALLATION_VERSION 1
#define MACHINE_ID_FILE "/etc/machine-id"
#define MACHINE_ID_CAP 256
#define SAVE_AGAIN_MS 5000

/* "": this machine has no id, and any record is taken for one of its own. */
static void
read_machine(char out[17])
{
	static const char salt[] = "tokenbroker installation";
	unsigned char hash[SHA256_DIGEST_LENGTH];
	struct tb_error ignored = TB_ERROR_INIT;
	char *text _cleanup_free_ = NULL, *all _cleanup_free_ = NULL;

	out[0] = '\0';
	if (fs_read_text(MACHINE_ID_FILE, MACHINE_ID_CAP, &text,
	    &ignored) < 0 || strspn(text, "0123456789abcdef") != 32)
		return;
	all = xasprintf("%s %s", salt, text);
	SHA256((const unsigned char *)all, strlen(all), hash);
	hex_encode(hash, 8, out);
}

static void installation_save(struct installation *i);

static void
installation_on_again(void *arg)
{
	installation_save(arg);
}

void
installation_init(struct installation *i, struct loop *loop)
{
	read_machine(i->machine);
	loop_timer_init(&i->again, loop, installation_on_again, i);
}

void
installation_restore(struct installation *i, struct secret *plain)
{
	json_t *o _cleanup_json_ = NULL;
	struct tb_error err = TB_ERROR_INIT;
	const char *id = "", *machine = "", *former = "";
	int64_t v = 0;

	o = jsonx_parse_object(plain, &err);
	if (!o || jsonx_int(o, "v", &v, &err) < 0 ||
	    jsonx_str(o, "id", &id, &err) < 0 ||
	    jsonx_opt_str(o, "machine", &machine, &err) < 0 ||
	    jsonx_opt_str(o, "former", &former, &err) < 0 ||
	    v != INSTALLATION_VERSION || strlen(id) != INSTALLATION_LEN ||
	    strlen(former) > INSTALLATION_LEN) {
		log_error("broker", "the number of this installation cannot "
		    "be read (%s); it gets another one", err.code ? err.msg :
		    "unknown version");
		return;
	}
	if (*machine && *i->machine && !streq(machine, i->machine)) {
		log_warn("broker", "this state was made on another machine: "
		    "this installation gets a number of its own instead of "
		    "%s", id);
		memcpy(i->former, id, sizeof(i->former));
		i->renewed = true;
		return;
	}
	memcpy(i->id, id, sizeof(i->id));
	memcpy(i->former, former, strlen(former) + 1);
}

static void
installation_on_saved(void *arg, const struct tb_error *err)
{
	struct installation *i = arg;

	i->saving = NULL;
	if (err)
		loop_timer_set(&i->again, SAVE_AGAIN_MS);
}

static void
installation_save(struct installation *i)
{
	json_t *o _cleanup_json_ = json_pack("{s:i, s:s}", "v",
	    INSTALLATION_VERSION, "id", i->id);
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	if (*i->machine)
		jsonx_put_str(o, "machine", i->machine);
	if (*i->former)
		jsonx_put_str(o, "former", i->former);
	jsonx_dump(o, &plain);
	i->saving = store_put(i->store, "installation", "self", &plain,
	    installation_on_saved, i);
}

static void
installation_make(struct installation *i)
{
	unsigned char raw[INSTALLATION_LEN / 2];

	/* cannot fail for so few bytes once the pool is ready: random(7) */
	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		abort();
	hex_encode(raw, sizeof(raw), i->id);
	writer_forget(&i->saving);
	loop_timer_stop(&i->again);
	installation_save(i);
}

void
installation_begin(struct installation *i, struct store *store)
{
	i->store = store;
	if (!*i->id)
		installation_make(i);
}

void
installation_renew(struct installation *i)
{
	if (i->renewed)
		return;
	i->renewed = true;
	memcpy(i->former, i->id, sizeof(i->former));
	installation_make(i);
	log_info("broker", "this installation is %s from now on, no longer %s",
	    i->id, i->former);
}

void
installation_stop(struct installation *i)
{
	writer_forget(&i->saving);
	loop_timer_stop(&i->again);
}
