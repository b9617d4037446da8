# SPDX-License-Identifier: Apache-2.0
"""The real tokenbrokerd in a directory of its own, and both of its doors.

Binaries come from $TB_BUILDDIR. Everything the daemon and the command line print is kept; end() looks for every secret
that was ever known to the test in all of it (the canary search), after making sure that the search would find one.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap

import openapi
import util

BUILD = pathlib.Path(os.environ.get("TB_BUILDDIR", "build/check"))
NOBODY = 65534


def program(name):
    path = (BUILD / name).resolve()
    assert path.exists(), f"{path} is not built"
    return str(path)


# A login at the sandbox, for str.format(issuer=...).
SANDBOX_LOGIN = """\
[login ops]
issuer = {issuer}
client_id = tokenbroker
scopes = openid offline_access
allow_insecure_loopback = yes
"""
# Behind it: a service with a probe, which is the sandbox as well.
SANDBOX_BACKEND = """\
[backend prod]
type = influxdb-dedicated
login = ops
base_url = {issuer}
account_id = acc
cluster_id = clu
probe_url = {issuer}/health/auth
allow_insecure_loopback = yes
"""


class UnixConnection(http.client.HTTPConnection):
    """Python's own HTTP client, told where to connect."""

    def __init__(self, path, timeout=30.0):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Door:
    """One of the sockets. request() uses a connection of its own; session() keeps one open."""

    def __init__(self, daemon, path):
        self.daemon = daemon
        self.path = path

    @contextlib.contextmanager
    def session(self, timeout=30.0):
        connection = UnixConnection(self.path, timeout)
        try:
            yield lambda *args, **kwargs: self._ask(connection, *args, **kwargs)
        finally:
            connection.close()

    def _ask(self, connection, *args, **kwargs):
        return self._send(connection, *args, **kwargs)()

    def _send(self, connection, target, method="GET", body=None, headers=None):
        """Returns what waits for the answer."""
        send = {"X-Tokenbroker": "1", **(headers or {})}
        if body is not None:
            send["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        connection.request(method, "/api/v1/" + target, body, {k: v for k, v in send.items() if v is not None})

        def answer():
            got = connection.getresponse()
            reply = util.Reply(got.status, got.headers, got.read())
            self.daemon.learn(reply)
            openapi.check(method, "/api/v1/" + target, reply.status, reply.headers, reply.body, self.path.stem)
            return reply
        return answer

    @contextlib.contextmanager
    def asking(self, *args, timeout=60.0, **kwargs):
        """The daemon has read a request; what is given waits for the answer."""
        connection = UnixConnection(self.path, timeout)
        try:
            answer = self._send(connection, *args, **kwargs)
            util.wait_until(lambda: not util.unread(connection.sock), timeout, "the daemon to read the request")
            yield answer
        finally:
            connection.close()

    def request(self, *args, timeout=30.0, **kwargs):
        with self.session(timeout) as ask:
            return ask(*args, **kwargs)


class Daemon:
    """start(), stop(), kill(), restart(); conf is the configuration after [broker], which is made here."""

    def __init__(self, conf, broker="", wrap=()):
        self.wrap = list(wrap)  # what the daemon is started by
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tbd-"))
        self.dir.chmod(0o755)  # other users connect, too
        self.run_dir = self.dir / "run"
        self.run_dir.mkdir(mode=0o755)
        self.state_dir = self.dir / "state"
        self.log_dir = self.dir / "log"
        self.log_file = self.dir / "daemon.log"
        self.ctl_file = self.dir / "ctl.log"
        self.conf_file = self.dir / "tokenbroker.conf"
        self.key_file = self.dir / "master.key"
        self.known = set()
        self.process = None
        self.api = Door(self, self.run_dir / "api.sock")
        self.admin = Door(self, self.run_dir / "admin.sock")
        self.credential_socket = str(self.run_dir / "credential.sock")
        self.key_file.write_text(secrets.token_hex(32) + "\n")
        self.key_file.chmod(0o400)
        self.write_conf(conf, broker)

    # ------------------------------------------------------------ the process

    def write_conf(self, conf, broker=""):
        self.conf_file.write_text(textwrap.dedent(f"""\
            [broker]
            state_dir = {self.state_dir}
            run_dir = {self.run_dir}
            log_dir = {self.log_dir}
            admin_group = root
            auditor_group = root
            master_key_file = {self.key_file}
            log_level = debug
            """) + textwrap.dedent(broker) + "\n" + textwrap.dedent(conf))
        self.conf_file.chmod(0o644)

    def start(self, wait=True, env=None):
        self.process = util.spawn([*self.wrap, program("tokenbrokerd"), "-c", self.conf_file], log=self.log_file, env=env)
        if wait:
            util.wait_until(lambda: self.is_up() or self.process.poll() is not None, 20, "the daemon's doors")
            assert self.process.poll() is None, f"the daemon ended: {self.log()[-3000:]}"
        return self

    def is_up(self):
        try:
            return self.admin.request("health", timeout=2).status in (200, 503)
        except OSError:
            return False

    def stop(self):
        status = util.end_process(self.process, signal.SIGTERM, 20)
        assert status == 0, f"exit status {status}: {self.log()[-3000:]}"

    def kill(self):
        util.end_process(self.process, signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()

    def end(self):
        """Stops, searches for secrets, and removes everything."""
        try:
            if self.process and self.process.poll() is None:
                self.stop()
            self.verify_audit()
            self.search_for_secrets()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if exc[0] is None:
            self.end()
            return
        print(self.log()[-6000:])
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ----------------------------------------------------------- what it said

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def audit(self, event=None):
        file = self.log_dir / "audit.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        records = [json.loads(line) for line in lines]
        return [r for r in records if event in (None, r["event"])]

    def learn(self, reply):
        """Remembers the secrets in an answer, for the canary search."""
        with contextlib.suppress(ValueError, AttributeError):
            value = reply.json().get("token")
            if isinstance(value, str):
                self.known.add(value)

    def learn_value(self, value):
        self.known.add(value)

    def verify_audit(self):
        """Whatever a test has put it through, the log is one that the verifier has nothing against."""
        if not (self.log_dir / "audit.jsonl").exists():
            return
        done = subprocess.run([program("tokenbroker-audit"), "verify", "--log-dir", self.log_dir], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode in (0, 3), (done.returncode, done.stdout, done.stderr)  # 3: never signed

    def search_for_secrets(self):
        files = [p for p in self.dir.rglob("*") if p.is_file() and p not in (self.conf_file, self.key_file)]
        canary = secrets.token_hex(24)
        with open(self.ctl_file, "a", encoding="utf-8") as log:
            log.write(canary + "\n")
        if self.ctl_file not in files:
            files.append(self.ctl_file)
        texts = {p: p.read_bytes() for p in files}
        assert any(canary.encode() in text for text in texts.values()), "the search itself is broken"
        known = self.known | {self.key_file.read_text().strip()}
        for path, text in texts.items():
            for value in known:
                assert len(value) < 8 or value.encode() not in text, f"a secret stands in {path.name}"

    # ------------------------------------------------------------ command line

    def ctl(self, *args, stdin=None, check=None, env=None, user=None, timeout=60):
        """Runs tokenbrokerctl. Its standard error is kept and searched; its output is the caller's."""
        done = subprocess.run([program("tokenbrokerctl"), *map(str, args)], input=stdin, capture_output=True, text=True,
                              env={**os.environ, "TOKENBROKER_RUN_DIR": str(self.run_dir), "NO_COLOR": "1",
                                   **(env or {})}, timeout=timeout, check=False, user=user,
                              group=user, extra_groups=[] if user is not None else None)
        with open(self.ctl_file, "a", encoding="utf-8") as log:
            log.write(done.stderr)
        if check is not None:
            assert done.returncode == check, (done.returncode, done.stdout, done.stderr)
        return done

    # ---------------------------------------------------------------- shortcuts

    def login(self, name, approve, expect=None, repin=False, confirm=True):
        """A whole login over the admin door; approve(user_code) plays the human. Returns the last state."""
        with self.admin.session(60) as ask:
            body = {"repin": repin, **({"expect": expect} if expect else {})}
            reply = ask(f"logins/{name}", "POST", body)
            if reply.status != 202:
                return reply.json()
            approve(reply.json()["user_code"])
            while True:
                news = ask(f"logins/{name}", headers={"Prefer": "wait=30"}).json()
                if news["state"] == "confirm":
                    ask(f"logins/{name}/confirm", "POST", {"confirm": confirm})
                elif news["state"] != "waiting":
                    return news

    def token(self, name, **kwargs):
        return self.api.request(f"tokens/{name}", **kwargs)

    def connections(self, door):
        """How many are accepted and open."""
        text = self.admin.request("metrics").body.decode()
        return int(re.search(rf'^tokenbroker_connections{{door="{door}"}} (\d+)', text, re.M)[1])

    def login_status(self, name):
        return next(x for x in self.admin.request("status").json()["logins"] if x["name"] == name)

    def token_status(self, name):
        return next(x for x in self.admin.request("status").json()["tokens"] if x["name"] == name)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def login_conf(provider, name="ops", kind="none", **more):
    """A [login] section for one of the client registrations of a provider."""
    client = provider.clients[kind]
    keys = {"issuer": provider.issuer, "client_id": client["client_id"], "client_auth": kind.removesuffix("_odd"),
            "scopes": "openid offline_access api:read", "resource": provider.resource,
            "allow_insecure_loopback": "yes"}
    if kind.startswith("private_key_jwt"):
        keys.update(client_auth="private_key_jwt", client_key_file=client["key_file"], client_key_id=client["kid"],
                    assertion_alg=client["alg"])
    if kind == "tls_client_auth":
        keys.update(tls_cert_file=client["cert_file"], tls_key_file=client["key_file"], ca_file=provider.ca_file)
        del keys["allow_insecure_loopback"]
    keys.update(more)
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)
    return f"[login {name}]\n{lines}\n"
