"""Putting other content live: whole, with what was live kept, whatever others write meanwhile."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from publishing import Published, sha

from mobius_tui.errors import OutOfResource, ProcessingFailed
from mobius_tui.recovery.atomic import Changed
from mobius_tui.recovery.journal import Journal, read_journal
from mobius_tui.recovery.reserve import ensure_reserve, reserve_bytes
from mobius_tui.recovery.staging import staged_path
from mobius_tui.rollback import emergency as emergency_module
from mobius_tui.rollback import restore as restore_module
from mobius_tui.rollback.plans import Present, Wanted, exactly, keeping_others, without_owned
from mobius_tui.rollback.restore import Restored, read_present, restore_catalogue, settle_restore
from mobius_tui.system.exchange import exchange

RUN = "rollback-20261120T120000Z"
OLD = b'{"images": [{"path": "a.png", "price": 1.10}]}\n'


def restore(library: Published, plan: object = None, **given: object) -> Restored:
    chosen = exactly(OLD) if plan is None else plan
    arguments = {"run_id": RUN, "emergency": library.emergency, "who": "t", **given}
    return restore_catalogue(library.live, chosen, **arguments)  # type: ignore[arg-type]


def leftovers(library: Published) -> list[str]:
    return sorted(path.name for path in library.live.parent.iterdir() if path != library.live)


def test_the_target_is_live_and_what_was_live_is_the_emergency_copy(library: Published) -> None:
    before = library.live.read_bytes()
    library.live.chmod(0o664)
    done = restore(library)
    assert library.live.read_bytes() == OLD
    assert library.live.stat().st_mode & 0o777 == 0o664
    assert (done.before, done.after, done.changed) == (sha(before), sha(OLD), True)
    assert done.emergency is not None and done.emergency.parent == library.emergency
    assert done.emergency.read_bytes() == before
    assert done.emergency.stat().st_mode & 0o137 == 0
    side = done.emergency.with_name(done.emergency.name + ".sha256").read_text()
    assert side == f"{sha(before)}  {done.emergency.name}\n"
    assert json.loads(done.emergency.with_name(done.emergency.name + ".meta.json").read_text())["run"] == RUN
    assert leftovers(library) == []


def test_a_live_file_that_is_already_so_is_not_touched(library: Published) -> None:
    library.write(OLD)
    inode = library.live.stat().st_ino
    done = restore(library)
    assert not done.changed and done.emergency is None
    assert library.live.stat().st_ino == inode and not library.emergency.exists()


@pytest.mark.parametrize("state", ["missing", "garbage", "empty"])
def test_a_missing_or_damaged_live_file(library: Published, state: str) -> None:
    library.live.unlink() if state == "missing" else library.write(b"" if state == "empty" else b"\xff{garbage")
    done = restore(library, keeping_others(OLD))
    assert library.live.read_bytes() == OLD
    assert (done.emergency is None) == (state == "missing")


def test_a_symlinked_live_file_stays_a_symlink(library: Published, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.json"
    library.live.replace(real)
    library.live.symlink_to(real)
    restore(library)
    assert library.live.is_symlink() and real.read_bytes() == OLD


def test_what_others_write_meanwhile_is_merged_anew(library: Published) -> None:
    library.publish()
    target = (library.backups / library.publish().name).read_bytes()  # type: ignore[union-attr]
    inner = keeping_others(target)
    edits: list[bytes] = []

    def plan(present: Present) -> Wanted:
        wanted = inner(present)
        if len(edits) < 2:  # another program writes after the plan was made
            library.runs += 1
            edits.append(library.edit())
        return wanted

    done = restore(library, plan)
    assert done.tries == 3
    live = json.loads(library.live.read_bytes())
    assert live["images"][0]["title"] == "edited 4"
    assert [entry["path"] for entry in live["images"]][-2:] == ["new3.png", "new4.png"]
    assert live["images"][0]["dhash"].startswith("00000001")
    assert done.emergency is not None and done.emergency.read_bytes() == edits[-1]
    assert leftovers(library) == []


def test_a_live_file_that_changes_for_ever_stays_as_others_wrote_it(library: Published) -> None:
    count = [0]

    def plan(present: Present) -> Wanted:
        count[0] += 1
        library.write(f'{{"images": [], "n": {count[0]}}}')
        return Wanted(OLD, None, False, "")

    with pytest.raises(Changed):
        restore(library, plan)
    assert library.live.read_bytes() == f'{{"images": [], "n": {restore_module.TRIES}}}'.encode()
    assert leftovers(library) == []


def test_without_compare_and_swap_a_foreign_write_would_be_lost(
    library: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the two tests above can fail."""

    def careless(staged: Path, live: Path, expect: str) -> None:
        exchange(staged, live)

    monkeypatch.setattr(restore_module, "swap", careless)
    with pytest.raises(AssertionError):
        test_what_others_write_meanwhile_is_merged_anew(library)


