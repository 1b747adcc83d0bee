"""What every test may use: a workspace with generated images, and running an operation in it."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pictures import picture, put

from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import Job
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

Opened = Callable[..., Workspace]

# The seed of tests/faults: the same points on every run; set the variable to draw others, `make faults` takes all.
os.environ.setdefault("FAULT_SEED", "20261120")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what a failed run is repeated with."""
    terminalreporter.write_line(f"second kills drawn with FAULT_SEED={os.environ['FAULT_SEED']}")


# What started the tests may ignore these (nohup, a shell's background): the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Many workers run at once in the tests: each takes any free port.
os.environ["MOBIUS_PORT"] = "0"

# On a busy machine a slow example is no fault.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def make_workspace(tmp_path: Path) -> Opened:
    """Make a workspace: ``make(files, name=..., **settings)``; files by name, or how many pictures."""

    def make(files: dict[str, bytes] | int = 4, name: str = "ws", **settings: object) -> Workspace:
        root = tmp_path / name
        init_workspace(root)
        if isinstance(files, int):
            files = {f"deck/{number:02d}.png": picture(number) for number in range(files)}
        put(root / "library", files)
        return open_workspace(root, {"parallel": 1, **settings}, {}, "tester")

    return make


@pytest.fixture
def store() -> Iterator[Callable[[Workspace], sqlite3.Connection]]:
    """Open a workspace's database; closed at the end of the test."""
    opened: dict[Path, sqlite3.Connection] = {}

    def open_store(ws: Workspace) -> sqlite3.Connection:
        if ws.database not in opened:
            opened[ws.database] = open_database(ws.database)
        return opened[ws.database]

    yield open_store
    for connection in opened.values():
        connection.close()


@pytest.fixture
def run() -> Callable[..., Job]:
    """Run an operation to its end: ``run(ws, kind="migrate", on_tick=..., stopping=..., **options)``."""

    def run_one(ws: Workspace, kind: str = "migrate", **given: object) -> Job:
        surroundings = {name: given.pop(name) for name in ("on_tick", "stopping", "reason") if name in given}
        options = replace(default_options(ws), **given)
        with closing(open_database(ws.database)) as connection:
            return run_in_foreground(ws, connection, kind, options.to_json(), **surroundings)

    return run_one


@pytest.fixture
def root_only() -> None:
    """Skip where this process may not mount a filesystem."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small filesystem needs root")
