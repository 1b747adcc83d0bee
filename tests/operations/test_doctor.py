from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import imagehash
import pytest

from mobius_tui.operations import doctor, machine
from mobius_tui.operations.doctor import examine, examine_workspace, is_usable
from mobius_tui.operations.machine import Finding, examine_machine
from mobius_tui.store.database import open_database
from mobius_tui.system.locks import FileLock
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    root = tmp_path / "ws"
    init_workspace(root)
    yield open_workspace(root, {}, {}, "anna")


def found(ws: Workspace, topic: str) -> list[Finding]:
    lenient = open_workspace(ws.root, {}, {}, "anna", lenient=True)
    return [finding for finding in examine_workspace(lenient) if finding.topic == topic]


def only(findings: list[Finding], state: str) -> Finding:
    matching = [finding for finding in findings if finding.state == state]
    assert len(matching) == 1, findings
    assert matching[0].fix or state == "ok"
    return matching[0]


def test_a_fresh_workspace_is_usable_and_nothing_is_written(ws: Workspace) -> None:
    before = sorted(ws.root.rglob("*"))
    _, findings = examine(ws.root, {}, {}, "anna")
    assert is_usable(findings), findings
    assert sorted(ws.root.rglob("*")) == before


def test_every_finding_that_is_not_well_names_what_mends_it(ws: Workspace) -> None:
    (ws.root / "mobius.toml").write_text("treshold = 3")
    for finding in examine(ws.root, {}, {"MOBIUS_FOO": "1"}, "anna")[1]:
        assert finding.state in {"ok", "note", "warning", "problem"}
        assert finding.state == "ok" or finding.fix, finding


def test_our_hash_is_compared_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine._reference().state == "ok"
    monkeypatch.setattr(imagehash, "dhash", lambda *_, **__: "0" * 16)
    assert machine._reference().state == "problem"
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert machine._reference().state == "warning"


def test_no_workspace_is_a_note(tmp_path: Path) -> None:
    ws, findings = examine(tmp_path, {}, {}, "anna")
    assert ws is None and findings[-1].state == "note" and "mobius init" in findings[-1].fix


def test_settings(ws: Workspace) -> None:
    (ws.root / "mobius.toml").write_text("treshold = 3")
    assert "did you mean threshold" in only(found(ws, "settings"), "problem").said


def test_others_can_write(ws: Workspace) -> None:
    ws.root.chmod(0o777)
    assert only(found(ws, "workspace"), "warning").fix == f"chmod o-w {ws.root}"
    ws.state.chmod(0o755)
    assert only(found(ws, "state"), "warning").fix == f"chmod 700 {ws.state}"


def test_folders(ws: Workspace) -> None:
    (ws.root / "review" / "README.md").unlink()
    ws.review.rmdir()
    assert "review" in only(found(ws, "folders"), "note").said
    ws.library.rmdir()
    assert "library" in only(found(ws, "folders"), "problem").said
    ws.library.write_text("")
    assert "is not a folder" in only(found(ws, "library"), "problem").said


def test_network_filesystems(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "network_filesystem", lambda path: "nfs4" if path == ws.state else "cifs")
    assert "state_dir" in only(found(ws, "filesystem"), "problem").fix
    assert "scan" in only(found(ws, "filesystem"), "warning").said


