"""The look at the live catalogue: what is missing, what is less than published, and what explains it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobius_tui.guard import catalogue_look
from mobius_tui.guard.catalogue_look import Seen, look_at
from mobius_tui.guard.model import Baseline
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import JOURNALS, Journal

LONG_AGO = 1_700_000_000
MIGRATION = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": "deploy-1"}}


def entry(number: int, dhash: str | None = "", **more: object) -> dict[str, Any]:
    value = f"{number:016x}" if dhash == "" else dhash
    return {"path": f"p{number}.png", "dhash": value, "dhash_confidence": 0.9, "dhash_status": "ok", **more}


class Live:
    """A live catalogue, the state folder and the baseline of what was published."""

    def __init__(self, folder: Path) -> None:
        self.path, self.state = folder / "library.json", folder / "state"
        self.state.mkdir()
        self.seen: Seen | None = None
        self.write([entry(number) for number in range(10)])
        self.published = hashlib.sha256(self.path.read_bytes()).hexdigest()
        self.baseline = Baseline(at=LONG_AGO + 100.0, entries=10, with_dhash=10, published=self.published)

    def write(self, images: list[dict[str, Any]], migration: object = MIGRATION) -> str:
        """Write it as another program would, and give its hash."""
        body: dict[str, Any] = {"images": images}
        if migration is not None:
            body["dhash_migration"] = migration
        return self.put(json.dumps(body).encode())

    def put(self, data: bytes) -> str:
        temporary = self.path.with_name("new")
        temporary.write_bytes(data)
        os.utime(temporary, (LONG_AGO, LONG_AGO))
        temporary.rename(self.path)
        return hashlib.sha256(data).hexdigest()

    def look(self, **more: Any) -> Seen:
        self.seen = look_at(self.path, self.state, self.baseline, self.seen, sleep=lambda _: None, **more)
        return self.seen


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path)


def test_what_was_published(live: Live) -> None:
    look = live.look().look
    assert (look.ok, look.entries, look.with_dhash, look.sha256) == (True, 10, 10, live.published)
    assert look.sentence == "10 entries, 10 with a dHash"


def test_missing_or_no_file(live: Live) -> None:
    live.path.unlink()
    assert live.look().look.ok is False and "missing" in live.look().look.sentence
    live.path.symlink_to("nowhere")
    assert live.look().look.ok is False
    live.path.unlink()
    live.path.mkdir()
    assert live.look().look.ok is False and not live.look().errors
    live.path.rmdir()
    os.mkfifo(live.path)
    assert live.look().look.ok is False


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"images": [{"path": "a"}, {"path": "./a"}]}', b"[]", b"{}"])
def test_unparsable(live: Live, data: bytes) -> None:
    live.put(data)
    look = live.look().look
    assert look.ok is False and look.sentence and look.entries is None and len(look.sha256) == 64


def test_what_cannot_be_read_is_the_guard_s_own_trouble(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(catalogue_look, "read_whole", fails)
    seen = live.look()
    assert seen.look.ok is None and seen.errors[0].startswith("catalogue: ") and "Input/output" in seen.errors[0]


def test_a_file_that_never_stands_still_is_no_data(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    real = catalogue_look.read_whole

    def moving(path: Path) -> Any:
        reading = real(path)
        return type(reading)(reading.data[:-1], reading.before, reading.after)

    monkeypatch.setattr(catalogue_look, "read_whole", moving)
    seen = live.look()
    assert seen.look.ok is None and not seen.errors and "being written" in seen.look.sentence


def removed(live: Live) -> None:
    live.write([entry(number, note="x") for number in range(3, 10)])


def replaced(live: Live) -> None:
    """Removed and added: as many entries, fewer hashes."""
    live.write([*(entry(number) for number in range(3, 10)), *({"path": f"new{number}.png"} for number in range(5))])


def stripped(live: Live) -> None:
    live.write([entry(number, None) if number < 2 else entry(number) for number in range(10)])


def stripped_and_removed(live: Live) -> None:
    live.write([entry(number, None) if number < 2 else entry(number) for number in range(8)])


def altered(live: Live) -> None:
    live.write([entry(number, "f" * 16 if number == 0 else "") for number in range(9)])


def without_migration(live: Live) -> None:
    live.write([entry(number) for number in range(9)], None)


def of_another_run(live: Live) -> None:
    live.write([entry(number) for number in range(9)], {**MIGRATION, "run": {"id": "old"}})


def emptied(live: Live) -> None:
    live.write([])


def added(live: Live) -> None:
    live.write([*(entry(number) for number in range(10)), {"path": "new.png"}])


@pytest.mark.parametrize(
    ("change", "ok", "ok_unseen"),
    [
        (added, True, True),
        (removed, True, True),
        (replaced, True, False),
        (stripped, False, False),
        (stripped_and_removed, False, False),
        (altered, False, True),
        (without_migration, False, False),
        (of_another_run, False, True),
        (emptied, False, False),
    ],
)
def test_what_another_program_may_write(live: Live, change: Callable[[Live], None], ok: bool, ok_unseen: bool) -> None:
    """``ok_unseen``: the guard was started again after the write and knows the counts alone."""
    live.look()
    change(live)
    assert live.look().look.ok is ok, live.look().look.sentence
    live.seen = None
    assert live.look().look.ok is ok_unseen


def test_what_is_on_record_explains_it(live: Live) -> None:
    live.look()
    sha = live.write([entry(1, None)], None)
    assert live.look().look.ok is False
    note_act(live.state, "migrate", "x", before="0" * 64, after=sha)  # long before the publication
    note_act(live.state, "deploy", "x", before=sha, after=live.published)
    assert live.look().look.ok is False
    note_act(live.state, "rollback", "x", before=live.published, after=sha)
    look = live.look().look
    assert look.ok is True and look.sentence.endswith("the history has it: rollback")


def test_acts_before_a_publication_that_is_not_on_record_explain_nothing(live: Live) -> None:
    sha = live.write([entry(1, None)], None)
    live.baseline = Baseline(at=4_000_000_000.0, entries=10, with_dhash=10, published=live.published)
    note_act(live.state, "migrate", "x", before="0" * 64, after=sha)
    assert live.look().look.ok is False
    live.baseline = Baseline(at=1.0, entries=10, with_dhash=10, published=live.published)
    assert live.look().look.ok is True


def test_an_operation_under_way_explains_it_but_not_the_deploy_that_is_watched(live: Live) -> None:
    live.write([entry(1, None)], None)
    journal = Journal.create(live.state / JOURNALS, "rollback-20261120T120000Z")
    assert live.look().look.ok is True
    assert live.look(deploy="rollback-20261120T120000Z").look.ok is False
    live.put(b"{")
    assert live.look().look.ok is False, "nothing explains a broken file"
    live.write([entry(1, None)], None)
    journal.note("end")
    journal.close()
    assert live.look().look.ok is False


def test_it_is_parsed_only_when_it_changed(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    real = catalogue_look.parse
    monkeypatch.setattr(catalogue_look, "parse", lambda *args, **more: parsed.append(1) or real(*args, **more))
    for _ in range(3):
        live.look()
    assert len(parsed) == 1
    live.write([entry(number) for number in range(12)])
    assert live.look().look.entries == 12 and len(parsed) == 2
    live.path.write_bytes(live.path.read_bytes())  # written just now: the file's time does not tell it apart yet
    live.look(), live.look()
    assert len(parsed) == 4


def test_nothing_is_known_of_what_was_published(live: Live) -> None:
    live.baseline = Baseline()
    live.write([], None)
    assert live.look().look.ok is True
