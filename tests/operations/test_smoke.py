"""Smoke tests pass where all is well, and each can fail."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import imagehash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import picture

from mobius_tui import logs
from mobius_tui.errors import Cancelled, ProcessingFailed
from mobius_tui.fingerprint.dhash import dhash_of, hex_of
from mobius_tui.launch.health import Health
from mobius_tui.operations import smoke, smoke_systems
from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.smoke import KNOWN_DHASHES, Check, SmokeReport, picture_of, run_smoke
from mobius_tui.operations.smoke_metrics import PROMISED, metrics_endpoint, prometheus_endpoint, read_exposition
from mobius_tui.store.jobs import Job
from mobius_tui.system.locks import FileLock
from mobius_tui.workspace import Workspace

WELL = Health("healthy", {"status": "healthy"}, "healthy")
Opened = Callable[..., Workspace]
Run = Callable[..., Job]


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The temporary folders that are made meanwhile."""
    made: list[Path] = []

    class Noted(tempfile.TemporaryDirectory):  # type: ignore[type-arg]
        def __init__(self, **how: object) -> None:
            super().__init__(**how)  # type: ignore[call-overload]
            made.append(Path(self.name))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Noted)
    return made


FIGURES = {
    "avg_hash_time_ms": 12.5, "p95_hash_time_ms": None, "processing_rate_per_hour": 0, "extraction_failures_rate": 0.01,
    "low_confidence_queue_length": 3, "duplicate_rate": None, "last_migration_timestamp": "2026-11-20T12:00:00Z",
    "last_backup_timestamp": None, "system_health_status": "healthy",
}  # fmt: skip
TEXT = "".join(f"# HELP {name} x\n# TYPE {name} gauge\n{name} 1\n" for name in PROMISED)


def answering(text: str = TEXT, **figures: object) -> Callable[[Workspace, str], bytes]:
    """A service's answers to both metrics endpoints."""
    body = json.dumps({**FIGURES, **figures}).encode()
    return lambda _, path: text.encode() if path == "/metrics" else body


def smoked(ws: Workspace, *, quick: bool = True, health: Health = WELL) -> dict[str, Check]:
    return {check.name: check for check in run_smoke(ws, quick=quick, ask=lambda _: health).checks}


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@given(st.integers(0, 2**64 - 1))
def test_a_drawn_picture_has_its_dhash(dhash: int) -> None:
    assert dhash_of(picture_of(dhash)) == dhash


def test_the_drawn_pictures_by_the_reference() -> None:
    assert [str(imagehash.dhash(picture_of(dhash))) for dhash in KNOWN_DHASHES] == [hex_of(d) for d in KNOWN_DHASHES]


def test_all_is_well_and_nothing_is_left(make_workspace: Opened, run: Run, scratch: list[Path]) -> None:
    ws = make_workspace(4)
    run(ws)
    backup_now(ws, "test")
    before = tree(ws.library)
    told: list[Check] = []
    report = run_smoke(ws, quick=False, ask=lambda _: WELL, ask_path=answering(), on_check=told.append)
    assert [check.sentence for check in report.checks if not check.ok] == []
    assert (report.total, report.passed, report.failed, report.success_rate) == (8, 8, 0, 1.0)
    assert report.reachable and tuple(told) == report.checks
    assert "as stored" in report.checks[2].sentence and "is good" in report.checks[6].sentence
    assert tree(ws.library) == before, "the live library is only read"
    assert len(scratch) == 3 and not any(folder.exists() for folder in scratch), "no leftovers"
    assert json.loads(json.dumps(report.to_json()))["success_rate"] == 1.0


def test_quick_is_three(make_workspace: Opened) -> None:
    assert list(smoked(make_workspace(2))) == ["health", "library access", "sample dHash"]


@pytest.mark.parametrize(
    ("status", "ok", "reachable"),
    [("healthy", True, True), ("degraded", True, True), ("unhealthy", False, True), ("unreachable", False, False)],
)
def test_health(make_workspace: Opened, status: str, ok: bool, reachable: bool) -> None:
    report = run_smoke(make_workspace(1), quick=True, ask=lambda _: Health(status, {}, f"it is {status}"))
    assert (report.checks[0].ok, report.reachable) == (ok, reachable)
    assert f"it is {status}" in report.checks[0].sentence
    assert report.failed == (0 if ok else 1), "the others are made all the same"


