# SPDX-License-Identifier: Apache-2.0
"""tokenbrokerctl watch: what a consumer reads follows the daemon, and nothing else.

The tokens are imported, so that a test decides when there is a new one, without any service.
"""

import base64
import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import tomllib

import pytest
import yaml

import daemon as d
import util
from sandbox import Sandbox
from test_outages import WallClock
from test_release import CONF as MINTING

CONF = """\
[backend by-hand]
type = import
[token one]
backend = by-hand
kind = management
allow_full_access = yes
[token two]
backend = by-hand
kind = management
allow_full_access = yes
[client root]
user = root
tokens = one two
"""
RULE = "[client root]\nuser = root\n"
TEMPLATES = pathlib.Path(__file__).resolve().parents[2] / "templates"


class Tokens(d.Daemon):
    def rotate(self, name="one", expires="1h", value=None):
        value = value or "apiv1_" + secrets.token_urlsafe(24)
        self.learn_value(value)
        self.ctl("import", name, "--expires-at", expires, stdin=value, check=0)
        return value


@pytest.fixture
def tb():
    with Tokens(CONF) as one:
        yield one


@pytest.fixture
def shm():
    """A directory of ours in memory."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="tbw-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Watch:
    """One `tokenbrokerctl watch` in the background, with a socket for what it tells systemd."""

    def __init__(self, tb, *args, env=None):
        self.tb, self.said = tb, []
        self.log = tb.dir / f"watch-{secrets.token_hex(4)}.log"  # searched for secrets with all others
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = tb.dir / f"n-{secrets.token_hex(4)}"
        self.notify.bind(str(path))
        self.notify.setblocking(False)
        self.process = util.spawn([d.program("tokenbrokerctl"), "watch", *map(str, args)], log=self.log,
                                  env={**os.environ, "TOKENBROKER_RUN_DIR": str(tb.run_dir),
                                       "NOTIFY_SOCKET": str(path), **(env or {})})

    def told(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said += self.notify.recv(4096).decode().split("\n")
        return self.said

    def output(self):
        return self.log.read_text(errors="replace")

    def await_ready(self):
        util.wait_until(lambda: "READY=1" in self.told() or self.process.poll() is not None, 30, "READY=1")
        assert self.process.poll() is None, self.output()
        return self

    def await_output(self, text, timeout=30):
        util.wait_until(lambda: text in self.output(), timeout, f"{text!r} in {self.output()}")

    def end(self, status=0, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        got = self.process.wait(30)
        self.notify.close()
        assert got == status, (got, self.output())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        util.end_process(self.process, signal.SIGKILL)
        if exc[0] is not None:
            print(self.output())


def reads(path):
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return None


def await_content(path, text, timeout=30):
    util.wait_until(lambda: reads(path) == text, timeout, f"the new content of {path}")


# ----------------------------------------------------------------------- files


def test_file_follows_the_token(tb, shm):
    first = tb.rotate()
    with Watch(tb, "one", "--write", shm / "t", "--mode", "0640").await_ready() as w:
        assert reads(shm / "t") == first
        assert stat.S_IMODE((shm / "t").stat().st_mode) == 0o640
        before = (shm / "t").stat().st_ino
        second = tb.rotate()
        await_content(shm / "t", second)
        assert (shm / "t").stat().st_ino != before and os.listdir(shm) == ["t"]
        assert any(s.startswith("STATUS=one: generation ") for s in w.told())
        w.end()
    assert reads(shm / "t") == second, "without --remove-on-exit it stays"


def test_daemon_is_told_when_a_value_stays(tb, shm):
    """A watch uses the newest value; a file that is written once does not change, and a canary may keep the old one."""
    tb.rotate()
    with Watch(tb, "one", "--write", shm / "t").await_ready() as w:
        w.end()
    tb.ctl("watch", "one", "--write", shm / "t", "--once", check=0)
    tb.ctl("watch", "one", "--once", "--exec", "true", check=0)
    with Watch(tb, "one", "--write", shm / "t", "--canary", "true").await_ready() as w:
        w.end()
    assert [r.get("delivery") for r in tb.audit("authorised")] == [None, "file", "other", "file"]


def test_readers_never_see_a_part(tb, shm):
    values = {tb.rotate(value="apiv1_" + "a" * 3000)}
    with Watch(tb, "one", "--write", shm / "t").await_ready() as w:
        for letter in "bcdef":
            last = tb.rotate(value="apiv1_" + letter * 3000)
            values.add(last)
            seen = set()
            while last not in seen:
                seen.add(reads(shm / "t"))
            assert seen <= values
        w.end()


def test_survives_restarts_and_outages(tb, shm):
    """The file stays while the daemon is away, and follows it afterwards."""
    first = tb.rotate()
    with Watch(tb, "one", "--write", shm / "t").await_ready() as w:
        tb.restart()
        second = tb.rotate()
        await_content(shm / "t", second)
        tb.kill()
        w.await_output("cannot reach tokenbrokerd")
        assert reads(shm / "t") == second != first
        tb.start()
        third = tb.rotate()
        await_content(shm / "t", third, 60)
        w.end()
    assert w.output().count("cannot reach") <= 2, "an outage is told once, not at every try"


def test_backs_off(tb, shm):
    """Of a door that only hangs up it asks ever less often."""
    tb.rotate()
    with Watch(tb, "one", "--write", shm / "t").await_ready() as w:
        tb.stop()
        (tb.run_dir / "api.sock").unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tb.run_dir / "api.sock"))
        listener.listen(64)
        listener.settimeout(0.2)
        count, start = 0, time.monotonic()
        while time.monotonic() - start < 8:
            with contextlib.suppress(TimeoutError):
                listener.accept()[0].close()
                count += 1
        listener.close()
        (tb.run_dir / "api.sock").unlink()
        assert 1 <= count <= 12
        w.end()


def test_removed_at_expiry(tb, shm):
    """On time, by whatever the clock says, and with the daemon away; a new one comes back by itself."""
    tb.rotate(expires="8s")
    start = time.monotonic()
    with Watch(tb, "one", "--write", shm / "t", "--exec", "/bin/sh -c 'echo $TOKENBROKER_EVENT; date +%s'").await_ready() as w:
        tb.kill()
        util.wait_until(lambda: reads(shm / "t") is None, 30, "the end of the file")
        assert 5 <= time.monotonic() - start < 20
        w.await_output("expired: what was delivered is removed")
        w.await_output("removed\n")
        tb.start()
        await_content(shm / "t", tb.rotate(), 60)
        w.end()


@pytest.mark.parametrize("how", ["canary", "full", "hangup"])
def test_removed_at_its_own_expiry(tb, shm, how):
    """What is there ends when its own value does, whatever became of the newer one that never got there."""
    first = tb.rotate(expires="15s")
    (shm / "in").write_text("{{token one}}")
    canary = ["--canary", f"/bin/sh -c 'test ! -e {shm}/bad'"] if how == "canary" else []
    with Watch(tb, "--template", shm / "in", "--write", shm / "t", *canary).await_ready() as w:
        assert reads(shm / "t") == first
        if how == "hangup":
            tb.kill()
            w.process.send_signal(signal.SIGHUP)  # the values are asked for again, and nobody is there
            w.await_output("cannot reach tokenbrokerd")
        else:
            (shm / "bad").touch()
            if how == "full":  # in the way of what is written before it gets its name
                (shm / ".t.tokenbroker").mkdir()
            tb.rotate(expires="1h")
            w.await_output("trying again in")
        assert reads(shm / "t") == first
        util.wait_until(lambda: reads(shm / "t") is None, 40, "the end of the file")
        w.await_output("expired: what was delivered is removed")
        w.end()


@pytest.mark.parametrize("hours", [1, -1])
def test_clock_that_is_set_moves_nothing(tb, shm, hours):
    """Neither does the file go sooner when the wall clock is set forward, nor later when it is set back."""
    clock = WallClock(tb.dir)
    value = tb.rotate(expires="15s")
    start = time.monotonic()
    with Watch(tb, "one", "--write", shm / "t", env=clock.env).await_ready() as w:
        clock.set(hours * 3600)
        inode = (shm / "t").stat().st_ino
        w.process.send_signal(signal.SIGHUP)  # it looks at everything again
        util.wait_until(lambda: (shm / "t").stat().st_ino != inode, 10, "the file, written again")
        assert reads(shm / "t") == value
        util.wait_until(lambda: reads(shm / "t") is None, 40, "the end of the file")
        assert time.monotonic() - start > 10
        w.end()


def test_removed_when_refused(tb, shm):
    """Only after the grace, and only when nothing but refusals came."""
    value = tb.rotate()
    with Watch(tb, "one", "--write", shm / "t", "--grace", "3s").await_ready() as w:
        tb.write_conf(CONF.replace(RULE, RULE + "action = deny\n"))
        tb.ctl("reload", check=0)
        w.await_output("denied: no rule allows you")
        assert reads(shm / "t") == value
        util.wait_until(lambda: reads(shm / "t") is None, 30, "the end of the file")
        w.await_output("refused: what was delivered is removed")
        tb.write_conf(CONF)
        tb.ctl("reload", check=0)
        await_content(shm / "t", value, 60)
        w.end()


@pytest.fixture(name="minting")
def make_minting():
    """A daemon that is logged in at the sandbox and mints the token db."""
    with Sandbox() as sandbox, Tokens(MINTING.format(issuer=sandbox.issuer)) as one:
        assert one.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        yield one


def current(tb, name="db"):
    value = tb.ctl("get", name, check=0).stdout.strip()
    tb.learn_value(value)
    return value


def test_revoked_value_is_replaced(minting, shm):
    """At once, by the one that is minted in its place; long before any grace is over."""
    with Watch(minting, "db", "--write", shm / "t").await_ready() as w:
        first = current(minting)
        assert reads(shm / "t") == first
        minting.ctl("revoke", "db", "--yes", check=0)
        util.wait_until(lambda: reads(shm / "t") not in (None, first), 40, "the newer value")
        assert reads(shm / "t") == current(minting)
        w.end()


def test_removed_when_the_login_is_gone(minting, shm):
    """Logged out, its tokens revoked, and nobody there who could have another minted."""
    with Watch(minting, "db", "--write", shm / "t", "--grace", "2s").await_ready() as w:
        current(minting)
        minting.ctl("logout", "ops", check=0)
        w.await_output("a human is needed")
        util.wait_until(lambda: reads(shm / "t") is None, 30, "the end of the file")
        w.await_output("refused: what was delivered is removed")
        w.end()


def test_short_refusal_removes_nothing(tb, shm):
    value = tb.rotate()
    with Watch(tb, "one", "--write", shm / "t", "--grace", "30s").await_ready() as w:
        inode = (shm / "t").stat().st_ino
        tb.write_conf(CONF.replace(RULE, RULE + "action = deny\n"))
        tb.ctl("reload", check=0)
        w.await_output("denied: no rule allows you")
        tb.write_conf(CONF)
        tb.ctl("reload", check=0)
        w.await_output("tokenbrokerd answers again")
        assert reads(shm / "t") == value and (shm / "t").stat().st_ino == inode
        w.end()


def test_denied_from_the_start(tb, shm):
    """Exit 4 at once, and what an earlier run left goes."""
    (shm / "t").write_text("old")
    with Watch(tb, "three", "--write", shm / "t") as w:
        assert w.process.wait(30) == 4
        assert "denied: no rule" in w.output() and not (shm / "t").exists()


def test_remove_on_exit(tb, shm):
    tb.rotate()
    with Watch(tb, "one", "--write", shm / "t", "--remove-on-exit").await_ready() as w:
        w.end()
    assert not (shm / "t").exists()


def test_once(tb, shm):
    value = tb.rotate()
    with Watch(tb, "one", "--write", shm / "t", "--once") as w:
        assert w.process.wait(30) == 0, w.output()
    assert reads(shm / "t") == value
    with Watch(tb, "two", "--write", shm / "u", "--once") as w:
        assert w.process.wait(60) in (1, 3, 5) and "two" in w.output()
    assert not (shm / "u").exists()


@pytest.mark.parametrize("args, code, text", [
    ([], 2, "which token?"),
    (["one"], 2, "where to?"),
    (["one", "--write", "t"], 1, "is not the absolute path"),
    (["one", "--write", "/root/t"], 1, "--allow-disk"),
    (["one", "--write", "{shm}/t", "--mode", "0644"], 2, "--mode: a token is for"),
    (["one", "--write", "{shm}/t", "--owner", "nobody-at-all"], 2, "there is no user"),
    (["one", "--write", "{shm}/t", "--template", "no-such"], 1, "templates/no-such"),
    (["one", "--mode", "0600", "--exec", "true"], 2, "are for --write"),
    (["one", "--keyring", "moon"], 2, "--keyring: 'moon'"),
    (["one", "--exec", "'"], 2, "--exec: a ' without its end"),
    (["one", "--exec", "true", "--", "true"], 2, "are the same"),
    (["one", "--exec", "true", "--signal", "x.service"], 2, "is not UNIT:SIGNAL"),
    (["one", "--config", "/nonexistent"], 1, "/nonexistent"),
    (["one", "--set", "x", "--exec", "true"], 2, "is not KEY=VALUE"),
])
def test_usage(tb, shm, args, code, text):
    done = tb.ctl("watch", *[a.format(shm=shm) for a in args])
    assert done.returncode == code and text in done.stderr, done


def test_link_is_not_followed(tb, shm):
    (shm / "t").symlink_to(shm / "elsewhere")
    done = tb.ctl("watch", "one", "--write", shm / "t")
    assert done.returncode == 1 and "symbolic link" in done.stderr


# -------------------------------------------------------------------- commands

SHOW = ("import os,sys; e=os.environ; f=e['TOKENBROKER_FILE']\n"
        "assert not [v for k, v in e.items() if 'apiv1_' in v] and 'apiv1_' not in ' '.join(sys.argv)\n"
        "v=open(f).read() if e['TOKENBROKER_EVENT'] != 'removed' else ''\n"
        "open(sys.argv[1],'a').write(' '.join([e['TOKENBROKER_EVENT'], e['TOKENBROKER_TOKEN'],"
        "e['TOKENBROKER_GENERATION'], f, v]) + chr(10))\n")


def test_exec_after_each_change(tb, shm):
    """Behind --, with a path that only the command can open; nothing of the value in arguments or environment."""
    first = tb.rotate()
    with Watch(tb, "one", "--", "/usr/bin/python3", "-c", SHOW, shm / "out").await_ready() as w:
        util.wait_until(lambda: first in (reads(shm / "out") or ""), 30, "the first run")
        second = tb.rotate()
        util.wait_until(lambda: second in reads(shm / "out"), 30, "the second run")
        w.end()
    lines = [line.split(" ") for line in reads(shm / "out").splitlines()]
    assert [(x[0], x[1], x[4]) for x in lines] == [("changed", "one", first), ("changed", "one", second)]
    assert all(x[3].startswith("/proc/self/fd/") for x in lines) and int(lines[1][2]) > int(lines[0][2])


def test_failing_command_is_told_and_tried_again(tb, shm):
    value = tb.rotate()
    script = f"test -e {shm}/good || exit 7; cp $TOKENBROKER_FILE {shm}/copy"
    with Watch(tb, "one", "--write", shm / "t", "--exec", f"/bin/sh -c '{script}'").await_ready() as w:
        w.await_output("/bin/sh exited with 7; trying again in")
        util.wait_until(lambda: any("could not be told" in s for s in w.told()), 10, "the status")
        assert reads(shm / "t") == value
        (shm / "good").touch()
        await_content(shm / "copy", value)
        w.end()


def test_removal_is_tried_until_it_is_done(tb, shm):
    """The directory is wrong at the very moment of the token's end: the value does not stay there for that."""
    log = shm / "told"
    tb.rotate(expires="10s")
    with Watch(tb, "one", "--write", shm / "t", "--exec", f"/bin/sh -c 'echo $TOKENBROKER_EVENT >>{log}'").await_ready() as w:
        util.wait_until(lambda: log.exists(), 20, "the command")
        shm.chmod(0o777)
        w.await_output("expired: what was delivered is still there: others may write into")
        assert "trying again in" in w.output() and (shm / "t").exists()
        shm.chmod(0o700)
        w.await_output("expired: what was delivered is removed")
        assert not (shm / "t").exists()
        util.wait_until(lambda: log.read_text().endswith("removed\n"), 20, "the command")
        assert log.read_text().count("removed") == 1
        w.end()
    tb.rotate()
    with Watch(tb, "one", "--write", shm / "t", "--remove-on-exit").await_ready() as w:
        shm.chmod(0o777)
        w.process.send_signal(signal.SIGTERM)
        assert w.process.wait(20) == 1
        assert "stopped: what was delivered is still there: others may write into" in w.output().splitlines()[-1]
        assert "trying again" not in w.output().splitlines()[-1]


