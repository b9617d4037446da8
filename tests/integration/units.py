# SPDX-License-Identifier: Apache-2.0
"""Processes that look like systemd's, without systemd: in control groups of a name, with its client's address.

The control groups are made in the unified hierarchy, below a slice of our own (fixture slice_dir), and are removed
afterwards.
"""

import json
import os
import pathlib
import subprocess

MIB = 1 << 20

# What systemd does for LoadCredential=ID:SOCKET. Says what it would have: "given" is what the service would find in its
# file, None when the unit fails, because of an error or of more than 1 MiB.
CLIENT = r"""
import errno, hashlib, json, os, random, socket, sys, time
path, unit, ident, opts = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
os.setgroups([])
if opts.get("uid"):
    os.setgid(opts["uid"]); os.setuid(opts["uid"])
out = {"given": None, "read": 0, "error": None}
start = time.monotonic()
try:
    s = socket.socket(socket.AF_UNIX)
    name = opts.get("name")
    if name is None:
        name = "\0%x/unit/%s/%s" % (random.getrandbits(64), unit, ident)
    if name:
        s.bind(name.encode())
    s.connect(path)
    s.shutdown(socket.SHUT_WR)
    if opts.get("ready"):
        print("connected", flush=True)
    if opts.get("stall"):
        sys.stdin.readline()
    data = b""
    while len(data) <= 1 << 20:
        part = s.recv(65536)
        if not part:
            break
        data += part
    out["read"] = len(data)
    if len(data) <= 1 << 20:
        out["given"] = data.decode()
except OSError as e:
    out["error"] = errno.errorcode[e.errno]
out["seconds"] = time.monotonic() - start
print(json.dumps(out), flush=True)
"""


def cgroup_root():
    for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return pathlib.Path(fields[1])
    return None


def remove(path):
    """A control group and all below it; False while somebody is in there."""
    groups = [path, *(p for p in path.rglob("*") if p.is_dir())]
    try:
        for group in sorted(groups, key=lambda p: len(p.parts), reverse=True):
            group.rmdir()
    except OSError:
        return False
    return True


def entering(path):
    """For preexec_fn: go into that control group, which is made when it is not there."""
    path.mkdir(exist_ok=True, parents=True)

    def enter():
        (path / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    return enter


def in_cgroup(path, *argv, **kwargs):
    return subprocess.run(list(argv), preexec_fn=entering(path), capture_output=True, text=True, timeout=120,
                          check=False, **kwargs)


class Client:
    """systemd's client, for a unit of this name and (cgroup) in a control group of that name."""

    def __init__(self, tb, slice_dir, unit, ident, cgroup=None, **opts):
        argv = ["/usr/bin/python3", "-c", CLIENT, tb.credential_socket, unit, ident, json.dumps(opts)]
        self.process = subprocess.Popen(argv, preexec_fn=entering(slice_dir / (cgroup or unit)), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if opts.get("ready"):
            assert self.process.stdout.readline() == "connected\n"

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, timeout=120):
        said = self.process.communicate(timeout=timeout)[0]
        return json.loads(said)


def fetch(tb, slice_dir, unit, ident, **kwargs):
    return Client(tb, slice_dir, unit, ident, **kwargs).end()


def must_fail(got):
    """The unit does not start, and not by luck: it read more than 1 MiB, or its socket broke."""
    assert got["given"] is None, got
    assert got["read"] > MIB or got["error"] in ("ECONNRESET", "ECONNREFUSED", "ENOENT"), got
    return got
