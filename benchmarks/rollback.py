"""How long `mobius rollback` takes, Python's start included: `python benchmarks/rollback.py [--images N] [--rounds N]`.

Each case makes a workspace with a published catalogue and the backup from before it, and rolls back in a process of its
own with `python -S -E`. The third and fourth catalogues were changed by another program since; the last one was also
laid out anew, as programs do that read and write the whole file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.history import note_act

RUN = "migration-20261120T120000Z"


def entry(number: int) -> dict[str, object]:
    return {
        "path": f"cards/deck{number % 97}/card-{number:06d}.png",
        "title": f"Card {number}",
        "tags": ["a", "b"],
        "width": 744,
        "price": 1.5,
    }


def fingerprinted(number: int) -> dict[str, object]:
    dhash = hashlib.sha256(str(number).encode()).hexdigest()[:16]
    return {**entry(number), "dhash": dhash, "dhash_confidence": 0.97, "dhash_status": "ok"}


def text_of(entries: list[dict[str, object]], published: bool) -> bytes:
    lines = ",\n    ".join(json.dumps(each) for each in entries)
    owned = ""
    if published:
        migration = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": RUN}}
        owned = f',\n  "dhash_migration": {json.dumps(migration)},\n  "dhash_duplicates": []'
    return f'{{\n  "images": [\n    {lines}\n  ]{owned}\n}}\n'.encode()


def workspace(root: Path, images: int) -> Path:
    """A workspace whose live catalogue was published over a backup; returns the catalogue."""
    live = root / "library" / "library.json"
    live.parent.mkdir(parents=True)
    live.write_bytes(text_of([entry(number) for number in range(images)], published=False))
    backup = create_backup(live, root / "backups", reason=f"before {RUN}", who="bench")
    live.write_bytes(text_of([fingerprinted(number) for number in range(images)], published=True))
    after = hashlib.sha256(live.read_bytes()).hexdigest()
    details = {"backup": backup.name}
    note_act(root / ".mobius", "migrate", "bench", run_id=RUN, before=backup.sha256, after=after, details=details)
    return live


def change(live: Path, *, anew: bool) -> None:
    """What another program does: one title and one more entry."""
    library = json.loads(live.read_bytes())
    library["images"][5]["title"] = "Card five"
    library["images"].append({"path": "new.png", "title": "new"})
    if anew:
        live.write_text(json.dumps(library, indent=2))
        return
    text = live.read_text().replace('"title": "Card 5"', '"title": "Card five"', 1)
    live.write_text(
        text.replace('\n  ],\n  "dhash_migration"', ',\n    {"path": "new.png"}\n  ],\n  "dhash_migration"')
    )


def seconds(live: Path, *options: str) -> tuple[float, float]:
    """Wall and CPU seconds of one rollback."""
    root = live.parents[1]
    home = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-S", "-E", "-m", "mobius_tui", "rollback", "--force", "-q", *options]
    began, used = time.perf_counter(), os.times()
    subprocess.run([*command, "--workspace", str(root)], cwd=home, check=True, stdout=subprocess.DEVNULL)
    now = os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return time.perf_counter() - began, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cases: list[tuple[str, bool | None, tuple[str, ...]]] = [
        ("default", None, ()),
        ("--keep-new, nobody else wrote", None, ("--keep-new",)),
        ("default, others wrote (they are listed)", False, ()),
        ("--keep-new, others wrote", False, ("--keep-new",)),
        ("--keep-new, others wrote and laid out anew", True, ("--keep-new",)),
        ("--remove-dhash", None, ("--remove-dhash",)),
    ]
    for name, anew, options in cases:
        measured = []
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory() as folder:
                live = workspace(Path(folder), given.images)
                if anew is not None:
                    change(live, anew=anew)
                os.utime(live, (time.time() - 600,) * 2)  # nobody is writing it just now
                measured.append(seconds(live, *options))
        wall, cpu = ([pair[part] for pair in measured] for part in (0, 1))
        spread = f"({min(wall):.2f} to {max(wall):.2f})"
        print(f"{name:<45} {statistics.median(wall):5.2f} s {spread}  CPU {statistics.median(cpu):.2f} s", flush=True)


if __name__ == "__main__":
    main()
