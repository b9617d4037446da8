# SPDX-License-Identifier: Apache-2.0
"""The audit commands: on logs that the tests make and spoil, on those of a real daemon, and what is revoked by them."""

import argparse
import csv
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

import daemon as d
import util
from auditlog import Key, Log, check_chain, older_name

MAN = pathlib.Path(__file__).parents[2] / "man"


def audit(*args, stdin=None, check=None, user=None, env=None):
    """tokenbrokerctl audit ..."""
    done = subprocess.run([d.program("tokenbrokerctl"), "audit", *map(str, args)], input=stdin, capture_output=True,
                          text=True, timeout=60, check=False, env={**os.environ, "NO_COLOR": "1", **(env or {})},
                          user=user, group=user, extra_groups=[] if user is not None else None)
    if check is not None:
        assert done.returncode == check, (done.returncode, done.stdout, done.stderr)
    return done


def verify(directory, *args, **kwargs):
    """The answer in JSON, and the exit status."""
    done = audit("verify", "--format", "json", "--log-dir", directory, *args, **kwargs)
    return done.returncode, json.loads(done.stdout)


def kinds(answer):
    return [(f["kind"], f["seq"], f["line"]) for f in answer["findings"]]


@pytest.fixture
def log(tmp_path):
    """A directory with a good log of 100 lines in one file, and the log."""
    one = Log().fill(100)
    one.write(tmp_path)
    one.dir = tmp_path
    return one


# ------------------------------------------------------------------------- verify


def test_good(log):
    status, answer = verify(log.dir)
    assert status == 0 and answer["status"] == "good" and answer["findings"] == []
    assert answer["lines"] == 100 and answer["checkpoints_good"] == 10 and answer["key"] == log.key.id
    assert any("audit.pub" in note for note in answer["notes"]), "a key beside the log proves less"
    done = audit("verify", "--log-dir", log.dir, check=0)
    assert done.stdout.splitlines()[-1].startswith("good: 100 lines (seq 1 to 100) in 1 file")
    assert audit("verify", "--quiet", "--log-dir", log.dir, check=0).stdout == ""


def test_event_that_there_is_not(log):
    """A word that finds nothing because it is misspelt is no answer; those that there are, are all taken."""
    names = re.findall(r'\[AUDIT_\w+\] = "(\w+)"',
                       (MAN.parent / "src" / "state" / "audit_line.c").read_text())
    assert len(names) > 30
    for name in names:
        assert audit("show", "--log-dir", log.dir, "--event", name).returncode == 0, name
    done = audit("show", "--log-dir", log.dir, "--event", "dennied", check=2)
    assert "did you mean 'denied'" in done.stderr
    assert " human_needed " in audit("show", "--log-dir", log.dir, "--event", "nothing-like-it", check=2).stderr


def test_exit_statuses(log, tmp_path_factory):
    assert audit("verify", "--log-dir", log.dir / "nowhere").returncode == 3
    assert audit("verify", "--log-dir", log.dir, "--key", log.dir / "audit.jsonl").returncode == 2
    assert audit("verify", "--what").returncode == 2
    assert audit("verfy").returncode == 2
    assert "did you mean 'verify'" in audit("verfy").stderr
    assert audit().returncode == 2
    (log.dir / "audit.pub").unlink()
    done = audit("verify", "--log-dir", log.dir, check=3)
    assert "no public key" in done.stdout
    alone = tmp_path_factory.mktemp("empty")
    assert "there is no audit log" in audit("verify", "--log-dir", alone, check=3).stderr


