# SPDX-License-Identifier: Apache-2.0
"""Token exchange (RFC 8693): what is particular to it, beside the life that all backends share (test_backends).

The sandbox plays the odd cases. oidc-provider is the real one: it judges the client, the subject token, and later the
value. Glewlwyd has no token exchange.
"""

import contextlib

import pytest

import daemon as d
import util
from sandbox import Sandbox
from test_login import approve_as, start  # noqa: F401  pylint: disable=unused-import

CONF = """\
[backend sts]
type = token-exchange
login = ops
allow_insecure_loopback = yes
{backend}
[token t]
backend = sts
lifetime = 1h
audience = metrics
{token}
[client root]
user = root
tokens = *
"""


@pytest.fixture
def sandbox():
    with Sandbox("--quiet") as one:
        yield one


@contextlib.contextmanager
def begin(sandbox, backend="", token="", login=True, **more):
    with d.Daemon((d.SANDBOX_LOGIN + CONF).replace("{issuer}", sandbox.issuer).format(backend=backend, token=token),
                  **more) as tb:
        assert not login or tb.login("ops", sandbox.approve)["state"] == "granted"
        yield tb


def at(sandbox, audience, value):
    return util.http_request(f"{sandbox.issuer}/audience/{audience}", headers={"Authorization": f"Bearer {value}"}).status


def exchanges(sandbox):
    return sandbox.state()["requests"]["token_exchange"]


def refreshes(sandbox):
    return sandbox.state()["requests"]["token_refresh_token"]


def refused(tb, *words):
    reply = tb.token("t", timeout=60)
    assert reply.status == 503 and all(word in reply.json()["detail"] for word in words), reply


def test_it_is_for_its_audience_and_nothing_else(sandbox):
    with begin(sandbox) as tb:
        value = tb.token("t").json()["token"]
        assert at(sandbox, "metrics", value) == 200 and at(sandbox, "other", value) == 401
        made, = [t for t in sandbox.state()["tokens"] if t["kind"] == "exchanged"]
        assert made["permissions"] == ["metrics"]
        human = util.http_request(sandbox.issuer + "/userinfo", headers={"Authorization": f"Bearer {value}"})
        assert human.status == 401, "not a token of the human's"


def test_after_a_restart_the_endpoints_are_found_again(sandbox):
    """The access token is at rest and good; where it may be exchanged is not."""
    with begin(sandbox) as tb:
        tb.token("t")
        tb.restart()
        assert tb.admin.request("tokens/t/rotate", "POST", timeout=60).status == 200
        assert exchanges(sandbox) == 2 and refreshes(sandbox) == 0
        assert sandbox.state()["requests"]["discovery"] >= 2


def test_endpoints_that_moved_get_nothing(sandbox):
    """P9: a grant is bound to the origins that it was given at, and so is what may be exchanged for it."""
    with Sandbox("--quiet") as thief, begin(sandbox) as tb:
        tb.token("t")
        tb.stop()
        text = tb.conf_file.read_text().replace(
            "[login ops]\n", f"[login ops]\ntoken_endpoint = {thief.issuer}/token\n")
        tb.conf_file.write_text(text)
        tb.start()
        reply = tb.admin.request("tokens/t/rotate", "POST", timeout=60)
        assert reply.status == 503 and reply.json()["code"].startswith("human_needed."), reply
        assert not any(r["path"] == "/token" for r in thief.log())


@pytest.mark.parametrize("fault,value,words", [
    ("exchange_off", None, ["unsupported_grant_type", "no token exchange"]),
    ("exchange_not_allowed", None, ["unauthorized_client", "allow it the grant type token-exchange"])])
def test_refusals_say_what_to_change(sandbox, fault, value, words):
    with begin(sandbox) as tb:
        sandbox.fault(fault, value)
        refused(tb, *words)
        assert refreshes(sandbox) == 0, "another access token would not have helped"
        sandbox.clear_faults()
        util.wait_until(lambda: tb.token("t", timeout=60).status == 200, 60, "recovery", interval=0.5)


def test_unknown_audience_and_scope(sandbox):
    with begin(sandbox, token="resource = urn:unknown") as tb:
        refused(tb, "invalid_target", "check audience and resource")
    with begin(sandbox, token="scopes = admin") as tb:
        refused(tb, "invalid_scope", "check scopes")


def test_a_refused_access_token_is_renewed_once(sandbox):
    with begin(sandbox) as tb:
        mine, = [t for t in sandbox.state()["oauth_tokens"] if t["kind"] == "access"]
        sandbox.control("POST", "revoke", {"id": mine["id"]})
        assert tb.token("t", timeout=60).status == 200
        assert refreshes(sandbox) == 1 and exchanges(sandbox) == 2


