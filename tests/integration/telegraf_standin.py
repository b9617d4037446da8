# SPDX-License-Identifier: Apache-2.0
"""What Telegraf does with its secret stores, request by request and file by file, as the sources of 1.39 have it; and
the service it writes to. For a host without Telegraf: test_telegraf.py runs the real one when $TELEGRAF says where.

    telegraf_standin.py agent CONFIG...      writes every fifth of a second, reloads at SIGHUP
    telegraf_standin.py sink PORT FILE       keeps the value of the last Authorization in FILE
"""

import ctypes
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import sys
import time
import tomllib
import urllib.parse

REFERENCE = re.compile(r"@\{(\w+):(\w+)\}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, target, headers, body=None):
    connection = UnixConnection(path)
    try:
        connection.request(method, target, body, {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip", **headers})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{method} {target}: {answer.status} {text.decode()}")
    return json.loads(text)


# -------------------------------------------------------------------- stores
# Each is a function of a store's configuration that gives a function of the key, and whether it reads every time.


def vault(conf):
    path = conf["address"].removeprefix("unix://")
    if "approle" in conf:
        login = {"role_id": conf["approle"]["role_id"], "secret_id": conf["approle"]["secret"]}
        token = ask(path, "PUT", "/v1/auth/approle/login", {"X-Vault-Request": "true"}, json.dumps(login))
        token = token["auth"]["client_token"]
    else:
        token = conf["token"]
    headers = {"X-Vault-Request": "true", "X-Vault-Token": token}
    v1 = conf.get("engine", "kv-v2") == "kv-v1"
    target = f"/v1/{conf['mount_path']}/{'' if v1 else 'data/'}{conf['secret_path']}"

    def get(key):
        data = ask(path, "GET", target, headers)["data"]
        return (data if v1 else data["data"])[key]
    return get, True


def docker(conf):
    directory = pathlib.Path(conf["path"])
    directory.stat()
    return lambda key: (directory / key).read_text(), conf.get("dynamic", False)


def kernel(conf):
    libc = ctypes.CDLL(None, use_errno=True)
    user = ctypes.c_long(-4)

    def call(*args):
        done = libc.syscall(ctypes.c_long(250), *args)  # keyctl
        if done < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return done

    ring = call(ctypes.c_long(10), user, b"keyring", conf["keyring"].encode(), ctypes.c_long(0))

    def get(key):
        found = call(ctypes.c_long(10), ctypes.c_long(ring), b"user", key.encode(), ctypes.c_long(0))
        buffer = ctypes.create_string_buffer(65536)
        size = call(ctypes.c_long(11), ctypes.c_long(found), buffer, ctypes.c_long(65536))
        return buffer.raw[:size].decode()
    return get, conf.get("dynamic", False)


def http_store(conf):
    url = urllib.parse.urlsplit(conf["url"])
    path, _, target = url.path.partition(":")
    target += f"?{url.query}" if url.query else ""
    secrets = ask(path, "GET", target, conf["headers"])
    return secrets.__getitem__, False


def systemd(conf):
    directory = pathlib.Path(conf.get("path", os.environ["CREDENTIALS_DIRECTORY"]))
    return lambda key: (directory / (conf.get("prefix", "telegraf.") + key)).read_text(), False


STORES = {"vault": vault, "docker": docker, "os": kernel, "http": http_store, "systemd": systemd}


# --------------------------------------------------------------------- agent


def resolver(store, key):
    """As config/secret.go: a static secret is read when the reference is linked."""
    get, dynamic = store
    if dynamic:
        return lambda: get(key)
    value = get(key)
    return lambda: value


def load(files):
    """[(url, function that gives the token)]"""
    text = "\n".join(pathlib.Path(f).read_text() for f in files)
    conf = tomllib.loads(text)
    stores = {one["id"]: STORES[kind](one) for kind, many in conf["secretstores"].items() for one in many}
    outputs = []
    for one in conf["outputs"]["influxdb_v2"]:
        match = REFERENCE.fullmatch(one["token"])
        outputs.append((one["urls"][0], resolver(stores[match[1]], match[2])))
    return outputs


def write(url, token):
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    connection.request("POST", "/api/v2/write", "m v=1", {"Authorization": f"Token {token}"})
    connection.getresponse().read()
    connection.close()


def agent(files):
    reload = [False]
    signal.signal(signal.SIGHUP, lambda *_: reload.__setitem__(0, True))
    outputs = load(files)
    while True:
        for url, token in outputs:
            try:
                write(url, token())
            except (OSError, RuntimeError, KeyError) as error:
                print(f"kept for the next write: {error}", flush=True)
        time.sleep(0.2)
        if reload[0]:
            reload[0] = False
            outputs = load(files)


# ---------------------------------------------------------------------- sink


def sink(port, path):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            else:
                self.rfile.read(int(self.headers["Content-Length"]))
            file = pathlib.Path(path + ".new")
            file.write_text(self.headers["Authorization"].removeprefix("Token "))
            file.rename(path)
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format, *args):  # pylint: disable=redefined-builtin
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(int(sys.argv[2]), sys.argv[3])
    else:
        agent(sys.argv[2:])
