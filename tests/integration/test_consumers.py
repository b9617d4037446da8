# SPDX-License-Identifier: Apache-2.0
"""Programs of others that ask a command for their credential, set up as tokenbrokerctl(1) says, with a rotation under
each: kubectl and AWS's botocore. Those that read files are in test_watch.py and test_systemd_watch.py."""

import datetime
import http.server
import json
import os
import shutil
import ssl
import subprocess
import textwrap
import threading

import pytest

import daemon as d
import keys
import util
from test_watch import CONF, Tokens


@pytest.fixture
def tb():
    with Tokens(CONF) as one:
        yield one


class Seen(http.server.BaseHTTPRequestHandler):
    """Notes what Authorization it is sent."""

    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization"))
        body = b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(name="server")
def make_server():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # kubectl sends nothing secret without TLS
    context.load_cert_chain(keys.key_dir() / "server.pem", keys.key_dir() / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seen)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.seen, server.ca = [], keys.key_dir() / "ca.pem"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_kubectl(tb, server):
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    with util.temp_dir() as home:
        (home / "config").write_text(textwrap.dedent(f"""\
            apiVersion: v1
            kind: Config
            clusters:
            - name: c
              cluster: {{server: "https://127.0.0.1:{server.server_port}", certificate-authority: {server.ca}}}
            contexts:
            - name: c
              context: {{cluster: c, user: u}}
            current-context: c
            users:
            - name: u
              user:
                exec:
                  apiVersion: client.authentication.k8s.io/v1beta1
                  command: {d.program("tokenbrokerctl")}
                  args: [get, --format, exec-credential, one]
                  interactiveMode: Never
            """))
        for _ in range(2):
            value = tb.rotate()
            done = subprocess.run(["kubectl", "--kubeconfig", home / "config", "get", "--raw", "/version"],
                                  env={**os.environ, "HOME": str(home), "TOKENBROKER_RUN_DIR": str(tb.run_dir)},
                                  capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            assert server.seen[-1] == f"Bearer {value}"


def test_botocore(tb):
    """credential_process: a session fetches anew before its value ends, and then has the newest."""
    pytest.importorskip("botocore")
    script = """if True:
        import json, sys
        import botocore.session
        credentials = botocore.session.Session(profile="broker").get_credentials()
        for line in sys.stdin:
            frozen = credentials.get_frozen_credentials()
            print(json.dumps([frozen.access_key, frozen.secret_key, credentials._expiry_time.isoformat()]), flush=True)
        """
    with util.temp_dir() as home:
        (home / "config").write_text(f"[profile broker]\ncredential_process = {d.program('tokenbrokerctl')} get "
                                     "--format credential_process --name KEYID one\n")
        first = tb.rotate(expires="9m")  # so short that it asks again every time
        session = subprocess.Popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True, env={**os.environ, "HOME": str(home), "AWS_CONFIG_FILE": str(home / "config"),
                                                   "TOKENBROKER_RUN_DIR": str(tb.run_dir)})

        def ask():
            session.stdin.write("\n")
            session.stdin.flush()
            return json.loads(session.stdout.readline())

        try:
            key, value, end = ask()
            assert (key, value) == ("KEYID", first)
            left = datetime.datetime.fromisoformat(end) - datetime.datetime.now(datetime.timezone.utc)
            assert 400 < left.total_seconds() <= 540
            second = tb.rotate()
            assert ask()[:2] == ["KEYID", second] != ["KEYID", first]
        finally:
            session.kill()
            session.communicate()
