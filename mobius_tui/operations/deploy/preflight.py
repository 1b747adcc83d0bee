"""All that could stop a deploy later is looked at before anything is written; what can be tried is tried."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import heapq
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.catalogue.document import Document
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.catalogue.walk import walk_library
from mobius_tui.errors import (
    BadInput,
    EnvironmentFailed,
    Held,
    MobiusError,
    OutOfResource,
    ProcessingFailed,
    exit_code_of,
)
from mobius_tui.guard.files import refuse_during_watch
from mobius_tui.launch.health import START_WORKER, Health, ask_health
from mobius_tui.operations.deploy.options import DeployOptions
from mobius_tui.operations.deploy.space import nearest, needs, rooms
from mobius_tui.operations.deploy.window import closed_sentence, next_open, parse_window
from mobius_tui.recovery.atomic import fill, replaceable, sweep_leftovers
from mobius_tui.recovery.backups import list_backups
from mobius_tui.recovery.reserve import reserve_bytes
from mobius_tui.rollback.hooks import MOMENTS, hook_command, prepare_hook, required_moments
from mobius_tui.system import clock
from mobius_tui.system.exchange import exchange
from mobius_tui.system.locks import catalogue_lock_path, held_here, holder_of, taken_error
from mobius_tui.system.mounts import network_filesystem
from mobius_tui.text import counted, human_bytes, visible
from mobius_tui.workspace import Workspace

LOOKED_FOR = 64
"""Entries whose files are looked for, to tell whether the library is mounted."""

CLOCK_SLACK_S = 60.0
"""So much later than now a backup or the catalogue may be dated."""

_SANE = (1_735_689_600.0, 4_102_444_800.0)  # 2025 .. 2100
_KINDS: dict[str, type[MobiusError]] = {
    "input": BadInput,
    "processing": ProcessingFailed,
    "environment": EnvironmentFailed,
    "held": Held,
    "resource": OutOfResource,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What, in a word or two.
        ok: False stops the deploy; None is good to know, or could not be told.
        sentence: What was found.
        fix: What mends it; empty when there is nothing to mend.
        kind: What sort of failure it is: ``input``, ``processing``, ``environment``, ``held`` or ``resource``.
        forceable: Whether ``--force`` goes on in spite of it.
    """

    name: str
    ok: bool | None
    sentence: str
    fix: str = ""
    kind: str = "environment"
    forceable: bool = False


