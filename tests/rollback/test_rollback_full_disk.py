"""A rollback on a disk without a byte left, on which not even a database opens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import Published

from mobius_tui.recovery.reserve import ensure_reserve

HOME = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"), reason="mounts need root"
)


@pytest.fixture
def small(library: Published, tmp_path: Path) -> Iterator[Published]:
    """The library on a filesystem of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=4m none '{folder}' 2>/dev/null"):
        pytest.skip("this machine does not allow mounts")
    shutil.copytree(library.root, folder / "ws")
    library.root = folder / "ws"
    entries = ", ".join(f'{{"path": "{number}.png", "title": "{number:060}"}}' for number in range(3000))
    library.write(f'{{"images": [{entries}]}}')
    yield library
    os.system(f"umount -l '{folder}'")


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue


def rollback(library: Published, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-E", "-m", "mobius_tui", "rollback", "--force", "--workspace", str(library.root)]
    return subprocess.run([*command, *options], cwd=HOME, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("--keep-new",), ("--remove-dhash",)])
def test_with_the_reserve_it_restores_and_keeps_what_was_live(small: Published, options: tuple[str, ...]) -> None:
    target = small.live.read_bytes()
    made = small.publish()
    assert made is not None
    before = small.live.read_bytes()
    ensure_reserve(small.live, len(before))
    fill(small.root.parent)
    done = rollback(small, *options)
    assert done.returncode == 0, done.stderr
    live = small.live.read_bytes()
    assert live == target if options != ("--remove-dhash",) else b"dhash" not in live
    assert [path.read_bytes() for path in small.emergency.glob("*Z")] == [before]


def test_without_a_reserve_the_live_file_is_untouched_and_the_exit_code_says_why(small: Published) -> None:
    small.publish()
    before = small.live.read_bytes()
    fill(small.root.parent)
    done = rollback(small)
    assert done.returncode == 5, done.stderr
    assert small.live.read_bytes() == before
    assert not [path.name for path in small.live.parent.iterdir() if path.name.endswith(".staged")]
