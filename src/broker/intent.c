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

#define MARK "[tokenbroker "
#define HEX "0123456789abcdef"
/* Of tokens; also of those of holders (broker_own.c). */
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789._-@:\\"

char *
intent_description(const struct intent *i, const char *prefix,
    const char *installation, const char *token)
{
	char host[65] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	return xasprintf("%s%s" MARK "%s/%s %s #%" PRIu64 " %s]",
	    prefix ? prefix : "", prefix && *prefix ? " " : "", host,
	    installation, token, i->generation, i->nonce);
}

/* Copies len characters of s, if they fit and are all of `chars`. */
static bool
mark_part(char *out, size_t size, const char *s, size_t len,
    const char *chars)
{
	if (len == 0 || len >= size || strspn(s, chars) < len)
		return false;
	memcpy(out, s, len);
	out[len] = '\0';
	return true;
}

/* What follows the host: "TOKEN #GENERATION NONCE]". */
static bool
mark_rest(const char *s, struct intent_mark *out)
{
	size_t len = strcspn(s, " ");
	char number[21];

	if (!mark_part(out->token, sizeof(out->token), s, len, NAME_CHARS) ||
	    strncmp(s + len, " #", 2) != 0)
		return false;
	s += len + 2;
	len = strcspn(s, " ");
	if (!mark_part(number, sizeof(number), s, len, "0123456789"))
		return false;
	out->generation = strtoull(number, NULL, 10);
	s += len + (s[len] == ' ');
	return mark_part(out->nonce, sizeof(out->nonce), s, strcspn(s, "]"),
	    HEX) && strlen(out->nonce) == INTENT_NONCE_LEN &&
	    s[INTENT_NONCE_LEN] == ']';
}

/* Where only a name can be given, a backend makes one of the description, with
 * dashes and cut at its front: "...HOST-INSTALLATION-TOKEN-GENERATION-NONCE".
 * Host and token may have dashes themselves. */
static bool
mark_in_name(const char *s, struct intent_mark *out)
{
	size_t n = strlen(s), i;

	if (n < INTENT_NONCE_LEN + 1 || !mark_part(out->nonce,
	    sizeof(out->nonce), s + n - INTENT_NONCE_LEN, INTENT_NONCE_LEN,
	    HEX) || s[n - INTENT_NONCE_LEN - 1] != '-')
		return false;
	n -= INTENT_NONCE_LEN + 1;
	for (i = n; i > 0 && s[i - 1] >= '0' && s[i - 1] <= '9'; i--)
		;
	if (i == n || n - i > 20 || i < INSTALLATION_LEN + 3 ||
	    s[i - 1] != '-')
		return false;
	out->generation = strtoull(s + i, NULL, 10);
	n = i - 1; /* the end of the token's name */
	for (i = 0; i + INSTALLATION_LEN + 1 < n; i++) {
		if ((i == 0 || s[i - 1] == '-') &&
		    s[i + INSTALLATION_LEN] == '-' &&
		    mark_part(out->installation, sizeof(out->installation),
		    s + i, INSTALLATION_LEN, HEX))
			return mark_part(out->token, sizeof(out->token),
			    s + i + INSTALLATION_LEN + 1,
			    n - i - INSTALLATION_LEN - 1, NAME_CHARS);
	}
	return false;
}

bool
intent_read_mark(const char *description, struct intent_mark *out)
{
	const char *s = description ? strstr(description, MARK) : NULL;
	const char *next, *end, *slash;

	*out = (struct intent_mark){ .generation = 0 };
	while (s && (next = strstr(s + 1, MARK)))
		s = next;
	if (!s)
		return description && mark_in_name(description, out);
	s += sizeof(MARK) - 1;
	end = strchr(s, ' ');
	if (!end)
		return false;
	slash = memrchr(s, '/', (size_t)(end - s));
	if (slash && (!mark_part(out->installation, sizeof(out->installation),
	    slash + 1, (size_t)(end - slash - 1), HEX) ||
	    strlen(out->installation) != INSTALLATION_LEN))
		return false;
	return mark_rest(end + 1, out);
}

void
intent_encode(const struct intent *i, struct secret *out)
{
	json_t *o _cleanup_json_ = json_pack("{s:i, s:s, s:I, s:s, s:I, s:I}",
	    "v", INTENT_VERSION, "nonce", i->nonce, "generation",
	    (json_int_t)i->generation, "backend", i->backend, "created_at",
	    (json_int_t)i->created_at, "expires_at",
	    (json_int_t)i->expires_at);

	if (i->endless)
		json_object_set_new(o, "endless", json_true());
	jsonx_dump(o, out);
}

struct intent *
intent_decode(const struct secret *in, struct tb_error *err)
{
	json_t *o _cleanup_json_ = jsonx_parse_object(in, err);
	const char *nonce, *backend;
	int64_t v, generation, created, expires;
	bool endless = false;
	struct intent *i;

	if (!o || jsonx_int(o, "v", &v, err) < 0 ||
	    jsonx_str(o, "nonce", &nonce, err) < 0 ||
	    jsonx_int(o, "generation", &generation, err) < 0 ||
	    jsonx_str(o, "backend", &backend, err) < 0 ||
	    jsonx_int(o, "created_at", &created, err) < 0 ||
	    jsonx_int(o, "expires_at", &expires, err) < 0 ||
	    jsonx_opt_bool(o, "endless", &endless, err) < 0)
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
	i->endless = endless;
	return i;
}
