# SPDX-License-Identifier: Apache-2.0
"""Management tokens by tokenbroker-influxctl: the real daemon, the real helper, a stand-in for influxctl, and the sandbox
as the service behind it."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

import daemon as d
import influxctl
import util
from sandbox import Sandbox

pytestmark = pytest.mark.skipif(influxctl.skip_reason() is not None, reason=str(influxctl.skip_reason()))

CONF = d.SANDBOX_LOGIN + """\
[backend prod]
type = influxdb-clustered
{payer}
base_url = {issuer}
allow_insecure_loopback = yes
reconcile_interval = 0
on_orphan = revoke
{keys}
{more}
[token t]
backend = prod
kind = management
allow_full_access = yes
lifetime = 6h
[client root]
user = root
tokens = *
"""
PATH = "/api/v0/tokens"


@pytest.fixture(name="sandbox")
def make_sandbox():
    with Sandbox("--quiet") as one:
        yield one


@contextlib.contextmanager
def world(sandbox, more="", payer="login = ops", login=True, settle="3s", **behaviour):
    """The helper and the daemon, somebody logged in; afterwards no secret is left anywhere."""
    with influxctl.Helper(sandbox, **behaviour) as helper:
        conf = CONF.format(issuer=sandbox.issuer, keys=helper.keys, more=more, payer=payer)
        with d.Daemon(conf, f"settle_time = {settle}\n") as tb:
            if login:
                assert tb.login("ops", sandbox.approve)["state"] == "granted"
            yield tb, helper
            for value in helper.made():
                tb.learn_value(value)
        helper.search_for_secrets(tb.known)


def works(sandbox, value):
    return util.http_request(sandbox.issuer + PATH, headers={"Authorization": f"Bearer {value}"}).status


def alive(sandbox):
    return [t for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending")]


def settled(tb):
    return util.wait_until(lambda: tb.audit("settled"), 60, "the end of the settling", interval=0.1)[-1]


LOGINS = ["token_file", "mgmt_token", "cache"]


@pytest.mark.parametrize("version", ["2.10.1", "2.11.0"])
@pytest.mark.parametrize("login", LOGINS)
def test_life(sandbox, version, login):
    with world(sandbox, f"influxctl_login = {login}\n", version=version) as (tb, helper):
        first = tb.token("t").json()
        assert first["token"].startswith("M.V1."), first
        assert works(sandbox, first["token"]) == 200
        assert 21000 < first["expires_in"] <= 21600
        assert tb.audit("minted")[-1]["token_id"] == alive(sandbox)[0]["id"]
        tb.restart()
        assert tb.token("t").json()["token"] == first["token"]

        assert tb.admin.request("tokens/t/rotate", "POST", timeout=60).status == 200
        second = tb.token("t").json()
        assert second["generation"] == first["generation"] + 1
        assert works(sandbox, second["token"]) == works(sandbox, first["token"]) == 200

        reply = tb.admin.request("tokens/t/revoke", "POST", body={"generation": first["generation"]}, timeout=60)
        assert reply.status == 200, reply
        assert works(sandbox, first["token"]) == 401
        assert works(sandbox, second["token"]) == 200
        assert tb.admin.request("logins/ops", "DELETE", timeout=60).status == 200
        assert works(sandbox, second["token"]) == 401
        assert not alive(sandbox)
        check_runs(tb, helper)


def check_runs(tb, helper):
    """What influxctl was given: no secret in words or environment, files for itself alone, a uid of its own."""
    runs = helper.runs()
    assert {r["command"] for r in runs} == {"version", "list", "create", "revoke"}
    for run in runs:
        said = json.dumps([run["argv"], run["env"]])
        assert not any(value in said for value in tb.known if len(value) >= 8)
        assert "eyJ" not in said, "a JWT"
        assert set(run["env"]) <= {"HOME", "PATH", "LANG", "NO_COLOR", "LC_CTYPE"}
        assert run["uid"] == influxctl.NOBODY and run["home"] == "0o700" and not run["tty"]
        assert set(run["files"].values()) <= {"0o600", "0o700"}
        assert run["files"] or run["command"] == "version", "the version is asked for before there is a login"
    create = helper.runs("create")[0]["argv"]
    description = create[create.index("--description") + 1]
    assert re.fullmatch(r"\[tokenbroker \S+/\S+ t #1 [0-9a-f]{32}\]", description)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", create[create.index("--expires-at") + 1])


# --------------------------------------------------------------------------- misbehaviour

# On create: what it does, and whether a token is there that nobody has.
CREATE_FAULTS = [("hang", False), ("hang_after", True), ("ignore_sigterm", True), ("half", True), ("fail", False),
                 ("fail_after", True), ("error_with_status_0", False), ("silent", True), ("huge", False)]


@pytest.mark.parametrize("fault, orphan", CREATE_FAULTS)
def test_create_that_fails_is_looked_for(sandbox, fault, orphan):
    with world(sandbox, timeout="5s", settle="2s") as (tb, helper):
        helper.fault("create", fault)
        tb.token("t", timeout=90)
        assert settled(tb)["reason"] == ("orphan revoked" if orphan else "nothing is there")
        assert len(alive(sandbox)) <= 1
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200
        assert [t["id"] for t in alive(sandbox)] == [tb.audit("minted")[-1]["token_id"]]
        assert not helper.descendants()


@pytest.mark.parametrize("fault", ["noise", "stray"])
@pytest.mark.parametrize("create", ["json", "text", "table"])
def test_create_with_more_around_it(sandbox, fault, create):
    version = {"json": "2.11.0", "text": "2.10.0", "table": "2.11.0"}[create]
    with world(sandbox, version=version, create="text" if create == "table" else create) as (tb, helper):
        helper.fault("create", fault)
        helper.fault("list", "noise", times=9)
        value = tb.token("t", timeout=90).json()["token"]
        assert works(sandbox, value) == 200
        assert len(helper.runs("create")) == 1
        if fault == "stray":
            pid = (helper.config.parent / "stray").read_text()
            util.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the end of a stray child")


LIST_FAULTS = ["hang", "ask_for_login", "fail", "unauthorized", "error_with_status_0", "half", "silent"]


@pytest.mark.parametrize("fault", LIST_FAULTS)
def test_nothing_is_made_when_the_look_before_fails(sandbox, fault):
    with world(sandbox, timeout="10s") as (tb, helper):
        helper.fault("list", fault)
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200
        assert len(helper.runs("create")) == 1 and len(alive(sandbox)) == 1
        assert not tb.audit("settled") and not [r for r in tb.audit("mint_failed") if r["reason"] == "uncertain"]
        if fault == "unauthorized":
            assert tb.audit("refreshed"), "a login that is refused is renewed"
        assert "\x1b" not in tb.log() + helper.log()


def test_revoke_that_fails_is_tried_again(sandbox):
    with world(sandbox, timeout="20s") as (tb, helper):
        first = tb.token("t", timeout=60).json()
        helper.fault("revoke", "error_with_status_0")
        reply = tb.admin.request("tokens/t/revoke", "POST", body={"generation": first["generation"]}, timeout=90)
        assert reply.json()["revoked"] == 0 and reply.json()["failed"] == 1, "its word is not enough: the list shows it"
        util.wait_until(lambda: works(sandbox, first["token"]) == 401, 90, "the revocation", interval=0.2)
        # what is revoked already is fine, too
        second = tb.token("t", timeout=90).json()
        helper.fault("revoke", "fail_after")
        reply = tb.admin.request("tokens/t/revoke", "POST", body={"generation": second["generation"]}, timeout=90)
        assert reply.json()["revoked"] == 1, reply
        assert works(sandbox, second["token"]) == 401


def test_old_versions(sandbox):
    with world(sandbox, version="2.6.0") as (tb, helper):
        assert tb.token("t", timeout=90).status == 503, "nothing to be had as long as it is that old"
        assert {r["command"] for r in helper.runs()} == {"version"}, "asked for the version, and nothing more"
        assert "influxctl is 2.6.0, and 2.10.0 or later is wanted" in tb.log()
        helper.configure(version="2.10.0")
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200
    with world(sandbox, "influxctl_min_version = none\n", version="2.6.0") as (tb, helper):
        assert works(sandbox, tb.token("t", timeout=90).json()["token"]) == 200
        assert "version" not in {r["command"] for r in helper.runs()}


# -------------------------------------------------------------------------- killed halfway


# Where the helper is when it is killed: in which command, and before or after that did its work.
STEPS = [("version", "hang"), ("list", "hang"), ("create", "hang"), ("create", "hang_after"), ("list after", "hang")]


@pytest.mark.parametrize("whom", ["worker", "helper"])
@pytest.mark.parametrize("command, fault", STEPS)
def test_killed_at_each_step(sandbox, command, fault, whom):
    with world(sandbox, timeout="20s", settle="2s", version="2.10.0") as (tb, helper):
        if command == "list after":
            helper.fault("list", "none")
        helper.fault(command.split()[0], fault)
        asker = util.Thread(lambda: tb.token("t", timeout=120))
        util.wait_until(lambda: hangs(helper, command.split()[0], 2 if " " in command else 1, fault, sandbox), 60,
                        "a run that hangs")
        pids = helper.descendants()
        if whom == "worker":
            for pid in helper.workers():
                os.kill(pid, signal.SIGKILL)
        else:
            helper.process.kill()
            helper.process.wait()
        util.wait_until(lambda: all(util.has_ended(pid) for pid in pids), 20, "the end of influxctl")
        if whom == "helper":
            assert helper.homes(), "nobody was left to wipe it"
            helper.start()
            assert "was left by a helper that was killed" in helper.log()
        util.wait_until(lambda: not helper.homes() or helper.workers(), 20, "an empty directory")
        asker.join(130)
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200
        made = command in ("create", "list after")
        if made:
            settled(tb)
        else:
            assert not tb.audit("settled"), "nothing can have been made"
        util.wait_until(lambda: len(alive(sandbox)) == 1, 60, "one token, and no more")
        assert alive(sandbox)[0]["id"] == tb.audit("minted")[-1]["token_id"]


def hangs(helper, command, number, fault, sandbox):
    """The run has begun that will hang, and where it hangs afterwards it has done its work."""
    if len(helper.runs(command)) < number or not helper.descendants():
        return False
    return fault != "hang_after" or len(alive(sandbox)) == 1


def test_daemon_killed_while_influxctl_runs(sandbox):
    with world(sandbox, timeout="20s", settle="2s") as (tb, helper):
        helper.fault("create", "hang_after")
        asker = util.Thread(lambda: ask_and_lose(tb))
        util.wait_until(lambda: hangs(helper, "create", 1, "hang_after", sandbox), 60, "a run that hangs")
        pids = helper.descendants()
        tb.kill()
        asker.join()
        util.wait_until(lambda: all(util.has_ended(pid) for pid in pids), 20, "the end of influxctl")
        tb.start()
        assert settled(tb)["reason"] == "orphan revoked"
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200
        assert len(alive(sandbox)) == 1


def ask_and_lose(tb):
    with contextlib.suppress(OSError, http.client.HTTPException):
        tb.token("t", timeout=60)


def test_no_helper(sandbox):
    """Nothing was made, and that is certain; with the helper comes the token."""
    with world(sandbox) as (tb, helper):
        helper.stop()
        assert tb.token("t", timeout=90).status == 503
        assert "is tokenbroker-influxctl.socket started?" in tb.log()
        assert not tb.audit("settled")
        helper.start()
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200


def test_stop_waits_for_what_runs(sandbox):
    with world(sandbox, timeout="20s") as (tb, helper):
        sandbox.fault("delay", "2", times=1, path="/api/v0/management-tokens", method="POST")
        asker = util.Thread(lambda: tb.token("t", timeout=90))
        util.wait_until(lambda: helper.runs("create"), 60, "a run")
        helper.stop()
        helper.start()
        assert works(sandbox, asker.join(100).json()["token"]) == 200
        assert not tb.audit("settled"), "nothing was uncertain"
        assert len(helper.runs("create")) == 1


# ----------------------------------------------------------------------- orphans, own login


def test_orphan(sandbox):
    """A token with our mark that nobody knows is found by influxctl's list, and revoked by it."""
    with world(sandbox) as (tb, helper):
        first = tb.token("t").json()
        listed = helper.runs("create")[0]["argv"]
        mark = listed[listed.index("--description") + 1]
        bearer = first["token"]
        body = {"description": re.sub(r"#1 \w+", "#77 " + "ab" * 16, mark), "expiresAt": "2099-01-01T00:00:00Z"}
        made = util.http_request(sandbox.issuer + "/api/v0/management-tokens", method="POST", body=body,
                                 headers={"Authorization": f"Bearer {bearer}"}).json()
        tb.learn_value(made["token"])
        # one of others stays
        body["description"] = "made by hand"
        other = util.http_request(sandbox.issuer + "/api/v0/management-tokens", method="POST", body=body,
                                  headers={"Authorization": f"Bearer {bearer}"}).json()
        tb.learn_value(other["token"])

        def gone():
            reply = tb.admin.request("reconcile", "POST", {"backend": "prod"}, timeout=90)
            assert reply.status == 200, reply
            return works(sandbox, made["token"]) == 401

        util.wait_until(gone, 90, "the orphan's end", interval=1)
        assert works(sandbox, other["token"]) == works(sandbox, first["token"]) == 200


