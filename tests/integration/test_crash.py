# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every system call that matters (P1, P2, P3), and at random under load.

Each path is traced once; then the daemon is killed once per crash point and side, started again, and held to what it
promises. Nothing here knows the order of the calls: what counts is what clients were sent, what the provider and the
service saw, and what the daemon makes of its files afterwards. See crash.Crash for the sides; one of them is a power
cut, which loses what was not synced.

    pytest test_crash.py --crash-only 'before rename state/login'      only these points
    TB_CRASH_WORKERS=4 TB_CRASH_KILLS=50 pytest test_crash.py          fewer at once, fewer random kills
"""

import contextlib
import http.client
import os
import queue
import random
import textwrap
import threading
import time

import pytest

import crash
import daemon as d
import util
from faultproxy import FaultProxy
from sandbox import Sandbox

BROKER = """\
settle_time = 1s
mints_per_hour = 100000
"""

ACCESS = """\
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

MINT = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND.replace("{issuer}", "{api}") + """\
{more}
{tokens}
[client root]
user = root
tokens = *
"""

MINT_TOKEN = """\
[token {name}]
backend = prod
permissions = read:metrics write:metrics
lifetime = {lifetime}
"""

# A point may fail to come up, because lines of the audit log share a write or do not as the threads happen to run. It
# is tried this often; one in so many of a path's runs may find nothing even so. (A point that is not there is not
# there five times: before, after and with three power cuts.)
TRIES = 4
ONE_NOT_REACHED_IN = 20
# How long the daemon has something left to do after its client was answered: the sync of an idle log, the next list of
# all records.
TAIL_S = 1.4


@pytest.fixture(scope="module", autouse=True)
def may_trace():
    reason = crash.why_not()
    if reason:
        pytest.skip(reason)


def sides(point):
    """A power cut takes what is not synced: so right before each sync, and whenever something has left the host."""
    verb = point.text.split()[0]
    return ["before", "after"] + (list(crash.POWER_CUTS) if verb in ("fsync", "fdatasync", "send") else [])


def quiet(function, *args, **kwargs):
    """For requests to a daemon that is about to be killed."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        function(*args, **kwargs)


class World:
    """One daemon that is logged in and idle, and will be killed."""

    name = "access"
    labels = {}

    def __init__(self, conf):
        self.tb = d.Daemon(conf, textwrap.dedent(BROKER))
        self.seen = crash.Seen()
        self.crash = None

    def approve(self, user_code):
        raise NotImplementedError

    def begin(self):
        self.tb.start()
        self.login()

    def login(self):
        news = self.tb.login("ops", self.approve)
        assert news["state"] == "granted", news

    def get(self):
        value = self.seen.take(crash.ask_raw(self.tb.api, f"tokens/{self.name}"), self.name)
        if value:
            self.tb.learn_value(value)
        return value

    def prepare(self):
        """What the path needs, once the daemon is idle."""

    def trigger(self):
        """The path under test, up to the answer."""
        raise NotImplementedError

    def is_idle(self):
        """The list of all records is the newest of them."""
        try:
            times = {p.name: p.stat().st_mtime_ns for p in self.tb.state_dir.glob("*.tbr")}
        except FileNotFoundError:  # one is being removed
            return False
        return times.get("store.list.tbr", 0) >= max(times.values())

    def run(self, point=None, side=None):
        """The path, once, traced. Whether the daemon was killed."""
        self.crash = crash.Crash(self.tb, self.labels, point, side)
        try:
            self.trigger()
            with contextlib.suppress(AssertionError):
                util.wait_until(self.crash.is_over, TAIL_S)
        finally:
            hit = self.crash.end()
        time.sleep(0.05)  # for what was sent to arrive where it was sent to
        return hit

    def recover(self):
        """Starts the daemon again and sees to the promises."""
        tb = self.tb
        killed_at = time.monotonic()
        tb.start()
        assert not list(tb.state_dir.glob("quarantine/*")), "a record was damaged"
        assert "error: store" not in tb.log(), "the state is not what it was"
        usable = self.settle()
        self.check_grant(usable, killed_at)
        if not usable:
            self.login()
            assert self.settle(), "a new login does not help"
        assert self.get(), "no value is released any more"
        self.check_upstream()
        tb.stop()
        assert not list(tb.state_dir.glob("intent.*")), "an intent is left although all is settled"
        records = crash.read_audit(tb.log_dir)
        self.seen.check(records)
        self.check_records(records, killed_at)

    def settle(self):
        """Waits until nothing is uncertain any more. False: a human is needed."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = self.tb.admin.request("status").json()
            if status["logins"][0]["state"] == "human_needed":
                return False
            if not any(t["unsettled"] for t in status["tokens"]):
                reply = self.tb.admin.request(f"tokens/{self.name}/rotate", "POST", timeout=60)
                if reply.status == 200 and self.tb.login_status("ops")["state"] == "granted":
                    return True
            time.sleep(0.1)
        raise AssertionError(f"not settled: {self.tb.admin.request('status').json()}")

    def check_grant(self, usable, killed_at):
        """P3."""

    def check_upstream(self):
        """P2."""

    def check_records(self, records, killed_at):
        """What the audit log says, against what was seen from outside."""

    def end(self):
        self.tb.end()


