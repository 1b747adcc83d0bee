"""What MOBIUS writes is for its user and group, whatever the umask; the catalogue keeps its own mode."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from used_workspace import use


@pytest.mark.timeout(600)
@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_used_workspace_is_for_its_user_and_group(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "ws"
    used = use(root, {}, {}, umask)
    codes = {words: code for words, code, _ in used.said}
    assert codes["migrate"] == codes["backup create"] == codes["deploy --force --no-watch --reason to be seen"] == 0, (
        used.told()
    )
    loose = []
    written = 0
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        place = path.relative_to(root)
        if stat.S_ISDIR(status.st_mode):
            if mode & 0o022 or (place.parts[0] == ".mobius" and mode & 0o077):
                loose.append(f"{place}/ {mode:o}")
            continue
        if place.parts[0] == "library" or place == Path("mobius.toml"):
            continue  # the operator's own
        written += 1
        most = 0o644 if place.name == "README.md" else 0o640
        if mode & ~most:
            loose.append(f"{place} {mode:o}")
    assert not loose, "\n".join(loose)
    assert written > 20
    assert stat.S_IMODE((root / "library" / "library.json").stat().st_mode) == 0o664, "as its owner had set it"
    assert stat.S_IMODE((root / ".mobius").stat().st_mode) == 0o700
