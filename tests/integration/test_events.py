# SPDX-License-Identifier: Apache-2.0
"""tokenbrokerctl events: nothing is missed, everything is told at least once, and nobody who is told can harm us."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time

import pytest

import daemon as d
import util
from sandbox import Sandbox
from test_disk import DiskFault
from test_outages import WallClock

CONF = d.SANDBOX_LOGIN + """\
[backend prod]
type = influxdb-clustered
login = ops
base_url = {issuer}
allow_insecure_loopback = yes
[token db]
backend = prod
permissions = read:metrics
lifetime = 6h
[backend self]
type = oauth
login = ops
[token access]
backend = self
allow_full_access = yes
[client root]
user = root
tokens = db access
"""
TYPES = {"human_needed", "login_pending", "login_granted", "login_failed", "logout", "rotated", "revoked", "denied",
         "expiring", "unsettled", "settled", "orphan", "missing", "quarantined", "adopted", "audit_degraded",
         "audit_recovered"}


@pytest.fixture
def sandbox():
    with Sandbox("--quiet") as one:
        yield one


@pytest.fixture
def tb(sandbox):
    with d.Daemon(CONF.format(issuer=sandbox.issuer)) as one:
        yield one


@pytest.fixture
def alone():
    """A daemon whose provider is not there: a login fails at once, which is two events."""
    with d.Daemon(CONF.format(issuer="http://127.0.0.1:9"), "audit_max_size = 4K\n") as one:
        yield one


@pytest.fixture
def work():
    one = pathlib.Path(tempfile.mkdtemp(prefix="tbe-"))
    yield one
    shutil.rmtree(one)


class Client:
    """A tokenbrokerctl events that goes on; its lines are read as JSON where they are."""

    def __init__(self, tb, *args, env=None):
        self.out = open(tb.dir / f"events-{secrets.token_hex(4)}.out", "w+", encoding="utf-8")
        self.err = open(tb.ctl_file, "a+", encoding="utf-8")
        self.process = subprocess.Popen([d.program("tokenbrokerctl"), "events", *map(str, args)], stdout=self.out,
                                        stderr=self.err, stdin=subprocess.DEVNULL,
                                        env={**os.environ, "TOKENBROKER_RUN_DIR": str(tb.run_dir), **(env or {})})

    def events(self):
        self.out.seek(0)
        return [json.loads(line) for line in self.out.read().splitlines() if line.startswith("{")]

    def wait(self, check, what, timeout=30):
        def look():
            assert self.process.poll() is None, f"events ended with {self.process.returncode}"
            return check(self.events())
        util.wait_until(look, timeout, what)

    def await_signals(self):
        """It has come so far that SIGTERM is an end of its own."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status")
        util.wait_until(lambda: any(line.startswith("SigCgt:") and int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1
                                    for line in status.read_text().splitlines()), 30, "its signal handlers")

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        status = self.process.wait(20)
        self.out.close()
        self.err.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        util.end_process(self.process, signal.SIGKILL)
        self.out.close()
        self.err.close()


def fail_login(tb):
    before = len(everything(tb, "login_failed"))
    tb.admin.request("logins/ops", "POST", {})
    util.wait_until(lambda: len(everything(tb, "login_failed")) > before, 20, "a failed login")


def everything(tb, types=None, after="0"):
    """All events of the log, by as many questions as it takes."""
    found = []
    while True:
        more = "&types=" + types if types else ""
        answer = tb.admin.request(f"events?after={after}{more}").json()
        found += answer["events"]
        if not answer["events"]:
            return found
        after = answer["cursor"]


def once(tb, *args, check=0):
    done = tb.ctl("events", "--json", "--once", *args, check=check)
    return [json.loads(line) for line in done.stdout.splitlines()]


# ------------------------------------------------------------------- the door