def test_own_login(sandbox):
    """influxctl's own login, by a human at a terminal, in the home that the daemon's runs use."""
    more = "influxctl_login = own\ninfluxctl_client_id = tokenbroker\ninfluxctl_scopes = openid offline_access\n" \
        f"influxctl_device_url = {sandbox.issuer}/device_authorization\ninfluxctl_token_url = {sandbox.issuer}/token\n"
    endpoints = util.http_request(sandbox.issuer + "/.well-known/openid-configuration").json()
    more = more.replace(f"{sandbox.issuer}/device_authorization", endpoints["device_authorization_endpoint"])
    more = more.replace(f"{sandbox.issuer}/token", endpoints["token_endpoint"])
    with world(sandbox, more, payer="", login=False, timeout="3s") as (tb, helper):
        early = subprocess.run([str(a) for a in helper.argv("login", "prod")], capture_output=True, text=True,
                               timeout=30, check=False)
        assert early.returncode == 1 and "the daemon puts a profile there" in early.stderr
        assert tb.token("t", timeout=60).status == 503
        assert "does it wait for a login?" in tb.log()
        assert not helper.runs("create") and not tb.audit("settled")
        wrong = subprocess.run([d.program("tokenbroker-influxctl"), "--influxctl", helper.program, "--state-dir",
                                helper.state_dir, "login", "prod"], capture_output=True, text=True, timeout=30,
                               check=False)
        assert wrong.returncode == 1 and "run this as that user" in wrong.stderr
        with open(helper.dir / "login.log", "w", encoding="utf-8") as log:
            human = subprocess.Popen([str(a) for a in helper.argv("login", "prod")], stdout=log, stderr=log,
                                     stdin=subprocess.DEVNULL)
        try:
            code = util.wait_until(lambda: (sandbox.state()["pending"] or [None])[0], 20, "a user code")
            sandbox.approve(code)
            assert human.wait(60) == 0, (helper.dir / "login.log").read_text()
        finally:
            human.kill()
            human.wait()
        value = util.wait_until(lambda: tb.token("t", timeout=90).json().get("token"), 90, "a token after all")
        assert works(sandbox, value) == 200
        home = helper.state_dir / "prod"
        cache = home / ".cache/influxctl/default.json"
        assert cache.stat().st_mode & 0o777 == 0o600 and home.stat().st_mode & 0o777 == 0o700
        assert "token" not in (home / ".config/influxctl/config.toml").read_text().replace("token_url", "").replace(
            "tokenbroker", "").replace(endpoints["token_endpoint"], "")