def test_a_worker_that_is_just_starting_is_waited_for(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "START_S", 600.0)
    ws = make_workspace(1)
    answers = [Health("unreachable"), Health("unreachable"), WELL]
    lock = FileLock(ws.worker_lock)
    assert lock.acquire("tester", "worker")
    try:
        assert run_smoke(ws, quick=True, ask=lambda _: answers.pop(0)).reachable
    finally:
        lock.release()
    asked: list[Workspace] = []
    report = run_smoke(ws, quick=True, ask=lambda ws: (asked.append(ws), Health("unreachable"))[1])
    assert not report.reachable and len(asked) == 1, "without a worker there is nothing to wait for"


def test_a_library_without_images_fails(make_workspace: Opened) -> None:
    assert not smoked(make_workspace({}))["library access"].ok
    assert not smoked(make_workspace({"a.png": b""}, "empty"))["library access"].ok
    gone = make_workspace({}, "gone")
    (gone.library).rmdir()
    assert not smoked(gone)["library access"].ok


def test_a_wrong_stored_hash_fails(make_workspace: Opened, run: Run) -> None:
    ws = make_workspace(1)
    run(ws)
    (entry,) = json.loads(ws.catalogue.read_bytes())["images"]
    right = entry["dhash"]
    wrong = f"{int(right, 16) ^ 1:016x}"
    ws.catalogue.write_bytes(ws.catalogue.read_bytes().replace(right.encode(), wrong.encode()))
    check = smoked(ws)["sample dHash"]
    assert not check.ok and wrong in check.sentence and right in check.sentence


def test_an_image_that_changed_since_is_no_failure_unless_all_have(make_workspace: Opened, run: Run) -> None:
    ws = make_workspace(3)
    run(ws)
    os.utime(ws.catalogue, (1_000_000_000, 1_000_000_000))  # written long before its images
    images = sorted(ws.library.rglob("*.png"))
    for number, path in enumerate(images[:2]):
        path.write_bytes(picture(100 + number))
    assert smoked(ws)["sample dHash"].ok
    images[2].write_bytes(picture(200))
    check = smoked(ws)["sample dHash"]
    assert not check.ok and "has changed since" in check.sentence


def test_a_pool_that_hashes_wrongly_fails(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "KNOWN_DHASHES", (1,))
    monkeypatch.setattr(smoke, "picture_of", lambda _: picture_of(2))
    assert "came out as 0000000000000002" in smoked(make_workspace(1))["sample dHash"].sentence


def test_a_catalogue_that_is_none_fails(make_workspace: Opened) -> None:
    ws = make_workspace(1)
    ws.catalogue.write_bytes(b"[1]")
    os.utime(ws.catalogue, (1, 1))
    assert not smoked(ws)["sample dHash"].ok


def test_a_migration_that_finds_other_hashes_fails(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_systems, "picture_of", lambda dhash: picture_of(dhash ^ 1))
    check = smoked(make_workspace(1), quick=False)["migration system"]
    assert not check.ok and "other hashes" in check.sentence


