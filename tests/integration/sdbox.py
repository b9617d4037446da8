# SPDX-License-Identifier: Apache-2.0
"""A real systemd in a box (see the script sdbox), with the daemon in it as `make install` leaves it.

    with Box() as box:
        box.install()
        box.enter("systemctl", "start", "tokenbrokerd")          # beside all units
        box.run("tokenbrokerctl", "get", "t", unit="a.service")  # in a unit of its own
        box.journal("tokenbrokerd")

The build is $TB_BUILDDIR_PLAIN, or $TB_BUILDDIR where that is for /usr and without sanitizers, or one that is made:
AddressSanitizer cannot live under the hardening of the unit.
"""

import contextlib
import fcntl
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile

import daemon
import util

SCRIPT = pathlib.Path(__file__).with_name("sdbox")
SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNITS = pathlib.Path("etc/systemd/system")


def skip_reason():
    """Why this host cannot run a box; empty: it can."""
    return subprocess.run([SCRIPT, "check"], capture_output=True, text=True, check=False).stdout.strip()


def _make(argv, cwd):
    done = subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout[-2000:]}{done.stderr[-4000:]}"


def plain_build():
    """The directory of a build without sanitizers, from the source under test."""
    if os.environ.get("TB_BUILDDIR_PLAIN"):
        return pathlib.Path(os.environ["TB_BUILDDIR_PLAIN"]).resolve()
    build = daemon.BUILD.resolve()
    asked = shlex.split(subprocess.run([build / "config.status", "--config"], capture_output=True, text=True,
                                       check=True).stdout)
    if "--prefix=/usr" in asked and not any(a.startswith("--enable-sanitizers") for a in asked):
        return build
    plain = build / "plain"
    plain.mkdir(exist_ok=True)
    with open(plain / ".lock", "w", encoding="ascii") as lock:  # rounds may run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (plain / "Makefile").exists():
            keep = [a for a in asked if a.startswith("CC=")]
            _make([SOURCE / "configure", "-q", "--prefix=/usr", "--sysconfdir=/etc", "--localstatedir=/var",
                   "CFLAGS=-O1 -g", *keep], plain)
        _make(["make", "-s", "-j2", "programs"], plain)
    return plain


class Box:
    """One booted system. root is its / as seen from outside, share its /share."""

    def __init__(self, hierarchy="unified"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tbbox-"))
        self.share = self.dir / "share"
        self.env = {**os.environ, "SDBOX_HIERARCHY": hierarchy}
        self.process = None
        self.leader = None
        self.root = None

    # ---------------------------------------------------------------- up and down

    def start(self):
        self.process = util.spawn([SCRIPT, "boot", self.dir], log=self.dir / "console", env=self.env)
        util.wait_until(lambda: self._is_up() or self.process.poll() is not None, 60, "the box")
        if self.process.poll() is not None:
            text = (self.dir / "console").read_text(errors="replace")
            self.stop()
            raise RuntimeError(f"the box did not boot: {text[-3000:]}")
        return self

    def _is_up(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii").split()
        if not children:
            return False
        self.leader = int(children[0])
        self.root = pathlib.Path(f"/proc/{self.leader}/root")
        with contextlib.suppress(OSError):  # a child that was not the box yet, and is gone
            return (self.root / "run/sdbox-ready").exists()
        return False

    def stop(self):
        """Whatever state it is in: kills PID 1 of the box, and with it all of the box."""
        if self.process and self.process.poll() is None:
            if self.leader:
                os.kill(self.leader, signal.SIGKILL)
            else:
                self.process.send_signal(signal.SIGKILL)  # takes its child along
            self.process.wait(30)
        said = subprocess.run([SCRIPT, "clean", self.dir], env=self.env, capture_output=True, text=True, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not said.stdout, said.stdout

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # ------------------------------------------------------------------- commands

    def _argv(self, argv):
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--",
                *[str(a) for a in argv]]

    def enter(self, *argv, check=0, stdin=None, timeout=60):
        """Runs a command in the box, in no unit. check is the exit status it must have; None: any."""
        done = subprocess.run(self._argv(argv), input=stdin, capture_output=True, text=True, timeout=timeout,
                              check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NO_COLOR": "1"})
        if check is not None:
            assert done.returncode == check, (argv, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def spawn(self, *argv):
        """The same in the background; the caller ends it."""
        return subprocess.Popen(self._argv(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def run(self, *argv, unit=None, properties=(), check=0, timeout=60):
        """Runs a command as a transient unit of its own. Its exit status passes through; so does 243."""
        options = ["--quiet", "--wait", "--pipe", "--collect", *([f"--unit={unit}"] if unit else []),
                   *[f"--property={p}" for p in properties]]
        return self.enter("systemd-run", *options, "--", *argv, check=check, timeout=timeout)

    def ctl(self, *argv, **kwargs):
        return self.enter("tokenbrokerctl", *argv, **kwargs)

    # ---------------------------------------------------------------------- units

    def write(self, path, text, mode=0o644):
        file = self.root / str(path).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def add_unit(self, name, text, reload=True):
        self.write(UNITS / name, text)
        if reload:
            self.enter("systemctl", "daemon-reload")

    def show(self, unit, *properties):
        """The properties of a unit: a text for one, a dictionary for more."""
        out = self.enter("systemctl", "show", unit, *[f"--property={p}" for p in properties]).stdout
        found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        return found[properties[0]] if len(properties) == 1 else found

    def journal(self, unit=None, *options):
        self.enter("journalctl", "--sync")
        return self.enter("journalctl", "--no-pager", "--output=cat", *([f"--unit={unit}"] if unit else []),
                          *options).stdout

    # --------------------------------------------------------------- the software

    def install(self):
        """make install, and the steps after it that README names."""
        build = plain_build()
        _make(["make", "-s", "install", f"DESTDIR={self.share / 'installed'}"], build)
        self.enter("cp", "-a", "/share/installed/.", "/")
        self.enter("systemd-sysusers")
        self.enter("systemd-tmpfiles", "--create", check=None)  # about files of others it may complain
        self.enter("systemctl", "daemon-reload")
        self.ctl("init-key", "--credential")
