from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.logs import JsonLog
from mobius_tui.operations.bundle import redacted, write_bundle
from mobius_tui.operations.machine import Finding
from mobius_tui.workspace import init_workspace, open_workspace

SECRETS = [
    "anna.b+x@example.co.uk",
    "Authorization: Bearer abcdefgh.ijkl-123",
    "ghp_abcdefghijklmnopqrstuvwxyz0123",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "INTERNAL_API_KEY=s3cr3t-value",
    "password: hunter2",
    "https://anna:pa55@host/x",
    "/home/anna/pictures",
    "/Users/anna/pictures",
    '"gps_latitude": 52.5200',
    '"gps": [52.52, 13.4]',
]
LEAKS = ["anna", "example.co", "abcdefgh", "ijkl", "AKIAA", "eyJ", "s3cr3t", "hunter2", "pa55", "52.5", "13.4"]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_and_personal_data_are_gone(secret: str) -> None:
    for text in (secret, f"at {secret} it failed", json.dumps({"message": f"x {secret} y"})):
        shown = redacted(text)
        assert not [leak for leak in LEAKS if leak in shown], shown


def test_what_matters_stays() -> None:
    kept = (
        "2026-11-20T12:04:31Z a05fb26f7849c36f919eedb024c1eda6d1511cc78a8bc1e8e22847f906e4079c "
        "library/cards/ace.png dhash f0e4c2d9a1b3c5d7 /srv/mobius/library rate 412/s"
    )
    assert redacted(kept) == kept
    assert redacted("/home/anna/ws/library") == "~/ws/library"
    assert redacted("/root/ws") == "~/ws"


VALUES = st.text() | st.sampled_from(SECRETS) | st.floats(allow_nan=False) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(["message", "api_key", "token", "path", "gps"]), VALUES))
def test_a_json_record_stays_json(record: dict[str, object]) -> None:
    found = json.loads(redacted(json.dumps(record)))
    assert found.keys() == record.keys()
    for name in ("api_key", "token", "gps"):
        assert found.get(name, "[hidden]") == "[hidden]"


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
