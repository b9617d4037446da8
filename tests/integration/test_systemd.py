# SPDX-License-Identifier: Apache-2.0
"""The daemon as `make install` leaves it, under a real systemd: its units, the services that get tokens at their start,
restarts, crashes, and what an operator is told.

One box serves all tests of this file; each leaves the daemon running with its token ready.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import textwrap
import time

import pytest

import sdbox
import util

LOGIN_CONF = """\
    [login ops]
    issuer = http://127.0.0.1:18080
    client_id = tokenbroker
    allow_insecure_loopback = yes

    [backend prod]
    type = influxdb-dedicated
    login = ops
    base_url = http://127.0.0.1:18080
    account_id = a
    cluster_id = c
    allow_insecure_loopback = yes
    """
CONF = """\
    [token influx]
    backend = prod
    permissions = read:x
    lifetime = 1h

    [token slow]
    backend = prod
    permissions = read:y
    lifetime = 1h

    [client consumers]
    unit = consumer-*.service
    tokens = influx slow
    credentials = influx=influx slow=slow

    [client load]
    unit = load.service
    user = root
    tokens = influx
    """
SOCKET = "/run/tokenbroker/credential.sock"
WRAP = """/bin/sh -c 'test -s "$$CREDENTIALS_DIRECTORY/influx" && exec "$$@"' sh"""


class Tokenbroker(sdbox.Box):
    """The box with everything in it: provider, configuration, login, daemon."""

    def __init__(self, hierarchy="unified"):
        super().__init__(hierarchy)
        self.known = set()

    def prepare(self):
        self.install()
        self.write("etc/tokenbroker/conf.d/10-login.conf", textwrap.dedent(LOGIN_CONF))
        self.write("etc/tokenbroker/conf.d/20-test.conf", textwrap.dedent(CONF))
        self.enter("systemd-run", "--quiet", "--unit=sandbox", "tokenbroker-sandbox", "--port=18080", "--interval=1")
        self.enter("curl", "-sf", "--retry", "50", "--retry-connrefused", "--retry-delay", "1",
                   "http://127.0.0.1:18080/_sandbox/state")
        self.enter("systemctl", "enable", "--quiet", "--now", "tokenbrokerd.service")
        self.login()
        self.token()

    def sandbox(self, method, path, body=None):
        out = self.enter("curl", "-sf", "-X", method, "-H", "Content-Type: application/json",
                         *(["-d", json.dumps(body)] if body is not None else []),
                         f"http://127.0.0.1:18080/_sandbox/{path}").stdout
        return json.loads(out)

    def login(self):
        shown = self.spawn("tokenbrokerctl", "login", "ops", "--expect", "email=alice@example.org")
        try:
            code = util.wait_until(lambda: (self.sandbox("GET", "state")["pending"] or [None])[0], 20, "a user code",
                                   interval=0.1)
            self.sandbox("POST", "approve", {"user_code": code, "user": "alice"})
            out, _ = shown.communicate(timeout=30)
            assert shown.returncode == 0, out
        finally:
            shown.kill()
            shown.wait()

    def token(self):
        """What is released now; it is a secret from here on."""
        value = self.run("tokenbrokerctl", "get", "influx", unit="consumer-get.service").stdout.strip()
        self.known.add(value)
        assert len(value) > 20
        return value

    def main_pid(self):
        """Of the daemon, as seen from outside."""
        util.wait_until(lambda: self.show("tokenbrokerd", "ActiveState") == "active", 20, "the daemon", interval=0.05)
        inside = self.show("tokenbrokerd", "MainPID")
        for pid in (self.root.parent.parent.glob("[0-9]*")):
            with contextlib.suppress(OSError):
                text = (pid / "status").read_text()
                if re.search(rf"^NSpid:\t.*\t{inside}$", text, re.M) and "tokenbrokerd" in text:
                    return int(pid.name)
        raise AssertionError(f"no process {inside} in the box")

    def start_unit(self, name, text, check=0, timeout=60):
        """Writes a unit and starts it. Returns its result properties."""
        self.add_unit(name.replace(name[name.find("@") + 1:], ".service") if "@" in name else name,
                      textwrap.dedent(text))
        done = self.enter("systemctl", "start", name, check=None, timeout=timeout)
        if check is not None:
            assert done.returncode == check, (name, done.stderr, self.journal(name))
        return self.show(name, "ActiveState", "Result", "ExecMainStatus")

    def daemon_says(self, *words):
        """A line of `journalctl -u tokenbrokerd` with all these words."""
        def find():
            lines = self.journal("tokenbrokerd").splitlines()
            return next((line for line in reversed(lines) if all(w in line for w in words)), None)
        return util.wait_until(find, 10, f"a line with {words}", interval=0.2)

    def search_for_secrets(self):
        canary = secrets.token_hex(24)
        self.enter("systemd-cat", "echo", canary)
        texts = {"journal": self.journal().encode()}
        for top in ("var/log/tokenbroker", "var/lib/tokenbroker", "run/tokenbroker"):
            for file in (self.root / top).rglob("*"):
                if file.is_file():
                    with contextlib.suppress(FileNotFoundError):  # the daemon is at work
                        texts[str(file)] = file.read_bytes()
        assert any(canary.encode() in t for t in texts.values()), "the search itself is broken"
        assert len(texts) > 2 and self.known
        for path, text in texts.items():
            assert not any(k.encode() in text for k in self.known), f"a secret stands in {path}"


@pytest.fixture(scope="module", name="shared_box")
def make_box():
    reason = sdbox.skip_reason()
    if reason:
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Tokenbroker() as tb:
        tb.prepare()
        yield tb
        tb.search_for_secrets()


@pytest.fixture
def box(shared_box, request):
    """After a failure it shows what the journal has of the daemon."""
    failed = request.session.testsfailed
    yield shared_box
    if request.session.testsfailed > failed:
        print("\n".join(shared_box.journal("tokenbrokerd", "--output=short-precise").splitlines()[-60:]))


def ready(tb):
    """The daemon is up and what is cached is served."""
    tb.enter("systemctl", "start", "tokenbrokerd")
    tb.token()


@pytest.mark.parametrize("hierarchy", ["hybrid", "legacy"])
def test_other_cgroup_hierarchies(hierarchy):
    """Where systemd keeps its units in the legacy hierarchy: unit= rules on the api door, and credentials."""
    reason = sdbox.skip_reason()
    if reason:
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Tokenbroker(hierarchy) as tb:
        tb.prepare()  # its token() asks from a unit, by a rule for that unit
        text = tb.run("cat", "/proc/self/cgroup", unit="consumer-look.service").stdout
        assert re.search(r"^\d+:name=systemd:.*/consumer-look.service$", text, re.M), text
        assert tb.run("tokenbrokerctl", "get", "influx", unit="stranger.service", check=4)
        tb.start_unit("consumer-once.service", f"""\
            [Service]
            Type=oneshot
            LoadCredential=influx:{SOCKET}
            ExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/influx >/run/once'
            """)
        assert (tb.root / "run/once").read_text() == tb.token()
        (tb.root / "run/once").unlink()
        tb.start_unit("stranger-once.service", f"[Service]\nType=oneshot\nLoadCredential=influx:{SOCKET}\n"
                      "ExecStart=/bin/true\n", check=1)
        tb.daemon_says("stranger-once.service", "influx", "refused")
        records = [json.loads(line) for line in (tb.root / "var/log/tokenbroker/audit.jsonl").read_text().splitlines()]
        given = [r for r in records if r["event"] == "authorised"]
        assert {r["unit"] for r in given} == {"consumer-get.service", "consumer-once.service"}
        assert all(r["strength"] == "strong" for r in given), given
        tb.search_for_secrets()


# ------------------------------------------------------------------- the units as shipped


def test_shipped_units(box):
    box.enter("systemctl", "restart", "tokenbrokerd")
    show = box.show("tokenbrokerd", "ActiveState", "StatusText", "Type", "WatchdogUSec", "User")
    assert show == {"ActiveState": "active", "StatusText": show["StatusText"], "Type": "notify",
                    "WatchdogUSec": "30s", "User": "tokenbroker"}
    assert show["StatusText"] == "1 of 2 tokens ready"
    for door, mode in (("api", 0o666), ("admin", 0o666), ("credential", 0o600)):
        assert box.show(f"tokenbroker-{door}.socket", "ActiveState") == "active"
        stat = (box.root / f"run/tokenbroker/{door}.sock").stat()
        assert (stat.st_mode & 0o7777, stat.st_uid) == (mode, 0)
    assert box.enter("stat", "-c", "%a %U", "/run/tokenbroker").stdout == "755 root\n"
    said = box.enter("systemd-analyze", "verify", "--man=no", "tokenbrokerd.service", "tokenbroker-api.socket",
                     "tokenbroker-admin.socket", "tokenbroker-credential.socket")
    assert said.stderr == ""
    box.enter("systemd-analyze", "security", "--threshold=15", "tokenbrokerd.service")


def test_the_log_is_the_auditors(box):
    directory = box.enter("stat", "-c", "%a %U %G", "/var/log/tokenbroker").stdout.strip()
    file = box.enter("stat", "-c", "%a %U %G", "/var/log/tokenbroker/audit.jsonl").stdout.strip()
    assert directory == "2750 tokenbroker tokenbroker-auditor"
    assert file == "640 tokenbroker tokenbroker-auditor"
    group = box.enter("getent", "group", "tokenbroker-auditor").stdout.split(":")[2]
    read = ["head", "-n1", "/var/log/tokenbroker/audit.jsonl"]
    box.enter("setpriv", "--reuid=65534", "--regid=65534", f"--groups={group}", *read)
    box.enter("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *read, check=1)
    # nothing else is anybody's: state files, and what a newer log would be
    modes = box.enter("find", "/var/lib/tokenbroker", "-perm", "/0077").stdout
    assert modes == ""


def test_events_unit(box):
    """As shipped it tells the journal; by a drop-in a command; as nobody in particular, and it goes on where it was."""
    unit = "tokenbroker-events.service"
    kept = box.root / "var/lib/private/tokenbroker-events"

    def refused(name):
        box.enter("tokenbrokerctl", "get", name, check=4)

    box.enter("systemctl", "enable", "--quiet", "--now", unit)
    try:
        util.wait_until((kept / "cursor").exists, 30, "a cursor")
        refused("nothing-of-this-name")
        util.wait_until(lambda: "nothing-of-this-name" in box.journal(unit), 30, "the event in the journal", interval=0.2)
        line = next(x for x in box.journal(unit).splitlines() if "nothing-of-this-name" in x)
        assert json.loads(line)["type"] == "denied"
        assert (kept / "cursor").stat().st_uid not in (0, 65534)
        assert box.show(unit, "DynamicUser", "ActiveState") == {"DynamicUser": "yes", "ActiveState": "active"}
        # what happens while it is away
        box.enter("systemctl", "stop", unit)
        refused("told-later")
        box.write(f"etc/systemd/system/{unit}.d/command.conf", textwrap.dedent("""\
            [Service]
            ExecStart=
            ExecStart=/usr/bin/tokenbrokerctl events --cursor-file ${STATE_DIRECTORY}/cursor --types denied \
                --exec /usr/bin/tee -- -a ${STATE_DIRECTORY}/told
            """))
        box.enter("systemctl", "daemon-reload")
        box.enter("systemctl", "start", unit)
        util.wait_until(lambda: (kept / "told").exists() and "told-later" in (kept / "told").read_text(), 30, "it later")
        told = [json.loads(x) for x in (kept / "told").read_text().splitlines()]
        assert len([e for e in told if e["token"] == "told-later"]) == 1
        assert not [e for e in told if e["token"] == "nothing-of-this-name"], "that was told before"
        # over a restart of the broker
        box.enter("systemctl", "restart", "tokenbrokerd")
        refused("after-the-restart")
        util.wait_until(lambda: "after-the-restart" in (kept / "told").read_text(), 60, "it after the restart")
        assert box.show(unit, "NRestarts") == "0"
        said = box.enter("systemd-analyze", "verify", "--man=no", unit)
        assert said.stderr == ""
    finally:
        box.enter("systemctl", "disable", "--quiet", "--now", unit)
        shutil.rmtree(box.root / f"etc/systemd/system/{unit}.d", ignore_errors=True)
        box.enter("systemctl", "daemon-reload")


# -------------------------------------------------------------------------- the consumers


SHOW = "cat ${CREDENTIALS_DIRECTORY}/influx"
CONSUMERS = {
    "consumer-oneshot.service": f"Type=oneshot\nExecStart=/bin/{SHOW}",
    "consumer-exec.service": f"Type=exec\nExecStart=/bin/sh -c '{SHOW}; exec sleep 100'",
    "consumer-notify.service": "Type=notify\nNotifyAccess=all\n"
                               f"ExecStart=/bin/sh -c '{SHOW}; systemd-notify --ready; exec sleep 100'",
    "consumer-dynamic.service": f"Type=oneshot\nDynamicUser=yes\nExecStart=/bin/{SHOW}",
    "consumer-user.service": f"Type=oneshot\nUser=nobody\nPrivateNetwork=yes\nExecStart=/bin/{SHOW}",
    "consumer-t@a\\x2db.service": f"Type=oneshot\nExecStart=/bin/{SHOW}",
    "consumer-wrapped.service": f"Type=oneshot\nExecStart={WRAP} /bin/{SHOW}",
}


@pytest.mark.parametrize("name", CONSUMERS)
def test_consumer_gets_the_token(box, name):
    out = box.root / "run" / f"out-{secrets.token_hex(4)}"
    box.start_unit(name, f"[Service]\nTimeoutStartSec=20\nLoadCredential=influx:{SOCKET}\n"
                         f"StandardOutput=file:/run/{out.name}\n" + CONSUMERS[name])
    value = util.wait_until(out.read_text, 10, "what the unit prints")
    out.unlink()
    assert value == box.token()
    box.daemon_says(name, "credential 'influx' given", "[client consumers]")
    box.enter("systemctl", "stop", name)


def test_refusal_fails_the_unit_and_the_journal_says_why(box):
    """No rule for it: 243, the command never runs, and one look into the journal tells what to do."""
    show = box.start_unit("stranger.service", f"""\
        [Service]
        Type=oneshot
        LoadCredential=influx:{SOCKET}
        ExecStart=/bin/touch /run/stranger-ran
        """, check=1)
    assert (show["Result"], show["ExecMainStatus"]) == ("exit-code", "243")
    assert not (box.root / "run/stranger-ran").exists()
    line = box.daemon_says("stranger.service", "'influx'", "refused", "243")
    assert "unit = stranger.service" in line, line


def test_refusal_does_not_fall_back(box):
    """SetCredential= beside it is no way around a refusal."""
    show = box.start_unit("stranger2.service", f"""\
        [Service]
        Type=oneshot
        LoadCredential=influx:{SOCKET}
        SetCredential=influx:fallback
        ExecStart=/bin/true
        """, check=1)
    assert show["ExecMainStatus"] == "243"


FORGER = r"""
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(b"\0" + b"%x" % 0xdeadbeef + b"/unit/consumer-oneshot.service/influx")
try:
    s.connect("/run/tokenbroker/credential.sock")
