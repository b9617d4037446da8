# SPDX-License-Identifier: Apache-2.0
"""The audit log as the real daemon writes it: one chain over files, restarts and crashes, with signatures that OpenSSL's
own tool checks. What checks here shares no code with what wrote."""

import base64
import hashlib
import json
import re
import resource
import subprocess
import time

import daemon as d
import util

CONF = """\
[login ops]
issuer = http://127.0.0.1:9
client_id = x
allow_insecure_loopback = yes
"""
SMALL = "audit_max_size = 4K\n"
ZERO = "0" * 64


def files(one):
    return sorted(one.log_dir.glob("audit-*.jsonl")) + [one.log_dir / "audit.jsonl"]


def lines(one):
    return [line for f in files(one) for line in f.read_bytes().split(b"\n")[:-1]]


def public_keys(one):
    """KID -> PEM, as audit.pub has them."""
    found = re.findall(r"# key ([0-9a-f]{16}) since (\S+)\n(-----BEGIN PUBLIC KEY-----\n.*?-----END PUBLIC KEY-----\n)",
                       (one.log_dir / "audit.pub").read_text(), re.S)
    return {kid: pem for kid, _, pem in found}


def check_signature(one, pem, before, line):
    signed, rest = line.split(b',"signature":"')
    (one.dir / "key.pem").write_text(pem)
    (one.dir / "signed").write_bytes(b"tokenbroker audit checkpoint 1\n" + before.encode() + b"\n" + signed)
    (one.dir / "signature").write_bytes(base64.b64decode(rest.split(b'"')[0], validate=True))
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", one.dir / "key.pem", "-rawin", "-in",
                           one.dir / "signed", "-sigfile", one.dir / "signature"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, (done.stdout, done.stderr, line)


def verify(one, before=ZERO, seq=0):
    """Every line of every file; returns the records."""
    keys = public_keys(one)
    records = []
    for line in lines(one):
        record = json.loads(line)
        seq += 1
        assert record["seq"] == seq
        text, _, rest = line.rpartition(b',"hash":"')
        assert rest == record["hash"].encode() + b'"}'
        assert hashlib.sha256(before.encode() + text).hexdigest() == record["hash"], line
        if record["event"] == "checkpoint":
            check_signature(one, keys[record["key"]], before, line)
        before = record["hash"]
        records.append(record)
    return records


def write_some(one, n):
    """Lines that anybody would write: an operator reloads. Not all in one group: files are rotated between groups."""
    with one.admin.session() as ask:
        for i in range(n):
            assert ask("reload", "POST").status == 200
            if i % 10 == 9:
                assert ask("audit/checkpoint", "POST").status == 200


def wait_for_key(one):
    util.wait_until(lambda: one.admin.request("audit").json().get("checkpoint"), 10, "the first checkpoint")


def test_one_chain_over_files_restarts_and_crashes():
    with d.Daemon(CONF, SMALL) as one:
        wait_for_key(one)
        write_some(one, 40)
        assert len(files(one)) >= 3

        def rotated():
            """A file that ends in lines of its own, and not in a checkpoint that was asked for."""
            write_some(one, 3)
            return [r for r in map(json.loads, lines(one)) if r.get("reason") == "rotation"]

        util.wait_until(rotated, 60, "a checkpoint of a rotation")
        one.stop()
        records = verify(one)
        assert records[-1]["event"] == "checkpoint" and records[-1]["reason"] == "stop"
        assert [r for r in records if r["event"] == "stopped"]
        reasons = [r["reason"] for r in records if r["event"] == "checkpoint"]
        assert reasons[0] == "started" and "rotation" in reasons
        for f in files(one)[:-1]:
            last = json.loads(f.read_bytes().split(b"\n")[-2])
            assert f.name == f"audit-{last['seq']:020}.jsonl" and last["event"] == "checkpoint"
        one.start()
        write_some(one, 3)
        one.kill()
        with open(one.log_dir / "audit.jsonl", "ab") as log:
            log.write(b'{"seq":999,"ev')
        before = json.loads(lines(one)[-1])
        one.start()
        wait_for_key(one)
        verify(one)
        started = one.audit("started")[-1]
        assert started["reason"] == (f"torn line repaired: 14 bytes behind line {before['seq']} are in "
                                     "audit.jsonl.torn")
        assert (one.log_dir / "audit.jsonl.torn").read_bytes() == b'{"seq":999,"ev\n'
        assert len(public_keys(one)) == 1
        assert len([r for r in verify(one) if r["event"] == "audit_key"]) == 1


