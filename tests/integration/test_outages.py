# SPDX-License-Identifier: Apache-2.0
"""Provider or service away, slow, or answering nonsense: each kind of trouble with a count of the requests it causes.

Every case has a daemon of its own that holds a value, and wants to renew it from some seconds after its mint, while the
side named in the case is in trouble for OUTAGE seconds. All cases run side by side, since they mostly wait. Then:

  - the value was served all the time (P5), the daemon said what is wrong, and nobody was called where nobody is needed;
  - attempts were backed off: no more of them than the shortest delays allow, no two closer together than a back-off or
    a Retry-After wants, and all requests together, looking for lost mints included, are few;
  - when the trouble ends, all heals by itself, and nothing unknown stays alive upstream (P2).
"""

import concurrent.futures
import contextlib
import dataclasses
import email.utils
import pathlib
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
import typing

import pytest

import daemon as d
import keys
import util
from faultproxy import HTML, FaultProxy
from sandbox import Sandbox

OUTAGE = 12.0
# Without looks at lists: the first comes at some moment of the first minute, makes requests of its own, and renews a
# login for them.
CONF = """\
[login ops]
issuer = {issuer}
discovery = no
device_endpoint = {provider}/device_authorization
token_endpoint = {provider}/token
identity = unverified
client_id = tokenbroker
scopes = openid offline_access
allow_insecure_loopback = yes
[backend prod]
type = influxdb-clustered
login = ops
base_url = {api}
ca_file = {ca}
allow_insecure_loopback = yes
reconcile_interval = 0
[token db]
backend = prod
permissions = read:metrics
lifetime = 1h
renew_before = {before}
probe = none
[client root]
user = root
tokens = *
"""


@dataclasses.dataclass
class Case:
    name: str
    side: str  # "provider" or "api"
    trouble: typing.Callable
    # What the trouble is called in the daemon's log.
    said: str
    # How often the request in trouble may be made in OUTAGE seconds; the shortest delays are 0.5, 1, 2, 4, 8 s.
    attempts: tuple = (3, 5)
    # No two of them are closer together than this.
    apart: float = 0.2  # of 0.5 s at least, as seen from the far end of a loaded machine
    first_gap: float = 0.0
    # The provider took the refresh token and nobody heard its answer: a human may be needed afterwards.
    may_need_human: bool = False
    # Of the lifetime of 1h. A mint that takes all of what is left makes a value that lives for less than this, which is
    # then not renewed for 20 minutes.
    before: str = "59m57s"


PATHS = {"provider": "/token", "api": "/tokens"}


def answer(status, headers=None, body=b"", **more):
    def trouble(world):
        world.proxy.fail(world.path, method="POST", status=status, headers=headers, body=body, times=None, **more)
    return trouble


def spoil(**what):
    return lambda world: world.proxy.fail(world.path, method="POST", times=None, **what)


def retry_after_date(world):
    at = email.utils.formatdate(time.time() + 7, usegmt=True)
    world.proxy.fail(world.path, method="POST", status=429, headers={"Retry-After": at}, times=None)


def cases():
    json_503 = {"headers": {"Content-Type": "application/json"}, "body": b'{"error":"temporarily_unavailable"}'}
    for side in PATHS:
        # After an attempt without an answer the second redemption waits ten seconds, and there is no third.
        lost = {"attempts": (1, 2), "apart": 9.5, "may_need_human": True} if side == "provider" else {}
        yield Case("down", side, lambda world: world.proxy.down(), "onnect")
        # Its time-out comes after the watching has ended.
        yield Case("hangs", side, spoil(hang=True), "", attempts=(1, 1), may_need_human=side == "provider")
        yield Case("slow", side, spoil(delay=1.0), "", attempts=(1, 6), before="59m54s")
        yield Case("429 in seconds", side, answer(429, {"Retry-After": "5"}), "429", attempts=(2, 3), apart=4.9)
        # Seven seconds after the beginning, by the clock of whole seconds; what comes after that has no Retry-After.
        yield Case("429 with a date", side, retry_after_date, "429", attempts=(2, 4), first_gap=3.5)
        yield Case("500", side, answer(500, **json_503), "500|unavailable")
        yield Case("503", side, answer(503, **json_503), "503|unavailable")
        yield Case("html", side, answer(502, {"Content-Type": "text/html"}, HTML), "502", **lost)
        yield Case("html that says 200", side, answer(200, {"Content-Type": "text/html"}, HTML), "not|JSON", **lost)
        yield Case("half a body", side, spoil(cut=20), "", **lost)
        yield Case("wrong content type", side, spoil(content_type="text/plain"), "", attempts=(1, 6),
                   may_need_human=side == "provider")
        yield Case("64 MiB", side, spoil(big=64 << 20), "larger", **lost)
        yield Case("redirect", side, answer(307, {"Location": "http://127.0.0.1:1/"}), "307",
                   **({} if side == "api" else lost))
    yield Case("certificate", "api", lambda world: world.front.show("stranger"), "certificate", attempts=(3, 5))


