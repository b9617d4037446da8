/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/page.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/page_style.h"
#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define PAGE_COOKIE "sandbox_csrf"
#define PAGE_COOKIE_LEN 32 /* of 24 random bytes in base64url */

static const char page_policy[] =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/* A page being written. */
struct page {
	FILE *out;
	char *html;
	size_t len;
};

static void
page_escape(struct page *page, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", page->out);
			break;
		case '<':
			fputs("&lt;", page->out);
			break;
		case '>':
			fputs("&gt;", page->out);
			break;
		case '"':
			fputs("&quot;", page->out);
			break;
		case '\'':
			fputs("&#39;", page->out);
			break;
		default:
			fputc(*text, page->out);
		}
	}
}

static void
page_put(struct page *page, const char *html)
{
	fputs(html, page->out);
}

static void
page_begin(struct page *page, const char *title)
{
	*page = (struct page){ 0 };
	page->out = open_memstream(&page->html, &page->len);
	if (!page->out)
		abort();
	page_put(page, "<!DOCTYPE html>\n<html lang=\"en\"><head>"
		       "<meta charset=\"utf-8\">"
		       "<meta name=\"viewport\" content=\"width=device-width,"
		       " initial-scale=1\">"
		       "<meta name=\"color-scheme\" content=\"light dark\">"
		       "<link rel=\"icon\" href=\"data:,\"><title>");
	page_escape(page, title);
	page_put(page, "</title><style>");
	page_put(page, page_style);
	page_put(page, "</style></head><body><main>"
		       "<div class=\"brand\"><span class=\"mark\"></span>"
		       "tokenbroker <b>sandbox</b></div><h1>");
	page_escape(page, title);
	page_put(page, "</h1>");
}

static void
page_end(struct page *page, struct reply *reply, int status)
{
	page_put(page, "<footer>A loopback identity provider to try things "
		       "out. Nothing here is a real account.</footer>"
		       "</main></body></html>\n");
	fclose(page->out);
	reply_text(reply, status, "text/html; charset=utf-8", page->html);
	reply_header(reply, "Content-Security-Policy", page_policy);
	reply_header(reply, "X-Content-Type-Options", "nosniff");
	reply_header(reply, "Referrer-Policy", "no-referrer");
}

/* The token that a form about this code must carry back. */
static char *
page_csrf(const struct world *world, const char *cookie, const char *user_code)
{
	char *text _cleanup_(util_free_text) =
	    util_format("%s:%s", cookie, user_code);
	unsigned char mac[UTIL_DIGEST];

	if (!HMAC(EVP_sha256(), world->csrf_key, sizeof world->csrf_key,
		(const unsigned char *)text, strlen(text), mac, NULL))
		abort();
	return util_hex(mac, sizeof mac);
}

/* The browser's cookie if it has a sane one, or NULL. */
static char *
page_get_cookie(const struct request *request)
{
	char *cookie = request_cookie(request, PAGE_COOKIE);

	if (cookie && strlen(cookie) != PAGE_COOKIE_LEN)
		util_free_text(&cookie);
	return cookie;
}

static void
page_set_cookie(struct reply *reply, const char *cookie)
{
	char *text _cleanup_(util_free_text) = util_format(
	    PAGE_COOKIE "=%s; Path=/device; HttpOnly; SameSite=Strict", cookie);

	reply_header(reply, "Set-Cookie", text);
}

/* The form to type a code in, with a complaint about the last one. */
static void
page_entry(struct reply *reply, const char *typed, const char *complaint)
{
	struct page page;

	page_begin(&page, "Connect a device");
	page_put(&page, "<p>Enter the code that your terminal shows.</p>");
	if (complaint) {
		page_put(&page, "<p class=\"error\" role=\"alert\">");
		page_escape(&page, complaint);
		page_put(&page, "</p>");
	}
	page_put(&page, "<form method=\"get\" action=\"/device\">"
			"<label class=\"field\"><span>Code</span>"
			"<input class=\"code\" name=\"user_code\" "
			"placeholder=\"WDJB-MJHT\" maxlength=\"12\" "
			"autocapitalize=\"characters\" autocomplete=\"off\" "
			"spellcheck=\"false\" autofocus required value=\"");
	page_escape(&page, typed ? typed : "");
	page_put(&page, "\"></label><div class=\"buttons\">"
			"<button class=\"yes\">Continue</button>"
			"</div></form>");
	page_end(&page, reply, complaint ? 404 : 200);
}

