"""A process knows the locks it holds itself, also when a full disk kept its name out of the lock file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mobius_tui.operations.deploy.preflight import _others
from mobius_tui.system.locks import FileLock, catalogue_lock, catalogue_lock_path, held_here
from mobius_tui.workspace import init_workspace, open_workspace


def test_a_lock_without_a_body_is_known_as_ones_own(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    ws = open_workspace(tmp_path, {}, {}, "ada")
    path = catalogue_lock_path(ws.catalogue)
    assert not held_here(path)
    with catalogue_lock(ws.catalogue, "ada", "deploy"):
        os.truncate(path, 0)
        assert held_here(path)
        assert [found.ok for found in _others(ws)] == [True]
    assert not held_here(path)


def test_another_process_s_is_not(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    ws = open_workspace(tmp_path, {}, {}, "ada")
    path = catalogue_lock_path(ws.catalogue)
    code = "import sys; from mobius_tui.system.locks import FileLock; from pathlib import Path; import time\n"
    code += "lock = FileLock(Path(sys.argv[1])); print(lock.acquire('bob', 'deploy'), flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        os.truncate(path, 0)
        assert not held_here(path) and not FileLock(path).acquire("ada", "x")
        assert [found.ok for found in _others(ws)] == [False]
