# SPDX-License-Identifier: Apache-2.0
"""The credential door, asked as systemd asks: what a unit gets, and that every refusal fails it (P7)."""

import errno
import resource
import signal
import time

import pytest

import daemon as d
import units
import util
from sandbox import Sandbox
from test_disk import DiskFault

VALUE = "M.V1.value-for-a-unit"
CONF = """\
[backend by-hand]
type = import
[token by-name]
backend = by-hand
kind = management
allow_full_access = yes
[token empty]
backend = by-hand
kind = management
allow_full_access = yes
[client telegraf]
unit = telegraf*.service
user = daemon
tokens = by-name empty
credentials = influx=by-name
[client limited]
unit = limited-*.service
tokens = by-name
rate = 2/1h
[client person]
user = root
tokens = *
"""


@pytest.fixture
def tb():
    with d.Daemon(CONF) as one:
        one.learn_value(VALUE)
        one.ctl("import", "by-name", "--expires-at", "1d", stdin=VALUE + "\n", check=0)
        yield one


@pytest.fixture
def fetch(tb, slice_dir):
    return lambda unit, ident, **kwargs: units.fetch(tb, slice_dir, unit, ident, **kwargs)


def line_of(tb, *words):
    return util.wait_until(lambda: [line for line in tb.log().splitlines() if all(w in line for w in words)], 20,
                           f"a log line with {words}")[-1]


def wait_for(tb, word, count=1):
    util.wait_until(lambda: len(tb.audit(word)) >= count, 20, f"{count} records {word}")
    return tb.audit(word)


# ---------------------------------------------------------------------- values


def test_value(tb, fetch):
    """By the rule's name for it, by the token's own name, and again and again: bare bytes, at once."""
    for ident in ("influx", "by-name", "influx", "influx"):
        got = fetch("telegraf.service", ident)
        assert got["given"] == VALUE and got["seconds"] < 5, got
    record = wait_for(tb, "sent", 4)[-1]
    assert record["unit"] == "telegraf.service" and record["strength"] == "strong", record
    assert record["door"] == "credential" and record["delivery"] == "static", record
    assert [r["event"] for r in tb.audit() if r["event"] in ("authorised", "sent")] == ["authorised", "sent"] * 4
    line = line_of(tb, "telegraf.service", "'influx' given")
    assert "token 'by-name' generation 1" in line and f"[client telegraf] at {tb.conf_file}:" in line, line


def test_unit_counts_not_the_user(tb, fetch):
    """The service has no user yet when systemd asks, so unit= decides alone; the api door still wants both."""
    assert fetch("telegraf@a-b\\x2dc.service", "influx")["given"] == VALUE
    assert tb.token("by-name").status == 200, "root, by another rule"


def test_refresh_from_init_scope(fetch):
    """systemd 260 and later load credentials anew on reload, from PID 1's own control group."""
    assert fetch("telegraf.service", "influx", cgroup="init.scope")["given"] == VALUE


def test_subgroups_of_the_unit(fetch):
    assert fetch("telegraf.service", "influx", cgroup="telegraf.service/.control")["given"] == VALUE


def test_many_at_once(tb, slice_dir):
    clients = [units.Client(tb, slice_dir, f"telegraf-{i}.service", "influx") for i in range(20)]
    assert all(c.end()["given"] == VALUE for c in clients)


def test_waits_for_a_first_value(slice_dir):
    with Sandbox() as sandbox, d.Daemon(COLD.format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        sandbox.fault("delay", 2, times=1, path="/api/v0")
        got = units.fetch(tb, slice_dir, "a.service", "db")
        assert got["given"].startswith("apiv1_") and got["seconds"] > 1.5, got["seconds"]
        tb.learn_value(got["given"])


COLD = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token db]
backend = prod
permissions = read:metrics
lifetime = 1h
[client a]
unit = a.service
tokens = db
"""


# -------------------------------------------------------------------- refusals


@pytest.mark.parametrize("unit,ident,words", [
    ("telegraf.service", "no-such", ("'no-such' refused", "no rule matches", "credentials = no-such=TOKEN")),
    ("grafana.service", "by-name", ("grafana.service", "no rule matches", "unit = grafana.service")),
    ("telegraf.service", "empty", ("'empty' refused", "tokenbrokerctl import empty")),
])
def test_refusal_fails_the_unit(tb, fetch, unit, ident, words):
    """More than 1 MiB, soon, and one log line that says what to do."""
    got = units.must_fail(fetch(unit, ident))
    assert got["seconds"] < 5, got
    line_of(tb, *words, "status=243/CREDENTIALS")


def test_denial_is_on_record(tb, fetch):
    units.must_fail(fetch("grafana.service", "by-name"))
    record = wait_for(tb, "denied")[-1]
    assert record["door"] == "credential" and record["token"] == "by-name", record
    assert record["unit"] == "grafana.service", record


def test_rate_counts_for_each_unit(tb, fetch):
    """A unit that restarts all the time uses up nothing of another's."""
    for _ in range(2):
        assert fetch("limited-a.service", "by-name")["given"] == VALUE
    units.must_fail(fetch("limited-a.service", "by-name"))
    line_of(tb, "limited-a.service", "has a rate", "Exec line")
    assert fetch("limited-b.service", "by-name")["given"] == VALUE


