# SPDX-License-Identifier: Apache-2.0
"""tokenbrokerctl run --revoke-on-exit: a value of the run's own, which ends with it, however that ends."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

import daemon as d
import util

NOBODY = 65534
CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token job]
backend = prod
permissions = read:x
lifetime = 1h
leases = {leases}
[token plain]
backend = prod
permissions = read:y
lifetime = 1h
[client root]
user = root
tokens = *
[client nobody]
user = nobody
tokens = job
"""
OWN = "job@lease:1:uid:0"


def conf(sandbox, leases=3):
    return CONF.format(issuer=sandbox.issuer, leases=leases)


@pytest.fixture
def tb(sandbox):
    with d.Daemon(conf(sandbox)) as one:
        assert one.login("ops", sandbox.approve)["state"] == "granted"
        yield one


@pytest.fixture
def work():
    with util.temp_dir() as path:
        path.chmod(0o755)
        yield path


def env_of(tb):
    return {**os.environ, "TOKENBROKER_RUN_DIR": str(tb.run_dir), "NO_COLOR": "1"}


class Run:
    """A run in the background whose command says its value on a pipe and then waits for a line."""

    def __init__(self, tb, *options, pair="T=job", command='cat "$T"; echo; read x; exit 7', group=False, argv=None):
        self.tb = tb
        argv = argv or ["sh", "-c", command]
        self.process = subprocess.Popen(
            [d.program("tokenbrokerctl"), "run", "--revoke-on-exit", *options, pair, "--", *argv], env=env_of(tb),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            process_group=0 if group else None)
        self.value = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        util.end_process(self.process, signal.SIGKILL)

    def begun(self):
        self.value = self.process.stdout.readline().strip()
        self.tb.learn_value(self.value)
        # without a value nobody is left who could write more
        assert self.value, self.process.stderr.read()
        return self

    def child(self):
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(util.wait_until(lambda: path.read_text().split(), 10, "the command")[0])

    def end(self):
        """Its exit status and what it said of it."""
        _, said = self.process.communicate("\n", timeout=60)
        return self.process.returncode, said


def works(sandbox, value):
    return util.http_request(sandbox.issuer + "/health/auth", headers={"Authorization": f"Bearer {value}"}).status == 200


