# SPDX-License-Identifier: Apache-2.0
"""A login whose provider an InfluxDB 3 server names: device login, mint, restart; and a server that names another one
later gets nothing that the first one gave."""

import daemon as d
import util
from sandbox import Sandbox

CONF = """\
[login ops]
influxdb3_url = {issuer}
allow_insecure_loopback = yes
[backend it]
type = influxdb3
login = ops
base_url = {issuer}
allow_insecure_loopback = yes
[token t]
backend = it
permissions = read:metrics
lifetime = 6h
[client root]
user = root
tokens = *
"""


def test_login_mint_restart():
    with Sandbox("--quiet") as sandbox, d.Daemon(CONF.format(issuer=sandbox.issuer)) as tb:
        assert "client_id" not in tb.login_status("ops")
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        status = tb.login_status("ops")
        assert (status["issuer"], status["client_id"]) == (sandbox.issuer, "tokenbroker")
        held = tb.token("t").json()["token"]
        tb.restart()
        assert tb.login_status("ops")["state"] == "granted"
        assert tb.token("t").json()["token"] == held
        assert tb.ctl("rotate", "t").returncode == 0
        assert tb.token("t").json()["token"] != held


def test_another_issuer_gets_nothing():
    with Sandbox("--quiet", "--access-ttl=2") as sandbox, Sandbox("--quiet") as other, \
            d.Daemon(CONF.format(issuer=sandbox.issuer)) as tb:
        assert tb.login("ops", sandbox.approve)["state"] == "granted"
        assert tb.token("t").status == 200
        tb.stop()
        sandbox.fault("oauth_issuer", other.issuer)
        tb.start()
        util.wait_until(lambda: tb.ctl("rotate", "t").returncode != 0, 30)
        util.wait_until(lambda: tb.login_status("ops")["state"] == "human_needed", 30)
        assert other.state()["requests"].get("token", 0) == 0
        assert other.state()["requests"].get("revoke", 0) == 0
