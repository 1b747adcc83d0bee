"""Workspaces that are prepared once and copied for every fault, always to the same path."""

import json
import os
import shutil
from pathlib import Path

from pictures import flat, look_alike, picture, put, truncated

from mobius_tui.workspace import init_workspace

FOREIGN = {"maker": "the application", "weight": 1.5, "tags": ["a", "b"]}
MODE = 0o640


def prepare(root: Path, images=5):
    """A workspace whose catalogue an application wrote: foreign fields, a missing file, a file without an entry."""
    init_workspace(root)
    files = {f"deck/{number:02d}.png": picture(number) for number in range(images)}
    files |= {"copy.png": files["deck/00.png"], "flat.png": flat(), "torn.png": truncated(9), "near.png": look_alike(1)}
    put(root / "library", files)
    named = [name for name in files if name != "near.png"] + ["gone.png"]
    document = {
        "note": "kept as it was: 1.10",
        "images": [{"path": name, "title": f"title of {name}", **FOREIGN} for name in named],
        "settings": {"app": [1, 2, {"deep": None}]},
    }
    write(root / "library/library.json", json.dumps(document, indent=1).encode())
    (root / "library/notes.txt").write_text("not ours")
    (root / "backups/notes.txt").write_text("not ours")


def write(path, data):
    path.write_bytes(data)
    path.chmod(MODE)


def copy_tree(source, target):
    """Copy a workspace; images are linked, so that size, time and inode stay."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, copy_function=_copy, symlinks=True)


def _copy(source, target, *, follow_symlinks=True):
    if source.endswith(".png"):
        os.link(source, target)
        return target
    return shutil.copy2(source, target, follow_symlinks=follow_symlinks)