except PermissionError:
    sys.exit(13)
s.shutdown(socket.SHUT_WR)
n, head = 0, b""
while True:
    part = s.recv(65536)
    if not part:
        break
    n, head = n + len(part), (head + part)[:4096]
print(n, head.strip(b"\0").decode(errors="replace"))
"""


def test_forged_name(box):
    """Whoever binds the name of a consumer gets nothing: another user, and a root service of another name."""
    value = box.token()
    box.write("run/forger.py", FORGER)
    box.run("/usr/bin/python3", "/run/forger.py", unit="evil-user.service", properties=["User=daemon"], check=13)
    out = box.run("/usr/bin/python3", "/run/forger.py", unit="evil-root.service").stdout.split()
    assert int(out[0]) > 1 << 20 and value not in " ".join(out)
    box.daemon_says("evil-root.service", "consumer-oneshot.service", "refused")


@pytest.mark.parametrize("uid", [0, 1])
def test_user_manager_with_the_same_unit_name(box, uid):
    """A user's systemd speaks the very same words for its own consumer-oneshot.service."""
    home = f"/run/um{uid}"
    box.write(f"{home}/config/systemd/user/consumer-oneshot.service",
              f"[Service]\nType=oneshot\nLoadCredential=influx:{SOCKET}\nExecStart=/bin/touch {home}/ran\n")
    box.enter("mkdir", "-p", f"{home}/run")
    box.enter("chown", "-R", f"{uid}:{uid}", home)
    box.enter("systemd-run", "--quiet", "--collect", f"--unit=um{uid}.service", f"--property=User={uid}",
              "--property=Delegate=yes", f"--setenv=XDG_RUNTIME_DIR={home}/run", f"--setenv=HOME={home}",
              f"--setenv=XDG_CONFIG_HOME={home}/config", "/lib/systemd/systemd", "--user")
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "env", f"XDG_RUNTIME_DIR={home}/run",
            "systemctl", "--user"]
    try:
        util.wait_until(lambda: box.enter(*user, "is-system-running", check=None).stdout.strip() in
                        ("running", "degraded"), 20, "the user manager", interval=0.1)
        done = box.enter(*user, "start", "consumer-oneshot.service", check=None)
        assert done.returncode == 1
        status = box.enter(*user, "show", "consumer-oneshot.service", "--property=ExecMainStatus").stdout.strip()
        assert status == "ExecMainStatus=243"
        assert not (box.root / f"run/um{uid}/ran").exists()
        if uid == 0:
            box.daemon_says("um0.service", "consumer-oneshot.service", "refused")
    finally:
        box.enter("systemctl", "stop", f"um{uid}.service", check=None)


