# SPDX-License-Identifier: Apache-2.0
"""./bootstrap demo for every type of backend: it proves itself, and says so by its exit status."""

import os
import pathlib
import shutil
import subprocess

import pytest

from daemon import program

DEMO = pathlib.Path(__file__).parents[1] / "demo/demo"
TYPES = ["dedicated", "clustered", "influxdb-v2", "influxdb3", "oauth", "token-exchange", "http", "import"]


def demo(*args):
    if not shutil.which("jq") or not shutil.which("curl"):
        pytest.skip("jq or curl is missing")
    build = pathlib.Path(program("tokenbrokerd")).parent
    return subprocess.run([DEMO, build, *args], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "TB_DEMO_SECONDS": "0.5", "NO_COLOR": "1"})


@pytest.mark.parametrize("kind", TYPES)
def test_demo(kind):
    done = demo("--backend", kind)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "the API takes it" in done.stdout and "That was the main job." in done.stdout and "✗" not in done.stdout


@pytest.mark.parametrize("args", [("--backend", "nosuch"), ("--backend",), ("--nosuch",), ("--wait", "--backend", "import")])
def test_demo_usage(args):
    assert demo(*args).returncode == 2


def test_all_types_are_shown(tmp_path):
    """Whoever adds a type adds its demo."""
    conf = tmp_path / "tokenbroker.conf"
    conf.write_text("[backend x]\ntype = nosuch\n", encoding="utf-8")
    wrong = subprocess.run([program("tokenbrokerd"), "--check", "-c", conf], capture_output=True, text=True, check=False).stderr
    known = wrong.partition("the types are: ")[2]
    for kind in TYPES:
        name = {"dedicated": "influxdb-dedicated", "clustered": "influxdb-clustered"}.get(kind, kind)
        assert name in known, wrong
    assert known.count(",") + 1 == len(TYPES), wrong