# ---------------------------------------------------------------- secrets, strangers, questions


def test_no_secret_in_any_argument_or_environment(sandbox):
    """All of /proc, again and again, while everything runs."""
    seen, stop = set(), threading.Event()

    def sample():
        while not stop.is_set():
            for name in ("cmdline", "environ"):
                seen.update(text for _, text in util.process_files(name))

    with world(sandbox) as (tb, helper):
        sampler = util.Thread(sample)
        try:
            first = tb.token("t", timeout=90).json()
            tb.admin.request("tokens/t/rotate", "POST", timeout=90)
            tb.token("t", timeout=90)
            tb.admin.request("tokens/t/revoke", "POST", body={"generation": first["generation"]}, timeout=90)
        finally:
            stop.set()
            sampler.join()
        assert any(b"management\0create\0" in text for text in seen), "the sampling saw no run"
        values = [v.encode() for v in {*tb.known, *helper.made()} if len(v) >= 8]
        assert values and not any(v in text for v in values for text in seen)
        assert not any(b"eyJ" in text for text in seen if b"influxctl" in text)


def ask(helper, question, uid=None):
    """One question past the daemon; what comes back, or None."""
    code = "import socket,sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n" \
        "s.sendall(sys.stdin.buffer.read())\ns.shutdown(socket.SHUT_WR)\n" \
        "while part := s.recv(65536):\n    sys.stdout.buffer.write(part)\n"
    text = question if isinstance(question, bytes) else json.dumps(question).encode()
    done = subprocess.run(["/usr/bin/python3", "-c", code, str(helper.socket)], input=text, capture_output=True,
                          timeout=60, check=False, user=uid, group=uid, extra_groups=[] if uid is not None else None)
    return json.loads(done.stdout) if done.stdout else None


