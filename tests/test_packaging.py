"""What is not Python must be in the wheel, too: a console without its style sheet or themes does not start."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_wheel_holds_all_that_the_program_reads(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "mobius_tui").rglob("*") if path.is_file()}
    assert {name for name in sources if "__pycache__" not in name} <= names
    themes = {f"mobius_tui/builtin_themes/{path.name}" for path in (ROOT / "themes").glob("*.toml")}
    assert themes and themes <= names
    assert not {name for name in names if name.startswith("tests")}
