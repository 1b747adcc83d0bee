"""Units of systemd: what they say, that systemd takes them, and that no name of a folder breaks out of its line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.errors import BadInput
from mobius_tui.operations.units import exec_line, outside_settings, quoted, units_of
from mobius_tui.settings import load_settings
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

Opened = Callable[..., Workspace]
HOSTILE = "we%ird \"q' $HOME ${x} ünï \\t;# 100%n"
NOWHERE = {"PATH": "/usr/bin"}


def read_back(line: str) -> list[str]:
    """The words of a line as systemd.syntax(7) reads them: double quotes, C escapes, then specifiers."""
    words = []
    for quoted_word in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
        data = re.sub(
            rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), quoted_word.encode("utf-8")
        ).decode("utf-8")
        assert re.fullmatch(r"(?:[^%]|%%)*", data), "no specifier"
        words.append(data.replace("%%", "%"))
    return words


def made(ws: Workspace, *, user: bool = False, **how: str) -> dict[str, str]:
    return units_of(ws, user=user, environ=NOWHERE, **how)


def value(unit: str, key: str) -> str:
    found = [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]
    assert len(found) == 1, (key, found)
    return found[0]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=1, max_size=4))
def test_every_word_comes_back_as_it_was(words: list[str]) -> None:
    line = exec_line(words)
    assert line.startswith(":"), "without it $ would mean a variable"
    assert "\n" not in line and "\r" not in line
    assert read_back(line) == words


@pytest.mark.parametrize("bad", ["\udcff.png", "a\0b"])
def test_what_cannot_stand_in_a_unit_is_refused(bad: str) -> None:
    with pytest.raises(BadInput):
        quoted(bad)


@pytest.mark.parametrize("user", [False, True])
def test_worker_and_guard_run_this_interpreter_on_this_workspace(tmp_path: Path, user: bool) -> None:
    root = tmp_path / HOSTILE
    init_workspace(root)
    ws = open_workspace(root, {}, {}, "tester")
    units = made(ws, user=user, env_name="staging")
    assert list(units) == ["mobius-worker.service", "mobius-guard.service"]
    worker = read_back(value(units["mobius-worker.service"], "ExecStart"))
    assert worker == [sys.executable, "-P", "-m", "mobius_tui", "worker", "run", "--workspace", str(root),
                      "--env", "staging"]  # fmt: skip
    assert Path(worker[0]).is_absolute()
    guard = read_back(value(units["mobius-guard.service"], "ExecStart"))
    assert guard[3:7] == ["mobius_tui", "guard-run", "--workspace", str(root)]
    for name in ("mobius-worker.service", "mobius-guard.service"):
        assert value(units[name], "WorkingDirectory").replace("%%", "%") == str(root)
        assert value(units[name], "KillMode") == "process", "deploy and guard outlive a restart of the worker"
        assert value(units[name], "UMask") == "0027"
        assert value(units[name], "WantedBy") == ("default.target" if user else "multi-user.target")
    assert value(units["mobius-worker.service"], "Restart") == "on-failure"
    assert value(units["mobius-guard.service"], "Restart") == "always" and guard[-1] == "--wait"


def test_where_it_may_write(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    for name in ("real", "images", "state"):
        (outside / name).mkdir(parents=True)
    (outside / "real" / "library.json").write_text('{"images": []}')
    root = tmp_path / "ws"
    init_workspace(root)
    (outside / "images" / "library.json").symlink_to(outside / "real" / "library.json")
    flags = {"library": str(outside / "images"), "state_dir": str(outside / "state")}
    unit = made(open_workspace(root, flags, {}, "tester"))["mobius-worker.service"]
    places = [word.removeprefix("-") for word in read_back(value(unit, "ReadWritePaths"))]
    assert places == [str(root), *(str(outside / name) for name in ("state", "images", "real"))]
    assert value(unit, "ProtectSystem") == "strict" and value(unit, "NoNewPrivileges") == "true"
    assert "PrivateTmp=" not in unit, "it would hide a workspace below /tmp"


def test_hooks_are_not_kept_from_what_they_are_for(make_workspace: Opened) -> None:
    unit = made(make_workspace(0, hook_on_rollback="sudo systemctl restart shop"))["mobius-guard.service"]
    assert "NoNewPrivileges=" not in unit and value(unit, "ProtectSystem") == "full"
    assert "RestrictSUIDSGID" not in unit, "it implies NoNewPrivileges"


def test_commands_of_notifications_are_not_kept_from_what_they_are_for(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    init_workspace(root)
    for table, strict in (('url = "https://hooks.example/x"', True), ('command = "sendmail oncall"', False)):
        (root / "mobius.toml").write_text(f"[notify.sre]\n{table}\n")
        for unit in made(open_workspace(root, {}, {}, "tester")).values():
            assert ("NoNewPrivileges=" in unit) is strict, "sendmail is run with another group's rights"
            assert value(unit, "ProtectSystem") == ("strict" if strict else "full")


def test_no_secret_and_no_setting_is_in_a_unit(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    init_workspace(root)
    environ = {"INTERNAL_API_KEY": "hunter2hunter2", "MOBIUS_PORT": "0"}
    ws = Workspace(root, load_settings(root, {}, environ), "tester")
    text = "".join(units_of(ws, user=False, environ=environ).values())
    assert "hunter2" not in text and "MOBIUS_PORT" not in text
    assert outside_settings(ws) == ["INTERNAL_API_KEY", "MOBIUS_PORT"]


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "a/b", "x" * 80])
def test_a_name_that_is_none(make_workspace: Opened, name: str) -> None:
    with pytest.raises(BadInput):
        made(make_workspace(0), name=name)


@pytest.mark.parametrize("folder", ["a\nExecStart=evil", "ends in a space ", "ends in a backslash\\"])
def test_a_folder_that_would_be_read_as_another_is_refused(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    init_workspace(root)
    with pytest.raises(BadInput, match="cannot stand in a unit"):
        made(open_workspace(root, {}, {}, "tester"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("folder", ["plain", HOSTILE])
@pytest.mark.parametrize("hook", ["", "sudo true"])
def test_systemd_takes_them(tmp_path: Path, user: bool, folder: str, hook: str) -> None:
    root = tmp_path / folder
    init_workspace(root)
    ws = open_workspace(root, {"hook_on_rollback": hook}, {}, "tester")
    place = tmp_path / "units"
    place.mkdir()
    for name, text in made(ws, user=user).items():
        (place / name).write_text(text)
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    command = ["systemd-analyze", *(["--user"] if user else []), "--man=no", "verify", *map(str, place.iterdir())]
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(run)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (place / "mobius-worker.service").write_text("[Service]\nExecStart=relative\n")
    broken = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert broken.stderr, "a broken unit is seen"
