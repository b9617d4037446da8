# SPDX-License-Identifier: Apache-2.0
"""What the bench measures with: a directory, processes, and the servers that are compared.

Everything runs in one temporary directory and ends with end(), by process id. Servers are pinned to the first CPU and
the load to the second; where a single client is measured, both to the first, since waking an idle CPU of a virtual
machine takes longer than any of these servers.
"""

import contextlib
import glob
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import http.server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from sandbox import Sandbox  # noqa: E402

TOKEN = "bench"
TARGET = f"/api/v1/tokens/{TOKEN}"
MANY = 10000
PACKAGES = {"nginx": "nginx-light", "h2load": "nghttp2-client", "oidc-agent": "oidc-agent-cli",
            "oidc-token": "oidc-agent-cli", "openssl": "openssl"}


def die(text):
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(1)


def which(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def median(values):
    return statistics.median(values)


class Lab:
    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        # a real disk: /tmp may be memory
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tb-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
        self.processes = []
        self.undo = []
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu = cpus[0], cpus[-1]
        self.descriptors = min(20000, self.raise_descriptors())

    @staticmethod
    def raise_descriptors():
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        hard = 1 << 20 if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard

    def program(self, name):
        for path in (self.build / "tests/bench" / name, self.build / name):
            if path.exists():
                return str(path)
        die(f"{self.build}/{name} is not built; run make, and make bench from the build's folder")

    # -------------------------------------------------------------- processes

    def start(self, argv, log, env=None, cpu=None, limit=None):
        def prepare():
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            if limit:
                import resource
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        with open(self.dir / log, "ab") as out:
            process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       env={**os.environ, **(env or {})}, preexec_fn=prepare)
        self.processes.append(process)
        return process

    def stop(self, process, how=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def end(self):
        for process in reversed(self.processes[:]):
            self.stop(process)
        for fn in reversed(self.undo):
            fn()
        shutil.rmtree(self.dir, ignore_errors=True)

    def wait_for(self, check, what, seconds=20.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if check():
                    return
            time.sleep(0.01)
        die(f"{what} did not come up; see the logs in {self.dir}")

    def wait_for_socket(self, path, process):
        def is_up():
            if process.poll() is not None:
                die(f"{process.args[0]} ended with status {process.returncode}: " + self.tail(process))
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(path))
            return True
        self.wait_for(is_up, process.args[0])

    def tail(self, process):
        logs = sorted(self.dir.glob("*.log"), key=lambda p: p.stat().st_mtime)
        return logs[-1].read_text(errors="replace")[-600:] if logs else ""

    # ---------------------------------------------------------------- measure

    def load(self, server, mode, conns, seconds=None, target=TARGET, **more):
        """One run against one server; the result is a dict of numbers. Only right answers count.

        more: options of the load generator by their letters; True for one without a value.
        """
        one = conns == 1
        server.pin(self.server_cpu)
        argv = [self.program("load"), "-m", mode, "-c", conns, "-u", self.server_cpu if one else self.load_cpu,
                *server.arguments(mode, target)]
        for pid in server.pids():
            argv += ["-p", pid]
        if seconds is not None:
            argv += ["-d", seconds]
        for flag, value in more.items():
            argv += [f"-{flag}"] if value is True else [f"-{flag}", value]
        done = subprocess.run([str(a) for a in (*argv, server.path)], capture_output=True, text=True, check=False,
                              timeout=300, preexec_fn=server.before_load)
        if done.returncode != 0:
            raise RuntimeError(f"{server.name}, {mode}, {conns} connections: {done.stderr.strip()}")
        return {k: float(v) for k, v in (pair.split("=") for pair in done.stdout.split())}

    def rss_kb(self, pid):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    @staticmethod
    def cpu_seconds(pid):
        """What all threads of a process ran so far."""
        total = 0
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(pathlib.Path(path).read_text().split()[0])
        return total / 1e9


class Server:
    """Something that listens on `path`."""

    def __init__(self, lab, name, process=None, path=None):
        self.lab, self.name, self.process, self.path = lab, name, process, path

    before_load = None

    def pids(self):
        return [self.process.pid]

    def arguments(self, mode, target=TARGET):
        return ["-N", "floor/raw"] if mode == "raw" else ["-r", target, "-H", "X-Tokenbroker: 1", "-s", 200]

    def pin(self, cpu):
        for pid in self.pids():
            for task in glob.glob(f"/proc/{pid}/task/*"):
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.rpartition("/")[2]), {cpu})

    def rss_kb(self):
        return sum(self.lab.rss_kb(pid) for pid in self.pids())

    def measure(self, lab, mode, conns, seconds, **more):
        return lab.load(self, mode, conns, seconds, **more)

    def stop(self):
        self.lab.stop(self.process)


