"""What an application writes into the catalogue."""

import json
from pathlib import Path

FOREIGN_ENTRY = {"path": "foreign.png", "title": "written by the application in the last moment"}


def write_entry(live: Path):
    """Append an entry as an application does: read, change, write in place."""
    document = json.loads(live.read_bytes())
    document["images"].append(FOREIGN_ENTRY)
    live.write_bytes(json.dumps(document, indent=1).encode())
