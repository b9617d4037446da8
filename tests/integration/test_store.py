# SPDX-License-Identifier: Apache-2.0
"""The state directory: damaged, older than it was, copied, of another key or version; and a disk without room.

Every test says what a person is told: by the log, by `tokenbrokerctl status`, and in the audit log.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import threading
import time

import pytest

import daemon as d
import util

CONF = d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[backend by-hand]
type = import
[backend self]
type = oauth
login = ops
[token db]
backend = prod
permissions = read:metrics
lifetime = 6h
[token pasted]
backend = by-hand
kind = management
allow_full_access = yes
[token access]
backend = self
allow_full_access = yes
[client root]
user = root
tokens = *
"""
OLD = pathlib.Path(__file__).with_name("state-0.1.0")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def tb(sandbox):
    """Logged in, with a minted and an imported value, and its list of records written."""
    with d.Daemon(CONF.format(issuer=sandbox.issuer), "max_lifetime = 3660d") as one:
        assert one.login("ops", sandbox.approve, expect="email=alice@example.org")["state"] == "granted"
        assert one.token("db").status == 200
        assert one.token("access").status == 200
        one.admin.request("tokens/pasted/import", "POST",
                          {"token": "made-by-hand-1", "expires_at": "2036-01-01T00:00:00Z", "token_id": "hand-1"})
        yield one


def state(tb):
    return tb.admin.request("status").json()["state"]


def screen(tb):
    return tb.ctl("status").stdout


def requests(sandbox):
    return {k: v for k, v in sandbox.state()["requests"].items() if v}


def touches(sandbox):
    """Requests that use something up, make or take away."""
    return {k: v for k, v in requests(sandbox).items() if k.startswith(("token_", "mint", "revoke", "device"))}


def copy_state(tb, name="backup"):
    shutil.copytree(tb.state_dir, tb.dir / name)
    return tb.dir / name


def put_back(tb, copy):
    for file in tb.state_dir.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    for file in copy.iterdir():
        shutil.copy2(file, tb.state_dir / file.name)


def end_on_its_own(tb, status):
    """Starts it, and wants it to stop by itself."""
    before = len(tb.log())
    tb.start(wait=False)
    assert tb.process.wait(20) == status, tb.log()[before:]
    return tb.log()[before:]


# ------------------------------------------------------------- single records


def flip(file, _):
    data = bytearray(file.read_bytes())
    data[-5] ^= 0x10
    file.write_bytes(data)


def flip_magic(file, _):
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.write_bytes(data)


