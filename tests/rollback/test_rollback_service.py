"""The worker around a rollback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest
from publishing import Published
from worker_process import until

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.launch.health import Health
from mobius_tui.rollback import service as service_module
from mobius_tui.rollback.options import RollbackOptions
from mobius_tui.rollback.run import roll_back
from mobius_tui.rollback.service import Service, settings_of
from mobius_tui.system.locks import FileLock, Holder
from mobius_tui.workspace import Workspace, open_workspace


@pytest.fixture
def ws(library: Published) -> Workspace:
    return open_workspace(library.root, {}, {}, "anna")


@pytest.fixture
def running(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A worker that runs as far as its lock tells; what is done to it is noted, not done."""
    ws.state.mkdir(exist_ok=True)
    lock = FileLock(ws.worker_lock)
    assert lock.acquire("anna", "worker")
    done: list[str] = []
    monkeypatch.setattr(service_module, "stop_worker", lambda *_, **__: done.append("stop"))
    monkeypatch.setattr(service_module, "ensure_worker", lambda *_, **__: done.append("start"))
    done.append("running")
    return done


def test_no_worker_before_none_afterwards(ws: Workspace) -> None:
    assert Service(ws, {}, None).restart(lambda _: None) == ("", True)


@pytest.mark.parametrize(
    ("status", "well"), [("healthy", True), ("degraded", True), ("unhealthy", False), ("unreachable", False)]
)
def test_a_worker_that_ran_is_restarted_and_asked(ws: Workspace, running: list[str], status: str, well: bool) -> None:
    service = Service(ws, {}, None, wait=lambda *_: Health(status, sentence="as said"))
    said, healthy = service.restart(lambda _: None)
    assert running == ["running", "stop", "start"]
    assert healthy is well and said == f"the worker was restarted: {status}, as said"
    service = Service(ws, {}, None, wait=lambda *_: Health(status, sentence=f"{status}: why"))
    assert service.restart(lambda _: None)[0] == f"the worker was restarted: {status}: why"


def test_a_worker_that_does_not_start_again_is_exit_2_and_the_catalogue_is_restored(
    library: Published, running: list[str], ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise EnvironmentFailed("a package cannot be loaded")

    monkeypatch.setattr(service_module, "ensure_worker", broken)
    library.publish()
    target = next(library.backups.glob("*Z")).read_bytes()
    options = RollbackOptions(force=True)
    outcome = roll_back(ws, options, confirm=lambda _: True, say=lambda _: None, environ={})
    assert outcome.exit_code == 2 and "does not run" in outcome.worker
    assert library.live.read_bytes() == target


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells it")
def test_the_settings_that_the_old_worker_was_given_are_kept(
    ws: Workspace, running: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rolled back from a shell that does not know the key: the worker must not come back without it."""
    assert running
    given: list[Mapping[str, str]] = []
    monkeypatch.setattr(service_module, "ensure_worker", lambda _, environ, *__, **___: given.append(environ))
    told = {"INTERNAL_API_KEY": "k" * 20, "MOBIUS_PORT": "0", "HOME": "/elsewhere"}
    with subprocess.Popen(["sleep", "60"], env=told) as other:
        try:
            until(lambda: settings_of(other.pid), "it runs")
            monkeypatch.setattr(
                service_module, "worker_holder", lambda _: Holder("anna", 0.0, "worker", other.pid, "token")
            )
            service = Service(ws, {"HOME": "/here"}, None, wait=lambda *_: Health("healthy", sentence="ok"))
            service.restart(lambda _: None)
        finally:
            other.kill()
    assert given == [{"HOME": "/here", "INTERNAL_API_KEY": "k" * 20, "MOBIUS_PORT": "0"}]
    assert settings_of(other.pid) == {}