class RefreshWorld(World):
    """A renewal that an operator asked for, and the release of what it brought."""

    def __init__(self, provider):
        super().__init__(d.login_conf(provider) + ACCESS)
        self.provider = provider
        self.labels = {provider.proxy.port: "provider"}
        self.grants = []  # marks of the first refresh token of each login

    def approve(self, user_code):
        self.user_code = user_code
        with self.provider.proxy.turn:
            self.provider.approve(user_code)

    def login(self):
        super().login()
        proxy = self.provider.proxy
        device = next(r.got["device_code"] for r in proxy.requests
                      if r.got.get("user_code") == proxy.mark(self.user_code))
        self.grants.append(next(r.got["refresh_token"] for r in proxy.requests
                                if r.sent.get("device_code") == device and "refresh_token" in r.got))

    def begin(self):
        super().begin()
        assert self.get()

    def trigger(self):
        quiet(self.tb.admin.request, "tokens/access/rotate", "POST", timeout=60)
        self.get()

    def redemptions(self):
        """All requests with a refresh token of this daemon's, in order."""
        ours, found = set(self.grants), []
        for request in self.provider.proxy.requests:
            if request.sent.get("refresh_token") in ours:
                found.append(request)
                if "refresh_token" in request.got:
                    ours.add(request.got["refresh_token"])
        return found

    def check_grant(self, usable, killed_at):
        redemptions = self.redemptions()
        for token in {r.sent["refresh_token"] for r in redemptions}:
            n = sum(r.sent["refresh_token"] == token for r in redemptions)
            assert n <= 2, f"P3: one refresh token was redeemed {n} times"
        before = [r for r in redemptions if r.at < killed_at]
        if before:
            assert self.crash.lasts("login.ops.tbr", 1), "P3: a refresh token was sent before that was written down"
        lost = [r for r in before if "refresh_token" in r.got and r.got["refresh_token"] != r.sent["refresh_token"]]
        stored = self.crash.lasts("login.ops.tbr", 2)
        used = {self.provider.proxy.mark(v["value"]) for v in self.seen.values}
        if lost and not stored:
            assert lost[0].got["access_token"] not in used, "P3: used before what came with it was stored"
        if not usable:
            assert lost and not stored, "P3: a human is needed although nothing was lost"

    def check_records(self, records, killed_at):
        if self.crash.side in crash.POWER_CUTS:
            return  # lines that nobody waited for may be gone
        said = sum(r["event"] == "refresh_intent" for r in records)
        assert said >= len(self.redemptions()), "P3: a redemption that is not on record"

    def end(self):
        self.tb.known.update(self.provider.proxy.secrets)
        super().end()


class RetryWorld(RefreshWorld):
    """The one retry of a renewal that was never answered, because the daemon was killed while the provider slept."""

    def begin(self):
        super().begin()
        sleeps = self.provider.fail("token", sent=self.grants[0], hang=True)
        asks = util.Thread(lambda: quiet(self.tb.admin.request, "tokens/access/rotate", "POST", timeout=60))
        util.wait_until(lambda: sleeps.hits, 20, "the first redemption")
        self.tb.kill()
        asks.join()
        self.tb.start()

    def is_idle(self):
        time.sleep(0.2)  # for the records of the start; a second later it would go ahead by itself
        return True

    def check_grant(self, usable, killed_at):
        # after the retry nothing more is tried, whatever became of it
        redemptions = self.redemptions()
        assert len([r for r in redemptions if r.sent["refresh_token"] == self.grants[0]]) <= 2, "P3: redeemed again"
        if len([r for r in redemptions if r.at < killed_at]) > 1:
            assert self.crash.lasts("login.ops.tbr", 1), "P3: a refresh token was sent again before that was written down"
        if not usable:
            assert self.crash.may_last("login.ops.tbr", 1), "P3: a human is needed although there is a retry left"
            assert not self.crash.lasts("login.ops.tbr", 2), "P3: a human is needed although there is a new token"


