# SPDX-License-Identifier: Apache-2.0
"""Units as holders, under a real systemd: a credential counts for as long as that run of the unit lasts, and no longer."""

import json
import textwrap

import pytest

import sdbox
import util
from test_systemd import SOCKET, Tokenbroker

CONF = """\
    [token early]
    backend = prod
    permissions = read:x
    lifetime = 1h
    revoke_superseded = when_moved
    overlap = 1s

    [client holders]
    unit = holder-*.service
    tokens = early
    credentials = early=early
    """
UNIT = f"[Service]\nLoadCredential=early:{SOCKET}\nExecStart=/bin/sleep infinity\n"


@pytest.fixture(scope="module", name="box")
def make_box():
    reason = sdbox.skip_reason()
    if reason:
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Tokenbroker() as tb:
        tb.prepare()
        tb.write("etc/tokenbroker/conf.d/30-holders.conf", textwrap.dedent(CONF))
        tb.ctl("reload")
        yield tb
        tb.search_for_secrets()


def generation(box, number):
    answer = json.loads(box.ctl("tokens", "--json", "early").stdout)
    return next((g for g in answer["tokens"][0]["generations"] if g["generation"] == number), None)


def holder(box, number, name):
    return next((h for h in generation(box, number)["holders"] if h["holder"] == name), None)


def test_credential_for_a_run(box):
    box.start_unit("holder-a.service", UNIT)
    box.start_unit("holder-b.service", UNIT)
    for unit in "ab":
        held = holder(box, 1, f"unit:holder-{unit}.service")
        assert (held["doors"], held["keeps_it"]) == (["credential"], "run"), held
    old = generation(box, 1)["token_id"]
    box.ctl("rotate", "early")
    # a newer one in its hands changes nothing: it was started with the old
    box.known.add(box.run("tokenbrokerctl", "get", "early", unit="holder-c.service").stdout.strip())
    util.wait_until(lambda: "unit:holder-a.service was started with it" in generation(box, 1)["kept_because"], 20,
                    "the end of the overlap", interval=0.2)
    box.enter("systemctl", "restart", "tokenbrokerd.service")
    box.enter("systemctl", "restart", "holder-a.service")
    assert holder(box, 2, "unit:holder-a.service")["keeps_it"] == "run"
    assert holder(box, 1, "unit:holder-a.service")["over"], "that run has ended"
    assert "over" not in holder(box, 1, "unit:holder-b.service")
    assert generation(box, 1)["kept_because"] == "unit:holder-b.service was started with it"
    box.enter("systemctl", "restart", "holder-b.service")
    util.wait_until(lambda: generation(box, 1) is None, 30, "the revocation", interval=0.2)
    states = {t["id"]: t["state"] for t in box.sandbox("GET", "state")["tokens"]}
    assert (states[old], states[generation(box, 2)["token_id"]]) == ("revoked", "live")
    assert "superseded, and nobody uses it any more" in box.daemon_says("early", "generation 1", "superseded")