def test_life_of_a_login_and_a_token(tb, sandbox):
    """Each kind has its sentence; what began and what ended it have one name."""
    assert tb.login("ops", sandbox.approve)["state"] == "granted"
    tb.token("db")
    tb.ctl("rotate", "db", check=0)
    tb.ctl("revoke", "db", "--yes", check=0)
    tb.ctl("logout", "ops", check=0)
    util.wait_until(lambda: {"logout"} <= {e["type"] for e in everything(tb)}, 20, "the logout")
    found = everything(tb)
    kinds = [e["type"] for e in found]
    assert kinds[:2] == ["login_pending", "login_granted"]
    assert {"rotated", "revoked", "logout"} <= set(kinds) <= TYPES
    rotated = next(e for e in found if e["type"] == "rotated")
    assert rotated["generation"] == 2 and rotated["subject"] == "token db" and rotated["ends"] == "expiring/db"
    assert "released from now on" in rotated["text"]
    assert next(e for e in found if e["type"] == "login_granted")["ends"] == "human_needed/ops"
    assert len({e["id"] for e in found}) == len(found)
    seqs = [e["seq"] for e in found]
    assert seqs == sorted(seqs)
    # each is a line of the log
    lines = {r["seq"]: r for r in tb.audit()}
    assert all(lines[e["seq"]]["time"] == e["timestamp"] for e in found)
    # and from each of their cursors the rest
    for i, event in enumerate(found):
        assert [e["id"] for e in everything(tb, after=event["cursor"])] == [e["id"] for e in found[i + 1:]]
    assert all(e["host"] == os.uname().nodename for e in found)


def test_human_needed_until_somebody_came(tb, sandbox):
    """Told at once, repeated as long as it lasts, and once that it is over."""
    assert tb.login("ops", sandbox.approve)["state"] == "granted"
    assert tb.token("access").status == 200
    with Client(tb, "--json", "--after", "0", "--types", "human_needed", "--remind", "1s") as client:
        sandbox.fault("refresh_invalid_grant")
        tb.admin.request("tokens/access/rotate", "POST")
        client.wait(lambda es: [e for e in es if e.get("reminder") == 2], "two reminders")
        first = client.events()[0]
        assert first["type"] == "human_needed" and first["severity"] == "error" and first["login"] == "ops"
        assert "tokenbrokerctl login ops" in first["next"]
        sandbox.clear_faults()
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        client.wait(lambda es: es[-1]["type"] == "over", "that it is over")
        over = client.events()[-1]
        assert over["condition"] == first["condition"] and over["over"] == "human_needed"
        assert over["began"] == first["timestamp"]
        n = len(client.events())
        time.sleep(2.5)
        assert len(client.events()) == n, "over is over"
        assert {e["type"] for e in client.events()} == {"human_needed", "over"}
        ids = [e["id"] for e in client.events()]
        assert len(set(ids)) == len(ids)


def test_denials_are_told_by_count(tb):
    for _ in range(50):
        assert tb.api.request("tokens/nothing").status == 403
    util.wait_until(lambda: everything(tb, "denied"), 20, "the denial")
    found = everything(tb, "denied")
    assert len(found) == 1, "the first at once, the others by their number, a minute later"
    assert found[0]["subject"] == "uid 0" and "'nothing'" in found[0]["text"] and "--uid 0" in found[0]["next"]


def test_who_may_ask(tb):
    done = tb.ctl("events", "--once", user=d.NOBODY, check=4)
    assert "auditor" in done.stderr
    assert tb.admin.request("events?types=human_neded").status == 400
    for bad in ("after=x", "after=1.x", "after=-1", "wait=301", "wait=x", "after=", "types="):
        assert tb.admin.request("events?" + bad).status == 400, bad


def test_waiting(tb):
    with tb.admin.session(timeout=60) as ask:
        began = time.monotonic()
        answer = ask("events?wait=1").json()
        assert answer["events"] == [] and time.monotonic() - began >= 0.9
    cursor = answer["cursor"]
    with tb.admin.asking(f"events?after={cursor}&wait=60") as told:
        assert tb.api.request("tokens/nothing").status == 403
        got = told().json()
    assert [e["type"] for e in got["events"]] == ["denied"]
    # who waits when the daemon goes is answered
    with tb.admin.asking(f"events?after={got['cursor']}&wait=60") as told:
        tb.stop()
        last = told().json()
    assert last["events"] == [] and last["cursor"] >= got["cursor"]
    tb.start()


# ------------------------------------------------------------- nothing is missed