class TlsFront:
    """TLS in front of a port; show() changes the certificate for connections to come."""

    def __init__(self, port):
        self.behind = port
        self.at = []
        self.show("server")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def show(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys.key_dir() / f"{name}.pem", keys.key_dir() / f"{name}.key")
        self.context = context

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.at.append(time.monotonic())
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with contextlib.suppress(OSError), conn:
            with self.context.wrap_socket(conn, server_side=True) as front, \
                    socket.create_connection(("127.0.0.1", self.behind)) as back:
                while True:
                    ready = [front] if front.pending() else select.select([front, back], [], [], 60)[0]
                    for one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        (back if one is front else front).sendall(data)


class World:
    """A sandbox, what stands in front of it, and a daemon. start() is for the main thread."""

    def __init__(self, case):
        self.case = case
        self.path = PATHS[case.side]
        # An access token is good for two seconds, so that each renewal needs a refresh as well.
        self.sandbox = Sandbox("--access-ttl=12", "--quiet")
        self.error = None

    def start(self):
        self.sandbox.start()
        self.proxy = FaultProxy(self.sandbox.port).start()
        self.front = TlsFront(self.sandbox.port)
        api = self.proxy.address if self.case.side == "api" else self.sandbox.issuer
        if self.case.name == "certificate":
            api = self.front.address
        self.tb = d.Daemon(CONF.format(
            issuer=self.sandbox.issuer, api=api, before=self.case.before, ca=keys.key_dir() / "ca.pem",
            provider=self.proxy.address if self.case.side == "provider" else self.sandbox.issuer),
            broker="settle_time = 3s\nmints_per_hour = 1000\n").start()
        return self

    def stop(self):
        self.proxy.stop()
        self.front.close()
        self.sandbox.stop()
        self.tb.known.update(self.proxy.secrets)
        self.tb.end()

    def value(self):
        reply = self.tb.token("db")
        assert reply.status == 200, reply
        return reply.json()

    def attempts(self):
        if self.case.name == "down":  # nobody is there to count: the daemon says each attempt
            word = "refresh failed" if self.case.side == "provider" else "mint failed"
            return self.failures[word]
        if self.case.name == "certificate":
            return [at for at in self.front.at if at >= self.began]
        return [r.at for r in self.proxy.seen(self.path, method="POST")
                if self.case.side == "api" or r.grant_type == "refresh_token"]

    def run(self):
        """Login, first value, trouble, and what was seen of it; then the end of the trouble."""
        self.sandbox_approves()
        self.first = self.value()
        while self.first["expires_in"] <= 3597:  # it took so long that it is not renewed soon
            self.tb.admin.request("tokens/db/rotate", "POST", timeout=60)
            self.first = self.value()
        self.proxy.clear_log()
        self.began = time.monotonic()
        self.case.trouble(self)
        self.seen = []
        self.failures = {"refresh failed": [], "mint failed": []}
        while time.monotonic() - self.began < OUTAGE:
            time.sleep(0.5)
            self.seen.append(self.tb.token("db"))
            self.note_failures()
        self.made = self.attempts()
        self.requests = len(self.proxy.requests)
        self.log = self.tb.log()
        self.state = self.tb.login_status("ops")["state"]
        self.proxy.clear()
        self.proxy.up()
        self.front.show("server")
        self.heal()

    def sandbox_approves(self):
        news = self.tb.login("ops", self.sandbox.approve)
        assert news["state"] == "granted", news

    def note_failures(self):
        log = self.tb.log()
        for word, times in self.failures.items():
            times += [time.monotonic()] * (log.count(word) - len(times))

    def heal(self):
        newest = self.seen[-1].json()["generation"]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.case.may_need_human and self.tb.login_status("ops")["state"] == "human_needed":
                self.sandbox_approves()
            if self.value()["generation"] > newest:
                break
            time.sleep(0.5)
        else:
            raise AssertionError("nothing was renewed within two minutes of the end of the trouble")
        util.wait_until(lambda: not self.unknown(), 60, "nothing unknown alive", interval=0.5)

    def unknown(self):
        known = {g.get("token_id") for g in self.tb.token_status("db")["generations"]}
        return [t["id"] for t in self.sandbox.state()["tokens"]
                if t["state"] in ("live", "pending") and t["id"] not in known]

    def safely(self):
        try:
            self.run()
        except BaseException as error:  # told by the test of this case
            self.error = error