def test_a_template_that_names_nothing_any_more(tb, shm):
    """Edited while it runs: what cannot be filled in is refused as at the start, and the template stays as it was."""
    value = tb.rotate()
    template = shm / "template"
    template.write_text("x={{token one}}\n")
    with Watch(tb, "--template", template, "--write", shm / "t").await_ready() as w:
        for text, said in (("nothing\n", "names no token"), ("x={{token one}} y={{token}}\n", "without a name")):
            template.write_text(text)
            w.process.send_signal(signal.SIGHUP)
            w.await_output(said)
            assert reads(shm / "t") == f"x={value}\n"
        assert w.output().count("the template stays as it was") == 2
        template.write_text("z={{token one}}\n")
        w.process.send_signal(signal.SIGHUP)
        await_content(shm / "t", f"z={value}\n")
        w.end()


def test_a_file_that_others_removed_comes_back(tb, shm):
    """Alone, or with its directory, as where a unit that is started again gets its RuntimeDirectory= anew."""
    where = shm / "d"
    where.mkdir()
    value = tb.rotate()
    with Watch(tb, "one", "--write", where / "t", "--exec", f"/bin/sh -c 'echo $TOKENBROKER_EVENT >>{shm}/told'").await_ready() as w:
        (where / "t").unlink()
        await_content(where / "t", value)
        shutil.rmtree(where)
        w.await_output("cannot open the directory")
        where.mkdir()
        await_content(where / "t", value)
        util.wait_until(lambda: reads(shm / "told") == "changed\n" * 3, 20, "the command, each time")
        assert w.output().count("is gone; it is written again") == 2
        w.end()