# ----------------------------------------------------------------------- bounds and loads


def test_upstream_hang_ends_in_time(box):
    """Nothing comes from the service: the daemon gives up before systemd does, with a reason."""
    conf = box.root / "etc/tokenbroker/tokenbroker.conf"
    shipped = conf.read_text()
    conf.write_text(shipped + "credential_wait = 2s\n")
    box.ctl("reload")
    box.sandbox("POST", "fault", {"name": "hang", "path": "/api/v0"})
    try:
        began = time.monotonic()
        show = box.start_unit("consumer-slow.service", f"""\
            [Service]
            Type=oneshot
            TimeoutStartSec=30
            LoadCredential=slow:{SOCKET}
            ExecStart=/bin/true
            """, check=1)
        assert show["Result"] == "exit-code" and show["ExecMainStatus"] == "243", show
        assert time.monotonic() - began < 15
        box.daemon_says("consumer-slow.service", "'slow'", "refused")
    finally:
        box.sandbox("DELETE", "fault")
        conf.write_text(shipped)
        box.ctl("reload")


def test_cold_start_by_the_first_credential(box):
    value = box.token()
    box.enter("systemctl", "stop", "tokenbrokerd")
    assert box.show("tokenbrokerd", "ActiveState") == "inactive"
    out = box.run("cat", "/run/credentials/consumer-cold.service/influx", unit="consumer-cold.service",
                  properties=[f"LoadCredential=influx:{SOCKET}"]).stdout
    assert out == value
    assert box.show("tokenbrokerd", "ActiveState") == "active"


