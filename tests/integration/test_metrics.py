# SPDX-License-Identifier: Apache-2.0
"""The daemon in numbers, read by the parsers that monitoring systems use; and whether it is well."""

import os
import pathlib
import shutil
import socket
import stat
import tempfile
import time

import pytest
from prometheus_client import parser as prometheus
from prometheus_client.openmetrics import parser as openmetrics

import daemon as d
import util
from sandbox import Sandbox

CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token db]
backend = prod
permissions = read:metrics
lifetime = 1h
renew_before = 20m
[token other]
backend = prod
permissions = read:metrics
lifetime = 1h
[client root]
user = root
tokens = db
"""
TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def textdir():
    one = pathlib.Path(tempfile.mkdtemp(prefix="tbm-"))
    one.chmod(0o755)
    yield one
    shutil.rmtree(one)


@pytest.fixture
def tb(sandbox, textdir):
    broker = f"metrics_file = {textdir}/tokenbroker.prom\nmetrics_interval = 1s\n"
    with d.Daemon(CONF.format(issuer=sandbox.issuer), broker) as one:
        yield one


def families(text, parser=openmetrics):
    """{name: family}, after the strict parser has read all of it."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.name not in found, f"{family.name} is declared twice"
        assert family.documentation and family.type != "unknown", family
        found[family.name] = family
    return found


def read(tb):
    reply = tb.admin.request("metrics")
    assert (reply.status, reply.headers["Content-Type"]) == (200, TYPE)
    return families(reply.body.decode())


def value(found, name, **labels):
    """The one sample of that name and labels; None when there is none."""
    values = [s.value for f in found.values() for s in f.samples if s.name == "tokenbroker_" + name and s.labels == labels]
    assert len(values) <= 1, (name, labels, values)
    return values[0] if values else None


def test_from_nothing_to_a_token(tb, sandbox):
    now = time.time()
    found = read(tb)
    assert value(found, "ready") == 1 and value(found, "disk_ok") == 1
    assert value(found, "human_needed", login="ops") == 1
    assert abs(value(found, "human_needed_timestamp_seconds", login="ops") - now) < 5
    assert value(found, "outage_budget_seconds", token="db") == 0
    assert value(found, "outage_budget_minimum_seconds") is None
    assert value(found, "token_expires_timestamp_seconds", token="db") is None
    assert tb.ctl("status", check=0).stdout.count("human needed: now (login ops)") == 1

    assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
    token = tb.token("db").json()
    assert tb.token("db", headers={"If-None-Match": f'"{token["generation"]}"'}).status == 304
    assert tb.token("other").status == 403
    found = read(tb)
    assert value(found, "human_needed", login="ops") == 0
    assert value(found, "mints_total", token="db", outcome="made") == 1
    assert value(found, "releases_total", door="api", token="db", outcome="sent") == 1
    assert value(found, "releases_total", door="api", token="db", outcome="not_modified") == 1
    assert value(found, "denials_total", door="api") == 1
    assert 3590 <= value(found, "outage_budget_seconds", token="db") <= 3600
    assert value(found, "outage_budget_minimum_seconds") == value(found, "outage_budget_seconds", token="db")
    assert abs(value(found, "token_expires_timestamp_seconds", token="db") - now - 3600) < 20
    assert value(found, "token_renewal_timestamp_seconds", token="db") < now + 3600 - 1200 + 20
    assert value(found, "upstream_requests_total", result="2xx") >= 5
    took = value(found, "request_duration_seconds_count", door="api")
    assert took == 3, "each request is in the histogram once"
    # a client that wants ten minutes: the budget is ten minutes less
    assert tb.token("db?min_valid=600").status == 200
    assert 2980 <= value(read(tb), "outage_budget_seconds", token="db") <= 3000
    status = tb.admin.request("status").json()
    assert status["outage_budget"]["token"] == "db" and 2980 <= status["outage_budget"]["seconds"] <= 3000
    out = tb.ctl("status", check=0).stdout
    assert "outage budget: 49m" in out or "outage budget: 50m" in out, out


