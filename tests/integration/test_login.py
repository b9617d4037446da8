# SPDX-License-Identifier: Apache-2.0
"""Logging in and staying logged in, against two real identity providers.

One suite for both; what differs between them is in providers.DIFFERENCES. The token `access` releases the login's own
access token, so that a release is all it takes to see whether the grant works.
"""

import pytest

import daemon as d
import util

KINDS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt_rs256", "private_key_jwt_es256"]

TOKENS = """\
    [backend self]
    type = oauth
    login = ops
    [token access]
    backend = self
    allow_full_access = yes
    [client root]
    user = root
    tokens = *
    """


def conf(provider, kind="none", secret_dir=None, **more):
    client = provider.clients[kind]
    if "client_secret" in client:
        file = secret_dir / f"secret-{kind}"
        file.write_text(client["client_secret"])
        file.chmod(0o400)
        more["client_secret_file"] = file
    return d.login_conf(provider, kind=kind, **more) + "\n" + "\n".join(x.strip() for x in TOKENS.splitlines())


@pytest.fixture
def start(request):
    """Starts daemons that are ended with the test, and searched for every secret that the provider ever gave out."""
    running = []
    proxies = [p.proxy for p in map(request.node.funcargs.get, ("provider", "oidc_provider")) if p]

    def make(text, **kwargs):
        one = d.Daemon(text, **kwargs)
        running.append(one)
        return one.start()

    yield make
    for one in running:
        one.known.update(*(proxy.secrets for proxy in proxies))
        one.end()


def approve_as(provider, user="alice"):
    return lambda code: provider.approve(code, user)


@pytest.mark.parametrize("kind", KINDS)
def test_login_release_refresh_logout(provider, start, tmp_path, kind):
    """The whole life of a login with each way a client can prove who it is."""
    tb = start(conf(provider, kind, tmp_path))
    news = tb.login("ops", approve_as(provider), expect="email=alice@example.org")
    assert news["state"] == "granted", news
    first = tb.token("access")
    assert first.status == 200, first
    again = tb.token("access")
    assert again.json()["token"] == first.json()["token"]
    assert again.json()["generation"] == first.json()["generation"]
    assert provider.refresh_count() == 0
    rotated = tb.admin.request("tokens/access/rotate", "POST")
    assert rotated.status == 200, rotated
    assert provider.refresh_count() == 1
    second = tb.token("access").json()
    assert second["generation"] > first.json()["generation"]
    assert second["token"] != first.json()["token"]
    assert tb.admin.request("logins/ops", "DELETE").status == 200
    gone = tb.token("access")
    assert gone.status == 503
    assert gone.json()["code"].startswith("human_needed."), gone
    assert gone.json()["login"] == "ops"


def test_explicit_endpoints(provider, start, tmp_path):
    """No discovery document is asked for when the endpoints are configured."""
    tb = start(conf(provider, "none", tmp_path, discovery="no", device_endpoint=provider.device_endpoint,
                    token_endpoint=provider.token_endpoint, revocation_endpoint=provider.revocation_endpoint,
                    jwks_uri=provider.jwks_uri))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    assert tb.token("access").status == 200
    assert not provider.requests("discovery")


def test_mutual_tls(tls_provider, start, tmp_path):
    tb = start(conf(tls_provider, "tls_client_auth", tmp_path))
    assert tb.login("ops", approve_as(tls_provider))["state"] == "granted"
    assert tb.token("access").status == 200
    assert tb.admin.request("tokens/access/rotate", "POST").status == 200


def test_untrusted_certificate_is_refused(tls_provider, start, tmp_path):
    tb = start(conf(tls_provider, "tls_client_auth", tmp_path, ca_file=None))
    news = tb.login("ops", approve_as(tls_provider))
    assert "certificate" in str(news).lower(), news


def test_first_login_asks_and_pins(provider, start, tmp_path):
    """P9: the first account is shown and confirmed, and afterwards only it counts."""
    tb = start(conf(provider, "none", tmp_path))
    refused = tb.login("ops", approve_as(provider), confirm=False)
    assert refused["state"] == "failed", refused
    assert tb.token("access").status == 503
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    status = tb.login_status("ops")
    assert "alice" in status["human"]
    # The same human again: nothing to confirm. Another one: refused, and the old grant lives on.
    assert tb.login("ops", approve_as(provider), confirm=False)["state"] == "granted"
    bob = tb.login("ops", approve_as(provider, "bob"))
    assert bob["state"] == "failed", bob
    assert "alice" in str(bob) and "--repin" in str(bob), bob
    assert tb.token("access").status == 200
    assert "alice" in tb.login_status("ops")["human"]
    # On purpose it works.
    assert tb.login("ops", approve_as(provider, "bob"), repin=True)["state"] == "granted"
    assert "bob" in tb.login_status("ops")["human"]


def test_expectation_that_is_not_met(provider, start, tmp_path):
    tb = start(conf(provider, "none", tmp_path))
    news = tb.login("ops", approve_as(provider, "bob"), expect="email=alice@example.org")
    assert news["state"] == "failed" and "email" in str(news), news
    assert tb.token("access").status == 503


def test_refusal_by_the_human(provider, start, tmp_path):
    if not provider.can_deny:
        # In this provider's words an unknown or used code is access_denied; there is nothing a user could press.
        provider.fail("token", status=400, body={"error": "access_denied"})
        deny = lambda code: None  # noqa: E731
    else:
        deny = provider.deny
    tb = start(conf(provider, "none", tmp_path))
    news = tb.login("ops", deny)
    assert news["state"] == "failed", news
    assert tb.login_status("ops")["state"] == "empty"


