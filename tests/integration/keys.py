# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and JWTs for tests, with nothing but the openssl program and a little DER."""

import base64
import hashlib
import json
import pathlib
import subprocess

import util

MTLS_NAME = "cli-mtls.example.org"

_CERT_CONF = """\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {cn}
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
subjectAltName = {san}
"""


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def make_key(path, alg):
    """Writes a new private key for RS256 or ES256 as PEM."""
    kind = {"RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}
    openssl("genpkey", "-algorithm", *kind[alg], "-out", path)


def make_certificate(directory, name, *, cn, san="DNS:unused", ca=False):
    """Writes NAME.key and NAME.pem, signed by the directory's ca.pem unless it is that one."""
    directory = pathlib.Path(directory)
    conf = directory / f"{name}.cnf"
    conf.write_text(_CERT_CONF.format(cn=cn, san=san), encoding="ascii")
    make_key(directory / f"{name}.key", "ES256")
    signer = [] if ca else ["-CA", directory / "ca.pem", "-CAkey", directory / "ca.key"]
    openssl("req", "-x509", "-config", conf, "-extensions", "ca" if ca else "leaf", "-days", "3650", "-sha256",
            "-key", directory / f"{name}.key", "-out", directory / f"{name}.pem", *signer)


def _build(directory):
    for name in ("provider", "client"):
        for alg in ("RS256", "ES256"):
            make_key(directory / f"{name}-{alg}.pem", alg)
    make_certificate(directory, "ca", cn="test authority", ca=True)
    make_certificate(directory, "server", cn="127.0.0.1", san="IP:127.0.0.1,DNS:localhost")
    make_certificate(directory, "client", cn=MTLS_NAME, san=f"DNS:{MTLS_NAME}")
    # As good as the client's, but somebody else's.
    make_certificate(directory, "stranger", cn="stranger.example.org", san="DNS:stranger.example.org")


def key_dir():
    """The directory with the tests' keys: provider-ALG.pem, client-ALG.pem (ALG is RS256 or ES256), and pairs of
    .pem and .key for ca, server, client and stranger."""
    recipe = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:16]
    return util.make_once(f"keys-{recipe}", _build)


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _der(data):
    """The first element of DER data: its tag, its content, and what follows it."""
    length, start = data[1], 2
    if length & 0x80:
        start = 2 + (length & 0x7f)
        length = int.from_bytes(data[2:start], "big")
    return data[0], data[start:start + length], data[start + length:]


def _der_sequence(data):
    rest = _der(data)[1]
    items = []
    while rest:
        _, content, rest = _der(rest)
        items.append(content)
    return items


def jwk(pem, kid, alg, *, private=False):
    """The JWK of a private key file."""
    # PKCS#1 for RSA and SEC 1 for EC: plain sequences of numbers.
    fields = _der_sequence(openssl("pkey", "-in", pem, "-traditional", "-outform", "DER"))
    out = {"kid": kid, "alg": alg, "use": "sig"}
    if alg == "RS256":
        names = ["n", "e"] + (["d", "p", "q", "dp", "dq", "qi"] if private else [])
        out["kty"] = "RSA"
        out.update((name, b64url(value.lstrip(b"\0"))) for name, value in zip(names, fields[1:]))
    else:
        point = fields[3][-64:]
        out.update(kty="EC", crv="P-256", x=b64url(point[:32]), y=b64url(point[32:]))
        if private:
            out["d"] = b64url(fields[1])
    return out


def sign_jwt(pem, alg, claims, *, kid=None, typ="JWT"):
    """A signed compact JWT."""
    header = {"alg": alg, "typ": typ, **({"kid": kid} if kid else {})}
    signed = ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))
    signature = openssl("dgst", "-sha256", "-sign", pem, data=signed.encode())
    if alg == "ES256":
        # openssl writes the two numbers as DER, JWS wants them side by side.
        signature = b"".join(int.from_bytes(n, "big").to_bytes(32, "big") for n in _der_sequence(signature))
    return f"{signed}.{b64url(signature)}"


def jwt_header(token):
    return json.loads(b64url_decode(token.split(".")[0]))


def jwt_claims(token):
    """The claims of a token, unverified."""
    return json.loads(b64url_decode(token.split(".")[1]))
