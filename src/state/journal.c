/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal - see the header. The line is read again instead of being composed
 * twice: that costs the loop nothing, and what the journal gets is what stands
 * in the log, with its sequence number and its hash.
 */
#include "state/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#include "base/log.h"
#include "base/tb_error.h"
#include "state/audit_line.h"

#define FIELD_PREFIX "TOKENBROKER_"
#define NAME_MAX_BYTES 32
#define WARN_S 60

static const struct {
	int priority;
	const char *id;
} kinds[AUDIT_EVENTS] = {
	[AUDIT_AUTHORISED] = { LOG_INFO, "6207af55c14b4155bef047ca9db06bd6" },
	[AUDIT_SENT] = { LOG_INFO, "74bc763cf9d7479fa81613467af76361" },
	[AUDIT_WITHHELD] = { LOG_WARNING, "17bc14c8ba21428aa4f7bb55b04588d1" },
	[AUDIT_DENIED] = { LOG_WARNING, "a3fe08833b4945ada813dd5a353f76c4" },
	[AUDIT_MINT_INTENT] = { LOG_INFO, "517f462f4ede4aed9046ef099949cfc8" },
	[AUDIT_MINTED] = { LOG_INFO, "8d0f06196cbb4589aed77e57ea41b166" },
	[AUDIT_MINT_FAILED] = {
		LOG_WARNING, "26bb8c8407b44d6e9b6566790952572d" },
	[AUDIT_SETTLED] = { LOG_NOTICE, "d5083b684c0f43ec9cfcc12d767f5632" },
	[AUDIT_RENEWED] = { LOG_INFO, "585a7a48e03f466ca2b2a846c2145bd0" },
	[AUDIT_REVOKED] = { LOG_NOTICE, "163272eac9034901b5ab9056de52f984" },
	[AUDIT_IMPORTED] = { LOG_NOTICE, "60ae64bb75ee44b6b376d224d42e36cf" },
	[AUDIT_REJECTED] = { LOG_WARNING, "da626b46576d4238a53ff811fe39c77b" },
	[AUDIT_LOGIN_STARTED] = {
		LOG_NOTICE, "188c45208295438785e95786ae967b14" },
	[AUDIT_LOGIN_GRANTED] = {
		LOG_NOTICE, "1e13a49c5f154ccb80afb54c36cc7699" },
	[AUDIT_LOGIN_FAILED] = {
		LOG_WARNING, "7ff0a8743cc847b5874dfbd2d34c2b16" },
	[AUDIT_LOGIN_PINNED] = {
		LOG_NOTICE, "b8ba47d75c7f4067ba915a063efec9ac" },
	[AUDIT_REFRESH_INTENT] = {
		LOG_INFO, "acbdc725b8b348bc9026d03b9eaaec13" },
	[AUDIT_REFRESHED] = { LOG_INFO, "fd74e51dbd044b6b9a3ea399424dd4fa" },
	[AUDIT_REFRESH_FAILED] = {
		LOG_WARNING, "5ef2f9f3b65e4225aecf082492c684ff" },
	[AUDIT_HUMAN_NEEDED] = { LOG_ERR, "864ebd3f5bd5420e96b9265d9be271d8" },
	[AUDIT_LOGOUT] = { LOG_NOTICE, "e5b5e408af3a49009d3338d917d3b9ad" },
	[AUDIT_RELOADED] = { LOG_NOTICE, "1e8118cb81f7427080429c29045ae642" },
	[AUDIT_STARTED] = { LOG_NOTICE, "41f4f3fbec6f4002bc24c17e0c0f84d6" },
	[AUDIT_STOPPED] = { LOG_NOTICE, "edfa3fdfd4e9475dbde8279801679c06" },
	[AUDIT_ADMIN] = { LOG_NOTICE, "ba764ee7b8bb4b1cb2182582f0fc99ae" },
	[AUDIT_ORPHAN] = { LOG_WARNING, "6a5eff7521464c23aabd21fd2dd56acb" },
	[AUDIT_MISSING] = { LOG_WARNING, "4448548cd16f4f3a8ddf66a05b91e7ed" },
	[AUDIT_UNSETTLED] = { LOG_WARNING, "4162838c1b444348880ab73c4281fc5a" },
	[AUDIT_EXPIRING] = { LOG_WARNING, "14e18453312d4f41a1f378786b637894" },
	[AUDIT_UPDATED] = { LOG_NOTICE, "301b21aeb1d34ca18d25509ee3498735" },
	[AUDIT_REKEYED] = { LOG_NOTICE, "99256233913a4a8e9f2c064e7d61296c" },
	[AUDIT_QUARANTINED] = { LOG_ERR, "bd84fe6cc059480a92db3111f85be64e" },
	[AUDIT_ADOPTED] = { LOG_NOTICE, "82fc0aac97ea472f91db761a2b8b9ad4" },
	[AUDIT_DISK_FAILED] = { LOG_ERR, "bcfcf63559054be79d0237b96ca2d456" },
	[AUDIT_DISK_RECOVERED] = {
		LOG_NOTICE, "e8448f6b6e7343d6b86d8f93110d4aed" },
	[AUDIT_LOST] = { LOG_ERR, "30664fafa02649e2bc97194ea0424e93" },
	[AUDIT_CHECKPOINT] = { LOG_INFO, "f124c65ffa9343aa8e5c2016223d5760" },
	[AUDIT_KEY] = { LOG_NOTICE, "37dd288ef4ba4e13b9805cdea9951cbb" },
	[AUDIT_FILES_REMOVED] = {
		LOG_NOTICE, "c8769c2616794344af601f90a59eb55b" },
};

