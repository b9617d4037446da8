# SPDX-License-Identifier: Apache-2.0
"""A loopback HTTP proxy that stands in front of a server, writes down what is asked, and spoils answers on demand.

It passes the Host header on, and the server behind it is told the proxy's address as its own, so that clients meet
nothing but the proxy. Of a request only method, path and grant type are kept, never a value that could be secret; of
tokens and codes a mark, by which one can tell where each came from and where it went.

    with FaultProxy(upstream_port) as proxy:
        proxy.fail("/token", status=503, headers={"Retry-After": "1"}, times=2)
        ...
        assert proxy.count("/token", grant="refresh_token") == 3
"""

import contextlib
import dataclasses
import hashlib
import http.client
import http.server
import json
import secrets
import select
import socket
import struct
import threading
import time
import typing
import urllib.parse

import util

HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade"}


def _full_grant(name):
    return DEVICE_GRANT if name == "device_code" else name


@dataclasses.dataclass
class Request:
    """What is remembered of one request."""

    method: str
    path: str
    grant_type: typing.Optional[str]
    at: float
    connection: int
    status: typing.Optional[int] = None
    fault: typing.Optional[str] = None
    reached_upstream: bool = False
    # FaultProxy.mark() of what the form held, and of what the server's answer held, by member name.
    sent: dict = dataclasses.field(default_factory=dict)
    got: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Fault:
    """What is to go wrong, and for which requests. times=None is until clear()."""

    path: typing.Optional[str] = None
    method: typing.Optional[str] = None
    grant: typing.Optional[str] = None
    sent: typing.Optional[str] = None
    times: typing.Optional[int] = 1
    after: int = 0
    # An answer of our own; the server behind never sees the request.
    status: typing.Optional[int] = None
    headers: typing.Optional[dict] = None
    body: bytes = b""
    big: int = 0
    # Done to whatever is answered, ours or the real thing.
    edit: typing.Optional[typing.Callable[[bytes], bytes]] = None
    content_type: typing.Optional[str] = None
    delay: float = 0
    drip: float = 0
    cut: typing.Optional[int] = None
    reset: bool = False
    lost: bool = False
    hang: bool = False
    hits: int = 0

    def takes(self, request):
        if self.times == 0 or (self.path and not request.path.endswith(self.path)):
            return False
        if (self.method and request.method != self.method) or (self.grant and request.grant_type != self.grant):
            return False
        if self.sent and self.sent not in request.sent.values():
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        return True

    def __str__(self):
        names = ("status", "big", "edit", "content_type", "delay", "drip", "cut", "reset", "lost", "hang")
        return "+".join(n for n in names if getattr(self, n) not in (None, 0, False))


class _Hangup(Exception):
    """Ends a connection without another word."""


def _secrets_in(body):
    try:
        members = json.loads(body)
    except ValueError:
        return {}
    names = ("access_token", "refresh_token", "id_token", "device_code", "user_code")
    return {n: members[n] for n in names if isinstance(members, dict) and isinstance(members.get(n), str)}


