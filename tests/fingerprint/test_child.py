"""A decoding process says nothing on the terminal of the one that started it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from noise import noise

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file descriptors of Unix")

RUN = """
import sys
from mobius_tui.fingerprint.model import Limits, Task
from mobius_tui.fingerprint.pool import HashingPool

if __name__ == "__main__":
    with HashingPool("exact", Limits(), 1) as running:
        print([outcome.status for outcome in running.map([Task(sys.argv[1])])])
"""


def test_what_a_decoder_prints_goes_nowhere(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise((160, 120), 60).save(buffer, "TIFF", compression="tiff_lzw")
    data = buffer.getvalue()
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(data[:4000] + b"\xff" * 200 + data[4200:])  # libtiff writes of it to file descriptor 2
    script = tmp_path / "run.py"
    script.write_text(RUN)
    source = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script), str(damaged)],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": source, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout == "['failed']\n"
    assert done.stderr == ""
