"""Looking at what a migration left behind."""

import json
import re
import sqlite3
from typing import Any

from mobius_tui.workspace import Workspace


def catalogue(ws: Workspace) -> dict[str, Any]:
    """The live catalogue, parsed."""
    return json.loads(ws.catalogue.read_bytes())


def entries(ws: Workspace) -> dict[str, dict[str, Any]]:
    """Its entries by path."""
    return {entry["path"]: entry for entry in catalogue(ws)["images"]}


def without_run(data: bytes) -> bytes:
    """The bytes of a catalogue but for what varies by run."""
    stripped, count = re.subn(rb'"run": \{[^\n]*\}', b'"run": {}', data)
    assert count == 1
    return stripped


def decoded(connection: sqlite3.Connection) -> int:
    """Images decoded in all runs so far, by the committed batches."""
    return int(connection.execute("SELECT coalesce(sum(images), 0) FROM batches").fetchone()[0])