def test_cursor_over_restarts_and_rotation(alone):
    """All of it once, in order, over restarts, kill -9, rotated files, and for somebody who was away meanwhile."""
    with Client(alone, "--json", "--types", "login_failed", "--cursor-file", alone.dir / "cursor") as client:
        util.wait_until(lambda: (alone.dir / "cursor").exists(), 20, "a cursor")
        for i in range(12):
            fail_login(alone)
            if i % 4 == 1:
                alone.restart()
            elif i % 4 == 3:
                alone.kill()
                alone.start()
        client.wait(lambda es: len(es) >= 12, "twelve")
        assert client.end() == 0
    assert len(list(alone.log_dir.glob("audit-*.jsonl"))) >= 2, "nothing was rotated"
    found = everything(alone, "login_failed")
    assert len(found) == 12
    # somebody who comes with an old cursor
    cursor = found[0]["cursor"]
    assert [e["id"] for e in once(alone, "--types", "login_failed", "--after", cursor)] == [e["id"] for e in found[1:]]
    assert [e["id"] for e in once(alone, "--types", "login_failed", "--since", "1h")] == [e["id"] for e in found]


def test_kept_no_more(alone):
    while len(list(alone.log_dir.glob("audit-*.jsonl"))) < 2:
        fail_login(alone)
    found = everything(alone)
    old = sorted(alone.log_dir.glob("audit-*.jsonl"))
    assert len(old) >= 2
    hidden = alone.dir / "hidden"
    hidden.mkdir()
    for file in old[:-1]:
        shutil.move(file, hidden)
    alone.restart()  # what it has in memory is not gone
    answer = alone.admin.request(f"events?after={found[0]['cursor']}").json()
    last = int(old[-2].stem.split("-")[1])
    assert answer["gap"] == {"after": found[0]["seq"], "until": last}
    told = once(alone, "--after", found[0]["cursor"])
    assert told[0]["type"] == "gap" and "audit verify" in told[0]["next"]
    assert [e["id"] for e in told[1:]] == [e["id"] for e in found if e["seq"] > last]
    alone.stop()
    for file in hidden.iterdir():
        shutil.move(file, alone.log_dir)
    alone.start()
    # a cursor of another, longer log
    answer = alone.admin.request("events?after=99999999").json()
    assert answer["gap"] and answer["events"][0]["id"] == found[0]["id"]


def test_killed_between_delivery_and_cursor(alone, work):
    """At least once: who is killed before the cursor is kept tells it again, by the same id."""
    script = work / "slow"
    script.write_text(f"#!/bin/sh\ncat >>{work}/got\necho done >>{work}/done\nsleep 60\n")
    script.chmod(0o755)
    cursor = work / "cursor"
    args = ("--cursor-file", cursor, "--after", "0", "--types", "login_failed", "--exec", script)
    fail_login(alone)
    with Client(alone, *args) as client:
        util.wait_until(lambda: (work / "done").exists(), 20, "the delivery")
        client.process.send_signal(signal.SIGKILL)
        client.process.wait()
    script.write_text(f"#!/bin/sh\ncat >>{work}/got\n")
    with Client(alone, *args) as client:
        util.wait_until(lambda: len((work / "got").read_text().splitlines()) >= 2, 20, "it again")
        util.wait_until(lambda: cursor.exists() and "login_failed" not in cursor.read_text() and
                        json.loads(cursor.read_text())["cursor"] != "0", 20, "the cursor")
        assert client.end() == 0
    got = [json.loads(line) for line in (work / "got").read_text().splitlines()]
    assert len(got) == 2 and got[0]["id"] == got[1]["id"]
    assert stat.S_IMODE(cursor.stat().st_mode) == 0o600
    assert once(alone, "--types", "login_failed", "--cursor-file", cursor) == []


def test_daemon_away(alone):
    alone.stop()
    assert alone.ctl("events", "--once").returncode == 6
    with Client(alone, "--json", "--types", "login_failed") as client:
        util.wait_until(lambda: "waiting for it" in alone.ctl_file.read_text(), 20, "that it waits")
        alone.start()
        util.wait_until(lambda: (fail_login(alone), client.events())[1], 60, "one of them", interval=1)


