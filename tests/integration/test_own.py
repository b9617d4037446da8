# SPDX-License-Identifier: Apache-2.0
"""Tokens of a holder's own (per = holder), quotas and bounds of a token, and what becomes of it when the grant is lost."""

import os

import pytest

import daemon as d
import units
import util

NOBODY = 65534
CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token own]
backend = prod
permissions = read:x
lifetime = 1h
per = {per}
max_holders = {max}
[token shared]
backend = prod
permissions = read:y
lifetime = 1h
{more}
[client root]
user = root
tokens = *
[client nobody]
user = nobody
tokens = own shared
"""


def conf(sandbox, per="holder", most=5, more=""):
    return CONF.format(issuer=sandbox.issuer, per=per, max=most, more=more)


@pytest.fixture
def tb(sandbox):
    with d.Daemon(conf(sandbox)) as one:
        assert one.login("ops", sandbox.approve)["state"] == "granted"
        yield one


def get(tb, name="own", user=None, check=0):
    value = tb.ctl("get", name, user=user, check=check).stdout.strip()
    if check == 0:
        tb.learn_value(value)
    return value


def works(sandbox, value):
    return util.http_request(sandbox.issuer + "/health/auth", headers={"Authorization": f"Bearer {value}"}).status == 200


def alive(sandbox):
    return sorted(t["description"].split()[-3] for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending"))


def test_each_has_its_own(tb, sandbox):
    mine, theirs = get(tb), get(tb, user=NOBODY)
    assert mine != theirs and get(tb) == mine and get(tb, user=NOBODY) == theirs
    assert get(tb, "shared") == get(tb, "shared", user=NOBODY)
    assert alive(sandbox) == ["own@uid:0", f"own@uid:{NOBODY}", "shared"]
    released = {(r["uid"], r["token"]) for r in tb.audit("authorised") if r["token"].startswith("own")}
    assert released == {(0, "own@uid:0"), (NOBODY, f"own@uid:{NOBODY}")}
    assert "own@uid:0" in tb.ctl("tokens", check=0).stdout
    assert "own@" not in tb.ctl("list", check=0).stdout


def test_nobody_gets_anothers_by_name(tb):
    get(tb)
    for user in (None, NOBODY):
        assert tb.ctl("get", "own@uid:0", user=user).returncode == 4
    unknown, named = tb.token("nosuch"), tb.token("own@uid:0")
    assert unknown.status == named.status
    assert {k: v for k, v in unknown.json().items() if k != "request_id"} == \
        {k: v for k, v in named.json().items() if k != "request_id"}


def test_a_unit_has_its_own(tb, slice_dir):
    env = {**os.environ, "TOKENBROKER_RUN_DIR": str(tb.run_dir)}
    values = [units.in_cgroup(slice_dir / unit, d.program("tokenbrokerctl"), "get", "own", env=env).stdout.strip()
              for unit in ("one.service", "two.service")]
    for value in values:
        tb.learn_value(value)
    assert len(set(values)) == 2
    names = {r["token"] for r in tb.audit("authorised")}
    assert names == {"own@unit:one.service", "own@unit:two.service"}


def test_revoking_one_harms_nobody_else(tb, sandbox):
    mine, theirs = get(tb), get(tb, user=NOBODY)
    tb.ctl("revoke", f"own@uid:{NOBODY}", "--yes", check=0)
    assert works(sandbox, mine) and not works(sandbox, theirs)
    assert get(tb) == mine and get(tb, user=NOBODY) != theirs
    tb.ctl("revoke", "own", "--yes", check=0)
    assert not works(sandbox, mine) and "own" not in str(alive(sandbox))


def test_rotate_all_or_one(tb):
    mine, theirs = get(tb), get(tb, user=NOBODY)
    assert "2 holders" in tb.ctl("rotate", "own", check=0).stdout
    mine2, theirs2 = get(tb), get(tb, user=NOBODY)
    assert mine2 != mine and theirs2 != theirs
    tb.ctl("rotate", "own@uid:0", check=0)
    assert get(tb) != mine2 and get(tb, user=NOBODY) == theirs2


def test_restart_and_reload(tb, sandbox):
    mine, theirs = get(tb), get(tb, user=NOBODY)
    tb.restart()
    assert (get(tb), get(tb, user=NOBODY)) == (mine, theirs)
    tb.kill()
    tb.start()
    assert (get(tb), get(tb, user=NOBODY)) == (mine, theirs)
    tb.write_conf(conf(sandbox, per="token"))
    tb.ctl("reload", check=0)
    shared = get(tb)
    assert shared not in (mine, theirs) and get(tb, user=NOBODY) == shared
    assert works(sandbox, mine), "what others hold lives to its end"
    tb.write_conf(conf(sandbox))
    tb.ctl("reload", check=0)
    assert (get(tb), get(tb, user=NOBODY)) == (mine, theirs)


def test_no_more_than_max_holders(sandbox):
    with d.Daemon(conf(sandbox, most=1)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        mine = get(tb)
        said = tb.ctl("get", "own", "--wait", "0", user=NOBODY)
        assert said.returncode == 5 and "max_holders = 1" in said.stderr, said
        assert get(tb) == mine


def test_quota_of_a_token(sandbox):
    with d.Daemon(conf(sandbox, more="mints_per_hour = 1")) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        get(tb, "shared")
        said = tb.ctl("rotate", "shared")
        assert said.returncode == 5 and "mints_per_hour = 1 of [token shared]" in said.stderr, said
        get(tb, "own")
        get(tb, "own", user=NOBODY)


STS = """\
[backend sts]
type = token-exchange
login = ops
allow_insecure_loopback = yes
[token short]
backend = sts
lifetime = 1h
audience = metrics
"""


def test_too_short_a_life_is_handed_back(sandbox):
    """The provider gives nine seconds; min_lifetime is more. No storm, and nothing of it is released."""
    sandbox.fault("exchange_ttl", 9)
    with d.Daemon(conf(sandbox, more=STS), broker="min_lifetime = 1m\n") as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        reply = tb.token("short", timeout=60)
        assert reply.status == 503 and "min_lifetime" in reply.json()["detail"], reply
        assert sandbox.state()["requests"]["token_exchange"] <= 8
        assert not tb.audit("authorised")
        sandbox.clear_faults()
        util.wait_until(lambda: tb.token("short", timeout=60).status == 200, 60, "a value that lives", interval=0.5)


@pytest.mark.parametrize("what", ["serve", "withhold", "revoke"])
def test_the_grant_is_lost(sandbox, what):
    with d.Daemon(conf(sandbox, more=f"on_grant_loss = {what}")) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        value = get(tb, "shared")
        sandbox.revoke(sandbox.state()["grants"][0]["id"])
        tb.ctl("rotate", "shared")
        util.wait_until(lambda: tb.login_status("ops")["state"] == "human_needed", 60, "the loss")
        if what == "serve":
            assert get(tb, "shared") == value
            return
        assert tb.token("shared").status == 503

        def is_noted():
            return any(r["reason"] == "the grant that it was minted on is lost" for r in tb.audit() if "reason" in r)
        if what == "revoke":
            util.wait_until(is_noted, 20, "its record")
            assert tb.login("ops", sandbox.approve)["state"] == "granted"
            util.wait_until(lambda: not works(sandbox, value), 60, "the revocation", interval=0.3)
            assert get(tb, "shared") != value
        else:
            assert works(sandbox, value)
            assert not is_noted()


PAID = """\
[backend admin-api]
type = http
login = ops
mint_url = {issuer}/api/v0/management-tokens
mint_body = {{"description":"{{description}}","expiresAt":"{{expires_at}}"}}
list_url = {issuer}/api/v0/management-tokens
revoke_url = {issuer}/api/v0/management-tokens/{{id}}
expires_pointer = /expiresAt
allow_insecure_loopback = yes
[backend cluster]
type = influxdb-clustered
management_token = mgmt
base_url = {issuer}
allow_insecure_loopback = yes
[token mgmt]
backend = admin-api
kind = management
lifetime = 1d
allow_full_access = yes
[token paid]
backend = cluster
permissions = read:z
lifetime = 1h
on_grant_loss = %s
"""


@pytest.mark.parametrize("what", ["withhold", "revoke"])
def test_a_token_that_lives_on_pays(sandbox, what):
    """A management token of ours outlives the login: it pays for the end, and for nothing that is not released."""
    with d.Daemon(conf(sandbox, more=PAID.format(issuer=sandbox.issuer) % what)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        get(tb, "paid")
        get(tb, "shared")
        sandbox.revoke(sandbox.state()["grants"][0]["id"])
        tb.ctl("rotate", "shared")
        util.wait_until(lambda: tb.login_status("ops")["state"] == "human_needed", 60, "the loss")
        for _ in range(3):
            reply = tb.token("paid")
            assert reply.status == 503 and reply.json()["code"].startswith("human_needed."), reply

        def states():
            return [t["state"] for t in sandbox.state()["tokens"] if " paid " in t["description"]]
        if what == "revoke":
            util.wait_until(lambda: states() == ["revoked"], 60, "the revocation", interval=0.2)
        assert len(states()) == 1, "nothing is minted that nobody is given"
