# SPDX-License-Identifier: Apache-2.0
"""The life of a token, the same for every type of backend that mints: made, tried, served, rotated, revoked, and looked
for when its answer was lost. The sandbox plays all services."""

import dataclasses

import pytest

import daemon as d
import util
from sandbox import Sandbox

HEAD = """\
[login ops]
issuer = {issuer}
client_id = tokenbroker
scopes = openid offline_access
allow_insecure_loopback = yes
[client root]
user = root
tokens = *
"""


@dataclasses.dataclass
class Service:
    name: str
    backend: str  # keys of [backend it]
    token: str    # keys of [token t]
    mint: str     # what the sandbox calls the request
    path: str     # of it
    works_at: str  # answers 200 to a live value


SERVICES = [
    Service("influxdb-clustered", "type = influxdb-clustered\nprobe_url = {issuer}/health/auth",
            "permissions = read:metrics", "mint", "/api/v0/tokens", "/health/auth"),
    Service("influxdb-dedicated", "type = influxdb-dedicated\naccount_id = a\ncluster_id = c\n"
            "probe_url = {issuer}/health/auth", "permissions = read:metrics", "mint",
            "/api/v0/accounts/a/clusters/c/tokens", "/health/auth"),
    Service("influxdb3 database", "type = influxdb3", "permissions = read:metrics write:metrics", "v3_mint",
            "/api/v3/enterprise/configure/token", "/health"),
    Service("influxdb3 admin", "type = influxdb3", "kind = management\nallow_full_access = yes", "v3_mint_admin",
            "/api/v3/configure/token/named_admin", "/health"),
]


@pytest.fixture(params=SERVICES, ids=lambda s: s.name)
def service(request):
    return request.param


@pytest.fixture
def sandbox():
    with Sandbox("--quiet") as one:
        yield one


@pytest.fixture
def tb(sandbox, service):
    conf = HEAD + f"[backend it]\nlogin = ops\nbase_url = {{issuer}}\nallow_insecure_loopback = yes\n{service.backend}\n" \
        f"[token t]\nbackend = it\nlifetime = 6h\n{service.token}\n"
    with d.Daemon(conf.format(issuer=sandbox.issuer), "settle_time = 3s\n") as one:
        assert one.login("ops", sandbox.approve)["state"] == "granted"
        yield one


def alive(sandbox):
    return [t for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending")]


def works(sandbox, service, value):
    return util.http_request(sandbox.issuer + service.works_at, headers={"Authorization": f"Bearer {value}"}).status


def test_life(tb, sandbox, service):
    first = tb.token("t").json()
    assert works(sandbox, service, first["token"]) == 200
    assert 21000 < first["expires_in"] <= 21600
    assert sandbox.state()["done"][service.mint] == 1
    tb.restart()
    assert tb.token("t").json()["token"] == first["token"]

    assert tb.admin.request("tokens/t/rotate", "POST", timeout=60).status == 200
    second = tb.token("t").json()
    assert second["generation"] == first["generation"] + 1
    assert works(sandbox, service, second["token"]) == 200
    assert works(sandbox, service, first["token"]) == 200, "a superseded value lives to its own end"

    reply = tb.admin.request("tokens/t/revoke", "POST", body={"generation": first["generation"]}, timeout=60)
    assert reply.status == 200, reply
    assert works(sandbox, service, first["token"]) == 401
    assert works(sandbox, service, second["token"]) == 200
    assert tb.admin.request("logins/ops", "DELETE", timeout=60).status == 200
    assert not alive(sandbox)
    assert works(sandbox, service, second["token"]) == 401


def test_lost_answer(tb, sandbox, service):
    sandbox.fault("lost_reply", times=1, path=service.path, method="POST")
    kept = tb.token("t", timeout=60).json()
    assert works(sandbox, service, kept["token"]) == 200
    assert sandbox.state()["done"][service.mint] == 2
    util.wait_until(lambda: len(alive(sandbox)) == 1, 30, "the revocation of what was lost", interval=0.2)
    assert works(sandbox, service, kept["token"]) == 200


@pytest.mark.parametrize("fault,value", [("status", 500), ("status", 401), ("html_error", 502), ("half_body", None),
                                         ("wrong_content_type", None), ("unknown_fields", None)])
def test_bad_answer(tb, sandbox, service, fault, value):
    """One bad answer: a clear error or the token, and afterwards the token and nothing unknown."""
    sandbox.fault(fault, value, times=1, path=service.path, method="POST")
    reply = tb.token("t", timeout=60)
    if reply.status != 200:
        assert reply.status == 503 and reply.json()["code"].startswith("unavailable."), reply
        util.wait_until(lambda: tb.token("t", timeout=60).status == 200, 40, "recovery", interval=0.5)
    assert works(sandbox, service, tb.token("t").json()["token"]) == 200
    util.wait_until(lambda: len(alive(sandbox)) == 1, 60, "nothing unknown alive", interval=0.2)


def test_influxdb3_core_has_no_resource_tokens(sandbox):
    conf = HEAD + "[backend it]\ntype = influxdb3\nlogin = ops\nbase_url = {issuer}\nallow_insecure_loopback = yes\n" \
        "[token t]\nbackend = it\nlifetime = 6h\npermissions = read:metrics\n"
    sandbox.fault("influx3_core")
    with d.Daemon(conf.format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        reply = tb.token("t")
        assert reply.status == 503 and "Core does not" in reply.json()["detail"], reply
