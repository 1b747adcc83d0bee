"""What MOBIUS writes is for its user and group, whatever the umask; the catalogue keeps its own mode."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from used_workspace import use

DEPLOY = ("deploy", "--force", "--no-watch", "--reason", "to be seen")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("umask", "verbs"),
    # with the tight one only what keeps the mode of a file that is there already
    [(0, None), (0o077, (("backup", "create"), DEPLOY, ("rollback", "--force")))],
    ids=["loose", "tight"],
)
def test_a_used_workspace_is_for_its_user_and_group(
    tmp_path: Path, umask: int, verbs: Sequence[Sequence[str]] | None
) -> None:
    root = tmp_path / "ws"
    used = use(root, {}, {}, umask, verbs=verbs)
    codes = {words: code for words, code, _ in used.said}
    assert codes["migrate"] == codes["backup create"] == codes[" ".join(DEPLOY)] == 0, used.told()
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
