# SPDX-License-Identifier: Apache-2.0
"""tokenbrokerctl against a door that says what the test wants: what it sends, what it prints, how it exits.

No daemon runs here. FakeDoor speaks just enough HTTP over AF_UNIX and can also lie, hang, and hang up.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from daemon import program
import util

TOKEN = "apiv3_s3cr3t-value_of_a.token"
CODE = "WDJB-MJHT"
PROMPT = {"state": "waiting", "user_code": CODE, "verification_uri": "https://sso.example.com/realms/influx/device",
          "verification_uri_complete": f"https://sso.example.com/realms/influx/device?user_code={CODE}",
          "expires_in": 600, "interval": 5}
CLAIMS = {"iss": "https://sso.example.com/realms/influx", "sub": "7f3a", "email": "ada@example.com", "name": "Ada L."}


def problem(code, detail, **more):
    return {"type": "about:blank", "title": "x", "detail": detail, "code": code, "request_id": "r-17", **more}


class Request:
    def __init__(self, method, target, headers, body, connection):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.connection = connection

    def json(self):
        return json.loads(self.body)


class FakeDoor:
    """A socket whose answers come from self.script, one per request: (status, body, headers), bytes to be sent raw,
    None to hang up, or a callable that gets the request and returns one of these. The last one repeats."""

    def __init__(self, path, *script):
        self.path, self.script = str(path), list(script)
        self.requests = []
        self.closed = threading.Event()  # a client has hung up
        self.n_connections = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.n_connections += 1
            threading.Thread(target=self._serve, args=(connection, self.n_connections), daemon=True).start()

    def _serve(self, connection, number):
        with connection, contextlib.suppress(OSError):
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    piece = connection.recv(65536)
                    if not piece:
                        self.closed.set()
                        return
                    data += piece
                head, data = data.split(b"\r\n\r\n", 1)
                lines = head.decode().split("\r\n")
                method, target, version = lines[0].split(" ")
                assert version == "HTTP/1.1"
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
                length = int(headers.get("content-length", 0))
                while len(data) < length:
                    data += connection.recv(65536)
                request = Request(method, target, headers, data[:length], number)
                data = data[length:]
                self.requests.append(request)
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if callable(answer):
                    answer = answer(request)
                if answer is None:
                    return
                connection.sendall(answer if isinstance(answer, bytes) else self.render(*answer))

    @staticmethod
    def render(status, body=b"", headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        elif isinstance(body, str):
            body = body.encode()
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def run_dir():
    with util.temp_dir("tbctl-") as path:
        path.chmod(0o755)
        yield path


@pytest.fixture
def doors(run_dir):
    made = []

    def make(name, *script):
        made.append(FakeDoor(run_dir / f"{name}.sock", *script))
        return made[-1]

    yield make
    for door in made:
        door.close()


@pytest.fixture
def ctl(run_dir):
    def call(*args, stdin="", env=None, timeout=40, **kwargs):
        return subprocess.run([program("tokenbrokerctl"), *map(str, args)], input=stdin, capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "TOKENBROKER_RUN_DIR": str(run_dir), **(env or {})},
                              timeout=timeout, check=False, **kwargs)

    return call


class Terminal:
    """The command on a pseudo-terminal of 80x24."""

    def __init__(self, args, run_dir, env=None, rows=24, columns=80):
        self.output = b""
        ready, go = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            full = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8",
                    "TOKENBROKER_RUN_DIR": str(run_dir), **(env or {})}
            os.read(ready, 1)  # the size is set by then
            os.execve(program("tokenbrokerctl"), ["tokenbrokerctl", *args], full)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.write(go, b"\n")
        os.close(ready)
        os.close(go)

    def read_until(self, needle, timeout=15):
        deadline = time.monotonic() + timeout
        while needle.encode() not in self.output:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], self.output.decode(errors="replace")
            try:
                self.output += os.read(self.fd, 65536)
            except OSError as error:
                raise AssertionError(self.output.decode(errors="replace")) from error
        return self.output.decode()

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """(status as waitpid says it, all output)"""
        with contextlib.suppress(OSError):
            while piece := os.read(self.fd, 65536):
                self.output += piece
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return status, self.output.decode()


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# ------------------------------------------------------------- usage and help

def test_help_lists_every_command(ctl):
    done = ctl("--help")
    assert done.returncode == 0
    for name in ("login logout status tokens health list get run rotate revoke import explain reload init-key "
                 "watch doctor reconcile").split():
        assert re.search(rf"^  {name} ", done.stdout, re.M)
        text = ctl(name, "--help").stdout
        assert text.startswith(f"usage: tokenbrokerctl {name}")
        assert [line for line in text.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("args, text", [
    (["statsu"], "unknown command 'statsu'; did you mean 'status'?"),
    (["frobnicate"], "unknown command 'frobnicate'; try 'tokenbrokerctl --help'"),
    ([], "which command?"),
    (["get"], "get: too few arguments"),
    (["get", "a", "b"], "get: too many arguments"),
    (["get", "--jsn", "a"], "unknown option '--jsn'; did you mean '--json'?"),
    (["get", "--min-valid", "soon", "a"], "--min-valid: 'soon' is no duration"),
    (["import", "a"], "--expires-at is required"),
    (["import", "--expires-at", "2001-01-01T00:00:00Z", "a"], "is not in the future"),
    (["import", "--expires-at", "7d", "a", "VALUE"], "the value does not belong on the command line"),
    (["login", "--expect", "nonsense", "ops"], "'nonsense' is not CLAIM=VALUE"),
])
def test_usage_errors(ctl, args, text):
    done = ctl(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr and done.stderr.count("\n") == 1
    assert "VALUE" not in done.stderr.replace("CLAIM=VALUE", "")


def test_version(ctl):
    assert re.fullmatch(r"tokenbrokerctl \d+\.\d+\.\d+\n", ctl("--version").stdout)


# ------------------------------------------------------------------ no daemon

@pytest.mark.parametrize("args", [["get", "a"], ["list"], ["status"], ["reload"], ["login", "ops"]])
def test_no_daemon(ctl, run_dir, args):
    done = ctl(*args)
    assert done.returncode == 6
    assert f"cannot reach tokenbrokerd at {run_dir}/" in done.stderr
    assert "No such file or directory; is it running? systemctl status tokenbrokerd" in done.stderr


def test_run_dir_option_wins(ctl, doors, tmp_path):
    doors("api", (200, TOKEN))
    assert ctl("get", "a", "--run-dir", tmp_path / "none").returncode == 6
    assert ctl("--run-dir", tmp_path / "none", "get", "a").returncode == 6
    assert ctl("get", "a").returncode == 0


# ------------------------------------------------------------------------ get

def test_get(ctl, doors):
    api = doors("api", (200, TOKEN, ["Content-Type: text/plain"]))
    done = ctl("get", "telegraf/write")
    assert (done.returncode, done.stdout, done.stderr) == (0, TOKEN + "\n", "")
    request = api.requests[0]
    assert (request.method, request.target) == ("GET", "/api/v1/tokens/telegraf%2Fwrite")
    assert request.headers["x-tokenbroker"] == "1" and request.headers["accept"] == "text/plain"
    assert ctl("get", "-n", "--min-valid", "1500ms", "a").stdout == TOKEN
    assert api.requests[1].target == "/api/v1/tokens/a?min_valid=2"


def test_get_json(ctl, doors):
    answer = {"token": TOKEN, "expires_in": 5, "generation": 3}
    api = doors("api", (200, json.dumps(answer) + "\n"))
    out = ctl("get", "--json", "a").stdout
    assert json.loads(out) == answer and out.count("\n") == 1
    assert api.requests[0].headers["accept"] == "application/json"


@pytest.mark.parametrize("status, body, code, text", [
    (403, problem("denied.no_rule", "no rule allows it"), 4, "get a: denied: no rule allows it; an operator sees"),
    (400, problem("denied.bad_request", "min_valid is more than renew_before"), 1, "get a: min_valid is more than"),
    (503, problem("unavailable.minting", "still minting", retry_after=7), 5, "not ready: still minting; try again in 7s"),
    (503, problem("human_needed.grant_lost", "the grant is gone", login="ops"), 3,
     "a human is needed: the grant is gone; run 'tokenbrokerctl login ops' (request r-17)"),
    (404, "not JSON", 4, "the daemon answered with status 404"),
    (500, "", 1, "the daemon answered with status 500"),
    (403, problem("denied.x", "evil \x1b[2J\u202e text"), 4, "denied: evil ?[2J? text"),
])
def test_refusals(ctl, doors, status, body, code, text):
    doors("api", (status, body))
    done = ctl("get", "a")
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("raw, text", [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "is not tokenbrokerd"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "comes in chunks"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "two lengths"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "larger than 16 MiB"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", "bytes behind the answer"),
])
def test_somebody_else_listens(ctl, doors, raw, text):
    doors("api", raw)
    done = ctl("get", "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr


def test_full_disk_is_no_success(doors, run_dir):
    doors("api", (200, TOKEN))
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([program("tokenbrokerctl"), "--run-dir", str(run_dir), "get", "a"], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "No space left on device" in done.stderr


# -------------------------------------------------------------------- restart

def test_restart_is_waited_for(ctl, doors):
    api = doors("api", (503, problem("unavailable.stopping", "stopping"), ["Connection: close"]), None, (200, TOKEN))
    assert ctl("get", "a").stdout == TOKEN + "\n"
    assert len(api.requests) == 3


def test_refused_connection_is_waited_for(ctl, doors, run_dir):
    doors("api", (200, TOKEN)).close()  # the file stays, nobody listens

    def come_back():
        time.sleep(1)
        (run_dir / "api.sock").unlink()
        time.sleep(0.5)  # now the file is missing, too
        doors("api", (200, TOKEN))

    threading.Thread(target=come_back).start()
    assert ctl("get", "a").stdout == TOKEN + "\n"


def test_wait_ends(ctl, doors):
    doors("api", (503, problem("unavailable.minting", "still minting")))
    began = time.monotonic()
    done = ctl("get", "--wait", "1s", "a")
    assert done.returncode == 5 and 0.9 < time.monotonic() - began < 5
    assert ctl("get", "--wait", "0", "a").returncode == 5


def test_wait_is_not_for_denials(ctl, doors):
    api = doors("api", (403, problem("denied.no_rule", "no")))
    assert ctl("get", "--wait", "20s", "a").returncode == 4
    assert len(api.requests) == 1


# ------------------------------------------------------------------------ run

def test_run_gives_a_sealed_file(ctl, doors):
    api = doors("api", (200, TOKEN))
    script = ("import os,fcntl; p=os.environ['T']; print(p); print(open(p).read()); fd=int(p.rsplit('/',1)[1])\n"
              "print(oct(os.fstat(fd).st_mode & 0o777), fcntl.fcntl(fd, 1034))")
    done = ctl("run", "T=db-write", "--", sys.executable, "-c", script)
    path, value, facts = done.stdout.splitlines()
    assert re.fullmatch(r"/proc/self/fd/\d+", path) and value == TOKEN
    assert facts == "0o400 15", "seal, shrink, grow, write"
    assert done.stderr == ""
    assert api.requests[0].headers["x-tokenbroker-delivery"] == "memfd"


def test_run_several_on_one_connection(ctl, doors):
    api = doors("api", lambda request: (200, "value-of-" + request.target.rsplit("/", 1)[1]))
    done = ctl("run", "A=one", "B=two", "--", "sh", "-c", "cat $A; echo; cat $B")
    assert done.stdout == "value-of-one\nvalue-of-two"
    assert api.n_connections == 1


def test_run_env_warns(ctl, doors):
    api = doors("api", (200, TOKEN))
    done = ctl("run", "--env", "T=db-write", "--", "sh", "-c", "echo $T")
    assert done.stdout == TOKEN + "\n"
    assert "--env puts the token into the environment" in done.stderr
    assert api.requests[0].headers["x-tokenbroker-delivery"] == "environment"


@pytest.mark.parametrize("args, code", [
    (["T=a", "--", "sh", "-c", "exit 42"], 42),
    (["T=a", "--", "/nonexistent/program"], 127),
    (["T=a", "--", "/etc"], 126),
    (["T=a"], 125),
    (["T=a", "sh"], 125),
    (["1T=a", "--", "true"], 125),
    (["--nonsense", "T=a", "--", "true"], 125),
    (["--", "true"], 125),
])
def test_run_exit_status(ctl, doors, args, code):
    doors("api", (200, TOKEN))
    done = ctl("run", *args)
    assert done.returncode == code
    assert code == 42 or done.stderr.startswith("tokenbrokerctl: run")


def test_run_without_token_runs_nothing(ctl, doors, tmp_path):
    doors("api", (403, problem("denied.no_rule", "no rule allows it")))
    done = ctl("run", "T=a", "--", "touch", tmp_path / "ran")
    assert done.returncode == 125 and "denied: no rule allows it" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_run_dies_of_the_commands_signal(ctl, doors):
    doors("api", (200, TOKEN))
    assert ctl("run", "T=a", "--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


# --------------------------------------------------------------- list, status

@pytest.mark.parametrize("answer", [{"tokens": [{"name": "a"}, {"name": "b"}]}, {"tokens": ["a", "b"]}, ["a", "b"]])
def test_list(ctl, doors, answer):
    doors("api", (200, answer))
    assert ctl("list").stdout == "a\nb\n"


def at(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def status_answer():
    day = 86400
    return {
        "version": "0.1.0", "started_at": at(-3 * day - 3600), "audit": "strict",
        "disk": {"ok": True, "records": 4, "quarantined": 1},
        "state": {"trouble": [{"record": "login/dev", "reason": "damaged", "file": "quarantine/login.dev.tbr"}],
                  "quarantine": "it is older than the log says"},
        "outage_budget": {"seconds": 5 * day + 60, "token": "telegraf-write"},
        "human_needed": {"at": at(-1), "login": "dev"},
        "reconcile": [{"backend": "prod", "orphans_alive": 2}],
        "jobs": [{"job": "rotate", "name": "reports", "since": at(-60)}],
        "logins": [
            {"name": "ops", "state": "granted", "human": "ada@example.com", "renewable": True,
             "refresh_expires_at": at(30 * day + 60), "refresh_at": at(2 * day + 60)},
            {"name": "dev", "state": "human_needed", "human": "bob@example.com",
             "human_needed": "the provider refused the refresh token"},
            {"name": "new", "state": "empty"}],
        "tokens": [
            {"name": "telegraf-write", "state": "ready", "generation": 7, "expires_at": at(5 * day + 60),
             "renew_at": at(3 * day + 60), "backend": "prod", "unsettled": [{"state": "settling", "until": at(-20)}],
             "generations": [{"generation": 7, "state": "ready"}, {"generation": 6, "state": "revoking"}]},
            {"name": "reports", "state": "minting", "backend": "prod", "last_error": "HTTP status 503",
             "last_error_at": at(-120), "unsettled": [{"state": "unsettled", "until": at(day + 60)}]}]}


def test_status(ctl, doors):
    doors("admin", (200, status_answer()))
    done = ctl("status")
    assert done.returncode == 0 and "\x1b" not in done.stdout
    out = done.stdout
    assert out.startswith("tokenbrokerd 0.1.0, up 3d 1h, audit strict, disk ok\n")
    assert re.search(r"^ops +granted +ada@example.com +2d +in 30d\b", out, re.M)
    assert re.search(r"^dev +human_needed +bob@example.com +- +now$", out, re.M)
    assert re.search(r"^telegraf-write +ready +7 +5d.* +3d.* +prod$", out, re.M)
    assert re.search(r"^reports +minting +- +- +- +prod$", out, re.M)
    assert "! login dev: the provider refused the refresh token; run 'tokenbrokerctl login dev'" in out
    assert "! login new: nobody has logged in yet" in out
    assert re.search(r"^! token reports, 2m.* ago: HTTP status 503$", out, re.M)
    assert "! token reports: unsettled: a mint whose outcome is not known; this ends in 1d" in out
    assert "! token telegraf-write: settling: a mint whose outcome is not known; this ends with the next look" in out
    assert "! token telegraf-write: generation 6 is released to nobody, but the service has not agreed" in out
    assert "! record login/dev is not used: damaged; it lies in quarantine/login.dev.tbr" in out
    assert "! the state is QUARANTINED: it is older than the log says. " in out and "'tokenbrokerctl adopt'" in out
    assert "\noutage budget: 5d (token telegraf-write)\nhuman needed: now (login dev)\n" in out
    assert "! backend prod: 2 tokens there made here and known to nobody" in out
    assert re.search(r"^! rotate reports: under way, begun 1m.* ago$", out, re.M)
    assert json.loads(ctl("status", "--json").stdout)["audit"] == "strict"


def test_status_colours_on_a_terminal_only(run_dir, doors):
    doors("admin", (200, status_answer()))
    assert "\x1b[32mgranted" in Terminal(["status"], run_dir).end()[1]
    assert "\x1b" not in Terminal(["status"], run_dir, {"NO_COLOR": "1"}).end()[1]
    assert "\x1b" not in Terminal(["status"], run_dir, {"TERM": "dumb"}).end()[1]


def test_status_verdict_and_check(ctl, doors):
    """One line that says whether to read on, what is next, and a status for scripts."""
    bad, good = status_answer(), status_answer()
    good["tokens"] = good["tokens"][:1]
    good["tokens"][0] = {k: v for k, v in good["tokens"][0].items() if k not in ("unsettled", "generations")}
    good |= {"logins": good["logins"][:1], "state": {}, "reconcile": [], "jobs": [],
             "human_needed": {"at": at(30 * 86400), "login": "ops"}}
    red = {**good, "disk": {"ok": False, "error": "no space left on device"}}
    doors("admin", (200, bad), (200, bad), (200, red), (200, good))
    out = ctl("status").stdout
    assert re.search(r"\A.*\n[0-9]+ things to look at, see below\n", out)
    assert "\nnext refresh: in 2d (login ops)\nnext renewal: in 3d (token telegraf-write)\n" in out
    assert ctl("status", "--check").returncode == 3
    done = ctl("status", "--check")
    assert done.returncode == 5 and "\n1 thing to look at, see below\n" in done.stdout
    done = ctl("status", "--check")
    assert done.returncode == 0 and "\nall is well\n" in done.stdout
    assert ctl("status", "--check", "--json").returncode == 0


def test_status_says_why_nobody_knows_when_a_human_is_needed(ctl, doors):
    """One line tells it in any case: the login whose provider keeps silent, or that there is nothing to wait for."""
    answer = {k: v for k, v in status_answer().items() if k not in ("human_needed", "outage_budget")}
    one = {**answer, "logins": [{"name": "ops", "state": "granted", "renewable": True}]}
    two = {**answer, "logins": one["logins"] * 2}
    none = {**answer, "logins": []}
    doors("admin", (200, one), (200, two), (200, none))
    assert "\nhuman needed: not known (the provider does not say when login ops ends)\n" in ctl("status").stdout
    assert "\nhuman needed: not known (the providers do not say when their logins end)\n" in ctl("status").stdout
    assert "\nhuman needed: never, nothing hangs on a login or an import\n" in ctl("status").stdout


def test_status_names_the_import_that_somebody_waits_for(ctl, doors):
    """Never made, or over: it is no login that is missing, and not all is well."""
    answer = status_answer()
    answer |= {"state": {}, "reconcile": [], "jobs": [], "logins": [], "human_needed": {"at": at(-1), "import": "mgmt"}}
    answer["tokens"] = [{"name": "mgmt", "state": "absent", "backend": "hand"},
                        {"name": "spare", "state": "absent", "backend": "hand"}]
    refused = {**answer, "tokens": [{"name": "mgmt", "state": "refused", "generation": 1, "last_error_at": at(-60),
                                     "last_error": "'prod' refuses it; run: tokenbrokerctl import mgmt"}]}
    later = {**answer, "human_needed": {"at": at(3600), "import": "mgmt"}}
    doors("admin", (200, answer), (200, answer), (200, refused), (200, later), (200, answer))
    out = ctl("status").stdout
    assert "\nhuman needed: now (import mgmt)\n" in out and "\n1 thing to look at, see below\n" in out
    assert "! token mgmt: it is waited for, and there is none: make one at its service and run 'tokenbrokerctl " \
        "import mgmt'\n" in out
    assert ctl("status", "--check").returncode == 3
    out = ctl("status").stdout
    assert "\n1 thing to look at, see below\n" in out and "'prod' refuses it" in out
    assert "\nall is well\n" in ctl("status").stdout
    done = ctl("doctor")
    assert done.returncode == 1 and "token mgmt needs a human: it is waited for, and there is none" in done.stdout
    assert "then: tokenbrokerctl import mgmt" in done.stdout and "token spare has no value, and nobody waits for it" in done.stdout


@pytest.mark.parametrize("columns", [80, 60, 46, 40])
def test_status_on_a_narrow_screen(run_dir, doors, columns):
    """A name that is cut is no name: other columns go first. Nothing is broken by the terminal."""
    answer = status_answer()
    answer["logins"] = answer["logins"][:1]
    answer["logins"][0] |= {"issuer": "https://sso.example.com/realms/x",
                            "human": "https://sso.example.com/realms/x f:4e1c9a72-60d1:4711 (ada@example.com)"}
    answer["tokens"][0]["backend"] = "influx-production"
    doors("admin", (200, answer))
    out = plain(Terminal(["status"], run_dir, columns=columns).end()[1]).replace("\r\n", "\n")
    login, token = (re.search(rf"^{name} .*$", out, re.M).group() for name in ("ops", "telegraf-write"))
    assert " ada@example.com " in login if columns >= 60 else " ada@exa" in login
    assert "f:4e1" in login or columns < 80
    assert re.search(r" in 30d", login) and ("influx-production" in token) == (columns == 80)
    assert re.match(r"telegraf-write +ready +(7 +)?5d", token)
    tables = out.partition("\nLOGIN")[2].partition("\n!")[0].splitlines()
    assert len(tables) > 4 and max(map(len, tables)) <= columns, tables


def test_status_watch(run_dir, doors, ctl):
    """In its place, without flicker, until q; and in blocks where there is no terminal."""
    doors("admin", (200, status_answer()))
    screen = Terminal(["status", "--watch", "200ms"], run_dir)
    screen.read_until("\x1b[J")
    first = screen.output
    screen.read_until("telegraf-write")
    while screen.output.count(b"\x1b[J") < 3:
        screen.output += os.read(screen.fd, 65536)
    assert first.startswith(b"\x1b[?1049h") and b"\x1b[2J" not in screen.output, "nothing is wiped before it is drawn"
    frame = screen.output.split(b"\x1b[H")[1].decode().split("\x1b[J")[0]
    lines = plain(frame).split("\r\n")
    assert len(lines) <= 24 and max(map(len, lines)) <= 80, lines
    assert re.search(r"^\([0-9]+ more lines\)", plain(frame), re.M)
    screen.type("q")
    status, out = screen.end()
    assert status == 0 and "\x1b[?1049l" in out and "\x1b[?25h" in out
    # Ctrl-C, a daemon that is away, a dumb terminal, and a pipe
    screen = Terminal(["status", "--watch"], run_dir, {"TERM": "dumb"})
    screen.read_until("telegraf-write")
    screen.type("\x03")
    status, out = screen.end()
    assert status == 0 and "\x1b" not in out
    screen = Terminal(["--run-dir", "/nonexistent", "status", "--watch"], run_dir)
    screen.read_until("trying again")
    screen.type("q")
    assert screen.end()[0] == 0
    child = subprocess.Popen([program("tokenbrokerctl"), "status", "--watch", "200ms"], stdout=subprocess.PIPE, text=True,
                             stdin=subprocess.DEVNULL, env={**os.environ, "TOKENBROKER_RUN_DIR": str(run_dir)})
    seen = ""
    while seen.count("outage budget") < 3:
        seen += child.stdout.readline()
    child.terminate()
    assert child.wait(20) == 0 and "\x1b" not in seen
    child.stdout.close()
    for args in (["--watch", "--json"], ["--watch", "soon"], ["5"], ["--watch", "--check"]):
        assert ctl("status", *args).returncode == 2, args


def test_status_folds_what_is_wrong(run_dir, doors):
    doors("admin", (200, status_answer()))
    out = plain(Terminal(["status"], run_dir, rows=60).end()[1]).replace("\r", "")
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"^! the state is QUARANTINED: .*\n  [^ ]", out, re.M)


def test_explain_knows_its_doors(ctl, doors):
    doors("admin", (200, {}))
    done = ctl("explain", "--door", "x")
    assert done.returncode == 2 and "api and credential" in done.stderr


def test_status_fits_the_terminal(run_dir, doors):
    answer = status_answer()
    answer["logins"][0]["human"] = "someone.with.a.very.long.name@a.very.long.domain.name.example.com"
    doors("admin", (200, answer))
    out = plain(Terminal(["status"], run_dir).end()[1])
    table = [line for line in out.splitlines() if not line.startswith("!")]
    assert max(map(len, table)) <= 80 and "..." in out


def test_health(ctl, doors):
    doors("admin", (200, {"ok": True, "status": "ok"}), (503, {"ok": False, "status": "disk failing"}),
          (403, problem("denied.role", "not an operator")))
    assert "status: ok" in ctl("health").stdout
    done = ctl("health")
    assert done.returncode == 5 and "status: disk failing" in done.stdout
    assert ctl("health").returncode == 4


# --------------------------------------------------------------- what changes

def test_rotate(ctl, doors):
    admin = doors("admin", (200, {"token": "a", "generation": 8, "expires_at": at(7 * 86400 + 60)}))
    assert re.fullmatch(r"Rotated a: generation 8, expires in 7d\b.*\.\n", ctl("rotate", "a").stdout)
    assert (admin.requests[0].method, admin.requests[0].target) == ("POST", "/api/v1/tokens/a/rotate")


def inventory():
    """What the daemon says of its tokens: `a` is paid by `payer`, and held by more than one."""
    def generation(number, **more):
        return {"generation": number, "state": "ready", "token_id": f"id-{number}", "expires_at": at(86400 + 60),
                "holders": [], **more}

    def holder(name, **more):
        return {"holder": name, "doors": ["api"], "keeps_it": "fetched", "first": at(-7265), "last": at(-7265), **more}

    return {"tokens": [
        {"name": "payer", "state": "ready", "backend": "hand", "generation": 1, "depends_on":
            {"import": "payer", "needed_at": at(86400 + 60)}, "generations": [generation(1)]},
        {"name": "a", "state": "ready", "backend": "prod", "generation": 8, "renew_at": at(3600 + 115),
         "paid_by": "payer", "depends_on": {"import": "payer", "needed_at": at(86400 + 60)},
         "last_rejection": {"by": "uid:1000", "generation": 7, "at": at(-3 * 86400 - 100), "outcome": "works"},
         "generations": [
             generation(8, holders=[holder("unit:telegraf.service")]),
             generation(7, superseded_at=at(-3665), kept_because="uid:1000 was started with it", more_holders=3, holders=[
                 holder("uid:1000", keeps_it="run", doors=["api", "credential"]),
                 holder("unit:telegraf.service", has_newer=8), holder("unit:old.service", over=True),
                 holder("uid:7\x1b[31m", keeps_it="kept")])]},
        {"name": "b", "state": "failed", "backend": "prod", "last_error": "no \x1b[2J", "depends_on":
            {"login": "ops", "human": "ada@example.com", "needed_at": at(-60)}, "generations": []}]}


def revoking(*answers):
    """An admin door: the inventory as often as it is asked for, and these answers to the rest."""
    rest = list(answers)

    def answer(request):
        return (200, inventory()) if request.method == "GET" else rest.pop(0) if len(rest) > 1 else rest[0]
    return answer


def posts(door):
    return [r for r in door.requests if r.method == "POST"]


def test_tokens(ctl, doors):
    answer = inventory()
    admin = doors("admin", (200, answer))
    done = ctl("tokens")
    assert done.returncode == 0 and admin.requests[0].target == "/api/v1/tokens"
    assert done.stdout == """\