def question(**more):
    return {"name": "x", "timeout_ms": 5000, "args": ["version"], "files": [], **more}


def test_who_may_ask(sandbox):
    with influxctl.Helper(sandbox) as helper:
        assert ask(helper, question())["ran"]
        os.chmod(helper.socket, 0o666)
        for uid in (influxctl.NOBODY, 1):
            assert ask(helper, question(), uid) is None
        assert "may not ask here" in helper.log()
        assert len(helper.runs()) == 1


def test_questions_that_are_refused(sandbox):
    with influxctl.Helper(sandbox) as helper:
        refused = [b"", b"{", b"[]", b"x" * 300000, question(args=[]), question(name="../x"), question(timeout_ms=0),
                   question(files=[{"path": "../x", "text": ""}]), question(files=[{"path": "/tmp/x", "text": ""}])]
        for one in refused:
            answer = ask(helper, one)
            assert answer["ran"] is False and answer["error"], one
        assert not helper.runs()
        assert ask(helper, question())["exit"] == 0
        # a kept home where somebody has put a link: nothing is written through it
        (helper.state_dir / "x").mkdir(mode=0o700)
        (helper.state_dir / "x/out").symlink_to(helper.dir)
        for path in (helper.state_dir / "x", helper.state_dir / "x/out"):
            os.chown(path, influxctl.NOBODY, influxctl.NOBODY, follow_symlinks=False)
        answer = ask(helper, question(home="kept", files=[{"path": "out/y", "text": "z"}]))
        assert answer["ran"] is False
        assert not (helper.dir / "y").exists()


