# SPDX-License-Identifier: Apache-2.0
"""Two real identity providers as test fixtures, behind one interface.

Glewlwyd (C, from Debian) and oidc-provider (Node, from npm) disagree almost everywhere the RFCs leave room. A client
that passes against both has no single server's habits built in. What they disagree about stands in DIFFERENCES.

    with Glewlwyd() as provider:
        provider.issuer, provider.clients["none"]["client_id"]
        provider.approve(user_code, user="alice")
        provider.fail("token", status=503)
        provider.token_requests("refresh_token")

Every instance has its own directory, port and process. The services that packages bring along are never used.
"""

import functools
import glob
import hashlib
import http.cookiejar
import html.parser
import json
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request

import keys
import util
from faultproxy import FaultProxy

HERE = pathlib.Path(__file__).resolve().parent
RESOURCE = "https://api.example.org/"
SCOPES = ["api:read", "api:write"]
USERS = ("alice", "bob")

DIFFERENCES = {
    "glewlwyd": {
        # The device answer says "interval".
        "has_interval": True,
        # slow_down is the server's own, not added by our script. It does not raise the interval.
        "real_slow_down": True,
        # A human can refuse. (Glewlwyd's access_denied means an unknown or used device code.)
        "can_deny": False,
        # A refused refresh token: 400 without a body, else 400 invalid_grant.
        "empty_400_on_refresh": True,
        # Revoking a JWT access token: 400 unsupported_token_type. (Of oidc-provider only 9.x does that, and 9.x does
        # not run on Debian's Node. A test that needs it can have it from the proxy.)
        "unsupported_token_type_on_access_revoke": False,
        # Unknown client or wrong secret, at the device endpoint and while polling.
        "bad_client_status": 403,
        "bad_client_error": "unauthorized_client",
        # The same for an assertion or certificate that is wrong (at the device endpoint).
        "bad_assertion_status": 401,
        # A refresh with a wrong client_id or secret counts as theft: refused like a bad token, and the token is dead.
        "bad_client_kills_refresh_token": True,
        # Id and secret are decoded from the form encoding that RFC 6749 2.3.1 asks for in an Authorization header.
        "decodes_basic_secret": False,
        # The aud of a client assertion must be the URL of the endpoint called; the issuer will not do.
        "assertion_aud_exact_endpoint": True,
        # The revocation endpoint serves clients that have no secret.
        "public_clients_can_revoke": False,
        # Certificates are looked at under mtls_endpoint_aliases only.
        "mtls_aliases": True,
    },
    "oidc-provider": {
        # Nor an interval nor slow_down in the library. Our script adds both unless OidcProvider(interval=None).
        "has_interval": False,
        "real_slow_down": False,
        "can_deny": True,
        "empty_400_on_refresh": False,
        "unsupported_token_type_on_access_revoke": False,
        "bad_client_status": 401,
        "bad_client_error": "invalid_client",
        "bad_assertion_status": 401,
        "bad_client_kills_refresh_token": False,
        "decodes_basic_secret": True,
        "assertion_aud_exact_endpoint": False,
        "public_clients_can_revoke": True,
        "mtls_aliases": False,
    },
}


def make_clients(tls):
    """The registered clients by kind, with what a client needs to know to be one."""
    directory = keys.key_dir()
    clients = {
        "none": {"client_id": "cli-public", "method": "none"},
        "client_secret_basic": {"client_id": "cli-basic", "method": "client_secret_basic",
                                "client_secret": "basic-secret-1"},
        # RFC 6749 2.3.1 wants such a secret encoded like a form before it goes into the header.
        "client_secret_basic_odd": {"client_id": "cli-basic-odd", "method": "client_secret_basic",
                                    "client_secret": "basic secret+1%:/"},
        "client_secret_post": {"client_id": "cli-post", "method": "client_secret_post",
                               "client_secret": "post secret&1=+%"},
    }
    for alg in ("RS256", "ES256"):
        name = alg.lower()
        clients[f"private_key_jwt_{name}"] = {
            "client_id": f"cli-jwt-{name}", "method": "private_key_jwt", "alg": alg, "kid": f"cli-{name}",
            "key_file": str(directory / f"client-{alg}.pem")}
    if tls:
        clients["tls_client_auth"] = {
            "client_id": "cli-mtls", "method": "tls_client_auth", "san_dns": keys.MTLS_NAME,
            "cert_file": str(directory / "client.pem"), "key_file": str(directory / "client.key")}
    return clients


