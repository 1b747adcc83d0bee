"""What the tests of atomic writes share: contents, a folder's names, and writing in a process of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

LINUX = sys.platform.startswith("linux")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
PIPES = hasattr(os, "mkfifo")
REPOSITORY = Path(__file__).parents[2]
OLD, NEW = b'{"images": []}\n', b'{"images": [], "x": 1}\n' * 1000


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def run_script(
    target: Path, script: str, *, strace: list[str] | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script that knows write_atomic, target and NEW, with the bare standard library."""
    head = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from pathlib import Path\n"
        "from mobius_tui.errors import EnvironmentFailed, MobiusError, exit_code_of\n"
        "from mobius_tui.recovery.atomic import write_atomic\n"
        f"target = Path({str(target)!r}); NEW = {NEW!r}; OLD_HASH = {sha(OLD)!r}\n"
    )
    become = "" if user is None else f"import os; os.setgroups([]); os.setgid({user}); os.setuid({user})\n"
    command = [*(strace or []), sys.executable, "-S", "-E", "-B", "-c", head + become + script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


WRITE = (
    "try: write_atomic(target, [NEW], expect=OLD_HASH)\n"
    "except MobiusError as error: print(error); sys.exit(exit_code_of(error))\n"
)
PLAIN = WRITE.replace(", expect=OLD_HASH", "")