def test_another_state_with_the_same_numbers(tb, shm):
    """Behind a new connection: generation 1 of a state that was made anew is no reason to keep the old value."""
    tb.rotate()
    with Watch(tb, "one", "--write", shm / "t").await_ready() as w:
        tb.stop()
        for file in tb.state_dir.glob("*.tbr"):
            file.unlink()
        tb.start()
        value = tb.rotate()
        assert tb.token("one").json()["generation"] == 1
        await_content(shm / "t", value)
        w.end()


def test_what_an_earlier_run_left_is_not_kept_for_nothing(shm):
    """Killed, and started again while the service is away and the daemon has no value that is good: what stands there
    was good until nobody knows when."""
    with Sandbox() as sandbox, Tokens(MINTING.format(issuer=sandbox.issuer).replace("lifetime = 6h", "lifetime = 1h")) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        value = tb.token("db").json()["token"]
        (shm / "t").write_text(value)
        (shm / "t").chmod(0o600)
        sandbox.fault("status", 503, path="/api/v0")
        tb.ctl("revoke", "db", "--yes", check=None)
        with Watch(tb, "db", "--write", shm / "t", "--grace", "2s") as w:
            util.wait_until(lambda: reads(shm / "t") is None, 60, f"its end: {w.output()}")
            sandbox.clear_faults()
            util.wait_until(lambda: reads(shm / "t") not in (None, value), 60, f"a new one: {w.output()}")
            tb.learn_value(reads(shm / "t"))
            w.end()


