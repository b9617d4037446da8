# SPDX-License-Identifier: Apache-2.0
"""Killing the daemon at one of its system calls, and looking at what that left behind.

Crash is tests/crash/crashat.c around a running daemon. read_audit() is a verifier of the audit log that shares no code
with the daemon. Seen remembers what a client was sent, down to half an answer.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import typing

import daemon as d

MAY_NOT = 77
NOT_REACHED = 3
# How long a call that the daemon dies in front of is held while all other threads go on.
HOLD_MS = 150
POWER_CUTS = ("synced", "names", "torn", "old-names")


class Point(typing.NamedTuple):
    """A system call, as crashat names it: what it does, and the how-manieth of its kind."""

    text: str
    nth: int

    def __str__(self):
        return f"{self.text} #{self.nth}"


class Call(typing.NamedTuple):
    """One line of crashat's report."""

    point: Point
    done: bool
    thread: str


def why_not():
    """None, or why nothing can be traced here."""
    with subprocess.Popen(["sleep", "0.3"]) as child:
        done = subprocess.run([d.program("crashat"), "--pid", str(child.pid), "--dir", "/nonexistent", "--trace"],
                              capture_output=True, text=True, timeout=30, check=False)
    return f"no process may be traced here: {done.stderr.strip()}" if done.returncode == MAY_NOT else None