SPOILT = {
    "edited": (lambda x: x.__setitem__(50, x[50].replace('"uid":0', '"uid":7')), [("edited", 51, 51)]),
    "dropped": (lambda x: x.pop(50), [("missing", 51, 51)]),
    "duplicated": (lambda x: x.insert(51, x[50]), [("duplicate", 51, 52)]),
    "reordered": (lambda x: x.insert(53, x.pop(50)), [("moved", 51, 54)]),
    "no line": (lambda x: x.insert(50, "hello"), [("malformed", 0, 51)]),
    "two members": (lambda x: x.__setitem__(50, x[50].replace('"uid":0', '"uid":0,"uid":0')), [("malformed", 0, 51)]),
    "trailing": (lambda x: x.__setitem__(50, x[50] + " "), [("malformed", 0, 51)]),
    "first dropped": (lambda x: x.pop(0), None),
    "last edited": (lambda x: x.__setitem__(98, x[98].replace('"uid":0', '"uid":7')), [("edited", 99, 99)]),
}


@pytest.mark.parametrize("how", SPOILT)
def test_spoilt(log, how):
    spoil, expected = SPOILT[how]
    before = list(log.lines)
    spoil(log.lines)
    assert log.lines != before
    log.write(log.dir)
    status, answer = verify(log.dir)
    if expected is None:  # as if older files were gone: not broken, and said
        assert status == 0 and answer["first_seq"] == 2
        assert any("begins at seq 2" in note for note in answer["notes"])
        return
    assert status == 1 and kinds(answer) == expected, answer
    line = audit("verify", "--log-dir", log.dir, check=1).stdout.splitlines()[0]
    assert line.startswith(f"{log.dir}/audit.jsonl:{expected[0][2]}: "), line


def test_cut_and_anchored(log):
    """A cut end is found only against a checkpoint that was kept elsewhere."""
    kept = audit("checkpoint", "--log-dir", log.dir, check=0).stdout
    assert kept == log.lines[99] + "\n"
    anchors = log.dir / "kept"
    anchors.write_text(log.lines[19] + "\n" + kept)
    assert verify(log.dir, "--anchor", anchors)[0] == 0
    assert verify(log.dir, "--anchor", "-", stdin=kept)[0] == 0
    log.write(log.dir, end=95)
    assert verify(log.dir)[0] == 0
    status, answer = verify(log.dir, "--anchor", anchors)
    assert status == 1 and kinds(answer) == [("anchor_cut", 95, 95)]
    assert answer["anchors"] == 2 and answer["anchors_found"] == 1


def test_written_anew(log):
    """With the daemon's own key, as root can: the anchor tells. With another key, the key file tells."""
    kept = log.dir / "kept"
    kept.write_text(log.lines[89] + "\n")
    for key, status, kind in ((log.key, 0, None), (Key(2), 1, "unknown_key")):
        forged = Log(key)
        forged.lines = log.lines[:44]
        forged.fill(100)
        forged.lines[43] = log.lines[43]
        forged.add(event="stopped")
        forged.write(log.dir)
        (log.dir / "audit.pub").write_text(log.key.pem)
        if key is log.key:  # make it differ
            forged.lines = log.lines[:44]
            forged.add(event="reloaded")
            forged.fill(100)
            forged.write(log.dir)
        got, answer = verify(log.dir)
        assert got == status and [f["kind"] for f in answer["findings"]] == ([kind] if kind else []), answer
        got, answer = verify(log.dir, "--anchor", kept)
        assert got == 1 and "anchor_differs" in [f["kind"] for f in answer["findings"]]
    assert audit("verify", "--log-dir", log.dir, "--anchor", log.dir / "audit.pub").returncode == 2


