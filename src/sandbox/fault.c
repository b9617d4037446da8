/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/fault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/util.h"

enum fault_type {
	FAULT_FLAG, /* no value */
	FAULT_NUMBER, /* a number >= 0 */
	FAULT_TEXT,
	FAULT_STATUS, /* 400 to 599, perhaps ":SECONDS" or ":date+SECONDS" */
};

struct fault_kind {
	const char *name;
	enum fault_type type;
	const char *standard; /* value when none is given; NULL: required */
	const char *help;
};

static const struct fault_kind fault_kinds[] = {
	/* the device grant */
	{ "slow_down", FAULT_NUMBER, "1", "answer so many polls slow_down" },
	{ "pending", FAULT_FLAG, "", "polls never see the approval" },
	{ "deny", FAULT_FLAG, "", "polls answer access_denied" },
	{ "expire_code", FAULT_NUMBER, NULL, "new codes expire after N s" },
	{ "no_interval", FAULT_FLAG, "", "leave interval out" },
	/* tokens */
	{ "no_refresh_token", FAULT_FLAG, "",
	    "refresh: give none, keep the old one" },
	{ "no_rotation", FAULT_FLAG, "", "refresh: give the same one again" },
	{ "reuse_grace", FAULT_NUMBER, "30",
	    "refresh: take a used one again for N s" },
	{ "refresh_invalid_grant", FAULT_FLAG, "", "refresh: invalid_grant" },
	{ "refresh_access_ttl", FAULT_NUMBER, NULL,
	    "refresh: access tokens live N s" },
	{ "jwt_access_token", FAULT_FLAG, "", "access tokens are JWTs" },
	{ "expires_in_string", FAULT_FLAG, "", "\"3600\" instead of 3600" },
	/* id tokens */
	{ "no_id_token", FAULT_FLAG, "", "no id token" },
	{ "es256", FAULT_FLAG, "", "id token: signed ES256, and valid" },
	{ "bad_signature", FAULT_FLAG, "",
	    "id token: signature with bits flipped" },
	{ "alg_none", FAULT_FLAG, "", "id token: unsigned, alg none" },
	{ "alg_hs256", FAULT_FLAG, "",
	    "id token: HMAC keyed with the public key" },
	{ "unknown_kid", FAULT_FLAG, "", "id token: kid of no known key" },
	{ "wrong_aud", FAULT_FLAG, "", "id token: for another client" },
	{ "wrong_iss", FAULT_FLAG, "", "id token: of another issuer" },
	{ "expired_id_token", FAULT_FLAG, "",
	    "id token: an hour past its end" },
	{ "other_user_sub", FAULT_FLAG, "",
	    "id token: about the other account" },
	/* discovery */
	{ "discovery_issuer", FAULT_TEXT, "https://issuer.example",
	    "discovery names this issuer" },
	{ "oauth_issuer", FAULT_TEXT, "https://issuer.example",
	    "/api/v3/auth/oauth/config names this issuer" },
	{ "foreign_endpoints", FAULT_TEXT, "https://elsewhere.example",
	    "discovery names endpoints there" },
	/* the management API */
	{ "late_commit", FAULT_NUMBER, "2",
	    "mint: cut at once, commit N s later" },
	{ "activation_delay", FAULT_NUMBER, "5",
	    "new tokens work after N s" },
	{ "list_lag", FAULT_NUMBER, "5", "lists show tokens after N s" },
	{ "hide_revoked", FAULT_FLAG, "", "lists leave revoked tokens out" },
	{ "status_201", FAULT_FLAG, "", "mint: 201 instead of 200" },
	{ "strict_body", FAULT_FLAG, "", "mint: refuse unknown members" },
	{ "influx3_core", FAULT_FLAG, "",
	    "InfluxDB 3 Core: there are no resource tokens" },
	{ "influx3_no_auth", FAULT_FLAG, "",
	    "InfluxDB 3: started without authorization" },
	{ "mgmt_no_chain", FAULT_FLAG, "",
	    "no management token by a management token" },
	/* token exchange */
	{ "exchange_off", FAULT_FLAG, "", "exchange: unsupported_grant_type" },
	{ "exchange_not_allowed", FAULT_FLAG, "",
	    "exchange: unauthorized_client" },
	{ "exchange_ttl", FAULT_NUMBER, NULL, "exchange: tokens live N s" },
	{ "exchange_no_expiry", FAULT_FLAG, "", "exchange: no expires_in" },
	{ "exchange_refresh", FAULT_FLAG, "",
	    "exchange: a refresh token comes, too" },
	{ "exchange_type", FAULT_TEXT,
	    "urn:ietf:params:oauth:token-type:refresh_token",
	    "exchange: that issued_token_type" },
	{ "exchange_token_type", FAULT_TEXT, "DPoP",
	    "exchange: that token_type" },
	{ "no_revocation_endpoint", FAULT_FLAG, "",
	    "discovery names no revocation endpoint" },
	/* HTTP, at any endpoint */
	{ "status", FAULT_STATUS, NULL,
	    "CODE[:SECONDS|:date+SECONDS], work not done" },
	{ "status_after", FAULT_STATUS, "500", "the same, work done" },
	{ "html_error", FAULT_STATUS, "502", "an HTML page, work not done" },
	{ "empty_400", FAULT_FLAG, "", "400, no body, no type" },
	{ "redirect", FAULT_TEXT, NULL, "307 to that URL" },
	{ "delay", FAULT_NUMBER, NULL, "wait N s, then work" },
	{ "hang", FAULT_FLAG, "", "never answer" },
	{ "lost_reply", FAULT_FLAG, "", "work, then cut the connection" },
	{ "half_body", FAULT_FLAG, "", "promise more than is sent" },
	{ "big_body", FAULT_NUMBER, "64", "work, answer N MiB" },
	{ "wrong_content_type", FAULT_TEXT, "text/plain",
	    "another Content-Type" },
	{ "unknown_fields", FAULT_FLAG, "", "extra members everywhere" },
};