class Crash:
    """Attached to a daemon from construction on. point=None only traces.

    side: "before" (the call is not made; everybody else had HOLD_MS to go on), "after" (it is made, its result not
    seen), and four ways in which the power fails, right before a sync, or after a send: "synced" (only what was synced
    is left), "names" (that, under the names that files had by then), "torn" (and half of what was appended to them),
    "old-names" (as "names", but new names did not arrive).
    """

    def __init__(self, tb, labels, point=None, side=None):
        self.tb = tb
        self.point = point
        self.side = side
        self.cut_dir = tb.dir / "cut"
        argv = [d.program("crashat"), "--pid", str(tb.process.pid), "--dir", str(tb.dir)]
        for port, name in labels.items():
            argv += ["--label", f"{port}={name}"]
        if point is None:
            argv.append("--trace")
        else:
            self.executed = side == "after" or (side in POWER_CUTS and point.text.startswith("send "))
            argv += ["--at", point.text, "--nth", str(point.nth), "--hold", str(HOLD_MS),
                     "--after" if self.executed else "--before"]
        if side in POWER_CUTS:
            argv += ["--cut", side, "--out", str(self.cut_dir), "--tree", str(tb.state_dir), "--tree", str(tb.log_dir)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line == "READY\n", f"crashat: {line!r}, exit status {self.process.wait()}"
        self.calls = []

    def is_over(self):
        return self.process.poll() is not None

    def end(self):
        """Whether the daemon was killed. self.calls is what it did, in order."""
        self.process.send_signal(signal.SIGTERM)
        *lines, verdict = self.process.communicate(timeout=30)[0].splitlines()
        status = self.process.returncode
        assert status in (0, NOT_REACHED), f"crashat: exit status {status}"
        for line in lines:
            progress, nth, thread, text = line.split("\t")
            done = progress == "done" or (progress == "killed" and self.executed)
            self.calls.append(Call(Point(text, int(nth)), done, thread))
        if verdict == "HIT":
            self.tb.process.wait(10)
            if self.side in POWER_CUTS:
                self._lose_power()
        return verdict == "HIT"

    def _lose_power(self):
        """What is on disk becomes what was synced, and what lives in memory only (the sockets' directory) goes."""
        for directory in (self.tb.state_dir, self.tb.log_dir):
            shutil.rmtree(directory)
            (self.cut_dir / directory.name).rename(directory)
        self.tb.log_dir.chmod(0o750)
        shutil.rmtree(self.cut_dir)
        shutil.rmtree(self.tb.run_dir)
        self.tb.run_dir.mkdir(mode=0o755)

    def _renamed(self, name, nth):
        """Where in calls the nth writing of the record `name` got its name, or None."""
        return next((i for i, c in enumerate(self.calls)
                     if c.point == Point(f"rename state/{name}", nth) and c.done), None)

    def may_last(self, name, nth):
        """Whether the next start may have found the nth writing of the record `name`."""
        return self._renamed(name, nth) is not None

    def lasts(self, name, nth):
        """Whether it must have."""
        at = self._renamed(name, nth)
        if at is None or self.side not in ("synced", "old-names"):
            return at is not None
        return any(c.done and c.point.text == "fsync state" for c in self.calls[at:])


# ------------------------------------------------------------------------------------------------------- the audit log

_LINE = re.compile(rb'\{"seq":(\d+),.*,"hash":"([0-9a-f]{64})"\}')


def read_audit(log_dir):
    """All records of the log, after a check of every sequence number and every link of the hash chain."""
    older = sorted(p for p in log_dir.iterdir() if re.fullmatch(r"audit-\d{20}\.jsonl", p.name))
    records, seq, last = [], 0, b"0" * 64
    for path in [*older, log_dir / "audit.jsonl"]:
        text = path.read_bytes() if path.exists() else b""
        assert not text or text.endswith(b"\n"), f"{path.name}: its last line is torn"
        limit = int(path.name[6:26]) if path in older else None
        for line in text.splitlines():
            found = _LINE.fullmatch(line)
            assert found, f"{path.name}: not a line of the chain: {line[:200]!r}"
            if limit is not None and int(found[1]) > limit:
                break  # a copy of what the next file begins with
            seq += 1
            assert int(found[1]) == seq, f"{path.name}: line {int(found[1])} stands where {seq} belongs"
            sum_ = hashlib.sha256(last + line[:line.rindex(b',"hash":')]).hexdigest().encode()
            assert found[2] == sum_, f"{path.name}: the chain breaks at line {seq}"
            last = sum_
            records.append(json.loads(line))
    return records


class Seen:
    """What clients were sent: whole answers, and whatever arrived of those that a kill cut off."""

    def __init__(self):
        self._lock = threading.Lock()
        self.values = []

    def take(self, raw, name):
        """The token in the bytes of an answer, or None."""
        value = re.search(rb'"token":"([^"]+)', raw)
        if not value:
            return None
        found = {"value": value[1].decode(), "token": name}
        for key in ("generation", "token_id", "request_id"):
            member = re.search(rb'"%s":\s*"?([^",}]+)["},]' % key.encode(), raw)
            found[key] = member[1].decode() if member else None
        with self._lock:
            self.values.append(found)
        return found["value"]

    def check(self, records):
        """P1: each of them has its record."""
        authorised = [r for r in records if r["event"] == "authorised"]
        by_request = {r["request_id"]: r for r in authorised}
        for one in self.values:
            if one["request_id"]:
                found = [by_request[one["request_id"]]] if one["request_id"] in by_request else []
            else:
                found = authorised  # its end, where the number stands, did not arrive
            found = [r for r in found if r["token"] == one["token"]
                     and one["generation"] in (None, str(r["generation"]))
                     and one["token_id"] in (None, r.get("token_id"))]
            assert found, f"P1: a client was sent a value that has no record: {({**one, 'value': '...'})}"


def ask_raw(door, target, timeout=60.0):
    """GET target, with a connection of its own. All bytes that came, even when the connection was cut; b"" when there
    is no daemon."""
    answer = b""
    connection = d.UnixConnection(door.path, timeout)
    with contextlib.suppress(OSError):
        connection.connect()
        connection.sock.sendall(f"GET /api/v1/{target} HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\n"
                                "Connection: close\r\n\r\n".encode())
        while chunk := connection.sock.recv(65536):
            answer += chunk
    connection.close()
    return answer


# ---------------------------------------------------------------------------------------------------- one path, all of it


def only(points, sides, pattern):
    """The runs to make: (point, side), all or those whose "side text #nth" the pattern finds."""
    runs = [(p, s) for p in points for s in sides(p)]
    return [(p, s) for p, s in runs if not pattern or re.search(pattern, f"{s} {p}")]


def in_parallel(function, items, workers):
    """function(item) for all of them, in threads. The results, an exception being one as well."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(function, item) for item in items]
        return [f.exception() or f.result() for f in futures]


def workers():
    """Daemons at once. They wait most of the time."""
    return int(os.environ.get("TB_CRASH_WORKERS", "24"))
