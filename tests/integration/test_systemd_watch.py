# SPDX-License-Identifier: Apache-2.0
"""tokenbroker-watch@.service as `make install` leaves it, under a real systemd: set up as tokenbrokerctl(1) says, for
consumers of their own users, with a rotation under each.
"""

import pathlib
import re
import secrets
import textwrap

import pytest

import sdbox
import util
from test_systemd import Tokenbroker

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "man/tokenbrokerctl.1"
CONF = """\
    [token telegraf-write]
    backend = prod
    permissions = write:x read:x
    lifetime = 1h

    [client root]
    unit = tokenbroker-watch@*.service
    user = root
    tokens = telegraf-write

    [client check]
    unit = check-*.service
    user = root
    tokens = telegraf-write
    """
FILE = "run/tokenbroker-watch/telegraf/influx_token"


def from_the_manual():
    """The files of A UNIT PER CONSUMER, as a person would copy them: options, rule, drop-in."""
    text = MANUAL.read_text(encoding="utf-8")
    section = text[text.index(".Sh A UNIT PER CONSUMER"):text.index(".Sh ENVIRONMENT")]
    return re.findall(r"^\.Bd [^\n]*\n(.*?)^\.Ed", section, re.M | re.S)[:3]


@pytest.fixture(scope="module", name="shared_box")
def make_box():
    reason = sdbox.skip_reason()
    if reason:
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Tokenbroker() as tb:
        tb.prepare()
        options, rule, _ = from_the_manual()
        tb.enter("useradd", "--system", "telegraf")
        tb.write("etc/tokenbroker/conf.d/30-watch.conf", textwrap.dedent(CONF) + rule)
        tb.write("etc/tokenbroker/watch.d/telegraf.conf", options)
        tb.ctl("reload")
        yield tb
        tb.search_for_secrets()


@pytest.fixture
def box(shared_box, request):
    failed = request.session.testsfailed
    yield shared_box
    if request.session.testsfailed > failed:
        print("\n".join(shared_box.journal(None, "--output=short-precise").splitlines()[-80:]))


def value(box):
    """The newest, and a secret from here on."""
    text = box.run("tokenbrokerctl", "get", "telegraf-write", unit="check-get.service").stdout.strip()
    box.known.add(text)
    return text


def rotate(box):
    box.ctl("rotate", "telegraf-write")
    return value(box)


def reads(box, path=FILE):
    file = box.root / path
    return file.read_text() if file.exists() else None


def await_content(box, text, path=FILE):
    util.wait_until(lambda: reads(box, path) == text, 30, f"the new content of {path}", interval=0.1)


def test_the_unit_of_the_manual(box):
    """A consumer that says Wants= and After= finds the value at its start, as its own user and nobody else; curl is
    answered by the service with it, before and after a rotation; with the unit the directory goes."""
    _, _, dropin = from_the_manual()
    newest = value(box)
    box.write("etc/systemd/system/reader.service.d/broker.conf", dropin)
    box.start_unit("reader.service", f"""\
        [Service]
        Type=oneshot
        User=telegraf
        ExecStart=/bin/sh -c 'cat /{FILE} >/dev/shm/reader-saw'
        """)
    seen = box.root / "dev/shm/reader-saw"
    assert seen.read_text() == newest
    seen.unlink()
    show = box.show("tokenbroker-watch@telegraf", "ActiveState", "StatusText", "User")
    assert (show["ActiveState"], show["User"]) == ("active", "telegraf")
    assert show["StatusText"].startswith("telegraf-write: generation "), show
    assert box.enter("stat", "-c", "%a %U", f"/{FILE}").stdout == "600 telegraf\n"
    box.run("cat", f"/{FILE}", unit="stranger.service", properties=["User=nobody"], check=1)

    box.write("etc/tokenbroker/watch.d/curl.conf", "token = telegraf-write\ntemplate = curl-header\n"
              "write = /run/tokenbroker-watch/curl/header\n")
    box.write("etc/systemd/system/tokenbroker-watch@curl.service.d/user.conf", "[Service]\nUser=root\n")
    box.enter("systemctl", "daemon-reload")
    box.enter("systemctl", "start", "tokenbroker-watch@curl")
    ask = ["curl", "-sf", "-o", "/dev/null", "-w", "%{http_code}", "-H", "@/run/tokenbroker-watch/curl/header",
           "http://127.0.0.1:18080/health/auth"]
    assert box.run(*ask, unit="asks.service").stdout == "200"
    newer = rotate(box)
    assert newer != newest
    await_content(box, newer)
    await_content(box, f"Authorization: Bearer {newer}\n", "run/tokenbroker-watch/curl/header")
    assert box.run(*ask, unit="asks.service").stdout == "200"

    box.enter("systemctl", "restart", "tokenbrokerd")
    await_content(box, rotate(box))
    box.enter("systemctl", "stop", "tokenbroker-watch@telegraf", "tokenbroker-watch@curl")
    assert not (box.root / "run/tokenbroker-watch/telegraf").exists()


