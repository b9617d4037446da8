# SPDX-License-Identifier: Apache-2.0
"""Who holds what, over restarts and crashes; the early end of old generations; and what people see of it."""

import json
import subprocess
import sys

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
[token db]
backend = prod
permissions = read:metrics
lifetime = 1h
renew_before = 20m
{keys}
[token paid]
backend = cluster
permissions = write:metrics
lifetime = 1h
[token mgmt]
backend = admin-api
kind = management
lifetime = 1d
allow_full_access = yes
[client both]
user = root nobody
tokens = db paid
"""
EARLY = "revoke_superseded = when_moved\noverlap = 1s\n"
ASK = """\
import http.client, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
c = Unix("localhost", timeout=30)
c.request("GET", "/api/v1/tokens/" + sys.argv[2], headers={"X-Tokenbroker": "1"})
answer = c.getresponse()
print(answer.status, answer.headers.get("ETag"))
"""
NOBODY = f"uid:{d.NOBODY}"


def conf(sandbox, keys=EARLY):
    return CONF.format(issuer=sandbox.issuer, keys=keys)


@pytest.fixture
def tb(sandbox):
    with d.Daemon(conf(sandbox)) as one:
        assert one.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        yield one


def ask_as_nobody(tb, name="db"):
    """Without a word for what becomes of the value. Returns the generation."""
    done = subprocess.run([sys.executable, "-c", ASK, tb.api.path, name], capture_output=True, text=True, check=True,
                          user=d.NOBODY, group=d.NOBODY, extra_groups=[], timeout=60, cwd="/", env={})
    status, tag = done.stdout.split()
    assert status == "200"
    return int(tag.strip('"'))


def ask(tb, name="db"):
    reply = tb.token(name)
    assert reply.status == 200
    return reply.json()["generation"]


def token(tb, name="db"):
    return next(t for t in tb.admin.request("tokens").json()["tokens"] if t["name"] == name)


def generation(tb, number):
    return next((g for g in token(tb)["generations"] if g["generation"] == number), None)


def holders(tb, number):
    return {h["holder"]: h for h in generation(tb, number)["holders"]}


def rotate(tb):
    tb.ctl("rotate", "db", check=0)


def states(sandbox):
    """Of the database tokens there, in the order of their making."""
    return [t["state"] for t in sandbox.state()["tokens"] if t["kind"] == "database"]


def wait_kept(tb, text):
    """Until generation 1 is kept for this reason."""
    util.wait_until(lambda: text in generation(tb, 1).get("kept_because", ""), 20, f"'{text}'", interval=0.1)


def wait_gone(tb):
    util.wait_until(lambda: generation(tb, 1) is None, 20, "the end of generation 1", interval=0.1)


def test_revoked_when_all_have_moved(tb, sandbox):
    """Not before, and a restart in between forgets nothing."""
    assert (ask(tb), ask_as_nobody(tb)) == (1, 1)
    assert len(holders(tb, 1)) == 2 and holders(tb, 1)[NOBODY]["keeps_it"] == "fetched"
    rotate(tb)
    wait_kept(tb, "has not asked for a newer one")
    assert ask(tb) == 2
    tb.restart()
    wait_kept(tb, f"{NOBODY} has not asked for a newer one")
    assert set(holders(tb, 2)) == set(holders(tb, 1)) - {NOBODY}, "who asked before the restart is known"
    assert states(sandbox) == ["live", "live"]
    assert ask_as_nobody(tb) == 2
    wait_gone(tb)
    assert states(sandbox) == ["revoked", "live"]
    reasons = [r["reason"] for r in tb.audit() if r["event"] in ("withheld", "revoked") and r["generation"] == 1]
    assert reasons == ["superseded; nobody uses it any more", "revoked upstream"]


def test_not_under_who_keeps_it(tb, sandbox):
    """What `get` prints goes somewhere and stays as it is; hard_overlap does not care."""
    tb.ctl("get", "db", user=d.NOBODY, check=0)
    assert holders(tb, 1)[NOBODY]["keeps_it"] == "run"
    rotate(tb)
    assert ask_as_nobody(tb) == 2
    wait_kept(tb, f"{NOBODY} was started with it")
    assert holders(tb, 1)[NOBODY]["has_newer"] == 2
    reply = tb.token("db", headers={"X-Tokenbroker-Delivery": "file"})
    assert reply.status == 200 and "kept" in {h["keeps_it"] for h in holders(tb, 2).values()}
    assert states(sandbox) == ["live", "live"]
    tb.write_conf(conf(sandbox, EARLY + "hard_overlap = yes\n"))
    tb.ctl("reload", check=0)
    wait_gone(tb)
    assert states(sandbox) == ["revoked", "live"]


def test_crash_makes_unsure(tb, sandbox):
    """Killed right behind a release: others may have been given the same, as far as the next start knows."""
    assert ask_as_nobody(tb) == 1
    tb.kill()
    tb.start()
    assert generation(tb, 1)["holders_unsure"] and NOBODY in holders(tb, 1), "who was there before is on disk all the same"
    rotate(tb)
    assert ask_as_nobody(tb) == 2
    wait_kept(tb, "not everybody who was given it is known")
    assert states(sandbox) == ["live", "live"]


def test_killed_behind_a_release(tb):
    """Whenever it is killed: who was given a value is on disk, or it is known that not all are."""
    sure = 0
    for i in range(6):
        if i % 2:
            tb.restart()
        assert ask_as_nobody(tb) == i + 1
        tb.kill()
        tb.start()
        assert NOBODY in holders(tb, i + 1) or generation(tb, i + 1)["holders_unsure"]
        sure += NOBODY in holders(tb, i + 1)
        rotate(tb)
    assert sure >= 3, "with a complete record in front of it"


def test_inventory_for_people(tb, sandbox):
    assert (ask(tb), ask_as_nobody(tb)) == (1, 1)
    rotate(tb)
    assert ask(tb) == 2
    body = {"generation": 2, "sha256": d.sha256(tb.token("db").json()["token"])}
    sandbox.revoke(generation(tb, 2)["token_id"])
    assert tb.api.request("tokens/db/rejected", "POST", body).status == 202
    util.wait_until(lambda: token(tb)["last_rejection"]["outcome"] != "pending", 20, "the broker's own look")
    assert token(tb)["last_rejection"]["outcome"] == "refused"
    text = tb.ctl("tokens", "db", check=0).stdout
    assert text.startswith("db: ") and "hangs on login ops, " in text and "alice" in text
    assert "a human is needed" in text and f"     {NOBODY} " in text
    assert "last rejection: #2, by " in text and "the service refuses it to the broker, too" in text
    assert max(map(len, text.splitlines())) <= 80, text
    answer = json.loads(tb.ctl("tokens", "--json", "db", check=0).stdout)
    assert answer["tokens"][0]["depends_on"]["login"] == "ops"
    assert "holders" not in json.dumps(tb.admin.request("status").json()), "the status stays short"
    metrics = tb.admin.request("metrics").body.decode()
    assert 'tokenbroker_token_holders{token="db"}' in metrics
    assert tb.ctl("tokens", user=d.NOBODY).returncode == 4
    tb.restart()
    assert token(tb)["last_rejection"]["outcome"] == "refused"


def test_revoke_says_whom_it_hits(tb, sandbox):
    assert (ask(tb), ask_as_nobody(tb)) == (1, 1)
    done = tb.ctl("revoke", "db", stdin="", check=2)
    assert f"     {NOBODY} " in done.stdout and "db #1, " in done.stdout and states(sandbox) == ["live"]
    done = tb.ctl("revoke", "--yes", "--generation", 1, "db", check=0)
    assert f"     {NOBODY} " in done.stdout and states(sandbox) == ["revoked"]
    assert ask(tb) == 2


def test_revoke_all(tb, sandbox):
    """What is paid for goes before what pays."""
    assert (ask(tb), ask(tb, "paid")) == (1, 1)
    done = tb.ctl("revoke", "--all", "--yes", check=0)
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "revoked at" in line] == ["db", "paid", "mgmt"]
    assert {t["state"] for t in sandbox.state()["tokens"]} == {"revoked"}
