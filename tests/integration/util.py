# SPDX-License-Identifier: Apache-2.0
"""What every integration test needs: ports, patience, directories, processes, and one plain HTTP request."""

import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

_held_ports = []


def hold_port():
    """A socket that is bound to a free loopback port and never listens.

    Servers that set SO_REUSEADDR (all of ours do) can listen on the port while this socket is open, connections are
    refused as long as none does, and the kernel gives the port to nobody else. That closes the usual gap between
    finding a free port and using it.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def free_port():
    """A loopback TCP port that stays ours until this process ends."""
    sock = hold_port()
    _held_ports.append(sock)
    return sock.getsockname()[1]


def wait_until(check, timeout=20.0, what="", interval=0.01):
    """Calls check until it returns something true, and returns that. An AssertionError says what never came."""
    deadline = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what or check}")
        time.sleep(interval)


def read_until(stream, needle, timeout=20.0):
    """Reads a pipe or socket up to and including needle (bytes) and returns all that was read."""
    fd = stream if isinstance(stream, int) else stream.fileno()
    deadline = time.monotonic() + timeout
    data = b""
    while needle not in data:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise AssertionError(f"no {needle!r} within {timeout} s, only {data[-2000:]!r}")
        chunk = os.read(fd, 65536)
        if not chunk:
            raise AssertionError(f"no {needle!r} before the end of {data[-2000:]!r}")
        data += chunk
    return data


def unread(sock):
    """How much of what was sent on a Unix socket the other side has not read."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


@contextlib.contextmanager
def temp_dir(prefix="tb-"):
    """A directory of our own, gone afterwards. The name is short because paths of Unix sockets have to be."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cache_dir():
    """Where things are kept that are costly to make and the same for every run."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = pathlib.Path(base) / "tokenbroker-tests"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def make_once(name, build):
    """The cached directory `name`, made by build(directory) if it is missing.

    Runs in parallel are safe: a lock lets one of them build, a rename shows the others nothing or everything.
    """
    final = cache_dir() / name
    with open(cache_dir() / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.is_dir():
            unfinished = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache_dir()))
            try:
                build(unfinished)
                unfinished.rename(final)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
    return final


def spawn(argv, *, log, env=None, cwd=None, stdout=None):
    """Starts a program whose output goes to the file `log`, and that dies with us even if we are killed.

    It dies with the calling thread, to be exact, so long-lived ones are for the main thread to start.
    """
    argv = [str(arg) for arg in argv]
    if shutil.which("setpriv"):
        # setpriv executes the program in its own place, so the pid is the program's.
        argv = ["setpriv", "--pdeathsig", "KILL", "--"] + argv
    with open(log, "ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or out, stderr=out, cwd=cwd,
                                env=None if env is None else {**os.environ, **env})


def process_files(name):
    """(pid, content) of /proc/PID/name, of every process that can be read. One may end at any moment of this.

    Path.glob() will not do: it raises where a process ends between its listing and its look at the file.
    """
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            with contextlib.suppress(OSError):
                yield int(pid), pathlib.Path("/proc", pid, name).read_bytes()


def process_state(pid):
    """One letter as proc(5) has it; X also for one that is gone."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rsplit(")", 1)[1].split()[0]
    return "X"


def has_ended(pid):
    """It is gone, or a zombie."""
    return process_state(pid) in "ZX"


def end_process(proc, sig=signal.SIGTERM, timeout=10.0):
    """Ends a process, by force if it does not go, and returns its exit status. Its pipes are closed."""
    if proc.poll() is None:
        proc.send_signal(sig)
    try:
        proc.wait(timeout)
    except subprocess.TimeoutExpired:
        proc.kill()
        proc.wait()
    for pipe in (proc.stdin, proc.stdout, proc.stderr):
        if pipe:
            pipe.close()
    return proc.returncode


class Thread(threading.Thread):
    """Runs a function; join() returns what it returned, or raises what it raised."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function = function
        self.result = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function()
        except BaseException as error:  # shown by join()
            self.error = error

    def join(self, timeout=60):
        super().join(timeout)
        assert not self.is_alive(), "a thread did not end"
        if self.error:
            raise self.error
        return self.result


class Reply:
    """An HTTP answer, whatever its status."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Reply {self.status} {self.text[:300]!r}>"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


def tls_context(ca_file, cert=None, key=None):
    """For http_request(): trusts one authority only, and shows a client certificate if there is one."""
    context = ssl.create_default_context(cafile=str(ca_file))
    if cert:
        context.load_cert_chain(str(cert), str(key))
    return context


def http_request(url, *, method=None, form=None, body=None, headers=None, context=None, timeout=10.0, handlers=()):
    """One request. No redirect is followed, no proxy asked, and a 4xx or 5xx is an answer like any other.

    form (a dict or a list of pairs) is sent as a form, body (anything but bytes) as JSON.
    """
    headers = dict(headers or {})
    data = None
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    elif body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect,
                                         urllib.request.HTTPSHandler(context=context), *handlers)
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with opener.open(request, timeout=timeout) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())