def test_a_migration_that_misses_the_duplicate_fails(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_bytes(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes() + b"\0")

    monkeypatch.setattr(smoke_systems.shutil, "copyfile", other_bytes)
    check = smoked(make_workspace(1), quick=False)["migration system"]
    assert not check.ok and "duplicate" in check.sentence


def test_a_corrupt_backup_fails(make_workspace: Opened, run: Run) -> None:
    ws = make_workspace(1)
    run(ws)
    backup = backup_now(ws, "test")
    data = bytearray(backup.path.read_bytes())
    data[10] ^= 1
    backup.path.write_bytes(data)
    check = smoked(ws, quick=False)["backup verify"]
    assert not check.ok and "corrupt" in check.sentence


def test_a_verification_that_sees_no_damage_fails(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    real = smoke_systems.verify_backup
    verdicts = []

    def blind(folder: Path, name: str) -> object:
        if not verdicts:
            verdicts.append(real(folder, name))
        return verdicts[0]

    monkeypatch.setattr(smoke_systems, "verify_backup", blind)
    check = smoked(make_workspace(1), quick=False)["backup verify"]
    assert not check.ok and "not corrupt" in check.sentence


@pytest.mark.parametrize("kept", ["redacted_words", "redacted_value"])
def test_a_log_that_redacts_half_fails(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.setattr(logs, kept, lambda value: value)
    check = smoked(make_workspace(1), quick=False)["log pipeline"]
    assert not check.ok and "not redacted" in check.sentence
    assert "smoketester" not in check.sentence


def test_a_log_that_cannot_be_written_fails(make_workspace: Opened) -> None:
    ws = make_workspace(1)
    (ws.logs / "service.log").mkdir()
    assert not smoked(ws, quick=False)["log pipeline"].ok


def test_a_log_that_rotates_just_now_passes(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ROTATE_BYTES", 10)
    ws = make_workspace(1)
    assert smoked(ws, quick=False)["log pipeline"].ok
    assert not (ws.logs / "service.log").exists() and (ws.logs / "service.log.1").exists()


def test_a_defect_fails_its_test_alone(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "library_access", lambda _: {}["x"])
    found = smoked(make_workspace(1))
    assert "a defect of MOBIUS: KeyError" in found["library access"].sentence
    assert found["sample dHash"].ok


def test_a_worker_without_an_address_is_told_with_what_to_do(make_workspace: Opened) -> None:
    told = Health("unreachable", sentence="it has no address: port 1", fix="another port")
    report = run_smoke(make_workspace(1), quick=True, ask=lambda _: told)
    health = next(check for check in report.checks if check.name == "health")
    assert not health.ok and health.sentence.endswith("Next: another port")
    assert (report.reachable, report.fix) == (False, "another port")


def test_the_end_of_the_verb_is_no_failed_test(make_workspace: Opened) -> None:
    def ask(_: Workspace) -> Health:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run_smoke(make_workspace(1), quick=True, ask=ask)


def test_no_test_is_no_success() -> None:
    assert SmokeReport((), reachable=False).success_rate == 0.0


def test_metrics_with_their_nine_fields_pass(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    assert "health is healthy" in metrics_endpoint(ws, answering())
    assert f"{len(PROMISED)} metrics" in prometheus_endpoint(ws, answering())


@pytest.mark.parametrize(
    ("name", "value"),
    [("avg_hash_time_ms", -1), ("avg_hash_time_ms", "12"), ("extraction_failures_rate", 1.5), ("duplicate_rate", True),
     ("low_confidence_queue_length", [1]), ("last_backup_timestamp", "yesterday"), ("last_backup_timestamp", 5),
     ("last_migration_timestamp", "2026-11-20T12:00:00"), ("system_health_status", "fine"),
     ("p95_hash_time_ms", float("nan")), ("p95_hash_time_ms", float("inf"))],
)  # fmt: skip
def test_a_figure_that_cannot_be_fails(make_workspace: Opened, name: str, value: object) -> None:
    with pytest.raises(ProcessingFailed, match=r"/metrics/dhash"):
        metrics_endpoint(make_workspace(0), answering(**{name: value}))


@pytest.mark.parametrize("data", [b"", b"<html>", b"[1]", b"{}", json.dumps({**FIGURES, "duplicate_rate": 2}).encode()])
def test_what_is_no_answer_fails(make_workspace: Opened, data: bytes) -> None:
    with pytest.raises(ProcessingFailed):
        metrics_endpoint(make_workspace(0), lambda *_: data)


@pytest.mark.parametrize("name", FIGURES)
def test_a_field_that_is_missing_fails(make_workspace: Opened, name: str) -> None:
    data = json.dumps({each: value for each, value in FIGURES.items() if each != name}).encode()
    with pytest.raises(ProcessingFailed, match=f"lacks {name}"):
        metrics_endpoint(make_workspace(0), lambda *_: data)


@pytest.mark.parametrize("name", PROMISED)
def test_a_metric_that_is_missing_fails(make_workspace: Opened, name: str) -> None:
    with pytest.raises(ProcessingFailed, match=f"lacks {name}"):
        prometheus_endpoint(make_workspace(0), answering(TEXT.replace(name, "mobius_other")))


HISTOGRAM = (
    '# TYPE h histogram\nh_bucket{le="0.1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3.5e-05\nh_count 2\n'
    '# a remark\n# TYPE g gauge\ng{a="x\\\\y\\"\\n",b=""} NaN 1795193220000\ng -Inf\n'
)


def test_the_reader_of_the_text_format() -> None:
    assert read_exposition(HISTOGRAM) == {"h": 4, "g": 2}


@pytest.mark.parametrize(
    "text",
    ["", "g 1\n", "# TYPE g gauge\ng 1", "# TYPE g gauge\ng one\n", "# TYPE g gauge\ng 1_0\n",
     "# TYPE g gauge\ng 1\ng 1\n", "# TYPE g gauge\n# TYPE g gauge\n", "# TYPE g gouge\n",
     "# TYPE g gauge\ng{a=x} 1\n", "# TYPE g gauge\ng{a=\"x\"b=\"y\"} 1\n", "# TYPE g gauge\n\ng 1\n",
     "# TYPE g gauge\ng_sum 1\n", "# TYPE h histogram\nh 1\n", "<html></html>\n", "# TYPE g gauge\ng 1 2 3\n"],
)  # fmt: skip
def test_what_prometheus_would_not_read_fails(text: str) -> None:
    with pytest.raises(ProcessingFailed):
        read_exposition(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ProcessingFailed):
        read_exposition(text)