def truncate(file, _):
    os.truncate(file, file.stat().st_size // 2)


def swap(file, other):
    aside = file.with_name("aside")
    file.rename(aside)
    other.rename(file)
    aside.rename(other)


@pytest.mark.parametrize("spoil", [flip, flip_magic, truncate, swap], ids=lambda f: f.__name__)
def test_spoiled_record(tb, sandbox, spoil):
    tb.stop()
    before = touches(sandbox)
    spoil(tb.state_dir / "login.ops.tbr", tb.state_dir / "generation.db.1.tbr")
    tb.start()
    lost = {"login/ops", "generation/db.1"} if spoil is swap else {"login/ops"}
    assert {t["record"] for t in state(tb)["trouble"]} == lost
    assert state(tb)["kept"] == len(lost) and "quarantine" not in state(tb)
    assert (tb.state_dir / "quarantine" / "login.ops.tbr").exists()
    assert "login.ops.tbr: moved to quarantine/login.ops.tbr and not used: record 'login/ops' is" in tb.log()
    assert "its grant is lost here: log in again" in tb.log()
    assert "record login/ops is not used: record 'login/ops' is" in screen(tb)
    assert "it lies in quarantine/login.ops.tbr" in screen(tb)
    assert {r["record"] for r in tb.audit("quarantined")} == lost
    # Whatever else there is goes on.
    assert tb.token("pasted").json()["token"] == "made-by-hand-1"
    assert tb.token("db").status == (503 if spoil is swap else 200)
    assert tb.login_status("ops")["state"] == "empty"
    assert touches(sandbox) == before
    # Said once; what was put aside stays there.
    tb.restart()
    assert state(tb)["trouble"] == [] and state(tb)["kept"] == len(lost)


def test_older_record(tb, sandbox):
    """A refresh token that was spent since is not spent again."""
    tb.stop()
    copy = copy_state(tb)
    tb.start()
    assert tb.admin.request("tokens/access/rotate", "POST").status == 200
    tb.stop()
    before = touches(sandbox)
    shutil.copy2(copy / "login.ops.tbr", tb.state_dir)
    tb.start()
    assert "it is older than it was: version" in tb.log()
    assert "record login/ops is not used: it is older than it was" in screen(tb)
    assert tb.audit("quarantined")[0]["record"] == "login/ops"
    assert tb.login_status("ops")["state"] == "empty"
    assert tb.token("db").status == 200
    assert touches(sandbox) == before


def test_deleted_record(tb):
    tb.stop()
    (tb.state_dir / "generation.db.1.tbr").unlink()
    tb.start()
    assert "generation.db.1.tbr is gone, deleted or lost by somebody else; its value is minted anew" in tb.log()
    assert state(tb)["trouble"] == [{"record": "generation/db.1", "reason": "the file is gone"}]
    assert "record generation/db.1 is not used: the file is gone" in screen(tb)
    assert tb.audit("quarantined")[0]["reason"] == "the file is gone"
    assert tb.token("db").status == 200  # another one


# --------------------------------------------------------------- whole states


def assert_held(tb, sandbox, before, why):
    """It serves what is valid, says why and what to do, and asks nothing of anybody."""
    assert why in state(tb)["quarantine"]
    assert "the state is quarantined: " in tb.log() and "tokenbrokerctl adopt" in tb.log()
    assert "the state is QUARANTINED: " in screen(tb) and "'tokenbrokerctl adopt'" in screen(tb)
    assert any(r["record"] == "all" and why in r["reason"] for r in tb.audit("quarantined"))
    assert tb.token("db").status == 200
    assert tb.token("pasted").status == 200
    refused = tb.admin.request("tokens/access/rotate", "POST")
    assert refused.status == 503 and refused.json()["code"] == "human_needed.adopt", refused
    for args in (["rotate", "db"], ["revoke", "--yes", "db"], ["logout", "ops"], ["login", "--yes", "ops"]):
        done = tb.ctl(*args, check=3)
        assert "tokenbrokerctl adopt" in done.stderr, done
    time.sleep(3)  # settling and keeping alive would have begun by now
    assert touches(sandbox) == before


def test_restored_backup(tb, sandbox):
    tb.stop()
    copy = copy_state(tb)
    tb.start()
    assert tb.admin.request("tokens/access/rotate", "POST").status == 200  # spends the refresh token of the backup
    assert tb.admin.request("tokens/db/rotate", "POST").status == 200
    tb.stop()
    before = touches(sandbox)
    put_back(tb, copy)
    tb.start()
    assert_held(tb, sandbox, before, "it is older than the state that this host had since it was booted")
    tb.restart()  # nothing is forgotten
    assert_held(tb, sandbox, before, "it is older than")
    assert "say --yes" in tb.ctl("adopt", check=2).stderr
    assert "Adopted." in tb.ctl("adopt", "--yes", check=0).stdout
    assert "quarantine" not in state(tb) and len(tb.audit("adopted")) == 1
    assert "nothing to adopt" in tb.ctl("adopt", "--yes").stderr
    # It goes on: and learns that its refresh token is spent, which is a human's matter.
    assert tb.ctl("rotate", "access").returncode == 3
    assert tb.login_status("ops")["state"] == "human_needed"
    assert tb.token("db").status == 200
    tb.restart()
    assert "quarantine" not in state(tb)


def test_restored_after_a_reboot(tb, sandbox):
    """The run directory is gone; the mark in the log directory is not."""
    tb.stop()
    copy = copy_state(tb)
    tb.start()
    assert tb.admin.request("tokens/access/rotate", "POST").status == 200
    tb.restart()
    tb.stop()
    before = touches(sandbox)
    put_back(tb, copy)
    shutil.rmtree(tb.run_dir / "private")
    tb.start()
    assert_held(tb, sandbox, before, "it is older than the state that this host had at its last start")


@needs_root
def test_other_machine(tb, sandbox):
    """A machine id of its own, in a mount namespace of its own."""
    tb.stop()
    before = touches(sandbox)
    other = tb.dir / "machine-id"
    other.write_text(secrets.token_hex(16) + "\n")
    shutil.rmtree(tb.run_dir / "private")
    (tb.log_dir / "state-mark").unlink()

    def start_there():
        tb.process = util.spawn(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                 f"mount --bind {other} /etc/machine-id && exec \"$@\"", "sh",
                                 d.program("tokenbrokerd"), "-c", tb.conf_file], log=tb.log_file)
        util.wait_until(tb.is_up, 20, "the daemon's doors")

    start_there()
    assert_held(tb, sandbox, before, "it is another machine's: its machine id begins with ")
    tb.ctl("adopt", "--yes", check=0)
    assert tb.ctl("rotate", "access", check=0)
    tb.stop()
    start_there()
    assert "quarantine" not in state(tb)
    tb.stop()
    tb.start()  # back on the first machine, which has lost it to the other one
    assert "it is another machine's" in state(tb)["quarantine"]


