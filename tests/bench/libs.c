/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libs - a process that has the daemon's libraries and has used each of them
 * once, as the daemon must, and nothing else: what part of the daemon's memory
 * is not its own. It says READY and waits to be looked at.
 */
#include <curl/curl.h>
#include <event2/event.h>
#include <ini.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What seals a record: a subkey, AES-256-GCM. */
static void
use_seal(void)
{
	unsigned char key[32] = { 1 }, out[64];
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *kdf = hkdf ? EVP_KDF_CTX_new(hkdf) : NULL;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, sizeof(key)),
		OSSL_PARAM_construct_end(),
	};
	int n;

	if (!aes || !kdf || !ctx || RAND_bytes(key, sizeof(key)) <= 0 ||
	    EVP_KDF_derive(kdf, out, 32, params) <= 0 ||
	    EVP_EncryptInit_ex2(ctx, aes, out, key, NULL) <= 0 ||
	    EVP_EncryptUpdate(ctx, out, &n, key, sizeof(key)) <= 0 ||
	    EVP_EncryptFinal_ex(ctx, out, &n) <= 0)
		exit(1);
}

/* What chains and signs the audit log. */
static void
use_audit(void)
{
	unsigned char seed[32] = { 1 }, out[64];
	EVP_MD *sha = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *sign = EVP_MD_CTX_new();
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL,
	    seed, sizeof(seed));
	size_t n = sizeof(out);

	if (!sha || !ctx || !sign || !key ||
	    EVP_DigestInit_ex2(ctx, sha, NULL) <= 0 ||
	    EVP_DigestUpdate(ctx, "x", 1) <= 0 ||
	    EVP_DigestFinal_ex(ctx, out, NULL) <= 0 ||
	    EVP_DigestSignInit_ex(sign, NULL, NULL, NULL, NULL, key,
	    NULL) <= 0 ||
	    EVP_DigestSign(sign, out, &n, seed, sizeof(seed)) <= 0)
		exit(1);
}

static size_t
take(char *bytes, size_t size, size_t n, void *arg)
{
	return size * n;
}

static int
take_pair(void *arg, const char *section, const char *key, const char *value)
{
	return 1;
}

/* url: something that answers, as an identity provider would. */
static void
use_curl(const char *url)
{
	CURLM *multi;
	CURL *easy;
	int running = 1;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		exit(1);
	multi = curl_multi_init();
	easy = curl_easy_init();
	if (!multi || !easy)
		exit(1);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
	curl_multi_add_handle(multi, easy);
	while (running && curl_multi_perform(multi, &running) == CURLM_OK)
		curl_multi_poll(multi, NULL, 0, 100, NULL);
}

int
main(int argc, char **argv)
{
	json_t *o = json_object();
	jwt_t *jwt = NULL;
	json_error_t e;

	if (argc != 2)
		return 2;
	if (!event_base_new() || !o || jwt_new(&jwt) != 0)
		return 1;
	json_object_set_new(o, "a", json_loads("{\"b\":1}", 0, &e));
	ini_parse_string("[a]\nb = c\n", take_pair, NULL);
	use_seal();
	use_audit();
	use_curl(argv[1]);
	printf("READY\n");
	fflush(stdout);
	for (;;)
		pause();
}