struct journal {
	int fd;
	struct sockaddr_un address;
	struct strbuf entry;
	uint64_t dropped, warned; /* so many of dropped are in the log */
	int64_t warned_s;
};

const char *
journal_message_id(enum audit_event event)
{
	return kinds[event].id;
}

struct journal *
journal_new(const char *socket_path, struct tb_error *err)
{
	struct journal *j = xnew(struct journal);

	j->address.sun_family = AF_UNIX;
	j->warned_s = -WARN_S;
	if (strlen(socket_path) >= sizeof(j->address.sun_path)) {
		free(j);
		tb_error_set(err, TB_E_CONFIG, "the name of the journal's "
		    "socket is too long");
		return NULL;
	}
	strcpy(j->address.sun_path, socket_path);
	/* not connected: the journal may be restarted */
	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (j->fd < 0) {
		tb_error_errno(err, TB_E_LIMIT, errno, "cannot make a socket "
		    "for the journal");
		free(j);
		return NULL;
	}
	return j;
}

void
journal_free(struct journal *j)
{
	if (!j)
		return;
	close(j->fd);
	strbuf_clear(&j->entry);
	free(j);
}

uint64_t
journal_dropped(const struct journal *j)
{
	return j->dropped;
}

/* --------------------------------------------------------- reading a line */

/* Where a line is being read, and what of it makes the MESSAGE. */
struct reader {
	const char *p, *end;
	struct strbuf name, value;
	enum audit_event event;
	struct strbuf subject, login, reason;
};

static bool
take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	    c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	    c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Behind "\u". The lines have such escapes for control characters only. */
static bool
take_code(struct reader *r, struct strbuf *out)
{
	unsigned code = 0;
	int i, digit;

	for (i = 0; i < 4; i++, r->p++) {
		digit = r->p < r->end ? hex_digit(*r->p) : -1;
		if (digit < 0)
			return false;
		code = 16 * code + (unsigned)digit;
	}
	strbuf_addc(out, code && code < 0x80 ? (char)code : '?');
	return true;
}

static bool
take_escape(struct reader *r, struct strbuf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	char c;

	if (r->p == r->end)
		return false;
	c = *r->p++;
	if (c == 'u')
		return take_code(r, out);
	at = c ? strchr(from, c) : NULL;
	if (at)
		strbuf_addc(out, to[at - from]);
	return at != NULL;
}

static bool
take_string(struct reader *r, struct strbuf *out)
{
	strbuf_reset(out);
	if (!take(r, '"'))
		return false;
	while (r->p < r->end && *r->p != '"') {
		if (*r->p != '\\')
			strbuf_addc(out, *r->p++);
		else if (r->p++, !take_escape(r, out))
			return false;
	}
	return take(r, '"');
}

/* A number, true or false: as it stands. */
static bool
take_word(struct reader *r, struct strbuf *out)
{
	strbuf_reset(out);
	while (r->p < r->end && *r->p != ',' && *r->p != '}')
		strbuf_addc(out, *r->p++);
	return out->len > 0 &&
	    out->s[strspn(out->s, "0123456789aeflrstu")] == '\0';
}

static bool
take_member(struct reader *r)
{
	if (!take_string(r, &r->name) || r->name.len == 0 ||
	    r->name.len > NAME_MAX_BYTES ||
	    r->name.s[strspn(r->name.s, "abcdefghijklmnopqrstuvwxyz_0123456789")]
	    || !take(r, ':'))
		return false;
	return r->p < r->end && *r->p == '"' ? take_string(r, &r->value) :
	    take_word(r, &r->value);
}