@pytest.mark.parametrize("fault", ["exchange_token_type", "exchange_type"])
def test_what_cannot_be_used_is_handed_back(sandbox, fault):
    with begin(sandbox) as tb:
        sandbox.fault(fault)
        refused(tb, "cannot be used")
        made = [t for t in sandbox.state()["tokens"] if t["kind"] == "exchanged"]
        assert made and all(t["state"] == "revoked" for t in made)
        assert not tb.token_status("t").get("unsettled")
        sandbox.clear_faults()
        util.wait_until(lambda: tb.token("t", timeout=60).status == 200, 60, "recovery", interval=0.5)


def test_a_refresh_token_is_dropped(sandbox):
    with begin(sandbox) as tb:
        sandbox.fault("exchange_refresh")
        tb.learn_value("sandbox-refresh-token-of-an-exchange")
        assert tb.token("t").status == 200
        assert "a refresh token came with it" in tb.log()


def test_how_long_it_lives(sandbox):
    """What the provider says, or the lifetime where it says nothing; never longer than the lifetime."""
    with begin(sandbox) as tb:
        sandbox.fault("exchange_no_expiry", times=1)
        assert 3500 < tb.token("t").json()["expires_in"] <= 3600
        sandbox.fault("exchange_ttl", 7200, times=1)
        tb.admin.request("tokens/t/rotate", "POST", timeout=60)
        assert 3500 < tb.token("t").json()["expires_in"] <= 3600
        sandbox.fault("exchange_ttl", 9, times=1)
        tb.admin.request("tokens/t/rotate", "POST", timeout=60)
        short = tb.token("t").json()
        assert short["expires_in"] <= 9
        util.wait_until(lambda: tb.token("t").json()["generation"] > short["generation"], 30,
                        "its renewal before the end", interval=0.2)


def test_a_provider_that_cannot_revoke(sandbox):
    sandbox.fault("no_revocation_endpoint")
    with begin(sandbox) as tb:
        value = tb.token("t").json()["token"]
        reply = tb.admin.request("tokens/t/revoke", "POST", body={}, timeout=60)
        assert "no revocation_endpoint" in reply.text, reply
        assert at(sandbox, "metrics", value) == 200
        assert tb.token("t", timeout=60).json()["token"] != value, "it is not released any more"


def test_another_audience_is_another_token(sandbox):
    with begin(sandbox) as tb:
        first = tb.token("t").json()
        tb.conf_file.write_text(tb.conf_file.read_text().replace("audience = metrics", "audience = logs"))
        assert tb.admin.request("reload", "POST").status == 200
        util.wait_until(lambda: tb.token("t").json()["generation"] > first["generation"], 30, "the new recipe", interval=0.2)
        assert at(sandbox, "logs", tb.token("t").json()["token"]) == 200


# ------------------------------------------------------------------ a real provider

@pytest.mark.parametrize("kind", ["none", "client_secret_basic", "private_key_jwt_es256"])
def test_oidc_provider(oidc_provider, start, tmp_path, kind):  # noqa: F811  pylint: disable=redefined-outer-name
    oidc_provider.reset()
    client = oidc_provider.clients[kind]
    more = {"scopes": "openid offline_access", "resource": None}
    if "client_secret" in client:
        file = tmp_path / "secret"
        file.write_text(client["client_secret"])
        file.chmod(0o400)
        more["client_secret_file"] = file
    conf = d.login_conf(oidc_provider, kind=kind, **more) + CONF
    tb = start(conf.format(backend="introspection = yes", token="resource = urn:api\nscopes = api:read"))
    assert tb.login("ops", approve_as(oidc_provider))["state"] == "granted"
    first = tb.token("t").json()
    assert 0 < first["expires_in"] <= oidc_provider.access_ttl
    tb.restart()
    assert tb.admin.request("tokens/t/rotate", "POST", timeout=60).status == 200
    second = tb.token("t").json()
    assert second["token"] != first["token"]
    grants = [r.get("grant_type", "") for r in oidc_provider.server_log()]
    assert sum("token-exchange" in grant for grant in grants) == 2
    reply = tb.admin.request("tokens/t/revoke", "POST", body={"generation": first["generation"]}, timeout=60)
    assert reply.status == 200 and reply.json()["revoked"] == 1, reply
    # the same login, for a target that is none
    tb.conf_file.write_text(tb.conf_file.read_text().replace("urn:api", "urn:unknown"))
    assert tb.admin.request("reload", "POST").status == 200
    reply = tb.admin.request("tokens/t/rotate", "POST", timeout=60)
    assert reply.status == 503 and "invalid_target" in reply.json()["detail"], reply
    assert tb.token("t").json()["token"] == second["token"], "what is valid is served on"
    assert tb.admin.request("logins/ops", "DELETE", timeout=60).status == 200