def test_a_short_life_is_announced_once(tb):
    """A third of it is no second. (On a busy machine it is over before it is imported, and that is refused.)"""
    util.wait_until(lambda: tb.ctl("import", "one", "--expires-at", "2s", stdin=ODD).returncode == 0, 30, "an import")
    util.wait_until(lambda: not tb.token_status("one")["generations"], 20, "its end")
    assert len(tb.audit("expiring")) <= 1, len(tb.audit("expiring"))


def test_hanging_command_is_ended(tb, shm):
    tb.rotate()
    with Watch(tb, "one", "--exec", "/bin/sh -c 'sleep 600 & echo $! >&2; wait'", "--exec-timeout", "1s").await_ready() as w:
        w.await_output("took too long and was ended")
        child = int(w.output().split()[0])
        util.wait_until(lambda: util.has_ended(child), 20, "the end of what it started")
        w.end()


def test_stop_ends_a_command(tb):
    tb.rotate()
    with Watch(tb, "one", "--exec", "sleep 600", "--exec-timeout", "10m").await_ready() as w:
        start = time.monotonic()
        w.end()
        assert time.monotonic() - start < 20


def test_canary_decides(tb, shm):
    """What it refuses is not written; the old value stays; when it accepts, the newest is written."""
    first = tb.rotate()
    canary = f"/bin/sh -c 'test -e {shm}/bad && exit 3; cat $TOKENBROKER_FILE >{shm}/seen; cat {shm}/t >{shm}/then; exit 0'"
    with Watch(tb, "one", "--write", shm / "t", "--canary", canary).await_ready() as w:
        assert reads(shm / "t") == first == reads(shm / "seen")
        (shm / "bad").touch()
        second = tb.rotate()
        w.await_output("the canary refuses generation")
        assert reads(shm / "t") == first
        (shm / "bad").unlink()
        await_content(shm / "t", second)
        assert reads(shm / "seen") == second and reads(shm / "then") == first, "it looks before anything is replaced"
        w.end()


