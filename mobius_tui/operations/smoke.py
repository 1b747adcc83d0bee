"""Smoke tests: does the service answer, can it see its library, and does it compute what it should.

The live library is only read. What has to be written is written into a scratch workspace, but for one line of the log.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from mobius_tui.catalogue.document import Document
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.catalogue.walk import walk_library
from mobius_tui.errors import Cancelled, HungUp, MobiusError, ProcessingFailed, Terminated, TimeLimit
from mobius_tui.fingerprint.dhash import COLUMNS, ROWS, hex_of
from mobius_tui.fingerprint.model import Outcome, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.launch.health import Health, ask_health, is_starting, wait_healthy
from mobius_tui.operations.ask_service import ask_service
from mobius_tui.operations.options import image_limits
from mobius_tui.operations.smoke_metrics import Ask, metrics_endpoint, prometheus_endpoint
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

KNOWN_DHASHES: Final = (0xF0E4C2D9A1B3C5D7, 0x0123456789ABCDEF, 0xA55A3CC3F00F9669, 0x7E3B91D24C8856E1)
"""dHashes of the pictures that the tests draw; the first is that of the quick sample."""

SAMPLE: Final = 5
"""Images of the library that are tried until one is found that has not changed since it was fingerprinted."""

START_S: Final = 10.0
"""Seconds that a worker which is just starting is waited for."""

_BLOCK = 16
_STEP = 14
_CHUNK = 1 << 20
_ENDINGS = (Cancelled, HungUp, Terminated, TimeLimit)


@dataclass(frozen=True, slots=True)
class Check:
    """One test.

    Attributes:
        name: What was tested.
        ok: Whether it passed.
        sentence: What was found, in words.
        seconds: How long it took.
    """

    name: str
    ok: bool
    sentence: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SmokeReport:
    """All tests of one call.

    Attributes:
        checks: In the order they were made.
        reachable: Whether the service answered at all.
        fix: What to do when it did not; empty when nothing is known.
    """

    checks: tuple[Check, ...]
    reachable: bool
    fix: str = ""

    @property
    def total(self) -> int:
        """How many tests were made."""
        return len(self.checks)

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(check.ok for check in self.checks)

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.total - self.passed

    @property
    def success_rate(self) -> float:
        """Share of passed tests, 0..1; 0 without any."""
        return self.passed / self.total if self.total else 0.0

    def to_json(self) -> dict[str, object]:
        """The report as a JSON object."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "total": self.total,
            "passed": self.passed,
            "failed": self.failed,
            "success_rate": round(self.success_rate, 4),
            "reachable": self.reachable,
        }


Test = Callable[[], str]
"""A test: returns what it found, raises when that is not right."""


def run_smoke(
    ws: Workspace,
    *,
    quick: bool,
    ask: Callable[[Workspace], Health] = ask_health,
    ask_path: Ask = ask_service,
    on_check: Callable[[Check], None] = lambda _: None,
) -> SmokeReport:
    """Make the tests, all of them whatever comes out.

    Args:
        ws: The workspace.
        quick: Only health, library access and sample dHash.
        ask: Asks the service how it is.
        ask_path: Asks the service for another endpoint.
        on_check: Told of each test when it is over.

    Returns:
        The report.

    Raises:
        Cancelled: Somebody asked for the end; so do ``TimeLimit``, ``HungUp`` and ``Terminated``.
    """
    answers: list[Health] = []

    def health() -> str:
        answer = ask(ws)
        if answer.status == "unreachable" and is_starting(ws):  # asked in the second before it listens
            answer = wait_healthy(ws, START_S, ask=ask)
        answers.append(answer)
        if not answers[-1].answers:
            raise ProcessingFailed(answers[-1].sentence, fix=answers[-1].fix)
        return answers[-1].sentence

    tests: list[tuple[str, Test]] = [
        ("health", health),
        ("library access", lambda: library_access(ws)),
        ("sample dHash", lambda: sample_dhash(ws)),
    ]
    if not quick:
        from mobius_tui.operations import smoke_systems as systems  # brings the migration along

        tests += [
            ("metrics", lambda: metrics_endpoint(ws, ask_path)),
            ("prometheus", lambda: prometheus_endpoint(ws, ask_path)),
            ("migration system", lambda: systems.migration_system(ws)),
            ("backup verify", lambda: systems.backup_verify(ws)),
            ("log pipeline", lambda: systems.log_pipeline(ws)),
        ]
    checks = []
    for name, test in tests:
        checks.append(_made(name, test))
        on_check(checks[-1])
    reachable = bool(answers) and answers[-1].status != "unreachable"
    return SmokeReport(tuple(checks), reachable, answers[-1].fix if answers else "")