payer: ready, #1 is released, backend hand
  hangs on whoever imports payer
  a human is needed in 1d
  #1 ready, expires in 1d
     id id-1
     nobody has it

a: ready, #8 is released, backend prod
  hangs on whoever imports payer
  a human is needed in 1d
  last rejection: #7, by uid:1000, 3d ago
     it works for the broker
  #8 ready, expires in 1d, renewed in 1h 1m
     id id-8
     unit:telegraf.service         api             2h 1m ago
  #7 superseded 1h 1m ago, expires in 1d
     id id-7
     uid:1000                      api+credential  2h 1m ago    static
     unit:telegraf.service         api             2h 1m ago    has #8
     unit:old.service              api             2h 1m ago    ended
     uid:7?[31m                    api             2h 1m ago    kept
     and others, 3 times: more than are kept in mind
     kept: uid:1000 was started with it

b: failed, backend prod
  last error: no ?[2J
  hangs on login ops, ada@example.com
  a human is needed NOW: tokenbrokerctl login ops
"""
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert ctl("tokens", "b").stdout.startswith("b: failed")
    assert [t["name"] for t in json.loads(ctl("tokens", "--json", "b", "a").stdout)["tokens"]] == ["b", "a"]
    assert json.loads(ctl("tokens", "--json").stdout) == answer
    done = ctl("tokens", "a", "nosuch")
    assert done.returncode == 4 and "there is no token 'nosuch'" in done.stderr and done.stdout == ""


def test_tokens_of_a_long_name(ctl, doors):
    name = "unit:" + 60 * "u" + ".service"
    doors("admin", (200, {"tokens": [{"name": "a", "state": "ready", "backend": "p", "generations": [
        {"generation": 1, "state": "ready", "expires_at": at(60), "holders_unsure": True, "holders": [
            {"holder": name, "doors": ["api"], "last": at(-2 * 86400 - 100)}]}]}]}))
    lines = ctl("tokens").stdout.splitlines()
    assert lines[-3] == f"     {name}" and re.fullmatch(r" {35}api +2d ago", lines[-2]), lines
    assert "perhaps others" in lines[-1] and "hangs on no login" in lines[1]


def test_revoke(ctl, doors):
    admin = doors("admin", revoking((200, {"revoked": 2, "forgotten": 1, "failed": 0}),
                                    (200, {"revoked": 0, "failed": 1, "last_error": "HTTP status 500"})))
    done = ctl("revoke", "--yes", "--generation", "7", "a")
    assert done.returncode == 0 and "2 generations revoked at the service, 1 forgotten here only" in done.stdout
    assert "a #7, expires in 1d, held by" in done.stdout and "unit:old.service" in done.stdout and "#8," not in done.stdout
    assert posts(admin)[0].json() == {"generation": 7} and posts(admin)[0].target == "/api/v1/tokens/a/revoke"
    done = ctl("revoke", "-y", "a")
    assert done.returncode == 1 and "1 could not be revoked and may still be alive at the service: HTTP" in done.stderr
    assert "a #8" in done.stdout and "a #7" in done.stdout and posts(admin)[1].body == b""
    done = ctl("revoke", "--dry-run", "a")
    assert done.returncode == 0 and "a #7" in done.stdout and len(posts(admin)) == 2
    assert ctl("revoke", "-y", "nosuch").returncode == 4 and len(posts(admin)) == 2


def test_revoke_needs_somebody_to_ask(ctl, doors):
    admin = doors("admin", revoking((200, {"revoked": 1})))
    done = ctl("revoke", "a")
    assert done.returncode == 2 and "there is no terminal to ask on; say --yes" in done.stderr
    assert "a #8" in done.stdout and posts(admin) == [], "it was said whom it would hit"


def test_revoke_all(ctl, doors):
    """What is paid goes before what pays for it, which stays when that failed."""
    admin = doors("admin", revoking((200, {"revoked": 1, "failed": 0})))
    done = ctl("revoke", "--all", "--yes")
    assert done.returncode == 0, done.stderr
    assert [r.target.split("/")[4] for r in posts(admin)] == ["a", "payer", "b"]
    assert "payer #1" in done.stdout and "a: 1 generation revoked" in done.stdout
    admin.script = [revoking((200, {"revoked": 0, "failed": 1, "last_error": "HTTP status 500"}))]
    done = ctl("revoke", "--all", "--yes")
    assert done.returncode == 1 and "'payer' was left as it is" in done.stderr
    assert [r.target.split("/")[4] for r in posts(admin)[3:]] == ["a", "b"]
    assert "To be revoked" in ctl("revoke", "--all", "--dry-run").stdout and len(posts(admin)) == 5
    for args in (["--all", "a"], ["--all", "--generation", "1"], ["--all", "--unit", "x"], ["--log-dir", "/x", "a"]):
        assert ctl("revoke", "--yes", *args).returncode == 2


def test_revoke_asks(run_dir, doors):
    admin = doors("admin", revoking((200, {"revoked": 1})))
    for answer, n in (("n\n", 0), ("\n", 0), ("yes\n", 1)):
        terminal = Terminal(["revoke", "a"], run_dir)
        terminal.read_until("Revoke 2 generations?")
        terminal.type(answer)
        assert os.waitstatus_to_exitcode(terminal.end()[0]) == (0 if n else 1)
        assert len(posts(admin)) == n


def test_logout(ctl, doors):
    admin = doors("admin", (200, {"revoked": 3, "grant_revoked": True}), (200, {"grant_revoked": True}),
                  (200, {"revoked": 3, "grant_revoked": False, "grant_error": "HTTP status 500"}))
    assert ctl("logout", "ops").stdout == "Logged out of 'ops' on this host. 3 generations revoked at the service.\n"
    assert "Its tokens live on" in ctl("logout", "--keep-tokens", "ops").stdout
    assert [r.method + " " + r.target for r in admin.requests] == [
        "DELETE /api/v1/logins/ops", "DELETE /api/v1/logins/ops?keep_tokens=yes"]
    done = ctl("logout", "ops")
    assert done.returncode == 1 and "the provider did not revoke the grant" in done.stderr


def test_reload(ctl, doors):
    doors("admin", (200, {}), (422, problem("x", "/etc/tokenbroker/tokenbroker.conf:12: unknown key 'isuer'")),
          (403, problem("denied.role", "reload is for operators")))
    assert ctl("reload").stdout == "Reloaded.\n"
    done = ctl("reload")
    assert done.returncode == 1
    assert done.stderr == ("tokenbrokerctl: reload: /etc/tokenbroker/tokenbroker.conf:12: unknown key 'isuer'; "
                           "the configuration of before stays in force\n")
    assert ctl("reload").returncode == 4


def test_import(ctl, doors):
    admin = doors("admin", (200, {"token": "a", "generation": 1, "expires_at": at(90 * 86400)}))
    done = ctl("import", "--expires-at", "90d", "--id", 'x"y', "a", stdin='va"lu\\e\r\n')
    assert done.returncode == 0 and "Imported a: generation 1" in done.stdout
    body = admin.requests[0].json()
    assert body["token"] == 'va"lu\\e' and body["token_id"] == 'x"y'
    assert abs(time.mktime(time.strptime(body["expires_at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
               - time.time() - 90 * 86400) < 60
    for bad in ("", "two words\n", "line\nline\n"):
        done = ctl("import", "--expires-at", "90d", "a", stdin=bad)
        assert done.returncode == 1 and "standard input holds no token" in done.stderr
    assert len(admin.requests) == 1


def test_import_from_a_terminal_does_not_echo(run_dir, doors):
    admin = doors("admin", (200, {"generation": 1}))
    terminal = Terminal(["import", "--expires-at", "7d", "a"], run_dir)
    terminal.read_until("Token value (not shown): ")
    terminal.type(TOKEN + "\n")
    status, out = terminal.end()
    assert status == 0 and TOKEN not in out
    assert admin.requests[0].json()["token"] == TOKEN


# -------------------------------------------------------------------- explain

def test_explain(ctl, doors):
    admin = doors("admin", (200, {
        "principal": {"uid": 998, "unit": "telegraf.service", "strength": "strong"}, "door": "api",
        "tokens": [{"token": "telegraf-write", "verdict": "allow", "rule": "tokenbroker.conf:40", "reason": "rule"},
                   {"token": "reports", "verdict": "deny", "reason": "no rule matches"}]}))
    out = ctl("explain", "--pid", 4711, "--door", "credential", "telegraf-write").stdout
    assert admin.requests[0].target == "/api/v1/explain?pid=4711&token=telegraf-write&door=credential"
    assert "Who: uid 998, unit telegraf.service (strong)" in out
    assert re.search(r"^telegraf-write +allow +tokenbroker.conf:40 +rule$", out, re.M)
    assert re.search(r"^reports +deny +- +no rule matches$", out, re.M)
    assert ctl("explain", "--pid", "1", "--self").returncode == 2


def test_explain_self_without_rights(ctl, doors):
    admin = doors("admin", (403, problem("denied.role", "not an operator")))
    doors("api", lambda request: (200, {"uid": 1000, "unit": "user@1000.service"} if request.target.endswith("self")
                                  else {"tokens": ["a", "b"]}))
    done = ctl("explain")
    assert done.returncode == 0 and admin.requests[0].target == "/api/v1/explain?self=1"
    assert "the rules are for operators only" in done.stderr
    assert "Who: uid 1000" in done.stdout and re.search(r"^a +allow", done.stdout, re.M)
    assert " b " not in ctl("explain", "a").stdout
    assert "denied or unknown" in ctl("explain", "c").stdout
    assert json.loads(ctl("explain", "--self", "--json").stdout)["uid"] == 1000
    assert ctl("explain", "--pid", "1").returncode == 4


# ---------------------------------------------------------------------- login

def wait_a_bit(request):
    assert request.headers["prefer"].startswith("wait=")
    time.sleep(2.5)
    return 200, {"state": "waiting"}


def test_login_pinned(ctl, doors):
    admin = doors("admin", (200, {"logins": [{"name": "ops", "state": "granted", "human": "ada@example.com"}]}),
                  (202, PROMPT), wait_a_bit, (200, {"state": "granted", "claims": CLAIMS}))
    done = ctl("login", "ops")
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert f"This host, {socket.gethostname()}, asks for login 'ops'." in out
    assert PROMPT["verification_uri_complete"] in out and "W D J B - M J H T" in out
    assert "Approve only if it is the same" in out
    assert "Waiting for approval, 10 minutes left.\n" in out
    assert "Logged in: 'ops', in the name of ada@example.com." in out
    assert "\x1b" not in out and "\r" not in out
    assert admin.n_connections == 1
    assert admin.requests[1].json() == {"repin": False}


def test_login_first_time_unattended_is_refused_before_anybody_is_asked(ctl, doors):
    admin = doors("admin", (200, {"logins": [{"name": "ops", "state": "empty"}]}))
    done = ctl("login", "ops")
    assert done.returncode == 3 and "give --expect CLAIM=VALUE" in done.stderr
    assert [r.method for r in admin.requests] == ["GET"]


def test_login_unattended_is_refused_at_the_question(ctl, doors):
    admin = doors("admin", (200, {"logins": []}), (202, PROMPT), (200, {"state": "confirm", "claims": CLAIMS}), (200, {}))
    done = ctl("login", "ops")
    assert done.returncode == 3 and "give --expect CLAIM=VALUE" in done.stderr
    assert admin.requests[-1].target == "/api/v1/logins/ops/confirm"
    assert admin.requests[-1].json() == {"confirm": False}


@pytest.mark.parametrize("options, body", [
    (["--yes", "--repin"], {"repin": True}),
    (["--expect", "email=ada@example.com"], {"repin": False, "expect": "email=ada@example.com"})])
def test_login_unattended(ctl, doors, options, body):
    admin = doors("admin", (202, PROMPT), (200, {"state": "confirm", "claims": CLAIMS}), (200, {}),
                  (200, {"state": "granted"}))
    done = ctl("login", "ops", *options)
    assert done.returncode == 0 and "in the name of ada@example.com" in done.stdout
    assert admin.requests[0].json() == body and admin.requests[2].json() == {"confirm": True}


def test_login_json(ctl, doors):
    doors("admin", (202, PROMPT), (200, {"state": "waiting"}), (200, {"state": "confirm", "claims": CLAIMS}), (200, {}),
          (200, {"state": "granted", "claims": CLAIMS}))
    done = ctl("login", "ops", "--yes", "--json")
    news = [json.loads(line) for line in done.stdout.splitlines()]
    assert [n["state"] for n in news] == ["waiting", "confirm", "granted"] and news[0]["user_code"] == CODE


@pytest.mark.parametrize("error, code", [
    ({"detail": "the human said no"}, 1),
    (problem("denied.wrong_account", "bob@example.com is not the pinned account"), 4)])
def test_login_failed(ctl, doors, error, code):
    doors("admin", (202, PROMPT), (200, {"state": "failed", "error": error}))
    done = ctl("login", "ops", "--yes")
    assert done.returncode == code and error["detail"] in done.stderr


def test_login_already_pending(ctl, doors):
    doors("admin", (409, problem("denied.bad_request", "login 'ops' is under way already")))
    done = ctl("login", "ops", "--yes")
    assert done.returncode == 1 and "is under way already" in done.stderr


def test_login_daemon_gone(ctl, doors):
    admin = doors("admin", (202, PROMPT), None)
    done = ctl("login", "ops", "--yes")
    assert done.returncode == 6 and "the attempt is void, start again" in done.stderr
    assert admin.n_connections == 1, "another connection would be another attempt"


def test_login_on_a_terminal(run_dir, doors):
    admin = doors("admin", (202, PROMPT), wait_a_bit, (200, {"state": "confirm", "claims": CLAIMS}), (200, {}),
                  (200, {"state": "granted", "claims": CLAIMS}))
    terminal = Terminal(["login", "ops"], run_dir)
    screen = plain(terminal.read_until("Waiting for approval, 9:5"))
    lines = screen.replace("\r\n", "\n").split("\n")
    assert len(lines) <= 23 and max(len(line) for line in lines[:-1]) <= 80
    assert "▀" in screen and "W D J B - M J H T" in screen
    terminal.read_until("Pin this account? [y/N] ")
    assert "ada@example.com" in terminal.output.decode()
    terminal.type("y\n")
    status, out = terminal.end()
    assert status == 0 and "Logged in" in out
    assert admin.requests[3].json() == {"confirm": True}


def test_login_no_pin_on_a_terminal(run_dir, doors):
    admin = doors("admin", (202, PROMPT), (200, {"state": "confirm", "claims": CLAIMS}), (200, {}))
    terminal = Terminal(["login", "--no-qr", "ops"], run_dir)
    terminal.read_until("Pin this account? [y/N] ")
    terminal.type("\n")
    status, out = terminal.end()
    assert os.waitstatus_to_exitcode(status) == 3 and "Not pinned." in out and "▀" not in out
    assert admin.requests[-1].json() == {"confirm": False}


def test_login_on_a_dumb_terminal(run_dir, doors):
    """As Emacs and some serial lines are: no escape sequence at all."""
    doors("admin", (202, PROMPT), wait_a_bit, (200, {"state": "granted", "claims": CLAIMS}))
    terminal = Terminal(["login", "ops"], run_dir, {"TERM": "dumb"})
    terminal.read_until("Waiting for approval, ")
    status, out = terminal.end()
    assert status == 0 and "Logged in" in out and "\x1b" not in out, out


@pytest.mark.parametrize("during", ["Waiting for approval", "Pin this account? [y/N] "])
def test_login_ctrl_c(run_dir, doors, during):
    news = {"state": "confirm", "claims": CLAIMS} if during.startswith("Pin") else None

    def answer(_request):
        if news:
            return 200, news
        time.sleep(30)
        return None

    admin = doors("admin", (202, PROMPT), answer)
    terminal = Terminal(["login", "ops"], run_dir)
    terminal.read_until(during)
    began = time.monotonic()
    terminal.type("\x03")
    status, out = terminal.end()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
    assert "Cancelled. The code is void" in out and time.monotonic() - began < 5
    assert not news or admin.closed.wait(5), "the daemon must see the connection close"


def test_login_qr_without_terminal(ctl, doors):
    doors("admin", (202, PROMPT), (200, {"state": "granted"}))
    out = ctl("login", "ops", "--yes", "--qr", env={"LANG": "C.UTF-8"}).stdout
    assert "█" in out and max(map(len, out.splitlines())) <= 80
    out = ctl("login", "ops", "--yes").stdout
    assert "█" not in out and "##" not in out


def test_login_qr_ascii(ctl, doors):
    doors("admin", (202, PROMPT), (200, {"state": "granted"}))
    out = ctl("login", "ops", "--yes", "--qr", env={"LANG": "C"}).stdout
    assert "####" in out and out.isascii() and max(map(len, out.splitlines())) <= 80


# ------------------------------------------------------------------- init-key

def test_init_key(ctl, tmp_path):
    file = tmp_path / "keys" / "master.key"
    done = ctl("init-key", "--output", file)
    assert done.returncode == 0 and f"LoadCredential=master-key:{file}" in done.stdout, done.stderr
    first = file.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}\n", first) and stat.S_IMODE(file.stat().st_mode) == 0o400
    assert first.strip() not in done.stdout + done.stderr
    done = ctl("init-key", "-o", file)
    assert done.returncode == 1 and "is there already" in done.stderr and file.read_text() == first
    assert ctl("init-key", "-o", file, "--force").returncode == 0 and file.read_text() != first
    assert os.listdir(file.parent) == ["master.key"], "nothing is left behind"


def test_init_key_in_a_directory_of_others(ctl, tmp_path):
    tmp_path.chmod(0o777)
    done = ctl("init-key", "-o", tmp_path / "k")
    assert done.returncode == 1 and "lets others in" in done.stderr and not os.listdir(tmp_path)


FAKE_CREDS = """#!/bin/sh
[ "$1 $2 $3" = "encrypt --name=master-key -" ] || exit 3
wc -c >"$4"
"""


def test_init_key_where_nothing_can_be_written(ctl):
    done = ctl("init-key", "-o", "/proc/new.key")
    assert done.returncode == 1 and "nothing was put into /proc" in done.stderr, done.stderr


def test_init_key_credential(ctl, tmp_path):
    (tmp_path / "systemd-creds").write_text(FAKE_CREDS)
    (tmp_path / "systemd-creds").chmod(0o755)
    output = tmp_path / "out" / "master-key"
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = ctl("init-key", "--credential", "-o", output, env=env)
    assert done.returncode == 0 and f"LoadCredentialEncrypted=master-key:{output}" in done.stdout, done.stderr
    assert output.read_text().strip() == "65"
    assert ctl("init-key", "--credential", "-o", output, env=env).returncode == 1
    (tmp_path / "systemd-creds").write_text("#!/bin/sh\necho no TPM >&2; exit 1\n")
    done = ctl("init-key", "--credential", "-o", output, "--force", env=env)
    assert done.returncode == 1 and "systemd-creds failed" in done.stderr and output.read_text().strip() == "65"
    (tmp_path / "systemd-creds").unlink()
    done = ctl("init-key", "--credential", "-o", output, "--force", env={"PATH": str(tmp_path)})
    assert done.returncode == 1 and "there is no systemd-creds" in done.stderr