def alive(sandbox):
    return sorted(t["description"].split()[-3] for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending"))


def test_a_value_of_its_own(tb, sandbox):
    everybodys = tb.ctl("get", "job", check=0).stdout.strip()
    tb.learn_value(everybodys)
    with Run(tb) as run:
        run.begun()
        assert run.value != everybodys and works(sandbox, run.value)
        assert alive(sandbox) == ["job", OWN]
        assert run.end() == (7, "")
    # it waited for that
    assert not works(sandbox, run.value) and works(sandbox, everybodys)
    util.wait_until(lambda: tb.audit("revoked"), 20, "the record of it")
    events = [r["event"] for r in tb.audit() if r.get("token") == OWN]
    assert events == ["mint_intent", "minted", "authorised", "sent", "withheld", "revoked"]
    assert [r["delivery"] for r in tb.audit("authorised") if r["token"] == OWN] == ["memfd"]


def test_in_the_environment(tb, sandbox):
    with Run(tb, "--env", command='echo "$T"; read x') as run:
        run.begun()
        assert works(sandbox, run.value)
        status, said = run.end()
        assert status == 0 and "--env puts the token" in said
    assert not works(sandbox, run.value)


def memory_of(pid):
    """All that it may write to, and so all that a value could be in."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
            # a sanitizer's shadow is terabytes, nearly all of it not there
            if not line.split()[1].startswith("rw") or end - begin > 1 << 28:
                continue
            mem.seek(begin)
            try:
                yield mem.read(end - begin)
            except OSError:
                pass


@pytest.mark.parametrize("options,command", [((), 'cat "$T"; echo; read x'), (("--env",), 'echo "$T"; read x')],
                         ids=["file", "env"])
def test_who_stays_has_no_value(tb, options, command):
    with Run(tb, *options, command=command) as run:
        run.begun()
        run.child()
        # it puts them away behind fork(2), beside the command
        util.wait_until(lambda: not any(run.value.encode() in part for part in memory_of(run.process.pid)), 10,
                        "nothing of the value in the program that stays")
        files = [os.readlink(f) for f in pathlib.Path(f"/proc/{run.process.pid}/fd").iterdir()]
        assert not [f for f in files if "memfd" in f], files
        assert run.end()[0] == 0


@pytest.mark.parametrize("command,status", [
    ("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -signal.SIGKILL),
    ("kill -SEGV $$", -signal.SIGSEGV)])
def test_exit_status(tb, sandbox, command, status):
    with Run(tb, command='cat "$T"; echo; ' + command) as run:
        run.begun()
        assert run.end() == (status, "")
    assert not works(sandbox, run.value)


def test_no_such_command(tb, sandbox, work):
    for argv, status in (["/nonexistent/x"], 127), ([str(work)], 126):
        with Run(tb, argv=argv) as run:
            ended, said = run.end()
            assert ended == status and said.startswith("tokenbrokerctl: run: cannot execute")
    assert alive(sandbox) == []


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(tb, sandbox, sig):
    name = signal.Signals(sig).name[3:]
    # a shell looks at a trap when what it waits for ends
    with Run(tb, command=f'trap "echo told; exit 42" {name}; cat "$T"; echo; while :; do sleep 0.1; done') as run:
        run.begun()
        os.kill(run.process.pid, sig)
        assert run.process.stdout.readline() == "told\n"
        assert run.end() == (42, "")
    assert not works(sandbox, run.value)


def test_a_terminals_signal_comes_once(tb, sandbox):
    """^C goes to the whole group, the command as well: passing it on would be a second one."""
    # The one in front stands still while the command gets the terminal's, so that a second one would be counted; what
    # it has to pass on, it does in the order of their numbers.
    script = ("import os, pty, signal, sys\n"
              "pid, fd = pty.fork()\n"
              "if pid == 0:\n"
              "    os.execvp(sys.argv[1], sys.argv[1:])\n"
              "said = b''\n"
              "while b'ready' not in said: said += os.read(fd, 1000)\n"
              "os.kill(pid, signal.SIGSTOP)\n"
              "os.waitpid(pid, os.WUNTRACED)\n"
              "os.write(fd, b'\\x03')\n"
              "while b'one' not in said: said += os.read(fd, 1000)\n"
              "os.kill(pid, signal.SIGUSR1)\n"
              "os.kill(pid, signal.SIGCONT)\n"
              "try:\n"
              "    while True: said += os.read(fd, 1000)\n"
              "except OSError: pass\n"
              "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
              "print(said.decode(), status)\n")
    command = ("import signal, sys, time\n"
               "n, end = [], []\n"
               "signal.signal(signal.SIGINT, lambda *a: n.append(1))\n"
               "signal.signal(signal.SIGUSR1, lambda *a: end.append(1))\n"
               "print('ready', flush=True)\n"
               "while not n: time.sleep(0.01)\n"
               "print('one', flush=True)\n"
               "while not end: time.sleep(0.01)\n"
               "print('counted', len(n), flush=True)\n")
    done = subprocess.run(
        [sys.executable, "-c", script, d.program("tokenbrokerctl"), "run", "--revoke-on-exit", "T=job", "--",
         sys.executable, "-c", command], env=env_of(tb), capture_output=True, text=True, timeout=60, check=True)
    assert "counted 1" in done.stdout and done.stdout.rstrip().endswith("0"), done.stdout
    assert alive(sandbox) == []


def test_stops_and_goes_on_with_it(tb, sandbox):
    """For a shell's job control: who sees us stopped sees the command stopped."""
    with Run(tb, command='cat "$T"; echo; read x; exit 7', group=True) as run:
        run.begun()
        child = run.child()
        os.kill(run.process.pid, signal.SIGTSTP)
        util.wait_until(lambda: util.process_state(run.process.pid) == "T" and util.process_state(child) == "T", 10, "both stopped")
        assert works(sandbox, run.value)
        os.kill(run.process.pid, signal.SIGCONT)
        util.wait_until(lambda: util.process_state(run.process.pid) == "S" and util.process_state(child) == "S", 10, "both going on")
        assert run.end() == (7, "")
    assert not works(sandbox, run.value)


def test_killed(tb, sandbox):
    """Nobody is there to ask for it: the end of the connection is enough."""
    with Run(tb) as run:
        run.begun()
        run.process.kill()
        util.wait_until(lambda: not works(sandbox, run.value), 20, "its end")
        assert alive(sandbox) == []


def test_two_values(tb, sandbox):
    with Run(tb, "A=job", pair="B=job", command='cat "$A"; echo; cat "$B"; echo; read x') as run:
        run.begun()
        other = run.process.stdout.readline().strip()
        tb.learn_value(other)
        assert other != run.value and works(sandbox, other)
        assert alive(sandbox) == [OWN, "job@lease:2:uid:0"]
        assert run.end() == (0, "")
    assert alive(sandbox) == []


def test_all_or_nothing(tb, sandbox, work):
    with Run(tb, "A=job", pair="B=plain", argv=["touch", str(work / "ran")]) as run:
        status, said = run.end()
        assert status == 125 and "B=plain: denied: [token plain] has no leases" in said and "leases = N" in said
    assert not (work / "ran").exists()
    util.wait_until(lambda: alive(sandbox) == [], 20, "the end of the first")


def test_denied(tb):
    done = tb.ctl("run", "--revoke-on-exit", "T=plain", "--", "true", user=NOBODY)
    assert done.returncode == 125 and "no rule allows you this token" in done.stderr


def test_so_many_and_no_more(tb, sandbox):
    tb.write_conf(conf(sandbox, leases=1))
    tb.ctl("reload", check=0)
    with Run(tb) as first:
        first.begun()
        done = tb.ctl("run", "--revoke-on-exit", "T=job", "--", "true")
        assert done.returncode == 125 and "all of the leases = 1 of [token job] are taken" in done.stderr
        with Run(tb, "--wait", "60s") as second:
            # it was refused by then, and more than once
            assert "not ready yet; trying for" in second.process.stderr.readline()
            assert first.end()[0] == 7
            second.begun()
            assert second.end()[0] == 7
    assert alive(sandbox) == []


def test_many_take_turns(tb, sandbox):
    """Those that wait get theirs, and never what another has."""
    argv = [d.program("tokenbrokerctl"), "run", "--revoke-on-exit", "--wait", "60s", "T=job", "--", "sh", "-c",
            'cat "$T"; exit 9']
    runs = [subprocess.Popen(argv, env=env_of(tb), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(20)]
    ended = [(*run.communicate(timeout=90), run.returncode) for run in runs]
    values = {out for out, _, _ in ended}
    for value in values:
        tb.learn_value(value)
    assert {status for _, _, status in ended} == {9}, [err for _, err, _ in ended]
    assert len(values) == 20 and alive(sandbox) == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_the_daemon(tb, sandbox, how):
    """The run goes on with what it has, and at its end that is revoked."""
    with Run(tb) as run:
        run.begun()
        getattr(tb, how)()
        tb.start()
        util.wait_until(lambda: "its run is back" in tb.log(), 30, "the run at the daemon's new start")
        assert works(sandbox, run.value) and alive(sandbox) == [OWN]
        assert run.end() == (7, "")
    assert not works(sandbox, run.value)
    assert len(tb.audit("minted")) == 1


def test_an_end_while_the_daemon_is_away(tb, sandbox):
    with Run(tb) as run:
        run.begun()
        tb.stop()
        status, said = run.end()
        assert status == 7
        assert "tokenbrokerd is away; it revokes the value within two minutes of its start" in said
    tb.start()
    assert works(sandbox, run.value)  # until then: test_broker_lease has the minute


def test_the_service_is_away_at_the_end(tb, sandbox):
    with Run(tb) as run:
        run.begun()
        sandbox.fault("status", "503", times=1, path="/api/v0", method="DELETE")
        status, said = run.end()
        assert status == 7 and "not revoked yet" in said and "the daemon goes on trying" in said
    util.wait_until(lambda: not works(sandbox, run.value), 60, "its end")


def test_an_operator_takes_it_away(tb, sandbox):
    with Run(tb) as run:
        run.begun()
        tb.ctl("revoke", "job", "--yes", check=0)
        assert not works(sandbox, run.value)
        assert run.end() == (7, "")


def test_inventory_and_audit(tb):
    with Run(tb) as run:
        run.begun()
        assert OWN in tb.ctl("tokens", check=0).stdout
        refused = tb.ctl("rotate", OWN)
        assert refused.returncode != 0 and "a leased value is not replaced" in refused.stderr
        assert run.end() == (7, "")
    tb.verify_audit()