def test_program_that_others_can_change(sandbox):
    with influxctl.Helper(sandbox) as helper:
        helper.program.chmod(0o777)
        assert "only root can change" in ask(helper, question())["error"]
        helper.program.unlink()
        assert ask(helper, question())["ran"] is False
        assert not helper.runs()


def test_one_run_at_a_time(sandbox):
    """For one backend they follow each other; those of another do not wait; too many are told to come again."""
    with influxctl.Helper(sandbox) as helper:
        helper.fault("version", "hang")
        slow = util.Thread(lambda: ask(helper, question(timeout_ms=25000)))
        util.wait_until(helper.runs, 20, "the slow run")
        assert ask(helper, question(name="other"))["exit"] == 0
        answer = ask(helper, question())
        assert answer["ran"] is False and answer["busy"] is True
        assert slow.join()["timed_out"] is True
        assert ask(helper, question())["exit"] == 0


def test_homes_are_in_memory(sandbox):
    with influxctl.Helper(sandbox) as helper:
        disk = pathlib.Path("/var/tmp")
        kind = subprocess.run(["stat", "-f", "-c", "%T", disk], capture_output=True, text=True, check=True).stdout.strip()
        if kind in ("tmpfs", "ramfs"):
            pytest.skip("/var/tmp is in memory")
        argv = [str(a) for a in helper.argv() if a != "--allow-disk"]
        argv[argv.index("--run-dir") + 1] = str(disk / f"tbi-{os.getpid()}")
        argv[argv.index("--socket") + 1] = str(helper.socket) + "2"
        os.mkdir(disk / f"tbi-{os.getpid()}", 0o700)
        try:
            os.chown(disk / f"tbi-{os.getpid()}", influxctl.NOBODY, influxctl.NOBODY)
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        finally:
            os.rmdir(disk / f"tbi-{os.getpid()}")
        assert done.returncode == 1 and "is not in memory (tmpfs)" in done.stderr


def test_daemon_says_nothing_to_a_stranger(sandbox):
    """Where another user listens at the path, nothing of the login is said."""
    with world(sandbox) as (tb, helper):
        helper.stop()
        heard = []
        code = "import os,socket,sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\nos.chmod(sys.argv[1], 0o666)\n" \
            "s.listen(4)\nprint('up', flush=True)\nwhile True:\n    c = s.accept()[0]\n    print(len(c.recv(99)), flush=True)\n"
        helper.socket.unlink(missing_ok=True)
        helper.socket.parent.chmod(0o777)
        with open(helper.dir / "stranger.log", "wb") as log:
            stranger = subprocess.Popen(["/usr/bin/python3", "-c", code, str(helper.socket)], stdout=log, user=1, group=1,
                                        extra_groups=[])
        try:
            util.wait_until(lambda: (helper.dir / "stranger.log").read_bytes() or stranger.poll() is not None, 20, "it")
            assert stranger.poll() is None, "it could not bind"
            assert tb.token("t", timeout=60).status == 503
            assert "nothing was said to it" in tb.log()
            heard = (helper.dir / "stranger.log").read_text().split()
            assert set(heard) == {"up", "0"}
        finally:
            stranger.kill()
            stranger.wait()
            helper.socket.unlink()
            helper.start()
