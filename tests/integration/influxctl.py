# SPDX-License-Identifier: Apache-2.0
"""tokenbroker-influxctl as a fixture, and a stand-in for the influxctl that it runs (see influxctl-standin).

    with Helper(sandbox, version="2.11.0") as helper:
        helper.keys                      # for [backend NAME]
        helper.fault("create", "hang", times=1)
        helper.runs("create")            # what the stand-in was given: argv, environment, files
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import tempfile
import textwrap

import daemon as d
import util

STANDIN = pathlib.Path(__file__).resolve().parent / "influxctl-standin"
NOBODY = 65534


def skip_reason():
    if os.geteuid() != 0:
        return "the helper has a uid of its own, which needs root"
    if not shutil.which("setpriv"):
        return "no setpriv"
    return None


class Helper:
    """The helper under uid nobody, asked by root. Its runs' homes are in /dev/shm when that is in memory."""

    def __init__(self, sandbox, version="2.11.0", timeout="20s", **behaviour):
        self.timeout = timeout
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tbi-"))
        self.dir.chmod(0o755)
        shm = pathlib.Path("/dev/shm")
        self.run_dir = pathlib.Path(tempfile.mkdtemp(prefix="tbi-", dir=shm if shm.is_dir() else None))
        self.state_dir = self.dir / "state"
        self.program = self.dir / "influxctl"
        self.config = self.dir / "standin" / "config.json"
        self.socket = self.dir / "sock" / "helper.sock"
        self.log_file = self.dir / "helper.log"
        self.process = None
        shutil.copy(STANDIN, self.program)
        self.program.chmod(0o755)
        for path in (self.config.parent, self.socket.parent, self.state_dir, self.run_dir):
            path.mkdir(exist_ok=True)
            path.chmod(0o700 if path in (self.state_dir, self.run_dir) else 0o755)
            os.chown(path, NOBODY, NOBODY)
        self.configure(api=sandbox.issuer, version=version, faults=[], **behaviour)

    @property
    def keys(self):
        """Without a login of its own the backend says who pays."""
        return textwrap.dedent(f"""\
            management_driver = influxctl
            influxctl_socket = {self.socket}
            influxctl_user = nobody
            influxctl_timeout = {self.timeout}
            """)

    # --------------------------------------------------------------- stand-in

    @contextlib.contextmanager
    def _configuration(self):
        with open(self.config.parent / "lock", "w", encoding="ascii") as lock:
            os.chmod(lock.name, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
            values = json.loads(self.config.read_text()) if self.config.exists() else {}
            yield values
            self.config.write_text(json.dumps(values))
            self.config.chmod(0o666)

    def configure(self, **values):
        with self._configuration() as configuration:
            configuration.update(values)

    def fault(self, command, what, times=1):
        """The next runs of "version", "list", "create", "revoke" misbehave."""
        with self._configuration() as configuration:
            configuration["faults"].append({"command": command, "what": what, "times": times})

    def made(self):
        """The values that were ever made, whoever got to know them; to be called before the search for secrets."""
        file = self.config.parent / "made"
        values = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return values

    def runs(self, command=None):
        file = self.config.parent / "runs.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [r for r in map(json.loads, lines) if command in (None, r["command"])]

    # ---------------------------------------------------------------- process

    def argv(self, *more):
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig=KILL",
                d.program("tokenbroker-influxctl"), "--socket", self.socket, "--influxctl", self.program, "--user", "root",
                "--run-dir", self.run_dir, "--state-dir", self.state_dir, "--allow-disk", *more]

    def start(self):
        before = self.log().count("may ask at")
        self.process = util.spawn(self.argv(), log=self.log_file)
        util.wait_until(lambda: self.log().count("may ask at") > before or self.process.poll() is not None, 20, "the helper's socket")
        assert self.process.poll() is None, self.log()
        return self

    def stop(self):
        status = util.end_process(self.process, signal.SIGTERM, 40)
        assert status == 0, (status, self.log())

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def descendants(self):
        """Pids of all that the helper started, by the environment that it gave them."""
        mark = f"HOME={self.run_dir}/".encode()
        return [pid for pid, text in util.process_files("environ") if mark in text]

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text("ascii").split()]

    def homes(self):
        return sorted(self.run_dir.glob("run-*"))

    def files(self):
        """All that is left: for the search for secrets."""
        return [p for top in (self.dir, self.run_dir) for p in top.rglob("*") if p.is_file() and not p.is_symlink()]

    def end(self):
        if self.process and self.process.poll() is None:
            self.stop()
        assert not self.homes(), self.homes()

    def search_for_secrets(self, known):
        for path in self.files():
            text = path.read_bytes()
            for value in known:
                assert len(value) < 8 or value.encode() not in text, f"a secret stands in {path}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        try:
            if exc[0] is None:
                self.end()
            else:
                print(self.log()[-4000:])
                print(self.runs()[-6:])
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.dir, ignore_errors=True)
            shutil.rmtree(self.run_dir, ignore_errors=True)
