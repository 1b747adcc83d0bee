"""What would stop a deploy later is found before anything is written."""

import errno
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from pictures import picture, put

from mobius_tui.errors import BadInput, EnvironmentFailed, Held, OutOfResource, ProcessingFailed
from mobius_tui.launch.health import PORT_ADVICE, Health
from mobius_tui.operations.deploy import preflight as module
from mobius_tui.operations.deploy import space
from mobius_tui.operations.deploy.options import DeployOptions
from mobius_tui.operations.deploy.preflight import Finding, preflight, refuse
from mobius_tui.operations.deploy.space import Need, needs, rooms
from mobius_tui.recovery.backups import create_backup
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

NOTHING = DeployOptions()


def well(_: object) -> Health:
    return Health("healthy", {}, "healthy: all checks pass")


def listed(ws: Workspace) -> Workspace:
    """The workspace with a catalogue that names its images."""
    names = sorted(str(path.relative_to(ws.library)) for path in ws.library.rglob("*.png"))
    ws.catalogue.write_text(json.dumps({"images": [{"path": name} for name in names]}))
    return ws


def everything_in(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*"))


def look(ws: Workspace, options: DeployOptions = NOTHING, **given):
    return preflight(ws, options, **{"ask": well, **given})


def bad(ws: Workspace, *given, **more) -> list[Finding]:
    return [finding for finding in look(ws, *given, **more) if finding.ok is False]


def test_all_is_well_and_nothing_is_left(make_workspace):
    ws = listed(make_workspace(4))
    before = everything_in(ws.root)
    findings = look(ws)
    assert [finding.name for finding in findings if not finding.ok] == ["worker"], "none runs here"
    assert {finding.name for finding in findings} == {
        "catalogue", "other operation", "watch", "permissions", "exchange", "backups", "filesystem", "library", "space",
        "clock", "worker", "health",
    }  # fmt: skip
    assert everything_in(ws.root) == before
    refuse(findings)


def test_without_a_catalogue_one_will_be_made(make_workspace):
    ws = make_workspace(2)
    assert bad(ws) == []
    (found,) = bad(ws, DeployOptions(source="x.json"))
    assert (found.name, found.kind) == ("catalogue", "input")


def test_folders_that_are_not_there_will_be_made(make_workspace):
    ws = listed(make_workspace(2))
    for folder in (ws.backups, ws.review):
        shutil.rmtree(folder)
    assert bad(ws) == []
    assert not ws.backups.exists()


@pytest.mark.parametrize(
    "text", ["{", '{"images": 3}', '{"images": [{"path": "a"}, {"path": "./a"}]}', '{"images": [], "images": []}', ""]
)
def test_broken_catalogue(make_workspace, text):
    ws = make_workspace(2)
    ws.catalogue.write_text(text)
    os.utime(ws.catalogue, (1_700_000_000, 1_700_000_000))  # nobody is writing it
    findings = look(ws)
    assert findings[0].name == "catalogue"
    with pytest.raises(BadInput, match="preflight, catalogue"):
        refuse(findings, force=True)


def test_source_that_is_not_there(make_workspace, tmp_path):
    ws = listed(make_workspace(2))
    (found,) = bad(ws, DeployOptions(source=str(tmp_path / "absent.json")))
    assert "absent.json" in found.sentence


@pytest.mark.skipif(sys.platform == "win32", reason="links of Unix")
def test_hard_links_and_folders_are_refused_and_symlinks_followed(make_workspace, tmp_path):
    ws = listed(make_workspace(2))
    os.link(ws.catalogue, tmp_path / "second")
    with pytest.raises(EnvironmentFailed, match="2 hard links"):
        refuse(look(ws))
    (tmp_path / "second").unlink()
    real = tmp_path / "elsewhere" / "real.json"
    real.parent.mkdir()
    ws.catalogue.rename(real)
    ws.catalogue.symlink_to(real)
    findings = look(ws)
    assert [finding for finding in findings if finding.ok is False] == []
    assert str(real) in findings[0].sentence
    assert any(finding.name == "permissions" and str(real) in finding.sentence for finding in findings)
    assert sorted(os.listdir(real.parent)) == ["real.json"]


def test_another_process_holds_the_library(make_workspace):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    ws = listed(make_workspace(2))
    told, tell = os.pipe()
    end, hold = os.pipe()
    child = os.fork()
    if child == 0:
        with catalogue_lock(ws.catalogue, "anna", "migration m1"):
            os.write(tell, b"x")
            os.close(hold)
            os.read(end, 1)
        os._exit(0)
    os.read(told, 1)
    try:
        with pytest.raises(Held, match=r"anna holds the library since .* for migration m1"):
            refuse(look(ws), force=True)
    finally:
        os.write(hold, b"x")
        os.waitpid(child, 0)
        for descriptor in (told, tell, end, hold):
            os.close(descriptor)
    with catalogue_lock(ws.catalogue, "tester", "deploy d1"):
        assert bad(ws) == [], "its own lock is no other operation"


@pytest.fixture
def as_nobody():
    """A workspace of root's, looked at by somebody without rights in it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    root = Path(tempfile.mkdtemp(prefix="preflight-"))
    root.chmod(0o755)
    init_workspace(root)
    put(root / "library", {"a.png": picture(1)})
    ws = listed(open_workspace(root, {}, {}, "tester"))
    ws.state.chmod(0o755)
    os.seteuid(12345)
    try:
        yield ws
    finally:
        os.seteuid(0)
        shutil.rmtree(root)


def test_folders_that_may_not_be_written(as_nobody):
    found = {finding.sentence for finding in bad(as_nobody) if finding.name in {"permissions", "live file"}}
    for name in ("backups", "logs", "state", "review"):
        assert any(said.startswith(f"the folder of {name} cannot be written: Permission denied") for said in found)
    assert any("library" in said and "Permission denied" in said for said in found)
    with pytest.raises(EnvironmentFailed) as caught:
        refuse(look(as_nobody), force=True)
    assert caught.value.exit_code == 3


def test_owner_that_cannot_be_kept(as_nobody):
    os.seteuid(0)
    as_nobody.library.chmod(0o777)
    os.seteuid(12345)
    found = [finding for finding in bad(as_nobody) if finding.name == "live file"]
    assert "owner, group, mode or attributes" in found[0].sentence
    assert "user id 0" in found[0].fix
    assert sorted(os.listdir(as_nobody.library)) == ["a.png", "library.json"]


def test_backups_that_cannot_be_listed(as_nobody):
    os.seteuid(0)
    as_nobody.backups.chmod(0o733)
    os.seteuid(12345)
    assert any("backups cannot be listed" in finding.sentence for finding in bad(as_nobody))


def test_exchange_that_is_not_there_is_named_and_one_that_fails_stops(make_workspace, monkeypatch):
    ws = listed(make_workspace(2))
    monkeypatch.setattr("mobius_tui.system.exchange._renameat2", lambda *_: False)
    findings = look(ws)
    (exchange,) = [finding for finding in findings if finding.name == "exchange"]
    assert (exchange.ok, "two renames" in exchange.sentence) == (None, True)
    refuse(findings)

    def lies(one: Path, other: Path) -> bool:
        return True

    monkeypatch.setattr(module, "exchange", lies)
    assert [finding.name for finding in bad(ws)] == ["exchange"]

    def fails(one: Path, other: Path) -> bool:
        raise OSError(errno.EROFS, "Read-only file system", str(one))

    monkeypatch.setattr(module, "exchange", fails)
    (found,) = bad(ws)
    assert "mounted read-only" in found.sentence
    assert [path.name for path in ws.library.iterdir() if path.name.startswith(".")] == []


def test_leftovers_of_a_killed_preflight_are_removed(make_workspace):
    ws = listed(make_workspace(2))
    dead = 4_000_000  # beyond the largest process id
    names = [f".library.json.{dead}.tmp", f".library.json.{dead}.old"]
    for name in names:
        (ws.library / name).write_bytes(b"one")
    look(ws)
    assert not set(names) & set(os.listdir(ws.library))


def test_trial_with_a_name_where_the_filesystem_lacks_nameless_files(make_workspace, monkeypatch):
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("no nameless files here anyway")
    ws = listed(make_workspace(2))
    before = everything_in(ws.root)
    opened = []
    real = os.open

    def without(path, flags, *mode, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        opened.append(str(path))
        return real(path, flags, *mode, **named)

    monkeypatch.setattr(os, "open", without)
    assert bad(ws) == []
    monkeypatch.undo()
    assert any(".mobius-preflight." in path for path in opened)
    assert everything_in(ws.root) == before


@pytest.mark.parametrize("which", ["catalogue", "state"])
def test_network_filesystems_are_refused(make_workspace, monkeypatch, which):
    ws = listed(make_workspace(2))
    refused = ws.library if which == "catalogue" else ws.state
    monkeypatch.setattr(module, "network_filesystem", lambda folder: "nfs4" if folder == refused else None)
    (found,) = bad(ws)
    assert (found.name, "nfs4" in found.sentence) == ("filesystem", True)


def test_library_that_is_not_mounted(make_workspace):
    ws = make_workspace(10)
    names = [f"deck/{number:02d}.png" for number in range(10)]
    (ws.root / "library.json").write_text(json.dumps({"images": [{"path": f"library/{name}"} for name in names]}))
    assert bad(ws) == []
    for name in names[:5]:
        (ws.library / name).unlink()
    assert bad(ws) == []
    (ws.library / names[5]).unlink()
    (found,) = bad(ws)
    assert (found.name, found.sentence.startswith("4 of 10 images")) == ("library", True)
    shutil.rmtree(ws.library)
    ws.library.mkdir()
    with pytest.raises(EnvironmentFailed, match="not mounted"):
        refuse(look(ws), force=True)
    ws.library.rmdir()
    with pytest.raises(EnvironmentFailed, match="no library folder"):
        refuse(look(ws), force=True)


def test_entries_that_are_known_to_be_missing_say_nothing_of_the_mount(make_workspace):
    ws = make_workspace(1)
    gone = [{"path": f"gone/{number}.png", "dhash_status": "missing"} for number in range(9)]
    ws.catalogue.write_text(json.dumps({"images": [{"path": "deck/00.png"}, *gone]}))
    assert bad(ws) == []


def test_space_that_does_not_suffice(make_workspace, monkeypatch):
    ws = listed(make_workspace(2))
    monkeypatch.setattr(space, "free_space", lambda _: (1000, 10_000, False))
    findings = look(ws)
    (found,) = [finding for finding in findings if finding.ok is False]
    assert found.sentence.startswith("1.0 kB free, ")
    with pytest.raises(OutOfResource) as caught:
        refuse(findings, force=True)
    assert caught.value.exit_code == 5
    monkeypatch.setattr(space, "free_space", lambda _: (10**12, 3, False))
    (found,) = bad(ws)
    assert found.sentence.startswith("3 more files can be made")
    monkeypatch.setattr(space, "free_space", lambda _: (10**12, None, True))
    (found,) = bad(ws)
    assert found.name == "mount"


def test_space_counts_what_is_written_where(tmp_path):
    folders = [tmp_path / name for name in ("live", "backups", "state", "logs")]
    few = needs(*folders, size=1000, images=10)
    many = needs(*folders, size=1000, images=100_000)
    assert [need.folder for need in few] == [tmp_path] * 4, "the nearest folder that exists"
    assert few[0].bytes >= 2 * (1000 + 10 * 200), "staged and reserve"
    assert few[1].bytes >= 2 * 1000, "backup and emergency copy"
    assert all(more.bytes >= less.bytes for more, less in zip(many, few, strict=True))
    assert needs(*folders, size=1000, images=10, reserved=10**9)[0].bytes == few[0].bytes - (
        1000 + 10 * 512 + 1024 * 1024
    )
    (room,) = rooms([Need("a", tmp_path, 3), Need("b", tmp_path, 4)])
    assert (room.needed, room.what, room.is_enough, room.read_only) == (7, "a, b", True, False)


def test_written_entries_fit_the_estimate():
    status = {"dhash": "0" * 16, "dhash_confidence": 0.1234, "dhash_status": "low_confidence"}
    entry = json.dumps(status, indent=12)
    name = "a folder with a long name/and another one/picture of a card number 0001.jpeg"
    pair = {"duplicate": name, "original": name, "hammingDistance": 10, "confidence": 0.1234, "status": "accepted"}
    assert len(entry) + len(json.dumps(pair)) <= space.IMAGE_BYTES


def test_clock(make_workspace):
    ws = listed(make_workspace(2))
    now = time.time()
    assert bad(ws, now=lambda: now) == []
    for wrong in (0.0, 5e9, -1e18):
        assert [finding.name for finding in bad(ws, now=lambda wrong=wrong: wrong)] == ["clock"]
    os.utime(ws.catalogue, (now, now + 59))
    assert bad(ws, now=lambda: now) == []
    os.utime(ws.catalogue, (now, now + 3600))
    (found,) = bad(ws, now=lambda: now)
    assert "the live catalogue is dated" in found.sentence
    os.utime(ws.catalogue, (now, now))
    made = create_backup(ws.catalogue, ws.backups, reason="test", who="tester")
    assert bad(ws, now=lambda: now) == []
    (found,) = bad(ws, now=lambda: now - 3600)[:1]
    assert f"{made.name} is dated" in found.sentence or "catalogue is dated" in found.sentence


# 2026-11-20T12:00Z
NOON = 1_795_176_000.0


def test_window_counts_in_production_only(make_workspace):
    shut = {"deploy_window": "23:00-00:00 UTC"}
    ws = listed(make_workspace(1, **shut))
    os.utime(ws.catalogue, (NOON, NOON))
    assert bad(ws, now=lambda: NOON) == []
    ws = listed(make_workspace(1, environment="production", **shut))
    os.utime(ws.catalogue, (NOON, NOON))
    findings = look(ws, now=lambda: NOON)
    with pytest.raises(EnvironmentFailed) as caught:
        refuse(findings)
    assert "opens at 2026-11-20T23:00:00Z" in caught.value.what
    assert "--force" in caught.value.fix
    refuse(findings, force=True)
    assert bad(ws, DeployOptions(at=NOON + 11 * 3600), now=lambda: NOON) == []
    ws = listed(make_workspace(1, environment="production", deploy_window="whenever"))
    os.utime(ws.catalogue, (NOON, NOON))
    with pytest.raises(BadInput):
        refuse(look(ws, now=lambda: NOON), force=True)


@pytest.mark.skipif(sys.platform == "win32", reason="programs of Unix")
def test_hooks_are_looked_at(make_workspace):
    ws = listed(make_workspace(1, hook_before_swap="hooks/absent"))
    ws.root.chmod(0o755)
    findings = look(ws)
    assert [finding.name for finding in findings if finding.ok is False] == ["hooks"]
    refuse(findings, force=True)
    required = listed(make_workspace(1, hook_before_swap="hooks/absent", hooks_required="before_swap"))
    with pytest.raises(EnvironmentFailed, match="hook_before_swap"):
        refuse(look(required), force=True)
    unset = listed(make_workspace(1, hooks_required="after_swap"))
    with pytest.raises(BadInput, match="not set"):
        refuse(look(unset), force=True)
    good = listed(make_workspace(1, hook_before_swap="true"))
    assert bad(good) == []


@pytest.mark.parametrize(
    ("status", "error", "code"), [("unhealthy", ProcessingFailed, 2), ("unreachable", EnvironmentFailed, 3)]
)
def test_health_stops_it_and_force_goes_on(make_workspace, status, error, code):
    ws = listed(make_workspace(1))
    findings = look(ws, ask=lambda _: Health(status, {}, "the pool is \x1b[31mdead"))
    with pytest.raises(error) as caught:
        refuse(findings)
    assert caught.value.exit_code == code
    assert str(caught.value).isprintable()
    refuse(findings, force=True)
    assert bad(ws, ask=lambda _: Health("degraded", {}, "one disk is nearly full")) == []


def test_the_first_bad_finding_gives_the_class_and_the_others_are_named():
    findings = [
        Finding("one", True, "well"),
        Finding("two", None, "unknown"),
        Finding("three", False, "is full", "free some", "resource"),
        Finding("four", False, "is shut", forceable=True),
    ]
    with pytest.raises(OutOfResource) as caught:
        refuse(findings)
    assert caught.value.what == "preflight, three: is full; also: four"
    assert "--force" not in caught.value.fix
    with pytest.raises(OutOfResource) as caught:
        refuse(findings, force=True)
    assert "four" not in caught.value.what
    refuse(findings[:2])


def test_a_worker_without_an_address_is_not_advised_to_be_started(make_workspace):
    ws = listed(make_workspace(1))
    told = Health("unreachable", sentence="the worker runs, but it has no address: port 1", fix=PORT_ADVICE)
    found = {finding.name: finding for finding in look(ws, ask=lambda _: told)}
    assert found["health"].ok is False and found["health"].fix == PORT_ADVICE
    nobody = {finding.name: finding for finding in look(ws, ask=lambda _: Health("unreachable"))}
    assert nobody["health"].fix == "mobius worker start"