# ------------------------------------------------------------- tokenbroker

class Upstream:
    """tokenbroker-sandbox, and what a [login] of it needs."""

    def __init__(self, lab):
        os.environ["TB_BUILDDIR"] = str(lab.build)
        self.sandbox = Sandbox(interval=1).start()
        lab.undo.append(self.sandbox.stop)


CONF = """\
[broker]
state_dir = {dir}/state
run_dir = {dir}/run
log_dir = {dir}/log
admin_group = {group}
auditor_group = {group}
master_key_file = {dir}/master.key
audit = {audit}
max_connections = 60000
max_connections_per_uid = 60000
cold_wait = 30
{broker}
[login ops]
issuer = {issuer}
client_id = tokenbroker
scopes = openid offline_access
allow_insecure_loopback = yes
[backend prod]
type = influxdb-dedicated
login = ops
base_url = {issuer}
account_id = acc
cluster_id = clu
allow_insecure_loopback = yes
[token {token}]
backend = prod
permissions = read:metrics write:metrics
lifetime = 7d
[token cold-one]
backend = prod
permissions = read:metrics
lifetime = 7d
[token cold-many]
backend = prod
permissions = read:metrics
lifetime = 7d
[client me]
user = {user}
tokens = {token} cold-*
{client}
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.unix_path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.unix_path)


class Broker(Server):
    """A tokenbrokerd, logged in at the sandbox."""

    def __init__(self, lab, upstream, audit, name=None, env=None, limit=None, broker="", client=""):
        super().__init__(lab, name or f"tokenbroker {audit}")
        self.upstream, self.env, self.limit = upstream, env, limit
        self.dir = lab.dir / self.name.replace(" ", "-")
        self.dir.mkdir()
        (self.dir / "run").mkdir(mode=0o755)
        (self.dir / "master.key").write_text(secrets.token_hex(32) + "\n")
        (self.dir / "master.key").chmod(0o400)
        self.path = self.dir / "run/api.sock"
        self.log = self.dir.name + ".log"
        import grp
        import pwd
        (self.dir / "tokenbroker.conf").write_text(CONF.format(
            dir=self.dir, audit=audit, issuer=upstream.sandbox.issuer, token=TOKEN, broker=broker, client=client,
            user=pwd.getpwuid(os.geteuid()).pw_name, group=grp.getgrgid(os.getegid()).gr_name))
        self.run()
        self.login()

    def run(self):
        self.process = self.lab.start([self.lab.program("tokenbrokerd"), "-c", self.dir / "tokenbroker.conf"],
                                      self.log, env=self.env, cpu=self.lab.server_cpu, limit=self.limit)
        self.lab.wait_for_socket(self.dir / "run/admin.sock", self.process)
        self.lab.wait_for_socket(self.path, self.process)

    def ask(self, method, target, body=None, door="admin", **headers):
        connection = UnixConnection(self.dir / f"run/{door}.sock")
        try:
            connection.request(method, f"/api/v1/{target}", json.dumps(body) if body is not None else None,
                               {"X-Tokenbroker": "1", "Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def login(self):
        """What a person does once, played by the sandbox."""
        connection = UnixConnection(self.dir / "run/admin.sock")
        headers = {"X-Tokenbroker": "1", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/logins/ops", json.dumps({"expect": "email=alice@example.org"}), headers)
        answer = connection.getresponse()
        reply = json.loads(answer.read())
        if answer.status != 202:
            die(f"login: {reply}")
        self.upstream.sandbox.approve(reply["user_code"])
        while reply["state"] == "waiting":
            connection.request("GET", "/api/v1/logins/ops", headers={**headers, "Prefer": "wait=30"})
            reply = json.loads(connection.getresponse().read())
        connection.close()
        if reply["state"] != "granted":
            die(f"login: {reply}")
        if self.ask("GET", f"tokens/{TOKEN}", door="api")[0] != 200:
            die("no token was minted")

    def raw_answer(self):
        """Head and body, byte by byte, for the others to send."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.path))
            s.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: localhost\r\nX-Tokenbroker: 1\r\n\r\n".encode())
            data = b""
            while b"\r\n\r\n" not in data or len(data) < self.length(data):
                data += s.recv(65536)
            return data

    @staticmethod
    def length(data):
        head = data.partition(b"\r\n\r\n")[0].decode()
        return len(head) + 4 + next(int(line.split(":")[1]) for line in head.splitlines()
                                    if line.lower().startswith("content-length:"))

    def forget_audit(self):
        """Old audit files go, so that millions of requests do not fill the disk of who runs this."""
        for path in (self.dir / "log").iterdir():
            if path.name != "audit.jsonl" and path.suffix == ".jsonl":
                path.unlink()


