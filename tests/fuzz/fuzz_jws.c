/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens and key sets. First byte 0: the rest is a token, verified against a
 * fixed set of all kinds of key. 1: the rest is a key set. 2: "SET\nTOKEN",
 * both. 3: the rest is "HEAD\nPAYLOAD\nSIGNATURE" and is base64url-encoded
 * here, so that the fuzzer gets past that. Nobody has the private keys of the
 * fixed set: a token that verifies against it is a forgery.
 */
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"
#include "lib/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed_set[] =
	"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ych4ydLc0IECNpQhn52Y0z0B"
	"N_xwdaHnIXEFSbGhIzSAIbddPxC9qadrF6jVA5i14rKqSj_YEy6FLXahhfW1"
	"UkkV9cImpdyu-CPZ1QLJ8L5h9s_inmZaMBuvIhzpS3Bh5cDL6T8VLxVMaR7Y"
	"pkNgfAcTdKUE2X2Uo85kci32Sg1Qp33ohYTD1YNn_TExktM7Ga4iEkTr1yJO"
	"0hcaixQ8tCay92LJvA2M5Xob-1R5aMPAdzG_mVAekDn6raKZ9X6k_Igggm8j"
	"IAUcLYXgrkrzOQcpIWjT7Fo-e8v0531Er3ONwbDIprEKyh3t8c6ygnyok2wp"
	"Gsqw03PniXDpcWh2Iw\",\"e\":\"AQAB\",\"kid\":\"rs\"},{\"kty\""
	":\"EC\",\"crv\":\"P-256\",\"x\":\"svAbaOtVlfLdrEWOOboxgW9e-V"
	"CqU7PPh1qjTIooQQU\",\"y\":\"ej1rFWcnyWoKPbelWWA9oJCM5Kfg5FE1"
	"NwNR00j9xdY\",\"kid\":\"es\"},{\"kty\":\"EC\",\"crv\":\"P-38"
	"4\",\"x\":\"bdbxZ6n2c1BiVkYYFem7MwMQf5weQpscrHfIOV-P8UIL7rBT"
	"p99XnaVgXSKibav-\",\"y\":\"R9f76OLsNC_NIT35BCLEatX_xVMCriQHZ"
	"jvUvEj99K_ZL3P2ZAvVCGsxtSBxHzgS\",\"kid\":\"es384\"},{\"kty\""
	":\"EC\",\"crv\":\"P-521\",\"x\":\"AVBN03RdFBJC1M4-RXXx8rgQ8Q"
	"cen0VOmZq86C18JepCPcfCCGblCEZ8pxj4OVtwu5EUZ9BvSh5Q3PmiUTpXJx"
	"dZ\",\"y\":\"Aejr4m2mDWLTwr-HECiDUyTCUvB398Ntahhq5M9wvri-Y1Q"
	"rvb2MZWZjGCyo0DxA3PT9tEX_6xOols9Vet2_Rzfg\",\"kid\":\"es512\""
	"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"M-qwNPQttrIt1"
	"UPr2jz_YOURI7nyRovVkMV3koNgQ_Q\",\"kid\":\"ed\"}]}";

static const struct jws_expect expect = {
	.issuer = "https://idp.example", .client_id = "broker",
	.now_s = 1795368000, .leeway_s = 60 };

static struct jws_keys *
fixed_keys(void)
{
	static struct jws_keys *keys;
	struct secret set _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (!keys) {
		secret_set_str(&set, fixed_set);
		keys = jws_keys_parse(&set, &err);
		if (!keys)
			abort();
	}
	return keys;
}

static bool
verify(const struct jws_keys *keys, const struct secret *token)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *claims _cleanup_json_ = jws_verify(keys, token, &expect,
	    &err);

	if ((claims != NULL) != (err.code == TB_OK))
		abort();
	jws_keys_has(keys, token);
	return claims != NULL;
}

static void
fuzz_token(const void *text, size_t len)
{
	struct secret token _cleanup_(secret_clear) = SECRET_INIT;

	secret_set(&token, text, len);
	if (verify(fixed_keys(), &token))
		abort();
}

static void
fuzz_set(const void *text, size_t len, const void *token_text,
    size_t token_len)
{
	struct secret set _cleanup_(secret_clear) = SECRET_INIT;
	struct secret token _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct jws_keys *keys;

	secret_set(&set, text, len);
	secret_set(&token, token_text, token_len);
	keys = jws_keys_parse(&set, &err);
	if ((keys != NULL) != (err.code == TB_OK))
		abort();
	if (keys)
		verify(keys, &token);
	jws_keys_free(keys);
}

static void
fuzz_parts(const char *text, size_t len)
{
	_cleanup_free_ char *copy = xstrndup(text, len);
	char *payload = strchr(copy, '\n');
	char *sig = payload ? strchr(payload + 1, '\n') : NULL;
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *token = NULL;

	if (!sig)
		return;
	*payload++ = '\0';
	*sig++ = '\0';
	a = b64url_encode(copy, strlen(copy));
	b = b64url_encode(payload, strlen(payload));
	c = b64url_encode(sig, strlen(sig));
	token = xasprintf("%s.%s.%s", a, b, c);
	fuzz_token(token, strlen(token));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *split;

	if (size < 1)
		return 0;
	jsonx_init();
	switch (*data % 4) {
	case 0:
		fuzz_token(data + 1, size - 1);
		break;
	case 1:
		fuzz_set(data + 1, size - 1, "", 0);
		break;
	case 2:
		split = memchr(data + 1, '\n', size - 1);
		if (split)
			fuzz_set(data + 1, (size_t)(split - data - 1),
			    split + 1,
			    size - (size_t)(split + 1 - data));
		break;
	case 3:
		fuzz_parts((const char *)data + 1, size - 1);
		break;
	}
	return 0;
}
