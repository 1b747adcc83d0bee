from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

from mobius_tui.logs import JsonLog
from mobius_tui.operations.bundle import write_bundle
from mobius_tui.operations.machine import Finding
from mobius_tui.workspace import init_workspace, open_workspace


def test_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "ws"
    init_workspace(root)
    ws = open_workspace(root, {}, {}, "anna")
    JsonLog(ws.logs / "service.log").write(
        "error", "worker", "x", "mail anna.b+x@example.co.uk \x1b[31m", fields={"token": 1}
    )
    (ws.logs / "migration-1.log").write_bytes(b"x" * 900_000 + b"\nlast line\xff\n")
    path = write_bundle(ws, [Finding("disk", "warning", "little is free in /home/anna/x", "free space")])
    assert path.parent == ws.logs and stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        parts = {member.name.split("/", 1)[1]: archive.extractfile(member).read().decode() for member in archive}
    assert {"findings.json", "settings.json", "versions.json", "status.json", "history.json", "logs/service.log",
            "logs/migration-1.log"} == parts.keys()  # fmt: skip
    assert "example.co" not in "".join(parts.values()) and "/home/anna" not in "".join(parts.values())
    record = json.loads(parts["logs/service.log"])
    assert (record["message"], record["fields"]) == ("mail [e-mail] \x1b[31m", {"token": "[hidden]"})
    assert parts["logs/migration-1.log"] == "last line\\xff\n"
    assert json.loads(parts["settings.json"])["threshold"] == {"value": 10, "source": "default"}
    assert [name for name in ws.logs.iterdir() if name.name.endswith(".gz")] == [path]
