"""Running a verb in this process or in one of its own, and a small workspace to run it on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

SOURCE = str(Path(__file__).resolve().parents[2])


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Mobius = Callable[..., Answer]


def start(*arguments: object, **how: Any) -> subprocess.Popen[bytes]:
    """Start a verb in a process of its own, with Ctrl-C as a terminal would have it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MOBIUS_", "PYTHON"))}
    environ |= {"PYTHONPATH": SOURCE, "MOBIUS_PORT": "0", **how.pop("env", {})}
    streams = {name: how.pop(name, subprocess.PIPE) for name in ("stdout", "stderr")}
    return subprocess.Popen(
        [sys.executable, "-m", "mobius_tui", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        env=environ,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **streams,
        **how,
    )


def finish(process: subprocess.Popen[bytes]) -> Answer:
    out, err = process.communicate(timeout=60)
    return Answer(process.returncode, (out or b"").decode(), (err or b"").decode())


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (96, 96), (seed * 20 % 255, 90, 60))
    pen = ImageDraw.Draw(image)
    for at in range(12):
        x, y = (seed * 37 + at * 29) % 80, (seed * 17 + at * 41) % 80
        pen.rectangle((x, y, x + 16, y + 12), fill=((at * 53) % 255, (seed * at * 31) % 255, 200))
    image.save(path)


def tree(root: Path) -> dict[str, bytes | None]:
    """Every name below a folder with its bytes."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }
