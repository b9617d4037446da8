# SPDX-License-Identifier: Apache-2.0
"""Audit logs by a third hand, after tokenbroker-audit(5) and nothing else: made, read, and spoiled."""

import base64
import functools
import hashlib
import json
import subprocess
import tempfile

ZEROS = "0" * 64
LABEL = "tokenbroker audit checkpoint 1\n"


def hash_of(before, body):
    return hashlib.sha256((before + body).encode()).hexdigest()


def openssl(*args, data):
    """Ed25519 wants its input from a file that it can look at twice."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return subprocess.run(["openssl", *args, file.name], capture_output=True, check=True).stdout


def pem(label, der):
    text = base64.b64encode(der).decode()
    return f"-----BEGIN {label} KEY-----\n{text}\n-----END {label} KEY-----\n"


@functools.lru_cache
class Key:
    """An Ed25519 key; same seed, same key."""

    def __init__(self, seed=1):
        # RFC 8410: the key is what stands behind a fixed head
        self.private = pem("PRIVATE", bytes.fromhex("302e020100300506032b657004220420") + bytes([seed]) * 32)
        self.pem = openssl("pkey", "-pubout", "-in", data=self.private.encode()).decode()
        self.raw = base64.b64decode("".join(self.pem.splitlines()[1:-1]))[-32:]
        self.id = hashlib.sha256(self.raw).hexdigest()[:16]

    @functools.lru_cache(maxsize=None)
    def sign(self, text):
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.private.encode())
            file.flush()
            signature = openssl("pkeyutl", "-sign", "-rawin", "-inkey", file.name, "-in", data=text.encode())
        return base64.b64encode(signature).decode()


class Log:
    """lines: without line ends."""

    def __init__(self, key=None):
        self.key = key or Key()
        self.lines = []

    def last_hash(self):
        return json.loads(self.lines[-1])["hash"] if self.lines else ZEROS

    def _append(self, body):
        self.lines.append(f'{body},"hash":"{hash_of(self.last_hash(), body)}"}}')
        return self.lines[-1]

    def _body(self, members):
        n = len(self.lines)
        head = {"seq": n + 1, "time": f"2026-11-22T17:{n // 60 % 60:02}:{n % 60:02}.000Z", **members}
        return json.dumps(head, separators=(",", ":"), ensure_ascii=False)[:-1]

    def add(self, **members):
        return self._append(self._body(members))

    def checkpoint(self, records=1, reason="records"):
        body = self._body({"event": "checkpoint", "reason": reason, "records": records, "key": self.key.id})
        signature = self.key.sign(f"{LABEL}{self.last_hash()}\n{body}")
        return self._append(f'{body},"signature":"{signature}"')

    def fill(self, n, every=10):
        while len(self.lines) < n:
            i = len(self.lines) + 1
            if i % every == 0:
                self.checkpoint(every - 1)
            else:
                self.add(event="authorised", door="api", uid=i % 3, gid=i % 3, unit=f"u{i % 3}.service",
                         verdict="allow", token=f"t{i % 2}", generation=i // 20 + 1, fingerprint=f"f{i // 20}",
                         login="ops", request_id=f"{i:016x}")
        return self

    def write(self, directory, name="audit.jsonl", start=0, end=None, tail=""):
        (directory / name).write_text("".join(line + "\n" for line in self.lines[start:end]) + tail)
        (directory / "audit.pub").write_text(f"# key {self.key.id} since 2026-11-22T17:20:00Z\n{self.key.pem}")
        return directory / name


def older_name(seq):
    return f"audit-{seq:020}.jsonl"


def check_chain(lines):
    """Every line follows from the one before it."""
    before = ZEROS
    for line in lines:
        body, claimed = line[:-2].rsplit(',"hash":"', 1)
        before = hash_of(before, body)
        assert claimed == before, line
