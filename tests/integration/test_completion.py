# SPDX-License-Identifier: Apache-2.0
"""The completions of bash, zsh and fish, in these shells themselves: what a person types, with a Tab, is what runs."""

import json
import os
import pathlib
import pty
import select
import shutil
import subprocess
import time

import pytest

import daemon as d
import util
from sandbox import Sandbox

FILES = pathlib.Path(__file__).resolve().parents[2] / "completions"
CONF = d.SANDBOX_LOGIN + """\
[backend by-hand]
type = import
[token telegraf-write]
backend = by-hand
kind = management
allow_full_access = yes
[token secret-of-others]
backend = by-hand
kind = management
allow_full_access = yes
[client root]
user = root
tokens = telegraf-write
"""

# Each line is typed, with \t for Tab; this is what tokenbrokerctl is then called with.
TYPED = [
    ("wat\t", ["watch"]),
    ("get --fo\t", ["get", "--format"]),
    ("get --format cred\t", ["get", "--format", "credential_process"]),
    ("get --format=exec\t", ["get", "--format=exec-credential"]),
    ("get tele\t", ["get", "telegraf-write"]),
    ("get secr\t", ["get", "secr"]),  # not for us
    ("rotate secr\t", ["rotate", "secret-of-others"]),  # an operator sees it
    ("run A=tele\t -- true", ["run", "A=telegraf-write", "--", "true"]),
    ("login o\t", ["login", "ops"]),
    ("watch --token tele\t", ["watch", "--token", "telegraf-write"]),
    ("watch --config some-f\t", ["watch", "--config", "some-file"]),
    ("audit ver\t --fo\t", ["audit", "verify", "--format"]),
    ("run A=x -- tokenbroker-odd-na\t", ["run", "A=x", "--", "tokenbroker-odd-name"]),
    ("nonsense x\t", ["nonsense", "x"]),
]


@pytest.fixture(scope="module", name="place")
def make_place():
    """A daemon, and a directory with a tokenbrokerctl that completes in earnest and otherwise notes its arguments."""
    with Sandbox() as sandbox, d.Daemon(CONF.format(issuer=sandbox.issuer)) as tb, util.temp_dir("tbsh-") as path:
        (path / "bin").mkdir()
        for name, text in (("tokenbrokerctl", f"""\
            #!/usr/bin/python3
            import json, os, sys
            if sys.argv[1:2] == ["--complete"]:
                os.execv({d.program("tokenbrokerctl")!r}, sys.argv)
            with open({str(path / "called")!r}, "w") as out:
                json.dump(sys.argv[1:], out)
            """), ("tokenbroker-odd-name", "#!/bin/sh\n")):
            (path / "bin" / name).write_text("\n".join(line.removeprefix("            ") for line in text.split("\n")))
            (path / "bin" / name).chmod(0o755)
        (path / "some-file").touch()
        yield path, {"PATH": f"{path}/bin:/usr/bin:/bin", "HOME": str(path), "TERM": "dumb", "PS1": "READY> ",
                     "TOKENBROKER_RUN_DIR": str(tb.run_dir), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}


class Shell:
    """An interactive shell at a terminal."""

    def __init__(self, argv, env, cwd, setup):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(argv[0], argv, env)
        self.text = b""
        for line in setup:
            self.type(line + "\n")
        self.type("echo I-am-$((40 + 2))\n")
        self.wait_for(b"I-am-42")

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, timeout=0.1):
        if select.select([self.fd], [], [], timeout)[0]:
            self.text += os.read(self.fd, 65536)

    def wait_for(self, what):
        deadline = time.monotonic() + 60
        while what not in self.text:
            assert time.monotonic() < deadline, self.text[-2000:]
            self.read()

    def call(self, typed, called):
        """What tokenbrokerctl was called with."""
        called.unlink(missing_ok=True)
        for part in typed.replace("\t", "\t\0").split("\0"):
            self.type(part)
            if part.endswith("\t"):
                self.settle()
        self.type("\n")
        deadline = time.monotonic() + 60
        while not called.exists() or not called.read_text():
            assert time.monotonic() < deadline, self.text[-2000:]
            self.read()
        return json.loads(called.read_text())

    def settle(self):
        """What is typed behind a Tab waits in the terminal until the shell has completed; just drain its output."""
        self.read(0.05)

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_typed_at_a_terminal(place, shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    path, env = place
    setup = {"bash": (["bash", "--norc", "--noprofile", "-i"],
                      ["bind 'set enable-bracketed-paste off'; bind 'set bell-style none'",
                       f"source {FILES}/bash/tokenbrokerctl"]),
             "zsh": (["zsh", "-f", "-i"], [f"unsetopt ZLE_BRACKETED_PASTE; fpath=({FILES}/zsh $fpath)",
                                           "autoload -U compinit; compinit -u -D"])}[shell]
    one = Shell(setup[0], env, path, setup[1])
    try:
        got = [one.call("tokenbrokerctl " + typed, path / "called") for typed, _ in TYPED]
    finally:
        one.end()
    assert got == [wanted for _, wanted in TYPED]


def test_fish(place):
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    path, env = place

    def candidates(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {FILES}/fish/tokenbrokerctl.fish; complete -C '{line}'"],
                              env=env, cwd=path, capture_output=True, text=True, timeout=60, check=True)
        return [x.split("\t")[0] for x in done.stdout.splitlines()]

    for typed, wanted in TYPED:
        if "secr" in typed and wanted[-1] == "secr" or typed.startswith("nonsense"):
            assert candidates("tokenbrokerctl " + typed.rstrip("\t")) == []
            continue
        words = typed.split("\t")[0]
        assert wanted[len(words.split()) - 1] in candidates("tokenbrokerctl " + words), typed


def test_every_command_and_option_is_offered(place):
    """What --help shows and what a Tab offers are the same, since both come from the tables."""
    def run(*args):
        return subprocess.run([d.program("tokenbrokerctl"), *args], env=place[1], capture_output=True, text=True,
                              timeout=60, check=False).stdout

    commands = [line.split("\t")[0] for line in run("--complete", "").splitlines()]
    assert {"get", "run", "watch", "login", "audit"} <= set(commands) and len(commands) >= 19
    for command in commands:
        if command == "audit":
            continue
        offered = {line.split("\t")[0] for line in run("--complete", command, "--").splitlines()}
        shown = {"--" + word.split()[0] for line in run(command, "--help").split("\n\n")[-1].splitlines()
                 for word in [line.partition("--")[2]] if line.lstrip().startswith("-") and word}
        assert offered == shown, command
    assert "telegraf-write" not in run("--complete", "--run-dir", "/nonexistent", "get", "")