def test_human_needed_is_told_ahead(sandbox):
    """A provider that says how long a refresh token lives."""
    with Sandbox("--refresh-ttl=7200") as other:
        with d.Daemon(CONF.format(issuer=other.issuer)) as tb:
            assert tb.login("ops", other.approve, expect="email=alice@example.org")["state"] == "granted"
            at = value(read(tb), "human_needed_timestamp_seconds", login="ops")
            assert abs(at - time.time() - 7200) < 60
            said = tb.ctl("status", check=0).stdout  # a second may have passed
            assert "human needed: in 2h (login ops)" in said or "human needed: in 1h 59m (login ops)" in said


def test_counts_grow_only(tb, sandbox):
    assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
    tb.token("db")
    before = read(tb)
    for _ in range(3):
        tb.token("db")
        tb.admin.request("reconcile", "POST")
    after = read(tb)
    for name, family in before.items():
        if family.type != "counter":
            continue
        for s in family.samples:
            later = [x.value for x in after[name].samples if x.labels == s.labels and x.name == s.name]
            assert later and later[0] >= s.value, s
    assert value(after, "reconcile_looks_total", backend="prod") - \
        (value(before, "reconcile_looks_total", backend="prod") or 0) == 3
    assert value(after, "orphans", backend="prod") == 0


def test_file_for_others(tb, sandbox, textdir):
    file = textdir / "tokenbroker.prom"
    util.wait_until(file.exists, 10, "the file")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o644
    assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
    tb.token("db")

    def sent():
        return value(families(file.read_text(), prometheus), "releases_total", door="api", token="db", outcome="sent")

    util.wait_until(lambda: sent() == 1, 10, "the release in the file")
    found = families(file.read_text(), prometheus)
    assert found["tokenbroker_releases"].type == "counter"
    assert "# EOF" not in file.read_text() and "# UNIT" not in file.read_text()
    assert {f.name for f in textdir.iterdir()} == {"tokenbroker.prom"}
    # a directory that goes away hurts nobody, and is written to when it is back
    shutil.rmtree(textdir)
    time.sleep(2.5)
    assert tb.token("db").status == 200
    assert tb.admin.request("health").status == 200
    assert "metrics_file" in tb.log()
    textdir.mkdir(mode=0o755)
    util.wait_until(file.exists, 10, "the file again")
    # and a reload without it ends it
    tb.write_conf(CONF.format(issuer=sandbox.issuer))
    tb.ctl("reload", check=0)
    time.sleep(0.3)
    file.unlink()
    time.sleep(2)
    assert not file.exists()


def test_health_on_both_doors(tb, sandbox):
    """It is the daemon's; that nobody has logged in yet is told besides, to those who operate it."""
    for door, more in (tb.api, {}), (tb.admin, {"human_needed": "tokenbrokerctl login ops"}):
        for target in ("health", "health?live=1"):
            assert door.request(target).json() == {"ok": True, **more}
        assert door.request("health?live=yes").status == 400
    assert tb.api.request("metrics").status == 404
    assert tb.login("ops", sandbox.approve)["state"] == "granted"
    assert tb.admin.request("health").json() == {"ok": True}


def test_systemd_is_told(sandbox):
    """STATUS= says what systemctl status shows."""
    with tempfile.TemporaryDirectory() as directory:
        path = directory + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(10)
            tb = d.Daemon(CONF.format(issuer=sandbox.issuer))
            try:
                tb.start(env={**os.environ, "NOTIFY_SOCKET": path})
                said = ""
                while "STATUS=" not in said:
                    said = notify.recv(4096).decode()
                assert said.strip() == "STATUS=0 of 2 tokens ready; 1 login needs a human"
            finally:
                tb.end()
