# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that opens one page and answers questions about it: the DevTools protocol over its pipe.

    with Browser(tmp_path) as browser:
        browser.open("file:///...", width=1200)
        browser.ask("document.title")
"""

import json
import os
import shutil
import subprocess

# Without these it looks up hosts of its vendor.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]


class Browser:
    def __init__(self, directory):
        self.directory = directory
        self.n = 0
        self.events = []
        self.buffer = b""

    def __enter__(self):
        from_us, self.out = os.pipe()
        self.input, to_us = os.pipe()
        # It reads descriptor 3 and writes descriptor 4.
        shell = f'exec "$@" 3<&{from_us} 4>&{to_us}'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "sh", shutil.which("chromium"), *FLAGS,
             f"--user-data-dir={self.directory / 'chromium'}", "about:blank"],
            pass_fds=(from_us, to_us), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(self.directory)})
        os.close(from_us)
        os.close(to_us)
        self.session = None
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait(30)
        os.close(self.out)
        os.close(self.input)

    def _read(self):
        while b"\0" not in self.buffer:
            part = os.read(self.input, 1 << 20)
            assert part, "the browser is gone"
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.n += 1
        message = {"id": self.n, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            got = self._read()
            if got.get("id") == self.n:
                assert "result" in got, got
                return got["result"]
            self.events.append(got)

    def open(self, url, width=1200, height=900, dark=False):
        """The events of opening it are in events."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.events = []
        self.call("Page.navigate", url=url)
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._read())

    def ask(self, expression):
        got = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