static void
page_scopes(struct page *page, const char *scopes)
{
	static const struct {
		const char *scope, *meaning;
	} known[] = {
		{ "openid", "know which account you are" },
		{ "profile", "see your name" },
		{ "email", "see your e-mail address" },
		{ "offline_access", "stay signed in until you revoke it" },
	};
	char *copy _cleanup_(util_free_text) = util_copy(scopes);
	char *save = NULL;

	page_put(page, "<ul class=\"scopes\">");
	for (char *s = strtok_r(copy, " ", &save); s;
	     s = strtok_r(NULL, " ", &save)) {
		page_put(page, "<li><code>");
		page_escape(page, s);
		page_put(page, "</code>");
		for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
			if (strcmp(known[i].scope, s) == 0)
				fprintf(page->out, "<span>%s</span>",
				    known[i].meaning);
		}
		page_put(page, "</li>");
	}
	page_put(page, "</ul>");
}

static void
page_accounts(struct page *page)
{
	const struct user *user;

	page_put(page, "<fieldset><legend>Approve as</legend>");
	for (size_t i = 0; (user = world_user_at(i)); i++)
		fprintf(page->out,
		    "<label class=\"account\"><input type=\"radio\" "
		    "name=\"user\" value=\"%s\"%s><span class=\"face\">%c"
		    "</span><span class=\"who\"><b>%s</b><small>%s, %s"
		    "</small></span></label>",
		    user->name, i == 0 ? " checked" : "", user->full_name[0],
		    user->full_name, user->email, user->role);
	page_put(page, "</fieldset>");
}

static void
page_details(struct page *page, const struct code *code)
{
	fprintf(page->out, "<div class=\"code\">%s</div>", code->user_code);
	page_put(page, "<p class=\"hint\">Go on only if your own terminal "
		       "shows this very code.</p><dl><dt>Asked by</dt><dd>");
	page_escape(page, code->client->title);
	page_put(page, " <code>");
	page_escape(page, code->client->id);
	page_put(page, "</code></dd>");
	if (code->message) {
		page_put(page, "<dt>It says</dt><dd class=\"message\">");
		page_escape(page, code->message);
		page_put(page, "</dd>");
	}
	page_put(page, "<dt>It wants to</dt><dd>");
	page_scopes(page, code->scope);
	page_put(page, "</dd></dl>");
}

/* The question itself. */
static void
page_question(struct world *world, const struct request *request,
    struct reply *reply, const struct code *code)
{
	char *cookie _cleanup_(util_free_text) = page_get_cookie(request);
	char *csrf _cleanup_(util_free_text) = NULL;
	struct page page;

	if (!cookie)
		cookie = util_random_text(24);
	csrf = page_csrf(world, cookie, code->user_code);
	page_begin(&page, "Allow this device?");
	page_details(&page, code);
	fprintf(page.out,
	    "<form method=\"post\" action=\"/device\">"
	    "<input type=\"hidden\" name=\"csrf\" value=\"%s\">"
	    "<input type=\"hidden\" name=\"user_code\" value=\"%s\">",
	    csrf, code->user_code);
	page_accounts(&page);
	page_put(&page, "<div class=\"buttons\">"
			"<button class=\"no\" name=\"action\" value=\"deny\">"
			"Deny</button>"
			"<button class=\"yes\" name=\"action\" "
			"value=\"approve\">Approve</button></div></form>");
	page_end(&page, reply, 200);
	page_set_cookie(reply, cookie);
}