# ----------------------------------------------------------------------- a disk


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")
def test_audit_degraded(sandbox, work):
    """While the log cannot be written nothing can be read from it, and it is told all the same."""
    fault = DiskFault(work)
    tb = d.Daemon(CONF.format(issuer=sandbox.issuer))
    tb.start(env=fault.env)
    try:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        with Client(tb, "--json", "--after", "0", "--types", "audit_degraded,audit_recovered") as client:
            tb.token("db")
            fault.set(write=5, sync=5)
            with contextlib.suppress(Exception):
                tb.token("db")
            client.wait(lambda es: es, "the failure")
            first = client.events()[0]
            assert first["type"] == "audit_degraded" and "seq" not in first and "doctor" in first["next"]
            fault.clear()
            client.wait(lambda es: es[-1]["type"] == "over", "that it is over", 60)
            kinds = [e["type"] for e in client.events()]
            assert kinds == ["audit_degraded", "audit_recovered", "over"], kinds
            assert client.events()[-1]["condition"] == "audit_degraded"
    finally:
        fault.clear()
        tb.end()


# ------------------------------------------------------------------- a command


def test_command(alone, work):
    """No shell, the event on standard input, fields in the environment, arguments behind `--`."""
    script = work / "tell me"
    script.write_text(f"#!/usr/bin/python3\nimport json, os, sys\njson.dump([sys.argv[1:], json.load(sys.stdin), "
                      f"{{k: v for k, v in os.environ.items() if k.startswith('TOKENBROKER_EVENT')}}], "
                      f"open('{work}/out', 'w'))\n")
    script.chmod(0o755)
    fail_login(alone)
    alone.ctl("events", "--once", "--after", "0", "--types", "login_failed", "--exec", f"'{script}'", "--", "$(id)",
              "b c", check=0)
    argv, event, env = json.loads((work / "out").read_text())
    assert argv == ["$(id)", "b c"]
    assert event == everything(alone, "login_failed")[0]
    assert env["TOKENBROKER_EVENT_TYPE"] == "login_failed" and env["TOKENBROKER_EVENT_LOGIN"] == "ops"
    assert env["TOKENBROKER_EVENT_ID"] == event["id"] and env["TOKENBROKER_EVENT_TEXT"] == event["text"]


def test_command_that_hangs(alone, work):
    """It and what it began are ended, it is tried again, then given up, and what follows is told."""
    script = work / "hang"
    script.write_text(f"#!/bin/sh\necho $$ >>{work}/pids\nsleep 1000 &\necho $! >>{work}/pids\n"
                      f"trap '' TERM\nwhile :; do sleep 1; done\n")
    script.chmod(0o755)
    fail_login(alone)
    done = alone.ctl("events", "--once", "--after", "0", "--types", "login_failed", "--exec", script, "--timeout", "1s",
                     "--tries", "2", "--cursor-file", work / "cursor", check=1)
    assert "took longer than 1s" in done.stderr and "dead letter" in done.stderr
    assert json.loads(done.stderr[done.stderr.index("dead letter: ") + 13:])["type"] == "login_failed"
    pids = [int(p) for p in (work / "pids").read_text().split()]
    assert len(pids) == 4, "two attempts"
    for pid in pids:
        util.wait_until(lambda pid=pid: util.has_ended(pid), 10, "their end")
    assert once(alone, "--types", "login_failed", "--cursor-file", work / "cursor") == [], "given up is given up"
    done = alone.ctl("events", "--once", "--after", "0", "--tries", "1", "--exec", work / "nothing", check=1)
    assert "cannot run" in done.stderr


def test_words_in_one(alone, work):
    """As `watch --exec` has them, and what stands behind "--" comes after them."""
    fail_login(alone)
    alone.ctl("events", "--once", "--after", "0", "--types", "login_failed", "--exec", f"tee -a '{work}/a b'", "--",
              work / "c", check=0)
    assert "login_failed" in (work / "a b").read_text() and (work / "a b").read_text() == (work / "c").read_text()
    done = alone.ctl("events", "--exec", "tee 'a")
    assert done.returncode == 2 and "--exec: " in done.stderr, done.stderr


def test_one_cursor_file_for_one(alone, work):
    cursor = work / "cursor"
    with Client(alone, "--json", "--cursor-file", cursor) as client:
        util.wait_until(cursor.exists, 20, "the cursor")
        other = alone.ctl("events", "--once", "--cursor-file", cursor)
        assert other.returncode == 2 and f"goes by {cursor}" in other.stderr, other.stderr
        assert client.end() == 0
    assert once(alone, "--cursor-file", cursor) == []