def _public_jwks(client):
    return {"keys": [keys.jwk(client["key_file"], client["kid"], client["alg"])]}


class Provider:
    """What both have in common. Use one of the classes below."""

    name = ""
    _tls_upstream_context = None

    def __init__(self, *, interval=1, device_expiry=600, access_ttl=3600, refresh_ttl=14 * 86400, rotate=True,
                 behind_proxy=True, movable_clock=False):
        """interval: seconds between polls. device_expiry, access_ttl, refresh_ttl: seconds. rotate: a new refresh token
        with every refresh. behind_proxy: a FaultProxy in front, as .proxy (never with TLS). movable_clock: allows
        clock()."""
        self.interval = interval
        self.device_expiry = device_expiry
        self.access_ttl = access_ttl
        self.refresh_ttl = refresh_ttl
        self.rotate = rotate
        self.behind_proxy = behind_proxy
        self.movable_clock = movable_clock
        self.differences = dict(DIFFERENCES[self.name])
        self.resource = RESOURCE
        self.scopes = list(SCOPES)
        self.users = USERS
        self.tls = False
        self.proxy = None
        self.process = None

    # -- life ----------------------------------------------------------------------------------------------------

    @classmethod
    def skip_reason(cls, movable_clock=False):
        """None, or why this provider cannot run here (with a movable clock)."""
        missing = [program for program in cls._programs if not shutil.which(program)]
        return f"{cls.name}: not installed: {', '.join(missing)}" if missing else None

    def start(self, tls=False):
        """Returns when the provider answers. tls: https with a private authority (ca_file), client certificates
        accepted, no proxy."""
        self.tls = tls
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"tb-{self.name}-"))
        self.log_file = self.directory / "output.log"
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self):
        secrets = keys.key_dir()
        self.ca_file = str(secrets / "ca.pem")
        self.client_cert, self.client_key = str(secrets / "client.pem"), str(secrets / "client.key")
        self.stranger_cert, self.stranger_key = str(secrets / "stranger.pem"), str(secrets / "stranger.key")
        self.clients = make_clients(self.tls)
        self._port = util.free_port()
        self._upstream = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"
        self.base_url = self._upstream
        if self.tls:
            self._tls_upstream_context = util.tls_context(self.ca_file)
        elif self.behind_proxy:
            self.proxy = FaultProxy(self._port).start()
            self.base_url = self.proxy.address
        self.issuer = self.base_url + self._issuer_path
        self._clock_env = self._prepare_clock() if self.movable_clock else {}
        self._launch()

        known = util.http_request(self.discovery_url, context=self._tls_upstream_context).json()
        self.token_endpoint = known["token_endpoint"]
        self.device_endpoint = known["device_authorization_endpoint"]
        self.jwks_uri = known["jwks_uri"]
        self.revocation_endpoint = known["revocation_endpoint"]
        self.mtls_endpoints = known.get("mtls_endpoint_aliases", {})
        self.reset()

    def stop(self):
        if self.proxy:
            self.proxy.stop()
            self.proxy = None
        if self.process:
            util.end_process(self.process, self._stop_signal)
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *exc):
        self.stop()

    def reset(self):
        """For a test that shares this provider with others: no faults, an empty log, the true time."""
        if self.proxy:
            self.proxy.reset()
        if self.movable_clock:
            self.clock(0)

    @property
    def discovery_url(self):
        return self.issuer + "/.well-known/openid-configuration"

    # -- what was asked, and what goes wrong -----------------------------------------------------------------------

    def _need_proxy(self):
        if not self.proxy:
            raise RuntimeError(f"{self.name} runs without its proxy")
        return self.proxy

    def path(self, endpoint):
        """The path of an endpoint: token, device, jwks, revocation or discovery."""
        url = {"token": self.token_endpoint, "device": self.device_endpoint, "jwks": self.jwks_uri,
               "revocation": self.revocation_endpoint, "discovery": self.discovery_url}[endpoint]
        return urllib.parse.urlsplit(url).path

    def fail(self, endpoint, **what):
        """FaultProxy.fail() with an endpoint's name in place of a path."""
        return self._need_proxy().fail(self.path(endpoint), **what)

    def requests(self, endpoint):
        """The requests to an endpoint, as FaultProxy remembers them."""
        return self._need_proxy().seen(self.path(endpoint))

    def token_requests(self, grant=None):
        """The requests to the token endpoint, all or of one grant type ("device_code", "refresh_token", ...)."""
        return self._need_proxy().seen(self.path("token"), grant=grant)

    def refresh_count(self):
        return len(self.token_requests("refresh_token"))

    # -- the humans ------------------------------------------------------------------------------------------------

    def approve(self, user_code, user="alice"):
        """The human agrees."""
        raise NotImplementedError

    def deny(self, user_code, user="alice"):
        """The human refuses."""
        raise NotImplementedError

    def html_approve(self, user_code, user="alice"):
        """approve() the way a browser does it."""
        raise NotImplementedError

    def end_login(self, user):
        """Kills all refresh tokens of this account on the server, as an administrator would."""
        raise NotImplementedError

    @property
    def can_deny(self):
        return self.differences["can_deny"]

    # -- time ------------------------------------------------------------------------------------------------------

    def clock(self, offset):
        """Sets the server's clock so many seconds ahead of the true time."""
        if not self.movable_clock:
            raise RuntimeError("the clock moves only with movable_clock=True")
        self._set_clock(offset)

    def _prepare_clock(self):
        return {}

    def _ask(self, path, **how):
        """A request to the server itself, past the proxy and its log."""
        return util.http_request(self._upstream + path, context=self._tls_upstream_context, **how)


