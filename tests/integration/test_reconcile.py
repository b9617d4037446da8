# SPDX-License-Identifier: Apache-2.0
"""What a service lists and what the daemon knows: tokens of ours that nobody holds, and tokens of others."""

import datetime
import http.client
import json
import secrets

import daemon as d
import util

CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
reconcile_interval = {interval}
on_orphan = {on_orphan}
[backend self]
type = oauth
login = ops
[token db]
backend = prod
permissions = read:metrics
lifetime = 1h
[token access]
backend = self
allow_full_access = yes
[client root]
user = root
tokens = db access
"""
TOKENS = "/api/v0/accounts/acc/clusters/clu/tokens"


def start(sandbox, on_orphan, interval="0", broker="settle_time = 2s\n"):
    tb = d.Daemon(CONF.format(issuer=sandbox.issuer, on_orphan=on_orphan, interval=interval), broker)
    tb.start()
    news = tb.login("ops", sandbox.approve, expect="email=alice@example.org")
    assert news["state"] == "granted", news
    return tb


def plant(sandbox, tb, installation, nonce=None, token="db", generation=77):
    """A token at the service, made past the daemon, whose description says that an installation made it."""
    bearer = tb.token("access").json()["token"]
    nonce = nonce or secrets.token_hex(16)
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    body = {"description": f"x [tokenbroker web1/{installation} {token} #{generation} {nonce}]", "permissions": [],
            "expiresAt": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    try:
        connection.request("POST", TOKENS, json.dumps(body),
                           {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"})
        reply = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    tb.learn_value(reply["accessToken"])
    return reply["id"]


def is_alive(sandbox, token_id):
    return next(t for t in sandbox.state()["tokens"] if t["id"] == token_id)["state"] in ("live", "pending")


def installation_of(tb):
    return tb.admin.request("status").json()["installation"]


def look(tb, backend="prod"):
    reply = tb.admin.request("reconcile", "POST", {"backend": backend})
    assert reply.status == 200, reply
    return reply.json()["backends"][0]


def test_orphan_is_reported_and_left(sandbox):
    tb = start(sandbox, "report")
    try:
        held = tb.token("db").json()
        first = look(tb)
        assert (first["ours"], first["orphans_alive"]) == (1, 0), "the token that is held is no orphan"
        lost = plant(sandbox, tb, installation_of(tb))
        theirs = plant(sandbox, tb, "feedfacefeedface")
        seen = look(tb)
        assert [o["token_id"] for o in seen["orphans"]] == [lost]
        assert (seen["ours"], seen["other_installations"], seen["orphans_alive"]) == (2, 1, 1)
        util.wait_until(lambda: tb.audit("orphan"), 20, "the record")
        record = tb.audit("orphan")
        assert [(r["token_id"], r["token"], r["backend"]) for r in record] == [(lost, "db", "prod")]
        assert f"token {lost} there is marked as made here" in tb.log()
        # the command line says the same, and its exit status
        done = tb.ctl("reconcile", check=1)
        assert lost in done.stdout and theirs not in done.stdout and "1 unknown" in done.stdout
        assert json.loads(tb.ctl("reconcile", "--json", "prod", check=0).stdout)["backends"][0]["orphans_alive"] == 1
        shown = tb.ctl("status", check=0).stdout
        assert "1 token there" in shown and "prod" in shown
        tb.restart()
        look(tb)
        assert len(tb.audit("orphan")) == 1, "what was told is not told again after a restart"
        assert is_alive(sandbox, lost) and is_alive(sandbox, theirs) and is_alive(sandbox, held["token_id"])
        # once it is gone it is forgotten
        sandbox.revoke(lost)
        assert look(tb)["orphans"] == []
        assert "0 unknown" in tb.ctl("reconcile", "prod", check=0).stdout
    finally:
        tb.end()


def test_orphan_is_revoked_and_only_that(sandbox):
    tb = start(sandbox, "revoke", interval="4s")
    try:
        held = tb.token("db").json()
        lost = plant(sandbox, tb, installation_of(tb))
        theirs = plant(sandbox, tb, "feedfacefeedface")
        util.wait_until(lambda: not is_alive(sandbox, lost), 30, "the orphan's end")
        util.wait_until(lambda: tb.audit("revoked"), 20, "the record")
        assert [(r["token_id"], r["reason"]) for r in tb.audit("revoked")] == [(lost, "orphan")]
        orphan = tb.audit("orphan")[0]
        revoked = tb.audit("revoked")[0]
        assert orphan["seq"] < revoked["seq"]
        assert is_alive(sandbox, theirs), "the token of another installation is left alone"
        assert is_alive(sandbox, held["token_id"])
        again = tb.token("db").json()
        assert again["token_id"] == held["token_id"]
    finally:
        tb.end()


def test_lost_state_leaves_orphans_of_before(sandbox):
    """A new state directory is a new installation: what the old one made is not its own."""
    tb = start(sandbox, "revoke")
    try:
        held = tb.token("db").json()
        before = installation_of(tb)
        tb.restart()
        assert installation_of(tb) == before
        tb.stop()
        for file in tb.state_dir.glob("*.tbr"):
            file.unlink()
        tb.start()
        assert installation_of(tb) != before
        news = tb.login("ops", sandbox.approve, expect="email=alice@example.org")
        assert news["state"] == "granted", news
        seen = look(tb)
        assert (seen["other_installations"], seen["orphans"]) == (1, [])
        assert is_alive(sandbox, held["token_id"])
    finally:
        tb.end()


def test_value_revoked_by_somebody_is_replaced(sandbox):
    """Revoked at the service behind our back: its list says so, and another one is made; no holder had to complain."""
    tb = start(sandbox, "report", interval="4s")
    try:
        held = tb.token("db").json()
        sandbox.revoke(held["token_id"])
        util.wait_until(lambda: tb.token("db").json().get("generation", 0) > held["generation"], 40, "another value")
        assert [(r["generation"], r["reason"]) for r in tb.audit("rejected")] == [(held["generation"], "revoked upstream")]
    finally:
        tb.end()


def test_nobody_pays_nothing_is_asked(sandbox):
    tb = d.Daemon(CONF.format(issuer=sandbox.issuer, on_orphan="report", interval="1s"))
    try:
        tb.start()
        reply = tb.admin.request("reconcile", "POST")
        assert (reply.status, reply.json()["code"]) == (503, "human_needed.login")
        assert tb.ctl("reconcile").returncode == 3
        assert tb.admin.request("reconcile", "POST", {"backend": "nothing"}).status == 404
        assert tb.admin.request("reconcile", "POST", {"backend": "self"}).status == 409
        assert not [r for r in sandbox.log() if r["path"].startswith("/api/v0")]
    finally:
        tb.end()


def test_service_down_is_told_and_survived(sandbox):
    tb = start(sandbox, "report")
    try:
        sandbox.fault("status", "500", times=1, path="/api/v0", method="GET")
        reply = tb.admin.request("reconcile", "POST")
        assert reply.status == 503, reply
        assert "last_error" in tb.admin.request("status").json()["reconcile"][0]
        assert look(tb)["orphans"] == []
        assert "last_error" not in tb.admin.request("status").json()["reconcile"][0]
    finally:
        tb.end()
