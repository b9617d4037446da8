# SPDX-License-Identifier: Apache-2.0
"""tokenbroker-sandbox as a test fixture: a process of its own, its switches, and the human that it waits for.

    with Sandbox() as sandbox:
        sandbox.issuer, sandbox.port
        sandbox.approve(user_code, user="alice")
        sandbox.fault("status", "503:2", times=1, path="/api/v0", method="POST")
        sandbox.state()["requests"]["mint"]

The binary is $TB_BUILDDIR/tokenbroker-sandbox.
"""

import contextlib
import http.client
import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile

BINARY = "tokenbroker-sandbox"


def binary():
    return pathlib.Path(os.environ.get("TB_BUILDDIR", ".")) / BINARY


class Refused(Exception):
    """A control endpoint said no."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Sandbox:
    """One instance. Everything it knew is gone after stop(); start() again uses the same port."""

    def __init__(self, *args, interval=1, port=0, faults=()):
        """args go to the program; interval is shorter than its own default, since tests wait for it."""
        self.port = port
        self.issuer = None
        self.process = None
        self._args = [f"--interval={interval}", *args, *(f"--fault={fault}" for fault in faults)]
        self._stderr = None

    def start(self, timeout=20):
        self._stderr = self._stderr or tempfile.TemporaryFile()
        self.process = subprocess.Popen([binary(), f"--port={self.port}", *self._args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self._stderr)
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("READY "):
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
            raise RuntimeError(f"{BINARY} did not start: {self.output()}")
        self.issuer = line.split()[1]
        self.port = int(self.issuer.rpartition(":")[2])
        return self

    def stop(self, timeout=10):
        """Ends it and insists on exit status 0, which a leak under AddressSanitizer spoils. Harmless when stopped."""
        process, self.process = self.process, None
        if not process:
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        finally:
            process.stdout.close()
        if status != 0:
            raise RuntimeError(f"{BINARY} ended with {status}: {self.output()[-4000:]}")

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        try:
            self.stop()
        finally:
            if self._stderr:
                self._stderr.close()
                self._stderr = None

    def output(self):
        """What it has written to stderr: one line per request."""
        with contextlib.suppress(ValueError, AttributeError):
            fd = self._stderr.fileno()
            return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")
        return ""

    def control(self, method, path, body=None, timeout=10):
        """Asks /_sandbox/PATH and returns the JSON answer, or raises Refused."""
        host = self.issuer.removeprefix("http://").rpartition(":")[0].strip("[]")
        connection = http.client.HTTPConnection(host, self.port, timeout=timeout)
        try:
            payload = json.dumps(body) if body is not None else None
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, f"/_sandbox/{path}", payload, headers)
            reply = connection.getresponse()
            answer = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status >= 300:
            raise Refused(reply.status, answer.get("message"))
        return answer

    def state(self):
        """Counters (requests, done), tokens (the minted ones), oauth_tokens, grants, codes, pending, faults."""
        return self.control("GET", "state")

    def log(self):
        """The requests so far, oldest first, without those of this class."""
        return self.control("GET", "log")["requests"]

    def fault(self, name, value=None, times=None, after=None, path=None, method=None):
        """Sets a switch: how often it applies, after how many occasions, and for which paths and method."""
        given = {"name": name, "value": value, "times": times, "after": after, "path": path, "method": method}
        return self.control("POST", "fault", {k: v for k, v in given.items() if v is not None})["faults"]

    def clear_faults(self, name=None):
        """Takes off the switches of that name, or all."""
        return self.control("DELETE", f"fault?name={name}" if name else "fault")["faults"]

    def approve(self, user_code, user="alice"):
        """What a human does at /device."""
        return self.control("POST", "approve", {"user_code": user_code, "user": user})

    def deny(self, user_code, user="alice"):
        return self.control("POST", "deny", {"user_code": user_code, "user": user})

    def revoke(self, token_or_grant_id):
        """Revokes a token or a grant of that id behind everybody's back."""
        return self.control("POST", "revoke", {"id": token_or_grant_id})

    def rotate_keys(self):
        """New signing keys; returns the new key set."""
        return self.control("POST", "rotate_keys", {})
