# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, broken, read-only or asleep: nothing leaves unrecorded, nothing wedges, and all heals by itself.

P1 and P12 from outside: every value that a client ever received has its record in the log, and the log is one chain.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import pathlib
import struct
import subprocess
import time

import pytest

import daemon as d
import util
from sandbox import Sandbox

CONF = d.SANDBOX_LOGIN + """\
[backend prod]
type = influxdb-clustered
login = ops
base_url = {issuer}
allow_insecure_loopback = yes
[token db]
backend = prod
permissions = read:metrics
lifetime = 6h
[token other]
backend = prod
permissions = read:other
lifetime = 6h
[client root]
user = root
tokens = *
"""
NULL_HASH = "0" * 64


class DiskFault:
    """diskfault.c for one process."""

    def __init__(self, directory):
        library = directory / "diskfault.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, pathlib.Path(__file__).with_name("diskfault.c")],
                       check=True)
        self.file = directory / "fault"
        self.file.write_bytes(bytes(32))
        self.env = {"LD_PRELOAD": str(library), "DISKFAULT": str(self.file)}

    def set(self, write=0, sync=0, syncs=-1, stall_ms=0):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("=4q", write, sync, syncs, stall_ms))

    def clear(self):
        self.set()


@pytest.fixture
def sandbox():
    with Sandbox("--quiet") as one:
        yield one


@contextlib.contextmanager
def broker(sandbox, env=None, broker_keys="", prepare=None):
    """A daemon that is logged in and holds a value of `db`."""
    tb = d.Daemon(CONF.format(issuer=sandbox.issuer), broker_keys)
    with contextlib.ExitStack() as stack:
        if prepare:
            stack.enter_context(prepare(tb))
        tb.start(env=env)
        try:
            assert tb.login("ops", sandbox.approve)["state"] == "granted"
            tb.received = [tb.token("db").json()]
            yield tb
            check_audit(tb)
            tb.stop()
            tb.search_for_secrets()
        finally:
            if tb.process.poll() is None:
                tb.process.kill()
                tb.process.wait()
    subprocess.run(["rm", "-rf", str(tb.dir)], check=True)


@contextlib.contextmanager
def small_tmpfs(path, size):
    path.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def get(tb, name="db", timeout=30):
    reply = tb.token(name, timeout=timeout)
    if reply.status == 200:
        tb.received.append(reply.json())
    return reply


def audit_files(tb):
    older = sorted(tb.log_dir.glob("audit-*.jsonl"))
    return [*older, tb.log_dir / "audit.jsonl"]


def check_audit(tb):
    """One chain over all files, and a record for every value received."""
    time.sleep(0.3)  # `sent` is buffered
    before, seq, requests = NULL_HASH, 0, set()
    for file in audit_files(tb):
        last = int(file.stem.split("-")[1]) if "-" in file.stem else None
        for line in file.read_bytes().splitlines():
            record = json.loads(line)
            if last is not None and record["seq"] > last:
                break  # a copy of what the next file begins with
            head, _, tail = line.rpartition(b',"hash"')
            digest = hashlib.sha256(before.encode() + head).hexdigest()
            assert tail == f':"{digest}"}}'.encode(), (file.name, record["seq"])
            assert record["seq"] == seq + 1, (file.name, record["seq"], seq)
            before, seq = digest, record["seq"]
            if record["event"] == "authorised":
                requests.add(record["request_id"])
    unrecorded = [v["request_id"] for v in tb.received if v["request_id"] not in requests]
    assert not unrecorded, f"{len(unrecorded)} of {len(tb.received)} values have no record"


def fill(path):
    """Takes all the room there is."""
    fd = os.open(path / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, b"x" * size)
    finally:
        os.close(fd)


def assert_told(tb):
    """Readiness, status and the log say that nothing can be recorded, and what is wrong."""
    health = tb.admin.request("health")
    assert health.status == 503 and health.json()["code"] == "unavailable.disk", health
    disk = tb.admin.request("status").json()["disk"]
    assert disk["ok"] is False and disk["error"], disk
    assert "cannot write the audit log" in tb.log()


def assert_well_again(tb):
    util.wait_until(lambda: get(tb).status == 200, 20, "a release after the disk came back", interval=0.2)
    util.wait_until(lambda: tb.admin.request("health").status == 200, 20, "health", interval=0.2)
    assert tb.admin.request("status").json()["disk"]["ok"] is True


def mounts_are_possible():
    return os.geteuid() == 0


needs_mount = pytest.mark.skipif(not mounts_are_possible(), reason="mounting a small file system needs root")


# ---------------------------------------------------------------- the audit log's disk


@needs_mount
def test_full_audit_filesystem(sandbox):
    with broker(sandbox, prepare=lambda tb: small_tmpfs(tb.log_dir, "256k")) as tb:
        fill(tb.log_dir)
        seen = [get(tb).status for _ in range(40)]  # what fits into the last page may still get out, recorded
        assert seen[-1] == 503 and set(seen) <= {200, 503}, seen
        assert get(tb).json()["code"] == "unavailable.audit"
        assert_told(tb)
        assert get(tb, "other", timeout=60).status == 503
        # hours of it, in small: neither wedged nor gone
        for _ in range(20):
            assert get(tb).status == 503
        (tb.log_dir / "filler").unlink()
        assert_well_again(tb)
        assert get(tb, "other", timeout=60).status == 200


@pytest.mark.parametrize("what", [{"write": errno.ENOSPC}, {"write": errno.EIO}, {"write": errno.EROFS},
                                  {"sync": errno.EIO}, {"sync": errno.ENOSPC}], ids=str)