def test_a_hundred_units_at_once(box):
    out = "/run/hundred"
    box.enter("mkdir", "-p", out)
    box.start_unit("consumer-h@0.service", f"""\
        [Service]
        Type=oneshot
        TimeoutStartSec=50
        LoadCredential=influx:{SOCKET}
        StandardOutput=file:{out}/%i
        ExecStart={WRAP} /bin/{SHOW}
        """)
    names = [f"consumer-h@{i}.service" for i in range(1, 101)]
    box.enter("systemctl", "start", *names)
    values = {p.read_text() for p in (box.root / "run/hundred").iterdir()}
    assert values == {box.token()}
    assert len(list((box.root / "run/hundred").iterdir())) == 101
    shutil.rmtree(box.root / "run/hundred")


def test_consumer_that_the_network_waits_for(box):
    """A cold daemon, and a unit in front of network-online.target, sysinit.target and time-sync.target: no deadlock."""
    targets = "network-online.target time-sync.target sysinit.target basic.target sockets.target"
    box.enter("systemctl", "stop", "tokenbrokerd", "network-online.target", "time-sync.target")
    show = box.start_unit("consumer-early.service", f"""\
        [Unit]
        DefaultDependencies=no
        Wants=tokenbroker-credential.socket network-online.target time-sync.target
        After=tokenbroker-credential.socket
        Before={targets}
        [Service]
        Type=oneshot
        TimeoutStartSec=10
        LoadCredential=influx:{SOCKET}
        ExecStart=/bin/true
        """)
    assert show["Result"] == "success"
    assert box.show("tokenbrokerd", "ActiveState") == "active"


# -------------------------------------------------------------------- reload and watchdog


