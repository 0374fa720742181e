"""The public names: all there, all explained, none paid for before it is used."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys

import pytest

import keeppool

#: What costs milliseconds to import and is not needed before the first request.
HEAVY = {"asyncio", "certifi", "email", "http", "logging", "rich", "select", "socket", "ssl", "threading", "urllib3"}


def modules_after(statement: str) -> set[str]:
    """Run a statement in a new interpreter; name the top-level modules it has imported beyond a bare start's."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize("name", keeppool.__all__)
def test_every_public_name_is_there(name):
    assert getattr(keeppool, name) is not None


@pytest.mark.parametrize("name", sorted(set(keeppool.__all__) - {"INHERIT", "__version__"}))
def test_every_public_name_says_what_it_is(name):
    assert (inspect.getdoc(getattr(keeppool, name)) or "").strip()


def test_the_list_of_names_is_what_dir_and_a_star_import_give():
    assert dir(keeppool) == sorted(keeppool.__all__)
    assert len(keeppool.__all__) == len(set(keeppool.__all__))
    names: dict[str, object] = {}
    exec("from keeppool import *", names)
    assert set(names) - {"__builtins__"} == set(keeppool.__all__)


@pytest.mark.parametrize(
    "module",
    ["adapters", "auth", "cookies", "errors", "events", "exceptions", "presets", "requests", "testing"],
)
def test_a_module_is_an_attribute_without_an_import_of_its_own(module):
    code = f"import keeppool; print(keeppool.{module}.__doc__[:1].strip() != '')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize(
    "module",
    ["auth", "requests", "requests.models", "requests.sessions"],
)
def test_names_that_are_imported_when_they_are_used_are_listed_before(module):
    code = f"import keeppool.{module} as m; print(*set(m.__all__) - set(dir(m)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_name_that_is_not_public_is_missed_by_its_name():
    with pytest.raises(AttributeError, match="'keeppool' has no attribute 'AsyncSession_'"):
        keeppool.AsyncSession_  # noqa: B018  # looking it up is the test


def test_every_exception_of_requests_is_a_name_of_the_package():
    theirs = pytest.importorskip("requests").exceptions
    names = {name for name, value in vars(theirs).items() if getattr(value, "__module__", "") == theirs.__name__}
    names = {name for name in names if issubclass(getattr(theirs, name), theirs.RequestException)}
    assert "Timeout" in names
    assert len(names) > 15
    for name in sorted(names - {"Timeout"}):
        assert name in keeppool.__all__
        assert getattr(keeppool, name) is getattr(keeppool.errors, name)
        assert getattr(keeppool, name) is getattr(importlib.import_module("keeppool.requests").exceptions, name)


def test_timeout_is_the_setting_and_requests_has_the_exception():
    assert keeppool.Timeout(connect=1).connect == 1
    assert importlib.import_module("keeppool.requests").Timeout is keeppool.errors.Timeout


def test_exceptions_is_another_name_of_errors():
    assert importlib.import_module("keeppool.exceptions") is keeppool.errors is keeppool.exceptions


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import keeppool") & HEAVY


@pytest.mark.parametrize("statement", ["import keeppool.requests", "import keeppool; keeppool.HTTPAdapter"])
def test_requests_names_for_threads_import_nothing_for_tasks(statement):
    imported = modules_after(statement)
    assert not imported & {"asyncio", "requests", "rich"}


def test_importing_the_session_imports_nothing_that_is_only_for_others():
    imported = modules_after("from keeppool import Session, PoolManager, get")
    assert not imported & {"asyncio", "rich", "requests", "httptools", "h11"}


def test_configuration_can_be_written_without_loading_a_client():
    imported = modules_after("from keeppool import Limits, Timeout, HostConfig, presets; presets.CHROME")
    assert not imported & {"ssl", "socket", "urllib3", "asyncio"}


def test_a_name_is_the_same_object_wherever_it_is_imported_from():
    code = """
import json, keeppool
from keeppool.client.session import Session
from keeppool.config import Limits
print(json.dumps([keeppool.Session is Session, keeppool.Limits is Limits, keeppool.Session is keeppool.Session]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [True, True, True]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_transport_without_its_client_module_names_the_extra(name):
    """The room itself can be imported, and listed, without it."""
    code = f"""
import sys
sys.modules["{name}"] = None
import keeppool.adapters.{name} as room
print(*sorted(room.__all__))
try:
    room.KeepPoolTransport
except ImportError as error:
    print(error)
try:
    from keeppool.adapters.{name} import AsyncKeepPoolTransport
except ImportError as error:
    print(error.name)
try:
    room.Transport
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, text, missing, unknown = done.stdout.splitlines()
    assert names == "AsyncKeepPoolTransport KeepPoolTransport"
    assert text.startswith(
        f"keeppool.adapters.{name} needs the package {name}: python -m pip install 'keeppool[{name}]'"
    )
    assert missing == name
    assert unknown == f"module 'keeppool.adapters.{name}' has no attribute 'Transport'"


def test_a_client_module_without_transports_is_refused_by_its_version():
    code = """
import sys, types
sys.modules["httpx"] = types.ModuleType("httpx")
sys.modules["httpx"].__version__ = "1.0"
import keeppool.adapters.httpx as room
try:
    room.KeepPoolTransport
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("keeppool.adapters.httpx does not fit httpx 1.0, which has no BaseTransport")