def test_time_is_bounded(slice_dir):
    """Nobody answers upstream: the unit fails after credential_wait, not after its own time."""
    with Sandbox() as sandbox, d.Daemon(COLD.format(issuer=sandbox.issuer), broker="credential_wait = 2s\n") as tb:
        assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        sandbox.fault("delay", 30, path="/api/v0")
        got = units.must_fail(units.fetch(tb, slice_dir, "a.service", "db"))
        assert 1.5 < got["seconds"] < 10, got
        line_of(tb, "a.service", "'db' refused", "tokenbrokerctl status")


def test_error_upstream_is_waited_out(slice_dir):
    """systemd does not ask again, so the daemon does, as long as there is time."""
    with Sandbox() as sandbox, d.Daemon(COLD.format(issuer=sandbox.issuer), broker="credential_wait = 30s\n") as tb:
        assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        sandbox.fault("status", 503, times=2, path="/api/v0")
        got = units.fetch(tb, slice_dir, "a.service", "db")
        assert got["given"] and got["given"].startswith("apiv1_"), got
        tb.learn_value(got["given"])


def test_stopping_while_waiting(slice_dir):
    with Sandbox() as sandbox, d.Daemon(COLD.format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        sandbox.fault("delay", 30, path="/api/v0")
        clients = [units.Client(tb, slice_dir, "a.service", "db", ready=True) for _ in range(3)]
        util.wait_until(lambda: tb.connections("credential") == 3, 20, "the three to be accepted")
        tb.stop()
        for client in clients:
            units.must_fail(client.end())
        line_of(tb, "a.service", "'db' refused", "start the unit again")
        tb.start()


def test_not_yet_accepted_when_it_stops(tb, slice_dir):
    """What is in the queue of a socket of our own when that is closed breaks, which fails the unit as well."""
    tb.process.send_signal(signal.SIGSTOP)
    client = units.Client(tb, slice_dir, "telegraf.service", "influx", ready=True)
    tb.process.send_signal(signal.SIGTERM)
    tb.process.send_signal(signal.SIGCONT)
    got = client.end()
    assert got["given"] == VALUE or units.must_fail(got)
    util.end_process(tb.process)
    tb.start()


def test_stalled_reader(tb, slice_dir):
    """A refusal waits for its reader (systemctl freeze); nobody else does, and the daemon's end waits only a moment."""
    client = units.Client(tb, slice_dir, "grafana.service", "by-name", ready=True, stall=True)
    line_of(tb, "grafana.service", "refused")
    assert units.fetch(tb, slice_dir, "telegraf.service", "influx")["given"] == VALUE
    time.sleep(12)
    client.go_on()
    units.must_fail(client.end())


def test_stalled_reader_at_the_end(tb, slice_dir):
    client = units.Client(tb, slice_dir, "grafana.service", "by-name", ready=True, stall=True)
    line_of(tb, "grafana.service", "refused")
    stop = util.Thread(tb.stop)
    time.sleep(1)
    client.go_on()
    units.must_fail(client.end())
    stop.join()
    tb.start()


# ------------------------------------------------------------------------ disk


@pytest.fixture
def disk(tmp_path):
    """A daemon that has its value, and what happens to its disk."""
    fault = DiskFault(tmp_path)
    with d.Daemon(CONF, wrap=["env", *(f"{name}={value}" for name, value in fault.env.items())]) as tb:
        tb.learn_value(VALUE)
        tb.ctl("import", "by-name", "--expires-at", "1d", stdin=VALUE + "\n", check=0)
        yield tb, fault


def test_slow_disk(disk, slice_dir):
    """The record first, however long that takes."""
    tb, fault = disk
    fault.set(stall_ms=2000)
    got = units.fetch(tb, slice_dir, "telegraf.service", "influx")
    assert got["given"] == VALUE and got["seconds"] > 1.5, got
    fault.clear()


def test_disk_that_refuses(disk, slice_dir):
    """No record, no value; and no empty credential either."""
    tb, fault = disk
    fault.set(sync=errno.EIO)
    units.must_fail(units.fetch(tb, slice_dir, "telegraf.service", "influx"))
    line_of(tb, "telegraf.service", "'influx' refused", "see to the disk")
    fault.clear()
    assert util.wait_until(lambda: units.fetch(tb, slice_dir, "telegraf.service", "influx")["given"], 30) == VALUE


def test_stopped_while_the_disk_is_slow(disk, slice_dir):
    tb, fault = disk
    fault.set(stall_ms=2000)
    client = units.Client(tb, slice_dir, "telegraf.service", "influx", ready=True)
    util.wait_until(lambda: tb.connections("credential") == 1, 20, "it to be accepted")
    tb.stop()
    units.must_fail(client.end())
    line_of(tb, "telegraf.service", "'influx' refused", "being stopped")
    fault.clear()
    tb.start()


# -------------------------------------------------------------------- overload


def test_too_many_connections(slice_dir):
    """One more than root may have: refused, and not with an empty credential."""
    with d.Daemon(CONF, broker="max_connections = 64\nmax_connections_per_uid = 8\n") as tb:
        tb.ctl("import", "by-name", "--expires-at", "1d", stdin=VALUE + "\n", check=0)
        tb.learn_value(VALUE)
        held = [d.UnixConnection(tb.api.path) for _ in range(8)]
        for one in held:
            one.connect()
        units.must_fail(units.fetch(tb, slice_dir, "telegraf.service", "influx"))
        line_of(tb, "telegraf.service", "too many connections", "start the unit again")
        for one in held:
            one.close()
        assert units.fetch(tb, slice_dir, "telegraf.service", "influx")["given"] == VALUE


def test_out_of_descriptors(tb, slice_dir):
    """The descriptor table is full: those that come are refused one after the other, and the rest is served later."""
    limit = resource.prlimit(tb.process.pid, resource.RLIMIT_NOFILE)
    used = len(util.os.listdir(f"/proc/{tb.process.pid}/fd"))
    resource.prlimit(tb.process.pid, resource.RLIMIT_NOFILE, (used, limit[1]))
    clients = [units.Client(tb, slice_dir, "telegraf.service", "influx") for _ in range(5)]
    for client in clients:
        units.must_fail(client.end())
    line_of(tb, "out of descriptors")
    resource.prlimit(tb.process.pid, resource.RLIMIT_NOFILE, limit)
    assert units.fetch(tb, slice_dir, "telegraf.service", "influx")["given"] == VALUE


def test_a_few_descriptors_are_left(tb, slice_dir):
    """Enough to accept, too few to look at the peer."""
    limit = resource.prlimit(tb.process.pid, resource.RLIMIT_NOFILE)
    used = len(util.os.listdir(f"/proc/{tb.process.pid}/fd"))
    for more in range(1, 5):
        resource.prlimit(tb.process.pid, resource.RLIMIT_NOFILE, (used + more, limit[1]))
        got = units.fetch(tb, slice_dir, "telegraf.service", "influx")
        assert got["given"] == VALUE or units.must_fail(got), (more, got)
    resource.prlimit(tb.process.pid, resource.RLIMIT_NOFILE, limit)
    assert units.fetch(tb, slice_dir, "telegraf.service", "influx")["given"] == VALUE


# ------------------------------------------------------------------ not systemd


@pytest.mark.parametrize("name", ["", "\0", "\0abc", "\0/unit/telegraf.service/influx",
                                  "\0xyz/unit/telegraf.service/influx", "\0ABC/unit/telegraf.service/influx",
                                  "\0" + "1" * 17 + "/unit/telegraf.service/influx",
                                  "\0a1/cryptsetup/telegraf.service", "\0a1/cryptsetup-tpm2/telegraf.service/influx",
                                  "\0a1/unit/telegraf.service", "\0a1/unit/telegraf.service/influx/x",
                                  "\0a1/unit/telegraf/influx", "\0a1/unit/telegraf@.service/influx",
                                  "\0a1/unit//influx", "\0a1/unit/telegraf.service/",
                                  "\0a1/unit/telegraf.service/in\0flux", "\0a1/unit/telegraf.service/in\nflux"])
def test_name_that_is_none(fetch, name):
    units.must_fail(fetch("telegraf.service", "influx", name=name))


def test_claim_of_another_unit(tb, fetch):
    """A service that runs as root, but another one."""
    units.must_fail(fetch("telegraf.service", "influx", cgroup="grafana.service"))
    line_of(tb, "unit=grafana.service", "of telegraf.service", "another unit")
    units.must_fail(fetch("telegraf.service", "influx", cgroup="."))
    line_of(tb, "runs in no unit")


def test_not_root(tb, fetch):
    """The socket is root's; where somebody opened it up, the address is still worth nothing."""
    units_run = tb.run_dir / "credential.sock"
    assert units_run.stat().st_mode & 0o777 == 0o600
    got = fetch("telegraf.service", "influx", uid=d.NOBODY)
    assert got["error"] == "EACCES", got
    units_run.chmod(0o666)
    units.must_fail(fetch("telegraf.service", "influx", uid=d.NOBODY))
    line_of(tb, f"uid={d.NOBODY}", "system manager (uid 0)")
    assert [r for r in wait_for(tb, "denied") if r["uid"] == d.NOBODY]
