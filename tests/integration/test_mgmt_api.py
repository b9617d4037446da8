# SPDX-License-Identifier: Apache-2.0
"""Cloud Dedicated and Clustered at a stand-in that was written from the published description of the Management API, and
knows nothing of the sandbox: both shapes of the path, TLS with an authority of its own and client certificates, tokens
without an end, lists that are cut, revocations by others, and permissions that are changed in place."""

import contextlib
import datetime
import http.server
import json
import re
import ssl
import threading
import uuid

import pytest

import daemon as d
import keys
import util

SHAPES = {
    "dedicated": "/api/v0/accounts/acc/clusters/clu/tokens",
    "clustered": "/api/v0/tokens",
}

HEAD = """\
[backend hand]
type = import
[token boss]
backend = hand
kind = management
allow_full_access = yes
[client root]
user = root
tokens = *
"""


def now(seconds=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + "123Z"


class Api(http.server.BaseHTTPRequestHandler):
    """GET and POST on the collection; GET, PATCH and DELETE on one token. As published: 200 for a mint, 204 for a
    revocation, integer codes in errors, the record of a revoked token stays."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _answer(self, status, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if value is not None:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status, why):
        self._answer(status, {"code": status, "message": why})

    def _any(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.seen.append((self.command, self.path))
        if self.headers.get("Authorization") != "Bearer " + server.payer:
            return self._refuse(401, "unauthorized")
        if self.path != server.collection and not self.path.startswith(server.collection + "/"):
            return self._refuse(404, "no such path")
        if body and self.headers.get("Content-Type") != "application/json":
            return self._refuse(400, "content type")
        body = json.loads(body) if body else None
        one = self.path[len(server.collection) + 1:]
        return getattr(self, "_" + self.command.lower() + ("_one" if one else ""))(body, server.tokens.get(one))

    do_GET = do_POST = do_PATCH = do_DELETE = _any

    def _get(self, _body, _token):
        self._answer(200, [t for t in self.server.tokens.values() if t["id"] not in self.server.cut])

    def _post(self, body, _token):
        if not isinstance(body.get("description"), str) or set(body) - {"description", "permissions", "expiresAt"}:
            return self._refuse(400, "invalid body")
        token = {"id": str(uuid.uuid4()), "description": body["description"], "createdAt": now(),
                 "permissions": body.get("permissions", [])}
        if self.server.expires and "expiresAt" in body:
            token["expiresAt"] = body["expiresAt"]
        self.server.tokens[token["id"]] = token
        value = "apiv1_" + uuid.uuid4().hex + uuid.uuid4().hex
        self.server.values.append(value)
        return self._answer(200, dict(token, accessToken=value))

    def _get_one(self, _body, token):
        return self._answer(200, token) if token else self._refuse(404, "no such token")

    def _patch_one(self, body, token):
        if not token:
            return self._refuse(404, "no such token")
        if not body or set(body) - {"description", "permissions"}:
            return self._refuse(400, "invalid body")
        token.update(body)
        return self._answer(200, token)

    def _delete_one(self, _body, token):
        if not token:
            return self._refuse(404, "no such token")
        token.setdefault("revokedAt", now())
        return self._answer(204)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a handshake that fails is what some tests want


@contextlib.contextmanager
def stand_in(shape, tls=None):
    """tls: "server", or "client" when a client certificate of our authority is wanted as well."""
    server = Server(("127.0.0.1", 0), Api)
    server.collection, server.payer = SHAPES[shape], "M.V1." + uuid.uuid4().hex
    server.tokens, server.values, server.seen, server.cut, server.expires = {}, [], [], set(), True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys.key_dir() / "server.pem", keys.key_dir() / "server.key")
        if tls == "client":
            context.load_verify_locations(keys.key_dir() / "ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def backend(server, shape, more=""):
    ids = "account_id = acc\ncluster_id = clu\n" if shape == "dedicated" else ""
    return f"[backend it]\ntype = influxdb-{shape}\n{ids}base_url = {server.url}\nmanagement_token = boss\n{more}"


def token(more="permissions = read:metrics\n"):
    return f"[token t]\nbackend = it\nlifetime = 1d\n{more}"


@contextlib.contextmanager
def running(server, conf, broker="settle_time = 1s\n"):
    with d.Daemon(HEAD + conf, broker) as tb:
        tb.learn_value(server.payer)
        reply = tb.admin.request("tokens/boss/import", "POST", body={"token": server.payer, "expires_at": now(86400)})
        assert reply.status in (200, 202), reply
        util.wait_until(lambda: tb.token_status("boss")["state"] == "ready", 30)
        yield tb
        for value in server.values:
            tb.learn_value(value)


@pytest.mark.parametrize("shape", SHAPES)
def test_life(shape):
    with stand_in(shape) as server, running(
            server, backend(server, shape, "allow_insecure_loopback = yes\n") + token()) as tb:
        held = tb.token("t").json()
        assert held["token"] == server.values[0]
        assert server.tokens[held["token_id"]]["permissions"] == [{"action": "read", "resource": "metrics"}]
        assert tb.ctl("rotate", "t").returncode == 0
        assert tb.ctl("revoke", "--yes", "t").returncode == 0
        assert all("revokedAt" in t for t in server.tokens.values())
        assert tb.ctl("reconcile", "it").returncode == 0


def test_the_payer_is_refused():
    """Somebody revoked at the service what pays there: everybody who looks is told what to do, and it ends with that."""
    with stand_in("dedicated") as server, running(
            server, backend(server, "dedicated", "allow_insecure_loopback = yes\n") + token()) as tb:
        assert re.search(r"^human needed: in (1d|2.h .*) \(import boss\)$", tb.ctl("status").stdout, re.M)
        server.payer, revoked = "M.V1." + uuid.uuid4().hex, server.payer
        done = tb.ctl("get", "t")
        assert done.returncode == 3 and "tokenbrokerctl import boss" in done.stderr, done.stderr
        screen = tb.ctl("status").stdout
        assert "human needed: now (import boss)" in screen and "run: tokenbrokerctl import boss" in screen, screen
        assert tb.ctl("status", "--check").returncode == 3
        assert "tokenbrokerctl import boss" in tb.ctl("doctor").stdout
        told = tb.ctl("events", "--once", "--after", "0", "--types", "human_needed", "--json", check=0).stdout.splitlines()
        assert [json.loads(e)["subject"] for e in told] == ["token boss"]
        assert revoked not in screen + done.stderr + told[0]
        tb.learn_value(server.payer)
        tb.ctl("import", "boss", "--expires-at", "80d", stdin=server.payer, check=0)
        util.wait_until(lambda: tb.ctl("get", "t").returncode == 0, 60, "a mint with the new one")
        assert tb.ctl("status", "--check").returncode == 0, tb.ctl("status").stdout


def test_no_end_there_is_ended_here():
    with stand_in("clustered") as server:
        server.expires = False
        conf = backend(server, "clustered", "allow_insecure_loopback = yes\n") \
            + "[token t]\nbackend = it\nlifetime = 3s\nrenew_before = 1s\npermissions = read:metrics\n"
        with running(server, conf) as tb:
            held = tb.token("t").json()
            util.wait_until(lambda: "revokedAt" in server.tokens[held["token_id"]], 30)


@pytest.mark.parametrize("how, gone", [("cut", False), ("deleted", True), ("revoked", True)])
def test_not_listed(how, gone):
    with stand_in("dedicated") as server, running(
            server, backend(server, "dedicated", "allow_insecure_loopback = yes\n") + token()) as tb:
        held = tb.token("t").json()
        if how == "cut":
            server.cut.add(held["token_id"])
        elif how == "deleted":
            del server.tokens[held["token_id"]]
        else:
            server.tokens[held["token_id"]]["revokedAt"] = now()
        asked = ("GET", f"{server.collection}/{held['token_id']}")

        def is_judged():
            assert tb.admin.request("reconcile", "POST", {"backend": "it"}).status == 200
            return tb.audit("rejected") if how == "revoked" else asked in server.seen

        util.wait_until(is_judged, 30)
        if how == "deleted":
            util.wait_until(lambda: tb.audit("missing"), 30)
        assert bool(tb.audit("missing") or tb.audit("rejected")) == gone
        if how == "revoked":
            assert tb.token("t").json()["token"] != held["token"]


@pytest.mark.parametrize("shape", SHAPES)
def test_permissions_are_changed_in_place(shape):
    with stand_in(shape) as server:
        front = HEAD + backend(server, shape, "allow_insecure_loopback = yes\n")
        with running(server, front[len(HEAD):] + token()) as tb:
            held = tb.token("t").json()
            tb.write_conf(front + token("permissions = write:logs\non_change = update\n"), "settle_time = 1s\n")
            assert tb.ctl("reload").returncode == 0
            util.wait_until(lambda: server.tokens[held["token_id"]]["permissions"]
                          == [{"action": "write", "resource": "logs"}], 30)
            util.wait_until(lambda: tb.audit("updated"), 30)
            assert tb.token("t").json()["token"] == held["token"]
            assert len(server.values) == 1


# ---------------------------------------------------------------------------------------------------------------- TLS

PAIR = "tls_cert_file = {0}/{1}.pem\ntls_key_file = {0}/{1}.key\n"


@pytest.mark.parametrize("tls, more, works", [
    ("server", "", False),
    ("server", "ca_file = {0}/ca.pem\n", True),
    ("server", "ca_file = {0}/stranger.pem\n", False),
    ("server", "tls_insecure = yes\n", True),
    ("client", "ca_file = {0}/ca.pem\n", False),
    ("client", "ca_file = {0}/ca.pem\n" + PAIR.replace("{1}", "client"), True),
], ids=["nobody vouches", "own authority", "another authority", "insecure", "no certificate", "certificate"])
def test_tls(tls, more, works):
    with stand_in("clustered", tls) as server, running(
            server, backend(server, "clustered", more.format(keys.key_dir())) + token(), "cold_wait = 1s\n") as tb:
        reply = tb.token("t")
        assert (reply.status == 200) == works, reply
        assert bool(server.seen) == works
        insecure = "tls_insecure" in more
        assert tb.admin.request("status").json()["insecure_backends"] == (["it"] if insecure else [])
        said = "certificate is not verified"
        assert (said in tb.ctl("status").stdout) == insecure
        assert (said in tb.ctl("doctor").stdout) == insecure
        if insecure:
            tb.restart()
            assert tb.log().count(said) == 2
            assert tb.ctl("reload").returncode == 0
            assert tb.log().count(said) == 3
        else:
            assert said not in tb.log()
