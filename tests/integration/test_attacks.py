# SPDX-License-Identifier: Apache-2.0
"""P6 from the other side: real processes that try to pass for somebody else. None of them gets the token."""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

import daemon as d
import oldkernel
import units
import util
from units import in_cgroup

VALUE = "M.V1.value-of-the-token"
CONF = """\
[backend by-hand]
type = import
[token t]
backend = by-hand
kind = management
allow_full_access = yes
[token weak]
backend = by-hand
kind = management
allow_full_access = yes
[client telegraf]
unit = telegraf.service
tokens = t
[client unsure]
unit = telegraf.service
tokens = weak
min_identity = weak
[client trusted-user]
user = daemon
tokens = t
"""

# For scripts: connect, ask for a token on a socket (whoever sends it), and the status that comes back.
COMMON = r"""
import array, os, signal, socket, struct, sys, time
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); return s
def request(token="t"):
    return (f"GET /api/v1/tokens/{token} HTTP/1.1\r\nHost: x\r\nX-Tokenbroker: 1\r\nConnection: close\r\n\r\n").encode()
def status(s):
    try:
        line = s.makefile("rb").readline().split()
        return line[1].decode() if line else "closed"
    except OSError as e:
        return "closed"
"""


def start(conf=CONF, **kwargs):
    tb = d.Daemon(conf, **kwargs)
    tb.start()
    for name in ("t", "weak"):
        tb.ctl("import", name, "--expires-at", "1d", stdin=VALUE + "\n", check=0)
    tb.learn_value(VALUE)
    return tb


@pytest.fixture
def tb():
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(running(start()))


@contextlib.contextmanager
def running(tb):
    try:
        yield tb
    except BaseException:
        tb.__exit__(*sys.exc_info())
        raise
    tb.end()


def old(version):
    if not oldkernel.supported():
        pytest.skip("no system call numbers for this machine")
    return running(start(wrap=["/usr/bin/python3", oldkernel.__file__, version]))


def run(tb, group, script, *args, **kwargs):
    done = in_cgroup(group, "/usr/bin/python3", "-c", COMMON + script, tb.api.path, *args, **kwargs)
    return done.stdout.strip() or done.stderr


ASK = "s = connect(); s.send(request(*sys.argv[2:])); print(status(s))"


def test_the_unit_itself(tb, slice_dir):
    """What the attacks below want to have works for whom it is meant."""
    assert run(tb, slice_dir / "telegraf.service", ASK) == "200"
    assert run(tb, slice_dir / "grafana.service", ASK) == "403"


# ------------------------------------------------------------------ recycled pid