# ------------------------------------------------------------------- the key


def listing(path):
    return {f.name: (f.stat().st_mtime_ns, f.stat().st_mode, f.read_bytes()) for f in path.iterdir() if f.is_file()}


@pytest.fixture
def keys(tmp_path):
    """Where keys lie that are not the daemon's: what it writes is searched for them."""
    tmp_path.chmod(0o700)
    return tmp_path


def new_key(tb, keys, name="new.key"):
    file = keys / name
    tb.ctl("init-key", "--output", file, check=0)
    tb.known.add(file.read_text().strip())
    return file


def use_key(tb, file):
    shutil.copy(file, tb.key_file.with_suffix(".tmp"))
    tb.key_file.with_suffix(".tmp").replace(tb.key_file)


def test_other_key(tb, keys):
    tb.stop()
    before = listing(tb.state_dir)
    shutil.copy(tb.key_file, keys / "old.key")
    use_key(tb, new_key(tb, keys))
    said = end_on_its_own(tb, 78)
    assert "wrong master key, or a state directory of another installation; nothing was changed" in said
    assert listing(tb.state_dir) == before
    use_key(tb, keys / "old.key")
    tb.start()
    assert tb.token("db").status == 200


def test_rekey(tb, keys):
    fingerprint = tb.token_status("db")["generations"][0]["fingerprint"]
    old, new = keys / "old.key", new_key(tb, keys)
    shutil.copy(tb.key_file, old)
    tb.known.add(old.read_text().strip())
    assert "--key-file is required" in tb.ctl("rekey", check=2).stderr
    odd = keys / "odd"
    odd.write_text("no key")
    assert "its mode 0644 lets others in" in tb.ctl("rekey", "--key-file", odd, check=1).stderr
    odd.chmod(0o400)
    assert "odd holds no master key" in tb.ctl("rekey", "--key-file", odd, check=1).stderr
    done = tb.ctl("rekey", "--key-file", new, check=0)
    assert "records are sealed with the new key" in done.stdout and str(tb.key_file) in done.stdout
    assert "tokenbrokerctl reload" in done.stdout
    st = state(tb)
    assert st["rekey"]["state"] == "waiting" and st["rekey"]["left"] == 0
    assert "give the daemon that key and restart it" in screen(tb)
    assert [r["reason"] for r in tb.audit("rekeyed")] == ["begun", "every record is under the new key"]
    assert tb.ctl("rotate", "db", check=0)
    # The daemon still has the old key: all is there, and it says what to do.
    tb.kill()
    tb.start()
    assert tb.token("db").status == 200 and state(tb)["rekey"]["state"] == "waiting"
    assert "opens the state only until it is given the new one" in tb.log()
    tb.ctl("rekey", "--key-file", new, check=0)  # again: fine
    assert "is not over" in tb.ctl("rekey", "--key-file", new_key(tb, keys, "third.key")).stderr
    # Now the new one.
    use_key(tb, new)
    tb.ctl("reload", check=0)
    util.wait_until(lambda: "rekey" not in state(tb), 10, "the end of the change")
    assert "the change of the master key is over" in tb.log()
    assert tb.audit("rekeyed")[-1]["reason"] == "the daemon has the new key, the old one is forgotten"
    assert not (tb.state_dir / "rekey.tbr").exists()
    assert "this is the master key that is in use" in tb.ctl("rekey", "--key-file", new).stderr
    tb.restart()
    assert fingerprint in [g["fingerprint"] for g in tb.token_status("db")["generations"]]
    assert tb.ctl("rotate", "access", check=0)
    tb.stop()
    use_key(tb, old)
    assert "wrong master key" in end_on_its_own(tb, 78)
    use_key(tb, new)
    tb.start()
    # A wrong file is noticed at the reload already.
    use_key(tb, keys / "third.key")
    tb.ctl("reload", check=0)
    assert "but the records are sealed with" in tb.log()
    use_key(tb, new)