def test_pid_file(tb, shm):
    tb.rotate()
    script = "trap 'cat $1/t >$1/got' USR1; echo $$ >$1/pid; while :; do sleep 0.05; done"
    consumer = util.spawn(["/bin/sh", "-c", script, "sh", shm], log=tb.dir / "consumer.log")
    try:
        util.wait_until(lambda: reads(shm / "pid"), 10, "the consumer")
        with Watch(tb, "one", "--write", shm / "t", "--pid-file", f"{shm}/pid:USR1").await_ready() as w:
            await_content(shm / "got", tb.rotate())
            w.end()
    finally:
        consumer.kill()
        consumer.wait()


def test_config_file(tb, shm):
    """The options of the command line go before those of the file; an error names the file."""
    value = tb.rotate()
    conf = shm / "conf"
    conf.write_text(f"# a comment\ntoken = one\nwrite = {shm}/a b\nmode = 0400\nonce = yes\n")
    tb.ctl("watch", "--config", conf, check=0)
    assert reads(shm / "a b") == value and stat.S_IMODE((shm / "a b").stat().st_mode) == 0o400
    tb.ctl("watch", "--config", conf, "--mode", "0600", check=0)
    assert stat.S_IMODE((shm / "a b").stat().st_mode) == 0o600
    conf.write_text("tokn = one\n")
    done = tb.ctl("watch", "--config", conf)
    assert done.returncode == 2 and f"{conf}: unknown option '--tokn'; did you mean '--token'?" in done.stderr
    conf.write_text("token = one\nwrite\n")
    done = tb.ctl("watch", "--config", conf)
    assert done.returncode == 2 and f"{conf}:2: expected 'option = value'" in done.stderr


