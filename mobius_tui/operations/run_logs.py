"""The logs of operations: which files they are, and deleting those that are old."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from datetime import UTC, datetime

from mobius_tui.recovery.journal import open_journals, run_of
from mobius_tui.recovery.watches import WATCHES
from mobius_tui.workspace import Workspace

KEPT_S = 90 * 86_400.0
"""Seconds that a run log is kept after its last record."""

KINDS = ("migration", "dry-run", "deploy", "rollback", "watch", "backup", "restore")
"""What a run log's name begins with; its stamp follows."""

_NAME = re.compile(rf"((?:{'|'.join(KINDS)})-(\d{{8}}T\d{{6}}Z))\.log")


def old_run_logs(names: Collection[str], touched: dict[str, float], *, keep: Collection[str], now: float) -> list[str]:
    """Which files of the folder of the logs are run logs that nobody needs any more.

    Args:
        names: Names in the folder.
        touched: When each was written last, seconds since the epoch.
        keep: Runs that go on, whatever their age.
        now: Seconds since the epoch.

    Returns:
        Names, oldest first: by the stamp in the name as well as by the last write, so that one that was copied or
        whose clock was wrong is not taken for old.
    """
    old = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or match[1] in keep:
            continue
        try:
            began = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
        if now - max(began, touched.get(name, now)) > KEPT_S:
            old.append((match[2], name))
    return [name for _, name in sorted(old)]


def forget_run_logs(ws: Workspace, active: Collection[str], now: float) -> list[str]:
    """Delete run logs older than 90 days, but none of an operation or watch that has not ended.

    Args:
        ws: The workspace.
        active: Runs of the jobs that go on.
        now: Seconds since the epoch.

    Returns:
        The names of the files that were deleted.

    Raises:
        OSError: A folder cannot be read: nothing is deleted. Or a file cannot be deleted: all others were.
    """
    keep = {*active}
    for folder in ("deploy", WATCHES):
        keep |= {run_of(path) for path in open_journals(ws.state / folder)}
    touched: dict[str, float] = {}
    try:
        with os.scandir(ws.logs) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    touched[entry.name] = entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return []
    gone = []
    failed: OSError | None = None
    for name in old_run_logs(touched, touched, keep=keep, now=now):
        try:
            (ws.logs / name).unlink(missing_ok=True)
            gone.append(name)
        except OSError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return gone