static const struct fault_kind *
fault_find_kind(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(fault_kinds); i++) {
		if (strcmp(fault_kinds[i].name, name) == 0)
			return &fault_kinds[i];
	}
	return NULL;
}

static void
fault_free(struct fault *fault)
{
	free(fault->value);
	free(fault->path);
	free(fault->method);
	free(fault);
}

static void
fault_freep(struct fault **fault)
{
	if (*fault)
		fault_free(*fault);
}

static bool
fault_is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The value as text, whatever JSON type it came in. */
static char *
fault_value_text(const json_t *value)
{
	if (json_is_string(value))
		return util_copy(json_string_value(value));
	if (json_is_integer(value))
		return util_format(
		    "%lld", (long long)json_integer_value(value));
	if (json_is_real(value))
		return util_format("%.6f", json_real_value(value));
	return NULL;
}

/* Check a status value: CODE, CODE:SECONDS or CODE:date+SECONDS. */
static bool
fault_is_status(const char *text)
{
	char *code _cleanup_(util_free_text) =
	    util_format("%.*s", (int)strcspn(text, ":"), text);
	const char *rest = strchr(text, ':');
	int64_t number;

	if (util_parse_number(code, 599, &number) < 0 || number < 400)
		return false;
	if (!rest)
		return true;
	rest++;
	if (strncmp(rest, "date+", 5) == 0)
		rest += 5;
	return util_parse_number(rest, 1000000, &number) == 0;
}

static char *
fault_check_value(struct fault *fault)
{
	const struct fault_kind *kind = fault->kind;
	char *end;

	if (!fault->value && !kind->standard)
		return util_format("fault %s needs a value", kind->name);
	if (!fault->value && kind->type != FAULT_FLAG)
		fault->value = util_copy(kind->standard);
	switch (kind->type) {
	case FAULT_FLAG:
		if (fault->value)
			return util_format(
			    "fault %s takes no value", kind->name);
		break;
	case FAULT_NUMBER:
		fault->number = strtod(fault->value, &end);
		if (*end || end == fault->value || !isfinite(fault->number) ||
		    fault->number < 0 || fault->number > 1e9)
			return util_format(
			    "fault %s wants a number >= 0", kind->name);
		break;
	case FAULT_STATUS:
		if (!fault_is_status(fault->value))
			return util_format("fault %s wants 400 to 599, "
					   "perhaps with :SECONDS or "
					   ":date+SECONDS",
			    kind->name);
		fault->number = atoi(fault->value);
		break;
	case FAULT_TEXT:
		break;
	}
	return NULL;
}

/* An integer member >= min, or the standard when it is not there. */
static int
fault_get_count(const json_t *json, const char *name, int64_t min,
    int64_t standard, int64_t *out)
{
	const json_t *member = json_object_get(json, name);

	*out = standard;
	if (!member || json_is_null(member))
		return 0;
	if (!json_is_integer(member) || json_integer_value(member) < min)
		return -1;
	*out = json_integer_value(member);
	return 0;
}