class CredentialDoor(Server):
    """The same daemon's other socket. Who asks there speaks for a unit, and must be in its control group."""

    UNIT = "bench.service"

    def __init__(self, lab, broker):
        super().__init__(lab, broker.name, broker.process, broker.path.with_name("credential.sock"))
        mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
        if os.geteuid() != 0 or not root:
            raise RuntimeError("it takes root and a cgroup2 hierarchy")
        self.slice = pathlib.Path(root) / f"tbbench{os.getpid()}.slice"
        (self.slice / self.UNIT).mkdir(parents=True)
        lab.undo.append(self.remove)

    def remove(self):
        for path in (self.slice / self.UNIT, self.slice):
            with contextlib.suppress(OSError):
                path.rmdir()

    def before_load(self):
        (self.slice / self.UNIT / "cgroup.procs").write_text(str(os.getpid()))

    def arguments(self, mode, target=TARGET):
        return ["-N", f"{self.UNIT}/cred"]


# -------------------------------------------------------------- the others

def start_floor(lab, name, answer, *options):
    path = lab.dir / (name.replace(" ", "-") + ".sock")
    process = lab.start([lab.program("floor"), *options, "-f", answer, path], "floor.log", cpu=lab.server_cpu)
    lab.wait_for_socket(path, process)
    return Server(lab, name, process, path)


def start_evhttp(lab, body):
    path = lab.dir / "evhttp.sock"
    process = lab.start([lab.program("evhttp"), "-f", body, path], "evhttp.log", cpu=lab.server_cpu)
    lab.wait_for_socket(path, process)
    return Server(lab, "evhttp", process, path)


class Nginx(Server):
    def pids(self):
        master = self.process.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]


