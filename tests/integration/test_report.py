# SPDX-License-Identifier: Apache-2.0
"""tokenbrokerctl audit report: what the page says, as a browser shows it."""

import os
import stat

import pytest

import daemon as d
from auditlog import Log
from browser import Browser
from sandbox import Sandbox
from test_audit import audit

EVIL = "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x>\u202e\"'&"
MINTED = {"event": "minted", "backend": "prod", "login": "ops", "human": "https://sso.example.org alice",
          "expires_at": "2026-11-22T18:00:00Z"}


def release(log, token, generation, request, unit, uid, outcome="sent", delivery=None):
    who = {"door": "api", "uid": uid, "gid": uid, **({"unit": unit, "strength": "strong"} if unit else {})}
    log.add(event="authorised", **who, verdict="allow", token=token, generation=generation,
            fingerprint=f"f{token}{generation}", login="ops", request_id=request,
            **({"delivery": delivery} if delivery else {}))
    if outcome:
        log.add(event=outcome, **who, token=token, generation=generation, request_id=request)


def make_log():
    """17:00:00 and a second for each line."""
    log = Log()
    log.add(event="login_started", login="ops", uid=0, gid=0)
    log.add(event="login_granted", login="ops", human="https://sso.example.org alice")
    log.add(**MINTED, token="db", generation=1, token_id="id-1", fingerprint="fdb1")
    release(log, "db", 1, "r1", "telegraf.service", 997)
    release(log, "db", 1, "r2", None, 33, delivery="environment")
    release(log, "db", 1, "r3", "never.service", 998, outcome="withheld")
    log.add(**MINTED, token="db", generation=2, token_id="id-2", fingerprint="fdb2")
    release(log, "db", 2, "r4", "telegraf.service", 997, outcome=None)
    log.add(event="revoked", token="db", generation=1, fingerprint="fdb1", reason="revoked upstream")
    log.add(event="denied", door="api", uid=1234, gid=1234, unit=EVIL, verdict="deny", token="db", count=41,
            reason="no rule matches")
    log.add(event="orphan", backend="prod", token_id="id-9", reason="listed with our mark, not known here")
    log.add(event="unsettled", backend="prod", token="db", nonce="n", reason="nobody can say what became of it")
    log.add(event="admin", door="admin", uid=0, gid=0, token="db", reason="revoke")
    log.checkpoint(len(log.lines))
    return log


@pytest.fixture
def made(tmp_path):
    log = make_log()
    log.write(tmp_path)
    return log


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


def page_of(tmp_path, *args, check=0):
    page = tmp_path / "report.html"
    audit("report", "--html", page, "--log-dir", tmp_path, "--host", "web1", "--until", "2026-11-22T17:30:00Z", *args,
          check=check)
    return page


def test_many_approvals(tmp_path):
    """Years of them: each value is looked for among the approvals once, not once for each of them (that takes hours)."""
    log, n = Log(), 3000
    for i in range(1, n + 1):
        minute = f"2026-11-{i // 1440 + 1:02}T{i // 60 % 24:02}:{i % 60:02}"
        log.add(event="login_granted", login="ops", human="alice", time=f"{minute}:00.000Z")
        for k in range(4):
            log.add(**MINTED, token="db", generation=4 * i + k, token_id=f"id-{i}-{k}", fingerprint=f"f{i}-{k}",
                    time=f"{minute}:01.000Z")
    log.checkpoint(len(log.lines))
    log.write(tmp_path)
    page = page_of(tmp_path).read_text()
    logins = page[page.index('id="logins"'):]
    rows = logins[:logins.index("</section>")].split("<tr>")[2:]
    assert len(rows) == n and all(row.count('<span class="gen') == 4 for row in rows)


def test_what_it_says(made, tmp_path, browser):
    page = page_of(tmp_path)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    browser.open(page.as_uri())
    assert browser.requests() == [page.as_uri()]
    assert browser.ask("document.title") == "tokenbroker audit report, web1"
    assert browser.ask("document.querySelectorAll('script,img,link,iframe').length") == 0

    def text(selector):
        return browser.ask(f"document.querySelector({selector!r}).innerText")

    verdict = text("#chain")
    assert "The log is as it was written" in verdict and made.key.id in verdict and "--anchor" in verdict
    tiles = text(".tiles").split()
    assert [int(n) for n in tiles if n.isdigit()] == [1, 2, 3, 1, 41, 2]
    tokens = text("#tokens")
    for words in ("db", "#1", "#2", "id-1", "telegraf.service", "uid 33", "into environment", "not confirmed",
                  "revoked 2026-11-22 17:00:", "live, until 2026-11-22 18:00:00Z", "https://sso.example.org alice"):
        assert words in tokens, (words, tokens)
    assert "never.service" not in tokens, "nothing left the host for it"
    holders = text("#holders")
    assert "telegraf.service" in holders and "uid 33" in holders and "never.service" not in holders
    logins = text("#logins")
    assert "login_granted" in logins and "db #1 (revoked, 2 holders)" in logins and "db #2 (live, 1 holder)" in logins
    assert "41" in text("#denied") and "no rule matches" in text("#denied") and "uid 1234" in text("#denied")
    trouble = text("#trouble")
    assert "id-9" in trouble and "orphan" in trouble and "unsettled" in trouble
    assert browser.ask("document.querySelectorAll('#trouble tr.bad').length") == 2
    assert "revoke" in text("#acts") and "uid 0" in text("#acts")


