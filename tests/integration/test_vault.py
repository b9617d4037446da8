# SPDX-License-Identifier: Apache-2.0
"""Readers of Vault on the api door: Debian's python3-hvac over the socket, and byte for byte what others send."""

import contextlib
import os
import subprocess
import urllib.parse

import hvac
import pytest
import requests_unixsocket

import daemon as d
import openapi
import util

CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token telegraf-write]
backend = prod
permissions = read:metrics write:metrics
lifetime = 1h
[token forbidden]
backend = prod
permissions = read:payroll
lifetime = 1h
[client root]
user = root
tokens = telegraf-write
"""
VAULT_TOKEN = "hvs.a-token-that-somebody-has-for-a-real-vault"
SECRET_ID = "a-secret-id-that-somebody-has-for-a-real-vault"


@pytest.fixture
def tb(sandbox):
    with d.Daemon(CONF.format(issuer=sandbox.issuer)) as one:
        # what a client says to a Vault is in no log either
        one.learn_value(VAULT_TOKEN)
        one.learn_value(SECRET_ID)
        news = one.login("ops", sandbox.approve, expect="email=alice@example.org")
        assert news["state"] == "granted", news
        yield one


def look(tb):
    """Remembers the values in an answer and holds it against the document."""
    def hook(response, **_):
        path = urllib.parse.urlsplit(response.request.path_url)
        with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
            data = response.json()["data"]
            tb.learn_value(data.get("data", data)["token"])
        openapi.check(response.request.method, path.path + (f"?{path.query}" if path.query else ""), response.status_code,
                      response.headers, response.content, "api")
    return hook


@contextlib.contextmanager
def hvac_client(tb, **kwargs):
    with requests_unixsocket.Session() as session:
        session.trust_env = False
        session.hooks["response"].append(look(tb))
        address = "http+unix://" + urllib.parse.quote(str(tb.run_dir / "api.sock"), safe="")
        yield hvac.Client(url=address, token=VAULT_TOKEN, session=session, **kwargs)


def ask(tb, request, *fields, body=""):
    """As a client of Vault sends it, with everything that its library adds."""
    method, path = request.split(" ")
    connection = d.UnixConnection(tb.run_dir / "api.sock")
    headers = {"Host": "localhost", "User-Agent": "Go-http-client/1.1", "X-Vault-Request": "true",
               "X-Vault-Token": VAULT_TOKEN, "Accept-Encoding": "gzip", **dict(f.split(": ") for f in fields)}
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    reply = util.Reply(answer.status, answer.headers, answer.read())
    connection.close()
    with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
        data = reply.json()["data"]
        tb.learn_value(data.get("data", data)["token"])
    openapi.check(method, path, reply.status, reply.headers, reply.body, "api")
    return reply


# --------------------------------------------------------------------- hvac


def test_hvac_reads_version_2(tb):
    with hvac_client(tb) as client:
        assert client.is_authenticated()
        secret = client.secrets.kv.v2.read_secret_version("telegraf-write", mount_point="tokenbroker")
        value = tb.token("telegraf-write").json()
        fields = secret["data"]["data"]
        assert {k: fields[k] for k in ("token", "token_type", "expires_at", "generation", "token_id")} == {
            k: value[k] for k in ("token", "token_type", "expires_at", "generation", "token_id")}
        assert secret["data"]["metadata"]["version"] == value["generation"]
        assert 0 < secret["lease_duration"] <= 300
        assert client.secrets.kv.v2.list_secrets("", mount_point="tokenbroker")["data"]["keys"] == ["telegraf-write"]
        about = client.secrets.kv.v2.read_secret_metadata("telegraf-write", mount_point="tokenbroker")["data"]
        assert about["current_version"] == value["generation"]


def test_hvac_reads_version_1_and_by_path(tb):
    with hvac_client(tb, namespace="some/where") as client:
        value = tb.token("telegraf-write").json()["token"]
        assert client.secrets.kv.v1.read_secret("telegraf-write", mount_point="any")["data"]["token"] == value
        assert client.secrets.kv.v1.list_secrets("", mount_point="any")["data"]["keys"] == ["telegraf-write"]
        assert client.read("any/telegraf-write")["data"]["token"] == value


def test_hvac_follows_a_rotation(tb):
    with hvac_client(tb) as client:
        def read():
            return client.secrets.kv.v2.read_secret_version("telegraf-write", mount_point="tokenbroker")["data"]
        before = read()
        tb.ctl("rotate", "telegraf-write", check=0)
        after = read()
        assert after["metadata"]["version"] == before["metadata"]["version"] + 1
        assert after["data"]["token"] != before["data"]["token"]
        # the newest is all there is
        client.secrets.kv.v2.read_secret_version("telegraf-write", version=after["metadata"]["version"])
        with pytest.raises(hvac.exceptions.InvalidPath):
            client.secrets.kv.v2.read_secret_version("telegraf-write", version=before["metadata"]["version"])


def test_hvac_logs_in_with_anything(tb):
    with hvac_client(tb) as client:
        client.auth.approle.login(role_id="x", secret_id=SECRET_ID)
        assert client.token == "tokenbroker"
        client.secrets.kv.v2.read_secret_version("telegraf-write")
        client.auth.token.renew_self()


def test_hvac_understands_refusals(tb):
    with hvac_client(tb) as client:
        texts = set()
        for name in ("forbidden", "nothing"):
            with pytest.raises(hvac.exceptions.Forbidden) as error:
                client.secrets.kv.v2.read_secret_version(name)
            texts.add(str(error.value).replace(name, "NAME"))
        assert len(texts) == 1, texts
        assert "no rule allows you this token" in texts.pop()
        writes = [lambda: client.secrets.kv.v2.create_or_update_secret("telegraf-write", secret={"token": "mine"}),
                  lambda: client.secrets.kv.v2.delete_metadata_and_all_versions("telegraf-write"),
                  lambda: client.secrets.kv.v1.create_or_update_secret("telegraf-write", secret={"token": "mine"}),
                  lambda: client.write("any/telegraf-write", token="mine")]
        for write in writes:
            with pytest.raises(hvac.exceptions.Forbidden):
                write()
        assert client.sys.read_health_status(method="GET")["sealed"] is False
        assert client.sys.is_sealed() is False


def test_hvac_is_told_that_a_human_is_needed(sandbox):
    with d.Daemon(CONF.format(issuer=sandbox.issuer)) as tb, hvac_client(tb) as client:
        with pytest.raises(hvac.exceptions.VaultDown) as error:
            client.secrets.kv.v2.read_secret_version("telegraf-write")
        assert "human_needed.login" in str(error.value)


# ----------------------------------------------------------------- by others


def test_what_telegraf_sends(tb):
    """[[secretstores.vault]] with a token (1.39): one read for every use. With approle (1.37): a login before."""
    login = ask(tb, "PUT /v1/auth/approle/login", body=f'{{"role_id":"r","secret_id":"{SECRET_ID}"}}')
    assert login.json()["auth"]["client_token"] == "tokenbroker"
    assert login.json()["auth"]["lease_duration"] > 3600
    reply = ask(tb, "GET /v1/tokenbroker/data/telegraf-write")
    assert reply.json()["data"]["data"]["token"] == tb.token("telegraf-write").json()["token"]
    reply = ask(tb, "GET /v1/tokenbroker/telegraf-write")
    assert reply.json()["data"]["token"] == tb.token("telegraf-write").json()["token"]


def test_what_consul_template_and_the_vault_command_send(tb):
    mount = ask(tb, "GET /v1/sys/internal/ui/mounts/tokenbroker/telegraf-write").json()["data"]
    assert (mount["path"], mount["type"], mount["options"]) == ("tokenbroker/", "kv", {"version": "2"})
    about = ask(tb, "GET /v1/auth/token/lookup-self").json()["data"]
    # Vault Agent would log in every second for a ttl of 0
    assert about["id"] == "tokenbroker" and about["ttl"] > 3600
    assert ask(tb, "PUT /v1/auth/token/renew-self", body='{"increment":0}').json()["auth"]["renewable"] is False
    assert ask(tb, "GET /v1/tokenbroker/metadata/?list=true").json()["data"]["keys"] == ["telegraf-write"]
    assert ask(tb, "LIST /v1/tokenbroker/metadata/").json()["data"]["keys"] == ["telegraf-write"]
    assert ask(tb, "GET /v1/tokenbroker/data/telegraf-write", "X-Vault-Wrap-TTL: 60").status == 400
    assert ask(tb, "GET /v1/sys/mounts").status == 404
    # vault status
    assert ask(tb, "GET /v1/sys/seal-status").json()["sealed"] is False
    assert ask(tb, "GET /v1/sys/leader").json()["ha_enabled"] is False
    assert ask(tb, "POST /v1/tokenbroker/data/telegraf-write", body="{}").status == 403


def test_is_recorded_as_any_release(tb):
    """The record names the way, and the answer its number."""
    reply = ask(tb, "GET /v1/tokenbroker/data/telegraf-write")
    record = next(r for r in tb.audit("authorised") if r.get("delivery") == "vault")
    assert record["token"] == "telegraf-write"
    assert record["request_id"] == reply.json()["request_id"]
    assert record["generation"] == reply.json()["data"]["metadata"]["version"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_the_vault_token_decides_nothing(tb):
    """The kernel says who asks: the same request of another user is refused, with any token."""
    script = ("import http.client,socket,sys\n"
              "c=http.client.HTTPConnection('localhost')\n"
              "c.sock=socket.socket(socket.AF_UNIX)\n"
              "c.sock.connect(sys.argv[1])\n"
              "c.request('GET','/v1/tokenbroker/data/telegraf-write',headers={'X-Vault-Request':'true','X-Vault-Token':"
              "'root'})\n"
              "print(c.getresponse().status)\n")
    done = subprocess.run(["/usr/bin/python3", "-c", script, tb.run_dir / "api.sock"], capture_output=True, text=True,
                          user=d.NOBODY, group=d.NOBODY, extra_groups=[], timeout=60, check=False)
    assert done.stdout.strip() == "403", done


# ------------------------------------------------------------- a flat object


def test_secrets(tb):
    """For Telegraf's http store; what needs systemd is in test_telegraf.py."""
    value = tb.token("telegraf-write").json()["token"]
    reply = tb.api.request("secrets")
    assert reply.json() == {"telegraf_write": value}
    assert tb.api.request("secrets?tokens=telegraf-write").json() == {"telegraf_write": value}
    for name in ("forbidden", "nothing", "telegraf-write,forbidden"):
        refused = tb.api.request(f"secrets?tokens={name}")
        assert (refused.status, refused.json()["code"]) == (403, "denied.token")
    records = [r for r in tb.audit("authorised") if r.get("delivery") == "secrets"]
    assert [r["token"] for r in records] == ["telegraf-write"] * 2


def test_secrets_wait_for_the_first_value(tb):
    assert list(tb.api.request("secrets").json()) == ["telegraf_write"]


def test_secrets_without_a_value(sandbox):
    with d.Daemon(CONF.format(issuer=sandbox.issuer)) as tb:
        reply = tb.api.request("secrets")
        assert (reply.status, reply.json()["code"]) == (503, "human_needed.login")