class MintWorld(World):
    """A cold token, from the request of the client that waits for it to its answer."""

    name = "db"
    title = "mint path"

    def __init__(self, sandbox):
        super().__init__(MINT.format(issuer=sandbox.issuer, api=sandbox.issuer, more="reconcile_interval = 0",
                                     tokens=MINT_TOKEN.format(name="db", lifetime="1h")))
        self.sandbox = sandbox
        self.labels = {sandbox.port: "sandbox"}
        self.older = {t["id"] for t in sandbox.state()["tokens"]}
        self.refreshes = 0
        self.at_kill = None

    def approve(self, user_code):
        self.sandbox.approve(user_code)

    def trigger(self):
        self.get()

    def run(self, point=None, side=None):
        self.refreshes = self.count_refreshes()
        hit = super().run(point, side)
        self.at_kill = {"refreshed": self.count_refreshes() - self.refreshes, "minted": len(self.minted())}
        return hit

    def count_refreshes(self):
        return self.sandbox.state()["requests"]["token_refresh_token"]

    def minted(self):
        return [t for t in self.sandbox.state()["tokens"] if t["id"] not in self.older]

    def check_grant(self, usable, killed_at):
        if not usable:
            raise AssertionError("P3: a human is needed although nothing was renewed")

    def check_upstream(self):
        alive = {t["id"] for t in self.minted() if t["state"] in ("live", "pending")}
        known = {g["token_id"] for g in self.tb.token_status(self.name)["generations"]}
        assert alive <= known, f"P2: {len(alive - known)} tokens are alive that nobody knows"


class MintAfterRefusalWorld(MintWorld):
    """The same, while the service refuses the access token that pays: a renewal between intent and mint."""

    title = "mint path with a renewal in it"

    def begin(self):
        self.older_access = {t["id"] for t in self.sandbox.state()["oauth_tokens"]}
        super().begin()

    def prepare(self):
        for token in self.sandbox.state()["oauth_tokens"]:
            if token["kind"] == "access" and token["id"] not in self.older_access:
                self.sandbox.revoke(token["id"])

    def check_grant(self, usable, killed_at):
        stored = self.crash.lasts("login.ops.tbr", 2)
        if self.at_kill["refreshed"]:
            assert self.crash.lasts("login.ops.tbr", 1), "P3: a refresh token was sent before that was written down"
        if self.at_kill["minted"]:
            # only the new access token can have paid for it
            assert stored, "P3: the renewed access token was used before what came with it was stored"
        if not usable:
            assert self.at_kill["refreshed"] and not stored, "P3: a human is needed although nothing was lost"


class Path:
    """All runs of one path: make() gives a new World, free(world) takes it back."""

    def __init__(self, title, make, free=lambda world: None):
        self.title = title
        self.make = make
        self.free = free
        self.retries = 0

    def once(self, point=None, side=None):
        """One run in a world of its own. None: not reached."""
        world = self.make()
        try:
            world.begin()
            util.wait_until(world.is_idle, 20, "an idle daemon", interval=0.05)
            world.prepare()
            hit = world.run(point, side)
            if point is None or hit:
                if point:
                    world.recover()
                world.end()
                return world.crash.calls
            world.tb.kill()
            return None
        except BaseException as error:
            # An assertion of this daemon's own test is what is to be seen, with what the daemon said.
            calls = world.crash.calls if world.crash else []
            error.args = (f"{side} {point}: {error!r}\n" + "\n".join(f"  {c}" for c in calls[-60:])
                          + "\n" + world.tb.log()[-3000:],)
            world.tb.kill()
            raise
        finally:
            self.free(world)

    def kill(self, run):
        for i in range(TRIES):
            self.retries += i > 0
            if self.once(*run):
                return True
        return False

    def all(self, pattern, say):
        points = [c.point for c in self.once()]
        runs = crash.only(points, sides, pattern)
        results = crash.in_parallel(self.kill, runs, crash.workers())
        failed = [r for r in results if isinstance(r, BaseException)]
        missed = [f"{side} {point}" for (point, side), r in zip(runs, results) if r is False]
        killed = [side for (_, side), r in zip(runs, results) if r is True]
        say(f"{self.title}: {len(points)} crash points found; of {len(runs)} runs {killed.count('before')} killed before "
            f"and {killed.count('after')} after one, {sum(s in crash.POWER_CUTS for s in killed)} with a power cut; "
            f"{len(missed)} not reached ({self.retries} tried again), {len(failed)} failed")
        assert not failed, f"{len(failed)} of {len(runs)}; the first:\n{failed[0]}"
        assert len(missed) * ONE_NOT_REACHED_IN <= len(runs), missed
        assert runs, "no point fits --crash-only"


@pytest.fixture
def say(capsys):
    def print_it(text):
        with capsys.disabled():
            print(f"\n{text}")
    return print_it


@pytest.fixture
def sandboxes():
    """One for each daemon that runs at the same time; their tokens must not mix."""
    pool = queue.Queue()
    with contextlib.ExitStack() as stack:
        for _ in range(crash.workers()):
            pool.put(stack.enter_context(Sandbox("--quiet")))
        yield pool