def test_since_is_for_what_was(alone, tmp_path):
    """The clock was an hour ahead at the start: what happens afterwards is told all the same."""
    clock = WallClock(tmp_path)
    clock.set(3600)
    fail_login(alone)
    with Client(alone, "--json", "--since", "1m", "--types", "login_failed", "--cursor-file", tmp_path / "c", env=clock.env) as client:
        util.wait_until((tmp_path / "c").exists, 30, "the first answer")
        clock.set(0)
        # one that comes before the end of what was is seen is among it
        util.wait_until(lambda: (fail_login(alone), client.events())[1], 30, "what happened since", interval=0.5)
        assert client.end() == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_stop_ends_the_command(alone, work, sig):
    script = work / "slow"
    script.write_text(f"#!/bin/sh\nsleep 1000 &\necho $$ $! >{work}/tmp\nmv {work}/tmp {work}/pids\nwait\n")
    script.chmod(0o755)
    fail_login(alone)
    with Client(alone, "--after", "0", "--types", "login_failed", "--exec", script) as client:
        util.wait_until(lambda: (work / "pids").exists(), 30, "the command")
        try:
            assert client.end(sig) == 0
            for pid in (work / "pids").read_text().split():
                util.wait_until(lambda pid=pid: util.has_ended(pid), 10, "its end")
        finally:
            for pid in (work / "pids").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def test_cursor_that_cannot_be_kept(alone, work):
    """What comes later is told all the same; when it can be kept again, it is. Where it never was: an end, at once."""
    (work / "d").mkdir()
    cursor = work / "d" / "cursor"
    args = ("--json", "--types", "login_failed", "--after", "0", "--cursor-file", cursor)
    with Client(alone, *args) as client:
        fail_login(alone)
        client.wait(lambda es: len(es) == 1, "the first")
        util.wait_until(cursor.exists, 20, "the cursor")
        kept = cursor.read_text()
        (work / "d").rename(work / "e")
        fail_login(alone)
        client.wait(lambda es: len(es) == 2, "the second")
        fail_login(alone)
        client.wait(lambda es: len(es) == 3, "the third")
        (work / "e").rename(work / "d")
        fail_login(alone)
        client.wait(lambda es: len(es) == 4, "the fourth")
        util.wait_until(lambda: cursor.read_text() != kept, 20, "the cursor")
        assert client.end() == 0
    said = alone.ctl_file.read_text()
    assert said.count("cannot keep the cursor") + said.count("cannot open the directory") == 1
    assert "is kept in" in said
    assert once(alone, "--types", "login_failed", "--cursor-file", cursor) == []
    done = alone.ctl("events", "--once", "--after", "0", "--cursor-file", work / "none" / "cursor", check=1)
    assert "cannot open the directory" in done.stderr


# ------------------------------------------------------------------- a webhook


class Receiver:
    """An HTTP server that answers as the test says: a status, "hang", "close", "endless" or (status, headers)."""

    def __init__(self):
        self.got, self.script = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers.items()), body, self.path))
                what = outer.script.pop(0) if outer.script else 200
                if what == "hang":
                    time.sleep(5)
                    return
                if what == "close":
                    self.connection.close()
                    return
                if what == "endless":
                    with contextlib.suppress(OSError):
                        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                        for _ in range(200):
                            self.wfile.write(b"x" * 65536)
                    return
                status, headers = what if isinstance(what, tuple) else (what, {})
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook():
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def key(work):
    """A key file, and its bytes."""
    raw = secrets.token_bytes(32)
    file = work / "key"
    file.write_text("whsec_" + base64.b64encode(raw).decode() + "\n")
    file.chmod(0o400)
    return file, raw


def verify(raw, headers, body):
    """As standardwebhooks.com says, by nothing of ours."""
    low = {k.lower(): v for k, v in headers.items()}
    text = f"{low['webhook-id']}.{low['webhook-timestamp']}.".encode() + body
    want = base64.b64encode(hmac.new(raw, text, hashlib.sha256).digest()).decode()
    assert low["webhook-signature"].split() == ["v1," + want]
    assert abs(int(low["webhook-timestamp"]) - time.time()) < 120
    assert json.loads(body)["id"] == low["webhook-id"]