# -- Glewlwyd ----------------------------------------------------------------------------------------------------------

_SCHEMA = pathlib.Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
_PLACEHOLDER_ISSUER = "http://127.0.0.1/placeholder"

_GLEWLWYD_CONF = """\
port={port}
bind_address="127.0.0.1"
external_url="{external}"
login_url="login.html"
api_prefix="api"
cookie_domain="127.0.0.1"
cookie_secure=0
session_expiration=2419200
session_key="GLEWLWYD2_SESSION_ID"
admin_session_authentication="cookie,api_key"
log_mode="file"
log_level="WARNING"
log_file="{directory}/glewlwyd.log"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA512"
database = {{ type = "sqlite3" path = "{directory}/glewlwyd.db" }}
"""

_GLEWLWYD_TLS_CONF = """\
use_secure_connection=true
secure_connection_key_file="{keys}/server.key"
secure_connection_pem_file="{keys}/server.pem"
secure_connection_ca_file="{keys}/ca.pem"
"""


def _password(user):
    # The password of "admin" is the one that Glewlwyd's own database comes with.
    return "password" if user == "admin" else f"{user}-password"


class _GlewlwydSession:
    """Somebody who is logged in at Glewlwyd's own API."""

    def __init__(self, ask, user):
        self._ask = ask
        self._user = user
        self._cookie = None

    def login(self):
        reply = self._ask("/api/auth/", body={"username": self._user, "password": _password(self._user)})
        if reply.status != 200:
            raise RuntimeError(f"glewlwyd does not let {self._user} in: {reply}")
        self._cookie = reply.headers["Set-Cookie"].split(";")[0]

    def call(self, path, expect=(200,), **how):
        if not self._cookie:
            self.login()
        reply = self._ask(path, headers={"Cookie": self._cookie}, **how)
        if reply.status not in expect:
            raise RuntimeError(f"glewlwyd, {path}: {reply}")
        return reply


