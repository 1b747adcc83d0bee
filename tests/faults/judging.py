"""The judge: looks at a workspace's files after a fault and says in sentences what is not as it must be.

It shares no code with what it judges but the listing of backups and the reading of locks and journals.
"""

import hashlib
import json
import os
import re
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mobius_tui.errors import MobiusError
from mobius_tui.recovery.backups import list_backups
from mobius_tui.recovery.journal import open_journals
from mobius_tui.system.locks import catalogue_lock_path, holder_of

_SIDES = (".sha256", ".meta.json")
_LEFT = re.compile(r".*\.(tmp|staged|swap|old|new|part|scratch)|\.library\.json\.(?!lock$|reserve$).*")


@dataclass
class Facts:
    """What has to hold, taken from the workspace before the fault and from a run without one.

    Attributes:
        old: SHA-256 of the live file before.
        new: What the live file may become: hashes of its content but for what varies by run.
        canaries: What it may be for a while and must not stay, likewise.
        others: Files of others by relative name, and their hashes.
        kept: Backups that must stay, by name, and their hashes.
        attributes: Owner, group, mode and extended attributes of the live file.
        history: The acts noted before.
        may_go: Backups that may be removed.
        foreign: Hashes of what the live file may hold of others.
        state: The state folder, from the workspace.
    """

    old: str
    new: set[str]
    others: dict[str, str]
    kept: dict[str, str]
    attributes: tuple
    history: bytes
    may_go: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    state: str = ".mobius"
    canaries: set[str] = field(default_factory=set)

    def let_go(self, names):
        """These backups may be removed."""
        for name in names:
            self.kept.pop(name, None)
            self.may_go.add(name)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def settled(data):
    """Hash of a catalogue's content but for what varies by run."""
    document = json.loads(data)
    if isinstance(document.get("dhash_migration"), dict):
        document["dhash_migration"].pop("run", None)
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def foreign(data):
    """Hash of what a catalogue holds of others."""
    document = json.loads(data)
    for name in [name for name in document if name.startswith("dhash")]:
        del document[name]
    for entry in document["images"]:
        for name in [name for name in entry if name.startswith("dhash")]:
            del entry[name]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def live_of(root):
    return Path(root) / "library/library.json"


def attributes_of(path):
    found = Path(path).stat()
    names = sorted(os.listxattr(path))
    return (
        found.st_uid,
        found.st_gid,
        stat.S_IMODE(found.st_mode),
        [(name, os.getxattr(path, name)) for name in names],
    )


def facts_of(root):
    """The facts of a workspace as it is now."""
    root = Path(root)
    live = live_of(root)
    others = {}
    for folder in ("library", "backups", "review", "themes"):
        for path in (root / folder).rglob("*"):
            if path.is_file() and path != live and not path.name.startswith((".", "library.json")):
                others[str(path.relative_to(root))] = sha256(path)
    kept = {path.name: sha256(path) for path in (root / "backups").iterdir() if _is_backup(path)}
    history = root / ".mobius/history.jsonl"
    return Facts(
        old=sha256(live),
        new=set(),
        others=others,
        kept=kept,
        attributes=attributes_of(live),
        history=history.read_bytes() if history.exists() else b"",
        foreign={foreign(live.read_bytes())},
    )


def _is_backup(path):
    return path.is_file() and path.name.startswith(("library.json.bak.", "dhash_")) and not path.name.endswith(_SIDES)


def at_once(root, facts):
    """What is wrong right after the fault, before anything was mended."""
    root = Path(root)
    return [*_live(root, facts, passing="canary"), *_others(root, facts), *_backups(root, facts)]


def at_rest(root, facts):
    """What is wrong after the recovery."""
    root = Path(root)
    wrong = [
        *_live(root, facts),
        *_others(root, facts),
        *_backups(root, facts),
        *_leftovers(root),
        *_journals(root / facts.state),
        *_database(root / facts.state),
    ]
    holder = holder_of(catalogue_lock_path(live_of(root)))
    if holder is not None:
        wrong.append(f"the catalogue lock is held: {holder}")
    return wrong