def test_refresh_path(provider, crash_only, say):
    """P3 against both real providers: the refresh token is redeemed once, or twice on record, and never lost."""
    # Glewlwyd's database fails half of what many ask at once
    provider.proxy.turn = threading.Lock()
    Path(f"refresh path, {provider.name}", lambda: RefreshWorld(provider)).all(crash_only, say)


def test_retry_path(oidc_provider, crash_only, say):
    """P3 with two crashes: killed during the retry, too, it redeems no third time."""
    oidc_provider.reset()
    Path("retry path, oidc-provider", lambda: RetryWorld(oidc_provider)).all(crash_only, say)


@pytest.mark.parametrize("world", [MintWorld, MintAfterRefusalWorld], ids=["mint", "mint_after_refusal"])
def test_mint_path(sandboxes, world, crash_only, say):
    """P1 and P2: no value without its record, no token that nobody knows."""
    Path(world.title, lambda: world(sandboxes.get()),
         lambda w: sandboxes.put(w.sandbox)).all(crash_only, say)


class Load:
    """Clients that ask for values and operators that rotate them, without a pause, whatever becomes of the daemon."""

    def __init__(self, tb, names, seed):
        self.tb = tb
        self.names = names
        self.seen = crash.Seen()
        self.rotated = 0
        self._over = threading.Event()
        self._threads = [util.Thread(lambda r=random.Random(seed + i), f=f: self._repeat(f, r))
                         for i, f in enumerate([self._get] * 4 + [self._rotate] * 2)]

    def _repeat(self, function, rng):
        while not self._over.wait(rng.uniform(0.005, 0.04)):
            function(rng.choice(self.names))

    def _get(self, name):
        value = self.seen.take(crash.ask_raw(self.tb.api, f"tokens/{name}"), name)
        if value:
            self.tb.learn_value(value)

    def _rotate(self, name):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self.rotated += self.tb.admin.request(f"tokens/{name}/rotate", "POST", timeout=60).status == 200

    def end(self):
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_random_kills(say):
    """P1, P2 and P12 under load: killed 200 times, at moments that nobody chose."""
    kills = int(os.environ.get("TB_CRASH_KILLS", "200"))
    seed = int(os.environ.get("TB_CRASH_SEED", time.time_ns() % 10**9))
    rng = random.Random(seed)
    names = [f"db{i}" for i in range(8)]
    say(f"random kills: TB_CRASH_SEED={seed}")
    with Sandbox("--quiet") as sandbox, FaultProxy(sandbox.port) as api:
        # every token exists upstream for a moment before anybody is told
        api.fail(method="POST", times=None, delay=0.03)
        # a short life, so that the superseded generations do not become thousands
        tokens = "".join(MINT_TOKEN.format(name=name, lifetime="30s") for name in names)
        tb = d.Daemon(MINT.format(issuer=sandbox.issuer, api=api.address, more="", tokens=tokens), BROKER)
        tb.start()
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        load = Load(tb, names, seed)
        try:
            for i in range(kills):
                # now and then it lives long enough to settle what the kills before left behind
                time.sleep(2.5 if i % 25 == 24 else rng.uniform(0, 0.15))
                tb.kill()
                tb.start(wait=rng.random() < 0.8)
            util.wait_until(tb.is_up, 20, "the daemon's doors")
        finally:
            load.end()
        check_after_load(tb, sandbox, names, load, kills, say)
        tb.end()


def check_after_load(tb, sandbox, names, load, kills, say):
    def unsettled():
        return [t for t in tb.admin.request("status").json()["tokens"] if t["unsettled"]]

    util.wait_until(lambda: not unsettled(), 60, "the end of all uncertainty", interval=0.1)
    assert tb.login_status("ops")["state"] == "granted"
    for name in names:
        assert tb.admin.request(f"tokens/{name}/rotate", "POST", timeout=60).status == 200
        assert tb.token(name).status == 200
    alive = {t["id"] for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending")}
    known = {g["token_id"] for name in names for g in tb.token_status(name)["generations"]}
    assert alive <= known, f"P2: {len(alive - known)} tokens are alive that nobody knows"
    tb.stop()
    assert "error: store" not in tb.log(), "the state is not what it was"
    assert not list(tb.state_dir.glob("quarantine/*")) and not list(tb.state_dir.glob("intent.*"))
    records = crash.read_audit(tb.log_dir)
    load.seen.check(records)
    orphans = sum(r["event"] == "revoked" and r["reason"].startswith("orphan") for r in records)
    say(f"random kills: {kills} kills, {len(load.seen.values)} values received, {load.rotated} rotations answered, "
        f"{len(alive)} tokens alive upstream, {orphans} orphans revoked, {len(records)} audit records")
    assert orphans, "no kill ever hit a mint"
    assert len(load.seen.values) > kills and load.rotated > kills / 4, "there was no load"