def start_nginx(lab, body):
    path, conf = lab.dir / "nginx.sock", lab.dir / "nginx.conf"
    text = body.read_text().replace("\\", "\\\\").replace("'", "\\'")
    if "$" in text:
        die("the token holds a $, which nginx would expand")
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(textwrap.dedent(f"""\
        daemon off; {user} worker_processes 1; pid {lab.dir}/nginx.pid; error_log {lab.dir}/nginx.log crit;
        events {{ worker_connections 16384; }}
        http {{
            access_log off; keepalive_requests 1000000000; default_type application/json;
            client_body_temp_path {lab.dir}/n1; proxy_temp_path {lab.dir}/n2; fastcgi_temp_path {lab.dir}/n3;
            uwsgi_temp_path {lab.dir}/n4; scgi_temp_path {lab.dir}/n5;
            server {{ listen unix:{path} backlog=1024; add_header Cache-Control no-store; return 200 '{text}'; }}
        }}
        """))
    process = lab.start([which("nginx"), "-c", conf, "-p", lab.dir], "nginx.log", cpu=lab.server_cpu)
    lab.wait_for_socket(path, process)
    return Nginx(lab, "nginx", process, path)


# -------------------------------------------------------------- oidc-agent

class Issuer(http.server.BaseHTTPRequestHandler):
    """As much of a provider as oidc-agent wants to see; it answers any refresh with the same token."""

    base = ""
    token = ""

    def reply(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.reply({"issuer": self.base, "token_endpoint": self.base + "token",
                    "authorization_endpoint": self.base + "auth", "userinfo_endpoint": self.base + "userinfo",
                    "device_authorization_endpoint": self.base + "device", "registration_endpoint": self.base + "reg",
                    "jwks_uri": self.base + "jwks", "scopes_supported": ["openid", "offline_access"],
                    "grant_types_supported": ["refresh_token"], "response_types_supported": ["code"]})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply({"access_token": self.token, "token_type": "Bearer", "expires_in": 86400, "scope": "openid",
                    "refresh_token": "refresh-of-the-bench"})

    def log_message(self, *args):
        pass


def start_issuer(lab, token):
    cert, key = lab.dir / "issuer.pem", lab.dir / "issuer.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Issuer.base, Issuer.token = f"https://localhost:{server.server_address[1]}/", token
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lab.undo.append(server.shutdown)
    return cert


class OidcAgent(Server):
    REQUEST = json.dumps({"request": "access_token", "account": "bench", "min_valid_period": 60,
                          "application_hint": "bench"})

    def pids(self):
        master = self.process.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def measure(self, lab, mode, conns, seconds, **more):
        return lab.load(self, "eof", conns, seconds, **more)

    def arguments(self, mode, target=TARGET):
        return ["-t", self.REQUEST]

    def ask(self, request):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.path))
            s.sendall(json.dumps(request).encode())
            data = b""
            while more := s.recv(65536):
                data += more
            return json.loads(data)


def start_oidc_agent(lab, token):
    """The agent with one account and a cached token. It looks for people's configuration in $HOME: an empty one."""
    cert = start_issuer(lab, token)
    home = lab.dir / "home"
    (home / ".config/oidc-agent").mkdir(parents=True)
    path = lab.dir / "oidc.sock"
    process = lab.start([which("oidc-agent"), "-d", "--no-autoload", "--no-webserver", "--quiet", "-a", path],
                        "oidc-agent.log", env={"HOME": str(home), "OIDC_CONFIG_DIR": str(home / ".config/oidc-agent")},
                        cpu=lab.server_cpu)
    lab.wait_for(path.exists, "oidc-agent")
    agent = OidcAgent(lab, "oidc-agent", process, path)
    added = agent.ask({"request": "add", "config": {
        "name": "bench", "issuer_url": Issuer.base, "client_id": "bench", "client_secret": "", "scope": "openid",
        "refresh_token": "refresh-of-the-bench", "cert_path": str(cert)}, "lifetime": 0,
        "pw_entry": {"shortname": "bench", "type": 1}, "confirm": 0, "always_allow_id": 0})
    if added.get("status") != "success":
        raise RuntimeError(f"oidc-agent did not take the account: {added}")
    first = agent.ask(json.loads(agent.REQUEST))
    if first.get("access_token") != token:
        raise RuntimeError(f"oidc-agent gave no token: {first}")
    return agent