def test_reload_tells(box):
    pid = box.show("tokenbrokerd", "MainPID")
    box.write("etc/tokenbroker/conf.d/40-more.conf", "[client more]\nunit = more.service\ntokens = influx\n")
    box.enter("systemctl", "reload", "tokenbrokerd")
    out = box.run("tokenbrokerctl", "get", "influx", unit="more.service").stdout.strip()
    assert out == box.token()
    box.write("etc/tokenbroker/conf.d/40-more.conf", "[client more]\nunit = more.service\ntokns = influx\n")
    box.enter("systemctl", "reload", "tokenbrokerd", check=1)
    box.daemon_says("40-more.conf:3", "tokns", "tokens")
    # nothing has changed, the rule of before included
    box.run("tokenbrokerctl", "get", "influx", unit="more.service")
    show = box.show("tokenbrokerd", "MainPID", "ActiveState", "StatusText")
    assert (show["MainPID"], show["ActiveState"]) == (pid, "active")
    assert "40-more.conf:3" in show["StatusText"]
    (box.root / "etc/tokenbroker/conf.d/40-more.conf").unlink()
    box.enter("systemctl", "reload", "tokenbrokerd")
    box.run("tokenbrokerctl", "get", "influx", unit="more.service", check=4)
    assert "40-more" not in box.show("tokenbrokerd", "StatusText")


def test_watchdog(box):
    """A daemon that does nothing any more is replaced."""
    box.write("run/systemd/system/tokenbrokerd.service.d/watchdog.conf", "[Service]\nWatchdogSec=1\n")
    box.enter("systemctl", "daemon-reload")
    box.enter("systemctl", "restart", "tokenbrokerd")
    pid = box.main_pid()
    os.kill(pid, signal.SIGSTOP)
    util.wait_until(lambda: int(box.show("tokenbrokerd", "NRestarts")) > 0 or
                    box.show("tokenbrokerd", "MainPID") not in ("0", str(pid)) and
                    not os.path.exists(f"/proc/{pid}"), 20, "another daemon", interval=0.1)
    assert "Watchdog timeout" in box.journal("tokenbrokerd")
    (box.root / "run/systemd/system/tokenbrokerd.service.d/watchdog.conf").unlink()
    box.enter("systemctl", "daemon-reload")
    box.enter("systemctl", "restart", "tokenbrokerd")
    ready(box)


def test_bad_configuration_at_start(box):
    """The daemon cannot start: consumers fail at once and not with nothing; the door comes back with the daemon."""
    bad = box.root / "etc/tokenbroker/conf.d/50-bad.conf"
    box.enter("systemctl", "stop", "tokenbrokerd")
    bad.write_text("[client x]\nunits = x\n")
    try:
        show = box.start_unit("consumer-bad.service", f"""\
            [Service]
            Type=oneshot
            TimeoutStartSec=50
            LoadCredential=influx:{SOCKET}
            ExecStart=/bin/true
            """, check=1)
        assert (show["Result"], show["ExecMainStatus"]) == ("exit-code", "243"), show
        box.daemon_says("50-bad.conf:2", "units")
        tries = box.journal("tokenbrokerd").count("50-bad.conf:2")
        assert tries <= 16, tries
    finally:
        bad.unlink()
    box.enter("systemctl", "start", "tokenbrokerd")
    assert box.show("tokenbroker-credential.socket", "ActiveState") == "active"
    box.enter("systemctl", "start", "consumer-bad.service")


# ------------------------------------------------------------------ restarts nobody notices

# Runs in the box as load.service: asks without a pause, over one kept connection or over new ones, until told to stop.
# A connection that was answered on before and ends without a byte of an answer is made anew once, as HTTP clients do.
LOAD = r"""
import http.client, json, os, socket, sys, time
kept, stop = sys.argv[1] == "kept", sys.argv[2]
out = {"good": 0, "reconnected": 0, "lost": 0, "failed": [], "values": []}

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect("/run/tokenbroker/api.sock")

def ask(c):
    c.request("GET", "/api/v1/tokens/influx", headers={"X-Tokenbroker": "1", "Accept": "text/plain"})
    r = c.getresponse()
    text = r.read().decode()
    if r.status != 200:
        out["failed"].append("%d %s" % (r.status, text[:200]))
        return False
    out["good"] += 1
    if text not in out["values"]:
        out["values"].append(text)
    if r.will_close:
        c.close()
    return True

ACCEPTED = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)
c, used = None, False
while not os.path.exists(stop):
    if c is None or not kept:
        c, used = Connection("localhost"), False
    try:
        used = ask(c) and c.sock is not None
    except ACCEPTED as e:
        c.close()
        if used:
            out["reconnected"] += 1
            used = False
            continue
        out["lost"] += 1
        c = None
    except Exception as e:
        out["failed"].append(repr(e))
        c = None
    if not kept and c:
        c.close()
print(json.dumps(out))
"""
# `tokenbrokerctl get` in a loop: it has its own patience.
CTL_LOAD = r"""
n=0; f=0
while ! [ -e "$1" ]; do
	if tokenbrokerctl get influx >/dev/null 2>/run/load-ctl.err; then n=$((n+1)); else f=$((f+1)); cat /run/load-ctl.err; fi
done
echo "good=$n failed=$f"
"""