def test_everything_fails_for_a_while(sandbox, tmp_path, what):
    """EROFS is what a file system answers that was remounted read-only under our feet (errors=remount-ro)."""
    fault = DiskFault(tmp_path)
    with broker(sandbox, env=fault.env) as tb:
        fault.set(**what)
        for _ in range(5):
            assert get(tb).status == 503
        assert_told(tb)
        # Denials, status and unknown names do not need the disk.
        assert tb.token("nothing").status == 403
        fault.clear()
        assert_well_again(tb)
        assert get(tb, "other", timeout=60).status == 200
        # The log itself says that there was a gap, and how many lines fell into it.
        util.wait_until(lambda: any(r["event"] == "disk_recovered" and r.get("count", 0) > 0 for f in audit_files(tb)
                                    for r in map(json.loads, f.read_text().splitlines())), 20, "the confession")


def test_a_sync_that_lies_once(sandbox, tmp_path):
    """Fails once and then says all is well: what the kernel dropped is gone, so nothing may rest on that file."""
    fault = DiskFault(tmp_path)
    with broker(sandbox, env=fault.env) as tb:
        inode = (tb.log_dir / "audit.jsonl").stat().st_ino
        fault.set(sync=errno.EIO, syncs=1)
        reply = get(tb)
        assert reply.status == 200  # rewritten from memory into a new file, then released
        now = tb.log_dir / "audit.jsonl"
        assert now.stat().st_ino != inode
        assert len(audit_files(tb)) == 2
        assert reply.json()["request_id"] in now.read_text()
        condemned = audit_files(tb)[0]
        assert condemned.stat().st_ino == inode
        assert reply.json()["request_id"] not in condemned.read_text()
        assert_well_again(tb)


def test_many_lies(sandbox, tmp_path):
    fault = DiskFault(tmp_path)
    with broker(sandbox, env=fault.env) as tb:
        for n in range(1, 12):
            fault.set(sync=errno.EIO, syncs=n % 4)
            get(tb)
        fault.clear()
        assert_well_again(tb)


# -------------------------------------------------------------------- the state's disk


@needs_mount
def test_full_state_filesystem_spends_nothing(sandbox):
    """A refresh token is single-use and a mint cannot be undone: neither is begun without room for its outcome."""
    with broker(sandbox, prepare=lambda tb: small_tmpfs(tb.state_dir, "128k")) as tb:
        fill(tb.state_dir)
        before = sandbox.state()["done"]
        assert before["token_device_code"] == 1 and before["mint"] == 1
        assert get(tb, "other", timeout=60).status == 503
        assert tb.admin.request("tokens/db/rotate", "POST", timeout=60).status != 200
        after = sandbox.state()["done"]
        assert {k: after.get(k) for k in ("mint", "token_refresh_token")} == {
            k: before.get(k) for k in ("mint", "token_refresh_token")}
        assert get(tb).status == 200  # the log has its own disk
        (tb.state_dir / "filler").unlink()
        util.wait_until(lambda: get(tb, "other", timeout=60).status == 200, 60, "the mint", interval=0.5)
        known = {g.get("token_id") for n in ("db", "other") for g in tb.token_status(n)["generations"]}
        util.wait_until(lambda: {t["id"] for t in sandbox.state()["tokens"] if t["state"] == "live"} <= known, 30,
                        "nothing unknown alive", interval=0.5)


# ---------------------------------------------------------------------------- a stall


@pytest.mark.parametrize("mode", ["strict", "relaxed"])
def test_a_disk_that_stalls(sandbox, tmp_path, mode):
    """Thirty seconds without an answer from the disk: only what must be recorded first waits."""
    fault = DiskFault(tmp_path)
    with broker(sandbox, env=fault.env, broker_keys=f"audit = {mode}\n") as tb:
        fault.set(stall_ms=30000)
        began = time.monotonic()
        waiting = []
        if mode == "strict":
            waiting = [util.Thread(lambda: get(tb, timeout=60)) for _ in range(3)]
        time.sleep(0.5)
        worst = 0.0
        while time.monotonic() - began < 6:
            at = time.monotonic()
            assert tb.admin.request("status").status == 200
            assert tb.token("nothing").status == 403
            if mode == "relaxed":
                assert get(tb).status == 200
            worst = max(worst, time.monotonic() - at)
            time.sleep(0.1)
        assert worst < 3, worst  # not a timing test: thirty seconds is what a blocked loop would take
        assert all(thread.is_alive() for thread in waiting), "released before it was recorded"
        fault.clear()
        for thread in waiting:
            assert thread.join(30).status == 200, "what waited is released once it is recorded"
        assert_well_again(tb)


def test_stop_during_a_stall(sandbox, tmp_path):
    """SIGTERM waits for the disk, since what is queued must be written; SIGKILL is always safe."""
    fault = DiskFault(tmp_path)
    with broker(sandbox, env=fault.env) as tb:
        for end in (tb.stop, tb.kill):
            fault.set(stall_ms=3000)
            asked = util.Thread(lambda: get_if_it_lives(tb))
            time.sleep(0.3)
            end()
            asked.join(20)
            if end == tb.stop:
                assert [r["event"] for r in records(tb)][-2:] == ["stopped", "checkpoint"]
            fault.clear()
            tb.start(env=fault.env)
            assert_well_again(tb)


def get_if_it_lives(tb):
    """A value that gets out is remembered; a daemon that dies meanwhile gives none."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        get(tb, timeout=20)


def records(tb):
    return [json.loads(line) for file in audit_files(tb) for line in file.read_text().splitlines()]