def _made(name: str, test: Test) -> Check:
    """Make one test; whatever goes wrong in it is its failure, and none of the others'."""
    began = time.monotonic()
    try:
        ok, sentence = True, test()
    except _ENDINGS:
        raise
    except MobiusError as error:
        ok, sentence = False, str(error)
    except OSError as error:
        ok, sentence = False, f"{error.strerror or error} ({visible(str(error.filename or '-'))})"
    except Exception as error:  # a defect of ours fails the test as well
        ok, sentence = False, f"a defect of MOBIUS: {type(error).__name__}: {visible(str(error))}"
    return Check(name, ok, sentence, round(time.monotonic() - began, 3))


def library_access(ws: Workspace) -> str:
    """List the library and read its first image.

    Returns:
        What was read.

    Raises:
        MobiusError: It cannot be listed, it holds no image, or that one cannot be read.
        OSError: The same.
    """
    first = next(walk_library(ws.library, lambda _: None), None)
    if first is None:
        raise ProcessingFailed("the library holds no image that could be read")
    size = 0
    with first.path.open("rb") as file:
        while size <= ws.settings.max_bytes and (chunk := file.read(_CHUNK)):
            size += len(chunk)
    if not size:
        raise ProcessingFailed("the first image is empty", where=visible(first.relative))
    return f"read {visible(first.relative)}, {size:,} bytes"


def sample_dhash(ws: Workspace) -> str:
    """Hash a drawn picture, and an image of the library, in the hashing processes.

    Returns:
        What was compared.

    Raises:
        ProcessingFailed: A hash is not what it should be.
    """
    document, profile, changed_at = _fingerprinted(ws)
    places = [] if document is None else _sample(document, ws.catalogue.parent)
    with tempfile.TemporaryDirectory(prefix="mobius-smoke-") as scratch:
        drawn = Path(scratch) / "sample.png"
        picture_of(KNOWN_DHASHES[0]).save(drawn)
        with HashingPool(profile, image_limits(ws), workers=1) as pool:
            paths = [str(drawn), *(path for _, path, _ in places)]
            found = {outcome.path: outcome for outcome in pool.map([Task(path) for path in paths])}
    right, got = hex_of(KNOWN_DHASHES[0]), _hex(found[str(drawn)])
    if got != right:
        raise ProcessingFailed(f"the drawn picture has dHash {right}, it came out as {got}")
    if not places:
        return f"the drawn picture is {right}; no image of the library has a fingerprint yet"
    for name, path, stored in places:
        if _hex(found[path]) == stored:
            return f"the drawn picture is {right}, {visible(name)} is {stored} as stored"
        if not _changed_since(path, changed_at):
            raise ProcessingFailed(
                f"{visible(name)} comes out as {_hex(found[path])}, stored is {stored}",
                fix="`mobius migrate` hashes the library anew",
            )
    raise ProcessingFailed(
        f"each of {len(places)} sampled images has changed since it was fingerprinted", fix="`mobius migrate`"
    )


def picture_of(dhash: int) -> Image.Image:
    """A picture whose dHash is the given one: 9x8 blocks of grey, brighter to the right where a bit is set."""
    grid = bytearray()
    bits = f"{dhash:064b}"
    for row in range(ROWS):
        steps = [_STEP if bit == "1" else -_STEP for bit in bits[row * 8 : row * 8 + 8]]
        level = 128 - sum(steps) // 2
        for step in (0, *steps):
            level += step
            grid.append(level)
    small = Image.frombytes("L", (COLUMNS, ROWS), bytes(grid))
    return small.resize((COLUMNS * _BLOCK, ROWS * _BLOCK), Image.Resampling.NEAREST)


def _fingerprinted(ws: Workspace) -> tuple[Document | None, Profile, float]:
    """The live catalogue, the profile of its hashes, and when it was written; None without one."""
    if not os.path.lexists(ws.catalogue):
        return None, "exact", 0.0
    loaded = read_catalogue(ws.catalogue)
    fast = (loaded.document.migration or {}).get("profile") == "fast"
    return loaded.document, "fast" if fast else "exact", loaded.stat.st_mtime


def _sample(document: Document, folder: Path) -> Sequence[tuple[str, str, str]]:
    """Name, absolute path and stored dHash of some images, the same ones for the same catalogue."""

    def candidates() -> Iterator[tuple[bytes, str, str, str]]:
        for entry in document.entries:
            if entry.dhash is not None and entry.status in {"ok", "low_confidence"}:
                path = os.path.normpath(folder.absolute() / entry.key)
                yield hashlib.sha256(entry.path.encode()).digest(), entry.path, path, entry.dhash

    import heapq

    return [(name, path, dhash) for _, name, path, dhash in heapq.nsmallest(SAMPLE, candidates())]


def _hex(outcome: Outcome) -> str:
    return f"failed ({outcome.error})" if outcome.dhash is None else hex_of(outcome.dhash)


def _changed_since(path: str, moment: float) -> bool:
    """Whether a file is gone, or was touched in any way after a moment."""
    try:
        found = Path(path).stat()
    except OSError:
        return True
    return max(found.st_mtime, found.st_ctime) > moment
