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
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
use_crypto(void)
{
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_MD *sha = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	unsigned char out[32];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!aes || !sha || !kdf || !ctx ||
	    EVP_DigestInit_ex2(ctx, sha, NULL) <= 0 ||
	    EVP_DigestUpdate(ctx, "x", 1) <= 0 ||
	    EVP_DigestFinal_ex(ctx, out, NULL) <= 0)
		exit(1);
	EVP_MD_CTX_free(ctx);
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
	use_crypto();
	use_curl(argv[1]);
	printf("READY\n");
	fflush(stdout);
	for (;;)
		pause();
}
