# SPDX-License-Identifier: Apache-2.0
"""From a login to a token in a client's hands, and the promises on the way, against the sandbox."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

import daemon as d
import util

CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[backend cluster]
type = influxdb-clustered
management_token = mgmt
base_url = {issuer}
allow_insecure_loopback = yes
[backend admin-api]
type = http
login = ops
mint_url = {issuer}/api/v0/management-tokens
mint_body = {{"description":"{{description}}","expiresAt":"{{expires_at}}"}}
list_url = {issuer}/api/v0/management-tokens
revoke_url = {issuer}/api/v0/management-tokens/{{id}}
expires_pointer = /expiresAt
allow_insecure_loopback = yes
[backend by-hand]
type = import
[backend self]
type = oauth
login = ops
[token db]
backend = prod
permissions = read:metrics write:metrics
lifetime = 1h
[token db-clustered]
backend = cluster
permissions = write:metrics
lifetime = 1h
[token mgmt]
backend = admin-api
kind = management
lifetime = 1d
allow_full_access = yes
[token pasted]
backend = by-hand
kind = management
allow_full_access = yes
[token access]
backend = self
allow_full_access = yes
[token forbidden]
backend = prod
permissions = read:payroll
lifetime = 1h
[client nobody-db]
user = nobody
tokens = db
[client root]
user = root
tokens = db db-clustered mgmt pasted access
"""


@pytest.fixture
def tb(sandbox):
    with d.Daemon(CONF.format(issuer=sandbox.issuer)) as one:
        yield one


@pytest.fixture
def ready(tb, sandbox):
    """Logged in as alice."""
    news = tb.login("ops", sandbox.approve, expect="email=alice@example.org")
    assert news["state"] == "granted", news
    return tb


def mints(sandbox):
    return sum(1 for t in sandbox.state()["tokens"])


