"""`mobius worker unit`: printed, written, as data."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_verbs import Mobius, tree


def test_printed_with_what_to_do_next(mobius: Mobius, ws: Path) -> None:
    before = tree(ws)
    answer = mobius("worker", "unit", "--workspace", ws)
    assert answer.code == 0 and tree(ws) == before
    assert "# mobius-worker.service" in answer.out and "# mobius-guard.service" in answer.out
    assert "systemctl daemon-reload" in answer.err and "MOBIUS_PORT" in answer.err, "it is set in this shell alone"
    assert "MOBIUS_PORT" not in answer.out


def test_written_and_written_again(mobius: Mobius, ws: Path, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    missing = mobius("worker", "unit", "--workspace", ws, "--write", folder)
    assert missing.code == 1 and "mkdir -p" in missing.err
    folder.mkdir()
    for _ in range(2):
        answer = mobius("worker", "unit", "--user", "--name", "cards", "--workspace", ws, "--write", folder, "--json")
        assert answer.code == 0
        assert answer.json["written"] == [str(folder / name) for name in answer.json["units"]]
    assert {path.name: path.read_text() for path in folder.iterdir()} == answer.json["units"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert "enable-linger" in answer.err


@pytest.mark.parametrize("name", ["../x", "a b"])
def test_a_wrong_name(mobius: Mobius, ws: Path, name: str) -> None:
    assert mobius("worker", "unit", "--name", name, "--workspace", ws).code == 1
