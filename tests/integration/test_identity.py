# SPDX-License-Identifier: Apache-2.0
"""Rules by unit, with the identity that the kernel gives: real processes in real control groups."""

import contextlib
import json
import os
import socket
import subprocess
import time

import pytest

import daemon as d
from units import in_cgroup

CONF = """\
[backend by-hand]
type = import
[token t]
backend = by-hand
kind = management
allow_full_access = yes
[client telegraf]
unit = telegraf*.service
tokens = t
[client by-user]
user = daemon
tokens = t
"""

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.send(b"GET /api/v1/tokens/t HTTP/1.1\\r\\nHost: x\\r\\nX-Tokenbroker: 1\\r\\nConnection: close\\r\\n\\r\\n")
print(s.makefile("rb").readline().split()[1].decode())
"""


@pytest.fixture
def tb():
    with d.Daemon(CONF) as one:
        one.ctl("import", "t", "--expires-at", "1d", stdin="M.V1.value-of-the-token\n", check=0)
        one.learn_value("M.V1.value-of-the-token")
        yield one


def ask(tb, path, **kwargs):
    return in_cgroup(path, "/usr/bin/python3", "-c", ASK, tb.api.path, **kwargs).stdout.strip()


def strong(tb):
    return "pidfd of the connector" in tb.log()


def test_unit_rule(tb, slice_dir):
    if not strong(tb):
        pytest.skip("this kernel gives no pidfd for a peer: units are weak")
    assert ask(tb, slice_dir / "telegraf.service") == "200"
    assert ask(tb, slice_dir / "grafana.service") == "403"
    record = [r for r in tb.audit("authorised") if r["token"] == "t"][-1]
    assert record["unit"] == "telegraf.service" and record["strength"] == "strong", record


def test_delegated_subtree_imitates_nobody(tb, slice_dir):
    """The first component that is no slice is the unit, whatever its owner calls what is below."""
    assert ask(tb, slice_dir / "evil.service" / "telegraf.service") == "403"
    assert ask(tb, slice_dir / "telegraf-2.service" / "whatever") in ("200", "403" if not strong(tb) else "200")


def test_user_rule(tb):
    done = subprocess.run(["/usr/bin/python3", "-c", ASK, tb.api.path], capture_output=True, text=True, user="daemon",
                          group="daemon", extra_groups=[], check=False)
    assert done.stdout.strip() == "200", done
    assert tb.ctl("get", "t").returncode == 4, "root has no rule here"


def test_explain(tb, slice_dir):
    path = slice_dir / "telegraf.service"
    path.mkdir()
    sleeper = subprocess.Popen(["sleep", "60"],
                               preexec_fn=lambda: (path / "cgroup.procs").write_text(str(os.getpid())))
    try:
        said = tb.ctl("explain", "--pid", sleeper.pid, "t", check=0).stdout
        assert "telegraf.service" in said
        assert f"{tb.conf_file}:" in said, said
        assert tb.ctl("explain", "--self", "t", check=0).stdout
    finally:
        sleeper.kill()
        sleeper.wait()


def test_inherited_descriptor(tb):
    """Who sends must be who connected: 421, and the connection is over."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tb.api.path))
    request = b"GET /api/v1/self HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\n\r\n"
    if os.fork() == 0:
        sock.send(request)
        os._exit(0)
    os.wait()
    assert b" 421 " in sock.recv(4096).split(b"\r\n")[0]
    sock.close()


def test_setuid_after_connect(tb):
    script = ("import os, socket, sys\n"
              "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
              "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
              "s.send(b'GET /api/v1/self HTTP/1.1\\r\\nHost: x\\r\\nX-Tokenbroker: 1\\r\\n\\r\\n')\n"
              "print(s.recv(4096).split(b'\\r\\n')[0].decode())\n")
    done = subprocess.run(["/usr/bin/python3", "-c", script, tb.api.path], capture_output=True, text=True, check=False)
    assert " 421 " in done.stdout, done


def test_dead_connector(tb):
    """The connector is gone; whoever holds its descriptor is not it, even with a pid that was used again."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tb.api.path))
        socket.send_fds(theirs, [b"x"], [sock.fileno()])
        os._exit(0)
    fds = socket.recv_fds(ours, 1, 1)[1]
    os.wait()
    sock = socket.socket(fileno=fds[0])
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.send(b"GET /api/v1/self HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\n\r\n")
        first = sock.recv(4096).split(b"\r\n")[0]
        assert b" 200 " not in first, first
    sock.close()


def test_descriptors_are_not_taken(tb):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tb.api.path))
    with contextlib.suppress(PermissionError, BrokenPipeError):
        socket.send_fds(sock, [b"GET /api/v1/self HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\n\r\n"], [0, 1, 2])
        time.sleep(0.1)
    held = os.listdir(f"/proc/{tb.process.pid}/fd")
    assert len(held) < 64
    sock.close()
    assert tb.is_up()


def test_self(tb):
    me = tb.api.request("self").json()["principal"]
    assert me["uid"] == 0 and me["gid"] == 0


def test_groups_are_the_kernels(tb):
    """Supplementary groups count as of connect(2)."""
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
              "s.send(b'GET /api/v1/self HTTP/1.1\\r\\nHost: x\\r\\nX-Tokenbroker: 1\\r\\nConnection: close\\r\\n\\r\\n')\n"
              "print(s.makefile('rb').read().decode().split('\\r\\n\\r\\n')[1])\n")
    done = subprocess.run(["/usr/bin/python3", "-c", script, tb.api.path], capture_output=True, text=True, user=d.NOBODY,
                          group=d.NOBODY, extra_groups=[12, 34], check=False)
    me = json.loads(done.stdout)["principal"]
    assert me["uid"] == d.NOBODY and {12, 34} <= set(me["groups"]), me