def test_webhook_is_signed(alone, hook, key, work):
    fail_login(alone)
    alone.known.add(key[0].read_text().strip())
    alone.ctl("events", "--once", "--after", "0", "--post", hook.url, "--secret-file", key[0], check=0)
    found = everything(alone)
    assert [json.loads(body) for _, body, _ in hook.got] == found and len(found) == 2
    for headers, body, path in hook.got:
        verify(key[1], headers, body)
        assert path == "/hook" and headers["Content-Type"] == "application/json"
    # the same key as a credential
    (work / "webhook-secret").write_text(key[0].read_text())
    (work / "webhook-secret").chmod(0o440)
    hook.got.clear()
    alone.ctl("events", "--once", "--after", "0", "--post", hook.url, env={"CREDENTIALS_DIRECTORY": str(work)}, check=0)
    verify(key[1], *hook.got[0][:2])
    # without one it says so
    assert "not signed" in alone.ctl("events", "--once", "--post", hook.url, check=0).stderr


def test_webhook_that_fails(alone, hook, key):
    """Tried again with the same id, as late as it asks; not led elsewhere; given up in the end."""
    fail_login(alone)
    elsewhere = Receiver()
    hook.script = [500, "close", (302, {"Location": elsewhere.url}), (429, {"Retry-After": "3"}), "endless", "hang", 204]
    began = time.monotonic()
    done = alone.ctl("events", "--once", "--after", "0", "--types", "login_failed", "--post", hook.url, "--secret-file",
                     key[0], "--timeout", "2s", check=0, timeout=300)
    elsewhere.close()
    assert elsewhere.got == [] and "tried again" in done.stderr
    assert len(hook.got) == 7 and time.monotonic() - began > 3
    assert len({body for _, body, _ in hook.got}) == 1
    assert len({h["webhook-id"] for h, _, _ in hook.got}) == 1
    for headers, body, _ in hook.got:
        verify(key[1], headers, body)
    hook.script = [500] * 2
    done = alone.ctl("events", "--once", "--after", "0", "--types", "login_failed", "--post", hook.url, "--tries", "2",
                     check=1)
    assert "dead letter" in done.stderr and "HTTP 500" in done.stderr


def test_webhook_must_be_safe(alone, hook, work):
    bad = work / "bad"
    for text in ("my-own-secret", "whsec_=", "whsec_" + base64.b64encode(b"short").decode(), "whsec_!!!!" * 12):
        bad.write_text(text)
        bad.chmod(0o600)
        done = alone.ctl("events", "--once", "--post", hook.url, "--secret-file", bad, check=1)
        assert "openssl rand" in done.stderr and text not in done.stderr
    bad.chmod(0o644)
    assert alone.ctl("events", "--once", "--post", hook.url, "--secret-file", bad).returncode == 1
    assert "https" in alone.ctl("events", "--once", "--post", "http://192.0.2.1/", check=1).stderr
    assert hook.got == []


# ------------------------------------------------------------------------ usage


def test_usage(alone, work):
    for args in (["--exec", "x", "--post", "y"], ["--since", "1h", "--after", "0"], ["--remind", "10ms"], ["word"],
                 ["--secret-file", "x"], ["--since", "yesterday"], ["--types", "A"], ["--tries", "0"], ["--timeout", "0s"]):
        done = alone.ctl("events", *args, check=2)
        assert done.stderr.startswith("tokenbrokerctl: events: "), done
    assert "no type of event" in alone.ctl("events", "--once", "--types", "nothing", check=2).stderr
    (work / "cursor").write_text("no JSON")
    done = alone.ctl("events", "--once", "--cursor-file", work / "cursor", check=1)
    assert "is no cursor file" in done.stderr
    fail_login(alone)
    text = alone.ctl("events", "--once", "--after", "0", check=0).stdout.splitlines()
    assert len(text) == 2 and " login_failed " in text[1] and "tokenbrokerctl login ops" in text[1]
    with Client(alone) as client:
        client.await_signals()
        assert client.end(signal.SIGINT) == 0
