# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves: two real providers, and the proxy in front of them, do what the other tests rely on.

Everything is asked by hand, with none of our own code between, so that a failure elsewhere is a failure of the daemon.
"""

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import uuid

import pytest

import keys
import providers
import util
from faultproxy import DEVICE_GRANT, FaultProxy

SCOPE = "openid api:read api:write"
KINDS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt_rs256", "private_key_jwt_es256"]


class Hand:
    """A client, played by hand."""

    def __init__(self, provider, kind="none", context=None, endpoints=None, **changes):
        self.provider = provider
        self.client = {**provider.clients[kind], **changes}
        self.context = context
        self.endpoints = {"token_endpoint": provider.token_endpoint,
                          "device_authorization_endpoint": provider.device_endpoint,
                          "revocation_endpoint": provider.revocation_endpoint, **(endpoints or {})}

    def post(self, endpoint, *, aud=None, timeout=10, **form):
        url = self.endpoints[endpoint]
        headers = {}
        method, client_id = self.client["method"], self.client["client_id"]
        if method == "client_secret_basic":
            pair = ":".join(urllib.parse.quote_plus(part) for part in (client_id, self.client["client_secret"]))
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_id"] = client_id
        if method == "client_secret_post":
            form["client_secret"] = self.client["client_secret"]
        if method == "private_key_jwt":
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form["client_assertion"] = keys.sign_jwt(
                self.client["key_file"], self.client["alg"], kid=self.client["kid"],
                claims={"iss": client_id, "sub": client_id, "aud": aud or url, "jti": str(uuid.uuid4()),
                        "iat": int(time.time()), "exp": int(time.time()) + 60})
        return util.http_request(url, form=form, headers=headers, context=self.context, timeout=timeout)

    def device(self, **form):
        return self.post("device_authorization_endpoint", **{"scope": SCOPE, **form})

    def poll(self, device, **how):
        return self.post("token_endpoint", grant_type=DEVICE_GRANT, device_code=device["device_code"], **how)

    def refresh(self, refresh_token, **how):
        return self.post("token_endpoint", grant_type="refresh_token", refresh_token=refresh_token, **how)

    def revoke(self, token):
        return self.post("revocation_endpoint", token=token)

    def login(self, user="alice", **form):
        device = good(self.device(**form))
        self.provider.approve(device["user_code"], user)
        return good(self.poll(device))


def good(reply):
    assert reply.status == 200, reply
    return reply.json()


def error_of(reply):
    assert reply.status in (400, 401, 403), reply
    return reply.json()["error"]


def is_refused_refresh(provider, reply):
    assert reply.status == 400, reply
    if provider.differences["empty_400_on_refresh"]:
        return reply.body == b"" and "Content-Type" not in reply.headers
    return reply.json()["error"] == "invalid_grant"


# -- the flow ----------------------------------------------------------------------------------------------------------

def test_device_flow_from_code_to_revocation(provider):
    hand = Hand(provider)
    device = good(hand.device(resource=provider.resource))
    assert device["verification_uri"].startswith(provider.base_url)
    assert device["user_code"] in device["verification_uri_complete"]
    assert device["expires_in"] == provider.device_expiry
    assert device["interval"] == provider.interval

    assert error_of(hand.poll(device)) == "authorization_pending"
    provider.approve(device["user_code"])
    tokens = good(hand.poll(device))
    assert tokens["token_type"].lower() == "bearer"
    assert tokens["expires_in"] == provider.access_ttl
    assert set(tokens["scope"].split()) >= set(provider.scopes)
    access, identity = keys.jwt_claims(tokens["access_token"]), keys.jwt_claims(tokens["id_token"])
    assert keys.jwt_header(tokens["access_token"])["typ"] == "at+jwt"
    assert access["aud"] == provider.resource
    assert (identity["iss"], identity["aud"], identity["email"]) == (provider.issuer, "cli-public", "alice@example.org")
    assert identity["sub"] == access["sub"]

    second = good(hand.refresh(tokens["refresh_token"]))
    assert second["refresh_token"] != tokens["refresh_token"]
    assert second["access_token"] != tokens["access_token"]
    third = good(hand.refresh(second["refresh_token"]))
    assert is_refused_refresh(provider, hand.refresh(second["refresh_token"]))
    # Whoever shows an old token has stolen it, or was stolen from: the chain ends.
    assert is_refused_refresh(provider, hand.refresh(third["refresh_token"]))


def test_discovery_and_keys(provider):
    known = good(util.http_request(provider.discovery_url))
    assert known["issuer"] == provider.issuer
    for url in (provider.token_endpoint, provider.device_endpoint, provider.jwks_uri, provider.revocation_endpoint):
        assert url.startswith(provider.base_url + "/")
    tokens = Hand(provider).login()
    kids = {key["kid"] for key in good(util.http_request(provider.jwks_uri))["keys"]}
    assert keys.jwt_header(tokens["id_token"])["kid"] in kids
    assert not any("d" in key for key in good(util.http_request(provider.jwks_uri))["keys"])


def test_polling_too_fast_is_told(provider):
    hand = Hand(provider)
    device = good(hand.device())
    # Glewlwyd counts whole seconds, so the second poll alone may be a lucky one.
    answers = [error_of(hand.poll(device)) for _ in range(3)]
    assert answers[0] == "authorization_pending" and "slow_down" in answers, answers
    provider.approve(device["user_code"])
    good(hand.poll(device))


def test_a_human_refuses(provider):
    hand = Hand(provider)
    device = good(hand.device())
    if provider.can_deny:
        provider.deny(device["user_code"])
        assert error_of(hand.poll(device)) == "access_denied"
    else:
        with pytest.raises(NotImplementedError):
            provider.deny(device["user_code"])


def test_approval_like_a_browser(provider):
    hand = Hand(provider)
    device = good(hand.device(resource=provider.resource))
    provider.html_approve(device["user_code"], user="bob")
    assert keys.jwt_claims(good(hand.poll(device))["id_token"])["email"] == "bob@example.org"


@pytest.mark.parametrize("page", ["confirm", "login", "consent"])
def test_refusal_like_a_browser(oidc_provider, page):
    hand = Hand(oidc_provider)
    device = good(hand.device())
    oidc_provider.html_deny(device["user_code"], at=page)
    assert error_of(hand.poll(device)) == "access_denied"


def test_an_unknown_code_cannot_be_approved(provider):
    with pytest.raises(RuntimeError):
        provider.approve("ABCD-EFGH")


def test_two_humans_are_two_accounts(provider):
    subjects = {}
    for user in provider.users:
        claims = keys.jwt_claims(Hand(provider).login(user)["id_token"])
        assert claims["email"] == f"{user}@example.org"
        assert keys.jwt_claims(Hand(provider).login(user)["id_token"])["sub"] == claims["sub"]
        subjects[user] = claims["sub"]
    assert len(set(subjects.values())) == len(provider.users) == 2


def test_end_login_is_for_one_human_only(provider):
    hand = Hand(provider)
    alice, bob = hand.login("alice"), hand.login("bob")
    provider.end_login("alice")
    assert is_refused_refresh(provider, hand.refresh(alice["refresh_token"]))
    good(hand.refresh(bob["refresh_token"]))
    good(hand.refresh(hand.login("alice")["refresh_token"]))


def test_revocation(provider):
    hand = Hand(provider, "client_secret_basic")
    tokens = hand.login(resource=provider.resource)
    reply = hand.revoke(tokens["access_token"])
    if provider.differences["unsupported_token_type_on_access_revoke"]:
        assert error_of(reply) == "unsupported_token_type"
    else:
        assert reply.status == 200
    assert hand.revoke(tokens["refresh_token"]).status == 200
    assert is_refused_refresh(provider, hand.refresh(tokens["refresh_token"]))

    public = Hand(provider)
    tokens = public.login()
    reply = public.revoke(tokens["refresh_token"])
    assert (reply.status == 200) == provider.differences["public_clients_can_revoke"], reply
    if reply.status == 200:
        assert is_refused_refresh(provider, public.refresh(tokens["refresh_token"]))
    else:
        good(public.refresh(tokens["refresh_token"]))


# -- who the client is -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_client_authentication(provider, kind):
    hand = Hand(provider, kind)
    tokens = hand.login()
    tokens = good(hand.refresh(tokens["refresh_token"]))
    device = good(hand.device())

    method = hand.client["method"]
    wrong = Hand(provider, kind, **{
        "none": {"client_id": "nobody"},
        # A key of the right type, but the provider's instead of the client's.
        "private_key_jwt": {"key_file": keys.key_dir() / f"provider-{hand.client.get('alg')}.pem"},
    }.get(method, {"client_secret": "wrong"}))
    differences = provider.differences
    status = differences["bad_assertion_status" if method == "private_key_jwt" else "bad_client_status"]
    reply = wrong.device()
    assert (reply.status, reply.json()["error"]) == (status, differences["bad_client_error"])
    assert wrong.poll(device).status == differences["bad_client_status"]

    reply = wrong.refresh(tokens["refresh_token"])
    if differences["bad_client_kills_refresh_token"] and method != "private_key_jwt":
        assert is_refused_refresh(provider, reply)
        assert is_refused_refresh(provider, hand.refresh(tokens["refresh_token"]))
    else:
        assert reply.status == differences["bad_client_status"]
        good(hand.refresh(tokens["refresh_token"]))


def test_secret_with_odd_characters(provider):
    hand = Hand(provider, "client_secret_basic_odd")
    reply = hand.device()
    assert (reply.status == 200) == provider.differences["decodes_basic_secret"], reply
    client_id, secret = hand.client["client_id"], hand.client["client_secret"]
    plain = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    reply = util.http_request(provider.device_endpoint, form={"scope": SCOPE},
                              headers={"Authorization": f"Basic {plain}"})
    assert (reply.status == 200) != provider.differences["decodes_basic_secret"], reply


def test_audience_of_an_assertion(provider):
    hand = Hand(provider, "private_key_jwt_es256")
    good(hand.device())
    reply = hand.device(aud=provider.issuer)
    assert (reply.status != 200) == provider.differences["assertion_aud_exact_endpoint"], reply


def test_mutual_tls(tls_provider):
    context = util.tls_context(tls_provider.ca_file, tls_provider.client_cert, tls_provider.client_key)
    stranger = util.tls_context(tls_provider.ca_file, tls_provider.stranger_cert, tls_provider.stranger_key)
    nobody = util.tls_context(tls_provider.ca_file)
    assert bool(tls_provider.mtls_endpoints) == tls_provider.differences["mtls_aliases"]

    hand = Hand(tls_provider, "tls_client_auth", context, tls_provider.mtls_endpoints)
    tokens = hand.login(resource=tls_provider.resource)
    assert "x5t#S256" in keys.jwt_claims(tokens["access_token"])["cnf"]
    hand.context = stranger
    assert hand.device().status == tls_provider.differences["bad_assertion_status"]
    assert hand.refresh(tokens["refresh_token"]).status == tls_provider.differences["bad_client_status"]
    hand.context = context
    tokens = good(hand.refresh(tokens["refresh_token"]))
    hand.context = nobody
    assert hand.device().status == tls_provider.differences["bad_client_status"]
    assert hand.refresh(tokens["refresh_token"]).status in (400, 401)


def test_https_without_client_certificate(tls_provider):
    assert tls_provider.issuer.startswith("https://")
    Hand(tls_provider, "none", util.tls_context(tls_provider.ca_file)).login()
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        util.http_request(tls_provider.discovery_url)


# -- settings and time -------------------------------------------------------------------------------------------------

@pytest.fixture(params=sorted(providers.ALL))
def provider_class(request):
    cls = providers.ALL[request.param]
    skip_if(cls.skip_reason())
    return cls


def skip_if(reason):
    if reason:
        pytest.skip(reason)


def test_time_passes_at_command(provider_class):
    skip_if(provider_class.skip_reason(movable_clock=True))
    with provider_class(movable_clock=True) as provider:
        hand = Hand(provider)
        device = good(hand.device())
        provider.clock(provider.device_expiry + 10)
        assert error_of(hand.poll(device)) == "expired_token"
        provider.clock(0)
        tokens = hand.login()
        provider.clock(provider.refresh_ttl - 60)
        tokens = good(hand.refresh(tokens["refresh_token"]))
        # A month and more later even the browser's session is over.
        provider.clock(3 * provider.refresh_ttl)
        assert is_refused_refresh(provider, hand.refresh(tokens["refresh_token"]))
        hand.login()


def test_settings(provider_class):
    with provider_class(interval=7, device_expiry=33, access_ttl=44, rotate=False) as provider:
        hand = Hand(provider)
        device = good(hand.device(resource=provider.resource))
        assert (device["interval"], device["expires_in"]) == (7, 33)
        provider.approve(device["user_code"])
        tokens = good(hand.poll(device))
        assert tokens["expires_in"] == 44
        for _ in range(2):
            again = good(hand.refresh(tokens["refresh_token"]))
            assert again.get("refresh_token", tokens["refresh_token"]) == tokens["refresh_token"]


def test_without_a_proxy(provider_class):
    with provider_class(behind_proxy=False) as provider:
        Hand(provider).login()
        with pytest.raises(RuntimeError, match="without its proxy"):
            provider.token_requests()


def test_an_interval_that_is_not_said():
    skip_if(providers.OidcProvider.skip_reason())
    with providers.OidcProvider(interval=None) as provider:
        hand = Hand(provider)
        device = good(hand.device())
        assert "interval" not in device and not provider.differences["has_interval"]
        assert {error_of(hand.poll(device)) for _ in range(3)} == {"authorization_pending"}


def test_two_at_a_time_do_not_disturb_each_other(provider_class):
    with provider_class() as one, provider_class() as other:
        assert one.issuer != other.issuer
        tokens = Hand(one).login()
        assert is_refused_refresh(other, Hand(other).refresh(tokens["refresh_token"]))
        pid = one.process.pid
        other.stop()
        good(Hand(one).refresh(tokens["refresh_token"]))
        assert one.process.pid == pid and one.process.poll() is None
        assert one.directory.is_dir() and not other.directory.exists()


# -- the proxy ---------------------------------------------------------------------------------------------------------

def test_requests_are_counted_and_no_secret_is_kept(provider):
    hand = Hand(provider, "client_secret_post")
    device = good(hand.device())
    hand.poll(device)
    provider.approve(device["user_code"])
    tokens = good(hand.poll(device))
    good(hand.refresh(tokens["refresh_token"]))
    assert len(provider.requests("device")) == 1
    assert len(provider.token_requests("device_code")) == 2
    assert provider.refresh_count() == 1
    assert [r.status for r in provider.token_requests()] == [400, 200, 200]
    remembered = repr(provider.proxy.requests)
    for secret in (device["device_code"], device["user_code"], tokens["refresh_token"],
                   hand.client["client_secret"], urllib.parse.quote_plus(hand.client["client_secret"])):
        assert secret not in remembered


def test_error_answers(provider):
    hand = Hand(provider)
    tokens = hand.login()
    fault = provider.fail("token", status=429, headers={"Retry-After": "7"}, body={"error": "x"}, times=2)
    for _ in range(2):
        reply = hand.refresh(tokens["refresh_token"])
        assert (reply.status, reply.headers["Retry-After"], reply.json()) == (429, "7", {"error": "x"})
    assert fault.hits == 2
    provider.proxy.html_error(provider.path("token"), status=503)
    reply = hand.refresh(tokens["refresh_token"])
    assert reply.status == 503 and reply.headers.get_content_type() == "text/html" and b"<html>" in reply.body
    provider.proxy.redirect(provider.path("token"), "http://127.0.0.1:1/elsewhere")
    reply = hand.refresh(tokens["refresh_token"])
    assert (reply.status, reply.headers["Location"]) == (302, "http://127.0.0.1:1/elsewhere")
    # None of these reached the server: the token is as good as it was.
    assert not any(r.reached_upstream for r in provider.token_requests("refresh_token"))
    good(hand.refresh(tokens["refresh_token"]))


def test_faults_choose_their_requests(provider):
    hand = Hand(provider)
    provider.fail("token", grant="refresh_token", status=500, times=None)
    provider.fail("device", after=1, status=418)
    tokens = hand.login()
    assert hand.device().status == 418
    for _ in range(3):
        assert hand.refresh(tokens["refresh_token"]).status == 500
    provider.proxy.clear()
    good(hand.refresh(tokens["refresh_token"]))


def test_a_lost_reply_was_processed(provider):
    hand = Hand(provider)
    tokens = hand.login()
    provider.fail("token", lost=True)
    with pytest.raises((http.client.RemoteDisconnected, urllib.error.URLError)):
        hand.refresh(tokens["refresh_token"])
    request, = provider.token_requests("refresh_token")
    assert (request.status, request.reached_upstream, request.fault) == (200, True, "lost")
    assert is_refused_refresh(provider, hand.refresh(tokens["refresh_token"]))


def test_damaged_answers(provider):
    hand = Hand(provider)
    provider.fail("discovery", content_type="text/plain")
    reply = util.http_request(provider.discovery_url)
    assert reply.headers.get_content_type() == "text/plain" and reply.json()["issuer"] == provider.issuer

    provider.fail("discovery", edit=lambda body: json.dumps({**json.loads(body), "issuer": "http://evil"}).encode())
    assert util.http_request(provider.discovery_url).json()["issuer"] == "http://evil"

    provider.fail("discovery", cut=10)
    with pytest.raises(http.client.IncompleteRead) as cut:
        util.http_request(provider.discovery_url)
    assert len(cut.value.partial) == 10

    provider.fail("discovery", cut=10, reset=True)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        util.http_request(provider.discovery_url)

    provider.fail("device", delay=0.3)
    started = time.monotonic()
    good(hand.device())
    assert time.monotonic() - started >= 0.3

    provider.fail("device", status=200, body={"slow": 1}, drip=0.02)
    started = time.monotonic()
    assert good(hand.device()) == {"slow": 1}
    assert time.monotonic() - started >= 0.02 * len('{"slow": 1}')

    provider.fail("jwks", big=64 << 20)
    reply = util.http_request(provider.jwks_uri, timeout=30)
    assert len(reply.body) == 64 << 20 and reply.body.endswith(b'x"}')


def test_no_answer_at_all(provider):
    hand = Hand(provider)
    provider.fail("token", hang=True)
    with pytest.raises(TimeoutError):
        hand.refresh("any", timeout=0.3)

    provider.fail("token", hang=True)
    ended = []

    def wait():
        try:
            hand.refresh("any", timeout=20)
        except OSError as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    util.wait_until(lambda: provider.refresh_count() == 2)
    provider.proxy.clear()
    waiting.join(5)
    assert len(ended) == 1 and not isinstance(ended[0], TimeoutError)


def test_down_and_up_again(provider):
    hand = Hand(provider)
    tokens = hand.login()
    port = provider.proxy.port
    idle = http.client.HTTPConnection("127.0.0.1", port)
    idle.request("GET", "/")
    idle.getresponse().read()
    provider.proxy.down()
    assert idle.sock.recv(1) == b""
    idle.close()
    for _ in range(2):
        with pytest.raises(urllib.error.URLError, match="refused"):
            hand.refresh(tokens["refresh_token"])
    provider.proxy.up()
    assert provider.proxy.port == port
    good(hand.refresh(tokens["refresh_token"]))


def test_connections_are_kept_open(provider):
    conn = http.client.HTTPConnection("127.0.0.1", provider.proxy.port)
    path = urllib.parse.urlsplit(provider.discovery_url).path
    for method in ("GET", "HEAD", "GET"):
        conn.request(method, path)
        # Glewlwyd knows no HEAD and says 404, which is an answer, too.
        answer = conn.getresponse()
        assert bool(answer.read()) == (method == "GET")
    conn.close()
    assert len({r.connection for r in provider.proxy.requests}) == 1


def test_a_dead_server_is_a_502():
    with FaultProxy(util.free_port()) as proxy:
        assert util.http_request(proxy.address + "/").status == 502
        assert proxy.count("/") == 1


# -- the hooks of our oidc-provider script -----------------------------------------------------------------------------

def test_hooks_of_the_server_script(oidc_provider):
    oidc_provider.reset()
    hand = Hand(oidc_provider)
    tokens = hand.login()
    hook = oidc_provider._hook
    hook("fail", path="/token", status=503, times=2, retry_after=9, body="html")
    for _ in range(2):
        reply = hand.refresh(tokens["refresh_token"])
        assert (reply.status, reply.headers["Retry-After"]) == (503, "9")
        assert reply.headers.get_content_type() == "text/html"
    hook("fail", path="/token", hang=1)
    with pytest.raises(TimeoutError):
        hand.refresh(tokens["refresh_token"], timeout=0.3)
    hook("fail", path="/token", drop=1)
    assert hand.refresh(tokens["refresh_token"]).status == 502
    assert is_refused_refresh(oidc_provider, hand.refresh(tokens["refresh_token"]))

    log = [entry for entry in oidc_provider.server_log() if entry["path"] == "/token"]
    assert [entry.get("grant_type") for entry in log] == [DEVICE_GRANT] + 5 * ["refresh_token"]
    assert [entry.get("fault") for entry in log] == [None, "status", "status", "hang", "drop", None]
    assert set().union(*log) <= {"method", "path", "grant_type", "status", "fault"}
    oidc_provider.reset()