def test_a_file_for_a_group(box):
    """With owner = :GROUP, one that the user belongs to; and with Group= and the directory, so that its members read."""
    box.enter("groupadd", "--system", "readers")
    box.enter("usermod", "-aG", "readers", "telegraf")
    text = (box.root / "etc/tokenbroker/watch.d/telegraf.conf").read_text()
    box.write("etc/tokenbroker/watch.d/telegraf.conf", text + "owner = :readers\nmode = 0640\n")
    try:
        box.enter("systemctl", "start", "tokenbroker-watch@telegraf")
        assert box.enter("stat", "-c", "%a %U %G", f"/{FILE}").stdout == "640 telegraf readers\n"
        box.enter("systemctl", "stop", "tokenbroker-watch@telegraf")
        box.write("etc/tokenbroker/watch.d/telegraf.conf", text + "mode = 0640\n")
        box.write("etc/systemd/system/tokenbroker-watch@telegraf.service.d/group.conf", "[Service]\nGroup=readers\n")
        box.enter("systemctl", "daemon-reload")
        box.enter("systemctl", "start", "tokenbroker-watch@telegraf")
        box.run("cat", f"/{FILE}", unit="of-the-group.service", properties=["User=nobody", "Group=readers"])
        box.run("cat", f"/{FILE}", unit="of-no-group.service", properties=["User=nobody"], check=1)
    finally:
        box.enter("systemctl", "stop", "tokenbroker-watch@telegraf")
        box.write("etc/tokenbroker/watch.d/telegraf.conf", text)
        dropin = box.root / "etc/systemd/system/tokenbroker-watch@telegraf.service.d/group.conf"
        dropin.unlink(missing_ok=True)
        box.enter("systemctl", "daemon-reload")


def test_restart_of_the_watch(box):
    """The file stays meanwhile: at a restart and when it is killed."""
    newest = value(box)
    box.enter("systemctl", "start", "tokenbroker-watch@telegraf")
    try:
        inode = (box.root / FILE).stat().st_ino
        box.enter("systemctl", "kill", "--signal=SIGKILL", "tokenbroker-watch@telegraf")
        util.wait_until(lambda: box.show("tokenbroker-watch@telegraf", "ActiveState") != "active", 20, "its end")
        assert reads(box) == newest
        util.wait_until(lambda: box.show("tokenbroker-watch@telegraf", "ActiveState") == "active", 40, "its return")
        util.wait_until(lambda: (box.root / FILE).stat().st_ino != inode, 20, "a new file")
        box.enter("systemctl", "reload", "tokenbroker-watch@telegraf")
        assert reads(box) == newest
    finally:
        box.enter("systemctl", "stop", "tokenbroker-watch@telegraf")


def test_a_unit_is_reloaded_and_another_signalled(box):
    box.write("etc/tokenbroker/watch.d/root.conf", "token = telegraf-write\nwrite = /run/tokenbroker-watch/root/t\n"
              "reload-unit = reloaded.service\nsignal = signalled.service:USR1\n")
    note = "/run/tokenbroker-watch-test"
    box.enter("mkdir", "-p", note)
    copy = f"/bin/sh -c 'cat /run/tokenbroker-watch/root/t >{note}/reloaded'"
    box.start_unit("reloaded.service", f"[Service]\nExecStart=/bin/sleep 1000\nExecReload={copy}\n")
    box.write("run/signalled.sh", f"trap 'cat /run/tokenbroker-watch/root/t >{note}/signalled' USR1\n"
              "while :; do sleep 0.1; done\n")
    box.start_unit("signalled.service", "[Service]\nType=exec\nExecStart=/bin/sh /run/signalled.sh\n")
    box.enter("systemctl", "start", "tokenbroker-watch@root")
    try:
        newer = rotate(box)
        for name in ("reloaded", "signalled"):
            await_content(box, newer, f"{note[1:]}/{name}")
        assert box.show("reloaded.service", "NRestarts", "ActiveState") == {"NRestarts": "0", "ActiveState": "active"}
    finally:
        box.enter("systemctl", "stop", "tokenbroker-watch@root", "reloaded.service", "signalled.service")
        box.enter("rm", "-r", note)


