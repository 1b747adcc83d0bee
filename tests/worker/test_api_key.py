"""Where the key of metrics and API comes from, and what is no key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.launch.api_key import read_api_key
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

KEY = "k3y-of-the-tests-0123456789"


def opened(root: Path, **flags: object) -> Workspace:
    init_workspace(root)
    return open_workspace(root, flags, {}, "tester")


def key_file(root: Path, data: bytes, mode: int = 0o600) -> str:
    path = root / "api.key"
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def test_no_key_is_set(tmp_path: Path) -> None:
    assert read_api_key(opened(tmp_path)) == ""


def test_the_setting_counts_before_the_file(tmp_path: Path) -> None:
    ws = opened(tmp_path, internal_api_key=KEY, internal_api_key_file=key_file(tmp_path, b"other"))
    assert read_api_key(ws) == KEY


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_file_is_read_anew_each_time(tmp_path: Path, ending: bytes) -> None:
    ws = opened(tmp_path, internal_api_key_file=key_file(tmp_path, KEY.encode() + ending))
    assert read_api_key(ws) == KEY
    key_file(tmp_path, b"another" + ending)
    assert read_api_key(ws) == "another"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"two words", b"two\nlines", b"\xc3\xa9t\xc3\xa9", b"a\0b", b"x" * 1025, b"key\n\n"]
)
def test_what_could_not_be_sent_is_refused_without_being_shown(tmp_path: Path, data: bytes) -> None:
    ws = opened(tmp_path, internal_api_key_file=key_file(tmp_path, data))
    with pytest.raises(BadInput) as refused:
        read_api_key(ws)
    said = str(refused.value)
    assert "words" not in said and "lines" not in said and "xxx" not in said


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    ws = opened(tmp_path, internal_api_key_file=key_file(tmp_path, KEY.encode(), mode))
    with pytest.raises(EnvironmentFailed, match="others can read") as refused:
        read_api_key(ws)
    assert "chmod 600" in refused.value.fix and KEY not in str(refused.value)


def test_a_missing_file_is_said_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    ws = opened(tmp_path, internal_api_key_file=str(tmp_path / "api.key"))
    with pytest.raises(BadInput, match="no file of the API key"):
        read_api_key(ws)
    os.mkfifo(tmp_path / "api.key", 0o600)
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        read_api_key(ws)
