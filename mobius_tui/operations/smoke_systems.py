"""The longer smoke tests: migration, backups and logs, each end to end."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from mobius_tui.errors import ProcessingFailed
from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.logs import SERVICE_LOG, JsonLog
from mobius_tui.operations.backup import verify_backups
from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.operations.smoke import KNOWN_DHASHES, picture_of
from mobius_tui.recovery.backups import create_backup, list_backups, verify_backup
from mobius_tui.store.database import open_database
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

COPY = "copy.png"
"""The exact duplicate in the scratch library."""

_LIMITS = ("max_pixels", "max_bytes", "image_seconds", "image_memory")
_TAIL = 256 * 1024


@contextmanager
def scratch_workspace(ws: Workspace) -> Iterator[Workspace]:
    """A workspace of a few drawn pictures and an exact copy, removed afterwards; limits as in the real one."""
    with tempfile.TemporaryDirectory(prefix="mobius-smoke-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "scratch"
        init_workspace(root)
        for number, dhash in enumerate(KNOWN_DHASHES):
            picture_of(dhash).save(root / "library" / f"p{number}.png")
        shutil.copyfile(root / "library" / "p0.png", root / "library" / COPY)
        limits = {name: getattr(ws.settings, name) for name in _LIMITS}
        yield open_workspace(root, {"parallel": 1, **limits}, {}, ws.actor)


def migration_system(ws: Workspace) -> str:
    """A dry migration of drawn pictures, from the walk to the report.

    Args:
        ws: The real workspace; only its settings are used.

    Returns:
        What was found.

    Raises:
        ProcessingFailed: The run failed, or its report is not what it should be.
    """
    with scratch_workspace(ws) as scratch:
        before = _names(scratch.library)
        report = scratch.root / "report.json"
        options = replace(default_options(scratch), dry_run=True, output=str(report))
        with closing(open_database(scratch.database)) as connection:
            job = run_in_foreground(scratch, connection, "dry-run", options.to_json())
        if job.state != "done":
            raise ProcessingFailed(f"a dry migration of drawn pictures failed: {job.error}")
        found = json.loads(report.read_bytes())
        if _names(scratch.library) != before:
            raise ProcessingFailed("a dry migration wrote into the library")
    hashes = {image["path"]: image["dhash"] for image in found["images"]}
    expected = {f"p{number}.png": hex_of(dhash) for number, dhash in enumerate(KNOWN_DHASHES)}
    expected[COPY] = expected["p0.png"]
    wrong = [name for name, dhash in expected.items() if hashes.get(name) != dhash]
    if wrong or hashes.keys() != expected.keys():
        raise ProcessingFailed(f"a dry migration gave other hashes than it should: {', '.join(wrong) or 'more images'}")
    exact = [{item["duplicate"], item["original"]} for item in found["duplicates"] if item["status"] == "exact"]
    if exact != [{COPY, "p0.png"}]:
        raise ProcessingFailed("a dry migration did not find the one exact duplicate")
    return f"a dry migration of {len(hashes)} drawn pictures gave the right hashes and the exact duplicate"


def backup_verify(ws: Workspace) -> str:
    """Verify the latest backup; then make one of a scratch catalogue, verify it, and see that damage is found.

    Returns:
        What was found.

    Raises:
        ProcessingFailed: The latest backup is not good, or damage goes unseen.
    """
    _damage_is_found()
    if not list_backups(ws.backups):
        return "a scratch backup was good and its damage was found; there is no backup of the catalogue yet"
    (verdict,) = verify_backups(ws)
    if verdict.state != "good":
        raise ProcessingFailed(f"the latest backup is {verdict.state}: {verdict.sentence}")
    return f"{verdict.name} is good; the damage of a scratch backup was found"


def _damage_is_found() -> None:
    with tempfile.TemporaryDirectory(prefix="mobius-smoke-", ignore_cleanup_errors=True) as folder:
        catalogue, backups = Path(folder) / "library.json", Path(folder) / "backups"
        catalogue.write_bytes(b'{"images": [{"path": "p0.png"}]}\n')
        backup = create_backup(catalogue, backups, reason="smoke test", who="smoke")
        verdict = verify_backup(backups, backup.name)
        if verdict.state != "good":
            raise ProcessingFailed(f"a new backup is not good: {verdict.sentence}")
        damaged = bytearray(backup.path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        backup.path.write_bytes(damaged)
        verdict = verify_backup(backups, backup.name)
        if verdict.state != "corrupt":
            raise ProcessingFailed(f"a damaged backup is told to be {verdict.state}, not corrupt")


SECRETS = {
    "e-mail": "smoke.test@mobius.example",
    "token": "Bearer smokeSmokeSmoke0123456789",
    "key": "INTERNAL_API_KEY=smokeKey0123456789",
    "home": "/home/smoketester/pictures",
}
"""What goes into the test record of the log, and must not come out; invented."""

_LEAKS = ("smoke.test@", "smokeSmokeSmoke", "smokeKey", "smoketester")


def log_pipeline(ws: Workspace) -> str:
    """Write a record with personal data into the service log and read it back.

    Returns:
        What was found.

    Raises:
        ProcessingFailed: The record is not there, is not JSON, or still holds what it must not.
    """
    mark = uuid.uuid4().hex
    log = JsonLog(ws.logs / SERVICE_LOG, rotate=True, within=ws.root)
    fields = {**SECRETS, "api_key": "smokeKey0123456789", "all": list(SECRETS.values()), "number": 7, "none": None}
    log.write("info", "smoke", "log_pipeline", f"smoke test {mark}: {'; '.join(SECRETS.values())}", fields=fields)
    if log.dropped:
        raise ProcessingFailed("the log dropped the test record", fix="check the logs folder and its free space")
    line = _line_with(mark, log.path)
    leaked = [leak for leak in _LEAKS if leak in line]
    if leaked:
        raise ProcessingFailed(f"the log keeps personal data: {len(leaked)} of {len(_LEAKS)} were not redacted")
    record = json.loads(line)
    if record["fields"]["number"] != 7 or record["fields"]["none"] is not None or record["level"] != "info":
        raise ProcessingFailed("the log changed data that is not personal")
    return "a record with e-mail, token, key and home folder came back redacted"


def _line_with(mark: str, path: Path) -> str:
    """The record of a mark: at the end of the log, or of the one that was rotated away just now."""
    for place in (path, path.with_name(f"{path.name}.1")):
        if not place.is_file():
            continue
        with place.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            for line in file.read().decode("utf-8", "replace").splitlines():
                if mark in line:
                    return line
    raise ProcessingFailed("the test record is not in the log")


def _names(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