/* ------------------------------------------------------- writing an entry */

static void
add_field(struct strbuf *out, const struct strbuf *value)
{
	uint64_t n = value->len;
	int i;

	if (!memchr(strbuf_str(value), '\n', value->len)) {
		strbuf_addc(out, '=');
	} else {
		strbuf_addc(out, '\n');
		for (i = 0; i < 8; i++) /* little endian */
			strbuf_addc(out, (char)(n >> (8 * i) & 0xff));
	}
	strbuf_add(out, strbuf_str(value), value->len);
	strbuf_addc(out, '\n');
}

static void
add_member(const struct reader *r, struct strbuf *out)
{
	size_t i;

	strbuf_adds(out, FIELD_PREFIX);
	for (i = 0; i < r->name.len; i++)
		strbuf_addc(out, r->name.s[i] >= 'a' && r->name.s[i] <= 'z' ?
		    (char)(r->name.s[i] - 'a' + 'A') : r->name.s[i]);
	add_field(out, &r->value);
}

static bool
find_event(struct reader *r)
{
	int i;

	for (i = 0; i < AUDIT_EVENTS; i++)
		if (streq(r->value.s, audit_line_event_name(
			(enum audit_event)i))) {
			r->event = (enum audit_event)i;
			return true;
		}
	return false;
}

/* What of the line a person wants to see in one. */
static bool
note_member(struct reader *r)
{
	const char *name = r->name.s, *value = strbuf_str(&r->value);

	if (streq(name, "event"))
		return find_event(r);
	if (streq(name, "token"))
		strbuf_addf(&r->subject, " token=%s", value);
	else if (streq(name, "generation"))
		strbuf_addf(&r->subject, "/%s", value);
	else if (streq(name, "uid") || streq(name, "unit") ||
	    streq(name, "count") || streq(name, "file"))
		strbuf_addf(&r->subject, " %s=%s", name, value);
	else if (streq(name, "login"))
		strbuf_addf(&r->login, " login=%s", value);
	else if (streq(name, "reason"))
		strbuf_addf(&r->reason, ": %s", value);
	return true;
}

static bool
read_line(struct reader *r, struct strbuf *out)
{
	if (!take(r, '{'))
		return false;
	do {
		if (!take_member(r) || !note_member(r))
			return false;
		add_member(r, out);
	} while (take(r, ','));
	return take(r, '}') && r->p == r->end && r->event != AUDIT_EVENTS;
}

bool
journal_entry(const char *line, size_t len, struct strbuf *out)
{
	struct strbuf message _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct reader r = { .p = line, .end = line + len,
		.event = AUDIT_EVENTS };
	bool ok = read_line(&r, out);

	if (ok) {
		strbuf_addf(&message, "%s%s%s%s",
		    audit_line_event_name(r.event), strbuf_str(&r.subject),
		    strbuf_str(&r.login), strbuf_str(&r.reason));
		strbuf_adds(out, "MESSAGE");
		add_field(out, &message);
		strbuf_addf(out, "MESSAGE_ID=%s\nPRIORITY=%d\n"
		    "SYSLOG_IDENTIFIER=tokenbrokerd\n", kinds[r.event].id,
		    kinds[r.event].priority);
	}
	strbuf_clear(&r.name);
	strbuf_clear(&r.value);
	strbuf_clear(&r.subject);
	strbuf_clear(&r.login);
	strbuf_clear(&r.reason);
	return ok;
}

/* ---------------------------------------------------------------- sending */

static void
tell_dropped(struct journal *j, int error)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - j->warned_s < WARN_S)
		return;
	log_warn("audit", "%" PRIu64 " lines did not get into the journal: "
	    "%s; they are in the audit log all the same",
	    j->dropped - j->warned, strerror(error));
	j->warned = j->dropped;
	j->warned_s = now.tv_sec;
}

static void
send_entry(struct journal *j)
{
	struct iovec iov = { .iov_base = j->entry.s, .iov_len = j->entry.len };
	struct msghdr msg = {
		.msg_name = &j->address,
		.msg_namelen = sizeof(j->address),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	if (TEMP_FAILURE_RETRY(sendmsg(j->fd, &msg, MSG_NOSIGNAL)) >= 0)
		return;
	j->dropped++;
	tell_dropped(j, errno);
}

void
journal_send(struct journal *j, const char *lines, size_t len)
{
	const char *end;

	for (; (end = memchr(lines, '\n', len)); lines = end + 1) {
		strbuf_reset(&j->entry);
		if (journal_entry(lines, (size_t)(end - lines), &j->entry))
			send_entry(j);
		len -= (size_t)(end + 1 - lines);
	}
}