def alive(sandbox):
    return [t for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending")]


# ------------------------------------------------------------------ the main job


def test_each_backend(ready, sandbox):
    """Database tokens paid by the login and by a management token, management tokens, the access token itself."""
    for name in ("db", "mgmt", "db-clustered", "access"):
        reply = ready.token(name)
        assert reply.status == 200, (name, reply)
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["ETag"] == f'"{reply.json()["generation"]}"'
    value = ready.token("db").json()
    assert value["token"].startswith("apiv1_")
    assert 3000 < value["expires_in"] <= 3600
    described = [t["description"] for t in sandbox.state()["tokens"]]
    assert all("tokenbroker" in text for text in described)


def test_value_works_and_is_served_from_memory(ready, sandbox):
    value = ready.token("db").json()["token"]
    auth = util.http_request(f"{sandbox.issuer}/health/auth", headers={"Authorization": f"Bearer {value}"})
    assert auth.status == 200
    before = mints(sandbox)
    for _ in range(50):
        assert ready.token("db").json()["token"] == value
    assert mints(sandbox) == before


def test_plain_text(ready):
    reply = ready.token("db", headers={"Accept": "text/plain"})
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert reply.text == ready.token("db").json()["token"]


def test_cold_herd(ready, sandbox):
    """P4: 1,000 concurrent cold askers make one call upstream, and everybody is answered."""
    sandbox.fault("delay", 1, path="/api/v0")
    script = """if True:
        import socket, sys, selectors
        path, n = sys.argv[1], int(sys.argv[2])
        ask = b"GET /api/v1/tokens/db HTTP/1.1\\r\\nHost: x\\r\\nX-Tokenbroker: 1\\r\\nConnection: close\\r\\n\\r\\n"
        sel, got = selectors.DefaultSelector(), {}
        for i in range(n):
            s = socket.socket(socket.AF_UNIX); s.connect(path); s.send(ask); s.setblocking(False)
            sel.register(s, selectors.EVENT_READ); got[s] = b""
        while sel.get_map():
            for key, _ in sel.select(30) or sys.exit("nothing for 30 s"):
                part = key.fileobj.recv(65536)
                got[key.fileobj] += part
                if not part: sel.unregister(key.fileobj)
        print(sum(r.startswith(b"HTTP/1.1 200") for r in got.values()))
        """
    done = subprocess.run(["/usr/bin/python3", "-c", script, ready.api.path, "1000"], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.stdout.strip() == "1000", (done.stdout, done.stderr[-500:])
    assert len([t for t in sandbox.state()["tokens"] if "metrics" in str(t.get("permissions"))]) == 1


def test_restart_serves_without_network(ready, sandbox):
    value = ready.token("db").json()
    sandbox.stop()
    ready.restart()
    assert ready.token("db").json()["token"] == value["token"]
    ready.kill()
    ready.start()
    assert ready.token("db").json()["token"] == value["token"]
    assert ready.login_status("ops")["state"] == "granted"


def test_import(ready):
    done = ready.ctl("import", "pasted", "--expires-at", "30d", "--id", "m-1", stdin="M.V1.pasted-by-hand\n", check=0)
    ready.learn_value("M.V1.pasted-by-hand")
    assert "pasted-by-hand" not in done.stdout + done.stderr
    reply = ready.token("pasted").json()
    assert reply["token"] == "M.V1.pasted-by-hand" and reply["token_id"] == "m-1"


def test_command_line(ready):
    """The same value by get, by run as a path and by run in the environment, and what a script can tell from the end."""
    value = ready.token("db").json()["token"]
    assert ready.ctl("get", "db", check=0).stdout.strip() == value
    done = ready.ctl("run", "F=db", "--", "sh", "-c", 'cat "$F"; test -z "$V"; exit 7', check=7)
    assert done.stdout.strip() == value
    done = ready.ctl("run", "--env", "V=db", "--", "sh", "-c", 'printf %s "$V"', check=0)
    assert done.stdout.strip() == value
    assert any(r.get("delivery") == "environment" for r in ready.audit("authorised")), "a downgrade is on record"
    assert ready.ctl("run", "F=forbidden", "--", "true").returncode == 125
    assert ready.ctl("get", "forbidden").returncode == 4
    assert ready.ctl("get", "pasted").returncode == 3, "nobody has imported it"
    ready.ctl("logout", "ops", check=0)
    assert ready.ctl("get", "db").returncode == 3
    ready.stop()
    assert ready.ctl("get", "db").returncode == 6
    ready.start()


# ---------------------------------------------------------------------- refusals


def as_nobody(tb, *args):
    return tb.ctl(*args, user=d.NOBODY)


def test_unknown_and_denied_are_answered_alike(ready):
    denied, unknown = ready.token("forbidden"), ready.token("no-such-token")
    assert denied.status == unknown.status == 403
    strip = lambda r: {k: v for k, v in r.json().items() if k != "request_id"}  # noqa: E731
    assert strip(denied) == strip(unknown)
    assert denied.json()["code"].startswith("denied.")
    assert denied.headers["Content-Type"] == "application/problem+json"
    util.wait_until(lambda: [r for r in ready.audit("denied") if r.get("token") == "forbidden"], 20, "the record")


def test_rules_by_user(ready):
    assert as_nobody(ready, "get", "db").returncode == 0
    assert as_nobody(ready, "get", "mgmt").returncode == 4
    listed = as_nobody(ready, "list").stdout.split()
    assert "db" in listed and "mgmt" not in listed


def test_admin_door_roles(ready):
    """An outsider has no rights there, and nobody gets a value there."""
    done = as_nobody(ready, "status")
    assert done.returncode == 4, (done.stdout, done.stderr)
    for route in ("tokens/db/revoke", "tokens/db/rotate", "reload", "logins/ops"):
        script = ("import sys; sys.path.insert(0, sys.argv[3]); import daemon; "
                  "c = daemon.UnixConnection(sys.argv[1]); c.request('POST', '/api/v1/' + sys.argv[2], b'{}', "
                  "{'X-Tokenbroker': '1', 'Content-Type': 'application/json'}); print(c.getresponse().status)")
        out = subprocess.run(["/usr/bin/python3", "-c", script, ready.admin.path, route, os.path.dirname(__file__)],
                             capture_output=True, text=True, user=d.NOBODY, group=d.NOBODY, extra_groups=[], check=False)
        assert out.stdout.strip() == "403", (route, out)
    value = ready.token("db").json()["token"]
    assert value not in str(ready.admin.request("status").json())


def test_header_is_required(ready):
    assert ready.api.request("tokens", headers={"X-Tokenbroker": None}).status == 400
    assert ready.api.request("tokens", headers={"Origin": "http://evil.example"}).status == 403


def test_head_ends_the_connection(ready):
    """No route takes it, and a client that does not read the refusal's body must not find it before the next answer."""
    import socket
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(ready.api.path))
    sock.send(b"HEAD /api/v1/tokens/db HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\n\r\n")
    answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 405 ") and b"Connection: close" in answer, answer
    sock.close()


def test_min_valid(ready):
    assert ready.token("db?min_valid=60").status == 200
    too_much = ready.token("db?min_valid=999999")
    assert too_much.status == 400, too_much


# -------------------------------------------------------------------- rotation


def test_watch(ready):
    first = ready.token("db").json()
    etag = f'"{first["generation"]}"'
    assert ready.token("db", headers={"If-None-Match": etag}).status == 304
    assert ready.token("db", headers={"If-None-Match": etag, "Prefer": "wait=1"}).status == 304
    with ready.api.asking("tokens/db", headers={"If-None-Match": etag, "Prefer": "wait=60"}) as watch:
        assert ready.admin.request("tokens/db/rotate", "POST").status == 200
        told = watch()
    assert told.status == 200 and told.json()["generation"] == first["generation"] + 1
    assert told.json()["token"] != first["token"]


def test_revoke(ready, sandbox):
    first = ready.token("db").json()
    reply = ready.admin.request("tokens/db/revoke", "POST", {})
    assert reply.status == 200, reply
    assert not [t for t in alive(sandbox) if t["id"] == first["token_id"]]
    second = ready.token("db").json()
    assert second["token"] != first["token"] and second["generation"] > first["generation"]


def test_logout_leaves_nothing_alive(ready, sandbox):
    for name in ("db", "mgmt", "db-clustered"):
        assert ready.token(name).status == 200
    assert ready.admin.request("logins/ops", "DELETE").status == 200
    assert not alive(sandbox)
    assert ready.token("db").json()["code"].startswith("human_needed.")


def test_logout_can_keep_tokens(ready, sandbox):
    value = ready.token("db").json()["token"]
    assert ready.admin.request("logins/ops?keep_tokens=yes", "DELETE").status == 200
    assert ready.token("db").json()["token"] == value
    assert alive(sandbox)


def test_rejected_is_confirmed_by_a_probe(ready, sandbox):
    first = ready.token("db").json()
    body = {"generation": first["generation"], "sha256": d.sha256(first["token"])}
    assert ready.api.request("tokens/db/rejected", "POST", body).status in (200, 202, 204)
    time.sleep(0.5)
    assert ready.token("db").json()["token"] == first["token"], "a mere claim changes nothing"


def test_activation_delay(ready, sandbox):
    """A new token is released once the service takes it."""
    sandbox.fault("activation_delay", 2)
    started = time.monotonic()
    value = ready.token("db").json()["token"]
    assert time.monotonic() - started > 1.5
    auth = util.http_request(f"{sandbox.issuer}/health/auth", headers={"Authorization": f"Bearer {value}"})
    assert auth.status == 200


# ---------------------------------------------------------------------- faults


def test_lost_reply_leaves_no_orphan(ready, sandbox):
    """P2: what a lost reply left behind is found by its nonce and revoked; the client never notices."""
    sandbox.fault("lost_reply", times=1, path="/api/v0")
    reply = ready.token("db")
    assert reply.status == 200, reply
    kept = reply.json()["token_id"]
    util.wait_until(lambda: [t["id"] for t in alive(sandbox)] == [kept], 30, "the orphan's revocation")


def test_late_commit_leaves_no_orphan(ready, sandbox):
    """The service commits after our first look."""
    sandbox.fault("late_commit", 4, times=1, path="/api/v0")
    kept = ready.token("db").json()["token_id"]
    util.wait_until(lambda: len(sandbox.state()["tokens"]) == 2, 20, "the late commit")
    util.wait_until(lambda: [t["id"] for t in alive(sandbox)] == [kept], 60, "the orphan's revocation")


def test_killed_between_call_and_answer(ready, sandbox):
    """P2 over a crash: the intent on disk tells the next start what to look for."""
    sandbox.fault("delay", 3, times=1, path="/api/v0")
    asker = util.Thread(lambda: ready.token("db"))
    util.wait_until(lambda: not sandbox.state()["faults"], 20, "the call")
    ready.kill()
    with pytest.raises(Exception):
        asker.join()
    ready.start()
    kept = ready.token("db").json()["token_id"]
    util.wait_until(lambda: [t["id"] for t in alive(sandbox)] == [kept], 60, "the orphan's revocation")


@pytest.mark.parametrize("fault,value", [("status", 503), ("status", 429), ("html_error", 500), ("half_body", None),
                                         ("wrong_content_type", None), ("unknown_fields", None),
                                         ("status_201", None), ("big_body", None), ("redirect", "http://127.0.0.1:1/")])
def test_api_misbehaves_once(ready, sandbox, fault, value):
    """One bad answer, then a good one: the client gets its token, and nothing unknown stays alive."""
    sandbox.fault(fault, value, times=1, path="/api/v0")
    reply = ready.token("db", timeout=60)
    if reply.status != 200:  # refused for good by that answer: the next attempt is told when to come
        assert reply.status == 503 and reply.json()["code"].startswith("unavailable."), reply
        util.wait_until(lambda: ready.token("db", timeout=60).status == 200, 40, "recovery", interval=0.5)
    kept = ready.token("db").json()["token_id"]
    util.wait_until(lambda: [t["id"] for t in alive(sandbox)] == [kept], 60, "nothing unknown alive")


def test_api_away_is_invisible_while_valid(ready, sandbox):
    value = ready.token("db").json()["token"]
    sandbox.fault("status", 500, path="/api/v0")
    rotate = ready.admin.request("tokens/db/rotate", "POST", timeout=60)
    assert rotate.status != 200
    assert ready.token("db").json()["token"] == value


def test_cold_and_down_is_a_clear_answer(ready, sandbox):
    sandbox.fault("status", 403, path="/api/v0")
    reply = ready.token("db")
    assert reply.status == 503 and reply.json()["code"].startswith("unavailable."), reply
    assert "403" in reply.json()["detail"]


# ------------------------------------------------------------------------ audit


def test_audit_before_release(ready):
    """P1 seen from outside: every value a client received has its authorised record, with who, which rule, what."""
    value = ready.token("db").json()
    record = [r for r in ready.audit("authorised") if r["request_id"] == value["request_id"]]
    assert len(record) == 1
    record = record[0]
    assert record["uid"] == 0 and record["token"] == "db" and record["token_id"] == value["token_id"]
    assert record["rule"].startswith(str(ready.conf_file)), record
    assert record["login"] == "ops" and "alice" in record["human"]
    sent = util.wait_until(lambda: [r for r in ready.audit("sent") if r["request_id"] == value["request_id"]], 5)
    assert sent[0]["seq"] > record["seq"]


def test_denials_are_aggregated(ready):
    for _ in range(200):
        ready.token("forbidden")
    denied = lambda: [r for r in ready.audit("denied") if r.get("token") == "forbidden"]  # noqa: E731
    util.wait_until(denied, 20, "the first record")
    assert len(denied()) <= 3, len(denied())


def test_every_line_is_chained(ready):
    import hashlib
    ready.token("db")
    ready.stop()
    head = "0" * 64
    lines = (ready.log_dir / "audit.jsonl").read_text().splitlines()
    assert len(lines) > 5
    for line in lines:
        text, claimed = line[:-2].rsplit(',"hash":"', 1)
        head = hashlib.sha256((head + text).encode()).hexdigest()
        assert claimed == head, line
    ready.start()


# ---------------------------------------------------------------------- reload


def test_bad_reload_changes_nothing(ready, sandbox):
    """P10"""
    value = ready.token("db").json()["token"]
    good = CONF.format(issuer=sandbox.issuer)
    ready.write_conf(good.replace("tokens = db\n", "tokens = db\ncolour = blue\n"))
    done = ready.ctl("reload")
    assert done.returncode == 1
    assert "colour" in done.stderr and str(ready.conf_file) in done.stderr
    assert ready.token("db").json()["token"] == value
    ready.write_conf(good.replace("tokens = db db-clustered", "tokens = db-clustered"))
    ready.ctl("reload", check=0)
    assert ready.token("db").status == 403, "the new rules count at once, on new connections"


def test_reload_counts_on_open_connections(ready, sandbox):
    with ready.api.session() as ask:
        assert ask("tokens/db").status == 200
        ready.write_conf(CONF.format(issuer=sandbox.issuer).replace("tokens = db db-clustered", "tokens = db-clustered"))
        ready.ctl("reload", check=0)
        assert ask("tokens/db").status == 403


# --------------------------------------------------------------------- clients


def test_curl(ready):
    done = subprocess.run(["curl", "-sS", "--unix-socket", ready.api.path, "-H", "X-Tokenbroker: 1",
                           "http://localhost/api/v1/tokens/db"], capture_output=True, text=True, check=True)
    ready.learn_value(json.loads(done.stdout)["token"])


GO_CLIENT = """
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", os.Args[1])
	}}
	c := &http.Client{Transport: t}
	for i := 0; i < 3; i++ { // the connection is kept
		r, _ := http.NewRequest("GET", "http://tokenbroker/api/v1/tokens/db", nil)
		r.Header.Set("X-Tokenbroker", "1")
		r.Header.Set("Accept", "text/plain")
		a, err := c.Do(r)
		if err != nil {
			panic(err)
		}
		b, _ := io.ReadAll(a.Body)
		a.Body.Close()
		fmt.Println(a.StatusCode, len(b))
	}
}
"""


def test_go(ready, tmp_path):
    if not shutil.which("go"):
        pytest.skip("no go on the PATH (package golang-go)")
    (tmp_path / "main.go").write_text(GO_CLIENT)
    done = subprocess.run(["go", "run", "main.go", str(ready.api.path)], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("200 ") for line in done.stdout.splitlines()), done.stdout


def test_stop_answers_and_ends_watches(ready):
    """P11: a watch ends early with 304 when the daemon stops."""
    first = ready.token("db").json()
    etag = f'"{first["generation"]}"'
    with ready.api.asking("tokens/db", headers={"If-None-Match": etag, "Prefer": "wait=60"}) as watch:
        ready.process.send_signal(signal.SIGTERM)
        assert watch().status == 304
    assert ready.process.wait(30) == 0
    ready.start()