static char *
fault_fill(struct fault *fault, const json_t *json)
{
	const json_t *value = json_object_get(json, "value");
	const json_t *path = json_object_get(json, "path");
	const json_t *method = json_object_get(json, "method");

	if (value && !json_is_null(value) && !json_is_true(value)) {
		fault->value = fault_value_text(value);
		if (!fault->value)
			return util_copy("value: want a string or a number");
	}
	if (fault_get_count(json, "times", 1, -1, &fault->times) < 0)
		return util_copy("times: want an integer >= 1");
	if (fault_get_count(json, "after", 0, 0, &fault->after) < 0)
		return util_copy("after: want an integer >= 0");
	if ((path && !json_is_string(path) && !json_is_null(path)) ||
	    (method && !json_is_string(method) && !json_is_null(method)))
		return util_copy("path, method: want a string");
	fault->path = util_copy(json_string_value(path));
	fault->method = util_copy(json_string_value(method));
	return fault_check_value(fault);
}

static void
fault_remove(struct fault_list *list, struct fault *fault)
{
	TAILQ_REMOVE(list, fault, link);
	fault_free(fault);
}

static struct fault *
fault_next(const struct fault *fault)
{
	return TAILQ_NEXT(fault, link);
}

char *
fault_set(struct fault_list *list, const json_t *json)
{
	struct fault *fault _cleanup_(fault_freep) = NULL;
	const char *name = json_string_value(json_object_get(json, "name"));
	struct fault *next;
	char *why;

	if (!name || !fault_find_kind(name))
		return util_format(
		    "no fault is named \"%.64s\"", name ? name : "");
	fault = util_alloc(sizeof *fault);
	fault->kind = fault_find_kind(name);
	why = fault_fill(fault, json);
	if (why)
		return why;
	/* for this one the value says how often */
	if (strcmp(name, "slow_down") == 0 && fault->times < 0)
		fault->times = (int64_t)fault->number;
	for (struct fault *f = TAILQ_FIRST(list); f; f = next) {
		next = fault_next(f);
		if (f->kind == fault->kind &&
		    fault_is_same(f->path, fault->path) &&
		    fault_is_same(f->method, fault->method))
			fault_remove(list, f);
	}
	TAILQ_INSERT_TAIL(list, fault, link);
	fault = NULL;
	return NULL;
}

char *
fault_set_text(struct fault_list *list, const char *text)
{
	json_t *json _cleanup_(util_free_json) = NULL;
	size_t len = strcspn(text, "=");

	if (*text == '{')
		json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	else if (text[len])
		json = json_pack(
		    "{s:s%, s:s}", "name", text, len, "value", text + len + 1);
	else
		json = json_pack("{s:s}", "name", text);
	if (!json)
		return util_format("cannot read \"%.64s\"", text);
	return fault_set(list, json);
}

int
fault_clear(struct fault_list *list, const char *name)
{
	struct fault *next;
	int n = 0;

	for (struct fault *f = TAILQ_FIRST(list); f; f = next) {
		next = fault_next(f);
		if (!name || strcmp(f->kind->name, name) == 0) {
			fault_remove(list, f);
			n++;
		}
	}
	return n;
}

static bool
fault_applies(const struct fault *fault, const char *method, const char *path)
{
	return (!fault->path ||
		   strncmp(path, fault->path, strlen(fault->path)) == 0) &&
	       (!fault->method || strcmp(method, fault->method) == 0);
}

const struct fault *
fault_take(struct fault_list *list, const char *name, const char *method,
    const char *path)
{
	const struct fault_kind *kind = fault_find_kind(name);
	struct fault *next;

	if (!kind)
		abort();
	for (struct fault *f = TAILQ_FIRST(list); f; f = next) {
		next = fault_next(f);
		if (f->times == 0) { /* worn out earlier */
			fault_remove(list, f);
			continue;
		}
		if (f->kind != kind || !fault_applies(f, method, path))
			continue;
		if (f->after > 0) {
			f->after--;
			continue;
		}
		if (f->times > 0)
			f->times--;
		return f;
	}
	return NULL;
}

json_t *
fault_describe(const struct fault_list *list)
{
	json_t *array = json_array();
	const struct fault *f;

	TAILQ_FOREACH (f, list, link) {
		if (f->times != 0)
			json_array_append_new(array,
			    json_pack("{s:s, s:s?, s:I, s:I, s:s?, s:s?}",
				"name", f->kind->name, "value", f->value,
				"times", (json_int_t)f->times, "after",
				(json_int_t)f->after, "path", f->path, "method",
				f->method));
	}
	return array;
}

void
fault_print_kinds(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fault_kinds); i++) {
		const struct fault_kind *kind = &fault_kinds[i];
		char *name _cleanup_(util_free_text) = NULL;

		if (kind->type == FAULT_FLAG)
			name = util_copy(kind->name);
		else if (kind->standard)
			name =
			    util_format("%s[=%s]", kind->name, kind->standard);
		else
			name = util_format("%s=VALUE", kind->name);
		if (strlen(name) > 24)
			printf("  %s\n  %-24s", name, "");
		else
			printf("  %-24s", name);
		printf("  %s\n", kind->help);
	}
}