@pytest.mark.parametrize(("free", "state"), [(1_000_000, "problem"), (500_000_000, "warning"), (10**10, "ok")])
def test_disk_space(ws: Workspace, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    only(found(ws, "disk"), state)


def test_inodes(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"f_bavail": 10**9, "f_blocks": 10**9, "f_bfree": 10**9, "f_frsize": 4096}
    few = type("Status", (), {**whole, "f_files": 10**6, "f_favail": 7})
    monkeypatch.setattr(doctor.os, "statvfs", lambda _: few)
    assert "7 free" in only(found(ws, "inodes"), "problem").said
    # btrfs has no count of inodes
    none = type("Status", (), {**whole, "f_files": 0, "f_favail": 0})
    monkeypatch.setattr(doctor.os, "statvfs", lambda _: none)
    assert found(ws, "inodes") == []


def test_database(ws: Workspace) -> None:
    only(found(ws, "database"), "ok")
    open_database(ws.database).close()
    assert "sound" in only(found(ws, "database"), "ok").said
    whole = bytearray(ws.database.read_bytes())
    whole[4096 : 4096 * 3] = os.urandom(8192)
    ws.database.write_bytes(whole)
    assert ".damaged" in only(found(ws, "database"), "problem").fix
    ws.database.write_bytes(b"junk" * 4000)
    only(found(ws, "database"), "problem")


def test_catalogue(ws: Workspace) -> None:
    only(found(ws, "catalogue"), "note")
    ws.catalogue.write_text('{"images": []}')
    assert "0 entries" in only(found(ws, "catalogue"), "ok").said
    ws.catalogue.write_text("[]")
    os.utime(ws.catalogue, (1_000_000_000, 1_000_000_000))
    assert only(found(ws, "catalogue"), "problem").fix == "mobius check"
    (ws.root / "library.json").write_text('{"images": []}')
    assert "two catalogues" in only(found(ws, "catalogue"), "problem").said


def test_worker(ws: Workspace) -> None:
    assert only(found(ws, "worker"), "note").fix == "mobius worker start"
    lock = FileLock(ws.worker_lock)
    lock.acquire("anna", "worker")
    only(found(ws, "worker"), "ok")
    lock.release()


def test_files_of_the_future(ws: Workspace) -> None:
    ws.catalogue.write_text('{"images": []}')
    os.utime(ws.catalogue, (4_000_000_000, 4_000_000_000))
    assert "ahead of the clock" in only(found(ws, "clock"), "warning").said


def test_watches_against_the_limit(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        (ws.library / str(number)).mkdir()
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **how: "10\n" if self.name == "max_user_watches" else real(self, **how)
    )
    assert "sysctl fs.inotify.max_user_watches=" in only(found(ws, "inotify"), "warning").fix


def of_machine(environ: dict[str, str], topic: str) -> Finding:
    return next(finding for finding in examine_machine(environ) if finding.topic == topic)


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_machine({"TERM": "xterm"}, "terminal").state == "note"
    monkeypatch.setattr(machine, "_isatty", lambda _: True)
    assert of_machine({"TERM": "dumb"}, "terminal").state == "warning"
    assert of_machine({}, "terminal").state == "warning"
    for size, state in (((80, 24), "ok"), ((79, 24), "warning"), ((200, 23), "warning")):
        monkeypatch.setattr(machine.shutil, "get_terminal_size", lambda size=size: size)
        assert of_machine({"TERM": "xterm"}, "terminal").state == state


@pytest.mark.parametrize(("soft", "state"), [(128, "problem"), (512, "warning"), (4096, "ok"), (-1, "ok")])
def test_open_files(monkeypatch: pytest.MonkeyPatch, soft: int, state: str) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, 1_000_000))
    assert of_machine({}, "open files").state == state


@pytest.mark.parametrize(("now", "state"), [(0.0, "problem"), (5e9, "problem"), (1.8e9, "ok")])
def test_clock(monkeypatch: pytest.MonkeyPatch, now: float, state: str) -> None:
    monkeypatch.setattr(machine.clock, "now", lambda: now)
    monkeypatch.setattr(machine, "_answer", lambda _: "yes")
    assert of_machine({}, "clock").state == state


def test_locale_and_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.locale, "getencoding", lambda: "ISO-8859-1")
    assert of_machine({}, "locale").state == "warning"
    monkeypatch.setattr("mobius_tui.fingerprint.external.external_tools", dict)
    assert "apt-get install" in of_machine({}, "decoders").fix
    monkeypatch.setattr("PIL.features.check", lambda name: name not in {"webp", "avif", "jpg"})
    assert [of_machine({}, topic).state for topic in ("Pillow", "WebP", "AVIF")] == ["problem", "warning", "warning"]
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda _: None)
    assert of_machine({}, "HEIF").fix == "pip install pillow-heif"


def test_logout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/bin/{name}")
    answers = {"loginctl": "no\n", "busctl": "b true\n"}
    monkeypatch.setattr(machine, "_answer", lambda command: answers[command[0]])
    assert next(machine._logout({"USER": "anna"})).fix == "loginctl enable-linger anna"
    answers["loginctl"] = "yes\n"
    assert next(machine._logout({"USER": "anna"})).state == "ok"
    answers.update(loginctl="no\n", busctl="b false\n")
    assert next(machine._logout({"USER": "anna"})).state == "ok"
