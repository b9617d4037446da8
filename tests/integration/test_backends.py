# SPDX-License-Identifier: Apache-2.0
"""The life of a token, the same for every type of backend that mints: made, tried, served, rotated, revoked, and looked
for when its answer was lost. The sandbox plays all services."""

import contextlib
import dataclasses
import datetime
import pathlib
import time

import pytest

import daemon as d
import util
from sandbox import Sandbox

EXPIRES = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

HEAD = d.SANDBOX_LOGIN + """\
[client root]
user = root
tokens = *
"""


PARENT = """\
[backend hand]
type = import
[token parent]
backend = hand
kind = management
allow_full_access = yes
"""


def example(name):
    """[backend NAME] of etc/examples/NAME.conf, without what the test says itself: the address and the payer."""
    text = (pathlib.Path(__file__).parents[2] / "etc/examples" / f"{name}.conf").read_text(encoding="utf-8")
    section = text.split(f"[backend {name}]\n")[1].split("\n[")[0]
    return "\n".join(line for line in section.splitlines() if line and not line.startswith(
        ("#", "base_url", "management_token")))


@dataclasses.dataclass
class Service:
    name: str
    backend: str  # keys of [backend it]
    token: str    # keys of [token t]
    mint: str     # what the sandbox calls the request
    path: str     # of it
    works_at: str  # answers 200 to a live value
    scheme: str = "Bearer"
    parent: bool = False  # paid by a parent token, not by a login
    lists: bool = True    # what a lost answer left is found and revoked; else its own end is waited for
    base: bool = True     # it has an address of its own
    life: int = 21600     # seconds that it grants, at the most


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
    Service("influxdb-v2", "type = influxdb-v2\norg = example\nowner = telegraf\ncreate_owner = yes",
            "permissions = write-bucket metrics read-buckets", "v2_mint", "/api/v2/authorizations",
            "/api/v2/buckets?limit=1", "Token", True),
    Service("http Grafana", example("grafana"), "description = provisioning", "grafana_mint",
            "/api/serviceaccounts/2/tokens", "/api/search", parent=True),
    Service("token-exchange", "type = token-exchange\nintrospection = yes", "audience = metrics other\nscopes = write",
            "token_exchange", "/token", "/audience/metrics", lists=False, base=False, life=3600),
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
    payer = "management_token = parent" if service.parent else "login = ops"
    conf = HEAD + (PARENT if service.parent else "") + f"[backend it]\n{payer}\nallow_insecure_loopback = yes\n" \
        + ("base_url = {issuer}\n" if service.base else "") + service.backend \
        + f"\n[token t]\nbackend = it\nlifetime = 6h\n{service.token}\n"
    with d.Daemon(conf.replace("{issuer}", sandbox.issuer), "settle_time = 3s\n") as one:
        pay(one, sandbox, service.parent)
        yield one


def pay(tb, sandbox, parent):
    if not parent:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        return
    value = util.http_request(sandbox.issuer + "/_sandbox/parent", method="POST", body={}).json()["token"]
    tb.learn_value(value)
    reply = tb.admin.request("tokens/parent/import", "POST", body={"token": value, "expires_at": EXPIRES})
    assert reply.status in (200, 202), reply


