# SPDX-License-Identifier: Apache-2.0
"""The goals G1 to G9: how each is measured, and the lines that say whether it is met."""

import os
import pathlib
import re
import subprocess
import time

import lab as L

COMPANY_CONNS = 8


class Cell:
    """One kind of load, several servers, several rounds."""

    def __init__(self, title, mode, conns, servers, **more):
        self.title, self.mode, self.conns, self.servers, self.more = title, mode, conns, servers, more
        self.rows = {s.name: [] for s in servers}

    def round(self, lab, seconds):
        for s in self.servers:
            self.rows[s.name].append(s.measure(lab, self.mode, self.conns, seconds, **self.more))

    def values(self, name, key):
        return [row[key] for row in self.rows[name]]

    def value(self, name, key):
        return L.median(self.values(name, key))

    def ratios(self, name, other, key):
        """Round by round; None when one of them is not here."""
        if not self.rows.get(name) or not self.rows.get(other):
            return None
        return [a[key] / b[key] for a, b in zip(self.rows[name], self.rows[other]) if b[key]]

    def print(self):
        print(f"\n{self.title}")
        print(f"  {'':22}{'requests/s':>11}{'x floor':>9}{'(min-max)':>14}{'p50 us':>9}{'p99 us':>10}"
              f"{'CPU us':>9}{'x floor':>9}{'RSS MB':>8}")
        first = self.servers[0].name
        for s in self.servers:
            ratios, cpu = self.ratios(s.name, first, "rps"), self.ratios(s.name, first, "cpu_us")
            print(f"  {s.name:22}{self.value(s.name, 'rps'):11,.0f}{L.median(ratios):9.2f}"
                  f"{f'({min(ratios):.2f}-{max(ratios):.2f})':>14}{self.value(s.name, 'p50_us'):9.1f}"
                  f"{self.value(s.name, 'p99_us'):10.1f}{self.value(s.name, 'cpu_us'):9.2f}{L.median(cpu):9.2f}"
                  f"{self.value(s.name, 'rss_kb') / 1024:8.1f}")


class OidcLibrary:
    """oidc-agent through its own client library: the client is a program of its own."""

    name = "oidc-agent, its library"

    def __init__(self, agent, program):
        self.agent, self.program = agent, program

    def measure(self, lab, mode, conns, seconds, **more):
        self.agent.pin(lab.server_cpu)
        before = sum(lab.cpu_seconds(p) for p in self.agent.pids())
        done = subprocess.run([self.program, str(seconds), str(lab.server_cpu)], check=True, text=True,
                              capture_output=True, env={**os.environ, "OIDC_SOCK": str(self.agent.path)})
        row = {k: float(v) for k, v in (pair.split("=") for pair in done.stdout.split())}
        row["cpu_us"] = (sum(lab.cpu_seconds(p) for p in self.agent.pids()) - before) * 1e6 / row["n"]
        row["rss_kb"] = self.agent.rss_kb()
        return row


