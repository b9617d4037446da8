/* SPDX-License-Identifier: Apache-2.0 */
/*
 * form - see the header. Values are percent-encoded throughout (%20, never
 * '+'): every decoder of forms takes that, and it is the same encoding that
 * HTTP Basic needs for a client's id and secret (RFC 6749 2.3.1).
 */
#include "lib/form.h"

#include <string.h>

#include "base/secret.h"
#include "base/strbuf.h"

void
form_percent_encode(const struct secret *in, struct secret *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	const char *s = secret_reveal(in);
	size_t need = 0, i;
	unsigned char *to;

	for (i = 0; i < in->len; i++)
		need += s[i] && strchr(plain, s[i]) ? 1 : 3;
	to = secret_alloc(out, need);
	for (i = 0; i < in->len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c && strchr(plain, c)) {
			*to++ = c;
		} else {
			*to++ = '%';
			*to++ = (unsigned char)hex[c >> 4];
			*to++ = (unsigned char)hex[c & 15];
		}
	}
}

/* "&name=" */
static void
form_begin(struct secret *form, const char *name)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (!secret_is_empty(form))
		strbuf_addc(&b, '&');
	strbuf_add_percent(&b, name);
	strbuf_addc(&b, '=');
	secret_append_str(form, strbuf_str(&b));
}

void
form_add(struct secret *form, const char *name, const char *value)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	form_begin(form, name);
	strbuf_add_percent(&b, value);
	secret_append_str(form, strbuf_str(&b));
}

void
form_add_secret(struct secret *form, const char *name,
    const struct secret *value)
{
	struct secret encoded _cleanup_(secret_clear) = SECRET_INIT;

	form_begin(form, name);
	form_percent_encode(value, &encoded);
	secret_append(form, secret_reveal(&encoded), encoded.len);
}