# -------------------------------------------------------------------- keyring

LIBC = ctypes.CDLL(None, use_errno=True)
KEYCTL_READ, KEYCTL_SEARCH, KEYCTL_DESCRIBE, KEYCTL_LINK, KEYCTL_CLEAR, KEYCTL_UNLINK = 11, 10, 6, 8, 7, 9
USER_KEYRING, PROCESS_KEYRING = -4, -2


def keyctl(op, *args):
    result = LIBC.syscall(250, op, *[a if isinstance(a, bytes) else ctypes.c_long(a) for a in args])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read_key(ring, name):
    """As Telegraf's "os" store: the key `name` of type user in the keyring `ring` of the user's keyring."""
    keyctl(KEYCTL_LINK, USER_KEYRING, PROCESS_KEYRING)
    try:
        found = keyctl(KEYCTL_SEARCH, keyctl(KEYCTL_SEARCH, USER_KEYRING, b"keyring", ring.encode(), 0), b"user",
                       name.encode(), 0)
        buf = ctypes.create_string_buffer(8192)
        n = LIBC.syscall(250, KEYCTL_READ, ctypes.c_long(found), buf, ctypes.c_size_t(8192))
        return buf.raw[:n].decode()
    except OSError:
        return None


def test_keyring(tb):
    """Found as Telegraf looks for it; with the end of the token as its own, also when nobody watches any more."""
    try:
        keyctl(KEYCTL_LINK, USER_KEYRING, PROCESS_KEYRING)
    except OSError as e:
        pytest.skip(f"no keyrings here: {e}")
    ring = f"tb{secrets.token_hex(4)}"
    first = tb.rotate()
    with Watch(tb, "one", "--keyring", f"user:{ring}", "--key", "influx_token").await_ready() as w:
        assert read_key(ring, "influx_token") == first
        second = tb.rotate()
        util.wait_until(lambda: read_key(ring, "influx_token") == second, 30, "the new key")
        tb.rotate(expires="5s")
        util.wait_until(lambda: read_key(ring, "influx_token") != second, 30, "the short one")
        w.end(-9, signal.SIGKILL)
    util.wait_until(lambda: read_key(ring, "influx_token") is None, 30, "the kernel's own end of it")
    keyctl(KEYCTL_UNLINK, keyctl(KEYCTL_SEARCH, USER_KEYRING, b"keyring", ring.encode(), 0), USER_KEYRING)