@contextlib.contextmanager
def load(box):
    """Clients of all kinds at work while the body runs; afterwards the yielded dictionary holds what they saw."""
    stop = f"/run/stop-{secrets.token_hex(4)}"
    box.write("run/load.py", LOAD)
    box.write("run/load.sh", CTL_LOAD)
    box.add_unit("consumer-load@.service", f"[Service]\nType=oneshot\nTimeoutStartSec=30\n"
                 f"LoadCredential=influx:{SOCKET}\nExecStart=/bin/sh -c 'test -s $CREDENTIALS_DIRECTORY/influx || "
                 "echo EMPTY'\n")
    # all in the cgroup of one unit, which the rule names
    box.write("run/all.sh", "#!/bin/sh\n"
              "/usr/bin/python3 /run/load.py kept $1 >/run/o1 & /usr/bin/python3 /run/load.py new $1 >/run/o2 &\n"
              "sh /run/load.sh $1 >/run/o3 & wait\n", 0o755)
    units = {"good": 0, "failed": []}
    seen = {}
    box.enter("systemd-run", "--quiet", "--collect", "--unit=load.service", "/run/all.sh", stop)

    def start_units():
        i = 0
        while not (box.root / stop[1:]).exists():
            i += 1
            name = f"consumer-load@{i}.service"
            box.enter("systemctl", "start", name, check=None, timeout=60)
            # systemctl itself loses its connection when systemd is executed anew
            show = util.wait_until(lambda n=name: over(n), 60, f"the end of {name}", interval=0.05)
            if show["Result"] == "success":
                units["good"] += 1
            else:
                units["failed"].append(show["ExecMainStatus"])

    def over(name):
        with contextlib.suppress(AssertionError):
            show = box.show(name, "ActiveState", "Result", "ExecMainStatus")
            return show if show["ActiveState"] in ("inactive", "failed") else None

    thread = util.Thread(start_units)
    try:
        time.sleep(0.5)
        yield seen
        time.sleep(0.5)
    finally:
        (box.root / stop[1:]).touch()
        thread.join()
        util.wait_until(lambda: box.show("load.service", "ActiveState") in ("inactive", "failed"), 40,
                        "the clients' end", interval=0.1)
    seen["units"] = units
    for key, file in (("kept", "o1"), ("new", "o2")):
        seen[key] = json.loads((box.root / "run" / file).read_text())
        box.known.update(seen[key]["values"])
    seen["ctl"] = (box.root / "run/o3").read_text().strip()
    seen["empty"] = "EMPTY" in box.journal()


def test_restart_under_load(box):
    """P11: restarts, an upgrade, and systemd's own re-execution: no request for what is cached fails."""
    value = box.token()
    with load(box) as seen:
        for _ in range(3):
            box.enter("systemctl", "restart", "tokenbrokerd")
            time.sleep(0.2)
        # an upgrade: other files in place of the old ones, as a package does it
        for file in ("usr/sbin/tokenbrokerd", "usr/bin/tokenbrokerctl"):
            box.enter("install", f"/share/installed/{file}", f"/{file}.new")
            box.enter("mv", f"/{file}.new", f"/{file}")
        box.enter("systemctl", "daemon-reload")
        box.enter("systemctl", "restart", "tokenbrokerd")
        box.enter("systemctl", "daemon-reexec")
        box.enter("systemctl", "restart", "tokenbrokerd")
    print(seen)
    for kind in ("kept", "new"):
        assert seen[kind]["failed"] == [] and seen[kind]["lost"] == 0, (kind, seen[kind])
        assert seen[kind]["good"] > 50, seen[kind]
        assert seen[kind]["values"] == [value]
    assert "failed=0" in seen["ctl"], seen["ctl"]
    assert seen["units"]["failed"] == [] and seen["units"]["good"] > 3, seen["units"]
    assert not seen["empty"]


def test_crash_under_load(box):
    """Killed in mid-work: who had been accepted may lose its answer; nobody else notices, and no unit starts without."""
    with load(box) as seen:
        for _ in range(4):
            os.kill(box.main_pid(), signal.SIGKILL)
            time.sleep(0.4)
    print(seen)
    for kind in ("kept", "new"):
        assert seen[kind]["failed"] == [], (kind, seen[kind])
        assert seen[kind]["lost"] <= 4, seen[kind]  # one connection at a time and kill
        assert seen[kind]["good"] > 50, seen[kind]
    assert "failed=0" in seen["ctl"], seen["ctl"]
    assert set(seen["units"]["failed"]) <= {"243"} and len(seen["units"]["failed"]) <= 4, seen["units"]
    assert box.show("tokenbrokerd", "ActiveState") == "active"
    ready(box)


# -------------------------------------------------------------------------- doctor and unit


def doctor(box, *args, check=None, user=None):
    argv = ["tokenbrokerctl", "doctor", "--json", *args]
    if user is not None:
        argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
    done = box.enter(*argv, check=check)
    return json.loads(done.stdout)["findings"], done.returncode


def finding(findings, level, *words):
    found = [f for f in findings if f["level"] == level and all(w in f["text"] for w in words)]
    assert found, (level, words, [f for f in findings if f["level"] != "ok"])
    return found[0]