def test_bars_stand_where_they_belong(made, tmp_path, browser):
    """From 17:00:00 to what is alive at 17:30: a third more, so to 17:41:00."""
    browser.open(page_of(tmp_path).as_uri())
    bars = browser.ask("""[...document.querySelectorAll('#tokens .row.gen .bar')].map(bar => {
        const b = bar.getBoundingClientRect(), t = bar.parentNode.getBoundingClientRect();
        return [(b.left - t.left) / t.width, (b.right - t.left) / t.width];})""")
    span = 41 * 60

    def second(part):
        return next(i for i, line in enumerate(made.lines) if all(p in line for p in part))
    revoked, second_mint = second(['"revoked"', '"generation":1']), second(['"minted"', '"generation":2'])
    assert bars[0][0] == pytest.approx(2 / span, abs=0.003) and bars[0][1] == pytest.approx(revoked / span, abs=0.006)
    assert bars[1][0] == pytest.approx(second_mint / span, abs=0.003) and bars[1][1] == pytest.approx(1, abs=0.003)
    now = browser.ask("""(() => { const n = document.querySelector('#tokens .now'),
        t = n.parentNode.getBoundingClientRect(); return (n.getBoundingClientRect().left - t.left) / t.width; })()""")
    assert now == pytest.approx(30 / 41, abs=0.01)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_fits_any_screen(made, tmp_path, browser, width, dark):
    browser.open(page_of(tmp_path).as_uri(), width=width, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    colours = browser.ask("""(() => { const s = getComputedStyle(document.body);
        return [s.color, s.backgroundColor].map(c => c.match(/\\d+/g).slice(0, 3)
            .reduce((sum, v) => sum + Number(v), 0)); })()""")
    assert (colours[0] > colours[1]) == dark and abs(colours[0] - colours[1]) > 400


def test_texts_are_no_markup(made, tmp_path, browser):
    browser.open(page_of(tmp_path).as_uri())
    assert browser.ask("document.title") != "owned"
    shown = browser.ask("document.querySelector('#denied').innerText")
    assert "<script>document.title='owned'</script>" in shown and "\u202e" not in shown


def test_a_broken_log_is_said_first(made, tmp_path, browser):
    made.lines[4] = made.lines[4].replace("telegraf", "telegrad")
    made.write(tmp_path)
    browser.open(page_of(tmp_path, check=1).as_uri())
    verdict = browser.ask("document.querySelector('main > section').innerText")
    assert "The log was changed" in verdict and "audit.jsonl:5" in verdict


def test_times(made, tmp_path, browser):
    """--since leaves out what was over; a value that lived on stays."""
    browser.open(page_of(tmp_path, "--since", "2026-11-22T17:05:00Z").as_uri())
    tokens = browser.ask("document.querySelector('#tokens').innerText")
    assert "#2" in tokens and "#1" not in tokens
    assert "Nobody was refused" in browser.ask("document.querySelector('#denied').innerText")


def test_without_css_it_is_a_text(made, tmp_path):
    page = page_of(tmp_path).read_text("utf-8")
    assert "Content-Security-Policy" in page and page.index('id="chain"') < page.index('id="tokens"')


def test_usage(made, tmp_path):
    assert "--html FILE" in audit("report", "--log-dir", tmp_path, check=2).stderr
    audit("report", "--html", tmp_path / "no" / "r.html", "--log-dir", tmp_path, check=1)
    assert audit("report", "--html", "-", "--log-dir", tmp_path, check=0).stdout.startswith("<!doctype html>")
    assert audit("report", "--html", tmp_path / "r", "--since", "2099-01-01", "--log-dir", tmp_path).returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no audit log" in audit("report", "--html", tmp_path / "r", "--log-dir", empty).stderr
    assert not (tmp_path / "r").exists()


def test_of_a_real_log(tmp_path, browser):
    with Sandbox() as sandbox, d.Daemon((d.SANDBOX_LOGIN + d.SANDBOX_BACKEND + """\
[token db]
backend = prod
permissions = read:x
lifetime = 1h
[client me]
user = root
tokens = db
""").format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        first = tb.token("db").json()
        tb.ctl("rotate", "db", check=0)
        tb.token("db")
        tb.ctl("get", "nosuch", check=4)
        page = tmp_path / "real.html"
        audit("report", "--html", page, "--log-dir", tb.log_dir, check=0)
        assert first["token"] not in page.read_text()
        browser.open(page.as_uri())
        shown = browser.ask("document.body.innerText")
        assert first["token_id"] in shown and f"uid {os.getuid()}" in shown and "alice" in shown
        assert "db #1 (live, 1 holder); db #2 (live, 1 holder)" in shown
        assert "Nothing." in browser.ask("document.querySelector('#trouble').innerText")