class Glewlwyd(Provider):
    name = "glewlwyd"
    _programs = ("glewlwyd", "openssl")
    _issuer_path = "/api/oidc"
    # After traffic it needs a second or two to obey a SIGTERM, and there is nothing of it that is worth saving.
    _stop_signal = signal.SIGKILL

    @classmethod
    def skip_reason(cls, movable_clock=False):
        reason = super().skip_reason()
        if not reason and not _SCHEMA.is_file():
            reason = f"{cls.name}: {_SCHEMA} is missing"
        if not reason and movable_clock and not cls._faketime():
            reason = f"{cls.name}: libfaketime is missing"
        return reason

    @staticmethod
    def _faketime():
        # Preloaded rather than run by its "faketime" command, which forks and so has another pid than the server.
        return next(iter(sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))), None)

    def __init__(self, *, interval=1, **settings):
        if interval is None:
            raise ValueError("glewlwyd always says its interval")
        super().__init__(interval=interval, **settings)
        self._sessions = {}
        # Its SQLite answers 500 now and then to people who do things at the same time.
        self._human_lock = threading.Lock()

    # All that costs time (keys, tables, accounts, clients) is done once and kept; a provider starts from a copy.

    @classmethod
    def _golden(cls):
        recipe = hashlib.sha256()
        # The keys count as well: they can be thrown away and made anew on their own.
        for source in (__file__, _SCHEMA, shutil.which("glewlwyd"), *sorted(keys.key_dir().glob("*.pem"))):
            recipe.update(pathlib.Path(source).read_bytes())
        return util.make_once(f"glewlwyd-{recipe.hexdigest()[:16]}", cls()._build_golden)

    def _build_golden(self, directory):
        database = sqlite3.connect(directory / "glewlwyd.db")
        database.executescript(_SCHEMA.read_text(encoding="utf-8"))
        database.close()
        self._port = util.free_port()
        self._upstream = f"http://127.0.0.1:{self._port}"
        conf = directory / "glewlwyd.conf"
        conf.write_text(_GLEWLWYD_CONF.format(port=self._port, external=self._upstream, directory=directory),
                        encoding="utf-8")
        process = util.spawn(["glewlwyd", f"--config-file={conf}"], log=directory / "output.log")
        try:
            self._wait_for_answer(process, directory / "output.log")
            self._configure()
        finally:
            util.end_process(process, self._stop_signal)

    def _configure(self):
        admin = _GlewlwydSession(self._ask, "admin")
        for scope in SCOPES:
            admin.call("/api/scope/", body={"name": scope, "display_name": scope, "description": scope,
                                            "password_required": True, "password_max_age": 0, "scheme": {}})
        for user in USERS:
            admin.call("/api/user/", body={
                "username": user, "name": f"{user} example", "email": f"{user}@example.org",
                "password": _password(user), "enabled": True, "scope": ["openid", "g_profile", *SCOPES]})
        clients = make_clients(tls=True).values()
        for client in clients:
            admin.call("/api/client/", body=self._registration(client))
        admin.call("/api/mod/plugin/", body={"module": "oidc", "name": "oidc", "display_name": "OIDC", "enabled": True,
                                             "parameters": self._parameters()})
        for user in USERS:
            session = _GlewlwydSession(self._ask, user)
            for client in clients:
                session.call(f"/api/auth/grant/{client['client_id']}", method="PUT",
                             body={"scope": " ".join(["openid", *SCOPES])})

    @staticmethod
    def _registration(client):
        method = client["method"]
        grants = ["device_authorization", "refresh_token", "delete_token"]
        registration = {
            "client_id": client["client_id"], "name": client["client_id"], "enabled": True,
            "confidential": method != "none", "redirect_uri": [], "resource": [RESOURCE],
            # client_credentials is what opens introspection and revocation to a client.
            "authorization_type": grants + ([] if method == "none" else ["client_credentials"]),
            "scope": [] if method == "none" else ["api:read"]}
        if method != "none":
            registration["token_endpoint_auth_method"] = [method]
        if "client_secret" in client:
            registration["client_secret"] = client["client_secret"]
        if method == "private_key_jwt":
            registration["jwks"] = _public_jwks(client)
        if method == "tls_client_auth":
            registration["tls_client_auth_san_dns"] = client["san_dns"]
        return registration

    @staticmethod
    def _parameters():
        directory = keys.key_dir()
        jwks = {"keys": [keys.jwk(directory / f"provider-{alg}.pem", f"op-{alg.lower()}", alg, private=True)
                         for alg in ("RS256", "ES256")]}
        return {
            "iss": _PLACEHOLDER_ISSUER,
            "jwks-private": json.dumps(jwks), "default-kid": "op-rs256", "jwks-show": True,
            "access-token-duration": 3600, "refresh-token-duration": 1209600, "code-duration": 600,
            "refresh-token-rolling": False, "refresh-token-one-use": "always",
            "allow-non-oidc": True,
            "auth-type-code-enabled": False, "auth-type-token-enabled": False, "auth-type-password-enabled": False,
            "auth-type-client-enabled": True, "auth-type-device-enabled": True, "auth-type-refresh-enabled": True,
            "device-authorization-expiration": 600, "device-authorization-interval": 5,
            "introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": ["api:write"],
            "resource-allowed": True, "resource-scope": {scope: [RESOURCE] for scope in SCOPES},
            "resource-client-property": "resource", "resource-scope-and-client-property": False,
            "oauth-dpop-allowed": True, "oauth-dpop-iat-duration": 60,
            "request-parameter-allow": True, "request-parameter-allow-encrypted": False,
            "client-pubkey-parameter": "pubkey", "client-jwks-parameter": "jwks",
            "client-jwks_uri-parameter": "jwks_uri",
            "subject-type": "public", "session-management-allowed": False,
            "name-claim": "mandatory", "email-claim": "mandatory",
            "client-cert-source": "TLS", "client-cert-use-endpoint-aliases": True,
            "client-cert-self-signed-allowed": False,
        }

    def _launch(self):
        shutil.copy(self._golden() / "glewlwyd.db", self.directory)
        database = sqlite3.connect(self.directory / "glewlwyd.db")
        (stored,), = database.execute("SELECT gpmi_parameters FROM g_plugin_module_instance")
        parameters = json.loads(stored)
        parameters.update({
            "iss": self.issuer,
            "device-authorization-interval": self.interval,
            "device-authorization-expiration": self.device_expiry,
            "access-token-duration": self.access_ttl,
            "refresh-token-duration": self.refresh_ttl,
            "refresh-token-one-use": "always" if self.rotate else "never",
        })
        database.execute("UPDATE g_plugin_module_instance SET gpmi_parameters = ?", [json.dumps(parameters)])
        database.commit()
        database.close()

        secure = _GLEWLWYD_TLS_CONF.format(keys=keys.key_dir()) if self.tls else ""
        conf = self.directory / "glewlwyd.conf"
        conf.write_text(_GLEWLWYD_CONF.format(port=self._port, external=self.base_url, directory=self.directory)
                        + secure, encoding="utf-8")
        self.process = util.spawn(["glewlwyd", f"--config-file={conf}"], log=self.log_file, env=self._clock_env)
        self._wait_for_answer(self.process, self.log_file)
        self._sessions = {user: _GlewlwydSession(self._ask, user) for user in USERS}

    def _wait_for_answer(self, process, log):
        def answers():
            if process.poll() is not None:
                raise RuntimeError(f"glewlwyd ended with status {process.returncode}: {log.read_text()}")
            try:
                return self._ask("/config").status == 200
            except OSError:
                return False
        util.wait_until(answers, what="glewlwyd", interval=0.005)

    def approve(self, user_code, user="alice"):
        session = self._sessions[user]
        path = f"/api/oidc/device?code={urllib.parse.quote(user_code)}&g_continue"
        with self._human_lock:
            where = session.call(path, expect=(302,)).headers["Location"]
            if "prompt=device" not in where:
                # The session is over, as it is when the clock was moved by a month.
                session.login()
                where = session.call(path, expect=(302,)).headers["Location"]
        if "prompt=deviceComplete" not in where:
            raise RuntimeError(f"glewlwyd refuses {user_code}: {where}")

    # A browser does the same: one JSON call to log in, one GET.
    html_approve = approve

    def deny(self, user_code, user="alice"):
        raise NotImplementedError("glewlwyd has no way to refuse")

    def end_login(self, user):
        session = self._sessions[user]
        with self._human_lock:
            for token in session.call("/api/oidc/token?limit=10000").json():
                if token["enabled"]:
                    hashed = urllib.parse.quote(token["token_hash"], safe="")
                    session.call(f"/api/oidc/token/{hashed}", method="DELETE")

    def _prepare_clock(self):
        self._set_clock(0)
        return {"LD_PRELOAD": self._faketime(), "FAKETIME_TIMESTAMP_FILE": str(self.directory / "offset"),
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def _set_clock(self, offset):
        # By a rename, as the server reads the file whenever it looks at its clock.
        new = self.directory / "offset.new"
        new.write_text(f"{offset:+d}\n", encoding="ascii")
        new.rename(self.directory / "offset")


# -- oidc-provider -----------------------------------------------------------------------------------------------------

class _Form(html.parser.HTMLParser):
    """The first form of a page: where it goes, and its fields."""

    def __init__(self, page):
        super().__init__()
        self.action = None
        self.fields = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attrs.get("action", "")
        elif tag == "input" and attrs.get("name"):
            self.fields[attrs["name"]] = attrs.get("value") or ""


class _Browser:
    """Keeps cookies, follows redirects and sends forms."""

    def __init__(self, context):
        self._context = context
        self._cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.url = None
        self.reply = None

    def go(self, url, form=None):
        self.url = url
        while True:
            self.reply = util.http_request(self.url, form=form, context=self._context, handlers=[self._cookies])
            if self.reply.status not in (302, 303):
                return self
            self.url = urllib.parse.urljoin(self.url, self.reply.headers["Location"])
            form = None

    def submit(self, **values):
        form = _Form(self.reply.text)
        if form.action is None:
            raise RuntimeError(f"no form at {self.url}: {self.reply}")
        return self.go(urllib.parse.urljoin(self.url, form.action), {**form.fields, **values})

    def follow(self, pattern):
        link = re.search(rf'href="([^"]*{pattern}[^"]*)"', self.reply.text)
        if not link:
            raise RuntimeError(f"no link {pattern} at {self.url}: {self.reply}")
        return self.go(urllib.parse.urljoin(self.url, link.group(1)))


class OidcProvider(Provider):
    name = "oidc-provider"
    _programs = ("node", "openssl")
    _issuer_path = ""
    _stop_signal = signal.SIGTERM

    @classmethod
    def skip_reason(cls, movable_clock=False):
        reason = super().skip_reason()
        if reason:
            return reason
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        if int(version.lstrip("v").split(".")[0]) < 18:
            return f"{cls.name}: node {version} is too old, 18 is needed"
        try:
            cls.node_dir()
        except RuntimeError as error:
            return str(error)
        return None

    @staticmethod
    @functools.lru_cache(maxsize=None)
    def node_dir():
        """Where the npm packages are; installs them if they are not there yet."""
        done = subprocess.run(["sh", str(HERE / "op" / "install.sh")], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"oidc-provider: its packages cannot be installed: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def __init__(self, *, interval=1, **settings):
        """interval=None leaves the library as it is: no interval in the device answer, and never a slow_down."""
        super().__init__(interval=interval, **settings)
        self.differences["has_interval"] = interval is not None

    def _launch(self):
        secrets = keys.key_dir()
        config = {
            "issuer": self.issuer, "port": self._port, "scopes": SCOPES, "resources": {RESOURCE: {}},
            "keys": [{"kid": f"op-{alg.lower()}", "file": str(secrets / f"provider-{alg}.pem")}
                     for alg in ("RS256", "ES256")],
            "ttl": {"device": self.device_expiry, "access": self.access_ttl, "refresh": self.refresh_ttl},
            "interval": self.interval, "rotate": self.rotate, "log": True,
            "clients": [self._registration(client) for client in self.clients.values()],
        }
        if self.tls:
            config["tls"] = {"key": str(secrets / "server.key"), "cert": str(secrets / "server.pem"),
                             "clientCa": self.ca_file}
        conf = self.directory / "config.json"
        conf.write_text(json.dumps(config), encoding="utf-8")
        self.process = util.spawn(["node", HERE / "op" / "server.mjs", conf], log=self.log_file,
                                  env={"TB_NODE_DIR": self.node_dir()}, stdout=subprocess.PIPE)
        try:
            util.read_until(self.process.stdout, b"READY", timeout=30)
        except AssertionError as error:
            raise RuntimeError(f"oidc-provider does not start: {error} {self.log_file.read_text()}") from error

    @staticmethod
    def _registration(client):
        registration = {"client_id": client["client_id"], "token_endpoint_auth_method": client["method"]}
        if "client_secret" in client:
            registration["client_secret"] = client["client_secret"]
        if client["method"] == "private_key_jwt":
            registration.update(token_endpoint_auth_signing_alg=client["alg"], jwks=_public_jwks(client))
        if client["method"] == "tls_client_auth":
            registration.update(tls_client_auth_san_dns=client["san_dns"],
                                tls_client_certificate_bound_access_tokens=True)
        return registration

    def _hook(self, name, **query):
        reply = self._ask(f"/_test/{name}?{urllib.parse.urlencode(query)}")
        if reply.status != 200:
            raise RuntimeError(f"oidc-provider, {name}: {reply}")
        return reply.json()

    def reset(self):
        super().reset()
        self._hook("log", clear=1)
        self._hook("fail", clear=1)

    def approve(self, user_code, user="alice"):
        self._hook("approve", user_code=user_code, sub=user)

    def deny(self, user_code, user="alice"):
        self._hook("deny", user_code=user_code)

    def _browse_to_confirmation(self, user_code):
        """A page with nothing on it but a form that sends itself, then the question whether the code is the same."""
        query = urllib.parse.urlencode({"user_code": user_code})
        return _Browser(self._tls_upstream_context).go(f"{self._upstream}/device?{query}").submit()

    def html_approve(self, user_code, user="alice"):
        browser = self._browse_to_confirmation(user_code).submit(confirm="yes")
        browser.submit(login=user, password="any")
        browser.submit()
        if browser.reply.status != 200 or "Sign-in Success" not in browser.reply.text:
            raise RuntimeError(f"oidc-provider refuses {user_code} at {browser.url}: {browser.reply}")

    def html_deny(self, user_code, user="alice", at="confirm"):
        """The human refuses on one of the three pages: at the code ("confirm"), the "login", or the "consent"."""
        browser = self._browse_to_confirmation(user_code)
        if at == "confirm":
            browser.submit(abort="yes")
            return
        browser.submit(confirm="yes")
        if at == "consent":
            browser.submit(login=user, password="any")
        browser.follow("/abort")

    def end_login(self, user):
        self._hook("revoke", sub=user)

    def server_log(self):
        """The requests that the server itself saw, with TLS too: dicts of method, path, grant_type, status, fault."""
        return self._hook("log")

    def _set_clock(self, offset):
        self._hook("clock", offset=offset)


ALL = {provider.name: provider for provider in (Glewlwyd, OidcProvider)}