def test_a_key_of_another_watch_is_left_alone(tb):
    """One key straight in the user's keyring, one of the same name in a keyring below: each removes its own."""
    try:
        keyctl(KEYCTL_LINK, USER_KEYRING, PROCESS_KEYRING)
    except OSError as e:
        pytest.skip(f"no keyrings here: {e}")
    ring, key = f"tb{secrets.token_hex(4)}", f"tb{secrets.token_hex(4)}"
    tb.rotate()
    theirs = tb.rotate("two")
    with Watch(tb, "two", "--keyring", f"user:{ring}", "--key", key).await_ready() as other:
        with Watch(tb, "one", "--keyring", "user", "--key", key, "--remove-on-exit").await_ready() as w:
            assert read_key(ring, key) == theirs
            # as the kernel does at its end; a search that starts there finds the other one now
            keyctl(KEYCTL_UNLINK, keyctl(KEYCTL_SEARCH, USER_KEYRING, b"user", key.encode(), 0), USER_KEYRING)
            w.end()
        assert "what was delivered is removed" in w.output() and read_key(ring, key) == theirs
        other.end()
    keyctl(KEYCTL_UNLINK, keyctl(KEYCTL_SEARCH, USER_KEYRING, b"keyring", ring.encode(), 0), USER_KEYRING)


# --------------------------------------------------------------- get --format


def test_get_formats(tb, shm):
    """Each is what its reader reads; the daemon is asked in the same way for all."""
    value = tb.rotate(value=ODD)

    def get(*args, **kwargs):
        return tb.ctl("get", "one", *args, check=0, **kwargs).stdout

    assert get("--format", "raw") == value + "\n" and get("-fraw", "-n") == value
    assert json.loads(get("--format", "json"))["token"] == value
    assert get("--format", "header", "-n") == f"Authorization: Bearer {value}"
    assert get("--format", "header", "--scheme", "Token") == f"Authorization: Token {value}\n"
    (shm / "env").write_text(get("--format", "env", "--name", "T"))
    shown = subprocess.run(["sh", "-c", f"set -a; . {shm}/env; exec printenv T"], capture_output=True, text=True, check=True)
    assert shown.stdout == value + "\n"
    aws = json.loads(get("--format", "credential_process"))
    assert (aws["Version"], aws["AccessKeyId"], aws["SecretAccessKey"]) == (1, "one", value)
    info = {"KUBERNETES_EXEC_INFO": json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1",
                                                "kind": "ExecCredential", "spec": {"interactive": False}})}
    for env, version in ((None, "v1"), (info, "v1beta1")):
        k8s = json.loads(get("--format", "exec-credential", env=env))
        assert k8s["apiVersion"] == f"client.authentication.k8s.io/{version}" and k8s["kind"] == "ExecCredential"
        assert k8s["status"] == {"token": value, "expirationTimestamp": aws["Expiration"]}
        left = datetime.datetime.fromisoformat(aws["Expiration"]) - datetime.datetime.now(datetime.timezone.utc)
        assert 3000 < left.total_seconds() <= 3600
    for args, text in ((["--format", "yaml"], "none of raw, json"), (["--json", "--format", "env"], "give one of them"),
                       (["--scheme", "x"], "--scheme is for"), (["--format", "env", "--name", "1"], "no name of a variable")):
        done = tb.ctl("get", "one", *args)
        assert done.returncode == 2 and text in done.stderr and not done.stdout


# ------------------------------------------------------------------- templates

ODD = "odd\"x'y\\z$HOME`id`{{token}}#;%&"  # a token may hold any printable character


def test_several_tokens_and_hangup(tb, shm):
    one, two = tb.rotate("one"), tb.rotate("two")
    (shm / "in").write_text("a={{token one | sh}}\nb={{token two | json}} {{generation two}}\n")
    with Watch(tb, "--template", shm / "in", "--write", shm / "out").await_ready() as w:
        assert reads(shm / "out").startswith(f"a='{one}'\nb=\"{two}\" ")
        two = tb.rotate("two")
        util.wait_until(lambda: two in reads(shm / "out") and one in reads(shm / "out"), 30, "the new second token")
        (shm / "in").write_text("{{token nope")
        w.process.send_signal(signal.SIGHUP)
        w.await_output("in:1: '{{' without '}}'")
        (shm / "in").write_text("only {{token one}}\n")
        w.process.send_signal(signal.SIGHUP)
        await_content(shm / "out", f"only {one}\n")
        w.end()