class Bench:
    def __init__(self, lab, seconds, rounds):
        self.lab, self.seconds, self.rounds = lab, seconds, rounds
        self.missing, self.lines, self.cells = [], [], {}
        self.nginx = self.agent = self.library = None

    # ---------------------------------------------------------------- servers

    def start(self):
        lab = self.lab
        self.upstream = L.Upstream(lab)
        self.relaxed = L.Broker(lab, self.upstream, "relaxed", client=self.credential_rule())
        self.first_rss = self.relaxed.rss_kb()
        self.strict = L.Broker(lab, self.upstream, "strict")
        raw = self.relaxed.raw_answer()
        self.answer, self.body = lab.dir / "answer", lab.dir / "body"
        self.answer.write_bytes(raw)
        body = raw.partition(b"\r\n\r\n")[2]
        self.body.write_bytes(body)
        self.value = L.json.loads(body)["token"]
        (lab.dir / "value").write_text(self.value)
        self.floor = L.start_floor(lab, "floor", self.answer)
        self.raw_floor = L.start_floor(lab, "floor (raw)", lab.dir / "value", "-R")
        self.each = L.start_floor(lab, "one fdatasync each", self.answer, "-S", lab.dir / "sync.log")
        self.evhttp = L.start_evhttp(lab, self.body)
        self.nginx = self.optional("nginx", lambda: L.start_nginx(lab, self.body))
        self.agent = self.optional("oidc-agent", lambda: L.start_oidc_agent(lab, self.value), "openssl")
        self.library = self.agent and self.build_library()
        self.credential = self.credential_door()

    def optional(self, program, start, *also):
        for name in (program, *also):
            if not L.which(name):
                self.missing.append(f"{program}: not here; Debian's package {L.PACKAGES[name]} has {name}")
                return None
        try:
            return start()
        except (RuntimeError, OSError) as e:
            self.missing.append(f"{program}: could not be started ({e})")
            return None

    def build_library(self):
        program, source = self.lab.dir / "oidclib", pathlib.Path(__file__).with_name("oidclib.c")
        done = subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, source, "-loidc-agent"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.missing.append("oidc-agent's library: not here; Debian's package liboidc-agent-dev has it")
            return None
        return OidcLibrary(self.agent, program)

    def credential_rule(self):
        """systemd connects to the credential door as root."""
        if os.geteuid() != 0:
            return ""
        return f"[client bench-unit]\nunit = {L.CredentialDoor.UNIT}\ndoor = credential\ntokens = {L.TOKEN}\n" \
               f"credentials = cred={L.TOKEN}\n"

    def credential_door(self):
        try:
            return L.CredentialDoor(self.lab, self.relaxed)
        except (RuntimeError, OSError) as e:
            self.missing.append(f"credential door: not measured ({e})")
            return None

    # ------------------------------------------------------------------- load

    def do_load(self):
        floor, relaxed, strict, each = self.floor, self.relaxed, self.strict, self.each
        here = lambda *servers: [s for s in servers if s]
        self.cells = {
            "keep32": Cell("Kept connections, 32 clients (G1, G4)", "keep", 32,
                           here(floor, relaxed, strict, self.evhttp, self.nginx, each)),
            "keep128": Cell("Kept connections, 128 clients (G4)", "keep", 128, here(floor, relaxed, strict, each)),
            "keep1": Cell("Kept connection, one client, same CPU", "keep", 1,
                          here(floor, relaxed, strict, self.evhttp, self.nginx)),
            "connect32": Cell("A connection per request, 32 clients (G2)", "connect", 32,
                              here(floor, relaxed, strict, self.evhttp, self.nginx)),
            "block32": Cell("A connection per request, 32 clients that block (G3)", "connect", 32,
                            here(floor, relaxed, strict, self.agent), B=True),
            "connect1": Cell("A connection per request, one client, same CPU (G2, G3)", "connect", 1,
                             here(floor, relaxed, strict, self.evhttp, self.nginx, self.agent, self.library)),
        }
        if self.credential:
            self.cells["raw32"] = Cell("A credential read as systemd does, 32 at once", "raw", 32,
                                       [self.raw_floor, self.credential])
        for _ in range(self.rounds):
            for cell in self.cells.values():
                cell.round(self.lab, self.seconds)
                relaxed.forget_audit()
                strict.forget_audit()
        for cell in self.cells.values():
            cell.print()
        self.cross_check()
        self.judge_load()

    def cross_check(self):
        """The neutral tool on the same servers: does it see what our generator sees?"""
        if not L.which("h2load"):
            self.missing.append(f"h2load: not here; Debian's package is {L.PACKAGES['h2load']}")
            return
        print("\nh2load (HTTP/1.1, 32 kept connections) beside our generator, requests/s")
        seen = {}
        for s in (self.floor, self.relaxed, self.evhttp):
            done = subprocess.run(["taskset", "-c", str(self.lab.load_cpu), "h2load", "--h1", "-D", "1", "-c", "32", "-t",
                                   "1", "-H", "X-Tokenbroker: 1", "-B", f"unix:{s.path}", "http://localhost" + L.TARGET],
                                  capture_output=True, text=True, check=False)
            found = re.search(r"([\d.]+) req/s", done.stdout)
            bad = re.search(r"(\d+) failed, (\d+) errored", done.stdout)
            if not found or not bad or bad.groups() != ("0", "0"):
                print(f"  {s.name:22} h2load failed: {done.stdout[-200:]}{done.stderr[-200:]}")
                continue
            seen[s.name] = float(found[1])
            ours = self.cells["keep32"].value(s.name, "rps")
            print(f"  {s.name:22}{seen[s.name]:11,.0f} {ours:11,.0f}   x floor {seen[s.name] / seen['floor']:.2f} "
                  f"{ours / self.cells['keep32'].value('floor', 'rps'):.2f}")

    def judge_load(self):
        c, ours = self.cells, self.relaxed.name
        self.judge("G1", "of the floor's requests/s, 32 kept", c["keep32"].ratios(ours, "floor", "rps"), ">=", 0.70)
        self.judge("G1", "of the floor's CPU per request", c["keep32"].ratios(ours, "floor", "cpu_us"), "<=", 1.5)
        self.judge("G1", "of nginx' requests/s", c["keep32"].ratios(ours, "nginx", "rps"), ">=", 1.0)
        self.judge("G2", "of the floor's requests/s, 32 connecting", c["connect32"].ratios(ours, "floor", "rps"), ">=",
                   0.54)
        self.judge("G2", "of the floor's p50, one connecting", c["connect1"].ratios(ours, "floor", "p50_us"), "<=", 1.2)
        self.judge("G3", "of oidc-agent's requests/s, 32 connecting", c["block32"].ratios(ours, "oidc-agent", "rps"),
                   ">=", 5)
        self.judge("G3", "of its p50", c["block32"].ratios(ours, "oidc-agent", "p50_us"), "<=", 0.2)
        self.judge("G3", "of its own library's requests/s, one client",
                   c["connect1"].ratios(ours, OidcLibrary.name, "rps"), ">=", 10)
        each, strict = self.each.name, self.strict.name
        self.judge("G4", "of one fdatasync each, strict, 32 kept", c["keep32"].ratios(strict, each, "rps"), ">=", 8)
        self.judge("G4", "of one fdatasync each, strict, 128 kept", c["keep128"].ratios(strict, each, "rps"), ">=", 24)
        self.judge("G4", "of relaxed's p99, strict, 128 kept", c["keep128"].ratios(strict, ours, "p99_us"), "<=", 3)

    # ---------------------------------------------------------------- company

    def pairs(self, server, company, **more):
        """p99 of good clients alone and beside others, in turns: ratios."""
        ratios = []
        for _ in range(max(3, self.rounds - 2)):
            alone = self.lab.load(server, "keep", COMPANY_CONNS, self.seconds, **more)["p99_us"]
            with company():
                beside = self.lab.load(server, "keep", COMPANY_CONNS, self.seconds, **more)["p99_us"]
            ratios.append(beside / alone)
        return ratios

    def hold(self, server, kind, n, wait=0.2):
        return Company(self.lab, server, kind, n, wait)

    def do_company(self):
        """G5: what others do to whoever behaves."""
        many = min(L.MANY, self.lab.descriptors - 1000)
        for kind, n, wait in (("idle", many, 0.3), ("half", 200, 0.3), ("stalled", 200, 0.3), ("never", 50, 2.0)):
            ratios = self.pairs(self.relaxed, lambda k=kind, n=n, w=wait: self.hold(self.relaxed, k, n, w))
            self.judge("G5", f"of p99 beside {n:,} {COMPANY_WORDS[kind]}", ratios, "<=", 1.5)
        self.relaxed.forget_audit()
        self.stalled_disk()
        self.descriptor_limit()

    def stalled_disk(self):
        switch = self.lab.dir / "disk-hangs"
        env = {"LD_PRELOAD": self.lab.program("stall.so"), "BENCH_STALL": str(switch)}
        relaxed = L.Broker(self.lab, self.upstream, "relaxed", "stalled relaxed", env=env)
        strict = L.Broker(self.lab, self.upstream, "strict", "stalled strict", env=env)
        self.judge("G5", "of p99, relaxed releases, disk hangs", self.pairs(relaxed, lambda: Switch(switch)), "<=", 1.5)
        self.judge("G5", "of p99, strict but no release, disk hangs",
                   self.pairs(strict, lambda: Switch(switch), target="/api/v1/tokens"), "<=", 1.5)
        relaxed.stop()
        strict.stop()

    def descriptor_limit(self):
        broker = L.Broker(self.lab, self.upstream, "relaxed", "few descriptors", limit=64)
        with self.hold(broker, "idle", 200):
            before, since = self.lab.cpu_seconds(broker.process.pid), time.monotonic()
            time.sleep(2)
            share = (self.lab.cpu_seconds(broker.process.pid) - before) / (time.monotonic() - since)
        said = (self.lab.dir / broker.log).read_text(errors="replace").count("out of descriptors")
        self.judge("G5", "of a core at the descriptor limit", [share], "<=", 0.05)
        self.judge("G5", "log lines in that minute", [said], "<=", 1)
        broker.stop()

    # ----------------------------------------------------------------- memory

    def do_memory(self):
        """G6."""
        libs = self.lab.start([self.lab.program("libs"), self.upstream.sandbox.issuer +
                               "/.well-known/openid-configuration"], "libs.log")
        self.lab.wait_for(lambda: "READY" in (self.lab.dir / "libs.log").read_text(), "libs")
        own = self.lab.rss_kb(libs.pid)
        self.lab.stop(libs)
        print(f"\nMemory: tokenbrokerd after its first answer {self.first_rss:,} kB, its libraries alone {own:,} kB")
        self.judge("G6", "of its libraries' resident size", [self.first_rss / own], "<=", 1.15)
        broker = L.Broker(self.lab, self.upstream, "relaxed", "memory")
        many = min(L.MANY, self.lab.descriptors - 1000)
        self.lab.load(broker, "keep", 32, n=20000)
        before = broker.rss_kb()
        with self.hold(broker, "idle", many, 1.0):
            self.judge("G6", f"kB per idle connection ({many:,})", [(broker.rss_kb() - before) / many], "<=", 1.2)
        total = 10_000_000 if os.environ.get("BENCH_LONG") else 500_000
        done, sizes = 0, []
        while done < total:
            self.lab.load(broker, "keep", 32, 600, n=total // 10, w=0)
            done += total // 10
            broker.forget_audit()
            sizes.append(broker.rss_kb())
        print(f"  resident size over {total:,} requests, kB: " + " ".join(map(str, sizes)))
        self.judge("G6", f"growth over the last half of {total:,} requests", [sizes[-1] / sizes[4] - 1], "<=", 0.01)
        broker.stop()

    # ---------------------------------------------------------------- command

    def do_command(self):
        """G7."""
        token = L.which("oidc-token") if self.agent else None
        commands = [["/bin/true"], [self.lab.program("tokenbrokerctl"), "get", L.TOKEN]]
        if token:
            commands.append([token, "bench"])
        argv = [self.lab.program("spawn"), "100"]
        for i, command in enumerate(commands):
            argv += ([":::"] if i else []) + command
        env = {**os.environ, "TOKENBROKER_RUN_DIR": str(self.relaxed.dir / "run")}
        if self.agent:
            env["OIDC_SOCK"] = str(self.agent.path)
        # a single client: see lab.py
        self.relaxed.pin(self.lab.server_cpu)
        same_cpu = lambda: os.sched_setaffinity(0, {self.lab.server_cpu})
        rounds = []
        for _ in range(self.rounds):
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, preexec_fn=same_cpu)
            rounds.append([float(line.split()[0].split("=")[1]) for line in done.stdout.splitlines()])
        print("\nCommands, us: " + ", ".join(f"{pathlib.Path(c[0]).name} {L.median([r[i] for r in rounds]):.0f}"
                                             for i, c in enumerate(commands)))
        self.judge("G7", "of /bin/true, tokenbrokerctl get", [r[1] / r[0] for r in rounds], "<=", 1.4)
        self.judge("G7", "of oidc-token", [r[1] / r[2] for r in rounds] if token else None, "<=", 0.7)

    # ------------------------------------------------------------------- gate

    def do_gate(self):
        """G8: the same program as in `make check`."""
        gate = pathlib.Path(__file__).with_name("gate")
        done = subprocess.run([gate, "--print"], env={**os.environ, "builddir": str(self.lab.build)},
                              capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            found = re.match(r"(\S+) ([\d.]+) goal (\d+)", line)
            if found:
                self.judge("G8", found[1].replace("_", " "), [float(found[2])], "<=", float(found[3]))
            else:
                print("  " + line)

    # ------------------------------------------------------------------- cold

    def do_cold(self):
        """G9: ten thousand ask for what is not there yet."""
        many = min(L.MANY, self.lab.descriptors - 1000)
        sandbox, broker = self.upstream.sandbox, self.strict
        minted = lambda: sandbox.state()["done"].get("mint", 0)
        sandbox.fault("delay", "1", path="/api/v0", method="POST")
        warm = self.lab.load(broker, "keep", many, 120, n=many, w=0)
        lone = self.lab.load(broker, "keep", 1, 60, target="/api/v1/tokens/cold-one", n=1, w=0)
        before = minted()
        herd = self.lab.load(broker, "keep", many, 60, target="/api/v1/tokens/cold-many", n=many, w=0)
        calls = minted() - before
        sandbox.clear_faults()
        limit = lone["max_us"] / 1e6 + warm["seconds"]
        print(f"\nCold: {many:,} askers: the last one answered after {herd['max_us'] / 1e6:.3f} s; a lone asker "
              f"{lone['max_us'] / 1e6:.3f} s, {many:,} warm answers {warm['seconds']:.3f} s; strict")
        self.judge("G9", "upstream calls", [calls], "<=", 1)
        self.judge("G9", "askers without an answer", [many - herd["n"]], "<=", 0)
        self.judge("G9", "of one mint and as many warm answers", [herd["max_us"] / 1e6 / limit], "<=", 1.0)

    # ----------------------------------------------------------------- report

    def judge(self, goal, what, values, sense, limit):
        if not values:
            self.lines.append(f"  {goal}  {'not measured':>10}  goal {sense} {limit:<7g} {what}")
            return
        value = L.median(values)
        met = value >= limit if sense == ">=" else value <= limit
        off = value / limit if limit else value
        spread = f" ({min(values):.2f}-{max(values):.2f})" if len(values) > 1 else ""
        verdict = "met" if met else f"MISSED, {abs(off - 1) * 100:.0f} % off"
        self.lines.append(f"  {goal}  {value:>10,.3g}  goal {sense} {limit:<7g} {what}{spread}: {verdict}")

    def report(self):
        print("\nGoals (x means ratio; median of the rounds)")
        for line in self.lines:
            print(line)
        for line in self.missing:
            print(f"  - {line}")


COMPANY_WORDS = {"idle": "idle connections", "half": "half-sent requests", "stalled": "stalled bodies",
                 "never": "that never read"}


class Company:
    """Bad clients of one kind, while the block runs."""

    def __init__(self, lab, server, kind, n, wait):
        self.lab, self.wait = lab, wait
        self.argv = [lab.program("hold"), kind, n, L.TARGET, server.path]

    def __enter__(self):
        log = self.lab.dir / "hold.log"
        log.unlink(missing_ok=True)
        self.process = self.lab.start(self.argv, "hold.log", cpu=self.lab.load_cpu)
        self.lab.wait_for(lambda: "READY" in log.read_text(), "hold", 60)
        time.sleep(self.wait)

    def __exit__(self, *exc):
        self.lab.stop(self.process)
        time.sleep(0.2)


class Switch:
    """While the block runs, the file is there and the disk hangs."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.path.touch()
        time.sleep(0.1)

    def __exit__(self, *exc):
        self.path.unlink()
        time.sleep(0.3)