def state_of(root, facts):
    """``old``, ``new``, ``canary`` or ``neither``, by the live file's hash."""
    try:
        data = live_of(root).read_bytes()
    except OSError as error:
        return f"neither: {error.strerror}"
    if hashlib.sha256(data).hexdigest() == facts.old:
        return "old"
    try:
        if settled(data) in facts.new or ("foreign" in facts.new and foreign(data) in facts.foreign):
            return "new"
        if settled(data) in facts.canaries:
            return "canary"
        return "neither: whole, but another content"
    except (ValueError, AttributeError):
        return f"neither: not a catalogue, {len(data)} bytes"


def _live(root, facts, *, passing=""):
    state = state_of(root, facts)
    if state not in {"old", "new", passing}:
        return [f"the live file is {state}"]
    found = attributes_of(live_of(root))
    return [] if found == facts.attributes else [f"attributes of the live file are {found}, not {facts.attributes}"]


def _others(root, facts):
    for name, wanted in facts.others.items():
        path = root / name
        if not path.exists():
            yield f"{name} is gone"
        elif sha256(path) != wanted:
            yield f"{name} is another one"
    history = root / facts.state / "history.jsonl"
    now = history.read_bytes() if history.exists() else b""
    if not now.startswith(facts.history):
        yield "acts noted before are gone from the history"


def _backups(root, facts):
    folder = root / "backups"
    for name, wanted in facts.kept.items():
        if not (folder / name).exists():
            yield f"backup {name} is gone"
        elif sha256(folder / name) != wanted:
            yield f"backup {name} is another one"
    for backup in list_backups(folder):
        if backup.name in facts.may_go and not (folder / f"{backup.name}.sha256").exists():
            continue  # half removed
        yield from bad_backup(folder, backup.name)


def bad_backup(folder, name):
    """What is wrong with a backup that is listed."""
    try:
        noted = (folder / f"{name}.sha256").read_text()
        meta = json.loads((folder / f"{name}.meta.json").read_text())
    except (OSError, ValueError) as error:
        return [f"listed backup {name}: {error}"]
    found = sha256(folder / name)
    if noted != f"{found}  {name}\n":
        return [f"listed backup {name} does not verify: {noted[:12]}..."]
    if meta.get("sha256") != found:
        return [f"listed backup {name}: its meta file has another hash"]
    if stat.S_IMODE((folder / name).stat().st_mode) & ~0o640:
        return [f"listed backup {name}: others may read it"]
    return []


def _leftovers(root):
    for folder in ("library", "backups", ".mobius", "review", "logs"):
        for path in (root / folder).rglob("*"):
            if _LEFT.fullmatch(path.name):
                yield f"left over: {path.relative_to(root)}"
            for side in _SIDES:
                if folder == "backups" and path.name.endswith(side):
                    of = path.with_name(path.name.removesuffix(side))
                    if not of.exists():
                        yield f"side file without a backup: {path.name}"


def _journals(state):
    try:
        return [f"journal not at rest: {path.name}" for path in open_journals(state / "deploy")]
    except (OSError, MobiusError) as error:
        return [f"journals cannot be read: {error}"]


def _database(state):
    path = state / "mobius.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
    return [] if said == "ok" else [f"the database is damaged: {said}"]


def watches_of(root):
    """The watches: ``startable`` when their deploy is live, ``waiting`` while it runs, ``void`` when it never was."""
    found = {"startable": [], "waiting": [], "void": []}
    for path in (Path(root) / ".mobius/watch").glob("*.journal"):
        records = _records(path)
        if not records:
            found["waiting"].append(f"{path.name}, which holds nothing")
        elif records[-1]["what"] == "end":
            found[records[-1]["outcome"]].append(path.name)
        else:
            deploy = _records(Path(root) / f".mobius/deploy/{records[0]['plan']['deploy']}.journal")
            ended = deploy[-1]["state"] if deploy and deploy[-1]["what"] == "end" else ""
            found["startable" if ended in {"done", "held"} else "waiting"].append(path.name)
    return found


def _records(path):
    """The records of a journal that is at rest: a hash, a space, and the record as JSON in each line."""
    lines = path.read_bytes().rstrip(b"\0").splitlines()
    return [json.loads(line.partition(b" ")[2]) for line in lines]