def test_files(log):
    """Several files are one log; one that is gone, or cut, is missed."""
    (log.dir / "audit.jsonl").unlink()
    log.write(log.dir, older_name(40), 0, 40)
    log.write(log.dir, older_name(80), 40, 80)
    log.write(log.dir, "audit.jsonl", 80)
    assert verify(log.dir)[0] == 0 and verify(log.dir)[1]["files"] == 3
    # what a failing disk left behind the end does not count, but is said
    log.write(log.dir, older_name(40), 0, 43, tail='{"seq":44,"ti')
    status, answer = verify(log.dir)
    assert status == 0 and answer["ignored"] == 4 and any("failing disk" in note for note in answer["notes"])
    log.write(log.dir, older_name(80), 40, 75)
    assert kinds(verify(log.dir)[1]) == [("cut", 76, 35)]
    (log.dir / older_name(80)).unlink()
    assert kinds(verify(log.dir)[1]) == [("file_missing", 41, 1)]
    (log.dir / older_name(40)).unlink()
    assert verify(log.dir)[0] == 0
    # files by name, in the order given
    log.write(log.dir, "b", 50)
    log.write(log.dir, "a", 0, 50)
    assert audit("verify", "--key", log.dir / "audit.pub", log.dir / "a", log.dir / "b").returncode == 0
    assert audit("verify", "--key", log.dir / "audit.pub", log.dir / "b", log.dir / "a").returncode == 1
    text = (log.dir / "a").read_text() + (log.dir / "b").read_text()
    assert audit("verify", "--key", log.dir / "audit.pub", "-", stdin=text).returncode == 0


def test_torn_end(log):
    """What a crash leaves, and what the daemon moved away, is no break; it is told."""
    log.write(log.dir, tail='{"seq":101,"time":"20')
    (log.dir / "audit.jsonl.torn").write_text('{"seq":9\n')
    status, answer = verify(log.dir)
    assert status == 0 and answer["torn_bytes"] == 21
    assert any(note.startswith("the last 21 bytes are no whole line") for note in answer["notes"])
    assert any(note.startswith("audit.jsonl.torn holds 9 bytes") for note in answer["notes"])


