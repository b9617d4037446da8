# SPDX-License-Identifier: Apache-2.0
"""Holds answers of the daemon against man/tokenbroker-api.yaml.

check() is called for every request that an integration test makes: a route, method, status, header, member or problem
code that the document does not have is a failed test. The validator knows the few keywords that the document uses and
refuses others, so that nothing is written there that nobody looks at.
"""

import functools
import json
import pathlib
import re
import urllib.parse

import yaml

FILE = pathlib.Path(__file__).resolve().parents[2] / "man" / "tokenbroker-api.yaml"
PROBLEM = "application/problem+json"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
# Said of a value; check() and tests/lint/check-openapi look at nothing else.
KEYWORDS = {"$ref", "type", "enum", "pattern", "minLength", "minimum", "maximum", "format", "items", "required",
            "properties", "additionalProperties", "anyOf", "allOf"}
ABOUT = {"description", "default", "example"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


class Mismatch(AssertionError):
    """The daemon and the document differ."""


@functools.lru_cache(maxsize=None)
def document():
    with open(FILE, encoding="utf-8") as file:
        return yaml.safe_load(file)


def resolve(thing):
    """What a $ref stands for; anything else is itself."""
    while isinstance(thing, dict) and "$ref" in thing:
        target = document()
        for part in thing["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        thing = target
    return thing


# ------------------------------------------------------------------- schemas


def _fail(where, text):
    raise Mismatch(f"{where or 'the body'}: {text}")


def _check_format(value, schema, where):
    if schema.get("format") == "date-time" and not TIME.match(value):
        _fail(where, f"{value!r} is no RFC 3339 time in UTC")
    if schema.get("format") == "uri" and not urllib.parse.urlsplit(value).scheme:
        _fail(where, f"{value!r} is no URI")


def _check_string(value, schema, where):
    if len(value) < schema.get("minLength", 0):
        _fail(where, "it is too short")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        _fail(where, f"it does not match {schema['pattern']}")
    _check_format(value, schema, where)


def _check_object(value, schema, where, door):
    for name in schema.get("required", ()):
        if name not in value:
            _fail(where, f"the member {name} is missing")
    for name, member in value.items():
        if name in schema.get("properties", {}):
            validate(member, schema["properties"][name], f"{where}.{name}", door)
        elif not schema.get("additionalProperties"):
            _fail(where, f"the member {name} is not documented")


def _check_any(value, schemas, where, door):
    reasons = []
    for schema in schemas:
        if resolve(schema).get("x-door", door) != door:
            continue
        try:
            return validate(value, schema, where, door)
        except Mismatch as mismatch:
            reasons.append(str(mismatch))
    return _fail(where, "no alternative fits: " + "; or ".join(reasons))


def validate(value, schema, where="", door=None):
    """Raises Mismatch unless value is what the schema says. No secret is in the text: values are shown by type only,
    save for times, URIs and words of an enumeration."""
    schema = resolve(schema)
    unknown = {k for k in schema if not k.startswith("x-")} - KEYWORDS - ABOUT
    if unknown:
        raise ValueError(f"{where}: openapi.py does not know the keywords {unknown}")
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        _fail(where, f"it is {type(value).__name__}, not {kind}")
    if "enum" in schema and value not in schema["enum"]:
        _fail(where, f"it is none of {schema['enum']}" + (f" but {value!r}" if len(schema["enum"]) > 1 else ""))
    if "anyOf" in schema:
        _check_any(value, schema["anyOf"], where, door)
    for one in schema.get("allOf", ()):
        validate(value, one, where, door)
    if kind == "string":
        _check_string(value, schema, where)
    elif kind == "integer":
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            _fail(where, f"{value} is out of range")
    elif kind == "array":
        for i, item in enumerate(value):
            validate(item, schema.get("items", {}), f"{where}[{i}]", door)
    elif kind == "object":
        _check_object(value, schema, where, door)


# -------------------------------------------------------------------- routes


def operations():
    """(path, METHOD, operation) of all of them."""
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method.upper(), operation


def _fits(template, path):
    """{mount} and {path} are one or more segments, any other {name} is one."""
    pattern = re.sub(r"\\\{(\w+)\\\}", lambda m: ".+" if m[1] in ("mount", "path") else "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path) is not None


def find(path, door):
    """{METHOD: (operation, its parameters)} of a path on a door; the template with the most text of its own wins."""
    templates = sorted({p for p, _, op in operations() if door in op["x-doors"] and _fits(p, path)},
                       key=lambda p: -len(re.sub(r"\{\w+\}", "", p)))
    if not templates:
        return {}
    item = document()["paths"][templates[0]]
    return {method: (op, [resolve(p) for p in item.get("parameters", []) + op.get("parameters", [])])
            for p, method, op in operations() if p == templates[0] and door in op["x-doors"]}


@functools.lru_cache(maxsize=None)
def everywhere(vault):
    """{status: response} of what any request of a protocol can meet: that which all operations have, except 200."""
    answers = [op["responses"] for path, _, op in operations() if path.startswith("/v1/") == vault]
    return {status: answers[0][status] for status in set.intersection(*map(set, answers)) if int(status) >= 400}


# ------------------------------------------------------------------- answers


def _check_code(status, headers, problem):
    statuses = document()["components"]["schemas"]["Code"]["x-statuses"]
    if status not in statuses[problem["code"]]:
        _fail("", f"{problem['code']} comes with {status}, documented are {statuses[problem['code']]}")
    if headers.get("cache-control") != "no-store":
        _fail("Cache-Control", "it is not no-store")


def _check_problem(status, headers, problem):
    _check_code(status, headers, problem)
    if problem["status"] != status:
        _fail(".status", f"it is {problem['status']}, and {status} in the status line")
    if headers.get("retry-after") != (str(problem["retry_after"]) if "retry_after" in problem else None):
        _fail("Retry-After", "header and member differ")
    if problem["code"].startswith("unavailable.") and "retry_after" not in problem:
        _fail("", "it does not say when to ask again")


def _check_headers(declared, headers):
    for name, header in declared.items():
        header = resolve(header)
        value = headers.get(name.lower())
        if value is None:
            if header.get("required"):
                _fail(name, "the header is missing")
            continue
        kind = resolve(header["schema"]).get("type")
        validate(int(value) if kind == "integer" and value.isdecimal() else value, header["schema"], name)


def _check_body(response, status, headers, body, door):
    declared = response.get("content", {})
    if not declared:
        if body:
            _fail("", "there is one, and none is documented")
        return
    kind = headers.get("content-type", "").split(";")[0].strip()
    if kind not in declared:
        _fail("Content-Type", f"it is {kind!r}, documented are {sorted(declared)}")
    if not kind.endswith("json"):
        validate(body.decode(), declared[kind]["schema"], "", door)
        return
    try:
        value = json.loads(body)
    except ValueError:
        _fail("", "it is no JSON")
    validate(value, declared[kind]["schema"], "", door)
    if "errors" in value:
        _check_code(status, headers, value)
    if kind == PROBLEM:
        _check_problem(status, headers, value)


def _response(methods, method, path, status, headers):
    """The documented response, for what is documented and for what is not."""
    if method in methods:
        declared = methods[method][0]["responses"]
    else:
        vault = path.startswith("/v1/")
        refusals = () if vault and methods else ("405" if methods else "404", "501")
        kind = "#/components/responses/" + ("VaultDenied" if vault else "Denied")
        declared = {**everywhere(vault), **{s: {"$ref": kind} for s in refusals}}
        allow = {word.strip() for word in headers.get("allow", "").split(",")}
        if status == 405 and allow != set(methods):
            _fail("Allow", f"it is {sorted(allow)}, documented are {sorted(methods)}")
    if str(status) not in declared:
        _fail(f"{method} {path}", f"the status {status} is not documented"
              + ("" if method in methods else ", nor is the route"))
    return resolve(declared[str(status)])


def check(method, path, status, headers, body, door):
    """Raises Mismatch unless this answer is one that the document has. path may have a query; headers is a mapping;
    body is bytes; door is "api" or "admin"."""
    path, _, query = path.partition("?")
    vault = path.startswith("/v1/")
    if vault:
        method, path = method.replace("LIST", "GET"), path.rstrip("/")
    headers = {name.lower(): value for name, value in headers.items()}
    methods = find(path, door)
    try:
        response = _response(methods, method, path, status, headers)
        if status < 400:
            known = {p["name"] for p in methods[method][1] if p["in"] == "query"}
            for name in urllib.parse.parse_qs(query, keep_blank_values=True):
                if name not in known and not vault:
                    _fail(f"?{name}", "the parameter is taken and not documented")
        _check_headers(response.get("headers", {}), headers)
        if method != "HEAD":
            _check_body(response, status, headers, body, door)
    except Mismatch as mismatch:
        raise Mismatch(f"{method} {path} on the {door} door, status {status}: {mismatch}; see {FILE.name}") from None
