# SPDX-License-Identifier: Apache-2.0
"""Fixtures that all integration tests share."""

import os
import secrets
import signal

import pytest

import providers
import units
import util
from sandbox import Sandbox


def pytest_addoption(parser):
    parser.addoption("--crash-only", metavar="REGEX", default="",
                     help="test_crash.py: only the crash points whose 'SIDE CALL FILE #N' this finds")


# What these set up is shared by the whole file, or takes the whole machine: with several workers one runs all of it. So
# it is with a real systemd, which the tests of a file share and leave changed.
IN_ONE_PIECE = ("test_crash", "test_outages", "test_sandbox")


def is_in_one_piece(item):
    return item.module.__name__ in IN_ONE_PIECE or hasattr(item.module, "sdbox")


def pytest_configure(config):
    # under nohup it is ignored, and so it would be in all that is started here, which is tested for what it does at one
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "xdist_group(name): what one worker runs (pytest-xdist)")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    """Long pieces first, so that no worker is left alone with one."""
    for item in items:
        if is_in_one_piece(item):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))
    items.sort(key=lambda item: not is_in_one_piece(item))


@pytest.fixture
def crash_only(request):
    return request.config.getoption("--crash-only")


def _started(name, tls=False):
    """A generator for a fixture: the provider, or a skip that says why not."""
    reason = providers.ALL[name].skip_reason()
    if reason:
        pytest.skip(reason)
    provider = providers.ALL[name]()
    try:
        yield provider.start(tls=tls)
    finally:
        provider.stop()


@pytest.fixture(scope="session")
def glewlwyd():
    yield from _started("glewlwyd")


@pytest.fixture(scope="session")
def oidc_provider():
    yield from _started("oidc-provider")


@pytest.fixture(scope="session")
def glewlwyd_tls():
    yield from _started("glewlwyd", tls=True)


@pytest.fixture(scope="session")
def oidc_provider_tls():
    yield from _started("oidc-provider", tls=True)


@pytest.fixture(params=["glewlwyd", "oidc_provider"])
def provider(request):
    """Each of the two providers, behind its proxy, with no faults and an empty log."""
    shared = request.getfixturevalue(request.param)
    shared.reset()
    yield shared
    shared.reset()


@pytest.fixture(params=["glewlwyd", "oidc_provider"])
def tls_provider(request):
    """Each of the two providers over https, with client certificates and without the proxy."""
    return request.getfixturevalue(request.param + "_tls")


@pytest.fixture
def sandbox():
    with Sandbox() as one:
        yield one


@pytest.fixture
def slice_dir():
    """A slice of our own in the unified hierarchy, gone afterwards."""
    root = units.cgroup_root()
    if not root or os.geteuid() != 0:
        pytest.skip("no cgroup2 hierarchy that this user may write to")
    path = root / f"tb{secrets.token_hex(4)}.slice"
    path.mkdir()
    yield path
    util.wait_until(lambda: units.remove(path), 10, "the end of the control group")