def test_doctor_when_all_is_well(box):
    # what the tests above have left lying about is not well
    for unit in (box.root / sdbox.UNITS).glob("*.service"):
        if SOCKET in unit.read_text(errors="replace"):
            unit.unlink()
    box.enter("systemctl", "daemon-reload")
    box.enter("systemctl", "reset-failed")
    box.add_unit("consumer-fine.service", f"[Service]\nType=exec\nTimeoutStartSec=60\nLoadCredential=influx:{SOCKET}\n"
                                          f"ExecStart={WRAP} /bin/true\n")
    findings, status = doctor(box)
    # a box cannot set a clock; the mint that was never answered is still being looked for
    bad = [f for f in findings if f["level"] != "ok" and f["area"] != "clock" and "token slow" not in f["text"]]
    assert bad == [] and status == 0
    for words in (("tokenbrokerd", "answers"), ("consumer-fine.service",), ("login ops",), ("token influx is ready",),
                  ("credential.sock", "0600"), ("good:",)):
        finding(findings, "ok", *words)
    text = box.ctl("doctor").stdout
    assert "0 to mend" in text
    assert not re.search("^ok", box.ctl("doctor", "--quiet").stdout, re.M)


def test_doctor_without_rights(box):
    findings, status = doctor(box, user=65534)
    assert status == 0, [f for f in findings if f["level"] == "fail"]
    finding(findings, "unseen", "admin door")
    finding(findings, "ok", "consumer-fine.service")


@contextlib.contextmanager
def broken(box, do, undo):
    box.enter("sh", "-c", do)
    try:
        yield
    finally:
        box.enter("sh", "-c", undo)


