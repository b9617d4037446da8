/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What auditors ask about the audit log itself: where its chain ends, what was
 * signed last, by which keys, in which files. All from memory. The log is read
 * where it is, by tokenbrokerctl audit, which needs no daemon.
 */
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/jsonx.h"
#include "serve/admin_int.h"
#include "serve/serve_int.h"
#include "state/audit.h"

/* "NAME\n" each. */
static json_t *
files_json(char *text)
{
	json_t *list = json_array();
	char *save = NULL, *name;

	for (name = strtok_r(text, "\n", &save); name;
	     name = strtok_r(NULL, "\n", &save))
		json_array_append_new(list, json_string(name));
	return list;
}

/* "KID PUBLIC SINCE\n" each; SINCE may be missing. */
static json_t *
keys_json(char *text)
{
	json_t *list = json_array(), *o;
	char *save = NULL, *fields, *line, *id, *public, *since;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		id = strtok_r(line, " ", &fields);
		public = strtok_r(NULL, " ", &fields);
		since = strtok_r(NULL, " ", &fields);
		o = json_object();
		json_object_set_new(o, "key", json_string(id));
		json_object_set_new(o, "public_key", json_string(public));
		if (since)
			json_object_set_new(o, "since", json_string(since));
		json_array_append_new(list, o);
	}
	return list;
}

void
admin_audit(struct session *s, const struct request *rq)
{
	struct writer_trail t;
	uint64_t lost;
	json_t *o = json_object(), *head = json_object();

	audit_get_trail(session_serve(s)->audit, &t, &lost);
	json_object_set_new(head, "seq", json_integer((json_int_t)t.seq));
	json_object_set_new(head, "hash", json_string(t.hash));
	json_object_set_new(o, "head", head);
	if (t.checkpoint)
		json_object_set_new(o, "checkpoint",
		    json_string(t.checkpoint));
	json_object_set_new(o, "keys", keys_json(t.keys));
	json_object_set_new(o, "files", files_json(t.files));
	json_object_set_new(o, "lost", json_integer((json_int_t)lost));
	json_object_set_new(o, "journal_dropped",
	    json_integer((json_int_t)t.journal_dropped));
	writer_trail_clear(&t);
	session_reply_json(s, 200, o);
}

/* ------------------------------------------------------------ a checkpoint */

struct admin_checkpoint {
	struct session_op op;
	struct writer_item *item;
};

static void
checkpoint_gone(struct session_op *op)
{
	struct admin_checkpoint *c = container_of(op, struct admin_checkpoint,
	    op);

	writer_forget(&c->item);
	free(c);
}

static void
checkpoint_hurry(struct session_op *op, enum session_hurry why)
{
	struct session *s;

	if (why == SESSION_RELOADED)
		return;
	s = session_end(op);
	if (why == SESSION_STOPPING)
		session_refuse(s, PROBLEM_STOPPING, "the broker is stopping; "
		    "it ends its audit log with a checkpoint");
	else
		session_refuse(s, PROBLEM_TIMEOUT, "the disk takes longer "
		    "than a request may; look at the audit log's state later");
	checkpoint_gone(op);
}

static const struct session_op_type checkpoint_type = {
	.gone = checkpoint_gone,
	.hurry = checkpoint_hurry,
};

static void
checkpoint_on_done(void *arg, const struct tb_error *err)
{
	struct admin_checkpoint *c = arg;
	struct session *s;
	struct writer_trail t;
	uint64_t lost;
	json_t *o;

	c->item = NULL;
	s = session_end(&c->op);
	free(c);
	if (err) {
		session_refuse(s, PROBLEM_AUDIT, err->msg);
		return;
	}
	audit_get_trail(session_serve(s)->audit, &t, &lost);
	o = json_object();
	json_object_set_new(o, "checkpoint", json_string(t.checkpoint));
	writer_trail_clear(&t);
	session_reply_json(s, 200, o);
}

void
admin_checkpoint(struct session *s, const struct request *rq)
{
	struct admin_checkpoint *c = xnew(struct admin_checkpoint);

	admin_note(s, "checkpoint", NULL, NULL);
	session_begin(s, &c->op, &checkpoint_type, false);
	c->item = audit_checkpoint(session_serve(s)->audit,
	    checkpoint_on_done, c);
}
