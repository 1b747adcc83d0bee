"""What the history calls published is what the deploy staged, not what others wrote on top of it meanwhile."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.recovery.staging import stage, staged_path, swap
from mobius_tui.rollback.publications import way_back
from mobius_tui.rollback.recover import recover
from mobius_tui.workspace import init_workspace, open_workspace

RUN = "deploy-20261120T120000Z"
OLD = b'{"images": []}'
MIGRATION = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": RUN}}
NEW = json.dumps({"images": [], "dhash_migration": MIGRATION, "dhash_duplicates": []}).encode()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_others_wrote_on_top_is_told_apart_by_the_next_rollback(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    ws = open_workspace(tmp_path, {}, {}, "ada")
    ws.catalogue.write_bytes(OLD)
    backup = create_backup(ws.catalogue, ws.backups, reason=f"before {RUN}", who="ada").name
    journal = Journal.create(ws.state / JOURNALS, RUN, kind="deploy", who="ada", live=str(ws.catalogue), options={})
    journal.note("round", round=1, before=sha(OLD), backup=backup)
    staged = staged_path(ws.catalogue, RUN)
    stage(ws.catalogue, [NEW], staged)
    journal.note("staged", round=1, before=sha(OLD), after=sha(NEW), backup=backup)
    swap(staged, ws.catalogue, sha(OLD))
    journal.note("step", step="smoke", state="done", round=1)
    journal.close()
    ws.catalogue.write_bytes(NEW.replace(b'"images": []', b'"images": [{"path": "theirs.png"}]'))
    assert [one.outcome for one in recover(ws, lambda _: None)] == ["done"]
    noted = next(act for act in read_history(ws.state) if act["act"] == "deploy")
    assert noted["after"] == sha(NEW)
    found = way_back(ws.state, ws.backups, ws.catalogue)
    assert found is not None and found.backup.name == backup
    assert found.published is None  # else --keep-new would restore the backup exactly, without theirs