static void
page_result(struct reply *reply, int status, const char *title,
    const char *class, const char *text)
{
	struct page page;

	page_begin(&page, title);
	fprintf(page.out, "<p class=\"%s\">", class);
	page_escape(&page, text);
	page_put(&page, "</p>");
	page_end(&page, reply, status);
}

/* The code if it waits for a decision; else NULL, with the page in reply. */
static struct code *
page_find_code(struct world *world, const char *user_code, struct reply *reply)
{
	struct code *code =
	    user_code ? world_find_user_code(world, user_code) : NULL;
	const char *state = code ? world_code_state(code) : "";

	if (!code || strcmp(state, "expired") == 0)
		page_entry(reply, user_code,
		    code ? "This code has expired. Start again on your "
			   "terminal."
			 : "There is no such code. Look again at your "
			   "terminal.");
	else if (code->state != CODE_PENDING)
		page_result(reply, 409, "Already decided", "note",
		    "This code has been answered before. Start again on your "
		    "terminal if you need a new one.");
	else
		return code;
	return NULL;
}

void
page_show(struct world *world, struct request *request, struct reply *reply)
{
	const char *user_code = params_get(&request->query, "user_code");
	struct code *code;

	if (!user_code) {
		page_entry(reply, NULL, NULL);
		return;
	}
	code = page_find_code(world, user_code, reply);
	if (code)
		page_question(world, request, reply, code);
}

/* Whether the form came from our own page in this browser. */
static bool
page_is_ours(const struct world *world, const struct request *request,
    const struct code *code)
{
	char *cookie _cleanup_(util_free_text) = page_get_cookie(request);
	char *want _cleanup_(util_free_text) = NULL;
	const char *given = params_get(&request->form, "csrf");

	if (!cookie || !given)
		return false;
	want = page_csrf(world, cookie, code->user_code);
	return strlen(given) == strlen(want) &&
	       CRYPTO_memcmp(given, want, strlen(want)) == 0;
}

void
page_decide(struct world *world, struct request *request, struct reply *reply)
{
	const char *user_code = params_get(&request->form, "user_code");
	const char *action = params_get(&request->form, "action");
	const struct user *user;
	struct code *code = page_find_code(world, user_code, reply);
	bool approve = action && strcmp(action, "approve") == 0;

	if (!code)
		return;
	user = world_find_user(params_get(&request->form, "user"));
	if (!page_is_ours(world, request, code))
		page_result(reply, 403, "Not from this page", "error",
		    "This answer did not come from the approval page in this "
		    "browser. Open the page again and answer there.");
	else if (!user || !action || (!approve && strcmp(action, "deny") != 0))
		page_result(reply, 400, "Incomplete", "error",
		    "Choose an account, then Approve or Deny.");
	else if (!world_decide(code, user, approve))
		page_result(reply, 409, "Too late", "error",
		    "This code cannot be answered any more.");
	else if (approve)
		page_result(reply, 200, "Approved", "done",
		    "The device is connected. You can close this page and "
		    "return to your terminal.");
	else
		page_result(reply, 200, "Denied", "note",
		    "The device was refused. You can close this page.");
}

void
page_home(struct world *world, struct request *request, struct reply *reply)
{
	struct page page;

	(void)request;
	page_begin(&page, "Sandbox");
	fprintf(page.out,
	    "<p>An identity provider and a management API on the loopback, "
	    "to try tokenbroker out.</p><dl>"
	    "<dt>Issuer</dt><dd><code>%s</code></dd>"
	    "<dt>Management API</dt><dd><code>%s/api/v0</code></dd>"
	    "</dl><ul class=\"links\">"
	    "<li><a href=\"/device\">Enter a code</a></li>"
	    "<li><a href=\"/.well-known/openid-configuration\">"
	    "Provider metadata</a></li>"
	    "<li><a href=\"/_sandbox/state\">What it knows</a></li>"
	    "<li><a href=\"/_sandbox/log\">What it was asked</a></li></ul>",
	    world->issuer, world->issuer);
	page_end(&page, reply, 200);
}