AGAIN = "/run/systemd/system/local-fs.target.d"
FAULTS = {
    "socket-mode": ("chmod 666 /run/tokenbroker/credential.sock", "chmod 600 /run/tokenbroker/credential.sock", "fail",
                    ("credential.sock", "0666")),
    "log-mode": ("chmod 755 /var/log/tokenbroker", "systemd-tmpfiles --create tokenbroker.conf", "fail",
                 ("/var/log", "2755")),
    "log-group": ("chown tokenbroker:tokenbroker /var/log/tokenbroker", "systemd-tmpfiles --create tokenbroker.conf",
                  "warn", ("tokenbroker-auditor",)),
    "state-mode": ("chmod 755 /var/lib/tokenbroker", "chmod 700 /var/lib/tokenbroker", "fail",
                   ("/var/lib/tokenbroker", "0755")),
    "socket-stopped": ("systemctl -q stop tokenbroker-credential.socket", "systemctl restart tokenbrokerd", "fail",
                       ("tokenbroker-credential.socket is not active",)),
    "socket-disabled": ("systemctl -q disable tokenbroker-api.socket", "systemctl -q enable tokenbroker-api.socket",
                        "warn", ("tokenbroker-api.socket is not enabled",)),
    "key": ("mv /etc/credstore.encrypted/master-key /root/", "mv /root/master-key /etc/credstore.encrypted/", "warn",
            ("master-key",)),
    "conf": ("echo 'x = y' >/etc/tokenbroker/conf.d/60.conf", "rm /etc/tokenbroker/conf.d/60.conf", "fail",
             ("60.conf:1",)),
    "group": ("sed -i s/^tokenbroker-auditor/x-auditor/ /etc/group", "sed -i s/^x-auditor/tokenbroker-auditor/ /etc/group",
              "fail", ("no group tokenbroker-auditor",)),
    "deadlock": (f"mkdir {AGAIN}; printf '[Unit]\\nAfter=consumer-fine.service\\n' >{AGAIN}/x.conf; "
                 "systemctl daemon-reload", f"rm -r {AGAIN}; systemctl daemon-reload", "fail",
                 ("consumer-fine.service", "ordered after it")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_doctor_finds(box, fault):
    do, undo, level, words = FAULTS[fault]
    with broken(box, do, undo):
        findings, status = doctor(box)
        found = finding(findings, level, *words)
        assert found["todo"] and status == (level == "fail")
    ready(box)


def test_doctor_without_a_daemon(box):
    with broken(box, "echo 'x = y' >/etc/tokenbroker/conf.d/60.conf; systemctl stop tokenbrokerd",
                "rm /etc/tokenbroker/conf.d/60.conf; systemctl start tokenbrokerd"):
        findings, status = doctor(box)
        assert status == 1
        finding(findings, "fail", "60.conf:1")
        finding(findings, "fail", "does not answer")
    ready(box)


def test_doctor_finds_a_lost_socket(box):
    """Somebody removed the file of a socket; what the finding says to do brings it back."""
    (box.root / "run/tokenbroker/api.sock").unlink()
    found = finding(doctor(box)[0], "fail", "api.sock", "No such file")
    box.enter("sh", "-c", found["todo"])
    ready(box)
    assert doctor(box)[1] == 0


def test_without_the_master_key(box):
    """A new key would open nothing: nobody is told to make one, and a wrong one is not tried again and again."""
    key, saved = "/etc/credstore.encrypted/master-key", "/root/master-key"
    with broken(box, f"mv {key} {saved}; systemctl restart tokenbrokerd || true",
                f"mv {saved} {key}; systemctl start tokenbrokerd"):
        assert box.show("tokenbrokerd", "ExecMainStatus") == "78"
        box.daemon_says("no master key", "put it back")
        found = finding(doctor(box)[0], "fail", "master-key", "No such file")
        assert "put it back" in found["todo"] and "init-key" not in found["todo"]
        box.ctl("init-key", "--credential")
        box.enter("systemctl", "start", "tokenbrokerd", check=1)
        assert box.show("tokenbrokerd", "ExecMainStatus", "ActiveState") == {"ExecMainStatus": "78",
                                                                            "ActiveState": "failed"}
        box.daemon_says("wrong master key", "put that key back")
    ready(box)


def test_doctor_sees_a_lost_login(box):
    """Nobody logged in to another login: what the daemon knows is told."""
    box.write("etc/tokenbroker/conf.d/60.conf", textwrap.dedent(LOGIN_CONF.split("[backend")[0]).replace("ops", "two"))
    box.ctl("reload")
    try:
        findings, status = doctor(box)
        assert status == 1
        assert "tokenbrokerctl login two" in finding(findings, "fail", "login two", "human")["todo"]
    finally:
        (box.root / "etc/tokenbroker/conf.d/60.conf").unlink()
        box.ctl("reload")


def test_unit_prints_what_works(box):
    """The lines for a unit as it is, applied as they say, give it the token."""
    box.add_unit("printer.service", "[Service]\nExecStart=/bin/sh -c 'cat \"$CREDENTIALS_DIRECTORY/tok\" "
                                    ">/run/printed; exec sleep 100'\n")
    out = box.ctl("unit", "printer", "--credential", "tok=influx").stdout
    parts = {m[1]: m[2] for m in re.finditer(r"^# (/etc/\S+)\n(.*?)(?=^# (?:/etc|Then)|\Z)", out, re.M | re.S)}
    assert len(parts) == 2, out
    for path, text in parts.items():
        box.write(path, text)
    box.enter("systemctl", "daemon-reload")
    box.ctl("reload")
    box.enter("systemctl", "start", "printer.service")
    printed = box.root / "run/printed"
    assert util.wait_until(lambda: printed.exists() and printed.read_text(), 10, "its output") == box.token()
    (box.root / "run/printed").unlink()
    findings, status = doctor(box)
    finding(findings, "ok", "printer.service")
    assert status == 0, [f for f in findings if f["level"] == "fail"]
    box.enter("systemctl", "stop", "printer.service")
    for path in parts:
        (box.root / path[1:]).unlink()
    box.ctl("reload")
    for name in ("x.socket", "a/b"):
        box.ctl("unit", name, check=2)
    said = box.ctl("unit", "n" * 80, "--credential", "influx", check=1).stderr
    assert "11 characters too long" in said


def test_unit_printed_again(box):
    """The lines for a unit that has them already are the same; a second credential does not take the first away."""
    box.add_unit("again.service", "[Service]\nExecStart=/bin/sleep 100\n")
    written = set()
    try:
        for given in ("a=influx", "a=influx", "b=slow", "b=slow"):
            out = box.ctl("unit", "again", "-c", given).stdout
            for m in re.finditer(r"^# (/etc/\S+)\n(.*?)(?=^# (?:/etc|Then)|\Z)", out, re.M | re.S):
                assert m[1] not in written or (box.root / m[1][1:]).read_text() == m[2]
                box.write(m[1], m[2])
                written.add(m[1])
            box.enter("systemctl", "daemon-reload")
        assert len(written) == 4
        box.ctl("reload")
        box.enter("systemctl", "start", "again.service")
        assert {p.name for p in (box.root / "run/credentials/again.service").iterdir()} == {"a", "b"}
        assert "there is no nothing.service" in box.ctl("unit", "nothing").stderr
        finding(doctor(box)[0], "ok", "again.service")
    finally:
        box.enter("systemctl", "stop", "again.service")
        for path in written:
            (box.root / path[1:]).unlink()
        box.enter("systemctl", "daemon-reload")
        box.ctl("reload")


def test_doctor_sees_a_quarantined_state(box):
    """An older state was put back, and what the finding says to do about it works."""
    state, saved = "/var/lib/tokenbroker", "/root/saved"
    box.enter("systemctl", "stop", "tokenbrokerd")
    box.enter("cp", "-a", state, saved)
    box.ctl("rotate", "influx")
    box.token()
    box.enter("systemctl", "stop", "tokenbrokerd")
    box.enter("sh", "-c", f"rm -r {state} && mv {saved} {state}")
    box.enter("systemctl", "start", "tokenbrokerd")
    findings, status = doctor(box)
    assert status == 1
    assert "tokenbrokerctl adopt" in finding(findings, "fail", "the state is quarantined")["todo"]
    box.ctl("adopt", "--yes")
    findings, status = doctor(box)
    assert status == 0, [f for f in findings if f["level"] == "fail"]


# ------------------------------------------------------------------------------ make install


def test_install_and_uninstall_in_a_directory():
    """DESTDIR is honoured, an edited configuration survives both, and nothing else stays."""
    build = sdbox.plain_build()
    with util.temp_dir() as top:
        def make(target):
            done = subprocess.run(["make", "-s", target, f"DESTDIR={top}"], cwd=build, capture_output=True, text=True,
                                  check=False)
            assert done.returncode == 0, done.stderr
            return {str(p.relative_to(top)) for p in top.rglob("*") if not p.is_dir()}

        installed = make("install")
        for end in ("lib/systemd/system/tokenbrokerd.service", "lib/systemd/system/tokenbroker-credential.socket",
                    "lib/sysusers.d/tokenbroker.conf", "lib/tmpfiles.d/tokenbroker.conf", "sbin/tokenbrokerd",
                    "examples/consumer.conf", "examples/notify-reload.conf"):
            assert any(p.endswith(end) for p in installed), (end, installed)
        assert make("uninstall") == set()
        make("install")
        conf = next(top.rglob("tokenbroker/tokenbroker.conf"))
        conf.write_text("# edited\n")
        make("install")
        assert conf.read_text() == "# edited\n"
        assert make("uninstall") == {str(conf.relative_to(top))}