def rendered(tb, shm, template, *sets, name="one"):
    tb.ctl("watch", name, "--once", "--template", TEMPLATES / template, "--write", shm / template,
           *[x for s in sets for x in ("--set", s)], check=0)
    return shm / template



@pytest.mark.parametrize("value", ["apiv1_Zm9vYmFy-_==", ODD])
def test_each_template_by_a_reader_of_its_format(tb, shm, value):
    """What a program of that format reads is the token; a hostile value stays in its place, or nothing is written."""
    tb.rotate(value=value)
    conf = tomllib.loads(rendered(tb, shm, "influxctl-dedicated", "account_id=a\"1", "cluster_id=c").read_text())
    assert conf == {"profile": [{"name": "default", "product": "dedicated", "account_id": "a\"1", "cluster_id": "c",
                                 "mgmt_token": value}]}
    conf = tomllib.loads(rendered(tb, shm, "influxctl-clustered", "host=h", "port=443").read_text())
    assert conf == {"profile": [{"name": "default", "product": "clustered", "host": "h", "port": "443",
                                 "mgmt_token": value}]}
    conf = tomllib.loads(rendered(tb, shm, "influx-configs", "url=http://x", "org=o").read_text())
    assert conf == {"default": {"url": "http://x", "token": value, "org": "o", "active": True}}
    for name, sets in (("grafana-sql", ["database=d"]), ("grafana-flux", ["org=o", "bucket=b"])):
        conf = yaml.safe_load(rendered(tb, shm, name, "name=n: x", "url=http://x", *sets).read_text())
        source = conf["datasources"][0]
        assert conf["apiVersion"] == 1 and source["type"] == "influxdb" and source["name"] == "n: x"
        assert source["secureJsonData"]["token"].replace("$$", "$") == value
        assert value.count("$") * 2 == source["secureJsonData"]["token"].count("$")
    file = rendered(tb, shm, "dotenv", "variable=INFLUX_TOKEN")
    shown = subprocess.run(["sh", "-c", f"set -a; . {file}; exec printenv INFLUX_TOKEN"], capture_output=True, text=True,
                           check=True).stdout
    assert shown == value + "\n"


@pytest.mark.parametrize("template, how, sets, wanted", [
    ("curl-header", "-H@{}", [], "Bearer {}"), ("curl-header-token", "-H@{}", [], "Token {}"),
    ("curl-config", "-K{}", [], "Bearer {}"),
    ("netrc", "--netrc-file {}", ["host=127.0.0.1", "login=me"], None)])
def test_templates_for_curl(tb, shm, template, how, sets, wanted):
    """curl itself sends what is written, and nothing of it is in its arguments."""
    value = tb.rotate(value="apiv1_Zm9vYmFy-_==" if wanted is None else ODD)
    file = rendered(tb, shm, template, *sets)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        curl = subprocess.Popen(["curl", "-s", *how.format(file).split(), f"http://127.0.0.1:{server.getsockname()[1]}/"],
                                stdout=subprocess.DEVNULL)
        server.settimeout(20)
        connection = server.accept()[0]
        with connection:
            head = util.read_until(connection, b"\r\n\r\n").decode()
            connection.sendall(b"HTTP/1.1 204 x\r\n\r\n")
        assert curl.wait(20) == 0
    got = next(line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("authorization: "))
    if wanted is None:
        assert base64.b64decode(got.removeprefix("Basic ")).decode() == f"me:{value}"
    else:
        assert got == wanted.format(value)


def test_a_value_that_a_format_cannot_hold(tb, shm):
    """Nothing is written, and the message says where and why, without the value."""
    tb.rotate(value=ODD)
    (shm / "in").write_text("[x]\ntoken = {{token | ini}}\n")
    done = tb.ctl("watch", "one", "--once", "--template", shm / "in", "--write", shm / "out")
    assert done.returncode == 1 and "in:2: the token cannot be written here" in done.stderr
    assert not (shm / "out").exists()