ALL = list(cases())


@pytest.fixture(scope="module")
def worlds():
    """All cases, run. Processes are started here, in the main thread, which they die with."""
    running = [World(case).start() for case in ALL]
    try:
        with concurrent.futures.ThreadPoolExecutor(len(running)) as pool:
            list(pool.map(World.safely, running))
        yield {(w.case.side, w.case.name): w for w in running}
    finally:
        for world in running:
            world.stop()


@pytest.mark.parametrize("case", ALL, ids=lambda c: f"{c.side}: {c.name}")
def test_outage(worlds, case):
    world = worlds[case.side, case.name]
    if world.error:
        print(world.tb.log()[-4000:])
        raise world.error
    assert [r.status for r in world.seen] == [200] * len(world.seen), "the value was not served all the time"
    values = {r.json()["generation"] for r in world.seen}
    if case.name not in ("slow", "wrong content type"):
        assert values == {world.first["generation"]}, values
    least, most = case.attempts
    print(f"{case.side}: {case.name}: {len(world.made)} attempts, {world.requests} requests in {OUTAGE:.0f} s")
    assert least <= len(world.made) <= most, [round(at - world.began, 2) for at in world.made]
    apart = [b - a for a, b in zip(world.made, world.made[1:])]
    if case.name not in ("slow", "wrong content type", "down"):
        assert not apart or apart[0] >= case.first_gap, apart
        assert all(gap >= case.apart for gap in apart), apart
    assert world.requests <= 40, world.requests
    if not case.may_need_human:
        assert world.state not in ("human_needed", "empty"), world.state
    assert not case.said or any(word in world.log for word in case.said.split("|")), world.log[-2000:]


# ------------------------------------------------------------------------ clocks


class WallClock:
    """The wall clock of one process: set(seconds) off the real one."""

    def __init__(self, directory):
        library = directory / "wallclock.so"
        source = pathlib.Path(__file__).with_name("wallclock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.file = directory / "offset"
        self.file.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(library), "WALLCLOCK": str(self.file)}

    def set(self, seconds):
        with open(self.file, "r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", int(seconds)))


@pytest.mark.parametrize("hours", [1, -1])
def test_clock_is_set_while_it_runs(tmp_path, hours):
    """The wall clock goes wrong by an hour and is set right again: one value, no request, no human."""
    clock = WallClock(tmp_path)
    with Sandbox("--quiet") as sandbox:
        tb = d.Daemon(clock_conf(sandbox, "30m", "5m"))
        tb.start(env=clock.env)
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        first = tb.token("db").json()
        before = made(sandbox)
        clock.set(hours * 3600)
        for _ in range(20):
            now = tb.token("db").json()
            assert now["token"] == first["token"]
            assert 0 < now["expires_in"] <= 1800 + (0 if hours > 0 else 3600)
            time.sleep(0.1)
        clock.set(0)
        assert tb.token("db").json()["token"] == first["token"]
        assert made(sandbox) == before
        assert tb.login_status("ops")["state"] == "granted"
        tb.end()


@pytest.mark.parametrize("wrong", [3600, -3600, "1970"])
def test_start_with_a_wrong_clock(tmp_path, wrong):
    """What is stored is served, nothing is asked for, and a start with the right clock finds everything as it was."""
    clock = WallClock(tmp_path)
    with Sandbox("--quiet") as sandbox:
        tb = d.Daemon(clock_conf(sandbox, "6h", "2h"))
        tb.start()
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        first = tb.token("db").json()
        tb.stop()
        before = made(sandbox)
        clock.set(86400 - time.time() if wrong == "1970" else wrong)
        tb.start(env=clock.env)
        assert tb.token("db").json()["token"] == first["token"]
        assert tb.login_status("ops")["state"] == "granted"
        tb.stop()
        tb.start()
        again = tb.token("db").json()
        assert [again[k] for k in ("token", "generation", "expires_at")] == [
            first[k] for k in ("token", "generation", "expires_at")]
        assert made(sandbox) == before
        assert tb.login_status("ops")["state"] == "granted"
        tb.end()


def clock_conf(sandbox, lifetime, renew_before):
    text = CONF.format(issuer=sandbox.issuer, provider=sandbox.issuer, api=sandbox.issuer, before=renew_before,
                       ca=keys.key_dir() / "ca.pem")
    return text.replace("lifetime = 1h", f"lifetime = {lifetime}")


def made(sandbox):
    return sandbox.state()["requests"]
