"""An application that rewrites the catalogue again and again: reads it, adds a numbered entry, writes it.

Arguments: the catalogue, how it writes (``in place`` or ``by rename``), seconds between two writes. It ends when its
standard input closes, and prints how many entries it has written.
"""

import json
import os
import select
import sys
from pathlib import Path


def write_by_rename(path, data):
    """As most applications do."""
    temporary = path.with_name("library.json.app")
    temporary.write_bytes(data)
    temporary.chmod(0o640)
    temporary.replace(path)


def write_in_place(path, data):
    """As many do: the file is empty for a moment."""
    with path.open("wb") as file:
        file.write(data)


def add_entry(document, folder, number):
    """An entry for a new image; MOBIUS may have found the file before us."""
    name = f"app/{number:05d}.png"
    (folder / "app").mkdir(exist_ok=True)
    (folder / name).hardlink_to(folder / "deck/00.png")
    entry = next((entry for entry in document["images"] if entry["path"] == name), None)
    if entry is None:
        entry = {"path": name}
        document["images"].append(entry)
    entry["number"] = number


def main():
    path, how, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    write = write_in_place if how == "in place" else write_by_rename
    written = 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], pause)[0]:
        document = json.loads(path.read_bytes())
        add_entry(document, path.parent, written)
        write(path, json.dumps(document, indent=1).encode())
        written += 1
    print(written, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