def test_admin_door_tells_and_signs():
    with d.Daemon(CONF, SMALL) as one:
        wait_for_key(one)
        write_some(one, 30)
        reply = one.admin.request("audit/checkpoint", "POST")
        assert reply.status == 200
        line = reply.json()["checkpoint"]
        assert line.encode() in lines(one)
        records = verify(one)
        at = next(i for i, r in enumerate(records) if r == json.loads(line))
        assert records[at]["reason"] == "asked"
        assert [(r["event"], r["reason"]) for r in records[:at] if r["event"] == "admin"][-1] == ("admin", "checkpoint")
        util.wait_until(lambda: one.admin.request("audit").json()["files"] == [f.name for f in files(one)], 20, "the names")
        state = one.admin.request("audit").json()
        last = json.loads(lines(one)[-1])
        assert state["head"] == {"seq": last["seq"], "hash": last["hash"]}
        assert state["checkpoint"] == line
        assert state["lost"] == 0 and state["journal_dropped"] == 0
        assert [k["key"] for k in state["keys"]] == list(public_keys(one))
        assert base64.b64decode(state["keys"][0]["public_key"]) == base64.b64decode(
            public_keys(one)[state["keys"][0]["key"]].split("\n")[1])[-32:]


def test_lost_key_is_replaced_and_said():
    with d.Daemon(CONF) as one:
        wait_for_key(one)
        one.stop()
        (record,) = one.state_dir.glob("audit.signing-key*")
        record.unlink()
        one.start()
        util.wait_until(lambda: len(public_keys(one)) == 2, 10, "the new key")
        first, second = one.audit("audit_key")
        assert (first["reason"], second["reason"]) == ("first", "the key before was lost")
        assert list(public_keys(one)) == [first["key"], second["key"]]
        assert "is not in the store any more" in one.log()
        util.wait_until(lambda: any(r["key"] == second["key"] for r in one.audit("checkpoint")), 10, "its checkpoint")
        verify(one)


def test_old_files_are_removed_and_what_is_left_follows():
    with d.Daemon(CONF, SMALL + "audit_keep_files = 1\n") as one:
        wait_for_key(one)
        write_some(one, 60)
        util.wait_until(lambda: len(files(one)) == 2, 10, "the old files to go")
        one.stop()
        removed = [json.loads(x) for x in lines(one) if json.loads(x)["event"] == "files_removed"][-1]
        seq = int(removed["file"][6:26])
        records = verify(one, removed["last_hash"], seq)
        assert records[0]["seq"] == seq + 1


def test_older_files_moved_away_by_an_operator():
    with d.Daemon(CONF, SMALL) as one:
        wait_for_key(one)
        write_some(one, 40)
        away = one.dir / "away"
        away.mkdir()
        for f in files(one)[:-1]:
            f.rename(away / f.name)
        one.restart()
        write_some(one, 20)
        for f in away.iterdir():
            f.rename(one.log_dir / f.name)
        verify(one)


def test_full_disk_is_on_record():
    with d.Daemon(CONF) as one:
        wait_for_key(one)
        # no file may become longer than this
        resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
        reply = one.admin.request("audit/checkpoint", "POST")
        assert reply.status == 503 and reply.json()["code"] == "unavailable.audit"
        assert one.admin.request("health").status == 503
        time.sleep(1)
        resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        util.wait_until(lambda: one.admin.request("health").status == 200, 20, "recovery by itself")
        util.wait_until(lambda: one.audit("disk_recovered"), 10, "the record of it")
        assert one.audit("disk_failed")
        recovered = one.audit("disk_recovered")[-1]
        assert recovered["since"][:19] <= recovered["until"][:19] <= recovered["time"][:19]
        verify(one)