class FaultProxy:
    """See the module's text. Threaded: one thread accepts, one serves each connection."""

    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self._hold = util.hold_port()
        self.port = self._hold.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._listener = None
        self._connections = {}
        self._serial = 0
        self._requests = []
        self._faults = []
        self._released = threading.Event()
        # Every token and code that ever passed, for canary searches; never printed, and kept over reset().
        self.secrets = set()
        # Held while the server behind works: make it a Lock for one that cannot do two things at once.
        self.turn = contextlib.nullcontext()
        self._salt = secrets.token_bytes(16)

    def start(self):
        self.up()
        return self

    def stop(self):
        self.clear()
        self.down()
        self._hold.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # -- up and down ---------------------------------------------------------------------------------------------

    def up(self):
        """Accepts connections (again)."""
        if self._listener:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(512)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self):
        """Refuses connections and cuts those that are open. The port stays reserved."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut_connections()

    def cut_connections(self):
        """Closes every open connection from our side, as a restarting server or a middlebox does."""
        with self._lock:
            open_now = list(self._connections.values())
        for conn in open_now:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if listener is not self._listener:
                    # Accepted just before down(): whoever calls that must be able to rely on it.
                    conn.close()
                    return
                self._serial += 1
                serial = self._serial
                self._connections[serial] = conn
            threading.Thread(target=self._serve, args=(conn, serial), daemon=True).start()

    def _serve(self, conn, serial):
        try:
            _Handler(conn, serial, self)
        except (OSError, _Hangup):
            pass
        finally:
            conn.close()
            with self._lock:
                del self._connections[serial]

    # -- faults --------------------------------------------------------------------------------------------------

    def fail(self, path=None, **what):
        """Spoils the answers to requests whose path ends with `path` (None: all). Faults are tried in the order they
        were made, one per request.

        which:    method=, grant= (a grant type; "device_code" is short for its URN), sent= (the mark of a token in it),
                  times=1 (None: until clear()), after=0 (so many matching requests pass first)
        instead:  status=, headers={}, body=b"" or a dict (JSON) or str; big=BYTES (a body of that size)
        changed:  edit=function(body) -> body, content_type=, delay=SECONDS, drip=SECONDS (between single bytes),
                  cut=N (the connection ends after N bytes of the body), reset=True (what is cut or lost ends by RST)
        nothing:  lost=True (the server did the work, nobody hears), hang=True (no answer, connection stays open)

        Returns the Fault; its .hits counts.
        """
        body = what.get("body", b"")
        if isinstance(body, dict):
            what["headers"] = {"Content-Type": "application/json", **(what.get("headers") or {})}
            body = json.dumps(body)
        what["body"] = body.encode() if isinstance(body, str) else body
        if what.get("big"):
            what.setdefault("status", 200)
        what["grant"] = _full_grant(what.get("grant"))
        fault = Fault(path=path, **what)
        with self._lock:
            self._faults.append(fault)
        return fault

    def html_error(self, path=None, status=502, **what):
        """The error page of somebody's load balancer."""
        return self.fail(path, status=status, headers={"Content-Type": "text/html; charset=utf-8"}, body=HTML, **what)

    def redirect(self, path, location, status=302, **what):
        return self.fail(path, status=status, headers={"Location": location}, **what)

    def clear(self):
        """Ends all faults, and all connections that hang. What is delayed is answered."""
        with self._lock:
            self._faults.clear()
            released, self._released = self._released, threading.Event()
        released.set()

    def reset(self):
        """As new: up, without faults, nothing remembered."""
        self.turn = contextlib.nullcontext()
        self.clear()
        self.up()
        self.clear_log()

    # -- what was seen -------------------------------------------------------------------------------------------

    @property
    def requests(self):
        with self._lock:
            return list(self._requests)

    def clear_log(self):
        with self._lock:
            self._requests.clear()

    def seen(self, path=None, *, method=None, grant=None):
        """The requests whose path ends with `path`."""
        grant = _full_grant(grant)
        return [r for r in self.requests if (path is None or r.path.endswith(path))
                and (method is None or r.method == method) and (grant is None or r.grant_type == grant)]

    def count(self, path=None, **which):
        return len(self.seen(path, **which))

    def mark(self, value):
        """What stands for a token or code in Request.sent and .got."""
        return hashlib.sha256(self._salt + value.encode()).hexdigest()[:16]

    def learn(self, found):
        """Keeps the values for the canary search; returns their marks. A user code is meant to be shown."""
        self.secrets.update(value for name, value in found.items() if name != "user_code")
        return {name: self.mark(value) for name, value in found.items()}

    # -- for the handler -----------------------------------------------------------------------------------------

    def _note(self, request):
        with self._lock:
            self._requests.append(request)
            fault = next((f for f in self._faults if f.takes(request)), None)
            if fault:
                request.fault = str(fault)
            return fault, self._released


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, conn, serial, proxy):
        self.serial = serial
        self.proxy = proxy
        super().__init__(conn, None, None)

    def log_message(self, *args):
        pass

    def _handle(self):
        if "transfer-encoding" in self.headers:
            # Nobody here sends forms in chunks. Better an error than a request passed on wrong.
            self._send(411, [], b"")
            raise _Hangup
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = {}
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            form = dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
        request = Request(self.command, urllib.parse.urlsplit(self.path).path, form.get("grant_type"),
                          time.monotonic(), self.serial)
        request.sent = {n: self.proxy.mark(form[n]) for n in ("refresh_token", "device_code") if n in form}
        fault, released = self.proxy._note(request)
        fault = fault or Fault()

        if fault.hang:
            self._hang(released)
        if fault.status is None:
            status, headers, answer = self._ask_upstream(body, request)
        else:
            status, headers, answer = fault.status, list((fault.headers or {}).items()), fault.body
        request.status = status
        if fault.lost:
            self._break(fault)
        if fault.edit:
            answer = fault.edit(answer)
        if fault.content_type:
            headers = [h for h in headers if h[0].lower() != "content-type"]
            headers.append(("Content-Type", fault.content_type))
        if fault.delay:
            released.wait(fault.delay)  # cleared: what the server said is not lost, but told at once
        self._answer(status, headers, answer, fault, released)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _handle

    def _ask_upstream(self, body, request):
        with self.proxy.turn:
            return self._ask_upstream_now(body, request)

    def _ask_upstream_now(self, body, request):
        conn = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream_port, timeout=60)
        try:
            conn.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP and name.lower() != "expect":
                    conn.putheader(name, value)
            conn.putheader("Connection", "close")
            conn.endheaders(body or None)
            request.reached_upstream = True
            answer = conn.getresponse()
            text = answer.read()
            request.got = self.proxy.learn(_secrets_in(text))
            return answer.status, answer.getheaders(), text
        except (OSError, http.client.HTTPException):
            return 502, [("Content-Type", "text/plain")], b"fault proxy: the server behind is not there\n"
        finally:
            conn.close()

    def _answer(self, status, headers, body, fault, released):
        if fault.big:
            self._send(status, headers + [("Content-Type", "application/json")], b'{"filler":"', fault.big)
            left, block = fault.big - 13, b"x" * 65536
            while left > 0:
                self.wfile.write(block[:left])
                left -= len(block)
            self.wfile.write(b'"}')
            return
        if fault.cut is not None:
            self._send(status, headers, body[:fault.cut], len(body))
            self._break(fault)
        if not fault.drip:
            self._send(status, headers, body)
            return
        self._send(status, headers, b"", len(body))
        for byte in body:
            if released.wait(fault.drip):
                raise _Hangup
            self.wfile.write(bytes([byte]))

    def _send(self, status, headers, body, length=None):
        """The head, and with it as much of the body as is given."""
        head = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        no_body = self.command == "HEAD" or status in (204, 304)
        # The length of a HEAD's answer is that of the body which is not sent.
        keep_length = self.command == "HEAD"
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP and (keep_length or name.lower() != "content-length"):
                head.append(f"{name}: {value}")
        if not no_body:
            head.append(f"Content-Length: {len(body) if length is None else length}")
        self.wfile.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (b"" if no_body else body))

    def _break(self, fault):
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        raise _Hangup

    def _hang(self, released):
        """Until the client goes away or the fault is cleared."""
        while not released.wait(0.02):
            if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                break
        raise _Hangup
