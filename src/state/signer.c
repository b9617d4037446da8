/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signer - see the header. Until there is a key the audit log is chained as
 * always and has no checkpoints; so a store that refuses is asked again, and
 * nobody else waits.
 */
#include "state/signer.h"

#include "base/log.h"
#include "base/tb_error.h"
#include "lib/loop.h"
#include "state/checkpoint.h"
#include "state/store.h"
#include "state/writer.h"

#define RETRY_MS 10000

struct signer {
	struct writer *writer;
	struct store *store;
	struct secret seed; /* until it is stored */
	struct writer_item *storing;
	struct loop_timer retry;
};

/* Gives the writer what it needs. */
static int
signer_hand_over(struct signer *s, struct tb_error *err)
{
	struct checkpoint_key *key = checkpoint_key_new(&s->seed, err);

	if (!key)
		return -1;
	writer_put_key(s->writer, key);
	secret_clear(&s->seed);
	return 0;
}

static void
signer_on_stored(void *arg, const struct tb_error *err)
{
	struct signer *s = arg;
	struct tb_error key_err = TB_ERROR_INIT;

	s->storing = NULL;
	if (err) {
		log_warn("audit", "the key that signs the audit log could not "
		    "be stored, so there are no checkpoints yet: %s",
		    err->msg);
		loop_timer_set(&s->retry, RETRY_MS);
	} else if (signer_hand_over(s, &key_err) < 0) {
		log_error("audit", "%s", key_err.msg);
	}
}

static void
signer_store(void *arg)
{
	struct signer *s = arg;
	struct secret copy _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (secret_is_empty(&s->seed) &&
	    checkpoint_make_seed(&s->seed, &err) < 0) {
		log_error("audit", "no key for the audit log: %s", err.msg);
		loop_timer_set(&s->retry, RETRY_MS);
		return;
	}
	secret_dup(&copy, &s->seed);
	s->storing = store_put(s->store, SIGNER_RECORD_KIND,
	    SIGNER_RECORD_NAME, &copy, signer_on_stored, s);
}

struct signer *
signer_new(struct loop *loop, struct writer *writer, struct store *store,
    struct secret *found)
{
	struct signer *s = xnew(struct signer);
	struct tb_error err = TB_ERROR_INIT;

	s->writer = writer;
	s->store = store;
	loop_timer_init(&s->retry, loop, signer_store, s);
	secret_move(&s->seed, found);
	if (!secret_is_empty(&s->seed)) {
		if (signer_hand_over(s, &err) == 0)
			return s;
		log_warn("audit", "record " SIGNER_RECORD_KIND "/"
		    SIGNER_RECORD_NAME ": %s; a new key is made", err.msg);
		secret_clear(&s->seed);
	}
	signer_store(s);
	return s;
}

void
signer_free(struct signer *s)
{
	if (!s)
		return;
	loop_timer_stop(&s->retry);
	writer_forget(&s->storing);
	secret_clear(&s->seed);
	free(s);
}