def test_environment_file(box):
    """A service that can only be restarted, with the token as a variable of its environment file."""
    box.write("etc/tokenbroker/watch.d/env.conf", "token = telegraf-write\ntemplate = dotenv\n"
              "set = variable=INFLUX_TOKEN\nwrite = /run/tokenbroker-watch/env/env\nreload-unit = reads-env.service\n")
    box.write("etc/systemd/system/tokenbroker-watch@env.service.d/user.conf", "[Service]\nUser=root\n")
    box.enter("mkdir", "-p", "/run/tokenbroker-watch-test")
    try:
        box.start_unit("reads-env.service", """\
            [Unit]
            Wants=tokenbroker-watch@env.service
            After=tokenbroker-watch@env.service
            [Service]
            EnvironmentFile=/run/tokenbroker-watch/env/env
            ExecStart=/bin/sh -c 'printenv INFLUX_TOKEN >/run/tokenbroker-watch-test/env; exec sleep 1000'
            """)
        await_content(box, value(box) + "\n", "run/tokenbroker-watch-test/env")
        await_content(box, rotate(box) + "\n", "run/tokenbroker-watch-test/env")
    finally:
        box.enter("systemctl", "stop", "tokenbroker-watch@env", "reads-env.service")
        box.enter("rm", "-r", "/run/tokenbroker-watch-test")


READ_KEY = r"""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
call = lambda *a: libc.syscall(250, *[x if isinstance(x, bytes) else ctypes.c_long(x) for x in a])
call(8, -4, -2)
ring = call(10, -4, b"keyring", b"telegraf", 0)
key = call(10, ring, b"user", b"influx_token", 0)
buf = ctypes.create_string_buffer(8192)
n = libc.syscall(250, 11, ctypes.c_long(key), buf, ctypes.c_size_t(8192))
print(buf.raw[:n].decode() if key > 0 and n > 0 else "none")
"""


def test_keyring_of_another_unit_of_the_user(box):
    """As Telegraf's "os" store: another unit, of the same user, each with a session keyring of its own."""
    box.write("etc/tokenbroker/watch.d/keys.conf", "token = telegraf-write\nkeyring = user:telegraf\n"
              "key = influx_token\nremove-on-exit = yes\n")
    box.write("etc/systemd/system/tokenbroker-watch@keys.service.d/user.conf", "[Service]\nUser=telegraf\n")
    box.write("etc/tokenbroker/conf.d/31-keys.conf", "[client keys]\nunit = tokenbroker-watch@keys.service\n"
              "user = telegraf\ntokens = telegraf-write\n")
    box.write("run/read-key.py", READ_KEY)
    box.ctl("reload")
    box.enter("systemctl", "daemon-reload")
    box.enter("systemctl", "start", "tokenbroker-watch@keys")

    def key():
        return box.run("/usr/bin/python3", "/run/read-key.py", unit=f"reads-{secrets.token_hex(4)}.service",
                       properties=["User=telegraf"]).stdout.strip()

    assert key() == value(box)
    newer = rotate(box)
    util.wait_until(lambda: key() == newer, 30, "the new key", interval=0.2)
    box.enter("systemctl", "stop", "tokenbroker-watch@keys")
    assert key() == "none"


def test_who_has_no_rule_is_told(box):
    """The unit does not become ready, and its status says why."""
    box.enter("useradd", "--system", "stranger")
    box.write("etc/tokenbroker/watch.d/stranger.conf", "token = telegraf-write\n"
              "write = /run/tokenbroker-watch/stranger/t\n")
    done = box.enter("systemctl", "start", "tokenbroker-watch@stranger", check=None)
    try:
        assert done.returncode == 1
        assert box.show("tokenbroker-watch@stranger", "ExecMainStatus") == "4"
        assert "denied: no rule allows you this token" in box.journal("tokenbroker-watch@stranger")
        done = box.enter("systemctl", "start", "tokenbroker-watch@nobody-wrote-this", check=None)
        assert done.returncode == 1
    finally:
        box.enter("systemctl", "stop", "tokenbroker-watch@stranger")


def test_the_unit_is_sound(box):
    said = box.enter("systemd-analyze", "verify", "--man=no", "tokenbroker-watch@telegraf.service")
    assert said.stderr == ""
    box.enter("systemd-analyze", "security", "--threshold=25", "tokenbroker-watch@telegraf.service")