def alive(sandbox):
    return [t for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending") and t["description"] != "parent"]


def accounted_for(tb, sandbox, service):
    """Nothing is alive but what is served; where nobody can look, what a status calls unsettled may be, too."""
    known = 1 if service.lists else 1 + len(tb.token_status("t").get("unsettled", []))
    return len(alive(sandbox)) <= known


def works(sandbox, service, value):
    return util.http_request(sandbox.issuer + service.works_at, headers={"Authorization": f"{service.scheme} {value}"}).status


def test_life(tb, sandbox, service):
    first = tb.token("t").json()
    assert works(sandbox, service, first["token"]) == 200
    assert service.life - 600 < first["expires_in"] <= service.life
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
    end = ("tokens/t/revoke", "POST") if service.parent else ("logins/ops", "DELETE")
    assert tb.admin.request(*end, body={} if service.parent else None, timeout=60).status == 200
    assert not alive(sandbox)
    assert works(sandbox, service, second["token"]) == 401


def test_lost_answer(tb, sandbox, service):
    sandbox.fault("lost_reply", times=1, path=service.path, method="POST")
    kept = tb.token("t", timeout=60).json()
    assert works(sandbox, service, kept["token"]) == 200
    assert sandbox.state()["done"][service.mint] == 2
    util.wait_until(lambda: accounted_for(tb, sandbox, service), 30, "the revocation of what was lost", interval=0.2)
    assert service.lists or len(alive(sandbox)) == 2
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
    util.wait_until(lambda: accounted_for(tb, sandbox, service), 60, "nothing unknown alive", interval=0.2)


def test_influxdb3_without_authorization(sandbox):
    conf = HEAD + "[backend it]\ntype = influxdb3\nlogin = ops\nbase_url = {issuer}\nallow_insecure_loopback = yes\n" \
        "[token t]\nbackend = it\nlifetime = 6h\nkind = management\nallow_full_access = yes\n"
    sandbox.fault("influx3_no_auth")
    with d.Daemon(conf.format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        reply = tb.token("t")
        assert reply.status == 503 and "without authorization" in reply.json()["detail"], reply


def test_influxdb3_core_has_no_resource_tokens(sandbox):
    conf = HEAD + "[backend it]\ntype = influxdb3\nlogin = ops\nbase_url = {issuer}\nallow_insecure_loopback = yes\n" \
        "[token t]\nbackend = it\nlifetime = 6h\npermissions = read:metrics\n"
    sandbox.fault("influx3_core")
    with d.Daemon(conf.format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        reply = tb.token("t")
        assert reply.status == 503 and "Core does not" in reply.json()["detail"], reply


# --------------------------------------------------- services whose tokens have no end

V2 = HEAD + PARENT + """\
[backend v2]
type = influxdb-v2
management_token = parent
base_url = {issuer}
allow_insecure_loopback = yes
org = example
expiry_grace = 3s
[token t]
backend = v2
permissions = {permissions}
lifetime = {lifetime}
allow_full_access = yes
"""


@contextlib.contextmanager
def start_v2(sandbox, lifetime="6h", permissions="read-bucket metrics"):
    with d.Daemon(V2.format(issuer=sandbox.issuer, lifetime=lifetime, permissions=permissions)) as tb:
        pay(tb, sandbox, True)
        yield tb


def state_of(sandbox, token_id):
    return next(t["state"] for t in sandbox.state()["tokens"] if t["id"] == token_id)


def one_v2(tb):
    token = tb.token("t", timeout=60).json()
    return token["token"], token["token_id"]


def is_ok(sandbox, value):
    return util.http_request(sandbox.issuer + "/api/v2/buckets", headers={"Authorization": f"Token {value}"}).status == 200


def end_of(sandbox, value, token_id):
    """Inactive, and only after the grace gone."""
    util.wait_until(lambda: state_of(sandbox, token_id) == "inactive", 30, "the end", interval=0.1)
    assert not is_ok(sandbox, value)
    assert state_of(sandbox, token_id) == "inactive", "deleted without a grace"
    util.wait_until(lambda: state_of(sandbox, token_id) == "revoked", 30, "the deletion", interval=0.1)


def test_expiry_is_emulated(sandbox):
    with start_v2(sandbox, "4s") as tb:
        value, token_id = one_v2(tb)
        assert is_ok(sandbox, value)
        # the service is down when the time comes, and for a while
        sandbox.fault("status", "500", times=2, path=f"/api/v2/authorizations/{token_id}")
        end_of(sandbox, value, token_id)

        def reasons():
            return [r["reason"] for r in tb.audit()
                    if r.get("token_id") == token_id and r["event"] in ("withheld", "revoked")]
        util.wait_until(lambda: reasons() == ["its lifetime is over", "revoked upstream"], 20, "the records of its end")


def test_expiry_while_down(sandbox):
    """Nobody ends it while the daemon is down. It catches up at its start, and goes on where it was killed."""
    with start_v2(sandbox, "8s") as tb:
        value, token_id = one_v2(tb)
        tb.stop()
        time.sleep(9)
        assert is_ok(sandbox, value), "there is nobody to end it"
        tb.start()
        util.wait_until(lambda: state_of(sandbox, token_id) == "inactive", 30, "the end", interval=0.05)
        tb.kill()
        assert state_of(sandbox, token_id) == "inactive"
        tb.start()
        util.wait_until(lambda: state_of(sandbox, token_id) == "revoked", 30, "the deletion", interval=0.1)


@pytest.mark.parametrize("permissions", ["all-access", "operator", "read-tasks write-orgs", "clone"])
def test_v2_permissions(sandbox, permissions):
    if permissions == "clone":
        made = util.http_request(sandbox.issuer + "/_sandbox/parent", method="POST", body={}).json()
        permissions = "clone " + made["id"]
    with start_v2(sandbox, permissions=permissions) as tb:
        value, token_id = one_v2(tb)
        assert is_ok(sandbox, value)
        if "clone" in permissions:
            mine = next(t for t in sandbox.state()["tokens"] if t["id"] == token_id)
            assert mine["permissions"] == made["permissions"]


def test_v2_names_what_is_not_there(sandbox):
    with start_v2(sandbox, permissions="read-bucket nosuch") as tb:
        reply = tb.token("t")
        assert reply.status == 503 and "no bucket 'nosuch'" in reply.json()["detail"], reply
