# SPDX-License-Identifier: Apache-2.0
"""tokenbroker-influxctl as `make install` leaves it, under a real systemd: started by the first question, as a user of its
own, in a unit as tight as the daemon's; a stand-in plays influxctl."""

import json
import textwrap

import pytest

import influxctl
import sdbox
import util
from test_systemd import Tokenbroker

CONF = """\
    [backend mgmt]
    type = influxdb-dedicated
    login = ops
    base_url = http://127.0.0.1:18080
    account_id = a
    cluster_id = c
    allow_insecure_loopback = yes
    management_driver = influxctl

    [token admin]
    backend = mgmt
    kind = management
    allow_full_access = yes
    lifetime = 6h

    [client admin]
    user = root
    tokens = admin
    """
SERVICE = "tokenbroker-influxctl.service"
SOCKET = "/run/tokenbroker-influxctl/helper.sock"
STANDIN = "/usr/local/bin/standin"
TALK = """\
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("%s")
s.sendall(b'{"name":"x","timeout_ms":5000,"args":["version"],"files":[]}')
s.shutdown(socket.SHUT_WR)
print(s.recv(99))
"""


@pytest.fixture(name="box")
def make_box():
    reason = sdbox.skip_reason()
    if reason:
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Tokenbroker() as tb:
        tb.prepare()
        prepare(tb)
        try:
            yield tb
        except BaseException:
            print(tb.journal(SERVICE)[-4000:], tb.journal("tokenbrokerd")[-4000:])
            raise
        tb.search_for_secrets()
        assert not any(p.is_file() for p in (tb.root / "var/lib/tokenbroker-influxctl").rglob("*"))


def prepare(tb):
    """A stand-in where influxctl would be, which may write down what it was given."""
    tb.write("usr/local/bin/influxctl", influxctl.STANDIN.read_text(), 0o755)
    tb.write(STANDIN + "/config.json", json.dumps(
        {"api": "http://127.0.0.1:18080", "version": "2.11.0", "faults": []}))
    tb.enter("chown", "-R", "tokenbroker-influxctl", STANDIN)
    tb.write(f"etc/systemd/system/{SERVICE}.d/standin.conf", f"[Service]\nReadWritePaths={STANDIN}\n")
    tb.write("etc/tokenbroker/conf.d/30-influxctl.conf", textwrap.dedent(CONF))
    tb.enter("systemctl", "daemon-reload")
    tb.ctl("reload")
    said = tb.ctl("doctor", check=None).stdout
    assert "systemctl enable --now tokenbroker-influxctl.socket" in said, said
    tb.enter("systemctl", "enable", "--quiet", "--now", "tokenbroker-influxctl.socket")
    said = tb.ctl("doctor", check=None).stdout
    assert f"[backend mgmt]: {SOCKET} is there" in said, said


def runs(tb):
    file = tb.root / STANDIN.lstrip("/") / "runs.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def works(tb, value):
    return tb.enter("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {value}",
                    "http://127.0.0.1:18080/api/v0/tokens").stdout


def test_helper_under_systemd(box):
    said = box.enter("systemd-analyze", "verify", "--man=no", SERVICE, "tokenbroker-influxctl.socket")
    assert said.stderr == ""
    box.enter("systemd-analyze", "security", "--threshold=15", SERVICE)
    assert box.enter("stat", "-c", "%a %U", SOCKET, "/run/tokenbroker-influxctl").stdout == \
        "600 tokenbroker\n755 root\n"
    assert box.show(SERVICE, "ActiveState") == "inactive", "nobody has asked yet"

    value = box.ctl("get", "admin", timeout=90).stdout.strip()
    box.known.add(value)
    assert value.startswith("M.V1.") and works(box, value) == "200"
    assert box.show(SERVICE, "ActiveState", "User") == {"ActiveState": "active", "User": "tokenbroker-influxctl"}
    uid = int(box.enter("id", "-u", "tokenbroker-influxctl").stdout)
    assert uid not in (0, int(box.enter("id", "-u", "tokenbroker").stdout))
    assert {r["uid"] for r in runs(box)} == {uid} and {r["home"] for r in runs(box)} == {"0o700"}
    assert all(r["reach"] == [] for r in runs(box)), "nothing of the broker's can be reached"
    assert all(r["env"]["HOME"].startswith("/run/tokenbroker-influxctl/home/run-") for r in runs(box))
    assert box.enter("stat", "-c", "%a %U %F", "/run/tokenbroker-influxctl/home").stdout == \
        "700 tokenbroker-influxctl directory\n"
    assert box.enter("find", "/run/tokenbroker-influxctl/home", "-name", "run-*").stdout == ""

    # who may ask: the daemon's user, and nobody else
    python = ["/usr/bin/python3", "-c", TALK % SOCKET]
    nobody = box.enter("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *python, check=1)
    assert "PermissionError" in nobody.stderr
    assert box.enter(*python, check=None).stdout in ("", "b''\n"), "root can connect, and is told nothing"
    assert "may not ask here" in box.journal(SERVICE)
    daemon = box.enter("setpriv", "--reuid=tokenbroker", "--regid=tokenbroker", "--clear-groups", *python)
    assert "ran" in daemon.stdout

    # killed in the middle: systemd starts it again, and the daemon finds what it had made
    before = len(runs(box))
    box.enter("/usr/bin/python3", "-c", f"""if 1:
        import json
        c = json.load(open("{STANDIN}/config.json"))
        c["faults"].append({{"command": "create", "what": "hang_after", "times": 1}})
        json.dump(c, open("{STANDIN}/config.json", "w"))""")
    rotating = box.spawn("tokenbrokerctl", "rotate", "admin")
    try:
        util.wait_until(lambda: any(r["command"] == "create" for r in runs(box)[before:]), 60, "a run")
        util.wait_until(lambda: len((box.root / STANDIN.lstrip("/") / "made").read_text().split()) == 2, 60, "its token")
        box.enter("systemctl", "kill", "--kill-whom=main", "--signal=KILL", SERVICE)
        util.wait_until(lambda: box.show(SERVICE, "NRestarts") != "0" and
                        box.show(SERVICE, "ActiveState") == "active", 60, "its restart")
    finally:
        rotating.kill()
        rotating.wait()
    util.wait_until(lambda: box.enter("find", "/run/tokenbroker-influxctl/home", "-name", "run-*").stdout == "", 60,
                    "an empty directory")
    assert works(box, value) == "200", "what was there is served on"

    # its stop takes all homes along
    box.enter("systemctl", "stop", SERVICE, "tokenbroker-influxctl.socket")
    assert not (box.root / "run/tokenbroker-influxctl/home").exists()
    box.enter("systemctl", "start", "tokenbroker-influxctl.socket")
    box.ctl("revoke", "admin", "--yes", timeout=90)
    assert works(box, value) == "401"
    box.known.update((box.root / STANDIN.lstrip("/") / "made").read_text().split())