def test_pending_and_slow_down_are_obeyed(provider, start, tmp_path):
    """Polls come no faster than the provider asks, and five seconds slower for good after slow_down."""
    provider.fail("token", status=400, body={"error": "slow_down"}, times=1)
    tb = start(conf(provider, "none", tmp_path))
    with tb.admin.session(60) as ask:
        code = ask("logins/ops", "POST", {"expect": "email=alice@example.org"}).json()
        interval = code["interval"]
        polls = lambda: provider.token_requests("device_code")  # noqa: E731
        util.wait_until(lambda: len(polls()) >= 1, 10, "the first poll")
        provider.approve(code["user_code"])
        while True:
            news = ask("logins/ops", headers={"Prefer": "wait=30"}).json()
            if news["state"] != "waiting":
                break
        assert news["state"] == "granted", news
    times = [r.at for r in polls()]
    assert times[1] - times[0] >= interval + 5 - 0.1, times


def test_provider_hiccups_while_polling(provider, start, tmp_path):
    """HTML, 5xx and lost replies do not end a login that a human is about to approve."""
    provider.fail("token", status=502, body="<html>bad gateway</html>", content_type="text/html", times=1)
    tb = start(conf(provider, "none", tmp_path))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"


def test_cancelled_by_hanging_up(provider, start, tmp_path):
    """The attempt belongs to the connection that began it; its code is shown nowhere else."""
    tb = start(conf(provider, "none", tmp_path))
    with tb.admin.session() as ask:
        code = ask("logins/ops", "POST", {}).json()["user_code"]
        assert code not in str(tb.admin.request("status").json())
        other = tb.admin.request("logins/ops", "POST", {})
        assert other.status == 409 or other.status == 400, other
    util.wait_until(lambda: tb.login_status("ops")["state"] == "empty", 20, "the end of the attempt")


def test_one_refresh_for_all(provider, start, tmp_path):
    tb = start(conf(provider, "none", tmp_path))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    tb.token("access")
    threads = [util.Thread(lambda: tb.admin.request("tokens/access/rotate", "POST")) for _ in range(8)]
    for thread in threads:
        thread.join()
    assert provider.refresh_count() == 1
    assert tb.token("access").status == 200


def test_lost_refresh_reply(provider, start, tmp_path):
    """P3: at most one more redemption, then a human, never silence."""
    tb = start(conf(provider, "none", tmp_path))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    tb.token("access")
    provider.fail("token", grant="refresh_token", lost=True, times=1)
    tb.admin.request("tokens/access/rotate", "POST", timeout=60)
    util.wait_until(lambda: provider.refresh_count() == 2, 60, "the recorded retry")
    util.wait_until(lambda: tb.login_status("ops")["state"] == "human_needed", 60, "human_needed")
    assert provider.refresh_count() == 2
    # What was released stays good until its own end (on_grant_loss = serve).
    assert tb.token("access").status == 200
    assert "tokenbrokerctl login ops" in tb.log()


def test_grant_ended_at_the_provider(provider, start, tmp_path):
    tb = start(conf(provider, "none", tmp_path))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    tb.token("access")
    provider.end_login("alice")
    tb.admin.request("tokens/access/rotate", "POST")
    util.wait_until(lambda: tb.login_status("ops")["state"] == "human_needed", 10, "human_needed")
    assert tb.audit("human_needed")
    # A new login ends it.
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    assert tb.admin.request("tokens/access/rotate", "POST").status == 200


def test_provider_away_and_back(provider, start, tmp_path):
    """P5: nothing valid is dropped, nothing storms, and all heals by itself."""
    tb = start(conf(provider, "none", tmp_path))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    value = tb.token("access").json()["token"]
    provider.proxy.down()
    tb.admin.request("tokens/access/rotate", "POST", timeout=60)
    assert tb.token("access").json()["token"] == value
    assert tb.login_status("ops")["state"] != "human_needed"
    provider.proxy.up()

    def renewed():
        tb.admin.request("tokens/access/rotate", "POST", timeout=60)
        return tb.token("access").json()["token"] != value

    util.wait_until(renewed, 60, "the renewal", interval=0.5)


def test_restart_needs_no_login(provider, start, tmp_path):
    tb = start(conf(provider, "none", tmp_path))
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    first = tb.token("access").json()
    before = len(provider.token_requests())
    tb.restart()
    assert tb.token("access").json()["token"] == first["token"]
    tb.kill()
    tb.start()
    assert tb.token("access").json()["token"] == first["token"]
    assert len(provider.token_requests()) == before
    assert tb.admin.request("tokens/access/rotate", "POST").status == 200


def test_edited_issuer_gets_nothing(provider, start, tmp_path):
    """P9: a sealed grant is never sent to another origin."""
    text = conf(provider, "none", tmp_path)
    tb = start(text)
    assert tb.login("ops", approve_as(provider))["state"] == "granted"
    tb.write_conf(text.replace(f"issuer = {provider.issuer}", "issuer = https://evil.example"))
    assert tb.admin.request("reload", "POST").status == 200
    util.wait_until(lambda: tb.login_status("ops")["state"] == "human_needed", 10, "human_needed")


def test_code_that_nobody_approves(provider, start, tmp_path):
    provider.fail("token", status=400, body={"error": "expired_token"}, times=1)
    tb = start(conf(provider, "none", tmp_path))
    news = tb.login("ops", lambda code: None)
    assert news["state"] == "failed", news


def test_new_code_by_html_forms(oidc_provider, start, tmp_path):
    """Once as a person does it, through the provider's own pages."""
    oidc_provider.reset()
    tb = start(conf(oidc_provider, "none", tmp_path))
    assert tb.login("ops", oidc_provider.html_approve)["state"] == "granted"
    assert tb.token("access").status == 200