def test_key_kept_elsewhere(log, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("k") / "web1.pub"
    shutil.copy(log.dir / "audit.pub", elsewhere)
    forged = Log(Key(2)).fill(100)
    forged.write(log.dir)
    assert verify(log.dir)[0] == 0, "the forger has put his key there"
    status, answer = verify(log.dir, "--key", elsewhere)
    assert status == 1 and [f["kind"] for f in answer["findings"]] == ["unknown_key"]


def test_not_for_everybody(log):
    """Who may read it is said: the group that owns the directory."""
    with util.temp_dir() as place:
        place.chmod(0o755)
        directory = place / "log"
        directory.mkdir(mode=0o750)
        log.write(directory)
        assert verify(directory)[0] == 0
        done = audit("verify", "--log-dir", directory, user=d.NOBODY, check=3)
        assert "permission denied" in done.stderr and "sudo" in done.stderr and "'root'" in done.stderr, done.stderr
        done = audit("who", "--log-dir", directory, user=d.NOBODY, check=1)
        assert "permission denied" in done.stderr


# -------------------------------------------------------------------- the manual


def recipe(title):
    """The commands under a heading of the manual, as a reader copies them."""
    page = subprocess.run(["mandoc", "-T", "ascii", MAN / "tokenbroker-audit.5"], capture_output=True, check=True)
    page = re.sub(r".\x08", "", page.stdout.decode())
    section = page.split(f"   {title}\n", 1)[1]
    lines = []
    for line in section.splitlines():
        if re.match(r" {3}\S", line) or re.match(r"\S", line):
            break
        if line.startswith(" " * 11):
            lines.append(line.strip())
    assert lines, title
    return "\n".join(lines)


def by_hand(directory, n, *titles):
    script = f"n={n}\n" + "\n".join(recipe(t) for t in titles)
    return subprocess.run(["sh", "-ec", script], cwd=directory, capture_output=True, text=True, check=False)


def test_manual_recipes(log):
    """tokenbroker-audit(5): the chain with sha256sum, a signature with openssl."""
    for n in (2, 50, 100):
        out = by_hand(log.dir, n, "The chain by hand").stdout
        assert len(out) == 128 and out[:64] == out[64:], out
    good = by_hand(log.dir, 50, "The chain by hand", "A signature by hand")
    assert good.returncode == 0 and "Verified Successfully" in good.stdout, good
    log.lines[49] = log.lines[49].replace('"records":9', '"records":8')
    log.write(log.dir)
    out = by_hand(log.dir, 50, "The chain by hand").stdout
    assert out[:64] != out[64:]
    assert by_hand(log.dir, 50, "The chain by hand", "A signature by hand").returncode != 0


def test_manual_knows_the_options():
    """Each option of each command stands in tokenbrokerctl(1)."""
    page = (MAN / "tokenbrokerctl.1").read_text()
    commands = re.findall(r"^  (\w+)  ", audit("--help", check=0).stdout, re.M)
    assert len(commands) == 8, commands
    for command in commands:
        assert f"Cm audit {command}" in page, command
        for option in re.findall(r"--([a-z-]+)", audit(command, "--help", check=0).stdout.split("\n\n")[-1]):
            if option not in ("help", "version"):
                assert f"Fl -{option}" in page, (command, option)


# ------------------------------------------------------------------ show, export


def test_show(log):
    shown = audit("show", "--log-dir", log.dir, "--format", "json", check=0).stdout.splitlines()
    assert shown == log.lines
    for args, wanted in {
            ("--unit", "u1.*"): lambda r: r.get("unit") == "u1.service",
            ("--uid", "2"): lambda r: r.get("uid") == 2,
            ("--user", "root"): lambda r: r.get("uid") == 0,
            ("--token", "t1", "--event", "authorised"): lambda r: r.get("token") == "t1",
            ("--login", "ops", "--verdict", "allow"): lambda r: r.get("login") == "ops",
            ("--event", "checkpoint"): lambda r: r["event"] == "checkpoint",
            ("--since", "2026-11-22T17:01:00Z"): lambda r: r["seq"] > 60,
            ("--until", "2026-11-22T17:00:59Z"): lambda r: r["seq"] <= 60,
            ("--request-id", f"{17:016x}"): lambda r: r["seq"] == 17,
            ("--generation", "2"): lambda r: r.get("generation") == 2,
    }.items():
        got = audit("show", "--log-dir", log.dir, "--format", "json", *args, check=0).stdout.splitlines()
        expected = [line for line in log.lines if wanted(json.loads(line))]
        assert got == expected and expected, args
    last = audit("show", "--log-dir", log.dir, "--format", "json", "--limit", 3, check=0).stdout.splitlines()
    assert last == log.lines[-3:]
    table = audit("show", "--log-dir", log.dir, "--limit", 2, check=0).stdout.splitlines()
    assert table[0].split() == ["TIME", "(UTC)", "EVENT", "WHO", "WHAT"]
    assert table[1].startswith("2026-11-22 17:01:38Z") and "u0.service" in table[1] and "t1 #5" in table[1], table
    local = audit("show", "--log-dir", log.dir, "--limit", 1, "--local", env={"TZ": "UTC-1"}, check=0).stdout
    assert "2026-11-22 18:01:39 " in local and "(local)" in local
    assert audit("show", "--log-dir", log.dir, "--since", "never").returncode == 2
    assert audit("show", "--log-dir", log.dir, "--user", "no-such-user").returncode == 2


def test_show_fits_a_terminal(log):
    log.add(event="authorised", uid=0, unit="x" * 100 + ".service", token="t", generation=1, reason="\x1b[31mred" * 9)
    log.write(log.dir)
    out = subprocess.run(["script", "-qec", f"stty cols 80; '{d.program('tokenbrokerctl')}' audit show --log-dir "
                          f"'{log.dir}' --limit 5", "/dev/null"], capture_output=True, text=True, check=True,
                         env={**os.environ, "TERM": "xterm"}).stdout
    assert len(out.splitlines()) == 6 and all(len(line) <= 80 for line in out.splitlines()), out
    assert "\x1b" not in out


def test_show_says_when_the_log_is_broken(log):
    log.lines.pop(50)
    log.write(log.dir)
    assert "broken in 1 place" in audit("show", "--log-dir", log.dir, check=0).stderr
    assert "broken in 1 place" in audit("who", "--all", "--log-dir", log.dir, check=0).stderr


def test_export(log):
    log.add(event="human_needed", login='o"p,s', reason="a\nb")
    log.write(log.dir)
    assert audit("export", "--log-dir", log.dir, check=0).stdout.splitlines() == log.lines
    text = audit("export", "--log-dir", log.dir, "--format", "csv", check=0).stdout
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 101
    for row, line in zip(rows, log.lines):
        assert {k: v for k, v in row.items() if v != ""} == {k: str(v) for k, v in json.loads(line).items()}


# ---------------------------------------------------------------------- follow


class Follow:
    def __init__(self, log, *args):
        self.process = subprocess.Popen([d.program("tokenbrokerctl"), "audit", "follow", "--format", "json", "--log-dir",
                                         log.dir, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.log = log
        self.got = ""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        util.end_process(self.process, signal.SIGKILL)

    def expect(self, line):
        self.got += util.read_until(self.process.stdout, line.encode() + b"\n").decode()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, (self.got + out.decode()).splitlines(), err.decode()


def append(path, *lines):
    with open(path, "a", encoding="utf-8") as f:
        f.write("".join(line + "\n" for line in lines))


def test_follow(log):
    """New lines, in pieces, across a rotation, a second one, and a file that was condemned."""
    current = log.dir / "audit.jsonl"
    with Follow(log, "--lines", 2) as follow:
        follow.expect(log.lines[-1])
        append(current, log.add(event="reloaded"))
        follow.expect(log.lines[100])
        line = log.add(event="reloaded")
        with open(current, "a", encoding="utf-8") as f:
            f.write(line[:30])
            f.flush()
            time.sleep(0.3)
            f.write(line[30:] + "\n")
        follow.expect(line)
        # two rotations between two looks
        append(current, log.add(event="reloaded"))
        current.rename(log.dir / older_name(103))
        (log.dir / older_name(104)).write_text(log.add(event="reloaded") + "\n")
        current.write_text(log.add(event="reloaded") + "\n")
        follow.expect(log.lines[104])
        # condemned behind 105: what is behind comes again, in the next file
        append(current, log.add(event="reloaded"), log.add(event="reloaded"))
        follow.expect(log.lines[106])
        fresh = log.dir / "audit.jsonl.new"
        fresh.write_text("".join(x + "\n" for x in log.lines[105:]))
        os.link(current, log.dir / older_name(105))
        fresh.rename(current)
        append(current, log.add(event="reloaded"))
        follow.expect(log.lines[107])
        status, got, err = follow.end()
    assert status == 0 and err == "", err
    assert got == log.lines[98:]
    assert verify(log.dir)[0] == 0


def test_follow_filters_and_finds(log):
    current = log.dir / "audit.jsonl"
    append(current, log.add(event="reloaded"))
    with Follow(log, "--lines", 1, "--event", "reloaded") as follow:
        follow.expect(log.lines[100])
        append(current, log.add(event="started"), log.add(event="reloaded"))
        follow.expect(log.lines[102])
        append(current, log.add(event="reloaded").replace("reloaded", "rel0aded"), log.add(event="reloaded"))
        follow.expect(log.lines[104])
        status, got, err = follow.end()
    assert status == 1 and got == [log.lines[100], log.lines[102], log.lines[104]]
    assert f"{current}:104: seq 104: edited" in err, err


def test_follow_after_a_crash(log):
    """A torn line is cut off, and others take its place."""
    current = log.dir / "audit.jsonl"
    with Follow(log, "--lines", 1) as follow:
        follow.expect(log.lines[-1])
        append(current, log.add(event="reloaded"))
        follow.expect(log.lines[100])
        size = current.stat().st_size
        with open(current, "a", encoding="utf-8") as f:
            f.write('{"seq":102,"time":"2026-11-2')
        time.sleep(0.3)
        os.truncate(current, size)
        append(current, log.add(event="started"))
        follow.expect(log.lines[101])
        status, _, err = follow.end()
        assert status == 0 and err == "", err


def test_follow_a_disk_that_failed(log):
    """Lines that were seen and never reported as written may be other ones afterwards."""
    current = log.dir / "audit.jsonl"
    lost = Log(log.key)
    lost.lines = list(log.lines)
    with Follow(log, "--lines", 1) as follow:
        follow.expect(log.lines[-1])
        append(current, lost.add(event="stopped"), lost.add(event="stopped"))
        follow.expect(lost.lines[101])
        fresh = log.dir / "audit.jsonl.new"
        fresh.write_text(log.add(event="reloaded") + "\n")
        os.link(current, log.dir / older_name(100))
        fresh.rename(current)
        follow.expect(log.lines[100])
        append(current, log.add(event="reloaded"))
        follow.expect(log.lines[101])
        status, _, err = follow.end()
    assert status == 0 and "never reported as written" in err, err


def test_follow_a_log_that_is_cut(log):
    with Follow(log, "--lines", 1) as follow:
        follow.expect(log.lines[-1])
        os.truncate(log.dir / "audit.jsonl", 1000)
        err = util.read_until(follow.process.stderr, b"was cut").decode()
        assert follow.end()[0] == 1, err


# ----------------------------------------------------------- the daemon's own log

CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token shared]
backend = prod
permissions = read:metrics write:metrics
lifetime = 1h
[token mine]
backend = prod
permissions = read:metrics write:metrics
lifetime = 1h
[client nobody]
user = nobody
tokens = shared
[client root]
user = root
tokens = shared mine
"""


@pytest.fixture
def tb(sandbox):
    """Logged in; root holds both tokens, nobody holds the shared one."""
    with d.Daemon(CONF.format(issuer=sandbox.issuer)) as one:
        news = one.login("ops", sandbox.approve, expect="email=alice@example.org")
        assert news["state"] == "granted", news
        one.ctl("get", "mine", check=0)
        one.ctl("get", "shared", check=0)
        one.ctl("get", "shared", user=d.NOBODY, check=0)
        util.wait_until(lambda: len(one.audit("sent")) >= 3, 10, "three outcomes on record")
        yield one


def alive(sandbox):
    return sorted(t["id"] for t in sandbox.state()["tokens"] if t["state"] in ("live", "pending"))


def who(tb, *args):
    return json.loads(audit("who", "--format", "json", "--log-dir", tb.log_dir, *args, check=0).stdout)


def test_real_log(tb):
    """Good while it grows, after a restart, and broken when it is spoilt."""
    assert verify(tb.log_dir)[0] == 0
    tb.restart()
    status, answer = verify(tb.log_dir)
    assert status == 0 and answer["findings"] == [] and answer["first_seq"] == 1
    tb.stop()
    answer = verify(tb.log_dir)[1]
    assert answer["signed_seq"] == answer["last_seq"], "the last line is signed"
    file = tb.log_dir / "audit.jsonl"
    lines = file.read_text().splitlines()
    check_chain(lines)
    at = next(i for i, line in enumerate(lines) if '"event":"authorised"' in line and "shared" in line)
    file.write_text("\n".join(lines[:at] + lines[at + 1:]) + "\n")
    status, answer = verify(tb.log_dir)
    assert status == 1 and kinds(answer) == [("missing", at + 1, at + 1)]
    file.write_text("\n".join(lines).replace('"uid":65534', '"uid":0') + "\n")
    status, answer = verify(tb.log_dir)
    assert status == 1 and {f["kind"] for f in answer["findings"]} == {"edited"}
    file.write_text("\n".join(lines) + "\n")
    assert verify(tb.log_dir)[0] == 0
    assert by_hand(tb.log_dir, len(lines), "The chain by hand", "A signature by hand").returncode == 0


def test_real_rotation(sandbox, tmp_path):
    """Rotation under a follower's eyes, old files deleted, and a checkpoint that was kept elsewhere."""
    with d.Daemon(CONF.format(issuer=sandbox.issuer), broker="audit_max_size = 4K\naudit_keep_files = 2\n") as tb:
        tb.login("ops", sandbox.approve, expect="email=alice@example.org")
        kept = tmp_path / "kept"
        kept.write_text(tb.ctl("audit", "checkpoint", "--now", check=0).stdout)
        assert kept.read_text() == audit("checkpoint", "--log-dir", tb.log_dir, check=0).stdout
        assert verify(tb.log_dir, "--anchor", kept)[0] == 0
        with Follow(argparse.Namespace(dir=tb.log_dir), "--lines", 100000) as follow:
            for _ in range(40):
                tb.ctl("get", "shared", check=0)
            tb.ctl("audit", "checkpoint", "--now", check=0)
            last = audit("checkpoint", "--log-dir", tb.log_dir, check=0).stdout
            follow.expect(last.strip())
            status, got, err = follow.end()
        assert status == 0 and err == "", err
        check_chain(got)
        assert sum('"event":"authorised"' in line for line in got) == 40
        tb.stop()
        status, answer = verify(tb.log_dir)
        assert status == 0 and answer["first_seq"] > 1 and answer["files"] == 3
        assert not any("could not be checked" in note for note in answer["notes"]), "the daemon says how its files ended"
        assert verify(tb.log_dir, "--anchor", kept)[0] == 3, "older than what is here"
        kept.write_text(last)
        assert verify(tb.log_dir, "--anchor", kept)[0] == 0
        file = sorted(tb.log_dir.glob("audit-*.jsonl"))[0]
        text = file.read_text()
        file.write_text(text.replace('"uid":0', '"uid":1', 1))
        assert [f["kind"] for f in verify(tb.log_dir)[1]["findings"]] == ["edited"]
        file.write_text(text)
        tb.start()


def test_who_holds_what(tb):
    answer = who(tb)
    held = {g["token"]: g for g in answer["generations"]}
    assert set(held) == {"mine", "shared"} and answer["log"]["broken"] == 0
    shared = held["shared"]
    assert shared["state"] == "live" and shared["login"] == "ops" and "alice" in shared["human"]
    assert [h["uid"] for h in shared["holders"]] == [0, d.NOBODY]
    assert all(h["releases"] == 1 and h["unconfirmed"] == 0 for h in shared["holders"])
    assert [h["uid"] for h in held["mine"]["holders"]] == [0]
    one = who(tb, "--user", "nobody")["generations"]
    assert [g["token"] for g in one] == ["shared"]
    assert [h["matched"] for h in one[0]["holders"]] == [False, True]
    assert [g["token"] for g in who(tb, "--token", "mine")["generations"]] == ["mine"]
    assert who(tb, "--at", "1h")["generations"] == [], "an hour ago nobody held anything"
    assert who(tb, "--login", "other")["generations"] == []
    text = audit("who", "--log-dir", tb.log_dir, "--user", "nobody", check=0).stdout
    assert "shared #1  live" in text and re.search(r"^\s*\* uid 65534", text, re.M), text
    tb.ctl("revoke", "--yes", "mine", check=0)
    util.wait_until(lambda: tb.audit("revoked"), 10, "the record")
    assert [g["token"] for g in who(tb)["generations"]] == ["shared"]
    gone = next(g for g in who(tb, "--all")["generations"] if g["token"] == "mine")
    assert gone["state"] == "revoked" and gone["revoked_at"]


def test_what_a_login_led_to(tb):
    tb.ctl("revoke", "--yes", "mine", check=0)
    util.wait_until(lambda: tb.audit("revoked"), 10, "the record")
    answer = json.loads(audit("login", "--format", "json", "--log-dir", tb.log_dir, "ops", check=0).stdout)
    granted = [i for i, e in enumerate(answer["events"]) if e["event"] == "login_granted"]
    assert len(granted) == 1 and "alice" in answer["events"][granted[0]]["human"]
    assert {(g["token"], g["approval"], g["state"]) for g in answer["generations"]} == \
        {("mine", granted[0], "revoked"), ("shared", granted[0], "live")}
    text = audit("login", "--log-dir", tb.log_dir, "ops", check=0).stdout
    assert "login_granted" in text and "alice" in text and "shared #1  live" in text and "uid 65534" in text
    assert audit("login", "--log-dir", tb.log_dir, "nobody-knows").returncode == 1


# ---------------------------------------------------------------- revoke by holder


def revoke(tb, *args, **kwargs):
    return tb.ctl("revoke", "--log-dir", tb.log_dir, *args, **kwargs)


def test_revoke_dry_run(tb, sandbox):
    before = alive(sandbox)
    done = revoke(tb, "--user", "nobody", "--dry-run", check=0)
    assert "shared #1" in done.stdout and "mine" not in done.stdout
    assert "held by  uid 65534" in done.stdout and "ALSO BY  uid 0" in done.stdout
    assert "1 other holder has it too" in done.stdout
    assert alive(sandbox) == before
    assert revoke(tb, "--user", "nobody", check=2).returncode == 2, "nobody to ask, and no --yes"
    assert alive(sandbox) == before


def test_revoke_user(tb, sandbox):
    shared = who(tb, "--token", "shared")["generations"][0]["token_id"]
    mine = who(tb, "--token", "mine")["generations"][0]["token_id"]
    done = revoke(tb, "--user", d.NOBODY, "--yes", check=0)
    assert "1 generation revoked at the service." in done.stdout
    assert alive(sandbox) == [mine] and shared != mine
    done = revoke(tb, "--user", d.NOBODY, "--yes", check=0)
    assert "Nothing that is alive" in done.stdout
    assert tb.token("shared").status == 200, "whoever asks gets a new one"


def test_revoke_since_login_and_names(tb, sandbox):
    mine = who(tb, "--token", "mine")["generations"][0]["token_id"]
    revoke(tb, "--login", "ops", "--yes", "shared", check=0)
    assert alive(sandbox) == [mine]
    time.sleep(2.5)  # the log has whole seconds
    assert "Nothing" in revoke(tb, "--since", "1s", "--yes", check=0).stdout
    assert alive(sandbox) == [mine]
    revoke(tb, "--since", "1h", "--yes", check=0)
    assert alive(sandbox) == []


def test_revoke_that_fails(tb, sandbox):
    """What the service does not take back is said, and the exit status tells."""
    sandbox.fault("status", 500, path="/api/v0", method="DELETE")
    done = revoke(tb, "--user", "root", "--yes", check=1)
    assert "may still be alive" in done.stderr, done.stderr
    sandbox.clear_faults()
    util.wait_until(lambda: alive(sandbox) == [], 30, "the daemon goes on revoking")
    util.wait_until(lambda: len(tb.audit("revoked")) == 2, 10, "the records")
    assert "Nothing" in revoke(tb, "--user", "root", "--yes", check=0).stdout


def test_revoke_without_the_daemon(tb):
    tb.stop()
    assert "shared #1" in revoke(tb, "--user", "nobody", "--dry-run", check=0).stdout
    assert revoke(tb, "--user", "nobody", "--yes").returncode == 6
    tb.start()


def test_revoke_usage(tb):
    assert tb.ctl("revoke", "--yes").returncode == 2
    assert tb.ctl("revoke", "--yes", "a", "b").returncode == 2
    assert tb.ctl("revoke", "--user", "root", "--generation", "1").returncode == 2
    assert tb.ctl("revoke", "--user", "no-such-user", "--yes", "--log-dir", tb.log_dir).returncode == 2
    assert tb.ctl("revoke", "--user", "root", "--yes", "--log-dir", tb.dir / "nowhere").returncode == 1
