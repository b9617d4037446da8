/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/client.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

/* The id and secret of an Authorization header: both are urlencoded in it. */
static int
client_parse_basic(const char *text, struct params *out)
{
	char *plain _cleanup_(util_free_text) = NULL;
	size_t len = strlen(text);
	char *colon;
	int n;

	if (len == 0 || len % 4 || len > 1024)
		return -1;
	plain = util_alloc(len);
	n = EVP_DecodeBlock(
	    (unsigned char *)plain, (const unsigned char *)text, (int)len);
	if (n < 0)
		return -1;
	colon = strchr(plain, ':');
	if (!colon)
		return -1;
	*colon = '=';
	/* id=secret is a pair as params_parse() reads them */
	return params_parse(out, plain, strlen(plain));
}

static bool
client_is_secret(const struct client *client, const char *secret)
{
	if (!client->secret)
		return !secret;
	return secret && strlen(secret) == strlen(client->secret) &&
	       CRYPTO_memcmp(secret, client->secret, strlen(secret)) == 0;
}

static const struct client *
client_refuse(struct reply *reply, const char *why)
{
	reply_oauth_error(reply, 401, "invalid_client", why);
	reply_header(reply, "WWW-Authenticate", "Basic realm=\"sandbox\"");
	return NULL;
}

static bool
client_check_form(const struct request *request, struct reply *reply)
{
	const char *why = NULL;

	if (!request->is_form)
		why = "the body must be application/x-www-form-urlencoded";
	else if (request->is_malformed)
		why = "the form cannot be decoded";
	else if (params_has_duplicate(&request->form))
		why = "a parameter is given twice";
	if (why)
		reply_oauth_error(reply, 400, "invalid_request", why);
	return !why;
}

const struct client *
client_authenticate(const struct request *request, struct reply *reply)
{
	struct params basic _cleanup_(params_clear) = { 0 };
	const char *id = params_get(&request->form, "client_id");
	const char *secret = params_get(&request->form, "client_secret");
	const char *header = request->authorization;
	const struct client *client;

	if (!client_check_form(request, reply))
		return NULL;
	if (header && strncasecmp(header, "Basic ", 6) == 0) {
		if (secret) {
			reply_oauth_error(reply, 400, "invalid_request",
			    "more than one way of client authentication");
			return NULL;
		}
		if (client_parse_basic(header + 6, &basic) < 0 ||
		    basic.count != 1 ||
		    (id && strcmp(id, basic.list[0].name) != 0))
			return client_refuse(reply, "bad Basic credentials");
		id = basic.list[0].name;
		secret = params_get(&basic, id);
	}
	client = world_find_client(id);
	if (!client)
		return client_refuse(reply, "unknown client");
	if (!client_is_secret(client, secret))
		return client_refuse(reply,
		    client->secret ? "wrong client secret"
				   : "this client is public, it has no secret");
	return client;
}