def fork_with_pid(pid, group):
    """A process of exactly this number in that control group, asleep. None: this kernel does not let us."""
    class Args(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size")]
    wanted = (ctypes.c_int * 1)(pid)
    args = Args(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    libc = ctypes.CDLL(None, use_errno=True)
    enter = units.entering(group)
    got = libc.syscall(435, ctypes.byref(args), ctypes.sizeof(args))
    if got == 0:
        with contextlib.suppress(BaseException):
            enter()
            os.execv("/bin/sleep", ["sleep", "60"])
        os._exit(1)
    return got if got > 0 else None


def recycled(tb, slice_dir, token):
    """Connects from evil.service and dies; before the daemon looks, a process of telegraf.service has its number."""
    tb.process.send_signal(signal.SIGSTOP)
    script = """
s = connect(); s.send(request(sys.argv[2]))
if os.fork() == 0:
    sys.stdin.readline()
    print(status(s), flush=True)
"""
    attacker = subprocess.Popen(["/usr/bin/python3", "-c", COMMON + script, tb.api.path, token],
                                preexec_fn=units.entering(slice_dir / "evil.service"), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
    attacker.wait()
    victim = None
    for _ in range(50):  # the number may be taken for the moment
        victim = fork_with_pid(attacker.pid, slice_dir / "telegraf.service")
        if victim or ctypes.get_errno() == 1:
            break
    try:
        if not victim:
            pytest.skip("this process may not choose the pid of a new one (clone3 set_tid)")
        lines = pathlib.Path(f"/proc/{attacker.pid}/cgroup")
        util.wait_until(lambda: "/telegraf.service" in lines.read_text(encoding="ascii"), 20, "the victim's group")
        tb.process.send_signal(signal.SIGCONT)
        attacker.stdin.write("\n")
        attacker.stdin.flush()
        return attacker.stdout.readline().strip()
    finally:
        tb.process.send_signal(signal.SIGCONT)
        attacker.stdin.close()
        if victim:
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)


@pytest.mark.parametrize("token", ["t", "weak"])
def test_recycled_pid(tb, slice_dir, token):
    """The pidfd is the connector's, not that of a number: nobody is taken for the one who has it now."""
    assert recycled(tb, slice_dir, token) == "closed"


def test_recycled_pid_on_an_old_kernel(slice_dir):
    """Without SO_PEERPIDFD the number is all there is: a strong rule is not fooled. A weak one is; hence the word."""
    with old("6.1") as tb:
        assert recycled(tb, slice_dir, "t") == "403"
        assert recycled(tb, slice_dir, "weak") == "200"


# ------------------------------------------------------------------ old kernels


def test_linux_6_1(slice_dir):
    """Debian 12's own kernel: units are weak, rules say whether that is enough; the credential door rests on root."""
    with old("6.1") as tb:
        assert "no SO_PEERPIDFD" in tb.log() and "min_identity = weak" in tb.log()
        assert run(tb, slice_dir / "telegraf.service", ASK) == "403"
        assert "unit identity is weak" in tb.log()
        assert run(tb, slice_dir / "telegraf.service", ASK, "weak") == "200"
        assert run(tb, slice_dir / "grafana.service", ASK, "weak") == "403"
        assert units.fetch(tb, slice_dir, "telegraf.service", "t")["given"] == VALUE
        assert tb.audit("authorised")[-1]["strength"] == "weak"
        units.must_fail(units.fetch(tb, slice_dir, "telegraf.service", "t", cgroup="grafana.service"))


def test_linux_6_12(slice_dir):
    """A pidfd, but no cgroup id by it: strong all the same, by the text of /proc inside the bracket."""
    with old("6.12") as tb:
        assert "pidfd of the connector" in tb.log() and "cgroup id" not in tb.log()
        assert run(tb, slice_dir / "telegraf.service", ASK) == "200"
        assert run(tb, slice_dir / "grafana.service", ASK) == "403"
        assert tb.audit("authorised")[-1]["strength"] == "strong"
        assert units.fetch(tb, slice_dir, "telegraf.service", "t")["given"] == VALUE
        assert recycled(tb, slice_dir, "t") == "closed"


# ------------------------------------------------------- who sends, who connected


def test_dead_at_accept(tb, slice_dir):
    """The connector is gone before the daemon looks; somebody else holds its descriptor."""
    tb.process.send_signal(signal.SIGSTOP)
    script = """
s = connect(); s.send(request())
if os.fork() == 0:
    print(status(s), flush=True)
"""
    attacker = subprocess.Popen(["/usr/bin/python3", "-c", COMMON + script, tb.api.path],
                                preexec_fn=units.entering(slice_dir / "telegraf.service"), stdout=subprocess.PIPE,
                                text=True)
    attacker.wait()
    tb.process.send_signal(signal.SIGCONT)
    assert attacker.communicate(timeout=30)[0].strip() == "closed"


def test_connect_fork_exec(tb, slice_dir):
    """Connects, leaves the connection to a child, and becomes a trusted program: that counts for nothing."""
    script = """
s = connect()
r, w = os.pipe()
if os.fork() == 0:
    os.close(w); os.read(r, 1); time.sleep(0.2)   # until the parent is the other program
    s.send(request()); print(status(s), flush=True)
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(0)
os.set_inheritable(w, False)
os.execv("/bin/sleep", ["sleep", "30"])
"""
    assert run(tb, slice_dir / "evil.service", script) == "421"
    # by itself, as the other program: still the unit that it is
    assert run(tb, slice_dir / "evil.service", """
s = connect(); os.dup2(s.fileno(), 9); os.set_inheritable(9, True); s.send(request()[:40])
shell = "printf '%s' \\"$1\\" >&9; read -r _ code _ <&9; echo $code"
os.execv("/bin/bash", ["bash", "-c", shell, "bash", request()[40:].decode()])
""") == "403"


def test_child_in_another_unit(tb, slice_dir):
    """telegraf connects; a child of it, moved elsewhere, inherits the descriptor."""
    script = """
s = connect()
if os.fork() == 0:
    os.makedirs(sys.argv[2], exist_ok=True)
    open(sys.argv[2] + "/cgroup.procs", "w").write(str(os.getpid()))
    s.send(request()); print(status(s), flush=True)
    os._exit(0)
os.wait()
"""
    assert run(tb, slice_dir / "telegraf.service", script, str(slice_dir / "evil.service")) == "421"


def test_credentials_forged_in_a_user_namespace(tb, slice_dir):
    """Root of its own user and pid namespace may write what it likes into SCM_CREDENTIALS, of what it can name."""
    script = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
s = connect()
me, uid = os.getpid(), os.getuid()
if os.fork() == 0:
    if libc.unshare(0x10000000 | 0x20000000):   # CLONE_NEWUSER | CLONE_NEWPID
        print("no user namespaces"); os._exit(0)
    open("/proc/self/setgroups", "w").write("deny")
    open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
    if os.fork() == 0:
        for pid in (me, 1, os.getpid(), os.getppid()):
            for claimed in (0, uid, 1, 65534):
                try:
                    s.sendmsg([request()], [(socket.SOL_SOCKET, 2, struct.pack("iII", pid, claimed, claimed))])
                    print(status(s), flush=True)
                    os._exit(0)
                except OSError:
                    pass
        s.send(request())
        print(status(s), flush=True)
        os._exit(0)
    os.wait(); os._exit(0)
os.wait()
"""
    said = run(tb, slice_dir / "telegraf.service", script)
    if "no user namespaces" in said:
        pytest.skip("this machine allows no user namespaces")
    assert said == "421", said


def test_root_of_a_user_namespace_is_not_root(tb, slice_dir):
    """At the credential door, even where somebody opened its socket to everybody."""
    os.chmod(tb.credential_socket, 0o666)
    script = units.CLIENT.replace("os.setgroups([])", "")
    argv = ["setpriv", f"--reuid={d.NOBODY}", f"--regid={d.NOBODY}", "--clear-groups", "unshare", "--user",
            "--map-root-user", "/usr/bin/python3", "-c", script, tb.credential_socket, "telegraf.service", "t", "{}"]
    done = in_cgroup(slice_dir / "telegraf.service", *argv)
    if "unshare" in done.stderr:
        pytest.skip("this machine allows no user namespaces")
    units.must_fail(units.json.loads(done.stdout))


# ------------------------------------------------------------- names of others


@pytest.mark.parametrize("group", [
    "evil.service/telegraf.service",                                       # Delegate=yes
    "evil.service/x.slice/telegraf.service",
    "user-1000.slice/user@1000.service/app.slice/telegraf.service",        # a user's unit of that name
    "user-1000.slice/user@1000.service/telegraf.service",
    "user-1000.slice/session-1.scope/telegraf.service",
    "docker/telegraf.service",                                             # not systemd's
    "_evil.service/telegraf.service",
    "__telegraf.service",
    "telegraf.service.d",
])
def test_group_that_imitates(tb, slice_dir, group):
    """Neither door takes a group for telegraf.service that is not systemd's own for it."""
    assert run(tb, slice_dir / group, ASK) == "403"
    units.must_fail(units.fetch(tb, slice_dir, "telegraf.service", "t", cgroup=group))


def test_delegated_subtree_of_the_unit_is_the_unit(tb, slice_dir):
    assert run(tb, slice_dir / "telegraf.service" / "grafana.service", ASK) == "200"
    assert units.fetch(tb, slice_dir, "telegraf.service", "t", cgroup="telegraf.service/sub")["given"] == VALUE


def test_escaped_name(slice_dir):
    """systemd keeps memory.service in _memory.service, away from the files of cgroup itself."""
    with running(start(CONF.replace("telegraf.service", "memory.service"))) as tb:
        assert run(tb, slice_dir / "_memory.service", ASK) == "200"
        assert units.fetch(tb, slice_dir, "memory.service", "t", cgroup="_memory.service")["given"] == VALUE


def test_nested_pid_namespace(tb, slice_dir):
    """A container with host root, in the control group of a unit: never that unit."""
    group = slice_dir / "telegraf.service"
    wrap = ["unshare", "--pid", "--fork", "/usr/bin/python3", "-c"]
    done = in_cgroup(group, *wrap, COMMON + ASK, tb.api.path)
    if "unshare" in done.stderr:
        pytest.skip("this machine allows no pid namespaces")
    assert done.stdout.strip() == "403", done
    done = in_cgroup(group, *wrap, units.CLIENT, tb.credential_socket, "telegraf.service", "t", "{}")
    units.must_fail(units.json.loads(done.stdout))
    assert "container" in tb.log()


BOXED = """
echo $$ >"$1/cgroup.procs"; exec unshare --cgroup --mount -- /bin/sh -c '
mount -t cgroup2 cgroup2 "$2" && mount --move "$2" "$3" && shift 3 && exec "$@"' "$0" "$@"
"""


def test_outside_of_our_cgroup_namespace(slice_dir, tmp_path):
    """What the daemon sees as /../telegraf.service is no unit of the tree that it knows."""
    (slice_dir / "box").mkdir()
    wrap = ["/bin/sh", "-c", BOXED, "sh", str(slice_dir / "box"), str(tmp_path), str(units.cgroup_root())]
    with running(start(wrap=wrap)) as tb:
        text = in_cgroup(slice_dir / "telegraf.service", "nsenter", "-t", str(tb.process.pid), "-C", "cat",
                         "/proc/self/cgroup").stdout
        assert "/../telegraf.service" in text, text
        assert run(tb, slice_dir / "telegraf.service", ASK) == "403"
        units.must_fail(units.fetch(tb, slice_dir, "telegraf.service", "t"))
        assert run(tb, slice_dir / "box" / "telegraf.service", ASK) == "200"
        assert units.fetch(tb, slice_dir / "box", "telegraf.service", "t")["given"] == VALUE


def test_pid_of_the_unit_that_died(tb, slice_dir):
    """At the credential door: the connector is dead, and its descriptor in other hands. No value, and no clean end."""
    tb.process.send_signal(signal.SIGSTOP)
    shut = "    s.shutdown(socket.SHUT_WR)\n"
    script = units.CLIENT.replace(shut, shut + "    if os.fork():\n        os._exit(0)\n")
    attacker = subprocess.Popen(["/usr/bin/python3", "-c", script, tb.credential_socket, "telegraf.service", "t", "{}"],
                                preexec_fn=units.entering(slice_dir / "telegraf.service"), stdout=subprocess.PIPE,
                                text=True)
    attacker.wait()
    tb.process.send_signal(signal.SIGCONT)
    units.must_fail(units.json.loads(attacker.communicate(timeout=30)[0]))


def test_setuid_after_connect(tb, slice_dir):
    """daemon has a rule; it connects, and whoever it becomes then is not it."""
    script = """
os.setgroups([]); os.setgid(1); os.setuid(0); s = connect()
os.setresuid(1, 1, 1)
s.send(request()); print(status(s))
"""
    assert run(tb, slice_dir / "telegraf.service", script) == "421"
    script = "os.setgroups([]); os.setgid(1); os.setuid(1); s = connect(); s.send(request()); print(status(s))"
    assert run(tb, slice_dir / "evil.service", script) == "200", "daemon, by its own rule"


def test_another_uid_in_the_unit_needs_the_rule_only(tb, slice_dir):
    """unit= alone takes every user of the unit; that is what the manual says."""
    become = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    assert run(tb, slice_dir / "telegraf.service", become + ASK) == "200"


HIDING = """
mount -t proc -o hidepid=invisible proc /proc && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
"""


def test_hidden_processes(slice_dir):
    """A daemon that is not root, where /proc hides other users' processes: no units; at the credential door uid 0 counts."""
    tb = d.Daemon(CONF, wrap=["unshare", "--mount", "/bin/sh", "-c", HIDING, "sh"])
    for path in (tb.dir, tb.run_dir, tb.key_file):
        os.chown(path, d.NOBODY, d.NOBODY)
    with running(tb):
        tb.start()
        tb.learn_value(VALUE)
        tb.ctl("import", "t", "--expires-at", "1d", stdin=VALUE + "\n", check=0)
        assert "control groups of other users cannot be read" in tb.log()
        assert run(tb, slice_dir / "telegraf.service", ASK) == "403"
        assert units.fetch(tb, slice_dir, "telegraf.service", "t")["given"] == VALUE
        assert tb.audit("authorised")[-1]["strength"] == "weak"
        os.chmod(tb.credential_socket, 0o666)
        units.must_fail(units.fetch(tb, slice_dir, "telegraf.service", "t", uid=1))
