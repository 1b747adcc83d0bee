"""A library in a folder that is published, backed up and edited as MOBIUS and other programs do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from mobius_tui.recovery.backups import Backup, create_backup
from mobius_tui.recovery.history import note_act
from mobius_tui.system import clock


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Published:
    """A workspace's files; its clock goes on a second with each look at it, so that stamps differ without waiting."""

    root: Path
    now: list[float] = field(default_factory=lambda: [1_763_640_000.0])
    runs: int = 0

    @property
    def live(self) -> Path:
        return self.root / "library" / "library.json"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def state(self) -> Path:
        return self.root / ".mobius"

    @property
    def emergency(self) -> Path:
        return self.backups / "emergency"

    def write(self, data: bytes | str) -> bytes:
        data = data.encode() if isinstance(data, str) else data
        self.live.parent.mkdir(parents=True, exist_ok=True)
        self.live.write_bytes(data)
        return data

    def publish(self, *, backup: bool = True, act: str = "migrate", images: int = 3) -> Backup | None:
        """Publish new fingerprints over what is live, after a backup."""
        self.tick()
        self.runs += 1
        run = f"migration-{clock.stamp(self.now[0])}"
        before = self.live.read_bytes()
        made = create_backup(self.live, self.backups, reason=f"before {run}", who="t") if backup else None
        library = json.loads(before)
        for number, entry in enumerate(library["images"][:images]):
            entry |= {"dhash": f"{self.runs:08x}{number:08x}", "dhash_confidence": 0.9, "dhash_status": "ok"}
        library["dhash_migration"] = {"schema_version": 1, "run": {"id": run}}
        library["dhash_duplicates"] = []
        after = self.write(json.dumps(library))
        details = {"backup": None if made is None else made.name}
        note_act(self.state, act, "t", run_id=run, before=sha(before), after=sha(after), details=details)
        return made

    def edit(self) -> bytes:
        """Another program changes a title and adds an entry."""
        library = json.loads(self.live.read_bytes())
        library["images"][0]["title"] = f"edited {self.runs}"
        library["images"].append({"path": f"new{self.runs}.png"})
        return self.write(json.dumps(library))

    def tick(self) -> float:
        """A second later."""
        self.now[0] += 1
        return self.now[0]
