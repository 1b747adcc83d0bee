"""JSON-line logs: one service log, one run log an operation. A full disk drops and counts, it never stops the work."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

SERVICE_LOG = "service.log"
"""The worker's own log in the folder of the logs."""

ROTATE_BYTES = 50_000_000
"""Size at which the service log is rotated."""

KEPT = 10
"""Rotated service logs that are kept."""


class JsonLog:
    """A log file of JSON lines.

    Args:
        path: The file; appended to, its folder made when missing.
        rotate: Whether it is rotated by size.
    """

    def __init__(self, path: Path, *, rotate: bool = False) -> None:
        self.path = path
        self.dropped = 0
        self._rotate = rotate
        self._guard = threading.Lock()

    def write(
        self,
        level: str,
        component: str,
        event: str,
        message: str,
        run_id: str = "",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        """Append one record; on an error it is dropped and counted."""
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": level,
            "component": component,
            "run": run_id,
            "event": event,
            "message": message,
            **({"fields": dict(fields)} if fields else {}),
        }
        line = json.dumps(record, default=str).encode("utf-8") + b"\n"
        with self._guard:
            try:
                self._append(line)
            except OSError:
                self.dropped += 1

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o640)
        try:
            os.write(descriptor, line)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if self._rotate and size > ROTATE_BYTES:
            self._shift()

    def _shift(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(f"{self.path.name}.{number}").replace(
                    self.path.with_name(f"{self.path.name}.{number + 1}")
                )
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