def test_rekey_killed(tb, keys):
    """Killed somewhere in it, then started with the one key or the other. Each call of it in unit tests."""
    for i in range(60):
        tb.admin.request("tokens/pasted/import", "POST",
                         {"token": f"made-by-hand-{i}", "expires_at": "2036-01-01T00:00:00Z"})
    for i in range(6):
        new = new_key(tb, keys, f"key-{i}")
        thread = threading.Thread(target=lambda: tb.ctl("rekey", "--key-file", new))
        thread.start()
        time.sleep(0.005 + 0.012 * i)
        tb.kill()
        thread.join()
        begun = (tb.state_dir / "rekey.tbr").exists()
        if begun and i % 2:
            use_key(tb, new)
        tb.start()
        assert tb.token("db").status == 200
        assert tb.token("pasted").json()["token"] == "made-by-hand-59"
        assert state(tb)["trouble"] == [] and "quarantine" not in state(tb)
        if not begun:
            tb.ctl("rekey", "--key-file", new, check=0)
        use_key(tb, new)
        tb.ctl("reload", check=0)
        util.wait_until(lambda: "rekey" not in state(tb), 20, "the end of the change")
    tb.restart()
    assert tb.token("pasted").json()["token"] == "made-by-hand-59"


# ------------------------------------------------------------------ versions


def test_state_of_0_1_0():
    """The records that 0.1.0 left, its login included; no service is there any more."""
    conf = CONF.format(issuer="http://127.0.0.1:18931").replace("lifetime = 6h", "lifetime = 3600d")
    tb = d.Daemon(conf, "max_lifetime = 3660d")
    tb.state_dir.mkdir(mode=0o700)
    for file in OLD.glob("*.tbr"):
        shutil.copy(file, tb.state_dir)
    use_key(tb, OLD / "master.key")
    tb.key_file.chmod(0o400)
    with tb:
        assert tb.token("db").json()["token_id"] == "1b500c06-0d5e-4789-895c-392a360724a9"
        assert tb.token("pasted").json()["token"] == "made-by-hand-1"
        assert tb.login_status("ops")["state"] == "granted"
        assert "alice@example.org" in tb.login_status("ops")["human"]
        assert tb.token_status("pasted")["generations"][0]["fingerprint"] == "367e6e699d54c12a"
        assert "3 records have the format of version 0.1.0" in tb.log()
        assert state(tb)["trouble"] == [] and "quarantine" not in state(tb)
        util.wait_until(lambda: all(f.read_bytes().startswith(b"TBR2") for f in tb.state_dir.glob("*.tbr")), 10,
                        "the new format")
        tb.restart()
        assert tb.token("pasted").json()["generation"] == 1
        assert state(tb)["trouble"] == []