def preflight(
    ws: Workspace,
    options: DeployOptions,
    *,
    ask: Callable[[Workspace], Health] = ask_health,
    now: Callable[[], float] = clock.now,
    environ: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Look at everything that a deploy depends on; temporaries that are made to try something are removed.

    Args:
        ws: The workspace.
        options: What is asked for.
        ask: Asks the service how it is.
        now: Seconds since the epoch.
        environ: The environment that hooks get; None means this process's.

    Returns:
        The findings, bad ones included; ``refuse`` turns these into an error.
    """
    findings: list[Finding] = []
    documents: list[Document] = []
    variables = os.environ if environ is None else environ
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("catalogue", lambda: _catalogue(ws, options, documents)),
        ("other operation", lambda: _others(ws)),
        ("watch", lambda: _watch(ws)),
        ("live file", lambda: _live_file(ws)),
        ("permissions", lambda: _folders(ws)),
        ("filesystem", lambda: _filesystem(ws)),
        ("library", lambda: _library(ws, documents)),
        ("space", lambda: _space(ws, documents, canary=options.canary is not None)),
        ("clock", lambda: _clock(ws, now())),
        ("window", lambda: _window(ws, max(now(), options.at or 0.0))),
        ("hooks", lambda: _hooks(ws, variables)),
        ("health", lambda: _health(ws, ask)),
    )
    for name, check in checks:
        try:
            findings += check()
        except MobiusError as error:
            findings.append(_of_error(name, error))
        except OSError as error:
            place = f" ({visible(str(error.filename))})" if error.filename else ""
            kind = "resource" if exit_code_of(error) == OutOfResource.exit_code else "environment"
            findings.append(Finding(name, False, f"{_reason(error)}{place}", _advice(error), kind))
    return findings


def refuse(findings: Sequence[Finding], *, force: bool = False) -> None:
    """Turn bad findings into an error.

    Args:
        findings: From ``preflight``.
        force: Go on in spite of those that allow it.

    Raises:
        MobiusError: The first bad finding, of the class that gives its exit code; the others are named.
    """
    bad = [finding for finding in findings if finding.ok is False and not (force and finding.forceable)]
    if not bad:
        return
    first, others = bad[0], list(dict.fromkeys(finding.name for finding in bad[1:]))
    also = f"; also: {', '.join(others)}" if others else ""
    fix = first.fix
    if first.forceable and all(finding.forceable for finding in bad):
        fix += f"{', or ' if fix else ''}--force, which is recorded"
    raise _KINDS[first.kind](f"preflight, {first.name}: {first.sentence}{also}", fix=fix)


def _of_error(name: str, error: MobiusError) -> Finding:
    place = f" ({error.where})" if error.where else ""
    kinds = {Held: "held", BadInput: "input", ProcessingFailed: "processing", OutOfResource: "resource"}
    kind = next((word for type_, word in kinds.items() if isinstance(error, type_)), "environment")
    if exit_code_of(error) == OutOfResource.exit_code:  # its cause tells
        kind = "resource"
    return Finding(name, False, f"{error.what}{place}", error.fix, kind)


def _catalogue(ws: Workspace, options: DeployOptions, documents: list[Document]) -> Iterator[Finding]:
    """Whether the live catalogue can be read and is valid."""
    path = ws.catalogue
    if not os.path.lexists(path):
        if options.source is not None:
            fix = "run `mobius deploy` without --from"
            yield Finding("catalogue", False, "there is none yet that --from could be deployed over", fix, "input")
        else:
            yield Finding("catalogue", True, f"none yet, {visible(str(path))} will be made")
        return
    document = read_catalogue(path).document
    documents.append(document)
    if options.source is not None and not Path(options.source).is_file():
        said = f"there is no file {visible(options.source)} to deploy"
        yield Finding("catalogue", False, said, "make it with `mobius migrate -o FILE`", "input")
    real = os.path.realpath(path)
    leads = "" if real == os.path.abspath(path) else f", leads to {visible(real)}"  # noqa: PTH100 - symlinks stay
    size = human_bytes(Path(real).stat().st_size)
    yield Finding("catalogue", True, f"{counted(len(document.entries))}, {size}{leads}")


def _others(ws: Workspace) -> Iterator[Finding]:
    """Whether another process holds the library."""
    lock = catalogue_lock_path(ws.catalogue)
    if held_here(lock) or holder_of(lock) is None:
        yield Finding("other operation", True, "none holds the library")
    else:
        yield _of_error("other operation", taken_error(lock))


def _watch(ws: Workspace) -> Iterator[Finding]:
    """Whether a watch guards what is live."""
    refuse_during_watch(ws)
    yield Finding("watch", True, "none is on")


def _live_file(ws: Workspace) -> Iterator[Finding]:
    """Try beside the real live file what the deploy will do: make a file with its attributes, and exchange two."""
    real = Path(os.path.realpath(ws.catalogue))
    old = replaceable(real, visible(str(ws.catalogue)))
    sweep_leftovers(real.parent, real.name)
    one, other = (real.with_name(f".{real.name}.{os.getpid()}.{ending}") for ending in ("tmp", "old"))
    try:
        first = fill(one, [b"one"], real, old, 0o640)
        fill(other, [b"other"], real, None, 0o600)
        kept = "owner, group, mode and attributes can be kept" if old is not None else "a file can be made"
        yield Finding("permissions", True, f"beside {visible(str(real))}: {kept}")
        at_once = exchange(one, other)
        if hashlib.sha256(other.read_bytes()).hexdigest() != first:
            yield Finding("exchange", False, "two files were exchanged and are as they were", "check the filesystem")
        elif at_once:
            yield Finding("exchange", True, "the system exchanges two files in one step")
        else:
            said = "no exchange in one step here: a link and two renames instead, live is whole all the same"
            yield Finding("exchange", None, said)
    finally:
        for path in (one, other):
            with contextlib.suppress(OSError):
                path.unlink()


def _folders(ws: Workspace) -> Iterator[Finding]:
    """Try to write where the deploy writes, and to list the backups."""
    for name, folder in (("backups", ws.backups), ("logs", ws.logs), ("state", ws.state), ("review", ws.review)):
        place = nearest(folder)
        shown = visible(str(folder))
        try:
            _try_writing(place)
        except OSError as error:
            kind = "resource" if exit_code_of(error) == OutOfResource.exit_code else "environment"
            said = f"the folder of {name} cannot be written: {_reason(error)} ({shown})"
            yield Finding("permissions", False, said, _advice(error), kind)
            continue
        made = "" if place == folder else ", will be made"
        yield Finding("permissions", True, f"{name} can be written ({shown}{made})")
    backups = list_backups(ws.backups)
    yield Finding("backups", True, f"can be listed, {len(backups)} there")


def _try_writing(folder: Path) -> None:
    """Write and sync a file without a name; where the filesystem lacks that, one with a name that is removed."""
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
    descriptor = -1
    if hasattr(os, "O_TMPFILE"):
        try:
            descriptor = os.open(folder, flags | os.O_TMPFILE, 0o600)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL}:
                raise
    name = folder / f".mobius-preflight.{os.getpid()}.tmp"
    if descriptor < 0:
        sweep_leftovers(folder, "mobius-preflight")
        descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
    else:
        name = Path()
    try:
        os.write(descriptor, b"preflight")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        if name != Path():
            name.unlink()


def _filesystem(ws: Workspace) -> Iterator[Finding]:
    """Refuse network filesystems where locks and atomic renames are relied on."""
    real = Path(os.path.realpath(ws.catalogue)).parent
    bad = False
    for what, folder, fix in (
        ("the live catalogue", real, "keep library.json on a local disk, with a symlink to it when needed"),
        ("the state folder", ws.state, 'set state_dir = "/var/lib/mobius/NAME" in mobius.toml'),
    ):
        kind = network_filesystem(folder)
        if kind:
            bad = True
            said = f"{what} lies on a network filesystem ({kind}), where locks and exchanges are not safe"
            yield Finding("filesystem", False, said, fix)
    if not bad:
        yield Finding("filesystem", True, "local")


def _library(ws: Workspace, documents: Sequence[Document]) -> Iterator[Finding]:
    """Whether the library is there: a folder that lost most of its images is taken as not mounted."""
    fix = "mount it, then run it again (`mobius check` names what is missing)"
    if not ws.library.is_dir():
        yield Finding("library", False, f"there is no library folder ({visible(str(ws.library))})", fix)
        return
    expected = [e for document in documents for e in document.entries if e.status != "missing"]
    if not expected:
        yield Finding("library", True, f"{visible(str(ws.library))}, no entry expects a file yet")
        return
    folder = os.path.dirname(os.path.abspath(documents[0].origin))  # noqa: PTH100, PTH120 (as catalogue.document does)
    sample = heapq.nsmallest(LOOKED_FOR, expected, key=lambda entry: hashlib.sha256(entry.key.encode()).digest())
    found = sum(os.path.exists(os.path.normpath(os.path.join(folder, e.key))) for e in sample)  # noqa: PTH110, PTH118
    said = f"{found} of {counted(len(sample))} looked for are there"
    if found * 2 < len(sample):
        yield Finding("library", False, f"{said}: the library is taken as not mounted", fix)
    else:
        yield Finding("library", True if found == len(sample) else None, said)


def _space(ws: Workspace, documents: Sequence[Document], *, canary: bool) -> Iterator[Finding]:
    """Space for the worst case on each filesystem."""
    real = Path(os.path.realpath(ws.catalogue))
    size = real.stat().st_size if documents else 0
    entries = sum(len(document.entries) for document in documents)
    files = sum(1 for _ in walk_library(ws.library, lambda _: None)) if ws.library.is_dir() else 0
    reserved = reserve_bytes(ws.catalogue)
    folders = (real.parent, ws.backups, ws.state, ws.logs)
    wanted = needs(*folders, size=size, images=max(entries, files), reserved=reserved, canary=canary)
    for room in rooms(wanted):
        shown = visible(str(room.folder))
        if room.read_only:
            fix = f"mount -o remount,rw the filesystem of {shown}"
            yield Finding("mount", False, f"the filesystem of {shown} is mounted read-only", fix)
        fix = "" if room.is_enough else f"free space: du -xh {shown} | sort -h | tail"
        yield Finding("space", room.is_enough, f"{room.sentence} ({shown})", fix, "resource")


def _clock(ws: Workspace, now: float) -> Iterator[Finding]:
    """Whether the clock stands after what was written before: stamps, retention and windows depend on it."""
    fix = "timedatectl set-ntp true"
    if not _SANE[0] <= now < _SANE[1]:
        yield Finding("clock", False, f"it says {_dated(now)}", fix)
        return
    later = [(f"the backup {visible(b.name)}", b.at) for b in list_backups(ws.backups) if b.at > now + CLOCK_SLACK_S]
    with contextlib.suppress(FileNotFoundError):
        changed = Path(os.path.realpath(ws.catalogue)).stat().st_mtime
        if changed > now + CLOCK_SLACK_S:
            later.append(("the live catalogue", changed))
    if later:
        what, at = max(later, key=lambda item: item[1])
        said = f"it says {_dated(now)}, but {what} is dated {_dated(at)}"
        yield Finding("clock", False, said, f"{fix}; when the clock is right, move that aside or touch it")
    else:
        yield Finding("clock", True, _dated(now))


def _dated(seconds: float) -> str:
    try:
        return clock.iso(seconds)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s since 1970"


def _window(ws: Workspace, at: float) -> Iterator[Finding]:
    """The deploy window, in production."""
    settings = ws.settings
    if not settings.deploy_window:
        return
    if settings.environment != "production":
        yield Finding("window", True, f"counts in production only, this is {settings.environment}")
        return
    window = parse_window(settings.deploy_window, where=ws.sourced.sources.get("deploy_window", ""))
    closed = closed_sentence(window, at)
    if closed:
        fix = f"mobius deploy --at {clock.iso(next_open(window, at))}"
        yield Finding("window", False, closed, fix, forceable=True)
    else:
        yield Finding("window", True, f"open ({visible(window.text)})")


def _hooks(ws: Workspace, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the hooks that are set can and may be run."""
    required = required_moments(ws)
    for moment in MOMENTS:
        if not hook_command(ws, moment):
            if moment in required:
                said = f"{moment} is required, but hook_{moment} is not set"
                yield Finding("hooks", False, said, f"set hook_{moment}, or take it out of hooks_required", "input")
            continue
        try:
            program = prepare_hook(ws, moment, environ)[0]
        except MobiusError as error:
            found = _of_error("hooks", error)
            yield Finding("hooks", False, found.sentence, found.fix, found.kind, forceable=moment not in required)
        else:
            word = " (required)" if moment in required else ""
            yield Finding("hooks", True, f"{moment}{word}: {visible(program)}")


def _health(ws: Workspace, ask: Callable[[Workspace], Health]) -> Iterator[Finding]:
    """What the service says of itself; degraded is no failure."""
    worker = holder_of(ws.worker_lock)
    if worker is None:
        yield Finding("worker", None, "none of this workspace runs", "mobius worker start")
    else:
        yield Finding("worker", True, f"runs since {_dated(worker.since)} (PID {worker.pid})")
    health = ask(ws)
    said = visible(health.sentence) or health.status
    if health.answers:
        yield Finding("health", True, said)
    elif health.status == "unhealthy":
        yield Finding(
            "health",
            False,
            said,
            "`mobius smoke` and `mobius logs --level warning` say more",
            "processing",
            forceable=True,
        )
    else:
        fix = health.fix or ("`mobius logs --level warning` says more" if worker else START_WORKER)
        yield Finding("health", False, said, fix, "environment", forceable=True)


def _reason(error: OSError) -> str:
    if error.errno == errno.EROFS:
        return "the filesystem is mounted read-only"
    return error.strerror or str(error)


def _advice(error: OSError) -> str:
    if error.errno == errno.EROFS:
        return "mount -o remount,rw it"
    return "free some space or files" if exit_code_of(error) == OutOfResource.exit_code else "check its owner and mode"
