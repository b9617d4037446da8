# SPDX-License-Identifier: Apache-2.0
"""tokenbroker-sandbox by itself: each endpoint, each switch, and how it takes nonsense."""

import base64
import datetime
import email.utils
import hashlib
import hmac
import http.client
import json
import re
import socket
import subprocess
import time
import urllib.parse

import pytest

import sandbox as module
import util
from sandbox import Refused, Sandbox

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
DEDICATED = "/api/v0/accounts/acc-1/clusters/clu-1/tokens"
CLUSTERED = "/api/v0/tokens"
MANAGEMENT = "/api/v0/management-tokens"


class Reply:
    def __init__(self, raw):
        self.status = raw.status
        self.headers = raw.headers
        self.body = raw.read()

    def json(self):
        return json.loads(self.body)


def ask(sb, method, path, body=None, headers=None, timeout=10):
    """One request on a connection of its own. A dict is sent as a form, a list of pairs too."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = urllib.parse.urlencode(body)
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection = http.client.HTTPConnection("127.0.0.1", sb.port, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def api(sb, method, path, token=None, body=None, **kwargs):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = body if isinstance(body, str) else json.dumps(body)
    return ask(sb, method, path, body, headers, **kwargs)


def start(sb, scope="openid offline_access", client="tokenbroker", **more):
    form = {"client_id": client, "scope": scope, **more}
    if client == "tokenbroker-conf":
        form["client_secret"] = "sandbox-secret"
    reply = ask(sb, "POST", "/device_authorization", form)
    assert reply.status == 200, reply.body
    return reply.json()


def poll(sb, code, client="tokenbroker", **more):
    form = {"grant_type": DEVICE, "device_code": code["device_code"], "client_id": client, **more}
    return ask(sb, "POST", "/token", form)


def login(sb, user="alice", **more):
    code = start(sb, **more)
    sb.approve(code["user_code"], user)
    reply = poll(sb, code)
    assert reply.status == 200, reply.body
    return reply.json()


def refresh(sb, token, **more):
    return ask(sb, "POST", "/token", {"grant_type": "refresh_token", "refresh_token": token,
                                      "client_id": "tokenbroker", **more})


def error(reply):
    return reply.status, reply.json()["error"]


def in_future(seconds=3600):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def order(description="a test", **more):
    return {"description": description, "permissions": [{"action": "read", "resource": "metrics"}],
            "expiresAt": in_future(), **more}


@pytest.fixture(scope="module")
def shared():
    with Sandbox(interval=0) as one:
        yield one


@pytest.fixture
def sb(shared):
    shared.clear_faults()
    yield shared
    shared.clear_faults()


@pytest.fixture(scope="module")
def alice(shared):
    """An access token of alice."""
    return login(shared)["access_token"]


# --------------------------------------------------------------- JWTs, in plain Python


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def decode(token):
    head, body, signature = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body)), unb64(signature), f"{head}.{body}".encode()


def key_of(sb, kid):
    return next(k for k in ask(sb, "GET", "/jwks").json()["keys"] if k["kid"] == kid)


def number(text):
    return int.from_bytes(unb64(text), "big")


def rs256_holds(key, data, signature):
    n, e = number(key["n"]), number(key["e"])
    size = (n.bit_length() + 7) // 8
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(data).digest()
    padded = b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
    return pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big") == padded


P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def ec_add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def ec_times(k, point):
    total = None
    while k:
        if k & 1:
            total = ec_add(total, point)
        point = ec_add(point, point)
        k >>= 1
    return total


def es256_holds(key, data, signature):
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    digest, inverse = int.from_bytes(hashlib.sha256(data).digest(), "big"), pow(s, -1, N)
    point = ec_add(ec_times(digest * inverse % N, G),
                   ec_times(r * inverse % N, (number(key["x"]), number(key["y"]))))
    return point is not None and point[0] % N == r and len(signature) == 64


# -------------------------------------------------------------------- identity provider


@pytest.mark.parametrize("path", ["openid-configuration", "oauth-authorization-server"])
def test_discovery(sb, path):
    meta = ask(sb, "GET", f"/.well-known/{path}").json()
    assert meta["issuer"] == sb.issuer
    assert meta["device_authorization_endpoint"] == f"{sb.issuer}/device_authorization"
    assert meta["token_endpoint"] == f"{sb.issuer}/token"
    assert meta["jwks_uri"] == f"{sb.issuer}/jwks"
    assert meta["revocation_endpoint"] == f"{sb.issuer}/revoke"
    assert meta["userinfo_endpoint"] == f"{sb.issuer}/userinfo"
    assert DEVICE in meta["grant_types_supported"]


def test_jwks(sb):
    rsa, ec = ask(sb, "GET", "/jwks").json()["keys"]
    assert (rsa["kty"], rsa["alg"], rsa["use"]) == ("RSA", "RS256", "sig") and number(rsa["n"]).bit_length() == 2048
    assert (ec["kty"], ec["alg"], ec["crv"], ec["use"]) == ("EC", "ES256", "P-256", "sig")
    assert len(unb64(ec["x"])) == len(unb64(ec["y"])) == 32 and ec["kid"] != rsa["kid"]


def test_device_answer(sb):
    code = start(sb)
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", code["user_code"])
    assert code["verification_uri"] == f"{sb.issuer}/device"
    assert code["verification_uri_complete"] == f"{sb.issuer}/device?user_code={code['user_code']}"
    assert code["expires_in"] == 600 and code["interval"] == 0


def test_login(sb):
    code = start(sb, scope="openid offline_access email", nonce="n-1", binding_message="web-01\tby ops")
    assert error(poll(sb, code)) == (400, "authorization_pending")
    assert sb.approve(code["user_code"].lower().replace("-", ""))["binding_message"] == "web-01 by ops"
    grant = poll(sb, code).json()
    assert grant["token_type"] == "Bearer" and grant["expires_in"] == 3600 and grant["refresh_token"]
    assert grant["scope"] == "openid offline_access email"
    head, claims, signature, data = decode(grant["id_token"])
    assert head["alg"] == "RS256" and rs256_holds(key_of(sb, head["kid"]), data, signature)
    assert claims["iss"] == sb.issuer and claims["aud"] == "tokenbroker" and claims["nonce"] == "n-1"
    assert claims["sub"] == "sandbox|alice" and claims["email"] == "alice@example.org"
    assert abs(claims["iat"] - time.time()) < 10 and claims["exp"] > claims["iat"]
    assert abs(claims["auth_time"] - time.time()) < 10
    assert "." not in grant["access_token"]


def test_no_offline_access_no_refresh_token_and_no_openid_no_id_token(sb):
    grant = login(sb, scope="influxdb")
    assert "refresh_token" not in grant and "id_token" not in grant
    assert ask(sb, "GET", "/userinfo", headers={"Authorization": f"Bearer {grant['access_token']}"}).status == 403


def test_deny(sb):
    code = start(sb)
    sb.deny(code["user_code"])
    assert error(poll(sb, code)) == (400, "access_denied")
    with pytest.raises(Refused) as refused:
        sb.approve(code["user_code"])
    assert refused.value.status == 409


def test_second_redemption_revokes_the_grant(sb):
    code = start(sb)
    sb.approve(code["user_code"])
    grant = poll(sb, code).json()
    assert error(poll(sb, code)) == (400, "invalid_grant")
    assert error(refresh(sb, grant["refresh_token"])) == (400, "invalid_grant")
    assert api(sb, "GET", CLUSTERED, grant["access_token"]).status == 401


def test_another_clients_code(sb):
    code = start(sb)
    sb.approve(code["user_code"])
    stranger = poll(sb, code, client="tokenbroker-conf", client_secret="sandbox-secret")
    assert error(stranger) == (400, "invalid_grant")
    assert poll(sb, code).status == 200


def test_slow_down_adds_five_seconds():
    with Sandbox(interval=1) as one:
        code = start(one)
        assert code["interval"] == 1
        assert error(poll(one, code)) == (400, "authorization_pending")
        assert error(poll(one, code)) == (400, "slow_down")
        time.sleep(1.1)
        assert error(poll(one, code)) == (400, "slow_down")
        state = one.state()["codes"][0]
        assert state["interval"] == 11 and state["polls"] == 3
        one.approve(code["user_code"])
        assert poll(one, code).status == 200


def test_refresh_rotates_and_reuse_kills(sb):
    first = login(sb)
    second = refresh(sb, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"] and second["id_token"]
    third = refresh(sb, second["refresh_token"]).json()
    assert api(sb, "GET", CLUSTERED, third["access_token"]).status == 200
    assert error(refresh(sb, first["refresh_token"])) == (400, "invalid_grant")
    assert error(refresh(sb, third["refresh_token"])) == (400, "invalid_grant")
    assert api(sb, "GET", CLUSTERED, third["access_token"]).status == 401
    assert sb.state()["grants"][-1]["reason"] == "refresh token reused"


def basic(name, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


@pytest.mark.parametrize("form,headers,want", [
    ({"client_id": "tokenbroker"}, {}, 200),
    ({"client_id": "tokenbroker-conf", "client_secret": "sandbox-secret"}, {}, 200),
    ({}, basic("tokenbroker-conf", "sandbox-secret"), 200),
    ({}, basic("tokenbroker%2Dconf", "sandbox%2dsecret"), 200),
    ({"client_id": "tokenbroker-conf"}, {}, 401),
    ({"client_id": "tokenbroker-conf", "client_secret": "wrong"}, {}, 401),
    ({"client_id": "tokenbroker", "client_secret": "sandbox-secret"}, {}, 401),
    ({"client_id": "nobody"}, {}, 401),
    ({}, {}, 401),
    ({}, basic("tokenbroker-conf", "wrong"), 401),
    ({}, basic("tokenbroker-conf", "sandbox-secret&client_id=tokenbroker"), 401),
    ({}, {"Authorization": "Basic !!!!"}, 401),
    ({"client_id": "tokenbroker"}, basic("tokenbroker-conf", "sandbox-secret"), 401),
    ({"client_secret": "sandbox-secret"}, basic("tokenbroker-conf", "sandbox-secret"), 400),
])
def test_client_authentication(sb, form, headers, want):
    reply = ask(sb, "POST", "/device_authorization", form, headers)
    assert reply.status == want
    if want != 200:
        assert reply.json()["error"] == ("invalid_client" if want == 401 else "invalid_request")
        assert want != 401 or reply.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("form,want", [
    ({"client_id": "tokenbroker"}, "invalid_request"),
    ({"client_id": "tokenbroker", "grant_type": "password"}, "unsupported_grant_type"),
    ({"client_id": "tokenbroker", "grant_type": DEVICE}, "invalid_request"),
    ({"client_id": "tokenbroker", "grant_type": "refresh_token"}, "invalid_request"),
    ({"client_id": "tokenbroker", "grant_type": DEVICE, "device_code": "x"}, "invalid_grant"),
    ({"client_id": "tokenbroker", "grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
    ([("client_id", "tokenbroker"), ("client_id", "tokenbroker"), ("grant_type", DEVICE)], "invalid_request"),
    ([("client_id", "tokenbroker")] + [(f"p{i}", "x") for i in range(99)], "invalid_request"),
])
def test_token_errors(sb, form, want):
    assert error(ask(sb, "POST", "/token", form)) == (400, want)


@pytest.mark.parametrize("body,kind", [
    ('{"client_id":"tokenbroker"}', "application/json"), ("client_id=%zz", None), ("client_id=a%00b", None),
    ("client_id=%ff%fe", None), ("client_id=%e", None), ("&&&=&=", None), ("", None)])
def test_forms_that_are_none(sb, body, kind):
    reply = ask(sb, "POST", "/token", body, {"Content-Type": kind or "application/x-www-form-urlencoded"})
    assert reply.status in (400, 401) and reply.json()["error"] in ("invalid_request", "invalid_client")


def test_bad_scope(sb):
    form = {"client_id": "tokenbroker", "scope": 'open"id'}
    assert error(ask(sb, "POST", "/device_authorization", form)) == (400, "invalid_scope")


def test_userinfo(sb, alice):
    reply = ask(sb, "GET", "/userinfo", headers={"Authorization": f"bearer {alice}"})
    assert reply.json()["sub"] == "sandbox|alice" and reply.json()["name"]
    nobody = ask(sb, "GET", "/userinfo", headers={"Authorization": "Bearer nonsense"})
    assert nobody.status == 401 and "invalid_token" in nobody.headers["WWW-Authenticate"]


def test_revoke_refresh_token_ends_the_grant(sb):
    grant = login(sb)
    reply = ask(sb, "POST", "/revoke", {"client_id": "tokenbroker", "token": grant["refresh_token"]})
    assert (reply.status, reply.body) == (200, b"")
    assert error(refresh(sb, grant["refresh_token"])) == (400, "invalid_grant")
    assert api(sb, "GET", CLUSTERED, grant["access_token"]).status == 401


def test_revoke_access_token_leaves_the_grant(sb):
    grant = login(sb)
    assert ask(sb, "POST", "/revoke", {"client_id": "tokenbroker", "token": grant["access_token"]}).status == 200
    assert api(sb, "GET", CLUSTERED, grant["access_token"]).status == 401
    assert refresh(sb, grant["refresh_token"]).status == 200


def test_revoke_errors(sb):
    grant = login(sb)
    conf = {"client_id": "tokenbroker-conf", "client_secret": "sandbox-secret"}
    assert ask(sb, "POST", "/revoke", {"client_id": "tokenbroker", "token": "unknown"}).status == 200
    assert error(ask(sb, "POST", "/revoke", {"client_id": "tokenbroker"})) == (400, "invalid_request")
    assert error(ask(sb, "POST", "/revoke", {**conf, "token": grant["refresh_token"]})) == (400, "unauthorized_client")
    assert error(ask(sb, "POST", "/revoke", {"client_id": "nobody", "token": "x"})) == (401, "invalid_client")
    assert refresh(sb, grant["refresh_token"]).status == 200


def test_lifetimes():
    with Sandbox("--access-ttl=1", "--refresh-ttl=2", "--code-ttl=1", interval=0) as one:
        grant, stale = login(one), start(one)
        assert grant["expires_in"] == 1 and stale["expires_in"] == 1
        time.sleep(1.1)
        assert api(one, "GET", CLUSTERED, grant["access_token"]).status == 401
        assert error(poll(one, stale)) == (400, "expired_token")
        assert error(poll(one, stale)) == (400, "expired_token")
        with pytest.raises(Refused):
            one.approve(stale["user_code"])
        newer = refresh(one, grant["refresh_token"]).json()
        time.sleep(2.1)
        assert error(refresh(one, newer["refresh_token"])) == (400, "invalid_grant")


# ------------------------------------------------------------------------- the page


def fields(reply):
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', reply.body.decode()))


def cookie(reply):
    return {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}


def test_page_shows_what_is_asked(sb):
    code = start(sb, scope="openid influxdb", binding_message="<b>web-01</b> & \"co\"")
    page = ask(sb, "GET", f"/device?user_code={code['user_code'].lower()}")
    text = page.body.decode()
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert code["user_code"] in text and "influxdb" in text and "<code>tokenbroker</code>" in text
    assert "&lt;b&gt;web-01&lt;/b&gt; &amp; &quot;co&quot;" in text and "<b>web-01" not in text
    assert 'value="alice"' in text and 'value="bob"' in text and "Approve" in text and "Deny" in text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"] and "<script" not in text
    assert "HttpOnly" in page.headers["Set-Cookie"] and "SameSite=Strict" in page.headers["Set-Cookie"]
    assert error(poll(sb, code)) == (400, "authorization_pending"), "looking at it approves nothing"


@pytest.mark.parametrize("action,user,after", [("approve", "bob", 200), ("deny", "alice", "access_denied")])
def test_page_decides(sb, action, user, after):
    code = start(sb)
    page = ask(sb, "GET", f"/device?user_code={code['user_code']}")
    answer = ask(sb, "POST", "/device", {**fields(page), "user": user, "action": action}, cookie(page))
    assert answer.status == 200 and ("Approved" if action == "approve" else "Denied") in answer.body.decode()
    reply = poll(sb, code)
    if after == 200:
        assert decode(reply.json()["id_token"])[1]["sub"] == f"sandbox|{user}"
    else:
        assert error(reply) == (400, after)
    again = ask(sb, "POST", "/device", {**fields(page), "user": user, "action": "approve"}, cookie(page))
    assert again.status == 409


def test_page_for_typing_the_code(sb):
    empty = ask(sb, "GET", "/device")
    assert empty.status == 200 and 'name="user_code"' in empty.body.decode()
    wrong = ask(sb, "GET", "/device?user_code=%22%3E%3Cscript%3E")
    assert wrong.status == 404 and "no such code" in wrong.body.decode() and "<script" not in wrong.body.decode()
    code = start(sb)
    typed = urllib.parse.quote(f" {code['user_code'].replace('-', ' ').lower()} ")
    assert code["user_code"] in ask(sb, "GET", f"/device?user_code={typed}").body.decode()


def test_page_wants_its_own_form(sb):
    code, other = start(sb), start(sb)
    page = ask(sb, "GET", f"/device?user_code={code['user_code']}")
    good = {**fields(page), "user": "alice", "action": "approve"}
    foreign = {**good, "csrf": fields(ask(sb, "GET", f"/device?user_code={other['user_code']}"))["csrf"]}
    for form, headers in ((good, {}), (foreign, cookie(page)), ({**good, "csrf": "0" * 64}, cookie(page)),
                          ({k: v for k, v in good.items() if k != "csrf"}, cookie(page)),
                          (good, {"Cookie": "sandbox_csrf=" + "A" * 32})):
        assert ask(sb, "POST", "/device", form, headers).status == 403
    for missing in ("user", "action"):
        form = {k: v for k, v in good.items() if k != missing}
        assert ask(sb, "POST", "/device", form, cookie(page)).status == 400
    assert error(poll(sb, code)) == (400, "authorization_pending")
    assert ask(sb, "POST", "/device", good, cookie(page)).status == 200


def test_home(sb):
    assert sb.issuer in ask(sb, "GET", "/").body.decode()


# ----------------------------------------------------------------- the management API


@pytest.mark.parametrize("path", [DEDICATED, CLUSTERED])
def test_database_token_life(sb, alice, path):
    made = api(sb, "POST", path, alice, order())
    token = made.json()
    assert made.status == 200 and token["accessToken"].startswith("apiv1_") and len(token["accessToken"]) >= 70
    assert token["permissions"] == [{"action": "read", "resource": "metrics"}]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", token["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", token["createdAt"])
    assert (token.get("accountId"), token.get("clusterId")) == (
        ("acc-1", "clu-1") if path == DEDICATED else (None, None))
    one = f"{path}/{token['id']}"
    plain = {k: v for k, v in token.items() if k != "accessToken"}
    assert api(sb, "GET", one, alice).json() == plain
    assert plain in api(sb, "GET", path, alice).json()
    assert token["id"] not in str(api(sb, "GET", DEDICATED.replace("acc", "other"), alice).json())
    changed = api(sb, "PATCH", one, alice, {"description": "other", "permissions": []}).json()
    assert changed == {**plain, "description": "other", "permissions": []}
    gone = api(sb, "DELETE", one, alice)
    assert (gone.status, gone.body) == (204, b"")
    assert api(sb, "GET", one, alice).json()["revokedAt"]
    assert token["id"] in str(api(sb, "GET", path, alice).json()), "a revoked token stays listed"


@pytest.mark.parametrize("body", [
    "nonsense", "[]", "{}", '{"description":1}', '{"description":"a","description":"b"}',
    {"description": "x", "permissions": {}}, {"description": "x", "permissions": [1]},
    {"description": "x", "permissions": [{"action": "read"}]},
    {"description": "x", "permissions": [{"action": "own", "resource": "db"}]},
    {"description": "x", "permissions": [{"action": "read", "resource": "d" * 65}]},
    {"description": "x", "permissions": [{"action": "read", "resource": ""}]},
    {"description": "x", "expiresAt": "tomorrow"}, {"description": "x", "expiresAt": 17},
    {"description": "x", "expiresAt": "2020-01-01T00:00:00Z"},
    {"description": "x", "expiresAt": "2099-13-01T00:00:00Z"},
    {"description": "x", "expiresAt": "2099-01-01T00:00:00"}, {"description": "y" * 2000}])
def test_mint_errors(sb, alice, body):
    reply = api(sb, "POST", CLUSTERED, alice, body)
    assert reply.status == 400 and reply.json()["code"] == 400 and reply.json()["message"]


@pytest.mark.parametrize("at", ["2099-01-01T00:00:00Z", "2099-01-01T00:00:00.25Z", "2099-01-01t02:00:00+02:00"])
def test_mint_takes_any_rfc_3339(sb, alice, at):
    token = api(sb, "POST", CLUSTERED, alice, order(expiresAt=at)).json()
    assert re.fullmatch(r"2099-01-01T00:00:00\.[0-9]{3}Z", token["expiresAt"])


def test_mint_without_expiry(sb, alice):
    assert "expiresAt" not in api(sb, "POST", CLUSTERED, alice, {"description": "for ever"}).json()


def test_other_api_errors(sb, alice):
    missing = f"{CLUSTERED}/00000000-0000-4000-8000-000000000000"
    for method in ("GET", "DELETE", "PATCH"):
        assert api(sb, method, missing, alice, {} if method == "PATCH" else None).json()["code"] == 404
    one = f"{CLUSTERED}/{api(sb, 'POST', CLUSTERED, alice, order()).json()['id']}"
    assert api(sb, "PATCH", one, alice, {}).status == 400
    assert api(sb, "PATCH", one, alice, {"permissions": "x"}).status == 400
    assert api(sb, "GET", one.replace(CLUSTERED, DEDICATED), alice).status == 404
    for method, path in (("GET", CLUSTERED), ("POST", CLUSTERED), ("GET", one), ("DELETE", one), ("GET", MANAGEMENT)):
        for token in (None, "nonsense"):
            assert api(sb, method, path, token).json() == {"code": 401, "message": "unauthorized"}
    assert ask(sb, "POST", CLUSTERED, json.dumps(order()),
               {"Authorization": f"Bearer {alice}", "Content-Type": "text/plain"}).status == 400


def test_management_tokens(sb, alice):
    made = api(sb, "POST", MANAGEMENT, alice, {"description": "ops", "expiresAt": in_future()})
    token = made.json()
    assert made.status == 201 and token["token"].startswith("M.V1.") and token["expiresAt"]
    assert token["description"] == "ops"
    listed = next(t for t in api(sb, "GET", MANAGEMENT, alice).json() if t["id"] == token["id"])
    assert listed["token_prefix"] == token["token"][:9] and listed["created_by"] == "alice@example.org"
    assert "revoked_at" not in listed and listed["created_at"] and "token" not in listed
    minted = api(sb, "POST", CLUSTERED, token["token"], order())
    assert minted.status == 200
    assert api(sb, "POST", MANAGEMENT, token["token"], {"description": "chain"}).status == 201
    assert api(sb, "GET", CLUSTERED, minted.json()["accessToken"]).status == 401, "a database token pays for nothing"
    assert api(sb, "DELETE", f"{MANAGEMENT}/{token['id']}", alice).status == 204
    assert api(sb, "GET", CLUSTERED, token["token"]).status == 401
    listed = next(t for t in api(sb, "GET", MANAGEMENT, alice).json() if t["id"] == token["id"])
    assert listed["revoked_at"]
    assert api(sb, "DELETE", f"{MANAGEMENT}/{minted.json()['id']}", alice).status == 404


def test_only_an_admin_makes_management_tokens(sb):
    bob = login(sb, "bob")["access_token"]
    assert api(sb, "POST", MANAGEMENT, bob, {"description": "x"}).json()["code"] == 403
    assert api(sb, "POST", CLUSTERED, bob, order()).status == 200


def test_longest_life():
    with Sandbox("--token-ttl-max=60", interval=0) as one:
        alice = login(one)["access_token"]
        assert api(one, "POST", CLUSTERED, alice, order(expiresAt=in_future(50))).status == 200
        assert api(one, "POST", CLUSTERED, alice, order(expiresAt=in_future(90))).status == 400
        assert api(one, "POST", CLUSTERED, alice, {"description": "no expiry"}).status == 400
        assert api(one, "POST", MANAGEMENT, alice, {"description": "no expiry"}).status == 400


def mint(sb, payer, *permissions):
    wanted = [dict(zip(("action", "resource"), p.split(":"))) for p in permissions]
    return api(sb, "POST", CLUSTERED, payer, order(permissions=wanted)).json()


def test_probe(sb, alice):
    reader, writer = mint(sb, alice, "read:metrics"), mint(sb, alice, "write:*")
    assert api(sb, "GET", "/health/auth", reader["accessToken"]).status == 200
    token = {"Authorization": f"Token {reader['accessToken']}"}
    assert ask(sb, "GET", "/health/auth", headers=token).status == 200
    for other in (None, "nonsense", alice, writer["accessToken"]):
        assert api(sb, "GET", "/health/auth", other).status == 401
    api(sb, "DELETE", f"{CLUSTERED}/{reader['id']}", alice)
    assert api(sb, "GET", "/health/auth", reader["accessToken"]).status == 401


def test_data_endpoints(sb, alice):
    reader, writer = mint(sb, alice, "read:metrics")["accessToken"], mint(sb, alice, "write:*")["accessToken"]
    assert api(sb, "GET", "/api/v3/query?db=metrics", reader).json() == []
    assert api(sb, "GET", "/api/v3/query?db=payroll", reader).status == 403
    assert api(sb, "GET", "/api/v3/query", reader).status == 400
    assert api(sb, "GET", "/api/v3/query?db=metrics", writer).status == 403
    assert api(sb, "POST", "/api/v3/write_lp?db=metrics", writer).status == 204
    assert api(sb, "POST", "/api/v3/write_lp?db=metrics", reader).status == 403
    assert api(sb, "POST", "/api/v3/write_lp?db=metrics", alice).status == 401


def test_tokens_expire(sb, alice):
    short = api(sb, "POST", CLUSTERED, alice, order(expiresAt=in_future(4))).json()
    assert api(sb, "GET", "/health/auth", short["accessToken"]).status == 200
    util.wait_until(lambda: api(sb, "GET", "/health/auth", short["accessToken"]).status == 401, 20, "its end")
    assert next(t for t in sb.state()["tokens"] if t["id"] == short["id"])["state"] == "expired"


# ---------------------------------------------------------------- control and the log


def test_state_and_log_know_everything_but_secrets():
    with Sandbox(interval=0) as one:
        grant = login(one)
        minted = api(one, "POST", DEDICATED, grant["access_token"], order("what for")).json()
        managed = api(one, "POST", MANAGEMENT, grant["access_token"], {"description": "m"}).json()
        api(one, "GET", f"/health/auth?token={minted['accessToken']}", minted["accessToken"])
        newer = refresh(one, grant["refresh_token"]).json()
        waiting = start(one)
        state, log = one.state(), one.log()
        for counters in (state["requests"], state["done"]):
            assert (counters["mint"], counters["mgmt_mint"], counters["device"], counters["probe"]) == (1, 1, 2, 1)
            assert (counters["token_device_code"], counters["token_refresh_token"], counters["list"]) == (1, 1, 0)
        by_id = {t["id"]: t for t in state["tokens"]}
        assert by_id[minted["id"]]["sha256"] == hashlib.sha256(minted["accessToken"].encode()).hexdigest()
        assert by_id[minted["id"]]["kind"] == "database" and by_id[minted["id"]]["description"] == "what for"
        assert by_id[managed["id"]]["kind"] == "management" and by_id[managed["id"]]["state"] == "live"
        assert sorted((t["kind"], t["state"]) for t in state["oauth_tokens"]) == [
            ("access", "live"), ("access", "live"), ("refresh", "live"), ("refresh", "spent")]
        assert state["grants"][0]["user"] == "alice" and state["grants"][0]["state"] == "live"
        assert state["pending"] == [waiting["user_code"]]
        assert [line["endpoint"] for line in log][:4] == ["device", "token_device_code", "mint", "mgmt_mint"]
        assert log[2]["status"] == 200 and log[2]["path"] == DEDICATED and log[2]["method"] == "POST"
        assert f"POST {DEDICATED} 200" in one.output()
        everything = json.dumps([state, log]) + one.output()
        for secret in (grant["access_token"], grant["refresh_token"], grant["id_token"], newer["refresh_token"],
                       minted["accessToken"], managed["token"], waiting["device_code"]):
            assert secret not in everything
        state = one.control("POST", "revoke", {"id": minted["id"]})
        assert state["state"] == "revoked"
        assert api(one, "GET", "/health/auth", minted["accessToken"]).status == 401
        assert one.revoke(one.state()["grants"][0]["id"])["reason"] == "revoked by control"
        assert error(refresh(one, newer["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize("path,body,status", [
    ("approve", {"user_code": "BBBB-BBBB"}, 404), ("approve", {}, 404), ("approve", {"user_code": 7}, 404),
    ("approve", {"user_code": "BBBB-BBBB", "user": "mallory"}, 400), ("deny", {"user_code": "x" * 99}, 404),
    ("revoke", {"id": "nobody"}, 404), ("revoke", {}, 404), ("fault", {}, 400), ("fault", {"name": "no_such"}, 400),
    ("fault", {"name": "delay"}, 400), ("fault", {"name": "delay", "value": "soon"}, 400),
    ("fault", {"name": "delay", "value": -1}, 400), ("fault", {"name": "delay", "value": []}, 400),
    ("fault", {"name": "hang", "value": 3}, 400), ("fault", {"name": "hang", "times": 0}, 400),
    ("fault", {"name": "hang", "path": 3}, 400), ("fault", {"name": "hang", "after": -1}, 400),
    ("fault", {"name": "status", "value": 200}, 400), ("fault", {"name": "status", "value": "503:x"}, 400)])
def test_control_errors(sb, path, body, status):
    with pytest.raises(Refused) as refused:
        sb.control("POST", path, body)
    assert refused.value.status == status and refused.value.message
    assert sb.control("GET", "fault")["faults"] == []


def test_control_is_not_for_web_pages(sb):
    code = start(sb)
    body = json.dumps({"user_code": code["user_code"]})
    foreign = {"Content-Type": "application/json", "Origin": "http://evil.example"}
    for headers in ({"Content-Type": "text/plain"}, foreign, {}):
        assert ask(sb, "POST", "/_sandbox/approve", body, headers).status == 403
    assert ask(sb, "DELETE", "/_sandbox/fault", headers={"Origin": "null"}).status == 403
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1"):
        assert ask(sb, "GET", "/_sandbox/state", headers={"Host": host}).status == 421
    for host in ("localhost", f"localhost:{sb.port}", f"127.0.0.1:{sb.port}"):
        assert ask(sb, "GET", "/_sandbox/state", headers={"Host": host}).status == 200
    assert error(poll(sb, code)) == (400, "authorization_pending")


def test_rotated_keys(sb):
    old = decode(login(sb)["id_token"])
    new = sb.rotate_keys()["keys"]
    assert old[0]["kid"] not in [k["kid"] for k in new]
    head, _, signature, data = decode(login(sb)["id_token"])
    assert rs256_holds(key_of(sb, head["kid"]), data, signature)


# --------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/nowhere", 404), ("GET", "/token", 405), ("DELETE", "/jwks", 405), ("PUT", CLUSTERED, 405),
    ("GET", "/api/v0/accounts//clusters/x/tokens", 404), ("GET", CLUSTERED + "/", 404),
    ("GET", "/api/v0/accounts/a/clusters/b/tokens/c/d", 404), ("GET", "/" + "x" * 4000, 404)])
def test_wrong_paths(sb, method, path, status):
    reply = ask(sb, method, path)
    assert reply.status == status
    assert reply.json()["code"] == status
    assert status != 405 or reply.headers["Allow"]


def test_huge_bodies_and_heads(sb, alice):
    assert api(sb, "POST", CLUSTERED, alice, order("x" * 900_000)).status == 400
    with socket.create_connection(("127.0.0.1", sb.port), 10) as wire:
        wire.sendall(b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n")
        assert b" 413 " in wire.recv(100)
    with socket.create_connection(("127.0.0.1", sb.port), 10) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20000)
        assert b" 400 " in wire.recv(100)
    deep = '{"description":"d","permissions":' + "[" * 100_000
    assert api(sb, "POST", CLUSTERED, alice, deep).status == 400


def test_raw_nonsense(sb):
    for data in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\0" * 100,
                 b"GET /%00%ff?%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                 b"GET /\x80\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", sb.port), 10) as wire:
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
            wire.recv(1000)
    json.dumps(sb.log())
    assert ask(sb, "GET", "/jwks").status == 200


def test_keep_alive(sb):
    connection = http.client.HTTPConnection("127.0.0.1", sb.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/jwks")
        assert connection.getresponse().read()
    wire = connection.sock
    connection.request("POST", "/token", "client_id=x", {"Content-Type": "application/x-www-form-urlencoded"})
    assert connection.getresponse().status == 401 and connection.sock is wire
    connection.close()


# --------------------------------------------------------------------- the program


def run(*args):
    return subprocess.run([module.binary(), *args], capture_output=True, text=True, timeout=20, check=False)


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and "--token-ttl-max" in done.stdout and "late_commit" in done.stdout
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith("tokenbroker-sandbox ")


@pytest.mark.parametrize("args", [
    ["--bind=0.0.0.0"], ["--bind=192.0.2.1"], ["--bind=::"], ["--bind=localhost"], ["--port=70000"], ["--port="],
    ["--port=-1"], ["--interval=x"], ["--no-such"], ["extra"], ["--fault=no_such"], ["--fault=delay=x"],
    ["--fault={"], ["--fault={\"name\":\"delay\"}"], ["--fault=redirect"]])
def test_usage_errors(args):
    done = run(*args)
    assert done.returncode == 2 and done.stderr.startswith("tokenbroker-sandbox: ") or "--no-such" in args
    assert done.returncode == 2 and "READY" not in done.stdout


def test_port_in_use(sb):
    done = run(f"--port={sb.port}")
    assert done.returncode == 1 and "cannot listen" in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
def test_bind(address):
    if ":" in address:
        try:
            socket.socket(socket.AF_INET6).bind((address, 0))
        except OSError:
            pytest.skip("no IPv6 loopback here")
    with Sandbox(f"--bind={address}") as one:
        assert one.issuer == (f"http://[{address}]:{one.port}" if ":" in address else f"http://{address}:{one.port}")
        assert one.state()["issuer"] == one.issuer


def test_quiet_and_faults_from_the_command_line():
    faults = ["no_interval", "expire_code=7", '{"name":"status","value":503,"path":"/jwks","times":1}']
    with Sandbox("--quiet", faults=faults) as one:
        code = start(one)
        assert "interval" not in code and code["expires_in"] == 7
        assert [ask(one, "GET", "/jwks").status for _ in range(2)] == [503, 200]
        assert one.output() == ""
        assert {f["name"] for f in one.state()["faults"]} == {"no_interval", "expire_code"}


def test_same_port_after_restart():
    with Sandbox(interval=0) as one:
        login(one)
        port = one.port
        one.stop()
        one.stop()
        one.start()
        assert one.port == port and one.state()["grants"] == []


def test_stops_with_requests_in_the_air():
    """Replies that hang, that wait, commits to come, peers that are gone: nothing is leaked at the end."""
    with Sandbox(interval=0) as one:
        alice = login(one)["access_token"]
        one.fault("hang", times=2, path="/jwks")
        one.fault("delay", 600, times=1, path="/userinfo")
        one.fault("late_commit", 600, times=1)
        wires = []
        for path in ("/jwks", "/jwks", "/userinfo"):
            wire = socket.create_connection(("127.0.0.1", one.port), 10)
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wires.append(wire)
        with pytest.raises(http.client.HTTPException):
            api(one, "POST", CLUSTERED, alice, order())
        wires.pop(0).close()
        while sum(line["fault"] == "hang" for line in one.log()) < 2:
            time.sleep(0.01)
        one.stop()
        for wire in wires:
            wire.close()


# ------------------------------------------------------------- switches: device grant


def test_fault_slow_down(sb):
    sb.fault("slow_down", 2)
    code = start(sb)
    sb.approve(code["user_code"])
    assert [error(poll(sb, code)) for _ in range(2)] == [(400, "slow_down")] * 2
    assert poll(sb, code).status == 200
    assert sb.state()["codes"][-1]["interval"] == 10


def test_fault_pending(sb):
    sb.fault("pending")
    code = start(sb)
    sb.approve(code["user_code"])
    assert error(poll(sb, code)) == (400, "authorization_pending")
    sb.clear_faults("pending")
    assert poll(sb, code).status == 200


def test_fault_deny(sb):
    sb.fault("deny", times=1)
    code = start(sb)
    assert error(poll(sb, code)) == (400, "access_denied")
    assert error(poll(sb, code)) == (400, "authorization_pending")


def test_fault_expire_code(sb):
    sb.fault("expire_code", 0.3)
    code = start(sb)
    assert code["expires_in"] == 1
    time.sleep(0.35)
    assert error(poll(sb, code)) == (400, "expired_token")
    page = ask(sb, "GET", f"/device?user_code={code['user_code']}")
    assert page.status == 404 and "expired" in page.body.decode()


def test_fault_no_interval(sb):
    sb.fault("no_interval")
    assert "interval" not in start(sb)


# -------------------------------------------------------------------- switches: tokens


def test_fault_no_refresh_token(sb):
    grant = login(sb)
    sb.fault("no_refresh_token", times=2)
    for _ in range(2):
        assert "refresh_token" not in refresh(sb, grant["refresh_token"]).json()
    assert refresh(sb, grant["refresh_token"]).json()["refresh_token"] != grant["refresh_token"]


def test_fault_no_rotation(sb):
    grant = login(sb)
    sb.fault("no_rotation")
    for _ in range(2):
        assert refresh(sb, grant["refresh_token"]).json()["refresh_token"] == grant["refresh_token"]


def test_fault_reuse_grace(sb):
    grant = login(sb)
    sb.fault("reuse_grace", 2)
    assert refresh(sb, grant["refresh_token"]).status == 200
    newer = refresh(sb, grant["refresh_token"]).json()
    assert refresh(sb, newer["refresh_token"]).status == 200
    time.sleep(2.1)
    assert error(refresh(sb, grant["refresh_token"])) == (400, "invalid_grant")


def test_fault_refresh_invalid_grant(sb):
    grant = login(sb)
    sb.fault("refresh_invalid_grant", times=1)
    assert error(refresh(sb, grant["refresh_token"])) == (400, "invalid_grant")
    assert refresh(sb, grant["refresh_token"]).status == 200


def test_fault_refresh_access_ttl(sb):
    sb.fault("refresh_access_ttl", 1)
    grant = login(sb)
    assert grant["expires_in"] == 3600
    newer = refresh(sb, grant["refresh_token"]).json()
    assert newer["expires_in"] == 1
    time.sleep(1.1)
    assert api(sb, "GET", CLUSTERED, newer["access_token"]).status == 401


def test_fault_jwt_access_token(sb):
    sb.fault("jwt_access_token")
    token = login(sb, audience="https://api.example.org/")["access_token"]
    head, claims, signature, data = decode(token)
    assert head["typ"] == "at+jwt" and rs256_holds(key_of(sb, head["kid"]), data, signature)
    assert claims["aud"] == "https://api.example.org/" and claims["client_id"] == "tokenbroker"
    assert api(sb, "GET", CLUSTERED, token).status == 200


def test_fault_expires_in_string(sb):
    sb.fault("expires_in_string")
    code = start(sb)
    assert code["expires_in"] == "600" and code["interval"] == "0"
    sb.approve(code["user_code"])
    assert poll(sb, code).json()["expires_in"] == "3600"


# ------------------------------------------------------------------ switches: id tokens


def test_fault_no_id_token(sb):
    sb.fault("no_id_token")
    assert "id_token" not in login(sb)


def test_fault_es256(sb):
    sb.fault("es256")
    head, _, signature, data = decode(login(sb)["id_token"])
    assert head["alg"] == "ES256" and es256_holds(key_of(sb, head["kid"]), data, signature)


@pytest.mark.parametrize("name", ["bad_signature", "unknown_kid"])
def test_fault_signature(sb, name):
    sb.fault(name)
    head, _, signature, data = decode(login(sb)["id_token"])
    key = ask(sb, "GET", "/jwks").json()["keys"][0]
    assert rs256_holds(key, data, signature) == (name == "unknown_kid")
    assert (head["kid"] == key["kid"]) == (name == "bad_signature")


def test_fault_alg_none(sb):
    sb.fault("alg_none")
    head, claims, signature, _ = decode(login(sb)["id_token"])
    assert head["alg"] == "none" and signature == b"" and claims["sub"]


def test_fault_alg_hs256(sb):
    """Keyed with the PEM text of the public key, which the test builds from the key set."""
    sb.fault("alg_hs256")
    head, _, signature, data = decode(login(sb)["id_token"])
    key = key_of(sb, head["kid"])

    def der(tag, *parts):
        body = b"".join(parts)
        size = len(body)
        length = bytes([size]) if size < 128 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes(
            (size.bit_length() + 7) // 8, "big")
        return bytes([tag]) + length + body

    def integer(n):
        return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))

    rsa = der(0x30, integer(number(key["n"])), integer(number(key["e"])))
    spki = der(0x30, bytes.fromhex("300d06092a864886f70d0101010500"), der(3, b"\0", rsa))
    text = base64.b64encode(spki).decode()
    pem = "-----BEGIN PUBLIC KEY-----\n" + "".join(
        text[i:i + 64] + "\n" for i in range(0, len(text), 64)) + "-----END PUBLIC KEY-----\n"
    assert head["alg"] == "HS256" and signature == hmac.digest(pem.encode(), data, "sha256")


@pytest.mark.parametrize("name,claim,value", [("wrong_aud", "aud", "somebody-else"),
                                              ("wrong_iss", "iss", "https://issuer.example"),
                                              ("other_user_sub", "sub", "sandbox|bob")])
def test_fault_claims(sb, name, claim, value):
    sb.fault(name, times=1)
    grant = login(sb)
    head, claims, signature, data = decode(grant["id_token"])
    assert claims[claim] == value and rs256_holds(key_of(sb, head["kid"]), data, signature)
    assert decode(refresh(sb, grant["refresh_token"]).json()["id_token"])[1][claim] != value


def test_fault_expired_id_token(sb):
    sb.fault("expired_id_token")
    claims = decode(login(sb)["id_token"])[1]
    assert claims["exp"] < time.time() - 3000


# ------------------------------------------------------------------ switches: discovery


def test_fault_discovery_issuer(sb):
    sb.fault("discovery_issuer")
    meta = ask(sb, "GET", "/.well-known/openid-configuration").json()
    assert meta["issuer"] == "https://issuer.example" and meta["token_endpoint"].startswith(sb.issuer)


def test_fault_oauth_issuer(sb):
    config = ask(sb, "GET", "/api/v3/auth/oauth/config").json()
    assert (config["issuer"], config["client_id"]) == (sb.issuer, "tokenbroker")
    sb.fault("oauth_issuer")
    assert ask(sb, "GET", "/api/v3/auth/oauth/config").json()["issuer"] == "https://issuer.example"


def test_fault_foreign_endpoints(sb):
    sb.fault("foreign_endpoints", "http://127.0.0.1:1")
    meta = ask(sb, "GET", "/.well-known/openid-configuration").json()
    assert meta["issuer"] == sb.issuer and meta["token_endpoint"] == "http://127.0.0.1:1/token"


# --------------------------------------------------------------- switches: management


def descriptions(sb, alice):
    return [t["description"] for t in api(sb, "GET", CLUSTERED, alice).json()]


def test_fault_late_commit(sb, alice):
    sb.fault("late_commit", 2, times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        api(sb, "POST", CLUSTERED, alice, order("late one"))
    assert "late one" not in descriptions(sb, alice)
    util.wait_until(lambda: "late one" in descriptions(sb, alice), 20, "the late commit")
    lines = [(line["status"], line["endpoint"]) for line in sb.log() if line["fault"] == "late_commit"]
    assert lines == [(None, "mint"), (200, "mint")]


def test_fault_late_commit_of_a_management_token(sb, alice):
    sb.fault("late_commit", 0, times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        api(sb, "POST", MANAGEMENT, alice, {"description": "late M"})
    util.wait_until(lambda: "late M" in [t["description"] for t in api(sb, "GET", MANAGEMENT, alice).json()], 20,
                    "the late commit")


def test_fault_activation_delay(sb, alice):
    sb.fault("activation_delay", 2)
    token = mint(sb, alice, "read:metrics")
    assert api(sb, "GET", "/health/auth", token["accessToken"]).status == 401
    assert next(t for t in sb.state()["tokens"] if t["id"] == token["id"])["state"] == "pending"
    util.wait_until(lambda: api(sb, "GET", "/health/auth", token["accessToken"]).status == 200, 20, "it is active")


def test_fault_list_lag(sb, alice):
    sb.fault("list_lag", 2)
    api(sb, "POST", CLUSTERED, alice, order("lagging"))
    assert "lagging" not in descriptions(sb, alice)
    util.wait_until(lambda: "lagging" in descriptions(sb, alice), 20, "the list to have it")


def test_fault_hide_revoked(sb, alice):
    token = api(sb, "POST", CLUSTERED, alice, order("hidden")).json()
    api(sb, "DELETE", f"{CLUSTERED}/{token['id']}", alice)
    assert "hidden" in descriptions(sb, alice)
    sb.fault("hide_revoked")
    assert "hidden" not in descriptions(sb, alice)


def test_fault_status_201(sb, alice):
    sb.fault("status_201")
    assert api(sb, "POST", CLUSTERED, alice, order()).status == 201


def test_fault_strict_body(sb, alice):
    assert api(sb, "POST", CLUSTERED, alice, order(expirationType="datetime")).status == 200
    sb.fault("strict_body")
    assert api(sb, "POST", CLUSTERED, alice, order(expirationType="datetime")).status == 400
    assert api(sb, "POST", CLUSTERED, alice, order()).status == 200


def test_fault_mgmt_no_chain(sb, alice):
    token = api(sb, "POST", MANAGEMENT, alice, {"description": "first"}).json()["token"]
    sb.fault("mgmt_no_chain")
    assert api(sb, "POST", MANAGEMENT, token, {"description": "second"}).status == 403
    assert api(sb, "POST", MANAGEMENT, alice, {"description": "third"}).status == 201


def test_fault_influx3_core(sb, alice):
    body = {"token_name": "t1", "expiry_secs": 60, "permissions": [
        {"resource_type": "db", "resource_names": ["m"], "actions": ["read"]}]}
    assert api(sb, "POST", "/api/v3/enterprise/configure/token", alice, body).status == 201
    sb.fault("influx3_core")
    assert api(sb, "POST", "/api/v3/enterprise/configure/token", alice, {**body, "token_name": "t2"}).status == 404
    admin = {"token_name": "t3", "expiry_secs": 60}
    assert api(sb, "POST", "/api/v3/configure/token/named_admin", alice, admin).status == 201
    assert api(sb, "POST", "/api/v3/configure/token/named_admin", alice, admin).status == 409
    rows = api(sb, "GET", "/api/v3/query_sql?db=_internal&format=json&q=SELECT%20name%20FROM%20system.tokens", alice)
    assert [row["name"] for row in rows.json()] == ["_admin", "t1", "t3"]


# ---------------------------------------------------------------------- switches: HTTP


def test_fault_status(sb, alice):
    sb.fault("status", "429:7", path=CLUSTERED, method="POST", times=1)
    assert api(sb, "GET", CLUSTERED, alice).status == 200
    reply = api(sb, "POST", CLUSTERED, alice, order("refused"))
    assert (reply.status, reply.headers["Retry-After"], reply.json()["code"]) == (429, "7", 429)
    assert "refused" not in descriptions(sb, alice)
    sb.fault("status", "503:date+60")
    reply = ask(sb, "POST", "/token", {})
    at = email.utils.parsedate_to_datetime(reply.headers["Retry-After"]).timestamp()
    assert reply.status == 503 and 55 < at - time.time() < 65 and reply.json()["error"] == "server_error"
    sb.fault("status", 500)
    assert ask(sb, "GET", "/jwks").status == 500 and not ask(sb, "GET", "/jwks").headers["Retry-After"]


def test_fault_status_after(sb, alice):
    sb.fault("status_after", times=1)
    assert api(sb, "POST", CLUSTERED, alice, order("done all the same")).status == 500
    assert "done all the same" in descriptions(sb, alice)


def test_fault_html_error(sb, alice):
    sb.fault("html_error", times=1)
    reply = api(sb, "POST", CLUSTERED, alice, order("not done"))
    assert reply.status == 502 and reply.headers["Content-Type"] == "text/html" and b"<html>" in reply.body
    assert "not done" not in descriptions(sb, alice)


def test_fault_empty_400(sb):
    sb.fault("empty_400")
    reply = ask(sb, "POST", "/token", {})
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (400, b"", None)


def test_fault_redirect(sb):
    sb.fault("redirect", "http://127.0.0.1:1/elsewhere")
    reply = ask(sb, "POST", "/token", {})
    assert (reply.status, reply.headers["Location"]) == (307, "http://127.0.0.1:1/elsewhere")


def test_fault_delay(sb):
    sb.fault("delay", 0.5, times=1)
    started = time.monotonic()
    assert ask(sb, "GET", "/jwks").status == 200 and time.monotonic() - started >= 0.5


def test_fault_delay_outlives_its_peer(sb, alice):
    sb.fault("delay", 0.3, times=1)
    with pytest.raises(TimeoutError):
        api(sb, "POST", CLUSTERED, alice, order("nobody waits"), timeout=0.1)
    util.wait_until(lambda: "nobody waits" in descriptions(sb, alice), 20, "what nobody waited for")


def test_fault_hang(sb, alice):
    sb.fault("hang", times=1)
    with pytest.raises(TimeoutError):
        api(sb, "POST", CLUSTERED, alice, order("never"), timeout=0.3)
    assert "never" not in descriptions(sb, alice)
    assert sb.log()[-2]["status"] is None and sb.log()[-2]["fault"] == "hang"


def test_fault_lost_reply(sb, alice):
    sb.fault("lost_reply", times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        api(sb, "POST", CLUSTERED, alice, order("lost"))
    assert "lost" in descriptions(sb, alice)


def test_fault_lost_reply_of_a_refresh(sb):
    grant = login(sb)
    sb.fault("lost_reply", times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        refresh(sb, grant["refresh_token"])
    assert error(refresh(sb, grant["refresh_token"])) == (400, "invalid_grant")


def test_fault_half_body(sb):
    sb.fault("half_body", times=1)
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(sb, "GET", "/jwks")
    assert cut.value.partial and cut.value.expected > 0


def test_fault_half_body_of_nothing(sb, alice):
    token = mint(sb, alice, "read:metrics")
    sb.fault("half_body", times=1, path="/revoke")
    with pytest.raises(http.client.IncompleteRead):
        ask(sb, "POST", "/revoke", {"client_id": "tokenbroker", "token": "x"})
    sb.fault("half_body", times=1)
    assert api(sb, "DELETE", f"{CLUSTERED}/{token['id']}", alice).status == 204


def test_fault_big_body(sb):
    sb.fault("big_body", times=1)
    reply = ask(sb, "GET", "/jwks", timeout=30)
    assert len(reply.body) >= 64 << 20 and reply.body[:12] == b'{"padding":"' and reply.body[-2:] == b'"}'


def test_fault_wrong_content_type(sb):
    sb.fault("wrong_content_type", times=1)
    reply = ask(sb, "GET", "/jwks")
    assert reply.headers.get_all("Content-Type") == ["text/plain"] and reply.json()["keys"]


def test_fault_unknown_fields(sb, alice):
    sb.fault("unknown_fields")
    grant = login(sb)
    assert grant["x_sandbox_text"] and grant["x_sandbox_tree"]["list"] == [1, None, True]
    mint(sb, alice, "read:metrics")
    listed = api(sb, "GET", CLUSTERED, alice).json()
    assert all(t["x_sandbox_text"] and t["permissions"] == [] or t["permissions"][0]["x_sandbox_text"]
               for t in listed)
    sb.clear_faults()
    assert "x_sandbox" not in str(api(sb, "GET", CLUSTERED, alice).json()), "what is kept is not spoilt"
    assert "x_sandbox" not in str(sb.state()) + str(sb.log())


def test_fault_times_after_and_replacement(sb):
    sb.fault("status", 500, times=2, after=1)
    assert [ask(sb, "GET", "/jwks").status for _ in range(4)] == [200, 500, 500, 200]
    sb.fault("status", 500, path="/jwks")
    sb.fault("status", 503, path="/jwks")
    sb.fault("status", 404, path="/userinfo")
    assert ask(sb, "GET", "/jwks").status == 503 and ask(sb, "GET", "/userinfo").status == 404
    assert ask(sb, "GET", "/.well-known/openid-configuration").status == 200
    assert [f["value"] for f in sb.control("GET", "fault")["faults"]] == ["503", "404"]
    assert sb.clear_faults() == []
    assert ask(sb, "GET", "/jwks").status == 200


# ------------------------------------------------------------ token exchange, introspection

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"


def swap(sb, subject, *more, **form):
    return ask(sb, "POST", "/token", [("client_id", "tokenbroker"), ("grant_type", EXCHANGE), ("subject_token", subject),
                                      ("subject_token_type", TYPE + "access_token"), *more, *form.items()])


def introspect(sb, token):
    return ask(sb, "POST", "/introspect", {"client_id": "tokenbroker", "token": token}).json()


def at_audience(sb, name, token):
    return ask(sb, "GET", f"/audience/{name}", headers={"Authorization": f"Bearer {token}"}).status


def test_exchange(sb):
    subject = login(sb)["access_token"]
    got = swap(sb, subject, ("audience", "a"), ("audience", "b"), ("resource", "c"), scope="read")
    assert got.headers["Cache-Control"] == "no-store"
    got = got.json()
    token = got["access_token"]
    assert got["issued_token_type"] == TYPE + "access_token" and got["token_type"] == "Bearer"
    assert got["expires_in"] == 3600 and got["scope"] == "read" and "refresh_token" not in got
    assert [at_audience(sb, name, token) for name in "abcd"] == [200, 200, 200, 401]
    assert at_audience(sb, "a", subject) == 401 and api(sb, "GET", CLUSTERED, token).status == 401
    assert introspect(sb, token) == {"active": True, "token_type": "Bearer", "exp": introspect(sb, token)["exp"],
                                     "aud": ["a", "b", "c"]}
    assert error(swap(sb, token, audience="a")) == (400, "invalid_request"), "no exchange of what was exchanged"
    assert ask(sb, "POST", "/revoke", {"client_id": "tokenbroker", "token": token}).status == 200
    assert introspect(sb, token) == {"active": False} and at_audience(sb, "a", token) == 401
    assert introspect(sb, "unknown") == {"active": False}


@pytest.mark.parametrize("form,want", [
    ({"audience": "unknown-service"}, "invalid_target"), ({"resource": "urn:unknown"}, "invalid_target"),
    ({"scope": "read admin"}, "invalid_scope"), ({"requested_token_type": TYPE + "refresh_token"}, "invalid_request")])
def test_exchange_refusals(sb, form, want):
    assert error(swap(sb, login(sb)["access_token"], **form)) == (400, want)


def test_exchange_of_another_clients_token(sb):
    whose = {"client": "tokenbroker-conf", "client_secret": "sandbox-secret"}
    code = start(sb, **whose)
    sb.approve(code["user_code"])
    assert error(swap(sb, poll(sb, code, **whose).json()["access_token"])) == (400, "invalid_request")
    assert error(swap(sb, "nonsense")) == (400, "invalid_request")


@pytest.mark.parametrize("fault,value,want", [
    ("exchange_off", None, "unsupported_grant_type"), ("exchange_not_allowed", None, "unauthorized_client"),
    ("exchange_ttl", 7, ("expires_in", 7)), ("exchange_no_expiry", None, ("expires_in", None)),
    ("exchange_refresh", None, ("refresh_token", "sandbox-refresh-token-of-an-exchange")),
    ("exchange_type", None, ("issued_token_type", TYPE + "refresh_token")),
    ("exchange_token_type", None, ("token_type", "DPoP"))])
def test_exchange_switches(sb, fault, value, want):
    subject = login(sb)["access_token"]
    sb.fault(fault, value, times=1)
    reply = swap(sb, subject, audience="a")
    if isinstance(want, str):
        assert error(reply) == (400, want)
    else:
        assert reply.json().get(want[0]) == want[1]
    assert swap(sb, subject, audience="a").json()["expires_in"] == 3600


def test_no_revocation_endpoint(sb):
    sb.fault("no_revocation_endpoint", times=1)
    assert "revocation_endpoint" not in ask(sb, "GET", "/.well-known/openid-configuration").json()
    assert "revocation_endpoint" in ask(sb, "GET", "/.well-known/openid-configuration").json()


# ---------------------------------------------------------------- Grafana

TOKENS = "/api/serviceaccounts/2/tokens"


def test_grafana(sb):
    payer = login(sb)["access_token"]
    made = api(sb, "POST", TOKENS, payer, {"name": "one", "secondsToLive": 60}).json()
    assert set(made) == {"id", "name", "key"} and isinstance(made["id"], int) and made["key"].startswith("glsa_")
    assert api(sb, "GET", "/api/search", made["key"]).json() == []
    assert api(sb, "POST", TOKENS, payer, {"name": "one", "secondsToLive": 60}).status == 409
    listed, = [t for t in api(sb, "GET", TOKENS, payer).json() if t["id"] == made["id"]]
    assert listed["name"] == "one" and listed["hasExpired"] is False and 0 < listed["secondsUntilExpiration"] <= 60
    assert "key" not in listed and listed["expiration"] > listed["created"]
    assert api(sb, "DELETE", f"{TOKENS}/{made['id']}", payer).status == 200
    assert api(sb, "DELETE", f"{TOKENS}/{made['id']}", payer).status == 404
    assert all(t["id"] != made["id"] for t in api(sb, "GET", TOKENS, payer).json())
    assert api(sb, "GET", "/api/search", made["key"]).json() == {"message": "Unauthorized"}


@pytest.mark.parametrize("path,body,status", [
    (TOKENS, {"name": "x"}, 400), (TOKENS, {"name": "x", "secondsToLive": -1}, 400),
    (TOKENS, {"name": "x", "secondsToLive": "60"}, 400), (TOKENS, {"secondsToLive": 60}, 400),
    (TOKENS, {"name": "x", "secondsToLive": 10**10}, 400), (TOKENS, {"name": "x" * 191, "secondsToLive": 60}, 500),
    ("/api/serviceaccounts/x/tokens", {"name": "x", "secondsToLive": 60}, 400),
    ("/api/serviceaccounts/3/tokens", {"name": "x", "secondsToLive": 60}, 404)])
def test_grafana_refusals(sb, path, body, status):
    reply = api(sb, "POST", path, login(sb)["access_token"], body)
    assert reply.status == status and set(reply.json()) == {"message"}
    assert api(sb, "POST", path, "nonsense", body).status == 401


# ---------------------------------------------------------------- InfluxDB 3's operator

def test_influxdb3_operator(sb):
    payer = login(sb)["access_token"]
    assert api(sb, "POST", "/api/v3/configure/token/admin", body={"name": "guides say so"}).status == 409
    first = api(sb, "POST", "/api/v3/configure/token/admin/regenerate", payer)
    assert first.status == 201 and first.headers["Content-Type"] == "json"
    first = first.json()
    assert first["name"] == "_admin" and first["expiry"] is None and first["token"].startswith("apiv3_")
    second = api(sb, "POST", "/api/v3/configure/token/admin/regenerate", first["token"]).json()["token"]
    assert api(sb, "GET", "/health", first["token"]).status == 401 and api(sb, "GET", "/health", second).status == 200
    assert api(sb, "DELETE", "/api/v3/configure/token?token_name=_admin", second).status == 405
    names = [row["name"] for row in api(sb, "GET", "/api/v3/query_sql?db=_internal&q=SELECT+FROM+system.tokens", second).json()]
    assert names.count("_admin") == 1


@pytest.mark.parametrize("method,path,body", [
    ("POST", "/api/v3/configure/token/admin", None), ("POST", "/api/v3/configure/token/admin/regenerate", None),
    ("POST", "/api/v3/configure/token/named_admin", {"token_name": "x"}),
    ("POST", "/api/v3/enterprise/configure/token", {"token_name": "x"}),
    ("DELETE", "/api/v3/configure/token?token_name=x", None)])
def test_influxdb3_without_authorization(sb, method, path, body):
    sb.fault("influx3_no_auth", times=1)
    reply = api(sb, method, path, login(sb)["access_token"], body)
    assert reply.status == 405 and b"without auth" in reply.body


# ------------------------------------------------------- switches of every service that makes tokens

MINTS = [(CLUSTERED, {"description": "d"}, "accessToken", None),
         ("/api/v0/management-tokens", {"description": "d"}, "token", CLUSTERED),
         ("/api/v3/configure/token/named_admin", {"token_name": "d"}, "token", "/health"),
         (TOKENS, {"name": "d", "secondsToLive": 600}, "key", "/api/search")]


@pytest.mark.parametrize("path,body,member,works_at", MINTS)
def test_activation_delay_is_for_all(sb, path, body, member, works_at):
    payer = login(sb)["access_token"]
    sb.fault("activation_delay", 600, times=1)
    late = api(sb, "POST", path, payer, {**body, next(iter(body)): "late"}).json()[member]
    soon = api(sb, "POST", path, payer, {**body, next(iter(body)): "soon"}).json()[member]
    if works_at:
        assert api(sb, "GET", works_at, late).status == 401 and api(sb, "GET", works_at, soon).status == 200
    states = {t["description"]: t["state"] for t in sb.state()["tokens"]}
    assert states["late"] == "pending" and states["soon"] == "live"


@pytest.mark.parametrize("made,listed", [
    (TOKENS, TOKENS), ("/api/v3/configure/token/named_admin", "/api/v3/query_sql?db=_internal&q=SELECT+FROM+system.tokens")])
def test_list_lag_is_for_all(sb, made, listed):
    payer = login(sb)["access_token"]
    name = "token_name" if "v3" in made else "name"
    assert api(sb, "POST", made, payer, {name: "lagging", "secondsToLive": 600}).status in (200, 201)
    sb.fault("list_lag", 600, times=1)
    lists = [[t["name"] for t in api(sb, "GET", listed, payer).json()] for _ in range(2)]
    assert "lagging" not in lists[0] and "lagging" in lists[1]


def test_every_switch_has_a_test_here():
    names = re.findall(r"^  ([a-z0-9_]+)(?:\[?=.*)?(?: |$)", run("--help").stdout.partition("Switches")[2], re.M)
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    assert {"slow_down", "discovery_issuer", "redirect", "unknown_fields"} <= set(names)
    assert [name for name in names if f'"{name}"' not in text] == []