def test_state_of_a_later_version(tb):
    tb.stop()
    (tb.state_dir / "login.later.tbr").write_bytes(b"TBR3" + secrets.token_bytes(200))
    before = listing(tb.state_dir)
    said = end_on_its_own(tb, 78)
    assert "has the format TBR3 of a later version of tokenbroker" in said
    assert "nothing was changed; go on with that version" in said
    assert listing(tb.state_dir) == before
    (tb.state_dir / "login.later.tbr").unlink()
    tb.start()
    assert tb.token("db").status == 200


# --------------------------------------------------------------- the directory


def test_directory_others_can_read(tb):
    tb.stop()
    tb.state_dir.chmod(0o750)
    said = end_on_its_own(tb, 1)
    assert f"{tb.state_dir}: its mode 0750 lets others in: chmod 0700" in said
    tb.state_dir.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(tb.state_dir, d.NOBODY, d.NOBODY)
        said = end_on_its_own(tb, 1)
        assert f"{tb.state_dir}: it belongs to uid {d.NOBODY}, not to uid 0 or root: chown it" in said
        os.chown(tb.state_dir, 0, 0)
    # A link is followed, as systemd makes one.
    real = tb.dir / "real"
    tb.state_dir.rename(real)
    tb.state_dir.symlink_to(real)
    tb.start()
    assert tb.token("db").status == 200


@contextlib.contextmanager
def mounted(path, options, copy=True):
    """A small file system in the place of a directory, with what was in it."""
    aside = path.with_name(path.name + ".aside")
    path.rename(aside)
    path.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        if copy:
            shutil.copytree(aside, path, dirs_exist_ok=True)
            path.chmod(0o700)
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        path.rmdir()
        aside.rename(path)


def fill(path):
    fd = os.open(path / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(fd, b"x" * 4096)
    finally:
        os.close(fd)


@needs_root
def test_read_only_directory(tb, sandbox):
    """What is sealed there is served; nothing that would have to be written down is begun."""
    tb.stop()
    before = touches(sandbox)
    with mounted(tb.state_dir, "size=8m,mode=700"):
        subprocess.run(["mount", "-o", "remount,ro", tb.state_dir], check=True)
        tb.start()
        assert tb.token("db").status == 200
        util.wait_until(lambda: tb.admin.request("health").status == 503, 10, "a failing health")
        assert "Read-only file system" in json.dumps(tb.admin.request("status").json()["disk"])
        assert tb.ctl("rotate", "access").returncode != 0
        assert touches(sandbox) == before
        subprocess.run(["mount", "-o", "remount,rw", tb.state_dir], check=True)
        util.wait_until(lambda: tb.ctl("rotate", "access").returncode == 0, 60, "it to recover")
        tb.stop()


@needs_root
def test_disk_fills_up_between_redemption_and_record(tb, sandbox):
    """P3: there is room for the rotated token, because it was set aside before the old one was spent."""
    tb.stop()
    with mounted(tb.state_dir, "size=2m,mode=700"):
        tb.start()
        before = requests(sandbox).get("token_refresh_token", 0)
        sandbox.fault("delay", 3, times=1, path="/token")
        thread = threading.Thread(target=lambda: tb.ctl("rotate", "access"))
        thread.start()
        # it is counted as it comes; the room alone may be there before the record that it is about to be sent
        util.wait_until(lambda: requests(sandbox).get("token_refresh_token", 0) == before + 1, 10, "the redemption")
        assert (tb.state_dir / ".login.ops.tbr.room").exists()
        fill(tb.state_dir)
        thread.join()
        assert requests(sandbox)["token_refresh_token"] == before + 1
        assert "the rotated refresh token cannot be stored" not in tb.log()
        assert tb.login_status("ops")["state"] == "granted"
        # Nothing more is begun on the full disk, and what to do is said.
        done = tb.ctl("rotate", "access")
        assert done.returncode != 0 and "cannot" in done.stderr, done
        assert requests(sandbox)["token_refresh_token"] == before + 1
        tb.kill()
        (tb.state_dir / "filler").unlink()
        tb.start()
        assert state(tb)["trouble"] == [] and "quarantine" not in state(tb)
        assert tb.ctl("rotate", "access", check=0)
        assert tb.login_status("ops")["state"] == "granted"
        tb.stop()
