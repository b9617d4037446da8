# SPDX-License-Identifier: Apache-2.0
"""Telegraf's secret stores, each set up with what stands in tokenbroker-telegraf(7) and nothing else, under a real
systemd, with a rotation under each. $TELEGRAF may name a real Telegraf; without it, a stand-in sends the same requests
and reads the same files.
"""

import os
import pathlib
import re
import shutil
import textwrap

import pytest

import sdbox
import util
from test_systemd import Tokenbroker

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "man/tokenbroker-telegraf.7"
README = MANUAL.parents[1] / "README.md"
STANDIN = pathlib.Path(__file__).with_name("telegraf_standin.py")
CONF = """\
    [token telegraf-write]
    backend = prod
    permissions = write:x read:x
    lifetime = 1h

    [client check]
    unit = check-*.service
    user = root
    tokens = telegraf-write
    """
AGENT = """\
    [agent]
      interval = "1s"
      flush_interval = "1s"
      omit_hostname = true
      skip_processors_after_aggregators = true
    [[inputs.mock]]
      metric_name = "mock"
      [[inputs.mock.constant]]
        name = "v"
        value = 1
    """
SAW = "dev/shm/sink-saw"
TOML = "etc/telegraf/telegraf.d/token.conf"
RULE = "etc/tokenbroker/conf.d/telegraf.conf"
OPTIONS = "etc/tokenbroker/watch.d/telegraf.conf"
DROPIN = "etc/systemd/system/telegraf.service.d/broker.conf"


def recipe(section):
    """The literal blocks of a section, as a person would copy them."""
    text = MANUAL.read_text(encoding="utf-8")
    start = text.index(f"\n.Sh {section}\n")
    text = text[start:text.index("\n.Sh ", start + 1)]
    return [b.replace("\\e", "\\") for b in re.findall(r"^\.Bd [^\n]*\n(.*?)^\.Ed", text, re.M | re.S)]


@pytest.fixture(scope="module", name="shared_box")
def make_box():
    reason = sdbox.skip_reason()
    if reason:
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Tokenbroker() as tb:
        tb.prepare()
        tb.enter("useradd", "--system", "telegraf")
        tb.write("etc/tokenbroker/conf.d/30-test.conf", textwrap.dedent(CONF))
        tb.ctl("reload")
        shutil.copy(STANDIN, tb.share / "standin.py")
        command = "/usr/bin/python3 /share/standin.py agent"
        if os.environ.get("TELEGRAF"):
            shutil.copy(os.environ["TELEGRAF"], tb.share / "telegraf")
            command = "/share/telegraf --config /etc/telegraf/telegraf.conf --config"
            tb.write("etc/telegraf/telegraf.conf", textwrap.dedent(AGENT))
        tb.add_unit("sink.service", f"[Service]\nExecStart=/usr/bin/python3 /share/standin.py sink 18086 /{SAW}\n")
        tb.enter("systemctl", "start", "sink")
        # as the package has it
        tb.add_unit("telegraf.service", f"[Service]\nUser=telegraf\nExecStart={command} /{TOML}\n"
                    "ExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\n")
        yield tb
        tb.search_for_secrets()


@pytest.fixture
def box(shared_box, request):
    failed = request.session.testsfailed
    yield shared_box
    if request.session.testsfailed > failed:
        print("\n".join(shared_box.journal(None, "--output=short-precise").splitlines()[-60:]))
    shared_box.enter("systemctl", "stop", "telegraf", "tokenbroker-watch@telegraf", "tokenbroker-watch@root", check=None)
    for path in (RULE, OPTIONS, DROPIN, TOML):
        (shared_box.root / path).unlink(missing_ok=True)
    shared_box.enter("systemctl", "daemon-reload")


def set_up(box, toml, rule, options=None, dropin=None):
    box.write(RULE, rule)
    box.ctl("reload")
    box.write(TOML, toml.replace("https://influx.example.com", "http://127.0.0.1:18086"))
    if options:
        box.write(OPTIONS, options)
    if dropin:
        box.write(DROPIN, dropin)
    (box.root / SAW).unlink(missing_ok=True)
    box.enter("systemctl", "daemon-reload")
    box.enter("systemctl", "start", "telegraf")