def test_a_full_disk_takes_the_reserve(library: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_reserve(library.live, 1000)
    real = restore_module.stage

    def full(live: Path, chunks: object, staged: Path, **given: object) -> str:
        if reserve_bytes(library.live):
            raise OutOfResource("full") from OSError(errno.ENOSPC, "no space")
        return real(live, chunks, staged)  # type: ignore[arg-type]

    monkeypatch.setattr(restore_module, "stage", full)
    said: list[str] = []
    restore(library, say=said.append)
    assert library.live.read_bytes() == OLD
    assert any("reserve" in text or "kept for a rollback" in text for text in said)


def test_a_full_disk_without_a_reserve_leaves_the_live_file(
    library: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = library.live.read_bytes()

    def full(*_: object, **__: object) -> str:
        raise OutOfResource("full") from OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(restore_module, "stage", full)
    with pytest.raises(OutOfResource):
        restore(library)
    assert library.live.read_bytes() == before


def test_an_emergency_folder_that_cannot_be_made_keeps_the_copy_beside(library: Published) -> None:
    library.backups.parent.mkdir(exist_ok=True)
    library.backups.write_text("in the way")
    before = library.live.read_bytes()
    done = restore(library)
    assert library.live.read_bytes() == OLD
    assert done.emergency is not None and done.emergency.parent == library.live.parent
    assert done.emergency.read_bytes() == before and not done.emergency.name.startswith(".")
    assert done.warnings


def test_another_filesystem_gets_a_copy(library: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    before = library.live.read_bytes()

    def other_filesystem(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "cross-device link")

    monkeypatch.setattr(emergency_module, "rename_new", other_filesystem)
    done = restore(library)
    assert done.emergency is not None and done.emergency.read_bytes() == before
    assert leftovers(library) == []


def test_a_taken_name_waits_for_the_next_second(library: Published) -> None:
    first = restore(library)
    library.write(b"other")
    second = restore(library)
    assert first.emergency is not None and second.emergency is not None
    assert first.emergency != second.emergency and second.emergency.read_bytes() == b"other"


def test_an_emergency_copy_never_has_the_name_of_a_backup(library: Published) -> None:
    library.backups.mkdir()
    (library.backups / f"library.json.bak.{RUN.removeprefix('rollback-')}").write_bytes(OLD)
    done = restore(library)
    assert done.emergency is not None and not (library.backups / done.emergency.name).exists()


def test_a_write_right_after_the_exchange_is_said_and_the_copy_kept(
    library: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restore_module.swap

    def then_written(staged: Path, live: Path, expect: str) -> None:
        real(staged, live, expect)
        live.write_bytes(b"late")

    before = library.live.read_bytes()
    monkeypatch.setattr(restore_module, "swap", then_written)
    with pytest.raises(ProcessingFailed, match="right after"):
        restore(library)
    assert [path.read_bytes() for path in library.emergency.glob("*Z")] == [before]


def test_removing_what_mobius_owns_needs_a_catalogue(library: Published) -> None:
    library.write(b"garbage")
    with pytest.raises(ProcessingFailed):
        restore(library, without_owned())
    assert library.live.read_bytes() == b"garbage"


def test_a_file_that_is_being_written_is_waited_for(library: Published) -> None:
    whole = library.live.read_bytes()
    library.write(whole[:10])
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            library.write(whole)

    ticks = iter(range(1000))
    wall = library.live.stat().st_mtime + 0.5
    present = read_present(
        library.live, patience_s=5.0, clock=lambda: next(ticks) * 0.1, sleep=sleep, wall=lambda: wall
    )
    assert present.data == whole and len(waited) == 3


def test_garbage_that_nobody_touches_is_not_waited_for(library: Published) -> None:
    library.write(b"garbage")
    os.utime(library.live, (1, 1))
    present = read_present(library.live, patience_s=5.0, sleep=lambda _: pytest.fail("waited"))
    assert present.problem


KILLED_AT = ["staging", "staged", "swapped", "kept"]

_CHILD = """
import os, signal, sys
from pathlib import Path
from mobius_tui.recovery.journal import Journal
from mobius_tui.rollback.restore import restore_catalogue, exactly
live, folder, emergency, at, when = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5]
journal = Journal.create(folder, "RUN", kind="rollback", live=str(live))
def note(what, **facts):
    if facts["state"] == at and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    journal.note(what, **facts)
    if facts["state"] == at:
        os.kill(os.getpid(), signal.SIGKILL)
restore_catalogue(live, exactly(OLD), run_id="RUN", emergency=emergency, who="t", note=note)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", KILLED_AT)
def test_killed_at_any_record_it_is_settled_by_hashes(library: Published, at: str, when: str) -> None:
    before = library.live.read_bytes()
    folder = library.state / "deploy"
    code = _CHILD.replace('"RUN"', repr(RUN)).replace("OLD", repr(OLD))
    home = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", code, library.live, folder, library.emergency, at, when], cwd=home, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert library.live.read_bytes() in {before, OLD}
    records = read_journal(folder / f"{RUN}.journal").records
    last = next((record for record in reversed(records) if record["what"] == "restore"), {})
    for _ in range(2):  # settling may be cut off too: it can be done again
        settle_restore(library.live, RUN, last, who="t", emergency=library.emergency)
    live = library.live.read_bytes()
    swapped = at in {"swapped", "kept"}
    assert live == (OLD if swapped else before)
    kept = list(library.emergency.glob("*Z")) if library.emergency.exists() else []
    assert [path.read_bytes() for path in kept] == ([before] if swapped else [])
    assert all(path.with_name(path.name + ".sha256").exists() for path in kept)
    assert leftovers(library) == []


def test_settling_keeps_what_it_does_not_know(library: Published) -> None:
    staged = staged_path(library.live, RUN)
    staged.write_bytes(b"somebody's")
    record = {"state": "staged", "before": sha(b"x"), "after": sha(b"y")}
    settle_restore(library.live, RUN, record, who="t", emergency=library.emergency)
    assert [path.read_bytes() for path in library.emergency.glob("*Z")] == [b"somebody's"]


def test_what_was_live_is_kept_though_the_journal_was_lost_before_the_exchange(library: Published) -> None:
    before = library.live.read_bytes()
    noted: list[dict[str, object]] = []

    class Killed(BaseException):
        pass

    def note(what: str, **facts: object) -> None:
        if facts["state"] == "staging":
            noted.append(facts)  # and no later one gets through
        if facts["state"] == "swapped":
            raise Killed

    with pytest.raises(Killed):
        restore(library, note=note)
    assert library.live.read_bytes() == OLD
    settle_restore(library.live, RUN, noted[0], who="t", emergency=library.emergency)
    assert [path.read_bytes() for path in library.emergency.glob("*Z")] == [before]
    assert leftovers(library) == []


def test_a_journal_that_cannot_be_written_stops_it_before_the_exchange_only(library: Published) -> None:
    def failing(at: str) -> Callable[..., None]:
        def note(what: str, **facts: object) -> None:
            if facts["state"] == at:
                raise OSError(errno.EIO, "disk")

        return note

    before = library.live.read_bytes()
    with pytest.raises(OSError, match="disk"):
        restore(library, note=failing("staged"))
    assert library.live.read_bytes() == before and leftovers(library) == []
    done = restore(library, note=failing("swapped"))
    assert library.live.read_bytes() == OLD and done.warnings


def test_the_journal_holds_both_hashes_before_the_exchange(library: Published) -> None:
    before = sha(library.live.read_bytes())
    journal = Journal.create(library.state, RUN, kind="rollback")
    restore(library, note=journal.note)
    journal.close()
    records = [record for record in read_journal(journal.path).records if record["what"] == "restore"]
    assert [record["state"] for record in records] == ["staging", "staged", "swapped", "kept"]
    assert (records[1]["before"], records[1]["after"]) == (before, sha(OLD))
