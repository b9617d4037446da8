/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See intent.h. The nonce is random and not a counter: after a restored
 * backup, too, no two mints ever carry the same one.
 */
#include "broker/intent.h"

#include <inttypes.h>
#include <sys/random.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"

#define INTENT_VERSION 1

struct intent *
intent_new(uint64_t generation, const char *backend, int64_t created_at,
    int64_t expires_at)
{
	struct intent *i = xnew(struct intent);
	unsigned char raw[INTENT_NONCE_LEN / 2];

	/* cannot fail for up to 256 bytes once the pool is ready: random(7) */
	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		abort();
	hex_encode(raw, sizeof(raw), i->nonce);
	i->generation = generation;
	i->backend = xstrdup(backend);
	i->created_at = created_at;
	i->expires_at = expires_at;
	return i;
}

void
intent_free(struct intent *i)
{
	if (!i)
		return;
	free(i->backend);
	free(i);
}

char *
intent_description(const struct intent *i, const char *prefix,
    const char *token)
{
	char host[65] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	return xasprintf("%s%s[tokenbroker %s %s #%" PRIu64 " %s]",
	    prefix ? prefix : "", prefix && *prefix ? " " : "", host, token,
	    i->generation, i->nonce);
}

void
intent_encode(const struct intent *i, struct secret *out)
{
	json_t *o _cleanup_json_ = json_pack("{s:i, s:s, s:I, s:s, s:I, s:I}",
	    "v", INTENT_VERSION, "nonce", i->nonce, "generation",
	    (json_int_t)i->generation, "backend", i->backend, "created_at",
	    (json_int_t)i->created_at, "expires_at",
	    (json_int_t)i->expires_at);

	jsonx_dump(o, out);
}

struct intent *
intent_decode(const struct secret *in, struct tb_error *err)
{
	json_t *o _cleanup_json_ = jsonx_parse_object(in, err);
	const char *nonce, *backend;
	int64_t v, generation, created, expires;
	struct intent *i;

	if (!o || jsonx_int(o, "v", &v, err) < 0 ||
	    jsonx_str(o, "nonce", &nonce, err) < 0 ||
	    jsonx_int(o, "generation", &generation, err) < 0 ||
	    jsonx_str(o, "backend", &backend, err) < 0 ||
	    jsonx_int(o, "created_at", &created, err) < 0 ||
	    jsonx_int(o, "expires_at", &expires, err) < 0)
		return NULL;
	if (v != INTENT_VERSION || strlen(nonce) != INTENT_NONCE_LEN) {
		tb_error_set(err, TB_E_PROTO, "an intent record of version %"
		    PRId64 "; this program reads version %d", v,
		    INTENT_VERSION);
		return NULL;
	}
	i = xnew(struct intent);
	memcpy(i->nonce, nonce, INTENT_NONCE_LEN + 1);
	i->generation = (uint64_t)generation;
	i->backend = xstrdup(backend);
	i->created_at = created;
	i->expires_at = expires;
	return i;
}