def value(box):
    """The newest, and a secret from here on."""
    text = box.run("tokenbrokerctl", "get", "telegraf-write", unit="check-get.service").stdout.strip()
    box.known.add(text)
    return text


def rotate(box):
    before = value(box)
    box.ctl("rotate", "telegraf-write")
    after = value(box)
    assert after != before
    return after


def seen(box):
    file = box.root / SAW
    return file.read_text() if file.exists() else None


def await_write(box, text):
    util.wait_until(lambda: seen(box) == text, 40, "a write with the newest value", interval=0.1)


def stays_with(box, text):
    """Several more writes come, and they still have this."""
    for _ in range(3):
        (box.root / SAW).unlink(missing_ok=True)
        util.wait_until(lambda: seen(box) is not None, 40, "another write", interval=0.1)
        assert seen(box) == text


def output(recipe_with_output):
    return recipe_with_output[recipe_with_output.index("[[outputs."):]


def test_vault(box):
    """Nothing but the rule and the configuration; no reload, no restart."""
    rule, toml, _ = recipe("VAULT")
    set_up(box, toml, rule)
    await_write(box, value(box))
    await_write(box, rotate(box))


def test_vault_of_the_readme(box):
    text = README.read_text(encoding="utf-8")
    text = text[text.index("### My Telegraf"):]
    rule, toml = re.findall(r"^```(?:ini|toml)\n(.*?)^```", text, re.M | re.S)[:2]
    set_up(box, toml, rule)
    await_write(box, value(box))
    await_write(box, rotate(box))


def test_vault_with_a_login(box):
    rule, toml, login = recipe("VAULT")
    set_up(box, login + output(toml), rule)
    await_write(box, value(box))
    await_write(box, rotate(box))


def test_vault_over_a_restart_of_the_daemon(box):
    """What cannot be asked for is asked for again with the next write."""
    rule, toml, _ = recipe("VAULT")
    set_up(box, toml, rule)
    await_write(box, value(box))
    box.enter("systemctl", "restart", "tokenbrokerd")
    (box.root / SAW).unlink(missing_ok=True)
    await_write(box, rotate(box))


def test_docker(box):
    options, rule, dropin, toml = recipe("DOCKER")
    set_up(box, toml, rule, options, dropin)
    await_write(box, value(box))
    await_write(box, rotate(box))


def test_docker_without_dynamic(box):
    options, rule, dropin, toml = recipe("DOCKER")
    set_up(box, toml.replace("  dynamic = true\n", ""), rule, options, dropin)
    before = value(box)
    await_write(box, before)
    after = rotate(box)
    stays_with(box, before)
    box.enter("systemctl", "reload", "telegraf")
    await_write(box, after)


def test_os(box):
    _, rule, dropin, _ = recipe("DOCKER")
    options, toml = recipe("OS")
    set_up(box, toml, rule, options, dropin)
    await_write(box, value(box))
    await_write(box, rotate(box))


def test_http(box):
    """Read once; a reload after the rotation, by hand and by a unit of root's."""
    rule, *_ = recipe("VAULT")
    toml, options, reloader = recipe("HTTP")
    set_up(box, toml, rule + "\n" + reloader)
    before = value(box)
    await_write(box, before)
    after = rotate(box)
    stays_with(box, before)
    box.enter("systemctl", "reload", "telegraf")
    await_write(box, after)
    box.write("etc/tokenbroker/watch.d/root.conf", options)
    box.enter("systemctl", "start", "tokenbroker-watch@root")
    await_write(box, rotate(box))


def test_systemd(box):
    """A reload changes nothing, a restart does."""
    rule, dropin, toml = recipe("SYSTEMD")
    set_up(box, toml, rule, dropin=dropin)
    before = value(box)
    await_write(box, before)
    after = rotate(box)
    box.enter("systemctl", "reload", "telegraf")
    stays_with(box, before)
    box.enter("systemctl", "restart", "telegraf")
    await_write(box, after)
